//! A value, handed out once: alone on standard output, or into a file that only its
//! owner reads. What else there is to say goes to standard error, so that a script
//! takes the value as it is.

use std::fs::File;
use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;

use prost::{Message, Name};

use super::failure::Failure;
use super::output::{Output, escaped};
use super::profiles::private_options;
use super::{input, print, tell};

/// Where a value goes.
#[derive(Debug, clap::Args)]
pub(super) struct ValueTo {
    /// Write the value into this new file, which only you can read, and don't show it
    #[arg(long, value_name = "FILE")]
    value_to: Option<PathBuf>,
}

/// A place for a value, made before there is one: a value without a place is lost.
#[derive(Debug)]
pub(super) struct Handout(Option<(PathBuf, File)>);

impl ValueTo {
    /// Returns whether a file was named.
    pub(super) fn is_file(&self) -> bool {
        self.value_to.is_some()
    }

    /// Makes the place.
    pub(super) fn open(self) -> Result<Handout, Failure> {
        let Some(path) = self.value_to else {
            return Ok(Handout(None));
        };
        if input::is_standard(Some(&path)) {
            return Err(Failure::usage(
                "--value-to names a file; without it, the value goes to standard output",
            ));
        }
        input::path_without_value(&path)?;
        let failed = |error| Failure::usage(format!("--value-to {}: {error}", path.display()));
        let mut options = private_options();
        let file = options.create_new(true).open(&path).map_err(failed)?;
        Ok(Handout(Some((path, file))))
    }
}

impl Handout {
    /// Hands a value out, with what else is to be said of it.
    pub(super) fn give<M: Message + Name>(
        mut self,
        output: Output,
        mut answer: M,
        value: fn(&mut M) -> &mut String,
        record: &str,
    ) -> Result<(), Failure> {
        let Some((path, mut file)) = self.0.take() else {
            return match output {
                Output::Json => output.show(&answer, |_| String::new()),
                Output::Table => {
                    tell(&format!("{record}The value, shown this once:\n"));
                    let value = value(&mut answer);
                    // No server of ours makes one that drives a terminal.
                    let shown = if std::io::stdout().is_terminal() {
                        escaped(value)
                    } else {
                        std::mem::take(value)
                    };
                    Ok(print(&format!("{shown}\n"))?)
                }
            };
        };
        let text = std::mem::take(value(&mut answer));
        let written = writeln!(file, "{text}").and_then(|()| file.sync_all());
        if let Err(error) = written {
            // It can't be had again.
            print(&format!("{text}\n"))?;
            return Err(Failure::told(format!(
                "--value-to {}: {error}; the value is on standard output",
                path.display()
            )));
        }
        output.show(&answer, |_| {
            format!("{record}The value is in {}.\n", path.display())
        })
    }
}

/// Without a value there is nothing to keep the place for.
impl Drop for Handout {
    fn drop(&mut self) {
        if let Some((path, _)) = self.0.take() {
            // It is empty; left behind, it harms nobody.
            let _ = std::fs::remove_file(path);
        }
    }
}
