//! The commands that administer, run as a process against a server.

mod audit;
mod catalogs;
mod invites;
mod reach;
mod records;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::support::{Actor, TestServer};

/// Somebody at a command line, with a token and a server's address in the environment.
pub(crate) struct Client {
    address: String,
    directory: TempDir,
}

/// What a command said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    /// Returns what was printed by a command that succeeded.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        assert_eq!(self.err, "", "{self:?}");
        self.out
    }

    /// Returns what was said by a command that ended like this.
    #[track_caller]
    pub(crate) fn failed(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{self:?}");
        self.err
    }
}

impl Client {
    /// Returns somebody who calls as the actor.
    pub(crate) fn new(t: &TestServer, actor: &Actor) -> Self {
        let client = Self {
            address: t.address.to_string(),
            directory: tempfile::tempdir().unwrap(),
        };
        client.file("token", actor.value());
        client
    }

    /// Writes a file where the commands run; returns its path.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Returns where the commands find a file of this name.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Returns a command, to be run where the files are.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.directory.path())
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("TA_CONFIG_DIR", self.directory.path())
            .env("TA_ADDRESS", &self.address)
            .env("TA_TOKEN_FILE", "token")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs a command with nothing to read.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Said {
        self.run_with(arguments, "").await
    }

    /// Runs a command that reads this from its standard input.
    pub(crate) async fn run_with(&self, arguments: &[&str], input: &str) -> Said {
        let mut command = self.command(env!("CARGO_BIN_EXE_token-authority"));
        command.args(arguments);
        let input = input.to_owned();
        // Beside this thread, which is the server's.
        let ended = tokio::task::spawn_blocking(move || {
            let mut child = command.spawn().unwrap();
            // Who reads nothing may have ended already.
            let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
            child.wait_with_output().unwrap()
        });
        let output = ended.await.unwrap();
        Said {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Runs a command on a terminal; once it asks, does something, and answers. Returns
    /// what it exits with and what stood on the terminal.
    #[cfg(target_os = "linux")]
    pub(crate) async fn answer(
        &self,
        arguments: &[&str],
        meanwhile: impl AsyncFnOnce(),
        answer: &str,
    ) -> (Option<i32>, String) {
        use std::io::Read as _;
        let line = [&[env!("CARGO_BIN_EXE_token-authority")], arguments].concat();
        let mut command = self.command("script");
        command.args(["-qec", &line.join(" "), "/dev/null"]);
        let asked = tokio::task::spawn_blocking(move || {
            let mut child = command.spawn().unwrap();
            let mut out = child.stdout.take().unwrap();
            let (mut said, mut byte) = (Vec::new(), [0]);
            while !said.ends_with(b"[y/N] ") && out.read(&mut byte).unwrap() == 1 {
                said.push(byte[0]);
            }
            (child, out, said)
        });
        let (mut child, mut out, mut said) = asked.await.unwrap();
        meanwhile().await;
        let answer = format!("{answer}\n");
        let ended = tokio::task::spawn_blocking(move || {
            let mut stdin = child.stdin.take().unwrap();
            stdin.write_all(answer.as_bytes()).unwrap();
            // The end of the input would end the terminal before the program.
            out.read_to_end(&mut said).unwrap();
            drop(stdin);
            (child.wait().unwrap().code(), said)
        });
        let (code, said) = ended.await.unwrap();
        (code, String::from_utf8(said).unwrap())
    }
}
