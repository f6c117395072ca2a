//! The load: connections that ask as fast as they are answered, or at a rate, whatever
//! comes back; how long each call took, counted from when it was to begin.

mod worker;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use self::worker::Worker;
use super::histogram::Histogram;
use super::questions::{Questions, Wrong};
use super::wire::WireError;

/// How long calls that are under way at the end may take.
const LAST: Duration = Duration::from_secs(20);
/// The longest that a connection says nothing while it is waited for.
const PATIENCE: Duration = Duration::from_millis(100);

/// When calls begin.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Pace {
    /// As soon as one before it has ended.
    Closed,
    /// So many a second, evenly, whatever comes back.
    Open(f64),
}

/// Which tokens are asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Any, each as likely.
    Random,
    /// Each once, and that is all.
    Once,
}

/// What load there is to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    /// Connections.
    pub(super) connections: usize,
    /// Calls at once on each.
    pub(super) streams: usize,
    /// Threads that make them.
    pub(super) threads: usize,
    /// When calls begin.
    pub(super) pace: Pace,
    /// Which tokens are asked about.
    pub(super) order: Order,
    /// Tokens in a call; 1 is a call of Introspect.
    pub(super) batch: u32,
    /// Of 1,000 calls, how many are of values that are none.
    pub(super) bad_permille: u32,
    /// How long before anything is counted.
    pub(super) warm_up: Duration,
    /// How long is counted; where each token is asked about once, it takes what it takes.
    pub(super) duration: Duration,
}

/// Whom to ask.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// Where it is.
    pub(super) address: SocketAddr,
    /// What the caller bears.
    pub(super) authorization: Option<String>,
    /// Whether it answers of the first token, whatever it is asked: the no-op.
    pub(super) is_noop: bool,
}

/// What came of a load.
#[derive(Clone, Debug, Default)]
pub(super) struct Outcome {
    /// Calls that were counted.
    pub(super) calls: u64,
    /// Answers in them.
    pub(super) answers: u64,
    /// How long that took.
    pub(super) elapsed: Duration,
    /// How long calls took, of values that tokens have.
    pub(super) good: Histogram,
    /// How long calls took, of values that are none.
    pub(super) bad: Histogram,
}

/// The load could not be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoadError {
    /// An answer was wrong.
    #[error(transparent)]
    Wrong(#[from] Wrong),
    /// A connection ended, or a call did without an answer.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The system did not do what it was asked.
    #[error("can't ask the server: {0}")]
    Io(#[from] io::Error),
    /// A thread ended early.
    #[error("a thread that asks ended early")]
    Died,
    /// Calls were still unanswered long after the end.
    #[error("calls were unanswered {} s after the end", LAST.as_secs())]
    Late,
}

/// Makes the load; returns what came of it. `sample` is called when counting begins and
/// when it ends.
pub(super) fn run<T>(
    plan: &Plan,
    target: &Target,
    questions: &Arc<Questions>,
    mut sample: impl FnMut() -> T,
) -> Result<(Outcome, T, T), LoadError> {
    let threads = plan.threads.clamp(1, plan.connections.max(1));
    let start = Instant::now();
    std::thread::scope(|scope| {
        let mut workers = Vec::new();
        for number in 0..threads {
            let mut worker = Worker::new(plan, target, questions, number, threads, start)?;
            workers.push(scope.spawn(move || worker.run()));
        }
        if plan.order == Order::Random {
            std::thread::sleep((start + plan.warm_up).saturating_duration_since(Instant::now()));
        }
        let before = sample();
        if plan.order == Order::Random {
            let end = start + plan.warm_up + plan.duration;
            // Whoever fails early is not waited for.
            while Instant::now() < end && !workers.iter().any(ScopedJoinHandle::is_finished) {
                let left = end.saturating_duration_since(Instant::now());
                std::thread::sleep(left.min(PATIENCE));
            }
        }
        let mut after = (plan.order == Order::Random).then(&mut sample);
        let mut outcome = Outcome::default();
        for worker in workers {
            let part = worker.join().map_err(|_| LoadError::Died)??;
            outcome.calls += part.calls;
            outcome.answers += part.answers;
            outcome.elapsed = outcome.elapsed.max(part.elapsed);
            outcome.good.merge(&part.good);
            outcome.bad.merge(&part.bad);
        }
        let after = after.take().unwrap_or_else(sample);
        Ok((outcome, before, after))
    })
}
