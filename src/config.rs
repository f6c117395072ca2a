//! Configuration: a TOML file, then the environment, then flags. Every problem is
//! reported at once. Read by `app` alone; all else gets plain values.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::authority::{hasher, sweeper};
use crate::housekeeping::Schedule;

/// What the environment's variables begin with; `__` stands between a section and
/// a key: `TOKEN_AUTHORITY_SERVER__ADDRESS`.
const PREFIX: &str = "TOKEN_AUTHORITY_";

/// The whole configuration.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// How calls are taken.
    pub server: Server,
    /// Where what must last is kept.
    pub database: Database,
    /// The keys for fingerprints.
    pub keyring: Keyring,
    /// How values are hashed.
    pub hashing: Hashing,
    /// What those who watch over the server are told.
    pub ops: Ops,
    /// How long what is dead is kept.
    pub retention: Retention,
    /// How the uses of tokens are kept.
    pub usage: Usage,
    /// What is logged.
    pub telemetry: Telemetry,
}

/// `[server]`: how calls are taken.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// Where gRPC is served. Port 0 takes a free one.
    pub address: SocketAddr,
    /// Whether to serve plain text on an address that is not loopback.
    pub plaintext: bool,
    /// Whether reflection is served.
    pub reflection: bool,
    /// How long, in seconds, calls in flight may take to finish at the end.
    pub grace_seconds: u64,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], 50051)),
            plaintext: false,
            reflection: true,
            grace_seconds: 30,
        }
    }
}

/// `[database]`: where what must last is kept.
#[derive(Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Database {
    /// Where the embedded database, the keyring and the operator's token are kept.
    pub directory: PathBuf,
    /// A `postgres://` URL, to use that instead of the embedded database.
    pub url: Option<String>,
    /// A file that holds the URL, so that its password is in no configuration.
    pub url_file: Option<PathBuf>,
    /// Connections to `PostgreSQL`, or readers of the embedded database.
    pub connections: u32,
    /// How long, in milliseconds, a call waits for a connection.
    pub acquire_timeout_ms: u64,
}

impl Default for Database {
    fn default() -> Self {
        Self {
            directory: PathBuf::from("data"),
            url: None,
            url_file: None,
            connections: 16,
            acquire_timeout_ms: 5000,
        }
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database")
            .field("directory", &self.directory)
            .field("url", &self.url.as_ref().map(|_| "[redacted]"))
            .field("url_file", &self.url_file)
            .field("connections", &self.connections)
            .field("acquire_timeout_ms", &self.acquire_timeout_ms)
            .finish()
    }
}

/// `[keyring]`: the keys for fingerprints.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Keyring {
    /// The directory of `*.key` files; `keyring` in the data directory where the
    /// database is embedded, required where it is not.
    pub directory: Option<PathBuf>,
    /// Whether to make a first key; yes where the database is embedded, else no.
    pub create: Option<bool>,
    /// How often, in seconds, the directory is read again; the same on all replicas.
    pub reload_seconds: u64,
}

impl Default for Keyring {
    fn default() -> Self {
        Self {
            directory: None,
            create: None,
            reload_seconds: 10,
        }
    }
}

/// `[usage]`: how the uses of tokens are kept.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Usage {
    /// How often, in seconds, what is in memory is written.
    pub flush_seconds: u64,
}

impl Default for Usage {
    fn default() -> Self {
        Self { flush_seconds: 10 }
    }
}

/// `[hashing]`: how values are hashed.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Hashing {
    /// bcrypt's cost: 4 to 14; each step doubles the time.
    pub cost: u32,
    /// Threads that hash; half the cores where it is absent.
    pub threads: Option<usize>,
    /// Values that may wait to be hashed.
    pub queue: usize,
}

impl Default for Hashing {
    fn default() -> Self {
        let settings = hasher::Settings::default();
        Self {
            cost: settings.cost,
            threads: None,
            queue: settings.queue,
        }
    }
}

/// `[ops]`: what those who watch over the server are told.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ops {
    /// Where metrics and liveness are served, in plain text. Port 0 takes a free one.
    pub address: SocketAddr,
    /// How often, in seconds, tokens are counted for metrics.
    pub census_seconds: u64,
}

impl Default for Ops {
    fn default() -> Self {
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], 9464)),
            census_seconds: 600,
        }
    }
}

