//! The processes that are measured: started, read of, and ended.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::app::BoxError;
use crate::config;

/// How long a process may take to serve: it may have much to read first.
const START: Duration = Duration::from_secs(300);
/// How long it may take to end.
const END: Duration = Duration::from_secs(60);
/// What stands before the addresses in the line that says that it serves.
const ADDRESS: &str = "server.address";
const OPS_ADDRESS: &str = "ops.address";

/// A process of this program. Dropped, it is killed.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    lines: Receiver<String>,
    /// Where it serves.
    pub(super) address: SocketAddr,
    /// Where it tells its metrics, if it does.
    ops: Option<SocketAddr>,
    /// How long it took until it did.
    pub(super) start: Duration,
}

impl Process {
    /// Starts this program with these words and these variables, under what counts it if
    /// anything does, and waits until it serves.
    pub(super) fn start(
        under: &[String],
        words: &[String],
        variables: &[(String, String)],
    ) -> Result<Self, BoxError> {
        let began = Instant::now();
        let this = std::env::current_exe()?;
        let mut command = match under {
            [] => Command::new(this),
            [over, more @ ..] => {
                let mut command = Command::new(over);
                command.args(more).arg(this);
                command
            }
        };
        // A setting of whoever measures must not be measured with.
        for name in config::environment().into_keys() {
            if name.starts_with("TOKEN_AUTHORITY_") {
                command.env_remove(name);
            }
        }
        let mut child = command
            .args(words)
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let (sender, lines) = channel();
        if let Some(stdout) = child.stdout.take() {
            read(stdout, sender.clone());
        }
        if let Some(stderr) = child.stderr.take() {
            read(stderr, sender);
        }
        let mut started = Self {
            child,
            lines,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            ops: None,
            start: Duration::ZERO,
        };
        (started.address, started.ops) = started.wait(began)?;
        started.start = began.elapsed();
        Ok(started)
    }

    /// Waits for the line that says where it serves.
    fn wait(&mut self, began: Instant) -> Result<(SocketAddr, Option<SocketAddr>), BoxError> {
        let mut said = Vec::new();
        loop {
            let left = START.saturating_sub(began.elapsed());
            let Ok(line) = self.lines.recv_timeout(left) else {
                return Err(format!("the server did not start: {}", said.join("; ")).into());
            };
            if let Some(address) = after(&line, ADDRESS) {
                return Ok((address, after(&line, OPS_ADDRESS)));
            }
            said.push(line);
        }
    }

    /// Returns the processor time that it has had.
    pub(super) fn cpu(&self) -> Option<Duration> {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).ok()?;
        // The name before may hold anything.
        let (_, fields) = text.rsplit_once(')')?;
        let mut fields = fields.split_whitespace().skip(11);
        let user: u64 = fields.next()?.parse().ok()?;
        let system: u64 = fields.next()?.parse().ok()?;
        let tick =
            Duration::from_secs(1) / u32::try_from(rustix::param::clock_ticks_per_second()).ok()?;
        Some(tick * u32::try_from(user + system).ok()?)
    }

    /// Returns what its metrics of these names come to, whatever their labels, one after the
    /// other; 0 where it tells none.
    pub(super) fn metrics<const N: usize>(&self, names: [&str; N]) -> Result<[f64; N], BoxError> {
        let Some(ops) = self.ops else {
            return Ok([0.0; N]);
        };
        let mut stream = TcpStream::connect(ops)?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: ops\r\nconnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(names.map(|name| {
            let lines = text.lines().filter_map(|line| line.strip_prefix(name));
            let of_name = lines.filter(|rest| rest.starts_with([' ', '{']));
            let numbers = of_name.filter_map(|rest| rest.rsplit(' ').next()?.parse::<f64>().ok());
            numbers.sum()
        }))
    }

    /// Returns how many bytes of memory it holds.
    pub(super) fn memory(&self) -> Option<u64> {
        let text = std::fs::read_to_string(format!("/proc/{}/statm", self.child.id())).ok()?;
        let pages: u64 = text.split_whitespace().nth(1)?.parse().ok()?;
        Some(pages * u64::try_from(rustix::param::page_size()).ok()?)
    }

    /// Ends it, and waits until it has.
    pub(super) fn stop(mut self) -> Result<(), BoxError> {
        if let Some(process) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            kill_process(process, Signal::TERM)?;
        }
        let began = Instant::now();
        // Its outputs close when it ends.
        while self
            .lines
            .recv_timeout(END.saturating_sub(began.elapsed()))
            .is_ok()
        {}
        if self.child.try_wait()?.is_none() {
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the address that a line gives under a name.
fn after(line: &str, name: &str) -> Option<SocketAddr> {
    let (_, address) = line.split_once(name)?;
    let address = address.trim_start_matches(['=', ':', '"', ' ']);
    let end = address.find(|c: char| c.is_whitespace() || c == '"');
    let (address, _) = address.split_at_checked(end.unwrap_or(address.len()))?;
    address.parse().ok()
}

/// Reads lines, so that who says them never waits.
fn read(from: impl Read + Send + 'static, to: Sender<String>) {
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            // Nobody may listen any more; still it must not wait.
            let _ = to.send(line);
        }
    });
}
