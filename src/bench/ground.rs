//! Where it is measured: a store of its own, migrated and filled, the servers on it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prost::Message as _;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::time::Instant;

use super::noop::Layout;
use super::population::{Population, TOKENS_OF_USER};
use super::process::Process;
use super::{Settings, Watch};
use crate::app::{self, BoxError, World};
use crate::authority::hasher::Hasher;
use crate::authority::keyring::{Keyring, create_private_directory};
use crate::config::{self, Config, Purpose};
use crate::domain::change::{Change, ChangeNumber, Version};
use crate::domain::entropy::{Entropy, OsEntropy};
use crate::domain::fingerprint::{Key, SecretHash};
use crate::domain::ids::{SecretId, TenantId, TokenId};
use crate::domain::policy::{Management, Policy};
use crate::domain::principal::{Role, Tenant, User};
use crate::domain::scope::{Permission, ScopeSet};
use crate::domain::text::Labels;
use crate::domain::time::{Clock as _, SystemClock, Timestamp};
use crate::domain::token::Kind;
use crate::domain::trust::Sessions;
use crate::domain::value::{Lookup, Prefix, TokenValue};
use crate::lifecycle::LAST;
use crate::store::{NewSecret, NewToken, Store, TEN};

/// Tokens in a transaction.
const CHUNK: u64 = 20_000;
/// How many of them are under way at once: one is made while another is written.
const AT_ONCE: usize = 3;

/// A store of the measurement's own, and what is in it.
#[derive(Debug)]
pub(super) struct Ground {
    directory: TempDir,
    config: PathBuf,
    /// What is set beside the file, for the server and for whoever fills the store.
    variables: Vec<(String, String)>,
    /// What processes are started under: what counts their instructions.
    pub(super) under: Vec<String>,
    pub(super) population: Population,
    /// How many tokens are in the store.
    pub(super) seeded: u64,
    hash: SecretHash,
    number: ChangeNumber,
    /// The value of the operator's token.
    pub(super) operator: String,
    /// The value of a resource server's token.
    pub(super) caller: String,
    /// The database's name.
    pub(super) database: &'static str,
}

