//! Configuration: a TOML file, then the environment, then flags. Every problem is
//! reported at once. Read by `app` alone; all else gets plain values.

mod check;
mod document;
mod file;
mod given;
mod identities;
pub mod mistakes;
mod problems;
mod schema;
mod sections;
mod tls;
mod trusts;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use self::check::misspelt_variables;
pub use self::document::markdown;
pub use self::file::read_text;
pub use self::given::{Flag, Origin};
pub use self::identities::Identity;
pub use self::problems::Problems;
pub use self::sections::{
    Bootstrap, Coherence, Database, Hashing, Keyring, Limits, LogFormat, Ops, Retention, Runtime,
    Secret, Server, Telemetry, Usage,
};
pub use self::tls::{ClientCertificates, Tls, TlsVersion};
pub use self::trusts::Trust;

use self::given::{Given, Raw};
use self::schema::{Key, Section};
use crate::authority::{hasher, sweeper};
use crate::coherence;
use crate::domain::time::{Clock, SystemClock};
use crate::housekeeping::Schedule;
use crate::rpc;

/// The threads that serve connections, at most.
const CORES_MAX: usize = 64;

/// The whole configuration.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// How calls are taken.
    pub server: Server,
    /// Where what must last is kept.
    pub database: Database,
    /// The keys for fingerprints.
    pub keyring: Keyring,
    /// The first operator's token.
    pub bootstrap: Bootstrap,
    /// How values are hashed.
    pub hashing: Hashing,
    /// How much is taken from callers.
    pub limits: Limits,
    /// TLS on the gRPC port.
    pub tls: Tls,
    /// What those who watch over the server are told.
    pub ops: Ops,
    /// Answers from memory.
    pub coherence: Coherence,
    /// How long what is dead is kept.
    pub retention: Retention,
    /// How the uses of tokens are kept.
    pub usage: Usage,
    /// What is logged.
    pub telemetry: Telemetry,
    /// The OIDC providers whose sessions are taken, by the names of the trusts.
    pub trusts: BTreeMap<String, Trust>,
    /// The services that are known by their client certificates, by the names of the
    /// identities.
    pub identities: BTreeMap<String, Identity>,
    /// Where each key that was given comes from, by `section.key`.
    origins: BTreeMap<String, Origin>,
}

/// What a configuration is read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To make, change or verify tokens.
    Serve,
    /// To migrate the schema, which takes no keys.
    Migrate,
}

