//! Signals, and tasks whose end is the end of the process.

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use tokio::task::{AbortHandle, Id, JoinSet};

/// How long all may take that comes after the grace: what was cut ends, housekeeping does,
/// the last uses are written, the store is closed.
pub const LAST: Duration = Duration::from_secs(4);
/// How long what was cut may take to end, of that.
pub const CUT: Duration = Duration::from_secs(1);

/// Tasks that must last as long as the process: when one ends, the process is to end.
/// Dropped, they end where they are.
#[derive(Debug, Default)]
pub struct Vital {
    tasks: JoinSet<()>,
    names: HashMap<Id, &'static str>,
}

/// A task ended that should have lasted.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}: a task that must last {}", if *.panicked { "panicked" } else { "ended" })]
pub struct Died {
    name: &'static str,
    panicked: bool,
}

impl Vital {
    /// Begins one.
    pub fn spawn(
        &mut self,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> AbortHandle {
        let handle = self.tasks.spawn(task);
        self.names.insert(handle.id(), name);
        handle
    }

    /// Resolves when one ends, by itself or by a panic; never when it was told to.
    pub async fn died(&mut self) -> Died {
        while let Some(ended) = self.tasks.join_next_with_id().await {
            let (id, panicked) = match ended {
                Ok((id, ())) => (id, false),
                Err(error) if error.is_panic() => (error.id(), true),
                Err(_) => continue,
            };
            let name = self.names.get(&id).copied().unwrap_or("unknown");
            return Died { name, panicked };
        }
        std::future::pending().await
    }
}

/// The signals that tell the process to stop: SIGTERM, and SIGINT (Ctrl-C). From when
/// this is made none is lost, and none ends the process by itself.
#[cfg(unix)]
#[derive(Debug)]
pub struct StopSignals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl StopSignals {
    /// Begins to listen.
    pub fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Resolves when the process is told to stop, once for each time.
    pub async fn next(&mut self) -> io::Result<()> {
        tokio::select! {
            _ = self.terminate.recv() => tracing::info!(signal = "SIGTERM", "stopping"),
            _ = self.interrupt.recv() => tracing::info!(signal = "SIGINT", "stopping"),
        }
        Ok(())
    }
}

/// What tells the process to stop: Ctrl-C.
#[cfg(not(unix))]
#[derive(Debug)]
pub struct StopSignals;

#[cfg(not(unix))]
impl StopSignals {
    /// Begins to listen.
    pub fn listen() -> io::Result<Self> {
        Ok(Self)
    }

    /// Resolves when the process is told to stop.
    pub async fn next(&mut self) -> io::Result<()> {
        tokio::signal::ctrl_c().await
    }
}

/// The signal that has files read at once: SIGHUP. From when this is made, none ends the
/// process.
#[cfg(unix)]
#[derive(Debug)]
pub struct Hangups(tokio::signal::unix::Signal);

#[cfg(unix)]
impl Hangups {
    /// Begins to listen.
    pub fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        signal(SignalKind::hangup()).map(Self)
    }

    /// Resolves when there was one.
    pub async fn next(&mut self) {
        if self.0.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}

/// There is no such signal.
#[cfg(not(unix))]
#[derive(Debug)]
pub struct Hangups;

#[cfg(not(unix))]
impl Hangups {
    /// Begins to listen.
    pub fn listen() -> io::Result<Self> {
        Ok(Self)
    }

    /// Never resolves.
    pub async fn next(&mut self) {
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_end_of_a_task_is_told_unless_it_was_asked_for() {
        let mut vital = Vital::default();
        vital.spawn("told to end", std::future::pending()).abort();
        vital.spawn("lasting", std::future::pending());
        vital.spawn("panicking", async { panic!("planted") });
        let died = vital.died().await;
        assert_eq!(
            died.to_string(),
            "panicking: a task that must last panicked"
        );
        vital.spawn("ending", async {});
        let died = vital.died().await;
        assert_eq!(died.to_string(), "ending: a task that must last ended");
    }
}
