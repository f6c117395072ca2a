//! For how long this process may take it that no other changes what it has in memory.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;

/// How often it is asked whether the database is still held alone.
pub(super) const BEAT: Duration = Duration::from_secs(1);
/// For how long that holds. A process that comes after one which did not take its leave
/// waits as long before it changes anything.
pub const LASTS: Duration = Duration::from_secs(3);

/// A hold of the database, and until when it is sure.
#[derive(Debug)]
pub(super) struct Lease<H> {
    /// Nothing where it was lost, and is to be had anew.
    pub(super) hold: Mutex<Option<H>>,
    /// Whether it was given up for good.
    given_up: AtomicBool,
    /// In milliseconds of [`since_boot`]; at the end of time where nobody can take it away.
    until: AtomicU64,
}

impl<H> Lease<H> {
    /// Returns one that lasts as long as the process, or to its next beat.
    pub(super) fn new(hold: H, may_end: bool, begun: Duration) -> Self {
        let lease = Self {
            hold: Mutex::new(Some(hold)),
            given_up: AtomicBool::new(false),
            until: AtomicU64::new(u64::MAX),
        };
        if may_end {
            lease.renew(begun);
        }
        lease
    }

    /// Returns whether it may ever end.
    pub(super) fn may_end(&self) -> bool {
        self.until.load(Ordering::Acquire) != u64::MAX
    }

    /// Returns whether it lasts now.
    pub(super) fn lasts(&self) -> bool {
        let until = self.until.load(Ordering::Acquire);
        let lasts = until == u64::MAX || millis(since_boot()) < until;
        lasts && !self.is_given_up()
    }

    /// Lets it last from when it was asked for.
    pub(super) fn renew(&self, asked: Duration) {
        self.until.store(millis(asked + LASTS), Ordering::Release);
    }

    /// Ends it for good.
    pub(super) fn give_up(&self) {
        self.given_up.store(true, Ordering::Release);
    }

    /// Returns whether it was given up.
    pub(super) fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::Acquire)
    }

    /// Ends it.
    pub(super) fn end(&self) {
        self.until.store(0, Ordering::Release);
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX - 1)
}

/// Returns how long ago the system started, also while it was suspended: a process that
/// sleeps with it wakes up without a lease.
pub(super) fn since_boot() -> Duration {
    #[cfg(target_os = "linux")]
    let clock = rustix::time::ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    let clock = rustix::time::ClockId::Monotonic;
    let now = rustix::time::clock_gettime(clock);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(now.tv_nsec).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_lasts_from_when_it_was_asked_for() {
        let lease = Lease::new((), true, since_boot());
        assert!(lease.lasts() && lease.may_end());
        lease.renew(since_boot().saturating_sub(LASTS));
        assert!(!lease.lasts());
        lease.renew(since_boot());
        assert!(lease.lasts());
        lease.end();
        assert!(!lease.lasts());
        let for_ever = Lease::new((), false, Duration::ZERO);
        assert!(for_ever.lasts() && !for_ever.may_end());
        for_ever.give_up();
        assert!(!for_ever.lasts());
    }
}
