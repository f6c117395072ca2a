//! The flags of what serves: each sets a key of the configuration.

use std::path::PathBuf;

use crate::config::{self, Config, Flag, Problems, Purpose};

/// The flags that set a key, and which.
pub(super) const FLAGS: [(&str, &str); 8] = [
    ("--address", "server.address"),
    ("--plaintext", "server.plaintext"),
    ("--data", "database.directory"),
    ("--database-url-file", "database.url_file"),
    ("--keyring", "keyring.directory"),
    ("--ops-address", "ops.address"),
    ("--log", "telemetry.log"),
    ("--log-format", "telemetry.log_format"),
];

/// Where the configuration comes from. Each setting can also be given as an
/// environment variable: `TOKEN_AUTHORITY_SERVER__ADDRESS`.
#[derive(Debug, clap::Args)]
pub(super) struct ServerArguments {
    /// The configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where gRPC is served [server.address; default: 127.0.0.1:50051]
    #[arg(long, value_name = "ADDRESS")]
    address: Option<String>,
    /// Serve plain text on an address that is not loopback [server.plaintext]
    #[arg(long)]
    plaintext: bool,
    /// Where the embedded database, keys and the first token are kept
    /// [database.directory; default: data]
    #[arg(long, value_name = "DIRECTORY")]
    data: Option<String>,
    /// A file that holds a `postgres://` URL `[database.url_file]`
    #[arg(long, value_name = "FILE")]
    database_url_file: Option<String>,
    /// The directory of the keyring [keyring.directory]
    #[arg(long, value_name = "DIRECTORY")]
    keyring: Option<String>,
    /// Where metrics and liveness are served [ops.address; default: 127.0.0.1:9464]
    #[arg(long, value_name = "ADDRESS")]
    ops_address: Option<String>,
    /// What to log: debug, info,sqlx=debug [telemetry.log; default: info]
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
    /// How to log: text or json `[telemetry.log_format; default: text]`
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
}

impl ServerArguments {
    /// Reads the configuration.
    pub(super) fn read(self, purpose: Purpose) -> Result<Config, Problems> {
        let values = [
            self.address,
            self.plaintext.then(|| String::from("true")),
            self.data,
            self.database_url_file,
            self.keyring,
            self.ops_address,
            self.log,
            self.log_format,
        ];
        let flags: Vec<Flag> = FLAGS
            .into_iter()
            .zip(values)
            .filter_map(|((flag, key), value)| Some((flag, key, value?)))
            .collect();
        let environment = config::variables();
        Config::read(self.config.as_deref(), environment, &flags, purpose)
    }
}