/// `[retention]`: how long what is dead is kept.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// Days for which revoked and expired tokens, and ended values, are kept where their
    /// tenant does not say.
    pub dead_tokens_days: u32,
    /// Days for which audit events are kept; for ever where it is absent.
    pub audit_days: Option<u32>,
    /// How often, in minutes, what is past its retention is removed.
    pub sweep_minutes: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            dead_tokens_days: 90,
            audit_days: None,
            sweep_minutes: 60,
        }
    }
}

/// `[telemetry]`: what is logged.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Telemetry {
    /// What to log, as a filter of `tracing`: `info`, `token_authority=debug`.
    pub log: String,
    /// How.
    pub log_format: LogFormat,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self {
            log: String::from("info"),
            log_format: LogFormat::Text,
        }
    }
}

/// How to log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// A JSON object a line.
    Json,
}

/// All that is wrong with a configuration.
#[derive(Debug, PartialEq, Eq)]
pub struct Problems(Vec<String>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "the configuration has {} problem(s):", self.0.len())?;
        for problem in &self.0 {
            writeln!(f, "  - {problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// What a configuration is read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To make, change or verify tokens.
    Serve,
    /// To migrate the schema, which takes no keys.
    Migrate,
}

/// A value given by a flag: `section.key` and what it is set to.
pub type Flag = (&'static str, String);

impl Config {
    /// Reads the configuration: `file`, if one is named, then the environment's
    /// variables, then flags.
    pub fn read(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
        flags: &[Flag],
        purpose: Purpose,
    ) -> Result<Self, Problems> {
        let mut problems = Vec::new();
        let mut table = file.map_or_else(toml::Table::new, |path| parse(path, &mut problems));
        for (name, text) in environment {
            let Some(key) = name.strip_prefix(PREFIX) else {
                continue;
            };
            // What has no `__` is not ours: Kubernetes gives each pod variables such as
            // TOKEN_AUTHORITY_PORT for a Service of this name.
            if let Some((section, key)) = key.to_lowercase().split_once("__") {
                set(&mut table, section, key, &text, &mut problems);
            }
        }
        for (name, text) in flags {
            if let Some((section, key)) = name.split_once('.') {
                set(&mut table, section, key, text, &mut problems);
            }
        }
        let config = Self {
            server: section(&mut table, "server", &mut problems),
            database: section(&mut table, "database", &mut problems),
            keyring: section(&mut table, "keyring", &mut problems),
            hashing: section(&mut table, "hashing", &mut problems),
            ops: section(&mut table, "ops", &mut problems),
            retention: section(&mut table, "retention", &mut problems),
            usage: section(&mut table, "usage", &mut problems),
            telemetry: section(&mut table, "telemetry", &mut problems),
        };
        problems.extend(table.keys().map(|name| format!("{name}: no such section")));
        config.check(purpose, &mut problems);
        if problems.is_empty() {
            Ok(config)
        } else {
            Err(Problems(problems))
        }
    }

    fn check(&self, purpose: Purpose, problems: &mut Vec<String>) {
        let mut require = |good: bool, problem: &str| {
            if !good {
                problems.push(problem.to_owned());
            }
        };
        let loopback = self.server.address.ip().is_loopback();
        require(
            loopback || self.server.plaintext,
            "server.address: not loopback, and there is no TLS; set server.plaintext = true to \
             serve plain text there",
        );
        let cost = hasher::COST_MIN..=hasher::COST_MAX;
        require(
            cost.contains(&self.hashing.cost),
            "hashing.cost: must be 4 to 14",
        );
        let threads = self.hashing.threads;
        require(
            threads.is_none_or(|threads| (1..=256).contains(&threads)),
            "hashing.threads: must be 1 to 256",
        );
        require(
            (1..=100_000).contains(&self.hashing.queue),
            "hashing.queue: must be 1 to 100000",
        );
        require(
            (1..=1000).contains(&self.database.connections),
            "database.connections: must be 1 to 1000",
        );
        require(
            (1..=60_000).contains(&self.database.acquire_timeout_ms),
            "database.acquire_timeout_ms: must be 1 to 60000",
        );
        require(
            self.server.grace_seconds <= 3600,
            "server.grace_seconds: must be at most 3600",
        );
        require(
            (1..=3600).contains(&self.keyring.reload_seconds),
            "keyring.reload_seconds: must be 1 to 3600",
        );
        require(
            (1..=3600).contains(&self.usage.flush_seconds),
            "usage.flush_seconds: must be 1 to 3600",
        );
        require(
            (10..=86_400).contains(&self.ops.census_seconds),
            "ops.census_seconds: must be 10 to 86400",
        );
        require(
            (1..=3650).contains(&self.retention.dead_tokens_days),
            "retention.dead_tokens_days: must be 1 to 3650",
        );
        let days = self.retention.audit_days;
        require(
            days.is_none_or(|days| (1..=3650).contains(&days)),
            "retention.audit_days: must be 1 to 3650",
        );
        require(
            (1..=1440).contains(&self.retention.sweep_minutes),
            "retention.sweep_minutes: must be 1 to 1440",
        );
        let filter = tracing_subscriber::EnvFilter::builder().parse(&self.telemetry.log);
        require(
            filter.is_ok(),
            "telemetry.log: not a filter such as info or info,token_authority=debug",
        );
        let (url, url_file) = (&self.database.url, &self.database.url_file);
        require(
            url.is_none() || url_file.is_none(),
            "database.url and database.url_file: set one of them",
        );
        let external = url.is_some() || url_file.is_some();
        require(
            purpose == Purpose::Migrate || !external || self.keyring.directory.is_some(),
            "keyring.directory: required with PostgreSQL, where replicas share one keyring",
        );
    }

    /// Returns the directory of the keyring, and whether a key may be made there.
    pub fn keyring(&self) -> (PathBuf, bool) {
        let embedded = self.database.url.is_none() && self.database.url_file.is_none();
        let directory = self.keyring.directory.clone();
        let directory = directory.unwrap_or_else(|| self.database.directory.join("keyring"));
        (directory, self.keyring.create.unwrap_or(embedded))
    }

    /// Returns the settings of the pool that hashes.
    pub fn hashing(&self) -> hasher::Settings {
        let default = hasher::Settings::default();
        hasher::Settings {
            cost: self.hashing.cost,
            threads: self.hashing.threads.unwrap_or(default.threads),
            queue: self.hashing.queue,
        }
    }

    /// Returns how often each chore is done.
    pub fn schedule(&self) -> Schedule {
        let days = |days: u32| Duration::from_secs(24 * 60 * 60) * days;
        let retention = &self.retention;
        Schedule {
            reload_keyring: Duration::from_secs(self.keyring.reload_seconds),
            flush_usage: Duration::from_secs(self.usage.flush_seconds),
            take_census: Duration::from_secs(self.ops.census_seconds),
            retention: sweeper::Retention {
                dead_tokens: days(retention.dead_tokens_days),
                audit_events: retention.audit_days.map(days),
                period: Duration::from_secs(60 * retention.sweep_minutes),
            },
        }
    }

    /// Returns how long calls in flight may take to finish at the end.
    pub fn grace(&self) -> Duration {
        Duration::from_secs(self.server.grace_seconds)
    }
}

fn parse(path: &Path, problems: &mut Vec<String>) -> toml::Table {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            problems.push(format!("{}: {error}", path.display()));
            return toml::Table::new();
        }
    };
    text.parse().unwrap_or_else(|error: toml::de::Error| {
        // The message alone: the whole error shows lines of the file, which may
        // hold a password.
        problems.push(format!("{}: {}", path.display(), error.message()));
        toml::Table::new()
    })
}

