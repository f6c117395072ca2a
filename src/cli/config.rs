//! `config check` and `config print`.

use std::io::Write as _;

use clap::{Subcommand, ValueEnum};

use super::print;
use super::server::ServerArguments;
use crate::app::BoxError;
use crate::config::{self, Config, Purpose};

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Says all that is wrong with the configuration, and exits with 64 if anything is.
    /// Warns of what works but is unwise
    Check {
        #[command(flatten)]
        arguments: ServerArguments,
        /// What it is to be good for: migrate needs no keyring
        #[arg(long, value_enum, default_value = "serve")]
        purpose: For,
    },
    /// Prints the configuration in force, as a file that can be read again, with where
    /// each value comes from; no secret is printed
    Print {
        #[command(flatten)]
        arguments: ServerArguments,
        /// What it is to be good for: migrate needs no keyring
        #[arg(long, value_enum, default_value = "serve")]
        purpose: For,
    },
}

/// What a configuration is to be good for.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum For {
    Serve,
    Migrate,
}

impl From<For> for Purpose {
    fn from(purpose: For) -> Self {
        match purpose {
            For::Serve => Self::Serve,
            For::Migrate => Self::Migrate,
        }
    }
}

impl ConfigCommand {
    pub(super) fn run(self) -> Result<(), BoxError> {
        match self {
            Self::Check { arguments, purpose } => {
                let config = arguments.read(purpose.into())?;
                let mut stderr = std::io::stderr().lock();
                for warning in warnings(&config) {
                    writeln!(stderr, "warning: {warning}")?;
                }
                print("The configuration is good.\n")?;
            }
            Self::Print { arguments, purpose } => {
                print(&arguments.read(purpose.into())?.effective())?;
            }
        }
        Ok(())
    }
}

/// Returns what works but is unwise: of the configuration, and of the environment around
/// it.
pub(super) fn warnings(config: &Config) -> Vec<String> {
    let mut warnings = config.warnings();
    let environment = config::environment();
    let names = environment.keys().map(String::as_str);
    for (given, meant) in config::misspelt_variables(names) {
        warnings.push(format!("{given}: not read; did you mean {meant}?"));
    }
    warnings
}
