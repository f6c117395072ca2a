//! Until when a call may take: the caller's `grpc-timeout`, within our bounds.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep};
use tonic::Status;
use tonic::body::Body;

use super::RequestId;
use crate::authority::Error;
use crate::rpc::Limits;
use crate::rpc::status::status;

/// The header in which a caller says how long it waits.
pub(super) const HEADER: HeaderName = HeaderName::from_static("grpc-timeout");
/// How long before the caller's deadline ours is: so that our answer is there in time.
/// Timers tick in milliseconds.
const MARGIN: Duration = Duration::from_millis(2);

/// The instant at which the caller stops waiting, or we do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(pub Instant);

impl Deadline {
    /// Returns the deadline of a call that came just now; `None` for a stream that
    /// is meant to stay and whose caller gave none.
    pub(super) fn of(headers: &HeaderMap, stays: bool, limits: &Limits) -> Option<Self> {
        let given = headers
            .get(HEADER)
            .and_then(|value| parse(value.as_bytes()));
        let timeout = match given {
            Some(timeout) => timeout.saturating_sub(MARGIN).min(limits.deadline_max),
            None if stays => return None,
            None => limits.deadline_default,
        };
        Some(Self(Instant::now() + timeout))
    }

    /// Returns whether it has passed.
    pub fn has_passed(self) -> bool {
        Instant::now() >= self.0
    }
}

/// Returns whether a caller who says so waits long enough for what takes so long.
pub(super) fn is_ample(timeout: &HeaderValue, took: Duration) -> bool {
    parse(timeout.as_bytes()).is_none_or(|timeout| timeout > MARGIN + took)
}

/// Parses 1 to 8 digits and a unit, as the gRPC specification has them; `None` for
/// anything else.
fn parse(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if !(1..=8).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = std::str::from_utf8(digits).ok()?.parse().ok()?;
    match unit {
        b'H' => Some(Duration::from_secs(number * 60 * 60)),
        b'M' => Some(Duration::from_secs(number * 60)),
        b'S' => Some(Duration::from_secs(number)),
        b'm' => Some(Duration::from_millis(number)),
        b'u' => Some(Duration::from_micros(number)),
        b'n' => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

/// A request's body that ends in a failure when the deadline passes before it has
/// been read. A mutation is not cut, so without this a caller who never finishes
/// its request would hold the call for ever; before the request is whole, nothing
/// has begun.
pub(super) struct Bounded {
    body: Body,
    sleep: Pin<Box<Sleep>>,
    request_id: RequestId,
}

impl Bounded {
    /// Bounds a body.
    pub(super) fn new(body: Body, deadline: Deadline, request_id: RequestId) -> Self {
        Self {
            body,
            sleep: Box::pin(tokio::time::sleep_until(deadline.0)),
            request_id,
        }
    }
}

impl http_body::Body for Bounded {
    type Data = <Body as http_body::Body>::Data;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Status>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            return Poll::Ready(frame);
        }
        self.sleep
            .as_mut()
            .poll(cx)
            .map(|()| Some(Err(status(&Error::DeadlineExceeded, &self.request_id))))
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::bounds;
    use http::HeaderValue;
    use proptest::prelude::*;

    /// Returns how long a call with this header may take.
    fn timeout(given: Option<&'static str>, stays: bool) -> Option<Duration> {
        let headers = given.map(|text| (HEADER, HeaderValue::from_static(text)));
        let (began, limits) = (Instant::now(), Limits::default());
        Deadline::of(&headers.into_iter().collect(), stays, &limits)
            .map(|deadline| deadline.0 - began)
    }

    #[tokio::test(start_paused = true)]
    async fn a_callers_timeout_is_taken_within_bounds() {
        for (given, expected) in [
            ("5S", Duration::from_secs(5)),
            ("1M", Duration::from_secs(60)),
            ("250m", Duration::from_millis(250)),
            ("99u", Duration::from_micros(99)),
            ("0n", Duration::ZERO),
            ("120S", bounds::DEADLINE_MAX),
            ("121S", bounds::DEADLINE_MAX + MARGIN),
            ("99999999H", bounds::DEADLINE_MAX + MARGIN),
        ] {
            let ours = expected.saturating_sub(MARGIN);
            assert_eq!(timeout(Some(given), false), Some(ours), "{given}");
            assert_eq!(timeout(Some(given), true), Some(ours), "{given}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_bounds_are_those_that_were_set() {
        let limits = Limits {
            deadline_default: Duration::from_secs(3),
            deadline_max: Duration::from_secs(7),
            ..Limits::default()
        };
        for (given, expected) in [(None, 3), (Some("5S"), 5), (Some("8S"), 7)] {
            let header = given.map(|text| (HEADER, HeaderValue::from_static(text)));
            let began = Instant::now();
            let deadline = Deadline::of(&header.into_iter().collect(), false, &limits).unwrap();
            let left = deadline.0 - began;
            let expected = Duration::from_secs(expected);
            assert!(left <= expected && left + MARGIN >= expected, "{given:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_good_timeout_the_default_holds_but_for_streams_that_stay() {
        for given in [
            None,
            Some(""),
            Some("S"),
            Some("5"),
            Some("5s"),
            Some("+5S"),
            Some("-5S"),
            Some("5 S"),
            Some("123456789S"),
        ] {
            assert_eq!(
                timeout(given, false),
                Some(bounds::DEADLINE_DEFAULT),
                "{given:?}"
            );
            assert_eq!(timeout(given, true), None, "{given:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_without_a_panic(bytes: Vec<u8>) {
            let _ = parse(&bytes);
        }

        #[test]
        fn every_number_of_eight_digits_is_a_timeout(number in 0u32..100_000_000, unit in "[HMSmun]") {
            let text = format!("{number}{unit}");
            prop_assert!(parse(text.as_bytes()).is_some());
        }
    }
}
