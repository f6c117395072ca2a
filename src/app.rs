//! The composition root: a configuration becomes an [`App`] (fallible, binds the
//! port), which serves.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tonic_health::pb::health_server::{Health, HealthServer};

use crate::authority::bootstrap::{OPERATOR_TTL, OperatorValue};
use crate::authority::hasher::Hasher;
use crate::authority::keyring::{Keyring, create_private_directory, write_private};
use crate::authority::{self, Authority};
use crate::coherence::Allowance;
use crate::config::{self, Config};
use crate::domain::entropy::Entropy;
use crate::domain::time::Clock;
use crate::domain::value::TokenValue;
use crate::fetch::Fetcher;
use crate::health::Readiness;
use crate::housekeeping::{Condition, Housekeeping, Schedule};
use crate::lifecycle::{CUT, Hangups, LAST, Vital};
use crate::metrics::Sources;
use crate::rpc::cores::Cores;
use crate::rpc::incoming::Arrival;
use crate::rpc::layers::{Calls, Layers};
use crate::rpc::serving;
use crate::store::{self, Location, PoolSettings, SecretUrl, Store};
use crate::tls::Certificates;
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
    limits: rpc::Limits,
    layout: rpc::Layout,
    drain: Duration,
    grace: Duration,
    schedule: Schedule,
    /// And what has them read again.
    certificates: Option<(Arc<Certificates>, Hangups)>,
    vital: Vital,
    cut: CancellationToken,
}

impl App {
    /// Reads the certificates, opens the store, loads the keyring, binds the ports.
    pub async fn build(config: &Config, world: World) -> Result<Self, BoxError> {
        let entropy = Arc::clone(&world.entropy);
        let certificates = match config.tls() {
            None => None,
            Some((files, period)) => {
                // Before they are read: who tells of other ones after that is heard.
                let hangups = Hangups::listen()?;
                let certificates = Certificates::load(files, period, Arc::clone(&world.clock))?;
                Some((Arc::new(certificates), hangups))
            }
        };
        let authority = open_authority(config, world).await?;
        let address = config.server.address;
        let listener = listen("server.address", address)?;
        let ops = listen("ops.address", config.ops.address)?;
        Ok(Self {
            authority: Arc::new(authority),
            listener,
            ops,
            entropy,
            reflection: config.server.reflection,
            limits: config.limits(),
            layout: config.layout(),
            drain: config.drain(),
            grace: config.grace(),
            schedule: config.schedule(),
            certificates,
            vital: Vital::default(),
            cut: CancellationToken::new(),
        })
    }

    /// Returns what is served.
    pub fn authority(&self) -> Arc<Authority> {
        Arc::clone(&self.authority)
    }

    /// Returns the certificates of the gRPC port, where TLS is spoken there.
    pub fn certificates(&self) -> Option<Arc<Certificates>> {
        let (certificates, _) = self.certificates.as_ref()?;
        Some(Arc::clone(certificates))
    }

    /// Returns what cuts the end short: cancelled, it cuts connections and their calls, and
    /// nothing is written any more.
    pub fn cut(&self) -> CancellationToken {
        self.cut.clone()
    }

    /// Makes the operator's token, if the store has none yet, and hands it to
    /// `deliver`; returns whether it was made.
    pub async fn bootstrap(
        &self,
        deliver: impl FnOnce(&TokenValue) -> io::Result<()> + Send,
    ) -> Result<bool, authority::Error> {
        self.authority.bootstrap(deliver).await
    }

    /// Makes the operator's token of the value that a file holds, if the store has none
    /// yet; else the file is not looked at. Returns whether it was made.
    pub async fn bootstrap_from(&self, path: &Path) -> Result<bool, BoxError> {
        if self.authority.is_founded().await? {
            return Ok(false);
        }
        let failed = |error: &dyn std::fmt::Display| {
            BoxError::from(format!("bootstrap.token_file {}: {error}", path.display()))
        };
        let text = config::read_text(path).map_err(|error| failed(&error))?;
        let value = text.parse::<OperatorValue>().map_err(|error| {
            failed(&format_args!(
                "not an operator's token: {error}; `token-authority bootstrap --mint` makes one"
            ))
        })?;
        let made = self.authority.bootstrap_with(value).await?;
        if made {
            tracing::info!(
                path = %path.display(),
                hours = OPERATOR_TTL.as_secs() / 3600,
                "the operator's token was taken from a file; it ends in so many hours unless its \
                 holder extends it"
            );
        }
        Ok(made)
    }