impl Config {
    /// Reads the configuration: `file`, if one is named, then the environment's
    /// variables, then flags.
    pub fn read(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, OsString)>,
        flags: &[Flag],
        purpose: Purpose,
    ) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let given = file.map_or_else(Given::default, |path| {
            let name = path.display().to_string();
            match file::read_text(path) {
                Ok(text) => Given::file(&name, &text, &mut problems),
                Err(error) => {
                    problems.add(format!("{name}: can't be read: {error}"));
                    Given::default()
                }
            }
        });
        Self::of(given, environment, flags, purpose, problems)
    }

    /// Reads the configuration of a file that holds this text.
    fn read_text(
        file: (&str, &str),
        environment: impl IntoIterator<Item = (String, OsString)>,
        flags: &[Flag],
        purpose: Purpose,
    ) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let given = Given::file(file.0, file.1, &mut problems);
        Self::of(given, environment, flags, purpose, problems)
    }

    fn of(
        mut given: Given,
        environment: impl IntoIterator<Item = (String, OsString)>,
        flags: &[Flag],
        purpose: Purpose,
        mut problems: Problems,
    ) -> Result<Self, Problems> {
        let file_is_whole = problems.is_empty();
        given.environment(environment);
        given.flags(flags);
        let mut reader = Reader {
            sections: Self::described(),
            given,
            origins: BTreeMap::new(),
            problems: &mut problems,
        };
        let mut config = Self {
            // Before the section that they stand in.
            identities: reader.identities(),
            server: reader.section("server"),
            database: reader.section("database"),
            keyring: reader.section("keyring"),
            bootstrap: reader.section("bootstrap"),
            hashing: reader.section("hashing"),
            limits: reader.section("limits"),
            tls: reader.section("tls"),
            ops: reader.section("ops"),
            coherence: reader.section("coherence"),
            retention: reader.section("retention"),
            usage: reader.section("usage"),
            telemetry: reader.section("telemetry"),
            trusts: reader.trusts(),
            origins: BTreeMap::new(),
        };
        config.origins = reader.finish();
        config.choose_url();
        // What goes with what is not known of a file that could not be read.
        if file_is_whole {
            config.check(purpose, &mut problems);
            config.check_trusts(&mut problems);
            config.check_identities(&mut problems);
            if purpose == Purpose::Serve {
                let clock: Arc<dyn Clock> = Arc::new(SystemClock);
                config.check_tls(&mut problems, &clock);
            }
        }
        if problems.is_empty() {
            Ok(config)
        } else {
            Err(problems)
        }
    }

    /// Gives up the earlier of the database's URL and of the file that holds it: a key
    /// given later wins over the other, too. Given alike, they are told of.
    fn choose_url(&mut self) {
        let [url, file] = ["database.url", "database.url_file"];
        let layer = |name| self.origins.get(name).map(Origin::layer);
        let (Some(of_url), Some(of_file)) = (layer(url), layer(file)) else {
            return;
        };
        if of_url < of_file {
            self.database.url = None;
            self.origins.remove(url);
        } else if of_file < of_url {
            self.database.url_file = None;
            self.origins.remove(file);
        }
    }

    /// Describes all sections and what they hold.
    fn sections(&self) -> Vec<Section> {
        let Self {
            server,
            database,
            keyring,
            bootstrap,
            hashing,
            limits,
            tls,
            ops,
            coherence,
            retention,
            usage,
            telemetry,
            trusts,
            identities,
            origins: _,
        } = self;
        let trusts = trusts
            .iter()
            .map(|(name, trust)| Section::of(format!("trusts.{name}"), trust));
        let mut sections = vec![
            Section::of("server", server),
            Section::of("database", database),
            Section::of("keyring", keyring),
            Section::of("bootstrap", bootstrap),
            Section::of("hashing", hashing),
            Section::of("limits", limits),
            Section::of("tls", tls),
            Section::of("ops", ops),
            Section::of("coherence", coherence),
            Section::of("retention", retention),
            Section::of("usage", usage),
            Section::of("telemetry", telemetry),
        ];
        sections.extend(trusts);
        let identities = identities.iter();
        sections.extend(identities.map(|(name, identity)| {
            let name = format!("{}.{name}", identities::ALL);
            Section::of(name, identity)
        }));
        sections
    }

    /// Describes all sections that there can be.
    fn described() -> Vec<Section> {
        let mut sections = Self::default().sections();
        sections.push(Section::of(trusts::SECTION, &Trust::default()));
        sections.push(Section::of(identities::SECTION, &Identity::default()));
        sections
    }

    /// Returns where a key, `section.key`, comes from.
    fn origin(&self, name: &str) -> &Origin {
        self.origins.get(name).unwrap_or(&Origin::Default)
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

    /// Returns how much memory may take, if it is to be used where it may.
    pub fn memory(&self) -> Option<coherence::Settings> {
        let whole = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let mebibytes = Some(self.coherence.memory_mib).filter(|mebibytes| *mebibytes > 0);
        mebibytes.map(|mebibytes| coherence::Settings {
            bytes: whole(mebibytes.saturating_mul(1024 * 1024)),
            records: self.coherence.memory_records.map(whole),
        })
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

    /// Returns who serves connections.
    pub fn layout(&self) -> rpc::Layout {
        let all = || std::thread::available_parallelism().map_or(1, NonZero::get);
        match self.server.runtime {
            Runtime::PerCore => {
                let cores = self.server.cores.unwrap_or_else(all);
                rpc::Layout::PerCore(cores.min(CORES_MAX))
            }
            Runtime::Shared => rpc::Layout::Shared,
        }
    }

    /// Returns how long calls in flight may take to finish at the end.
    pub fn grace(&self) -> Duration {
        Duration::from_secs(self.server.grace_seconds)
    }

    /// Returns how long calls are still taken once the process was told to stop.
    pub fn drain(&self) -> Duration {
        Duration::from_secs(self.server.drain_seconds)
    }

    /// Returns how much is taken from callers.
    pub fn limits(&self) -> rpc::Limits {
        let limits = &self.limits;
        rpc::Limits {
            connections: limits.connections,
            connection_age: Duration::from_secs(self.server.connection_age_seconds),
            streams: limits.streams_per_connection,
            message_bytes: limits.message_bytes,
            batch_message_bytes: limits.batch_message_bytes,
            metadata_bytes: limits.metadata_bytes,
            deadline_default: Duration::from_secs(limits.deadline_default_seconds),
            deadline_max: Duration::from_secs(limits.deadline_max_seconds),
        }
    }
}

/// Reads sections out of what was given.
struct Reader<'a> {
    sections: Vec<Section>,
    given: Given,
    origins: BTreeMap<String, Origin>,
    problems: &'a mut Problems,
}

