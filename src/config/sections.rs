//! The sections of a configuration, each with its defaults. What is written here of a
//! key is what docs/config.md says of it, and its range is what is checked.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::authority::hasher;
use crate::domain::bounds;

/// What stands for a secret where a configuration is shown.
pub(super) const REDACTED: &str = "[redacted]";

/// `[server]`: how calls are taken.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// Where gRPC is served. Port 0 takes a free one.
    #[schemars(extend("format" = "address"))]
    pub address: SocketAddr,
    /// Whether to serve plain text on an address that is not loopback.
    pub plaintext: bool,
    /// Whether reflection is served, v1 and v1alpha.
    pub reflection: bool,
    /// How long, in seconds, calls and new connections are still taken after the process
    /// was told to stop and its health has said so: for whoever sends it calls to see
    /// that and go elsewhere. 5 is what Kubernetes needs at the utmost to take a pod out
    /// of a Service; where nobody watches health, 0 spares the wait.
    #[schemars(range(max = 600))]
    pub drain_seconds: u64,
    /// How long, in seconds, calls in flight may take to finish once the drain is over.
    /// With the drain, 4 for the last writes and 5 for traces it is 29, under the 30 that
    /// Kubernetes leaves a pod by default.
    #[schemars(range(max = 3600))]
    pub grace_seconds: u64,
    /// How long, in seconds, a connection lasts, a tenth more or less, before its client is
    /// told to make another: so that whoever balances by connections finds new replicas.
    /// Calls in flight finish; what outlasts `limits.deadline_max_seconds`, as a stream of
    /// health may, is cut. 0 lets connections last for ever.
    #[schemars(range(max = 86_400))]
    pub connection_age_seconds: u64,
    /// Which threads serve connections: `per-core`, so many as `cores` says, each with
    /// connections of its own; or `shared`, those that do all else, for whoever has fewer
    /// busy connections than cores.
    pub runtime: Runtime,
    /// Threads that serve connections where `runtime` is `per-core`; as many as there are
    /// cores where it is absent.
    #[schemars(range(min = 1, max = 64))]
    pub cores: Option<usize>,
}

/// Which threads serve connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Runtime {
    /// Some of their own.
    PerCore,
    /// Those that do all else, too.
    Shared,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], 50051)),
            plaintext: false,
            reflection: true,
            drain_seconds: 5,
            grace_seconds: 15,
            connection_age_seconds: bounds::CONNECTION_AGE.as_secs(),
            runtime: Runtime::PerCore,
            cores: None,
        }
    }
}

/// `[database]`: where what must last is kept.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Database {
    /// Where the embedded database, the keyring and the operator's token are kept.
    pub directory: PathBuf,
    /// A `postgres://` URL, to use that instead of the embedded database.
    pub url: Option<Secret>,
    /// A file that holds the URL, so that its password is in no configuration. Of the two
    /// the one that is given later wins, as a variable does over the file's `url`; given
    /// in one place, they are refused.
    pub url_file: Option<PathBuf>,
    /// Connections to `PostgreSQL`, or readers of the embedded database.
    #[schemars(range(min = 1, max = 1000))]
    pub connections: u32,
    /// How long, in milliseconds, a call waits for a connection.
    #[schemars(range(min = 1, max = 60_000))]
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

/// A text that is shown to nobody.
#[derive(Clone, Deserialize)]
pub struct Secret(String);

impl Secret {
    /// Returns it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(REDACTED)
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "format": "password", "writeOnly": true })
    }
}

/// `[keyring]`: the keys for fingerprints.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Keyring {
    /// The directory of `*.key` files; `keyring` in the data directory where the
    /// database is embedded, required where it is not.
    pub directory: Option<PathBuf>,
    /// Whether to make a first key; yes where the database is embedded, else no.
    pub create: Option<bool>,
    /// How often, in seconds, the directory is read again; the same on all replicas.
    #[schemars(range(min = 1, max = 3600))]
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

/// `[bootstrap]`: the first operator's token.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Bootstrap {
    /// A file that holds the value of the first operator's token, as `token-authority
    /// bootstrap --mint` makes one; where it is absent one is made and shown, or written
    /// into the data directory. It is read where the store has no operator yet, and may be
    /// gone after that. The token ends after 24 hours, unless it is extended.
    pub token_file: Option<PathBuf>,
}

/// `[usage]`: how the uses of tokens are kept.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Usage {
    /// How often, in seconds, what is in memory is written.
    #[schemars(range(min = 1, max = 3600))]
    pub flush_seconds: u64,
}

impl Default for Usage {
    fn default() -> Self {
        Self { flush_seconds: 10 }
    }
}

