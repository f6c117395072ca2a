//! The sections of a configuration, each with its defaults.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::de::{self, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

use crate::authority::hasher;

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

/// `[telemetry]`: what is logged and traced.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Telemetry {
    /// What to log, as a filter of `tracing`: `info`, `token_authority=debug`.
    pub log: String,
    /// How.
    pub log_format: LogFormat,
    /// Where traces are sent, by OTLP over gRPC: `http://HOST:PORT` or
    /// `https://HOST:PORT`, which trusts the system's roots. Absent, nothing is traced.
    pub otlp_endpoint: Option<String>,
    /// A file of headers to send along, a line of `name: value` each.
    pub otlp_headers_file: Option<PathBuf>,
    /// How long, in seconds, the collector may take for what it is sent, and the end
    /// for what is left: 1 to 60.
    pub otlp_timeout_seconds: u64,
    /// Spans that may wait to be sent, 512 to 100000; more are dropped.
    pub otlp_queue: usize,
    /// Which part of the traces that begin here is exported: 0 to 1. Where a caller's
    /// trace goes on, the caller has decided.
    #[serde(deserialize_with = "ratio")]
    pub sample_ratio: f64,
    /// The service's name in traces.
    pub service_name: String,
    /// What tells this process from others of the service, such as a pod's name.
    pub service_instance: Option<String>,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self {
            log: String::from("info"),
            log_format: LogFormat::Text,
            otlp_endpoint: None,
            otlp_headers_file: None,
            otlp_timeout_seconds: 5,
            otlp_queue: 4096,
            sample_ratio: 1.0,
            service_name: String::from("token-authority"),
            service_instance: None,
        }
    }
}

/// Reads a number, also from the text that the environment has it as.
fn ratio<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    struct Ratio;
    impl Visitor<'_> for Ratio {
        type Value = f64;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a number")
        }

        fn visit_f64<E: de::Error>(self, number: f64) -> Result<f64, E> {
            Ok(number)
        }

        fn visit_i64<E: de::Error>(self, number: i64) -> Result<f64, E> {
            // What is out of bounds is told as such.
            Ok(i32::try_from(number).map_or(f64::NAN, f64::from))
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<f64, E> {
            text.parse()
                .map_err(|_| E::invalid_type(Unexpected::Str(text), &self))
        }
    }
    deserializer.deserialize_any(Ratio)
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
