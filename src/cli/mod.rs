//! The command line: of the server, and of who calls one.

mod address;
mod audit;
mod bench;
mod catalog;
mod change;
mod config;
mod connection;
mod deadline;
mod failure;
mod handout;
mod input;
mod introspect;
mod invite;
mod member;
mod moments;
mod output;
mod pages;
mod policy;
mod profile;
mod profiles;
mod progress;
mod quickstart;
mod serve;
mod server;
mod session;
mod settings;
mod tenant;
mod token;
mod user;
mod whoami;
mod words;

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{CommandFactory as _, Parser, Subcommand};

use self::config::ConfigCommand;
use self::failure::{Context, Failure};
use self::server::ServerArguments;
use self::session::Session;
use self::settings::ClientArguments;
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
#[command(
    after_help = "Exits with 0, 64 for a wrong command line, configuration or profile, 1 for any other \
                  failure; introspect --help and token scan --help tell of their own, and \
                  catalog diff exits with 2 where something differs."
)]
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
    /// Makes an operator's token in place of the one made at first start
    ///
    /// It is the way back in for who has the database but no token. The embedded
    /// database must not be served meanwhile.
    Bootstrap(serve::BootstrapArguments),
    /// Brings the database's schema up to date, and ends
    Migrate(ServerArguments),
    /// Checks or shows the configuration, and serves nothing
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Keeps servers and tokens under names, so that they are not given on each call
    Profile {
        #[command(subcommand)]
        command: profile::Command,
    },
    /// Says who the caller is, where and until when, and so whether the server is reached
    Whoami {
        #[command(flatten)]
        client: ClientArguments,
    },
    /// A tenant's scopes, profiles and rules, as one document
    Catalog {
        #[command(flatten)]
        client: ClientArguments,
        #[command(subcommand)]
        command: catalog::Command,
    },
    /// Tenants: products and customers, each with its own users and catalog
    Tenant {
        #[command(flatten)]
        client: ClientArguments,
        #[command(subcommand)]
        command: tenant::Command,
    },
    /// Users: whoever tokens act as
    User {
        #[command(flatten)]
        client: ClientArguments,
        #[command(subcommand)]
        command: user::Command,
    },
    /// Members: who belongs to a tenant, and as what
    Member {
        #[command(flatten)]
        client: ClientArguments,
        #[command(subcommand)]
        command: member::Command,
    },
    /// Invites: let people join a tenant who have no token yet
    Invite {
        #[command(flatten)]
        client: ClientArguments,
        #[command(subcommand)]
        command: invite::Command,
    },
    /// What was done, by whom, and whether the log of it is whole
    Audit {
        #[command(flatten)]
        client: ClientArguments,
        #[command(subcommand)]
        command: audit::Command,
    },
    /// Creates, lists, explains, changes, rotates and revokes tokens
    Token {
        #[command(flatten)]
        client: ClientArguments,
        #[command(subcommand)]
        command: token::Command,
    },
    /// Judges a value as a resource server would, or many, from standard input
    ///
    /// Exits with 0 where it is allowed, 2 where it is not active, 3 where it is active and
    /// lacks a scope; 1 is no answer. Of many, the worst counts: 1, then 2, then 3.
    Introspect {
        // First: what follows the connection's flags would stand under their heading.
        #[command(flatten)]
        question: introspect::Question,
        #[command(flatten)]
        client: ClientArguments,
    },
    /// Measures servers of its own beside a service that does nothing; takes minutes
    ///
    /// It makes a store, fills it, starts a server on it, asks, and holds every answer to
    /// what it must be. It exits with 1 where one is wrong, and not where a bar is missed.
    Bench(bench::Arguments),
    /// Serves what `bench` measures beside: a service that does nothing
    #[command(hide = true)]
    BenchNoop(bench::NoopArguments),
    /// Prints the completions of a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
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
    let given: Vec<OsString> = arguments.into_iter().collect();
    let arguments = match Arguments::try_parse_from(&given) {
        Ok(arguments) => arguments,
        Err(error) => {
            // What is wrong would be repeated.
            for text in given.iter().map(|text| text.to_string_lossy()) {
                if let Err(failure) = input::without_value("what belongs there", &text) {
                    return exit(Err(unopened(failure)));
                }
            }
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
        Command::Bootstrap(arguments) => arguments.run(),
        Command::Migrate(arguments) => start(|| arguments.read(Purpose::Migrate), serve::migrate),
        Command::Config { command } => command.run(),
        Command::Profile { command } => {
            forbid_core_dumps();
            return exit(command.run().map_err(unopened));
        }
        Command::Whoami { client } => return call(client, whoami::run),
        Command::Catalog { client, command } => {
            return call(client, async |s| command.run(s).await);
        }
        Command::Tenant { client, command } => return call(client, async |s| command.run(s).await),
        Command::User { client, command } => return call(client, async |s| command.run(s).await),
        Command::Member { client, command } => return call(client, async |s| command.run(s).await),
        Command::Invite { client, command } => {
            let client = if command.is_nobodys() {
                client.of_nobody()
            } else {
                client
            };
            return call(client, async |s| command.run(s).await);
        }
        Command::Audit { client, command } => return call(client, async |s| command.run(s).await),
        Command::Token {
            client,
            command: token::Command::Scan(scan),
        } if !scan.revokes() => {
            forbid_core_dumps();
            return exit(scan.look(client.output()).map_err(unopened));
        }
        Command::Token { client, command } => {
            let client = if command.is_nobodys() {
                client.of_nobody()
            } else {
                client
            };
            return call(client, async |session: &Session| command.run(session).await);
        }
        Command::Introspect { question, client } => {
            return call(client, async |session: &Session| {
                question.run(session).await
            });
        }
        Command::Bench(arguments) => arguments.run(),
        Command::BenchNoop(arguments) => arguments.run(),
        Command::Completions { shell } => print(&completions(shell)).map_err(BoxError::from),
        Command::Docs {
            document: Document::Errors,
        } => print(&rpc::error_table::markdown()).map_err(BoxError::from),
        Command::Docs {
            document: Document::Config,
        } => print(&crate::config::markdown(&server::FLAGS)).map_err(BoxError::from),
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

/// A failure, and the lines that say it.
type Said = (Failure, String);

/// Calls a server: connects, and runs.
fn call(
    client: ClientArguments,
    run: impl AsyncFnOnce(&Session) -> Result<(), Failure>,
) -> ExitCode {
    forbid_core_dumps();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    exit(match runtime {
        Ok(runtime) => runtime.block_on(call_in(client, run)),
        Err(error) => Err(unopened(error.into())),
    })
}

async fn call_in(
    client: ClientArguments,
    run: impl AsyncFnOnce(&Session) -> Result<(), Failure>,
) -> Result<(), Said> {
    let settings = client
        .settings(&crate::config::environment())
        .map_err(unopened)?;
    let session = Session::open(settings).await.map_err(unopened)?;
    run(&session).await.map_err(|failure| {
        let said = session.told(&failure);
        (failure, said)
    })
}

/// Returns what went wrong where there is no session.
fn unopened(failure: Failure) -> Said {
    let said = failure.lines(&Context::default());
    (failure, said)
}

/// Says what went wrong, and returns what the program exits with.
fn exit(ended: Result<(), Said>) -> ExitCode {
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err((failure, said)) => {
            tell(&said);
            ExitCode::from(failure.code())
        }
    }
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

/// Returns the completions of a shell.
fn completions(shell: clap_complete::Shell) -> String {
    let mut text = Vec::new();
    let mut command = Arguments::command();
    clap_complete::generate(shell, &mut command, "token-authority", &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// Says something beside what is printed, on standard error.
fn tell(text: &str) {
    // Nobody is left to be told that telling failed.
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// Prints to standard output.
fn print(text: &str) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}
