//! The program as somebody's client: with a home of its own and nothing else in its
//! environment.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::support::TestServer;

/// Who calls.
pub(crate) struct Client {
    home: TempDir,
    variables: Vec<(&'static str, String)>,
}

/// What came of a command.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Client {
    /// Returns one who knows nothing.
    pub(crate) fn new() -> Self {
        Self {
            home: tempfile::tempdir().unwrap(),
            variables: Vec::new(),
        }
    }

    /// Returns one who calls a server with this token, by a profile.
    pub(crate) async fn of(t: &TestServer, value: &str) -> Self {
        let client = Self::new();
        let address = t.address.to_string();
        let set = ["profile", "set", "test", "--token", "--address", &address];
        client.ok_with(&set, value).await;
        client
    }

    /// Sets a variable of its environment.
    pub(crate) fn set(&mut self, name: &'static str, text: impl Into<String>) {
        self.variables.push((name, text.into()));
    }

    /// Returns the path of a file in its home, which is where it calls from.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Runs a command with nothing on its standard input.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Said {
        self.run_with(arguments, "").await
    }

    /// Runs a command.
    pub(crate) async fn run_with(&self, arguments: &[&str], input: &str) -> Said {
        let mut command = Command::new(env!("CARGO_BIN_EXE_token-authority"));
        command
            .args(arguments)
            .current_dir(self.home.path())
            .env_clear()
            .env("HOME", self.home.path())
            .envs(self.variables.iter().map(|(name, text)| (name, text)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let input = input.to_owned();
        // The server runs on this thread.
        let ended = tokio::task::spawn_blocking(move || {
            let mut child = command.spawn().unwrap();
            // One that reads nothing may have ended.
            let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
            child.wait_with_output().unwrap()
        });
        let ended = ended.await.unwrap();
        Said {
            code: ended.status.code(),
            out: String::from_utf8(ended.stdout).unwrap(),
            err: String::from_utf8(ended.stderr).unwrap(),
        }
    }

    /// Runs a command that must succeed; returns what it printed.
    pub(crate) async fn ok(&self, arguments: &[&str]) -> String {
        self.ok_with(arguments, "").await
    }

    /// Runs a command that must succeed; returns what it printed.
    pub(crate) async fn ok_with(&self, arguments: &[&str], input: &str) -> String {
        let said = self.run_with(arguments, input).await;
        assert_eq!(said.code, Some(0), "{arguments:?}: {said:#?}");
        said.out
    }

    /// Runs a command that must fail so, printing nothing; returns what it said.
    pub(crate) async fn fails(&self, code: i32, arguments: &[&str]) -> String {
        self.fails_with(code, arguments, "").await
    }

    /// Runs a command that must fail so, printing nothing; returns what it said.
    pub(crate) async fn fails_with(&self, code: i32, arguments: &[&str], input: &str) -> String {
        let said = self.run_with(arguments, input).await;
        assert_eq!(said.code, Some(code), "{arguments:?}: {said:#?}");
        assert_eq!(said.out, "", "{arguments:?}");
        said.err
    }

    /// Runs a command that must succeed, and parses its JSON.
    pub(crate) async fn json(&self, arguments: &[&str]) -> serde_json::Value {
        let text = self.ok(&[arguments, &["--json"]].concat()).await;
        serde_json::from_str(&text).unwrap()
    }
}

/// Returns what a record says of a field.
pub(crate) fn field<'a>(record: &'a str, name: &str) -> &'a str {
    let line = record.lines().find_map(|line| {
        let (field, said) = line.split_once(':')?;
        (field == name).then_some(said.trim())
    });
    line.unwrap_or_else(|| panic!("no {name:?} in {record}"))
}

/// Returns a file's mode.
pub(crate) fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}
