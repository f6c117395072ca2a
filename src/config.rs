//! Configuration: a TOML file, then the environment, then flags. Every problem is
//! reported at once. Read by `app` alone; all else gets plain values.

mod check;
mod sections;
mod trusts;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::DeserializeOwned;

pub use self::sections::{
    Database, Hashing, Keyring, LogFormat, Ops, Retention, Server, Telemetry, Usage,
};
pub use self::trusts::Trust;

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
    /// The OIDC providers whose sessions are taken, by the names of the trusts.
    pub trusts: BTreeMap<String, Trust>,
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
            trusts: section(&mut table, "trusts", &mut problems),
        };
        problems.extend(table.keys().map(|name| format!("{name}: no such section")));
        config.check(purpose, &mut problems);
        config.check_trusts(&mut problems);
        if problems.is_empty() {
            Ok(config)
        } else {
            Err(Problems(problems))
        }
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
