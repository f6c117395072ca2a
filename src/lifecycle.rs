//! Signals.

use std::io;

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
