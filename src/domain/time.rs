//! Instants, as whole milliseconds, and the one place that reads the wall clock.

use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// An instant, in whole milliseconds since the Unix epoch, between the years
/// 1970 and 9999: what both databases keep and give back unchanged.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct Timestamp(i64);

/// 9999-12-31T23:59:59.999Z, the last instant of RFC 3339 and protobuf.
const LAST_MILLIS: i64 = 253_402_300_799_999;

impl Timestamp {
    /// The last instant there is.
    pub const MAX: Self = Self(LAST_MILLIS);

    /// Returns the instant so many milliseconds after the epoch, or `None` out of
    /// bounds.
    pub fn from_millis(millis: i64) -> Option<Self> {
        (0..=LAST_MILLIS).contains(&millis).then_some(Self(millis))
    }

    /// Returns the instant given in seconds and nanoseconds, truncated to
    /// milliseconds, or `None` out of bounds.
    pub fn from_parts(seconds: i64, nanos: i32) -> Option<Self> {
        if !(0..1_000_000_000).contains(&nanos) {
            return None;
        }
        let millis = seconds
            .checked_mul(1000)?
            .checked_add(i64::from(nanos / 1_000_000))?;
        Self::from_millis(millis)
    }

    /// Returns the milliseconds since the epoch.
    pub fn millis(self) -> i64 {
        self.0
    }

    /// Returns the whole seconds since the epoch and the nanoseconds beyond them.
    pub fn parts(self) -> (i64, i32) {
        let nanos = i32::try_from(self.0 % 1000).unwrap_or(0) * 1_000_000;
        (self.0 / 1000, nanos)
    }

    /// Returns the instant that much later, at most [`Timestamp::MAX`].
    #[must_use]
    pub fn saturating_add(self, duration: Duration) -> Self {
        let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(millis).min(LAST_MILLIS))
    }

    /// Returns the instant that much earlier, at least the epoch.
    #[must_use]
    pub fn saturating_sub(self, duration: Duration) -> Self {
        let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self(self.0.saturating_sub(millis).max(0))
    }

    /// Returns how long after `earlier` this is, zero when it is not.
    pub fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// The milliseconds are of no year between 1970 and 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("out of the bounds of an instant")]
pub struct OutOfBounds;

impl TryFrom<i64> for Timestamp {
    type Error = OutOfBounds;

    fn try_from(millis: i64) -> Result<Self, OutOfBounds> {
        Self::from_millis(millis).ok_or(OutOfBounds)
    }
}

impl From<Timestamp> for i64 {
    fn from(at: Timestamp) -> Self {
        at.0
    }
}

/// As RFC 3339 writes it, in UTC.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, nanos) = self.parts();
        prost_types::Timestamp { seconds, nanos }.fmt(f)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Timestamp({}ms)", self.0)
    }
}

/// Tells the time. Read once per call, in `authority`, and passed down by value.
pub trait Clock: fmt::Debug + Send + Sync {
    /// Returns the present instant.
    fn now(&self) -> Timestamp;
}

/// The operating system's wall clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the wall clock"
    )]
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Timestamp(0).saturating_add(since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_truncate_to_milliseconds_and_come_back() {
        let at = Timestamp::from_parts(1_700_000_000, 123_999_999).unwrap();
        assert_eq!(at.millis(), 1_700_000_000_123);
        assert_eq!(at.parts(), (1_700_000_000, 123_000_000));
    }

    #[test]
    fn out_of_bounds_is_none() {
        assert_eq!(Timestamp::from_parts(-1, 0), None);
        assert_eq!(Timestamp::from_parts(0, -1), None);
        assert_eq!(Timestamp::from_parts(0, 1_000_000_000), None);
        assert_eq!(Timestamp::from_parts(i64::MAX, 0), None);
        assert_eq!(Timestamp::from_millis(LAST_MILLIS + 1), None);
        assert_eq!(Timestamp::MAX.saturating_add(Duration::MAX), Timestamp::MAX);
        assert_eq!(Timestamp::MAX.saturating_sub(Duration::MAX), Timestamp(0));
    }
}
