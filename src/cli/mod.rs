//! The command line.

mod config;
mod quickstart;
mod serve;
mod settings;

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};

use self::config::ConfigCommand;
use self::settings::ServerArguments;
use crate::app::{BoxError, World};
use crate::config::{Config, Problems, Purpose};
use crate::domain::entropy::OsEntropy;
use crate::domain::time::SystemClock;
use crate::telemetry::Telemetry;
use crate::{metrics, rpc};

/// What a wrong command line or configuration exits with (`EX_USAGE`).
const USAGE: u8 = 64;

/// Issues, revokes and introspects bearer tokens over gRPC.
#[derive(Debug, Parser)]
#[command(name = "token-authority", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Goes through the whole story on a fresh temporary directory, and keeps serving
    Quickstart,
    /// Serves gRPC
    Serve(ServerArguments),
    /// Makes an operator's token in place of the one made at first start: the way
    /// back in for who has the database but no token. The embedded database must
    /// not be served meanwhile
    Bootstrap(ServerArguments),
    /// Brings the database's schema up to date, and ends
    Migrate(ServerArguments),
    /// Checks or shows the configuration, and serves nothing
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Prints a generated document
    Docs {
        #[command(subcommand)]
        document: Document,
    },
}

#[derive(Debug, Subcommand)]
enum Document {
    /// The table of errors, as docs/errors.md has it
    Errors,
    /// What there is to configure, as docs/config.md has it
    Config,
    /// The metrics of the ops port, as docs/metrics.md has them
    Metrics,
}

/// Runs the program; returns what it exits with: 0 when it did what it was told, 1 for a
/// failure, calls that were cut at the end among them, 64 for a wrong command line or
/// configuration.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Also `--help` and `--version`, which are no failure.
            let _ = error.print();
            return if error.use_stderr() {
                ExitCode::from(USAGE)
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    let result = match arguments.command {
        Command::Quickstart => start(|| Ok(quickstart::config()), quickstart::run),
        Command::Serve(arguments) => start(|| arguments.read(Purpose::Serve), serve::serve),
        Command::Bootstrap(arguments) => start(|| arguments.read(Purpose::Serve), serve::bootstrap),
        Command::Migrate(arguments) => start(|| arguments.read(Purpose::Migrate), serve::migrate),
        Command::Config { command } => command.run(),
        Command::Docs {
            document: Document::Errors,
        } => print(&rpc::error_table::markdown()).map_err(BoxError::from),
        Command::Docs {
            document: Document::Config,
        } => print(&crate::config::markdown(&settings::FLAGS)).map_err(BoxError::from),
        Command::Docs {
            document: Document::Metrics,
        } => print(&metrics::markdown()).map_err(BoxError::from),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut stderr = std::io::stderr().lock();
            // Nobody is left to be told that telling failed.
            if let Some(problems) = error.downcast_ref::<Problems>() {
                let _ = write!(stderr, "token-authority: {problems}");
                return ExitCode::from(USAGE);
            }
            let mut told = error.to_string();
            let _ = write!(stderr, "token-authority: {told}");
            let mut source = error.source();
            while let Some(cause) = source {
                let text = cause.to_string();
                // Some say their cause themselves.
                if !told.ends_with(&text) {
                    let _ = write!(stderr, ": {text}");
                    told = text;
                }
                source = cause.source();
            }
            let _ = writeln!(stderr);
            ExitCode::FAILURE
        }
    }
}

/// Reads the configuration, sets up the logs and a runtime, and runs.
fn start<F: Future<Output = Result<(), BoxError>>>(
    read: impl FnOnce() -> Result<Config, Problems>,
    run: impl FnOnce(Config, World) -> F,
) -> Result<(), BoxError> {
    forbid_core_dumps();
    let config = read()?;
    std::panic::set_hook(Box::new(rpc::layers::panic_hook));
    // Dropped last, also where something panics: then it sends what is left of traces.
    let telemetry = Telemetry::start(&config.telemetry)?;
    tracing::dispatcher::set_global_default(telemetry.dispatch())?;
    let world = World {
        clock: Arc::new(SystemClock),
        entropy: Arc::new(OsEntropy),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let result = runtime.block_on(run(config, world));
    // What must end well has been waited for; a lookup of a name may take its time.
    runtime.shutdown_background();
    result
}

/// Keeps values out of core dumps, and of the reach of debuggers. Where the system knows
/// no such thing, nothing is lost.
#[cfg(target_os = "linux")]
fn forbid_core_dumps() {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}

#[cfg(not(target_os = "linux"))]
fn forbid_core_dumps() {}

/// Prints to standard output.
fn print(text: &str) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}
