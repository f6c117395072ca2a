//! The composition root: a configuration becomes an [`App`] (fallible, binds the
//! port), which serves.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic_health::server::HealthReporter;

use crate::authority::bootstrap::OPERATOR_TTL;
use crate::authority::hasher::Hasher;
use crate::authority::keyring::{Keyring, create_private_directory, write_private};
use crate::authority::{self, Authority};
use crate::config::Config;
use crate::domain::entropy::Entropy;
use crate::domain::time::Clock;
use crate::domain::value::TokenValue;
use crate::fetch::Fetcher;
use crate::housekeeping::{Condition, Housekeeping, Schedule};
use crate::store::{Location, PoolSettings, SecretUrl, Store};
use crate::{health, http, rpc};

/// Why the server did not start or did not last.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What the world gives: time and chance.
#[derive(Clone, Debug)]
pub struct World {
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The randomness.
    pub entropy: Arc<dyn Entropy>,
}

/// A server that has all it needs and holds its port.
#[derive(Debug)]
pub struct App {
    authority: Arc<Authority>,
    listener: TcpListener,
    ops: TcpListener,
    entropy: Arc<dyn Entropy>,
    reflection: bool,
    grace: Duration,
    schedule: Schedule,
}

impl App {
    /// Opens the store, loads the keyring, binds the ports.
    pub async fn build(config: &Config, world: World) -> Result<Self, BoxError> {
        let entropy = Arc::clone(&world.entropy);
        let authority = open_authority(config, world).await?;
        let address = config.server.address;
        let listener = listen(address)?;
        let ops = listen(config.ops.address)?;
        if config.server.plaintext && !address.ip().is_loopback() {
            tracing::warn!(server.address = %address, "serving plain text: values cross the network unprotected");
        }
        Ok(Self {
            authority: Arc::new(authority),
            listener,
            ops,
            entropy,
            reflection: config.server.reflection,
            grace: config.grace(),
            schedule: config.schedule(),
        })
    }

    /// Returns what is served.
    pub fn authority(&self) -> Arc<Authority> {
        Arc::clone(&self.authority)
    }

    /// Makes the operator's token, if the store has none yet, and hands it to
    /// `deliver`; returns whether it was made.
    pub async fn bootstrap(
        &self,
        deliver: impl FnOnce(&TokenValue) -> std::io::Result<()> + Send,
    ) -> Result<bool, authority::Error> {
        self.authority.bootstrap(deliver).await
    }

    /// Returns where gRPC is served.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Returns where metrics are served.
    pub fn ops_address(&self) -> std::io::Result<SocketAddr> {
        self.ops.local_addr()
    }

    /// Serves until `stop` is cancelled: then health says so, calls in flight may
    /// finish within the grace, and the store is closed.
    pub async fn serve(self, stop: CancellationToken) -> Result<(), BoxError> {
        let (reporter, health_server) = tonic_health::server::health_reporter();
        // Nothing is served before the store has answered once.
        health::report(&reporter, self.authority.ready().await.is_ok()).await;
        let following = tokio::spawn(health::follow(
            reporter.clone(),
            Arc::clone(&self.authority),
        ));
        let abort = following.abort_handle();
        let listener = tokio::net::TcpListener::from_std(self.listener)?;
        let router = rpc::router(
            Arc::clone(&self.authority),
            Arc::clone(&self.entropy),
            health_server,
            self.reflection,
        )?;
        let mut housekeeping = Housekeeping::start(&self.authority, self.schedule);
        // Metrics tell of the end, too: they stop last.
        let (stopped, watched) = (CancellationToken::new(), Arc::clone(&self.authority));
        let mut watching = tokio::spawn(http::serve(self.ops, watched, stopped.clone()));
        let cut = CancellationToken::new();
        let stopping = stopping(stop, abort.clone(), reporter, self.grace, cut.clone());
        let incoming = rpc::incoming::incoming(listener);
        let serving = router.serve_with_incoming_shutdown(incoming, stopping);
        let served = tokio::select! {
            served = serving => served.map_err(BoxError::from),
            // Calls that outlast the grace are dropped with their connections;
            // mutations that have begun are tasks of their own.
            () = cut.cancelled() => {
                tracing::warn!("calls in flight outlasted the grace and were cut");
                Ok(())
            }
            () = died(following) => {
                Err(BoxError::from("the task that follows the store's health ended"))
            }
            () = housekeeping.died() => Err(BoxError::from("a task of housekeeping ended")),
            _ = &mut watching => Err(BoxError::from("the task that serves metrics ended")),
        };
        abort.abort();
        housekeeping.stop().await;
        close(&self.authority).await;
        stopped.cancel();
        watching.abort();
        served
    }
}