    /// Returns where gRPC is served.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Returns where metrics are served.
    pub fn ops_address(&self) -> io::Result<SocketAddr> {
        self.ops.local_addr()
    }

    /// Ends the server, as if it were told to stop, when this task ends; the failure is
    /// told under that name.
    pub fn depend_on(
        &mut self,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        self.vital.spawn(name, task);
    }

    /// Starts what serves connections.
    fn start_cores(
        &self,
        calls: &Arc<Calls>,
        health: HealthServer<impl Health>,
    ) -> Result<Cores<Arrival>, BoxError> {
        let mut layers = Layers::new(
            Arc::clone(&self.entropy),
            rpc::is_mutation,
            self.limits,
            Arc::clone(calls),
            self.cut.clone(),
        );
        if self.layout != rpc::Layout::Shared {
            layers = layers.at_home(Handle::current());
        }
        let authority = Arc::clone(&self.authority);
        let services = rpc::services(authority, &layers, health, self.reflection, self.limits)?;
        let (authority, limits) = (Arc::clone(&self.authority), self.limits);
        let cut = self.cut.clone();
        let cores = Cores::start(self.layout, move |given| {
            let authority = Arc::clone(&authority);
            serving::connections(given, services.clone(), authority, limits, cut.clone())
        })?;
        Ok(cores)
    }

    /// Serves until `stop` is cancelled, or a task ends that must last. Then health says
    /// so; for the drain, calls and connections are still taken; then no connection is,
    /// and calls in flight may finish within the grace; then what is left is cut, and the
    /// store is closed. Whatever hangs, all that comes after the grace takes [`LAST`] at most.
    pub async fn serve(self, stop: CancellationToken) -> Result<(), BoxError> {
        let (readiness, health_server) = Readiness::new();
        // Nothing is served before the store has answered once.
        health::report(&readiness, self.authority.ready().await.is_ok()).await;
        let mut sources = Sources::new(Arc::clone(&self.authority), readiness.clone());
        let (calls, connections) = (Arc::clone(&sources.calls), Arc::clone(&sources.connections));
        let probes = health::router(health_server.clone());
        let cores = self.start_cores(&calls, health_server)?;
        let mut vital = self.vital;
        let tls = self.certificates.map(|(certificates, hangups)| {
            sources.certificates = certificates.ledger();
            let tls = certificates.tls();
            vital.spawn("certificates", certificates.keep(hangups));
            tls
        });
        let following = health::follow(readiness.clone(), Arc::clone(&self.authority));
        let following = vital.spawn("health", following);
        vital.spawn("memory", self.authority.keep_answers());
        let listener = tokio::net::TcpListener::from_std(self.listener)?;
        let mut housekeeping = Housekeeping::start(&self.authority, self.schedule, &sources.chores);
        // Metrics tell of the end, too: they stop last.
        let stopped = CancellationToken::new();
        let watching = http::serve(self.ops, sources, probes, stopped.clone());
        vital.spawn("metrics", async {
            if let Err(error) = watching.await {
                tracing::error!(error = %error, "can't serve metrics");
            }
        });
        let closing = CancellationToken::new();
        let most = self.limits.connections;
        let incoming = rpc::incoming::incoming(listener, most, connections, closing.clone());
        let incoming = incoming.over(tls);
        let served = CancellationToken::new();
        let serving = served.clone().drop_guard();
        vital.spawn("gRPC", async move {
            let _serving = serving;
            // It ends with what comes in, and lets each connection finish.
            serving::serve(incoming, cores).await;
        });

        let lasted: Result<(), BoxError> = tokio::select! {
            () = stop.cancelled() => Ok(()),
            died = vital.died() => Err(died.into()),
            () = housekeeping.died() => Err("a task of housekeeping ended".into()),
        };
        if let Err(error) = &lasted {
            tracing::error!(error = %error, "stopping, as what must last did not");
        }
        // Else it would say that all is well, should the store come back meanwhile.
        following.abort();
        health::stop(&readiness).await;
        tracing::info!(
            drain_seconds = self.drain.as_secs(),
            grace_seconds = self.grace.as_secs(),
            "health says not serving; calls are taken until the drain is over"
        );
        let ending = async {
            sleep(self.drain).await;
            health::end(readiness).await;
            closing.cancel();
            timeout(self.grace, served.cancelled()).await.is_ok()
        };
        let finished = tokio::select! {
            finished = ending => Some(finished),
            () = self.cut.cancelled() => None,
        };
        let last = Instant::now() + LAST;
        // Calls that outlast the grace are dropped with their connections; mutations that
        // have begun are tasks of their own.
        let cut = calls.in_flight();
        closing.cancel();
        self.cut.cancel();
        let gone = async {
            served.cancelled().await;
            // Each is a task of its own, and ends after its connection.
            while calls.in_flight() > 0 {
                sleep(TICK).await;
            }
        };
        // What a call is in the midst of may hang.
        let _ = timeout(CUT, gone).await;
        let Some(finished) = finished else {
            return Err("told to stop twice: calls in flight were cut".into());
        };
        housekeeping.stop(last - LAST / 2).await;
        close(&self.authority, last).await;
        stopped.cancel();
        lasted?;
        match cut {
            _ if finished => Ok(()),
            0 => {
                tracing::info!("connections that had no call but did not close were cut");
                Ok(())
            }
            cut => Err(format!("{cut} call(s) in flight outlasted the grace and were cut").into()),
        }
    }
}

