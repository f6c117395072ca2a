//! Numbers that are counted while the process runs: cheap where they are counted,
//! summed where they are read. Knows nobody who counts.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

mod cells;

pub use cells::{Bound, Counter, Distribution, Histogram, Sizes, Times};

/// A closed set: what can be told apart by a label. Nothing that a caller writes is
/// ever of one.
pub trait Closed: Copy {
    /// How many places there are, at least as many as members.
    const COUNT: usize;

    /// Returns each member.
    fn all() -> impl Iterator<Item = Self>;

    /// Returns the label's value.
    fn name(self) -> &'static str;

    /// Returns the place of its number, below [`Closed::COUNT`].
    fn place(self) -> usize;
}

/// Says of an enum that it is a closed set, and how each member is called.
macro_rules! is_closed {
    ($name:ident { $($member:ident = $text:literal,)+ }) => {
        impl $crate::tally::Closed for $name {
            const COUNT: usize = [$(Self::$member,)+].len();

            fn all() -> impl Iterator<Item = Self> {
                [$(Self::$member,)+].into_iter()
            }

            fn name(self) -> &'static str {
                match self { $(Self::$member => $text,)+ }
            }

            fn place(self) -> usize {
                self as usize
            }
        }
    };
}

/// Declares a closed set: an enum whose members each have a name.
macro_rules! closed {
    ($(#[$doc:meta])* $vis:vis enum $name:ident { $($(#[$about:meta])* $member:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        $vis enum $name { $($(#[$about])* $member,)+ }

        $crate::tally::is_closed! { $name { $($member = $text,)+ } }
    };
}

pub(crate) use {closed, is_closed};

/// A number, or numbers, for each member of a closed set.
#[derive(Debug)]
pub struct Each<K, const N: usize, T = Counter> {
    cells: [T; N],
    of: PhantomData<fn(K)>,
}

impl<K: Closed, const N: usize, T: Default> Default for Each<K, N, T> {
    fn default() -> Self {
        const { assert!(N == K::COUNT, "as many cells as the set has places") };
        Self {
            cells: std::array::from_fn(|_| T::default()),
            of: PhantomData,
        }
    }
}

impl<K: Closed, const N: usize, T> Each<K, N, T> {
    /// Returns what is counted of a member; always something, which the compiler can't
    /// see.
    pub fn of(&self, member: K) -> Option<&T> {
        self.cells.get(member.place())
    }
}

impl<K: Closed, const N: usize> Each<K, N> {
    /// Counts one.
    pub fn tick(&self, member: K) {
        if let Some(counter) = self.of(member) {
            counter.add(1);
        }
    }

    /// Returns how many of a member were counted.
    pub fn get(&self, member: K) -> u64 {
        self.of(member).map_or(0, Counter::get)
    }
}

impl<K: Closed, const N: usize> Each<K, N, Times> {
    /// Counts how long something took.
    pub fn observe(&self, member: K, took: Duration) {
        if let Some(times) = self.of(member) {
            times.observe(took);
        }
    }

    /// Returns what was counted of a member.
    pub fn read(&self, member: K) -> Distribution {
        self.of(member).map(Times::read).unwrap_or_default()
    }
}

/// The stripes that there are, at most.
const STRIPES: usize = 16;

/// Numbers of which each thread counts its own, as far as there are stripes, so that
/// cores which count at once don't wait for each other's cache lines.
pub struct Striped<T> {
    first: Arc<Stripe<T>>,
    rest: Box<[Arc<Stripe<T>>]>,
}

/// One thread's numbers, apart from all others in memory: 128 bytes, as processors
/// fetch lines in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Stripe<T>(T);

impl<T> Deref for Stripe<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Default> Default for Striped<T> {
    /// Makes a stripe for each core, up to a bound.
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let rest = (1..cores.min(STRIPES)).map(|_| Arc::default());
        Self {
            first: Arc::default(),
            rest: rest.collect(),
        }
    }
}

impl<T> Striped<T> {
    /// Returns this thread's stripe. To hold on to it costs no other thread's line.
    pub fn mine(&self) -> &Arc<Stripe<T>> {
        let place = THREAD.get() % (self.rest.len() + 1);
        let stripe = place.checked_sub(1).and_then(|place| self.rest.get(place));
        stripe.unwrap_or(&self.first)
    }

    /// Returns every stripe's numbers.
    pub fn all(&self) -> impl Iterator<Item = &T> {
        let rest = self.rest.iter().map(|stripe| &stripe.0);
        std::iter::once(&self.first.0).chain(rest)
    }

    /// Returns the sum of a number over all stripes.
    pub fn sum(&self, number: impl Fn(&T) -> u64) -> u64 {
        self.all().map(number).sum()
    }

    /// Returns what was counted in all stripes.
    pub fn read(&self, times: impl Fn(&T) -> Distribution) -> Distribution {
        self.all().map(times).sum()
    }
}

impl<T> fmt::Debug for Striped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Striped")
            .field("stripes", &(self.rest.len() + 1))
            .finish_non_exhaustive()
    }
}

/// How many threads have counted anything.
static THREADS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// This thread's number, of those that have counted anything.
    static THREAD: Cell<usize> = Cell::new(THREADS.fetch_add(1, Ordering::Relaxed));
}

#[cfg(test)]
mod tests {
    use super::*;

    closed! {
        /// Two.
        enum Side { Left = "left", Right = "right", }
    }

    #[test]
    fn what_threads_count_apart_is_summed() {
        let striped = Striped::<Each<Side, 2>>::default();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..1000).for_each(|_| striped.mine().tick(Side::Right)));
            }
        });
        assert_eq!(striped.sum(|each| each.get(Side::Right)), 8000);
        assert_eq!(striped.sum(|each| each.get(Side::Left)), 0);
    }

    #[test]
    fn stripes_share_no_line() {
        let one = Stripe::<Counter>::default();
        assert_eq!(std::mem::align_of_val(&one), 128);
    }
}