/// `[hashing]`: how values are hashed.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Hashing {
    /// bcrypt's cost: 4 to 14; each step doubles the time.
    #[schemars(range(min = hasher::COST_MIN, max = hasher::COST_MAX))]
    pub cost: u32,
    /// Threads that hash; half the cores where it is absent.
    #[schemars(range(min = 1, max = 256))]
    pub threads: Option<usize>,
    /// Values that may wait to be hashed.
    #[schemars(range(min = 1, max = 100_000))]
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
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Ops {
    /// Where metrics, liveness and readiness are served, in plain text and to anybody.
    /// Port 0 takes a free one.
    #[schemars(extend("format" = "address"))]
    pub address: SocketAddr,
    /// Whether to serve them on an address that is not loopback.
    pub exposed: bool,
    /// How often, in seconds, tokens are counted for metrics.
    #[schemars(range(min = 10, max = 86_400))]
    pub census_seconds: u64,
}

impl Default for Ops {
    fn default() -> Self {
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], 9464)),
            exposed: false,
            census_seconds: 600,
        }
    }
}

/// `[limits]`: how much is taken from callers, before anything is known of them. What a
/// field may hold is not among it: that is the protocol's.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Connections at once; one too many is closed. Each takes a file descriptor.
    #[schemars(range(min = 1, max = 100_000))]
    pub connections: usize,
    /// Calls on one connection at once.
    #[schemars(range(min = 1, max = 1000))]
    pub streams_per_connection: u32,
    /// Bytes of a message.
    #[schemars(range(min = 65_536, max = 16_777_216))]
    pub message_bytes: usize,
    /// Bytes of a message of `IntrospectionService` or `TokenService`, which have batches;
    /// not less than `message_bytes`.
    #[schemars(range(min = 65_536, max = 33_554_432))]
    pub batch_message_bytes: usize,
    /// Bytes of a call's metadata.
    #[schemars(range(min = 4096, max = 65_536))]
    pub metadata_bytes: u32,
    /// How long, in seconds, a call may take whose caller gives no deadline; not more
    /// than `deadline_max_seconds`.
    #[schemars(range(min = 1, max = 600))]
    pub deadline_default_seconds: u64,
    /// How long, in seconds, a call may take whatever deadline its caller gives.
    #[schemars(range(min = 1, max = 600))]
    pub deadline_max_seconds: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: bounds::CONNECTIONS,
            streams_per_connection: bounds::STREAMS,
            message_bytes: bounds::MESSAGE_BYTES,
            batch_message_bytes: bounds::BATCH_MESSAGE_BYTES,
            metadata_bytes: bounds::METADATA_BYTES,
            deadline_default_seconds: bounds::DEADLINE_DEFAULT.as_secs(),
            deadline_max_seconds: bounds::DEADLINE_MAX.as_secs(),
        }
    }
}

/// `[retention]`: how long what is dead is kept.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// Days for which revoked and expired tokens, and ended values, are kept where their
    /// tenant does not say.
    #[schemars(range(min = 1, max = 3650))]
    pub dead_tokens_days: u32,
    /// Days for which audit events are kept; for ever where it is absent.
    #[schemars(range(min = 1, max = 3650))]
    pub audit_days: Option<u32>,
    /// How often, in minutes, what is past its retention is removed.
    #[schemars(range(min = 1, max = 1440))]
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

/// `[coherence]`: answers from memory.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Coherence {
    /// The mebibytes that memory may take for what is known of tokens, about; about 300 bytes
    /// a token. 0 has every value looked up in the database.
    #[schemars(range(max = 1_048_576))]
    pub memory_mib: u64,
    /// The tokens' values that memory may hold, beside that; absent, the mebibytes alone
    /// decide.
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub memory_records: Option<u64>,
    /// Whether this is the only process that uses a PostgreSQL database, so that answers may
    /// come from memory: another that says so is refused, and one that does not must not
    /// run. The embedded database is always used by one process alone.
    pub single_process: bool,
}

impl Default for Coherence {
    fn default() -> Self {
        Self {
            memory_mib: 256,
            memory_records: None,
            single_process: false,
        }
    }
}

/// `[telemetry]`: what is logged and traced.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
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
    /// for what is left.
    #[schemars(range(min = 1, max = 60))]
    pub otlp_timeout_seconds: u64,
    /// Spans that may wait to be sent; more are dropped.
    #[schemars(range(min = 512, max = 100_000))]
    pub otlp_queue: usize,
    /// Which part of the traces that begin here is exported. Where a caller's trace goes
    /// on, the caller has decided.
    #[schemars(range(min = 0.0, max = 1.0))]
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

/// How to log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// A JSON object a line.
    Json,
}