/// How often to look whether the calls that were cut have ended.
const TICK: Duration = Duration::from_millis(5);

/// Binds the port that a key names.
fn listen(key: &str, address: SocketAddr) -> Result<TcpListener, BoxError> {
    let listener = TcpListener::bind(address).map_err(|error| {
        let help = if error.kind() == io::ErrorKind::AddrInUse {
            "; stop who has it, or set another"
        } else {
            ""
        };
        BoxError::from(format!("{key}: can't listen on {address}: {error}{help}"))
    })?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Stops using the store until then; what could not be written at the end is logged.
pub async fn close(authority: &Authority, until: Instant) {
    let closed = authority.close(until).await;
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
    let memory = allowance(config, &store).await?;
    let authority = Authority::start(store, clock, entropy, keyring, reload, hasher, memory)
        .await?
        .trusting(config.trusts(), Arc::new(Fetcher::default()))
        .identifying(config.identities());
    authority.warn_of_missing_keys().await?;
    Ok(authority)
}

/// Returns what memory needs, where no other process changes what it holds.
async fn allowance(config: &Config, store: &Store) -> Result<Option<Allowance>, BoxError> {
    let alone = !store.is_shared() || config.coherence.single_process;
    if !alone {
        return Ok(None);
    }
    let alone = store.hold_alone().await.map_err(|source| NotOpened {
        key: "coherence.single_process",
        source,
    })?;
    let settings = config.memory();
    Ok(Some(Allowance { settings, alone }))
}

/// The store that a key names was not opened.
#[derive(Debug, thiserror::Error)]
#[error("{key}: can't open the database")]
struct NotOpened {
    key: &'static str,
    source: store::Error,
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
        ..PoolSettings::default()
    };
    let key = match &location {
        Location::Sqlite(_) => "database.directory",
        Location::Postgres(_) if config.database.url.is_some() => "database.url",
        Location::Postgres(_) => "database.url_file",
    };
    Store::open(&location, settings).await.map_err(|source| {
        let not_opened = NotOpened { key, source };
        BoxError::from(not_opened)
    })
}

fn location(config: &Config) -> Result<Location, BoxError> {
    let url = match (&config.database.url, &config.database.url_file) {
        (Some(url), _) => Some(url.expose().to_owned()),
        (None, Some(path)) => Some(
            config::read_text(path)
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
pub fn write_operator_token(path: &Path, value: &TokenValue) -> io::Result<()> {
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
