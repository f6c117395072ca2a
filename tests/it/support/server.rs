//! A real server on a loopback port, over a database of its own, with time and
//! chance in the test's hands.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use token_authority::app::{App, BoxError, World, open_authority};
use token_authority::authority::Authority;
use token_authority::config::{Config, environment};
use token_authority::lifecycle::LAST;
use token_authority::pb;
use token_authority::tls::Certificates;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, ClientTlsConfig};
use tracing::dispatcher::DefaultGuard;

use super::actor::{Actor, Issued};
use super::logs::Logs;
use super::{Backend, Database, ManualClock, SeededEntropy, pki};

/// A server. Dropped, it fails a test that did not expect what was logged.
pub(crate) struct TestServer {
    pub(crate) database: Database,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) logs: Logs,
    pub(crate) address: SocketAddr,
    pub(crate) ops_address: SocketAddr,
    pub(crate) authority: Arc<Authority>,
    entropy: Arc<SeededEntropy>,
    directory: TempDir,
    config: Config,
    /// Those of its gRPC port, where it speaks TLS.
    pub(crate) certificates: Option<Arc<Certificates>>,
    operator: String,
    issued: Issued,
    channel: Channel,
    stop: CancellationToken,
    serving: Option<JoinHandle<Result<(), BoxError>>>,
    expects_alarms: bool,
    _capturing: Option<DefaultGuard>,
}

impl TestServer {
    /// Starts a server over an empty database.
    pub(crate) async fn start(backend: Backend) -> Self {
        Self::start_with(backend, |_| {}).await
    }

    /// Starts a server over an empty database, configured as for tests and then so.
    pub(crate) async fn start_with(backend: Backend, configure: impl FnOnce(&mut Config)) -> Self {
        Self::start_over(backend, None, configure).await
    }

    /// Starts a server over an empty database, configured as for tests and then so; its
    /// actors call it over TLS, where it is given.
    pub(crate) async fn start_over(
        backend: Backend,
        tls: Option<ClientTlsConfig>,
        configure: impl FnOnce(&mut Config),
    ) -> Self {
        let (logs, capturing) = Logs::capture();
        let database = Database::new(backend).await;
        let clock = Arc::new(ManualClock::new());
        let entropy = Arc::new(SeededEntropy::new(42));
        let directory = tempfile::tempdir().unwrap();
        let mut config = config(&database, &directory);
        configure(&mut config);
        let world = World {
            clock: clock.clone(),
            entropy: entropy.clone(),
        };
        let app = App::build(&config, world).await.unwrap();
        let mut operator = String::new();
        let made = app.bootstrap(|value| {
            operator = value.expose();
            Ok(())
        });
        assert!(made.await.unwrap(), "a fresh database has no operator");
        let issued = Issued::default();
        issued.add(&operator);
        let authority = app.authority();
        let ops_address = app.ops_address().unwrap();
        let certificates = app.certificates();
        let (address, channel, stop, serving) = serve(app, tls).await;
        Self {
            certificates,
            database,
            clock,
            logs,
            address,
            ops_address,
            authority,
            entropy,
            directory,
            config,
            operator,
            issued,
            channel,
            stop,
            serving: Some(serving),
            expects_alarms: false,
            _capturing: Some(capturing),
        }
    }

    /// Stops the server and starts another over the same database, after `meanwhile`.
    pub(crate) async fn restart(&mut self, meanwhile: impl AsyncFnOnce(&Database, &TempDir)) {
        self.stop().await;
        meanwhile(&self.database, &self.directory).await;
        let world = World {
            clock: self.clock.clone(),
            entropy: self.entropy.clone(),
        };
        let app = App::build(&self.config, world).await.unwrap();
        let made = app.bootstrap(|_| panic!("a second operator's token")).await;
        assert!(!made.unwrap(), "the store has an operator");
        self.authority = app.authority();
        self.ops_address = app.ops_address().unwrap();
        let (address, channel, stop, serving) = serve(app, None).await;
        (self.address, self.channel, self.stop, self.serving) =
            (address, channel, stop, Some(serving));
    }

    /// Makes an operator's token by access to the database alone, while no server runs.
    pub(crate) async fn replace_operator(&mut self) -> String {
        let mut value = String::new();
        let (clock, entropy) = (self.clock.clone(), self.entropy.clone());
        self.restart(async |database, directory| {
            let world = World { clock, entropy };
            let authority = open_authority(&config(database, directory), world)
                .await
                .unwrap();
            let made = authority.replace_operator(|made| {
                value = made.expose();
                Ok(())
            });
            made.await.unwrap();
            authority.close(Instant::now() + LAST).await.unwrap();
        })
        .await;
        value
    }