/// Binds a port.
fn listen(address: SocketAddr) -> Result<TcpListener, BoxError> {
    let listener = TcpListener::bind(address)
        .map_err(|error| BoxError::from(format!("can't listen on {address}: {error}")))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Resolves when a task ends that should last; never when it is told to end.
async fn died(task: JoinHandle<()>) {
    if task.await.is_err_and(|error| error.is_cancelled()) {
        std::future::pending::<()>().await;
    }
}

/// Resolves once no new call is to be taken.
async fn stopping(
    stop: CancellationToken,
    following: tokio::task::AbortHandle,
    reporter: HealthReporter,
    grace: Duration,
    cut: CancellationToken,
) {
    stop.cancelled().await;
    // Else it would say that all is well, should the store come back meanwhile.
    following.abort();
    health::report(&reporter, false).await;
    tokio::spawn(async move {
        tokio::time::sleep(grace).await;
        cut.cancel();
    });
}

/// Stops using the store; what could not be written at the end is logged.
pub async fn close(authority: &Authority) {
    let closed = authority.close().await;
    Condition::default().tell("last flush", closed.err().as_ref());
}

/// Opens the store and loads the keyring: an authority that nobody can reach yet.
pub async fn open_authority(config: &Config, world: World) -> Result<Authority, BoxError> {
    let World { clock, entropy } = world;
    let store = open_store(config).await?;
    let (directory, create) = config.keyring();
    let keyring = Keyring::load(&directory, create, &*entropy)?;
    let hasher = Hasher::start(config.hashing(), Arc::clone(&entropy))?;
    let reload = config.schedule().reload_keyring;
    let authority = Authority::start(store, clock, entropy, keyring, reload, hasher)
        .await?
        .trusting(config.trusts(), Arc::new(Fetcher::default()));
    authority.warn_of_missing_keys().await?;
    Ok(authority)
}

/// Opens the store that the configuration names; migrates it.
pub async fn open_store(config: &Config) -> Result<Store, BoxError> {
    let location = location(config)?;
    if let Location::Sqlite(path) = &location
        && let Some(directory) = path.parent()
    {
        create_private_directory(directory).map_err(|error| {
            BoxError::from(format!("can't make {}: {error}", directory.display()))
        })?;
    }
    let settings = PoolSettings {
        connections: config.database.connections,
        acquire_timeout: Duration::from_millis(config.database.acquire_timeout_ms),
    };
    Ok(Store::open(&location, settings).await?)
}

fn location(config: &Config) -> Result<Location, BoxError> {
    let url = match (&config.database.url, &config.database.url_file) {
        (Some(url), _) => Some(url.clone()),
        (None, Some(path)) => Some(
            std::fs::read_to_string(path)
                .map_err(|error| {
                    // A URL where a file's name should be has a password.
                    let named = path.display().to_string();
                    let named = if named.contains("://") {
                        "(a URL, not a file)"
                    } else {
                        &named
                    };
                    BoxError::from(format!("database.url_file {named}: {error}"))
                })?
                .trim()
                .to_owned(),
        ),
        (None, None) => None,
    };
    Ok(match url {
        Some(url) => Location::Postgres(SecretUrl::new(url)),
        None => Location::Sqlite(config.database.directory.join("authority.db")),
    })
}

/// Returns where the operator's token is written when nobody reads it off a
/// terminal.
pub fn operator_token_path(config: &Config) -> PathBuf {
    config.database.directory.join("operator-token")
}

/// Writes the operator's token to a file that only its owner may read, in place of
/// one that is there.
pub fn write_operator_token(path: &Path, value: &TokenValue) -> std::io::Result<()> {
    if let Some(directory) = path.parent() {
        create_private_directory(directory)?;
    }
    // A new file, put in place whole: one that is there may be open to others.
    let new = path.with_extension("new");
    let _ = std::fs::remove_file(&new);
    write_private(&new, &format!("{}\n", value.expose()))?;
    std::fs::rename(&new, path)?;
    tracing::info!(
        path = %path.display(),
        hours = OPERATOR_TTL.as_secs() / 3600,
        "the operator's token was made; it ends in so many hours unless its holder extends it"
    );
    Ok(())
}
