//! What a server does beside its calls, again and again until it stops; logs what
//! changes, not what stays. A new chore is a variant of `Chore`.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::authority::sweeper::Retention;
use crate::authority::{Authority, Error};
use crate::domain::time::Timestamp;
use crate::rpc::chain;
use crate::tally::{Closed, Counter, Each, closed};

/// When each chore is done.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// Reading the keyring again.
    pub reload_keyring: Duration,
    /// Writing the uses of tokens.
    pub flush_usage: Duration,
    /// Counting tokens for metrics.
    pub take_census: Duration,
    /// Removing what is past its retention, and how long that is.
    pub retention: Retention,
}

/// How soon after one turn the next begins, at the earliest: what wants it sooner may
/// be what keeps failing.
const PAUSE: Duration = Duration::from_secs(1);

closed! {
    /// Something to be done again and again, by the name that the log has for it.
    pub enum Chore {
        /// Reading the keyring again.
        ReloadKeyring = "reload keyring",
        /// Writing the uses of tokens.
        FlushUsage = "flush usage",
        /// Counting tokens for metrics.
        TakeCensus = "take census",
        /// Removing what is past its retention.
        Sweep = "sweep",
    }
}

/// How the chores went, for metrics.
#[derive(Debug, Default)]
pub struct Ledger(Each<Chore, { Chore::COUNT }, Turns>);

/// How the turns of one chore went.
#[derive(Debug, Default)]
struct Turns {
    /// When the last one that went well ended, in milliseconds since the epoch; zero
    /// before.
    done_at: AtomicI64,
    failed: Counter,
}

impl Ledger {
    fn note(&self, chore: Chore, done: bool, now: Timestamp) {
        let Some(turns) = self.0.of(chore) else {
            return;
        };
        if done {
            turns.done_at.fetch_max(now.millis(), Ordering::Relaxed);
        } else {
            turns.failed.add(1);
        }
    }

    /// Returns when a chore was last done, if it ever was.
    pub fn done_at(&self, chore: Chore) -> Option<Timestamp> {
        let millis = self.0.of(chore)?.done_at.load(Ordering::Relaxed);
        Timestamp::from_millis(millis).filter(|_| millis > 0)
    }

    /// Returns how many times a chore failed.
    pub fn failed(&self, chore: Chore) -> u64 {
        self.0.of(chore).map_or(0, |turns| turns.failed.get())
    }
}

impl Chore {
    fn period(self, schedule: Schedule) -> Duration {
        match self {
            Self::ReloadKeyring => schedule.reload_keyring,
            Self::FlushUsage => schedule.flush_usage,
            Self::TakeCensus => schedule.take_census,
            // Whether it is due is for the store to say, which all replicas ask.
            Self::Sweep => (schedule.retention.period / 10).max(PAUSE),
        }
    }

    /// Resolves when it should be done before its time.
    async fn wanted(self, authority: &Authority) {
        match self {
            Self::ReloadKeyring | Self::TakeCensus | Self::Sweep => std::future::pending().await,
            Self::FlushUsage => authority.flush_wanted().await,
        }
    }

    async fn turn(self, authority: &Authority, schedule: Schedule) -> Result<(), Error> {
        match self {
            Self::ReloadKeyring => authority.reload_keyring().await,
            Self::FlushUsage => authority.flush_usage().await,
            Self::TakeCensus => authority.take_census().await.map(drop),
            Self::Sweep => authority.sweep(schedule.retention).await.map(drop),
        }
    }

    /// Does it again and again; a turn that has begun is finished.
    async fn keep_at(
        self,
        authority: Arc<Authority>,
        schedule: Schedule,
        ledger: Arc<Ledger>,
        stop: CancellationToken,
    ) {
        let period = self.period(schedule);
        let mut condition = Condition::default();
        // Not only a whole period after the start: metrics say nothing before.
        let mut next = match self {
            Self::TakeCensus => period / 60,
            Self::ReloadKeyring | Self::FlushUsage | Self::Sweep => period,
        };
        loop {
            let sooner = async {
                sleep(PAUSE).await;
                self.wanted(&authority).await;
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(next) => {}
                () = sooner => {}
            }
            let outcome = self.turn(&authority, schedule).await;
            ledger.note(self, outcome.is_ok(), authority.now());
            condition.tell(self.name(), outcome.err().as_ref());
            next = period;
        }
    }
}

/// All chores of a server. Dropped, they end where they are.
#[derive(Debug)]
pub struct Housekeeping {
    chores: JoinSet<()>,
    stop: CancellationToken,
}

impl Housekeeping {
    /// Begins; how it goes is noted in the ledger.
    pub fn start(authority: &Arc<Authority>, schedule: Schedule, ledger: &Arc<Ledger>) -> Self {
        let stop = CancellationToken::new();
        let mut chores = JoinSet::new();
        for chore in Chore::all() {
            let (authority, ledger) = (Arc::clone(authority), Arc::clone(ledger));
            chores.spawn(chore.keep_at(authority, schedule, ledger, stop.clone()));
        }
        Self { chores, stop }
    }

    /// Resolves when a chore ends, which none should.
    pub async fn died(&mut self) {
        self.chores.join_next().await;
    }

    /// Ends, once the turns that have begun are done, or at that time.
    pub async fn stop(mut self, until: Instant) {
        self.stop.cancel();
        let done = async { while self.chores.join_next().await.is_some() {} };
        // What takes longer ends where it is.
        let _ = timeout_at(until, done).await;
    }
}

/// What was wrong when something was last done, if anything was.
#[derive(Debug, Default)]
pub(crate) struct Condition(Option<String>);

impl Condition {
    /// Logs how it went this time, if it went otherwise than the last time.
    pub(crate) fn tell(&mut self, chore: &'static str, error: Option<&Error>) {
        if !self.turns(error.map(|error| chain::line(error))) {
            return;
        }
        if let Some(line) = &self.0 {
            tracing::warn!(chore, error.chain = line, "housekeeping fails");
        } else {
            tracing::info!(chore, "housekeeping works again");
        }
    }

    /// Notes what is wrong; returns whether that is news.
    fn turns(&mut self, problem: Option<String>) -> bool {
        let news = self.0 != problem;
        self.0 = problem;
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_keeps_the_last_success_and_counts_failures() {
        let ledger = Ledger::default();
        let at = |millis| Timestamp::from_millis(millis).unwrap();
        assert_eq!(ledger.done_at(Chore::Sweep), None);
        ledger.note(Chore::Sweep, true, at(5));
        ledger.note(Chore::Sweep, false, at(6));
        assert_eq!(ledger.done_at(Chore::Sweep), Some(at(5)));
        assert_eq!(ledger.failed(Chore::Sweep), 1);
        assert_eq!(ledger.done_at(Chore::FlushUsage), None);
        assert_eq!(ledger.failed(Chore::FlushUsage), 0);
    }

    #[test]
    fn what_stays_is_no_news() {
        let mut condition = Condition::default();
        let away = || Some(String::from("away"));
        let news = [
            None,
            away(),
            away(),
            Some(String::from("broken")),
            None,
            None,
            away(),
        ]
        .map(|problem| condition.turns(problem));
        assert_eq!(news, [false, true, false, true, true, false, true]);
    }
}