    /// Stops the server, its calls finished.
    pub(crate) async fn stop(&mut self) {
        self.stop.cancel();
        if let Some(serving) = self.serving.take() {
            serving.await.unwrap().unwrap();
        }
    }

    /// Lets this test log warnings and errors.
    pub(crate) fn expect_alarms(&mut self) {
        self.expects_alarms = true;
    }

    /// Moves the time on.
    pub(crate) fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// Returns who holds the operator's token.
    pub(crate) fn operator(&self) -> Actor {
        self.actor(&self.operator)
    }

    /// Returns who presents this credential.
    pub(crate) fn actor(&self, credential: &str) -> Actor {
        Actor::new(self.channel.clone(), Some(credential), self.issued.clone())
    }

    /// Returns who presents none.
    pub(crate) fn nobody(&self) -> Actor {
        Actor::new(self.channel.clone(), None, self.issued.clone())
    }

    /// Returns where issued values are noted.
    pub(crate) fn issued_to(&self) -> Issued {
        self.issued.clone()
    }

    /// Notes a value that another system issued.
    pub(crate) fn note_issued(&self, value: &str) {
        self.issued.add(value);
    }

    /// Returns every value that was issued to the operator or an actor.
    pub(crate) fn issued(&self) -> Vec<String> {
        self.issued.all()
    }

    /// Returns the directory of the keyring.
    pub(crate) fn keyring(&self) -> PathBuf {
        self.directory.path().join("keyring")
    }

    /// Returns a service that may introspect for all tenants.
    pub(crate) async fn resource_server(&self) -> Actor {
        let created = self
            .operator()
            .create(pb::CreateTokenRequest {
                tenant_id: "authority".into(),
                kind: pb::TokenKind::Service.into(),
                name: "resource server".into(),
                scopes: vec!["authority:introspect".into()],
                ..Default::default()
            })
            .await;
        self.actor(&created.value)
    }

    /// Makes a tenant with the catalog of [`catalog`], and its administrator, whose
    /// token administers it.
    pub(crate) async fn tenant(&self, tenant_id: &str, policy: pb::TenantPolicy) -> Tenant {
        Tenant::create(&self.operator(), tenant_id, policy).await
    }

    /// Makes a user, and a token with these scopes that acts as it.
    pub(crate) async fn member(&self, tenant: &Tenant, name: &str, scopes: &[&str]) -> Member {
        let operator = self.operator();
        let tenant_id = &tenant.tenant_id;
        let user_id = operator
            .create_user(tenant_id, name, pb::Role::Member)
            .await;
        let actor = self.token_of(tenant_id, &user_id, scopes).await;
        Member { user_id, actor }
    }

    /// Makes a token with these scopes that acts as a user, by the operator.
    pub(crate) async fn token_of(&self, tenant_id: &str, user_id: &str, scopes: &[&str]) -> Actor {
        self.operator().token_of(tenant_id, user_id, scopes).await
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.stop.cancel();
        let alarms = self.logs.alarms();
        if !std::thread::panicking() && !self.expects_alarms {
            assert!(
                alarms.is_empty(),
                "unexpected warnings or errors; if the test means them, call expect_alarms: {alarms:#?}"
            );
        }
    }
}

/// Another server over the same database, with a keyring's directory of its own.
pub(crate) struct Replica {
    pub(crate) authority: Arc<Authority>,
    pub(crate) keyring: PathBuf,
    issued: Issued,
    channel: Channel,
    stop: CancellationToken,
    _directory: TempDir,
}

impl TestServer {
    /// Starts a replica; its keys are this server's of now.
    pub(crate) async fn replica(&self) -> Replica {
        let directory = tempfile::tempdir().unwrap();
        let keyring = directory.path().join("keyring");
        std::fs::create_dir(&keyring).unwrap();
        for entry in std::fs::read_dir(self.keyring()).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), keyring.join(entry.file_name())).unwrap();
        }
        let mut config = self.config.clone();
        config.keyring.directory = Some(keyring.clone());
        let world = World {
            clock: self.clock.clone(),
            // Another seed: else both would mint the same ids.
            entropy: Arc::new(SeededEntropy::new(43)),
        };
        let app = App::build(&config, world).await.unwrap();
        let authority = app.authority();
        let (_, channel, stop, _) = serve(app, None).await;
        Replica {
            authority,
            keyring,
            issued: self.issued.clone(),
            channel,
            stop,
            _directory: directory,
        }
    }
}

impl Replica {
    /// Returns who presents this credential to the replica.
    pub(crate) fn actor(&self, credential: &str) -> Actor {
        Actor::new(self.channel.clone(), Some(credential), self.issued.clone())
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// A tenant and who administers it.
#[expect(
    clippy::struct_field_names,
    reason = "the same noun as everywhere: tenant_id"
)]
pub(crate) struct Tenant {
    pub(crate) tenant_id: String,
    pub(crate) admin_id: String,
    pub(crate) admin: Actor,
}

