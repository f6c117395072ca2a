//! `bench`: what is measured, and how it is told.

use std::cell::RefCell;
use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::output::table;
use super::progress::Progress;
use super::{print, tell};
use crate::app::BoxError;
use crate::bench::{self, Creates, Elsewhere, Layout, Noop, Report, Scenario, Settings, Watch};

/// What is measured, and how.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// What: a row of the budget in docs/performance.md, or the load that the flags describe
    #[arg(value_enum, default_value = "load")]
    scenario: Scenario,
    /// A server that runs already, in plain text: the load that the flags describe, from
    /// the client's side alone
    #[arg(long, requires_all = ["token_file", "values_file"],
          conflicts_with_all = ["tokens", "unknown", "wrong", "malformed", "create_flood"])]
    address: Option<SocketAddr>,
    /// The file that holds the caller's token, there
    #[arg(long, value_name = "FILE", requires = "address")]
    token_file: Option<PathBuf>,
    /// A file of active values, a line each, there
    #[arg(long, value_name = "FILE", requires = "address")]
    values_file: Option<PathBuf>,
    /// The tenant of these; the caller's own without
    #[arg(long, requires = "address")]
    tenant: Option<String>,
    /// How many tokens there are
    #[arg(long, value_parser = clap::value_parser!(u64).range(10..=10_000_000))]
    tokens: Option<u64>,
    /// Of how many tenants
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1000))]
    tenants: Option<u64>,
    /// What values and load are drawn from
    #[arg(long, default_value = "1")]
    seed: u64,
    /// Connections
    #[arg(long)]
    connections: Option<usize>,
    /// Calls at once on each
    #[arg(long)]
    streams: Option<usize>,
    /// Threads that ask
    #[arg(long, default_value = "1")]
    threads: usize,
    /// Calls a second, begun whatever comes back; as many as are answered without
    #[arg(long)]
    rate: Option<f64>,
    /// Tokens in a call
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=120))]
    batch: Option<u32>,
    /// Which share of calls is of values that nobody was given, 0 to 1
    #[arg(long, default_value = "0", value_parser = permille)]
    unknown: u32,
    /// Which share of calls is of values with a wrong secret
    #[arg(long, default_value = "0", value_parser = permille)]
    wrong: u32,
    /// Which share of calls is of values that are of no right form
    #[arg(long, default_value = "0", value_parser = permille)]
    malformed: u32,
    /// Create so many tokens a second beside the load
    #[arg(long, conflicts_with = "create_flood")]
    creates_per_second: Option<f64>,
    /// Create tokens beside the load as fast as values are hashed
    #[arg(long)]
    create_flood: bool,
    /// Revoke so many of them a second; each must be inactive at once
    #[arg(long, default_value = "0")]
    revokes_per_second: f64,
    /// How long each round is counted: `2s`
    #[arg(long, value_parser = humantime::parse_duration)]
    duration: Option<Duration>,
    /// Rounds, of which the median is told
    #[arg(long)]
    rounds: Option<usize>,
    /// How the threads that serve are laid out, the server's and the no-op's
    #[arg(long, value_enum, default_value = "per-core")]
    runtime: Layout,
    /// How many threads the no-op has; as many as there are cores without
    #[arg(long)]
    cores: Option<usize>,
    /// Where the store is made
    #[arg(long, value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
    /// A file that holds the `postgres://` URL of an empty database
    #[arg(long, value_name = "FILE")]
    database_url_file: Option<PathBuf>,
    /// A key of the server's configuration: `hashing.cost=10`
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = setting)]
    set: Vec<(String, String)>,
    /// Print JSON
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
    /// Print Markdown, as docs/performance.md has it
    #[arg(long)]
    markdown: bool,
}

/// What the service that does nothing is started with.
#[derive(Debug, clap::Args)]
pub(super) struct NoopArguments {
    #[arg(long, value_enum)]
    layout: Layout,
    #[arg(long)]
    cores: usize,
    #[arg(long)]
    answer: PathBuf,
}

impl Arguments {
    /// Measures, and prints what was found.
    pub(super) fn run(self) -> Result<(), BoxError> {
        super::forbid_core_dumps();
        let (json, markdown) = (self.json, self.markdown);
        let report = bench::run(&self.settings(), &Shown::default())?;
        if json {
            let mut text = serde_json::to_string_pretty(&report)?;
            text.push('\n');
            print(&text)?;
        } else if markdown {
            print(&report.markdown())?;
        } else {
            print(&text(&report))?;
        }
        Ok(())
    }

    fn settings(self) -> Settings {
        Settings {
            scenario: self.scenario,
            elsewhere: match (self.address, self.token_file, self.values_file) {
                (Some(address), Some(token_file), Some(values_file)) => Some(Elsewhere {
                    address,
                    token_file,
                    values_file,
                    tenant: self.tenant.unwrap_or_default(),
                }),
                _ => None,
            },
            tokens: self.tokens,
            tenants: self.tenants,
            seed: self.seed,
            connections: self.connections,
            streams: self.streams,
            threads: self.threads,
            rate: self.rate,
            batch: self.batch,
            bad_permille: [self.unknown, self.wrong, self.malformed],
            creates: match self.creates_per_second {
                _ if self.create_flood => Creates::Flood,
                Some(rate) => Creates::PerSecond(rate),
                None => Creates::None,
            },
            revokes_per_second: self.revokes_per_second,
            duration: self.duration,
            rounds: self.rounds,
            layout: self.runtime,
            cores: self.cores.unwrap_or_else(cores),
            directory: self.directory,
            database_url_file: self.database_url_file,
            variables: self.set,
        }
    }
}

impl NoopArguments {
    /// Serves until the process ends.
    pub(super) fn run(self) -> Result<(), BoxError> {
        let noop = Noop {
            layout: self.layout,
            cores: self.cores,
            answer: self.answer,
        };
        noop.serve(|address| print(&format!("serving server.address={address}\n")))
    }
}

/// Tells how far it has come: on a terminal always, elsewhere what has begun.
#[derive(Debug, Default)]
struct Shown(RefCell<Option<(&'static str, Progress)>>);

impl Watch for Shown {
    fn at(&self, what: &'static str, count: u64) {
        let mut shown = self.0.borrow_mut();
        if shown.as_ref().is_none_or(|(shown, _)| *shown != what) {
            *shown = Some((what, Progress::of(what)));
            if !std::io::stderr().is_terminal() {
                tell(&format!("{what}: {count}\n"));
            }
        }
        if let Some((_, progress)) = &*shown {
            progress.at(usize::try_from(count).unwrap_or(usize::MAX));
        }
    }
}

/// Returns what was found, for people.
fn text(report: &Report) -> String {
    let mut text = String::new();
    for (headings, lines) in [
        report.budget_table(),
        report.loads_table(),
        report.facts_table(),
    ] {
        if !lines.is_empty() {
            text.push_str(&table(&headings, lines));
            text.push('\n');
        }
    }
    for note in &report.notes {
        text.push_str(note);
        text.push('\n');
    }
    text
}

/// Returns how many cores there are.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Reads a share of one, in thousandths.
fn permille(text: &str) -> Result<u32, String> {
    let share: f64 = text.parse().map_err(|_| "not a number")?;
    let thousandths = (0..=1000u32).find(|&of| f64::from(of) >= share * 1000.0);
    match thousandths {
        Some(thousandths) if share >= 0.0 => Ok(thousandths),
        _ => Err(String::from("not between 0 and 1")),
    }
}

/// Reads a key and its value, as the variable that sets it.
fn setting(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("not of the form KEY=VALUE")?;
    Ok(bench::variable(key, value))
}