impl Ground {
    /// Makes a store, or takes an empty one, with its tenants and a caller.
    pub(super) fn new(settings: &Settings, runtime: &Runtime) -> Result<Self, BoxError> {
        let mut private = tempfile::Builder::new();
        private.prefix("token-authority-bench-");
        #[cfg(unix)]
        private.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700));
        let directory = match &settings.directory {
            Some(parent) => private.tempdir_in(parent)?,
            None => private.tempdir()?,
        };
        let config = directory.path().join("config.toml");
        std::fs::write(&config, document(directory.path(), settings)?.to_string())?;
        let mut variables = settings.variables.clone();
        if settings.database_url_file.is_some() {
            // Only then are answers from memory there, if this version has any.
            let alone = variable("coherence.single_process", "true");
            let mut with = variables.clone();
            with.push(alone);
            if read(&config, &with).is_ok() {
                variables = with;
            }
        }
        let now = SystemClock.now();
        let population = Population::new(settings.seed, settings.tenants(), now)?;
        runtime.block_on(Self::found(directory, config, variables, population))
    }

    async fn found(
        directory: TempDir,
        path: PathBuf,
        variables: Vec<(String, String)>,
        population: Population,
    ) -> Result<Self, BoxError> {
        let config = read(&path, &variables)?;
        let world = World {
            clock: Arc::new(SystemClock),
            entropy: Arc::new(OsEntropy),
        };
        let authority = app::open_authority(&config, world).await?;
        let mut operator = String::new();
        let made = authority.bootstrap(|value| {
            operator = value.expose();
            Ok(())
        });
        if !made.await? {
            return Err(
                "the database is not empty: give one that is this measurement's own".into(),
            );
        }
        app::close(&authority, Instant::now() + LAST).await;
        let hasher = Hasher::start(config.hashing(), Arc::new(OsEntropy))?;
        let hash = hasher.hash(&TenantId::authority(), "of no value").await?;
        let store = app::open_store(&config).await?;
        let key = keyring(&config)?.current().clone();
        let number = tenants(&store, &population).await?;
        let caller = caller(&store, &key, &hash).await?;
        let database = store.backend();
        store.close().await;
        Ok(Self {
            directory,
            config: path,
            variables,
            under: Vec::new(),
            population,
            seeded: 0,
            hash,
            number,
            operator,
            caller,
            database,
        })
    }

    /// Fills the store until it has so many tokens, rounded up to whole users. No server may
    /// be on it.
    pub(super) fn seed(
        &mut self,
        runtime: &Runtime,
        tokens: u64,
        watch: &dyn Watch,
    ) -> Result<(), BoxError> {
        let tokens = tokens.next_multiple_of(TOKENS_OF_USER);
        if tokens > self.seeded {
            runtime.block_on(self.fill(tokens, watch))?;
            self.seeded = tokens;
        }
        Ok(())
    }

    async fn fill(&self, tokens: u64, watch: &dyn Watch) -> Result<(), BoxError> {
        // Those that are under way wait for each other, on a slow disk for long.
        let patient = variable("database.acquire_timeout_ms", "60000");
        let config = read(&self.config, &[&*self.variables, &[patient]].concat())?;
        let store = app::open_store(&config).await?;
        store.hasten().await?;
        let next = AtomicU64::new(self.seeded);
        let filler = Filler {
            store: &store,
            population: &self.population,
            key: keyring(&config)?.current().clone(),
            hash: &self.hash,
            number: self.number,
        };
        let work = async || -> Result<(), BoxError> {
            loop {
                let first = next.fetch_add(CHUNK, Ordering::Relaxed);
                if first >= tokens {
                    return Ok(());
                }
                filler.chunk(first, tokens.min(first + CHUNK)).await?;
                watch.at("tokens seeded", first);
            }
        };
        let mut working = Vec::new();
        for _ in 0..AT_ONCE {
            working.push(work());
        }
        all(working).await?;
        store.close().await;
        Ok(())
    }

    /// Returns the place of a file that is gone with the rest.
    pub(super) fn place(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Opens the store, on which no server may be.
    pub(super) async fn open(&self) -> Result<Store, BoxError> {
        app::open_store(&read(&self.config, &self.variables)?).await
    }

    /// Returns the lookups of the tokens' values.
    pub(super) fn lookups(&self) -> Result<Vec<Lookup>, BoxError> {
        let mut lookups = Vec::new();
        for number in 0..self.seeded {
            let user = self.population.user_of(number)?;
            let (_, value) = self.population.token(number, &user)?;
            lookups.push(value.lookup().clone());
        }
        Ok(lookups)
    }

    /// Returns whether this version knows the keys that these variables set.
    pub(super) fn knows(&self, more: &[(String, String)]) -> bool {
        read(&self.config, &[&*self.variables, more].concat()).is_ok()
    }

    /// Starts a server on the store.
    pub(super) fn serve(&self, more: &[(String, String)]) -> Result<Process, BoxError> {
        let words = ["serve", "--config"].map(String::from);
        let config = self.config.display().to_string();
        let variables = [&*self.variables, more].concat();
        Process::start(&self.under, &[&words[..], &[config]].concat(), &variables)
    }

    /// Starts the service that does nothing.
    pub(super) fn noop(&self, layout: Layout, cores: usize) -> Result<Process, BoxError> {
        let path = self.place("answer");
        let mut answer = self.population.answer(0)?;
        answer.revision = format!("{}.1234", "0".repeat(22));
        answer.evaluate_time = answer.create_time;
        std::fs::write(&path, answer.encode_to_vec())?;
        let layout = match layout {
            Layout::PerCore => "per-core",
            Layout::Shared => "shared",
        };
        let cores = cores.to_string();
        let words = [
            "bench-noop",
            "--layout",
            layout,
            "--cores",
            &cores,
            "--answer",
        ];
        let mut words = words.map(String::from).to_vec();
        words.push(path.display().to_string());
        Process::start(&self.under, &words, &[])
    }
}

/// Returns the variable that sets a key.
pub(super) fn variable(key: &str, value: &str) -> (String, String) {
    let name = key.to_uppercase().replace('.', "__");
    (format!("TOKEN_AUTHORITY_{name}"), value.to_owned())
}

/// Returns the server's configuration.
fn document(directory: &Path, settings: &Settings) -> Result<toml::Table, BoxError> {
    let text = |path: &Path| toml::Value::String(path.display().to_string());
    let mut database = toml::Table::new();
    database.insert("directory".into(), text(&directory.join("data")));
    if let Some(file) = &settings.database_url_file {
        database.insert("url_file".into(), text(&std::path::absolute(file)?));
    }
    create_private_directory(&directory.join("data"))?;
    let mut keyring = toml::Table::new();
    keyring.insert("directory".into(), text(&directory.join("keyring")));
    keyring.insert("create".into(), true.into());
    let mut server = toml::Table::new();
    server.insert("address".into(), "127.0.0.1:0".into());
    server.insert("drain_seconds".into(), 0.into());
    let mut ops = toml::Table::new();
    ops.insert("address".into(), "127.0.0.1:0".into());
    let sections = [
        ("database", database),
        ("keyring", keyring),
        ("server", server),
        ("ops", ops),
    ];
    let sections = sections.map(|(name, section)| (name.to_owned(), section.into()));
    Ok(sections.into_iter().collect())
}

fn read(path: &Path, variables: &[(String, String)]) -> Result<Config, config::Problems> {
    let variables = variables
        .iter()
        .map(|(name, value)| (name.clone(), value.into()));
    Config::read(Some(path), variables, &[], Purpose::Serve)
}

fn keyring(config: &Config) -> Result<Keyring, BoxError> {
    let (directory, create) = config.keyring();
    Ok(Keyring::load(&directory, create, &OsEntropy)?)
}

