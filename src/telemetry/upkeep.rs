//! Whether traces arrive: told when that changes, and at most once a minute.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::rpc::chain;

/// How long it is silent after it told something.
const SILENCE: Duration = Duration::from_secs(60);

/// How it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Whatever is exported arrives.
    Fine,
    /// The collector takes all that is sent, but more ends than can be sent.
    Full,
    /// The collector takes nothing.
    Away,
}

/// Keeps watch over what is sent.
#[derive(Debug)]
pub(super) struct Upkeep {
    /// Spans that were lost, for want of room or of a collector.
    dropped: Arc<AtomicU64>,
    /// How many had been lost when it was last looked.
    seen: u64,
    /// The last failure since it was last told.
    failure: Option<String>,
    /// Whether anything was sent since.
    sent: bool,
    told: State,
    told_at: Option<Instant>,
}

impl Upkeep {
    /// Begins, with all being fine.
    pub(super) fn new(dropped: Arc<AtomicU64>) -> Self {
        Self {
            dropped,
            seen: 0,
            failure: None,
            sent: false,
            told: State::Fine,
            told_at: None,
        }
    }

    /// Notes how a batch fared.
    pub(super) fn sent(&mut self, spans: usize, sent: Result<(), tonic::Status>) {
        match sent {
            Ok(()) => {
                self.sent = true;
                self.failure = None;
            }
            Err(status) => {
                self.sent = false;
                // What the collector says may repeat what it was sent, headers too; what
                // comes from this side does not.
                let source = std::error::Error::source(&status).map(chain::line);
                let source = source.map(|line| format!(": {line}")).unwrap_or_default();
                self.failure = Some(format!("{:?}{source}", status.code()));
                let spans = u64::try_from(spans).unwrap_or(u64::MAX);
                self.dropped.fetch_add(spans, Ordering::Relaxed);
            }
        }
    }

    /// Logs how it goes, if that changed.
    pub(super) fn tell(&mut self) {
        if let Some(state) = self.changed(Instant::now()) {
            let spans_dropped = self.dropped.load(Ordering::Relaxed);
            match state {
                State::Fine => tracing::info!(spans_dropped, "traces are sent again"),
                State::Full => tracing::warn!(
                    spans_dropped,
                    "more spans end than can be sent; some are lost"
                ),
                State::Away => tracing::warn!(
                    spans_dropped,
                    error.chain = self.failure.as_deref(),
                    "traces can't be sent and are lost"
                ),
            }
        }
    }

    /// Returns how it goes, if that is to be told.
    fn changed(&mut self, now: Instant) -> Option<State> {
        let dropped = self.dropped.load(Ordering::Relaxed);
        let lost = dropped > self.seen;
        self.seen = dropped;
        let state = match (&self.failure, lost) {
            (Some(_), _) => State::Away,
            (None, true) => State::Full,
            (None, false) if self.sent => State::Fine,
            // Nothing was sent, so nothing is known.
            (None, false) => return None,
        };
        let silent = self.told_at.is_some_and(|at| now < at + SILENCE);
        if state == self.told || silent {
            return None;
        }
        (self.told, self.told_at) = (state, Some(now));
        Some(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_that_comes_and_goes_is_told_of_once_a_minute() {
        let mut upkeep = Upkeep::new(Arc::default());
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        upkeep.sent(1, Ok(()));
        assert_eq!(upkeep.changed(at(0)), None, "it was fine before");
        let away = || Err(tonic::Status::unavailable("Bearer secret"));
        upkeep.sent(3, away());
        assert_eq!(upkeep.changed(at(1)), Some(State::Away));
        assert!(!upkeep.failure.clone().unwrap().contains("secret"));
        for second in 2..60 {
            upkeep.sent(1, if second % 2 == 0 { Ok(()) } else { away() });
            assert_eq!(upkeep.changed(at(second)), None);
        }
        upkeep.sent(1, away());
        assert_eq!(upkeep.changed(at(61)), None, "it is as it was told");
        upkeep.sent(1, Ok(()));
        assert_eq!(upkeep.changed(at(62)), Some(State::Fine));
        upkeep.sent(1, Ok(()));
        assert_eq!(upkeep.changed(at(200)), None);
        assert_eq!(upkeep.dropped.load(Ordering::Relaxed), 3 + 29 + 1);
    }

    #[test]
    fn spans_that_find_no_room_are_told_of() {
        let dropped = Arc::<AtomicU64>::default();
        let mut upkeep = Upkeep::new(Arc::clone(&dropped));
        dropped.store(7, Ordering::Relaxed);
        upkeep.sent(1, Ok(()));
        assert_eq!(upkeep.changed(Instant::now()), Some(State::Full));
        assert_eq!(upkeep.changed(Instant::now()), None);
    }
}
