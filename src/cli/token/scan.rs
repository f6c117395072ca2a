//! `token scan`: finds values in files, and gives them up.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::search::{Finding, Search, discreet};
use crate::cli::failure::Failure;
use crate::cli::output::{Output, escaped, harmless};
use crate::cli::session::Session;
use crate::cli::{input, print, tell};
use crate::domain::value::Prefix;
use crate::pb;

/// What it exits with where there is a value.
const FOUND: u8 = 2;

/// Where to look, and for what.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Scan {
    /// Files, and directories with all that is in them; `-`, or none, is standard input
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Look for values of this prefix alone; can be given again. Default: of any
    #[arg(long, value_name = "PREFIX")]
    prefix: Vec<Prefix>,
    /// Have the server revoke what is found, as token revoke-exposed does; invites (`inv_`) are
    /// left to invite revoke
    #[arg(long)]
    revoke: bool,
}

/// What came of it so far.
#[derive(Debug, Default)]
struct Tally {
    found: usize,
    unread: usize,
    /// Digests of the invites' values: presenting one ends nothing.
    invites: BTreeSet<[u8; 32]>,
    /// Digests of the values that were given up: the same is given up once.
    given_up: BTreeSet<[u8; 32]>,
}

impl Scan {
    /// Returns whether a server is wanted.
    pub(in crate::cli) fn revokes(&self) -> bool {
        self.revoke
    }

    /// Looks, and says what is found.
    pub(in crate::cli) fn look(self, output: Output) -> Result<(), Failure> {
        let mut tally = Tally::default();
        for part in self.search()? {
            self.say(part, output, &mut tally)?;
        }
        tally.end()
    }

    /// Looks, says what is found, and presents each value to the server.
    pub(super) async fn give_up(self, session: &Session) -> Result<(), Failure> {
        let mut tally = Tally::default();
        for part in self.search()? {
            for finding in self.say(part, session.output, &mut tally)? {
                let value = finding.value.expose();
                if finding.value.prefix().is_invite() {
                    tally.invites.insert(Sha256::digest(&value).into());
                    continue;
                }
                if !tally.given_up.insert(Sha256::digest(&value).into()) {
                    continue;
                }
                // No credential is needed, and none is shown to a server that needs none.
                let request = pb::RevokeExposedTokenRequest { value };
                let request = session.request_by_nobody(request);
                let answer = session.me().revoke_exposed_token(request).await;
                answer.map_err(|status| {
                    Failure::from(status).with_hint(
                        "run it again: what is revoked already is not harmed by being revoked twice",
                    )
                })?;
            }
        }
        let count = tally.given_up.len();
        if count > 0 {
            tell(&format!(
                "{count} presented to the server: those that were good are revoked. Nobody is told \
                 which.\n"
            ));
        }
        let invites = tally.invites.len();
        if invites > 0 {
            tell(&format!(
                "{invites} of invites not presented: token-authority invite revoke ends them, by the \
                 ids that invite list shows beside their hints.\n"
            ));
        }
        tally.end()
    }

    fn search(&self) -> Result<Search, Failure> {
        for path in &self.paths {
            input::path_without_value(path)?;
        }
        let mut paths = self.paths.clone();
        if paths.is_empty() {
            paths.push(PathBuf::from("-"));
        }
        Ok(Search::of(paths))
    }

    /// Says what a part came to; returns what is in it.
    fn say(
        &self,
        part: Result<Vec<Finding>, String>,
        output: Output,
        tally: &mut Tally,
    ) -> Result<Vec<Finding>, Failure> {
        let mut findings = match part {
            Ok(findings) => findings,
            Err(trouble) => {
                tally.unread += 1;
                tell(&format!("token-authority: {}\n", escaped(&trouble)));
                return Ok(Vec::new());
            }
        };
        findings.retain(|finding| {
            self.prefix.is_empty() || self.prefix.contains(finding.value.prefix())
        });
        tally.found += findings.len();
        for finding in &findings {
            print(&line(finding, output))?;
        }
        Ok(findings)
    }
}

/// Returns the line that tells of a value, which it doesn't show.
fn line(finding: &Finding, output: Output) -> String {
    let (file, hint) = (discreet(&finding.file), finding.value.hint());
    match output {
        Output::Table => format!("{}:{}: {hint}\n", escaped(&file), finding.line),
        Output::Json => {
            let object = json!({ "file": file, "line": finding.line, "hint": hint });
            harmless(&format!("{object}\n"))
        }
    }
}

impl Tally {
    /// Returns how it ends: what was not read could hold anything.
    fn end(&self) -> Result<(), Failure> {
        match (self.unread, self.found) {
            (0, 0) => Ok(()),
            (0, _) => Err(Failure::quiet(FOUND)),
            (unread, _) => Err(Failure::told(format!("{unread} could not be read"))),
        }
    }
}
