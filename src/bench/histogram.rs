//! How long calls took, in buckets of which none is wider than 1/64 of what falls into it.

use std::time::Duration;

/// Buckets of each power of two.
const PARTS: u64 = 64;
const PARTS_BITS: u32 = 6;

/// Counts of lengths of time.
#[derive(Clone, Debug, Default)]
pub(super) struct Histogram {
    counts: Vec<u64>,
    all: u64,
    longest: u64,
}

impl Histogram {
    /// Adds one.
    pub(super) fn add(&mut self, taken: Duration) {
        let nanos = u64::try_from(taken.as_nanos()).unwrap_or(u64::MAX);
        let bucket = bucket(nanos);
        if self.counts.len() <= bucket {
            self.counts.resize(bucket + 1, 0);
        }
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
        }
        self.all += 1;
        self.longest = self.longest.max(nanos);
    }

    /// Adds what another has counted.
    pub(super) fn merge(&mut self, other: &Self) {
        if self.counts.len() < other.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.all += other.all;
        self.longest = self.longest.max(other.longest);
    }

    /// Returns how long those took at most that are, of a thousand, the first so many.
    pub(super) fn permille(&self, of_thousand: u64) -> Duration {
        let wanted = (self.all.saturating_mul(of_thousand)).div_ceil(1000).max(1);
        let mut counted = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            counted += count;
            if counted >= wanted {
                return Duration::from_nanos(upper(bucket).min(self.longest));
            }
        }
        Duration::from_nanos(self.longest)
    }

    /// Returns how long the longest took.
    pub(super) fn longest(&self) -> Duration {
        Duration::from_nanos(self.longest)
    }
}

/// Returns the bucket of a number.
fn bucket(nanos: u64) -> usize {
    let bits = u64::BITS - nanos.leading_zeros();
    // Numbers below 2 * PARTS have a bucket each.
    let shift = bits.saturating_sub(PARTS_BITS + 1);
    let bucket = u64::from(shift) * PARTS + (nanos >> shift);
    usize::try_from(bucket).unwrap_or(usize::MAX)
}

/// Returns the largest number of a bucket.
fn upper(bucket: usize) -> u64 {
    let bucket = u64::try_from(bucket).unwrap_or(u64::MAX);
    let shift = (bucket / PARTS).saturating_sub(1);
    let part = bucket - shift * PARTS;
    ((part + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_in_a_bucket_that_is_narrow_and_the_buckets_are_in_order() {
        let mut last = 0;
        for power in 0..60 {
            for step in [0, 1, 3, 7] {
                let nanos = (1u64 << power) + (1u64 << power) / 8 * step;
                let at = bucket(nanos);
                assert!(at >= last || step == 0, "{nanos}");
                last = at;
                let upper = upper(at);
                assert!(upper >= nanos, "{nanos} is above {upper}");
                assert!(upper - nanos <= nanos / 64, "{nanos} is far below {upper}");
                assert_ne!(bucket(upper + 1), at, "{nanos}");
            }
        }
    }

    #[test]
    fn permilles_are_those_of_all_that_was_added() {
        let mut one = Histogram::default();
        let mut other = Histogram::default();
        for micros in 1..=1000 {
            let half = if micros % 2 == 0 {
                &mut one
            } else {
                &mut other
            };
            half.add(Duration::from_micros(micros));
        }
        one.merge(&other);
        for permille in [1, 500, 990, 999] {
            let found = one.permille(permille).as_secs_f64() * 1e6;
            let expected = f64::from(u32::try_from(permille).unwrap());
            assert!(
                (0.999..1.02).contains(&(found / expected)),
                "{permille}: {found}"
            );
        }
        assert_eq!(one.permille(1000), Duration::from_millis(1));
        assert_eq!(one.longest(), Duration::from_millis(1));
        assert_eq!(Histogram::default().permille(990), Duration::ZERO);
    }
}
