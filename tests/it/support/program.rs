//! The program itself, as a process.

use std::io::{BufRead as _, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// How long a test waits for a line, or for the end.
const PATIENCE: Duration = Duration::from_secs(60);

/// The program, running. Dropped, it is killed.
pub(crate) struct Program {
    child: Child,
    lines: Receiver<String>,
    said: Vec<String>,
}

impl Program {
    /// Starts it in a directory, with nothing in its environment.
    pub(crate) fn start(arguments: &[&str], temporary: &Path) -> Self {
        Self::start_with(arguments, temporary, &[])
    }

    /// Starts it in a directory, with these variables in its environment.
    pub(crate) fn start_with(
        arguments: &[&str],
        temporary: &Path,
        environment: &[(&str, String)],
    ) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_token-authority"));
        command.args(arguments);
        Self::start_command(command, temporary, environment)
    }

    /// Starts a command in a directory, with these variables in its environment.
    pub(crate) fn start_command(
        mut command: Command,
        temporary: &Path,
        environment: &[(&str, String)],
    ) -> Self {
        let mut child = command
            .current_dir(temporary)
            .env_clear()
            .env("TMPDIR", temporary)
            // Several run at once.
            .env("TOKEN_AUTHORITY_OPS__ADDRESS", "127.0.0.1:0")
            .env("TOKEN_AUTHORITY_SERVER__DRAIN_SECONDS", "0")
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = channel();
        read(child.stdout.take().unwrap(), sender.clone());
        read(child.stderr.take().unwrap(), sender);
        Self {
            child,
            lines,
            said: Vec::new(),
        }
    }

    /// Waits for a line in which this stands, and returns it.
    pub(crate) fn until(&mut self, text: &str) -> String {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => {
                    self.said.push(line.clone());
                    if line.contains(text) {
                        return line;
                    }
                }
                Err(error) => panic!("no {text:?} ({error}): {:#?}", self.said),
            }
        }
    }

    /// Waits until it serves, and returns where; whichever way it logs.
    pub(crate) fn address(&mut self) -> String {
        let line = self.until("server.address");
        let (_, address) = line.split_once("server.address").unwrap();
        let address = address.trim_start_matches(['=', ':', '"']);
        let end = address.find(|c: char| c.is_whitespace() || c == '"');
        address[..end.unwrap_or(address.len())].to_owned()
    }

    /// Tells it to stop.
    pub(crate) fn terminate(&self) {
        self.signal("-TERM");
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: &str) {
        let process = self.child.id().to_string();
        let killed = Command::new("kill").args([signal, &process]).status();
        assert!(killed.unwrap().success());
    }

    /// Kills it where it stands (SIGKILL), and waits until it is gone.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end; returns what it exits with and all that it said.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => self.said.push(line),
                // Its outputs are closed: it has ended, or is about to.
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it goes on: {:#?}", self.said),
            }
        }
        let code = self.child.wait().unwrap().code();
        (code, self.said.join("\n"))
    }

    /// As [`end`](Self::end), while the runtime goes on: connections of its clients close only
    /// while it runs.
    pub(crate) async fn ended(self) -> (Option<i32>, String) {
        let end = tokio::task::spawn_blocking(|| self.end());
        end.await.unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(from: impl Read + Send + 'static, to: Sender<String>) {
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            let _ = to.send(line);
        }
    });
}
