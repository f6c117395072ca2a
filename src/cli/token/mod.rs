//! `token`: each call about tokens.

mod create;
mod current;
mod explain;
mod import;
mod read;
mod record;
mod revoke;
mod rotate;
mod scan;
mod search;
mod update;

use std::collections::BTreeMap;

use super::failure::Failure;
use super::session::Session;
use crate::domain::value;

/// What is done with tokens.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Creates a token. Its value goes to standard output, alone, this one time
    Create(Box<create::Create>),
    /// Imports tokens that another system made, by the bcrypt hashes of their values
    Import(import::Import),
    /// Shows a token, never its value
    Get(read::Get),
    /// Lists tokens, newest first
    List(Box<read::List>),
    /// Explains why a token or a value is or isn't active, and where its scopes come from
    Explain(explain::Explain),
    /// Changes a token
    Update(Box<update::Update>),
    /// Gives a token a new value, which goes to standard output, alone, this one time
    Rotate(rotate::Rotate),
    /// Revokes a token for good
    Revoke(revoke::Revoke),
    /// Revokes many tokens for good: ids from standard input, one a line
    BatchRevoke(revoke::Batch),
    /// Revokes all tokens of a tenant, or of one of its users
    RevokeAll(revoke::All),
    /// Revokes the token of a value that was found somewhere; needs no token of one's own
    RevokeExposed(revoke::Exposed),
    /// Finds values in files, and says where they stand; asks no server, but to revoke them
    ///
    /// Exits with 0 where there is none, 2 where there is one, 1 where something could not be
    /// read or revoked.
    Scan(scan::Scan),
    /// Gives the token that one calls with a new value, and keeps that in its place
    RotateCurrent(current::RotateCurrent),
    /// Revokes the token that one calls with
    RevokeCurrent(current::RevokeCurrent),
}

impl Command {
    /// Returns whether it takes no credential, so that none is read.
    pub(super) fn is_nobodys(&self) -> bool {
        matches!(self, Self::RevokeExposed(_) | Self::Scan(_))
    }

    /// Runs it.
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Self::Create(create) => create.run(session).await,
            Self::Import(import) => import.run(session).await,
            Self::Get(get) => get.run(session).await,
            Self::List(list) => list.run(session).await,
            Self::Explain(explain) => explain.run(session).await,
            Self::Update(update) => update.run(session).await,
            Self::Rotate(rotate) => rotate.run(session).await,
            Self::Revoke(revoke) => revoke.run(session).await,
            Self::BatchRevoke(batch) => batch.run(session).await,
            Self::RevokeAll(all) => all.run(session).await,
            Self::RevokeExposed(exposed) => exposed.run(session).await,
            Self::Scan(scan) => scan.give_up(session).await,
            Self::RotateCurrent(rotate) => rotate.run(session).await,
            Self::RevokeCurrent(revoke) => revoke.run(session).await,
        }
    }
}

/// A call that changes something can be asked again.
#[derive(Debug, clap::Args)]
struct Again {
    /// Ask again under the id of an earlier call, which is then not made twice
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
}

/// Returns a token's id as it was given; refuses a value that was given in its place.
fn token_id(given: String) -> Result<String, Failure> {
    if value::stands_in(&given) {
        return Err(Failure::usage(
            "that is a token's value, and not its id, which begins with tok_\n  it now stands in \
             your shell's history, and others on this machine could see it\n  its id: \
             token-authority token explain --value-file FILE",
        ));
    }
    Ok(given)
}

/// Returns labels by their keys; refuses a key that was given two values.
pub(super) fn labels(given: Vec<(String, String)>) -> Result<BTreeMap<String, String>, Failure> {
    let mut labels = BTreeMap::new();
    for (key, value) in given {
        if let Some(before) = labels.insert(key.clone(), value) {
            return Err(Failure::usage(format!(
                "--label {key} is given more than once, first as {before:?}"
            )));
        }
    }
    Ok(labels)
}

/// Parses `KEY=VALUE`.
pub(super) fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text
        .split_once('=')
        .ok_or_else(|| String::from("not KEY=VALUE"))?;
    Ok((key.to_owned(), value.to_owned()))
}
