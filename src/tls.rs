//! The certificates of the gRPC port: its own with its key, and those of the CAs of its
//! clients. Read from files, checked, and read again when they change; what is wrong with
//! them is told by the key of the configuration that names the file. Knows nothing of
//! connections.

mod files;

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::sleep;

pub use self::files::{Clients, Files, Flaw, Version, load};

use self::files::{Digest, Loaded, read};
use crate::domain::time::{Clock, Timestamp};
use crate::lifecycle::Hangups;
use crate::rpc::handshake::Tls;
use crate::tally::{Closed as _, Each, closed};

closed! {
    /// What came of reading files that had changed.
    pub enum Reload {
        /// They are in use.
        Done = "done",
        /// They are not good, and those before them stay in use.
        Failed = "failed",
    }
}

/// How the certificates are, for metrics. Without TLS it stays as it begins.
#[derive(Debug, Default)]
pub struct Ledger {
    /// What came of the files that had changed.
    pub reloads: Each<Reload, { Reload::COUNT }>,
    /// When the server's certificate ends, in milliseconds since the epoch; zero without
    /// one.
    expires_at: AtomicI64,
}

impl Ledger {
    /// Returns when the server's certificate ends, where there is one.
    pub fn expires_at(&self) -> Option<Timestamp> {
        let millis = self.expires_at.load(Ordering::Relaxed);
        Timestamp::from_millis(millis).filter(|_| millis > 0)
    }
}

/// The files are not good: all that is wrong with them.
#[derive(Debug, PartialEq, Eq)]
pub struct Flawed(pub Vec<Flaw>);

impl fmt::Display for Flawed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, flaw) in self.0.iter().enumerate() {
            let separator = if number > 0 { "; " } else { "" };
            write!(f, "{separator}{}: {}", flaw.key, flaw.what)?;
        }
        Ok(())
    }
}

impl std::error::Error for Flawed {}

/// The certificates that are in use, and the files that they come from.
#[derive(Debug)]
pub struct Certificates {
    files: Files,
    period: Duration,
    clock: Arc<dyn Clock>,
    tls: Arc<Tls>,
    ledger: Arc<Ledger>,
    state: Mutex<State>,
}

/// What is known of the files.
#[derive(Debug)]
struct State {
    /// Those that are in use.
    in_use: Digest,
    /// What is wrong with those that are there now.
    wrong: Option<String>,
}

impl Certificates {
    /// Reads them; they are read again that often.
    pub fn load(files: Files, period: Duration, clock: Arc<dyn Clock>) -> Result<Self, Flawed> {
        let loaded = load(&files, &clock).map_err(Flawed)?;
        let ledger = Arc::<Ledger>::default();
        ledger
            .expires_at
            .store(loaded.expires_at.millis(), Ordering::Relaxed);
        Ok(Self {
            tls: Arc::new(Tls::new(loaded.config)),
            state: Mutex::new(State {
                in_use: loaded.digest,
                wrong: None,
            }),
            files,
            period,
            clock,
            ledger,
        })
    }

    /// Returns what handshakes are made with.
    pub fn tls(&self) -> Arc<Tls> {
        Arc::clone(&self.tls)
    }

    /// Returns how they are, for metrics.
    pub fn ledger(&self) -> Arc<Ledger> {
        Arc::clone(&self.ledger)
    }

    /// Reads the files again, each period and when the process is told to, until dropped.
    /// Kubernetes replaces them by a link, which no watching of a file shows.
    pub async fn keep(self: Arc<Self>, mut told: Hangups) {
        loop {
            tokio::select! {
                () = sleep(self.period) => {}
                () = told.next() => {}
            }
            self.reload().await;
        }
    }

    /// Reads the files again, and uses them if they have changed and are good. What is
    /// wrong with them is logged once, until it is otherwise.
    pub async fn reload(self: &Arc<Self>) {
        let this = Arc::clone(self);
        let read = tokio::task::spawn_blocking(move || this.changed()).await;
        // That it panicked is told of by the panic.
        if let Ok(read) = read {
            self.take(read);
        }
    }

    /// Reads the files; returns what is in them unless it is in use.
    fn changed(&self) -> Option<Result<Loaded, Vec<Flaw>>> {
        let in_use = self.state().in_use;
        match read(&self.files) {
            Ok(texts) if texts.digest() == in_use => None,
            Ok(texts) => Some(texts.loaded(&self.files, &self.clock)),
            Err(flaws) => Some(Err(flaws)),
        }
    }

    /// Takes what was read into use, or tells what is wrong with it.
    fn take(&self, read: Option<Result<Loaded, Vec<Flaw>>>) {
        let mut state = self.state();
        match read {
            None => {
                if state.wrong.take().is_some() {
                    tracing::info!("the certificates are again those that are in use");
                }
            }
            Some(Ok(loaded)) => {
                self.tls.replace(loaded.config);
                state.in_use = loaded.digest;
                state.wrong = None;
                let expires_at = loaded.expires_at;
                let millis = expires_at.millis();
                self.ledger.expires_at.store(millis, Ordering::Relaxed);
                self.ledger.reloads.tick(Reload::Done);
                tracing::info!(%expires_at, "new certificates are in use");
            }
            Some(Err(flaws)) => {
                self.ledger.reloads.tick(Reload::Failed);
                let wrong = Flawed(flaws).to_string();
                if state.wrong.as_ref() != Some(&wrong) {
                    tracing::error!(
                        error.chain = wrong,
                        "the new certificates can't be used; those before them stay in use"
                    );
                    state.wrong = Some(wrong);
                }
            }
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