impl Reader<'_> {
    /// Reads a section; what is wrong of a key leaves it at its default.
    fn section<T: DeserializeOwned + Serialize + Default + JsonSchema>(
        &mut self,
        name: &'static str,
    ) -> T {
        let section = Section::of(name, &T::default());
        let given = self.given.section(name);
        self.keys(name, &section, given)
    }

    /// Reads the keys of a section that were given.
    fn keys<T: DeserializeOwned + Default>(
        &mut self,
        name: &str,
        section: &Section,
        given: Vec<(String, Raw, Origin)>,
    ) -> T {
        let mut table = toml::Table::new();
        for (key, raw, origin) in given {
            if key.is_empty() && matches!(raw, Raw::Wrong) {
                let what = format!("must be a section, [{name}]");
                self.problems.add_key(name, &what, &origin);
                continue;
            }
            let full = format!("{name}.{key}");
            let read = match section.find(&key) {
                None => Err(problems::no_such_key(&self.sections, section, &key)),
                Some(known) => read::<T>(known, raw),
            };
            match read {
                Ok(value) => {
                    table.insert(key, value);
                    self.origins.insert(full, origin);
                }
                Err(what) => self.problems.add_key(&full, &what, &origin),
            }
        }
        // Each of its keys can be read alone, so all of them can.
        table.try_into().unwrap_or_default()
    }

    /// Tells of what is left, which is no section; returns where all that was read comes
    /// from.
    fn finish(self) -> BTreeMap<String, Origin> {
        for (name, origin) in self.given.rest() {
            let what = problems::no_such_section(&self.sections, &name);
            self.problems.add_key(&name, &what, &origin);
        }
        self.origins
    }
}

/// Reads the value of a key of a section, or says what it must be.
fn read<T: DeserializeOwned>(key: &Key, raw: Raw) -> Result<toml::Value, String> {
    if matches!(raw, Raw::NotUtf8) {
        return Err(String::from("must be UTF-8"));
    }
    if raw.is_empty() {
        return Err(String::from(
            "must not be empty; leave it out for the default",
        ));
    }
    let is_taken = |value: &toml::Value| {
        let alone = toml::Table::from_iter([(key.name.clone(), value.clone())]);
        T::deserialize(alone).is_ok()
    };
    raw.readings()
        .into_iter()
        .find(|value| key.kind.holds(value) && is_taken(value))
        .ok_or_else(|| format!("must be {}", key.kind))
}

/// Returns the process's environment with values as they are: one that is no text is not
/// as if it were not there. A name that is none stays none.
pub fn variables() -> Vec<(String, OsString)> {
    std::env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value))
        .collect()
}

/// Returns the process's environment, as far as it is text.
pub fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

#[cfg(test)]
mod tests;
