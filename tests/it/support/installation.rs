//! What outlasts the program: a database, a keyring, and a configuration in the
//! environment.

use std::path::PathBuf;

use tempfile::TempDir;
use token_authority::config::Config;

use super::{Backend, Database, Program};

/// An installation.
pub(crate) struct Installation {
    pub(crate) database: Database,
    /// The data directory.
    pub(crate) data: PathBuf,
    environment: Vec<(&'static str, String)>,
    directory: TempDir,
}

impl Installation {
    /// Makes one over an empty database.
    pub(crate) async fn new(backend: Backend) -> Self {
        let database = Database::new(backend).await;
        let directory = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.database.directory = directory.path().join("data");
        database.configure(&mut config);
        let data = config.database.directory;
        let keyring = directory.path().join("keyring");
        let mut environment = vec![
            ("TOKEN_AUTHORITY_SERVER__ADDRESS", "127.0.0.1:0".into()),
            ("TOKEN_AUTHORITY_HASHING__COST", "4".into()),
            ("TOKEN_AUTHORITY_DATABASE__CONNECTIONS", "8".into()),
            (
                "TOKEN_AUTHORITY_DATABASE__DIRECTORY",
                data.display().to_string(),
            ),
            (
                "TOKEN_AUTHORITY_KEYRING__DIRECTORY",
                keyring.display().to_string(),
            ),
            ("TOKEN_AUTHORITY_KEYRING__CREATE", "true".into()),
        ];
        let url = config.database.url;
        let url = url.map(|url| ("TOKEN_AUTHORITY_DATABASE__URL", url.expose().to_owned()));
        environment.extend(url);
        Self {
            database,
            data,
            environment,
            directory,
        }
    }

    /// Starts the program, with these variables besides; returns it and where it serves.
    pub(crate) fn start(&self, besides: &[(&'static str, &str)]) -> (Program, String) {
        let mut environment = self.environment.clone();
        environment.extend(besides.iter().map(|(name, text)| (*name, (*text).into())));
        let mut program = Program::start_with(&["serve"], self.directory.path(), &environment);
        let address = program.address();
        (program, address)
    }

    /// Returns the operator's value, as the program wrote it.
    pub(crate) fn operator(&self) -> String {
        let text = std::fs::read_to_string(self.data.join("operator-token")).unwrap();
        text.trim().to_owned()
    }
}