/// Sets a key to a text: as a number or a truth where it is one.
fn set(table: &mut toml::Table, section: &str, key: &str, text: &str, problems: &mut Vec<String>) {
    let value = match (text.parse::<i64>(), text.parse::<bool>()) {
        (Ok(number), _) => toml::Value::Integer(number),
        (_, Ok(truth)) => toml::Value::Boolean(truth),
        _ => toml::Value::String(text.to_owned()),
    };
    let entry = table
        .entry(section)
        .or_insert_with(|| toml::Table::new().into());
    match entry.as_table_mut() {
        Some(section) => drop(section.insert(key.to_owned(), value)),
        None => problems.push(format!("{section}: must be a section")),
    }
}

fn section<T: DeserializeOwned + Default>(
    table: &mut toml::Table,
    name: &str,
    problems: &mut Vec<String>,
) -> T {
    let Some(value) = table.remove(name) else {
        return T::default();
    };
    value.try_into().unwrap_or_else(|error: toml::de::Error| {
        problems.push(format!("{name}: {}", told(error.message())));
        T::default()
    })
}

/// Returns what is wrong without the value that is wrong, which may be a password.
fn told(message: &str) -> String {
    match message.split_once(", expected ") {
        Some((wrong, expected)) if wrong.starts_with("invalid") => {
            format!("a value is not of its type, expected {expected}")
        }
        _ => message.to_owned(),
    }
}

/// Returns the process's environment.
pub fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

#[cfg(test)]
mod tests;