/// Inserts the tenants with their catalogs; returns the number of that change.
async fn tenants(store: &Store, population: &Population) -> Result<ChangeNumber, BoxError> {
    let now = population.created_at;
    let mut tx = store.begin().await?;
    let mut changes = Vec::new();
    for (tenant_id, prefix) in population.tenants()? {
        let tenant = Tenant {
            display_name: tenant_id.to_string(),
            tenant_id: tenant_id.clone(),
            prefix,
            policy: Policy {
                management: Management::SelfService,
                ..Policy::default()
            },
            sessions: Sessions::default(),
            version: Version(1),
            created_at: now,
            updated_at: now,
            suspended_at: None,
            deleted_at: None,
        };
        tx.insert_tenant(&tenant).await?;
        tx.insert_catalog(&tenant_id, now).await?;
        let catalog = population.catalog();
        tx.mark_catalog_replaced(&tenant_id, Version(1), catalog, now)
            .await?;
        changes.push(Change::TenantChanged(tenant_id));
    }
    Ok(tx.close(&changes, &[], now).await?.number)
}

/// Makes the token of a resource server of the reserved tenant; returns its value.
async fn caller(store: &Store, key: &Key, hash: &SecretHash) -> Result<String, BoxError> {
    let now = SystemClock.now();
    let value = TokenValue::mint(Prefix::authority(), &OsEntropy)?;
    let token = NewToken {
        token_id: TokenId::mint(now, &OsEntropy)?,
        tenant_id: TenantId::authority(),
        user_id: None,
        kind: Kind::Service,
        name: String::from("resource server"),
        scopes: ScopeSet::from_iter([Permission::Introspect.scope()]),
        profile: String::new(),
        agent_id: String::new(),
        labels: Labels::new(),
        created_by: None,
        created_at: now,
        expires_at: None,
    };
    let secret = secret(&value, hash, key, now, &OsEntropy)?;
    let mut tx = store.begin().await?;
    tx.insert_token(&token, &secret).await?;
    let created = Change::TokenCreated(token.tenant_id, token.token_id);
    tx.close(&[created], &[], now).await?;
    Ok(value.expose())
}

/// Returns what verifies a value: by its fingerprint, as the hash is of another.
fn secret(
    value: &TokenValue,
    hash: &SecretHash,
    key: &Key,
    now: Timestamp,
    entropy: &dyn Entropy,
) -> Result<NewSecret, BoxError> {
    Ok(NewSecret {
        secret_id: SecretId::mint(now, entropy)?,
        lookup: value.lookup().clone(),
        hint: value.hint(),
        secret_hash: hash.clone(),
        fingerprint: (key.id().clone(), key.fingerprint(value.secret())),
    })
}

/// What fills a store.
#[derive(Debug)]
struct Filler<'a> {
    store: &'a Store,
    population: &'a Population,
    key: Key,
    hash: &'a SecretHash,
    number: ChangeNumber,
}

impl Filler<'_> {
    /// Inserts the tokens of these numbers, and their users, in one transaction.
    async fn chunk(&self, first: u64, end: u64) -> Result<(), BoxError> {
        let now = self.population.created_at;
        let mut made = Vec::new();
        for number in (first..end).step_by(TEN) {
            let user = self.population.user_of(number)?;
            let mut ten = Vec::with_capacity(TEN);
            for number in number..number + TOKENS_OF_USER {
                let (token, value) = self.population.token(number, &user)?;
                ten.push((
                    token,
                    secret(&value, self.hash, &self.key, now, &OsEntropy)?,
                ));
            }
            let ten: Box<[_; TEN]> = ten.try_into().map_err(|_| "not ten tokens")?;
            made.push((user, ten));
        }
        let mut tx = self.store.begin().await?;
        for (user, ten) in &made {
            let user = User {
                user_id: user.user_id,
                external_id: user.name.clone(),
                display_name: user.name.clone(),
                vouching_tenant_id: user.tenant_id.clone(),
                vouching_trust: None,
                active_tenant_id: user.tenant_id.clone(),
                version: Version(1),
                created_at: now,
                updated_at: now,
                suspended_at: None,
            };
            let (tenant_id, user_id) = (&user.vouching_tenant_id, user.user_id);
            tx.insert_user(&user).await?;
            tx.insert_membership(tenant_id, user_id, Role::Member, now)
                .await?;
            tx.insert_ten(ten, self.number).await?;
        }
        tx.close(&[], &[], now).await?;
        Ok(())
    }
}

/// Waits for all, or for the first that fails.
pub(super) async fn all<F: Future<Output = Result<(), BoxError>>>(
    futures: Vec<F>,
) -> Result<(), BoxError> {
    let mut open: Vec<_> = futures.into_iter().map(Box::pin).collect();
    std::future::poll_fn(|context| {
        let mut failed = None;
        open.retain_mut(|future| match future.as_mut().poll(context) {
            std::task::Poll::Pending => true,
            std::task::Poll::Ready(Ok(())) => false,
            std::task::Poll::Ready(Err(error)) => {
                failed = Some(error);
                false
            }
        });
        match failed {
            Some(error) => std::task::Poll::Ready(Err(error)),
            None if open.is_empty() => std::task::Poll::Ready(Ok(())),
            None => std::task::Poll::Pending,
        }
    })
    .await
}