impl Tenant {
    /// Makes one, as [`TestServer::tenant`] does, by an operator.
    pub(crate) async fn create(
        operator: &Actor,
        tenant_id: &str,
        policy: pb::TenantPolicy,
    ) -> Self {
        let request = pb::CreateTenantRequest {
            tenant_id: tenant_id.into(),
            token_prefix: format!("{}_", tenant_id.replace('-', "")),
            policy: Some(policy),
            ..Default::default()
        };
        operator.create_tenant(request).await.unwrap();
        let request = pb::UpdateCatalogRequest {
            tenant_id: tenant_id.into(),
            catalog: Some(catalog()),
            ..Default::default()
        };
        operator.update_catalog(request).await.unwrap();
        let admin_id = operator
            .create_user(tenant_id, "admin", pb::Role::Admin)
            .await;
        let admin = operator
            .token_of(tenant_id, &admin_id, &["authority:tenant.admin"])
            .await;
        Self {
            tenant_id: tenant_id.into(),
            admin_id,
            admin,
        }
    }
}

/// A user and who holds its token.
pub(crate) struct Member {
    pub(crate) user_id: String,
    pub(crate) actor: Actor,
}

/// Returns a policy that lets members manage their own tokens.
pub(crate) fn self_service() -> pb::TenantPolicy {
    pb::TenantPolicy {
        token_management: pb::TokenManagement::SelfService.into(),
        ..Default::default()
    }
}

/// Returns a catalog: `read`, `write` that brings it, `admin` for administrators
/// alone and never for agents, and the profile `editor`.
pub(crate) fn catalog() -> pb::Catalog {
    let scope = |name: &str, implies: &[&str]| pb::Scope {
        name: name.into(),
        description: format!("May {name}"),
        implies: implies.iter().map(|&name| name.into()).collect(),
        ..Default::default()
    };
    pb::Catalog {
        scopes: vec![
            scope("read", &[]),
            scope("write", &["read"]),
            pb::Scope {
                minimum_role: pb::Role::Admin.into(),
                forbidden_kinds: vec![pb::TokenKind::Agent.into()],
                ..scope("admin", &["write"])
            },
        ],
        profiles: vec![pb::Profile {
            name: "editor".into(),
            scopes: vec!["write".into()],
            ..Default::default()
        }],
        ..Default::default()
    }
}

/// Returns a configuration for tests: cheap hashes, a free port.
fn config(database: &Database, directory: &TempDir) -> Config {
    let mut config = Config::default();
    config.server.address.set_port(0);
    config.server.drain_seconds = 0;
    config.server.grace_seconds = 5;
    config.hashing.cost = 4;
    config.database.connections = 8;
    config.keyring.directory = Some(directory.path().join("keyring"));
    config.keyring.create = Some(true);
    // Nothing is done by itself while a test runs.
    config.keyring.reload_seconds = 3600;
    config.usage.flush_seconds = 3600;
    config.ops.address.set_port(0);
    config.ops.census_seconds = 86_400;
    config.retention.sweep_minutes = 1440;
    remember(database, &mut config);
    database.configure(&mut config);
    config
}

/// Has the whole suite run with memory, without, or with one that is always full, by
/// `TEST_MEMORY`: `on`, `off` or a number of values. Without it, as a server is by default.
fn remember(database: &Database, config: &mut Config) {
    let environment = environment();
    let Some(wanted) = environment.get("TEST_MEMORY") else {
        return;
    };
    config.coherence.single_process = matches!(database, Database::Postgres { .. });
    match wanted.as_str() {
        "on" => {}
        "off" => config.coherence.memory_mib = 0,
        number => config.coherence.memory_records = Some(number.parse().unwrap()),
    }
}

/// Configures a server that answers from the database alone.
pub(crate) fn without_memory(config: &mut Config) {
    config.coherence.memory_mib = 0;
}

/// Configures a server that shares its database with others.
pub(crate) fn shared(config: &mut Config) {
    config.coherence.single_process = false;
}

async fn serve(
    app: App,
    tls: Option<ClientTlsConfig>,
) -> (
    SocketAddr,
    Channel,
    CancellationToken,
    JoinHandle<Result<(), BoxError>>,
) {
    let address = app.address().unwrap();
    let stop = CancellationToken::new();
    let serving = tokio::spawn(app.serve(stop.clone()));
    let channel = match tls {
        Some(tls) => pki::connect(address, tls).await.unwrap(),
        None => Channel::from_shared(format!("http://{address}"))
            .unwrap()
            .connect()
            .await
            .unwrap(),
    };
    (address, channel, stop, serving)
}
