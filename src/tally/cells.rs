//! What is counted in: numbers that grow, and how they are spread.

use std::iter::Sum;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds to it.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// Returns it.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A bucket's upper bound, and how it is written.
pub type Bound = (u64, &'static str);

/// The bounds of times, in nanoseconds, written in seconds.
const TIMES: [Bound; 17] = [
    (50_000, "5e-05"),
    (100_000, "0.0001"),
    (250_000, "0.00025"),
    (500_000, "0.0005"),
    (1_000_000, "0.001"),
    (2_500_000, "0.0025"),
    (5_000_000, "0.005"),
    (10_000_000, "0.01"),
    (25_000_000, "0.025"),
    (50_000_000, "0.05"),
    (100_000_000, "0.1"),
    (250_000_000, "0.25"),
    (500_000_000, "0.5"),
    (1_000_000_000, "1.0"),
    (2_500_000_000, "2.5"),
    (5_000_000_000, "5.0"),
    (10_000_000_000, "10.0"),
];

/// The bounds of how many there are in a batch.
const SIZES: [Bound; 7] = [
    (1, "1.0"),
    (2, "2.0"),
    (5, "5.0"),
    (10, "10.0"),
    (20, "20.0"),
    (50, "50.0"),
    (100, "100.0"),
];

/// How numbers are spread over buckets.
#[derive(Debug)]
pub struct Histogram<const N: usize> {
    bounds: &'static [Bound; N],
    within: [Counter; N],
    beyond: Counter,
    sum: Counter,
}

impl<const N: usize> Histogram<N> {
    fn new(bounds: &'static [Bound; N]) -> Self {
        Self {
            bounds,
            within: std::array::from_fn(|_| Counter::default()),
            beyond: Counter::default(),
            sum: Counter::default(),
        }
    }

    fn observe(&self, number: u64) {
        let mut cells = self.bounds.iter().zip(&self.within);
        let cell = cells.find(|((bound, _), _)| number <= *bound);
        cell.map_or(&self.beyond, |(_, cell)| cell).add(1);
        self.sum.add(number);
    }

    fn read(&self, per_unit: f64) -> Distribution {
        Distribution {
            bounds: self.bounds,
            within: self.within.iter().map(Counter::get).collect(),
            beyond: self.beyond.get(),
            sum: self.sum.get(),
            per_unit,
        }
    }
}

/// How long something took, each time.
#[derive(Debug)]
pub struct Times(Histogram<17>);

impl Default for Times {
    fn default() -> Self {
        Self(Histogram::new(&TIMES))
    }
}

impl Times {
    /// Counts one.
    pub fn observe(&self, took: Duration) {
        // What overflows took five hundred years.
        self.0
            .observe(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Returns what was counted.
    pub fn read(&self) -> Distribution {
        self.0.read(1e9)
    }
}

/// How many there were, each time.
#[derive(Debug)]
pub struct Sizes(Histogram<7>);

impl Default for Sizes {
    fn default() -> Self {
        Self(Histogram::new(&SIZES))
    }
}

impl Sizes {
    /// Counts one.
    pub fn observe(&self, size: usize) {
        self.0.observe(u64::try_from(size).unwrap_or(u64::MAX));
    }

    /// Returns what was counted.
    pub fn read(&self) -> Distribution {
        self.0.read(1.0)
    }
}

/// What a histogram has counted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Distribution {
    bounds: &'static [Bound],
    within: Vec<u64>,
    beyond: u64,
    sum: u64,
    /// How many of what is summed make one of the unit.
    per_unit: f64,
}

impl Distribution {
    /// Returns for each bucket how its bound is written and how many there were up to it.
    pub fn buckets(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let mut total = 0;
        self.bounds
            .iter()
            .zip(&self.within)
            .map(move |((_, text), within)| {
                total += within;
                (*text, total)
            })
    }

    /// Returns how many there were.
    pub fn count(&self) -> u64 {
        self.within.iter().sum::<u64>() + self.beyond
    }

    /// Returns the sum of all, in the unit in which bounds are written.
    #[expect(clippy::cast_precision_loss, reason = "a sum is read with 15 digits")]
    pub fn sum(&self) -> f64 {
        self.sum as f64 / self.per_unit.max(1.0)
    }
}

impl Sum for Distribution {
    fn sum<I: Iterator<Item = Self>>(mut iter: I) -> Self {
        let first = iter.next().unwrap_or_default();
        iter.fold(first, |mut sum, next| {
            for (total, more) in sum.within.iter_mut().zip(next.within) {
                *total += more;
            }
            sum.beyond += next.beyond;
            sum.sum += next.sum;
            sum
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_at_a_bound_is_within_it() {
        let times = Times::default();
        for nanos in [0, 50_000, 50_001, 10_000_000_000, 10_000_000_001] {
            times.observe(Duration::from_nanos(nanos));
        }
        let read = times.read();
        let buckets: Vec<_> = read.buckets().collect();
        assert_eq!(buckets.first(), Some(&("5e-05", 2)));
        assert_eq!(buckets.get(1), Some(&("0.0001", 3)));
        assert_eq!(buckets.last(), Some(&("10.0", 4)));
        assert_eq!(read.count(), 5);
        assert!((read.sum() - 20.000_100_002).abs() < 1e-9);
        let twice: Distribution = [read.clone(), times.read()].into_iter().sum();
        assert_eq!(twice.count(), 10);
        assert_eq!(twice.buckets().last(), Some(("10.0", 8)));
    }

    #[test]
    #[expect(clippy::cast_precision_loss, reason = "the bounds are short")]
    fn bounds_rise_and_are_written_as_what_they_are() {
        for (bounds, per_unit) in [(TIMES.as_slice(), 1e9), (SIZES.as_slice(), 1.0)] {
            assert!(bounds.is_sorted_by(|a, b| a.0 < b.0));
            for (bound, text) in bounds {
                let written: f64 = text.parse().unwrap();
                let exact = *bound as f64 / per_unit;
                assert!((written - exact).abs() <= exact * 1e-9, "{text}");
            }
        }
    }
}
