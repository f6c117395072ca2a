//! Times and lengths of time as people write and read them.

use std::time::Duration;

use crate::domain::time::{Clock as _, SystemClock, Timestamp};

/// A time that somebody gave: an instant, or how far it is from now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// An instant.
    At(prost_types::Timestamp),
    /// So long before or after now, whichever the flag means.
    FromNow(Duration),
}

impl Moment {
    /// Returns the length, where it is one.
    pub(super) fn length(self) -> Option<Duration> {
        match self {
            Self::At(_) => None,
            Self::FromNow(length) => Some(length),
        }
    }

    /// Returns the instant, a length being one that has passed.
    pub(super) fn before_now(self) -> prost_types::Timestamp {
        self.counted(Timestamp::saturating_sub)
    }

    /// Returns the instant, a length being one to come.
    pub(super) fn after_now(self) -> prost_types::Timestamp {
        self.counted(Timestamp::saturating_add)
    }

    fn counted(self, count: fn(Timestamp, Duration) -> Timestamp) -> prost_types::Timestamp {
        match self {
            Self::At(at) => at,
            Self::FromNow(length) => {
                let (seconds, nanos) = count(SystemClock.now(), length).parts();
                prost_types::Timestamp { seconds, nanos }
            }
        }
    }
}

/// Parses an instant as RFC 3339 writes it.
pub(super) fn instant(text: &str) -> Result<prost_types::Timestamp, String> {
    text.parse()
        .map_err(|_| String::from("not a time such as 2026-12-31T00:00:00Z"))
}

/// Parses an instant, or a length such as `30d`.
pub(super) fn moment(text: &str) -> Result<Moment, String> {
    if let Ok(at) = instant(text) {
        return Ok(Moment::At(at));
    }
    humantime::parse_duration(text)
        .map(Moment::FromNow)
        .map_err(|_| {
            String::from("neither a time such as 2026-12-31T00:00:00Z nor a length such as 30d")
        })
}

/// Parses a length such as `90d` or `1h 30m`.
pub(super) fn length(text: &str) -> Result<prost_types::Duration, String> {
    let length = humantime::parse_duration(text)
        .map_err(|error| format!("not a length such as 90d or 1h30m ({error})"))?;
    prost_types::Duration::try_from(length).map_err(|_| String::from("too long"))
}

/// How long is waited for an answer, at most.
const LONGEST: Duration = Duration::from_secs(86_400);

/// Parses a length of this program's own, more than none.
pub(super) fn wait(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(Duration::ZERO) => Err(String::from("must be more than none")),
        Ok(length) if length > LONGEST => Err(String::from("must be a day or less")),
        Ok(length) => Ok(length),
        Err(error) => Err(format!("not a length such as 30s ({error})")),
    }
}

/// Returns an instant in UTC and whole seconds, `-` where there is none.
pub(super) fn said(at: Option<&prost_types::Timestamp>) -> String {
    at.map_or_else(
        || String::from("-"),
        |at| {
            let (seconds, nanos) = (at.seconds, 0);
            prost_types::Timestamp { seconds, nanos }.to_string()
        },
    )
}

/// The units that a length is written in, the longest first. A month has no length of
/// its own, and what is written is read back.
const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3600, "h"), (60, "m"), (1, "s")];

/// Returns a length as [`length`] reads it back, to the millisecond.
pub(super) fn written(length: &prost_types::Duration) -> String {
    // No server of ours gives another.
    let (Ok(seconds), Ok(nanos @ 0..1_000_000_000)) =
        (u64::try_from(length.seconds), u32::try_from(length.nanos))
    else {
        return String::from("no length");
    };
    let length = Duration::new(seconds, nanos);
    let mut seconds = length.as_secs();
    let mut parts = Vec::new();
    for (long, unit) in UNITS {
        if seconds >= long {
            parts.push(format!("{}{unit}", seconds / long));
            seconds %= long;
        }
    }
    if length.subsec_millis() > 0 {
        parts.push(format!("{}ms", length.subsec_millis()));
    }
    if parts.is_empty() {
        return String::from("0s");
    }
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_instant_is_read_and_said_in_utc_and_seconds() {
        let at = instant("2026-01-01T01:30:00.75+01:00").unwrap();
        assert_eq!(said(Some(&at)), "2026-01-01T00:30:00Z");
        assert_eq!(said(None), "-");
        assert!(instant("tomorrow").is_err());
    }

    #[test]
    fn a_length_is_read_with_its_units() {
        let seconds = |text| length(text).map(|length| length.seconds);
        assert_eq!(seconds("90d"), Ok(90 * 86_400));
        assert_eq!(seconds("1h 30m"), Ok(5400));
        assert_eq!(seconds("0s"), Ok(0));
        for wrong in ["90", "-1d", "soon", ""] {
            assert!(length(wrong).is_err(), "{wrong:?}");
        }
        assert_eq!(wait("0s"), Err("must be more than none".to_owned()));
        assert_eq!(wait("12000y"), Err("must be a day or less".to_owned()));
        for (seconds, nanos) in [(i64::MAX, i32::MAX), (i64::MIN, i32::MIN), (0, -1)] {
            let wild = prost_types::Duration { seconds, nanos };
            assert_eq!(written(&wild), "no length");
        }
        let day = prost_types::Duration {
            seconds: 90_000,
            nanos: 0,
        };
        assert_eq!(written(&day), "1d 1h");
    }

    #[test]
    fn a_length_is_written_in_the_units_that_people_use() {
        for (text, shown) in [
            ("90d", "90d"),
            ("36h", "1d 12h"),
            ("90s", "1m 30s"),
            ("0s", "0s"),
            ("1500ms", "1s 500ms"),
        ] {
            assert_eq!(written(&length(text).unwrap()), shown);
        }
    }

    proptest! {
        #[test]
        fn a_length_that_is_written_is_read_back(millis in 0u64..400_000_000_000) {
            let wire = prost_types::Duration::try_from(Duration::from_millis(millis)).unwrap();
            prop_assert_eq!(length(&written(&wire)), Ok(wire));
        }
    }

    #[test]
    fn a_moment_is_an_instant_or_counted_from_now() {
        let at = "2026-01-01T00:00:00Z";
        assert_eq!(moment(at), Ok(Moment::At(instant(at).unwrap())));
        let day = moment("1d").unwrap();
        assert_eq!(
            day.after_now().seconds - day.before_now().seconds,
            2 * 86_400
        );
        assert!(moment("soon").is_err());
    }
}
