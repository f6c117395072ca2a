//! `token revoke`, of one, of many, of all, and of an exposed one.

use std::fmt::Write as _;
use std::path::PathBuf;

use sha2::{Digest as _, Sha256};
use tonic::Status;

use super::{Again, token_id};
use crate::cli::failure::Failure;
use crate::cli::output::{Record, escaped, names, text};
use crate::cli::progress::Progress;
use crate::cli::session::Session;
use crate::cli::words::{Kind, Reason};
use crate::cli::{input, moments};
use crate::domain::ids::TokenId;
use crate::domain::{bounds, value};
use crate::pb;

/// The bytes of a list of ids, at most.
const IDS_BYTES: u64 = 64 * 1024 * 1024;

/// Why.
#[derive(Debug, clap::Args)]
pub(super) struct Why {
    /// Why
    #[arg(long, value_enum)]
    reason: Option<Reason>,
    /// More on why; at most 500 characters
    #[arg(long, value_name = "TEXT")]
    reason_text: Option<String>,
}

impl Why {
    /// Returns what a request takes.
    pub(super) fn parts(self) -> (i32, String) {
        (
            Reason::number(self.reason),
            self.reason_text.unwrap_or_default(),
        )
    }
}

/// Which token.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Revoke {
    /// The token's id
    token_id: String,
    #[command(flatten)]
    why: Why,
    /// The kind that it must be of; webhook tokens are found only where this says so
    #[arg(long, value_enum)]
    kind: Option<Kind>,
    #[command(flatten)]
    again: Again,
}

impl Revoke {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        let (reason, reason_text) = self.why.parts();
        let request = session.request(pb::RevokeTokenRequest {
            tenant_id: session.tenant(None),
            token_id: token_id(self.token_id)?,
            kind: Kind::number(self.kind),
            reason,
            reason_text,
            request_id: session.request_id(self.again.request_id)?,
        });
        let answer = session.tokens().revoke_token(request).await?.into_inner();
        session.output.show(&answer, |answer| {
            let token = answer.token.clone().unwrap_or_default();
            Record::default()
                .with("token", text(&token.token_id))
                .with("name", text(&token.name))
                .with("revoked", moments::said(token.revoke_time.as_ref()))
                .with("revision", text(&answer.revision))
                .to_string()
        })
    }
}

/// Which tokens.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Batch {
    /// The file that holds their ids, one a line; default: standard input
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    why: Why,
    /// The kind that they must be of; webhook tokens are found only where this says so
    #[arg(long, value_enum)]
    kind: Option<Kind>,
    #[command(flatten)]
    again: Again,
}

impl Batch {
    /// Revokes them a thousand at a time, each thousand in one change under a request id
    /// of its own: asked again with the same ids, what was done is not done twice.
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        let ids = input::document("the ids", self.file.as_deref(), IDS_BYTES)?;
        // All are judged before one is revoked.
        let ids = listed(&ids)?;
        if ids.is_empty() {
            return Err(Failure::usage("there are no ids"));
        }
        let (reason, reason_text) = self.why.parts();
        let request_id = session.request_id(self.again.request_id)?;
        let progress = Progress::of("tokens");
        let mut answer = pb::BatchRevokeTokensResponse::default();
        for (number, chunk) in ids.chunks(bounds::BATCH).enumerate() {
            let request = session.request(pb::BatchRevokeTokensRequest {
                tenant_id: session.tenant(None),
                token_ids: chunk.iter().map(|(_, id)| id.clone()).collect(),
                kind: Kind::number(self.kind),
                reason,
                reason_text: reason_text.clone(),
                request_id: part_id(&request_id, number),
            });
            let done = session.tokens().batch_revoke_tokens(request).await;
            let done = done.map_err(|status| {
                let revoked = number * bounds::BATCH;
                halted(status, chunk, revoked, &request_id)
            });
            let done = done?.into_inner();
            answer.revoked_count = answer.revoked_count.saturating_add(done.revoked_count);
            answer.missing_token_ids.extend(done.missing_token_ids);
            answer.revision = done.revision;
            progress.at(number * bounds::BATCH + chunk.len());
        }
        drop(progress);
        session.output.show(&answer, |answer| {
            Record::default()
                .with("revoked", answer.revoked_count.to_string())
                .with("missing", names(&answer.missing_token_ids))
                .with("revision", text(&answer.revision))
                .to_string()
        })
    }
}

/// Returns ids and the lines that they stand on; refuses what is none.
fn listed(text: &str) -> Result<Vec<(usize, String)>, Failure> {
    let lines = text.lines().map(str::trim);
    let ids = (1..).zip(lines).filter(|(_, id)| !id.is_empty());
    ids.map(|(line, id)| {
        if value::stands_in(id) {
            return Err(Failure::usage(format!(
                "line {line}: that is a token's value, and not its id, which begins with tok_\n  \
                 its id: token-authority token explain --value-file FILE"
            )));
        }
        id.parse::<TokenId>().map_err(|error| {
            let id = escaped(id);
            Failure::usage(format!("line {line}: {id}: {error}; nothing was revoked"))
        })?;
        Ok((line, id.to_owned()))
    })
    .collect()
}

/// Returns the request id of a part of a change, no longer than one may be.
pub(super) fn part_id(request_id: &str, number: usize) -> String {
    let id = format!("{request_id}-{number}");
    let fits = |id: &str| id.chars().count() <= bounds::REQUEST_ID_CHARS;
    // One that is too long by itself is for the server to refuse.
    if fits(&id) || !fits(request_id) {
        return id;
    }
    let digest = Sha256::digest(id.as_bytes());
    digest.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// Says what a part failed of, and what was done before it.
fn halted(status: Status, part: &[(usize, String)], before: usize, request_id: &str) -> Failure {
    let mut failure = Failure::from(status);
    for (at, (line, _)) in part.iter().enumerate() {
        failure = failure.with_place(&format!("token_ids[{at}]"), format!("line {line}"));
    }
    if before == 0 {
        return failure;
    }
    failure.with_hint(format!(
        "the first {before} were revoked before; run this again with --request-id {request_id} \
         for the rest"
    ))
}

/// Whose tokens.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct All {
    /// Only this user's
    #[arg(long, value_name = "ID")]
    user: Option<String>,
    /// Only this kind; can be given again. Default: every kind but webhook
    #[arg(long, value_enum)]
    kind: Vec<Kind>,
    #[command(flatten)]
    why: Why,
    /// Don't ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    again: Again,
}

impl All {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        let tenant_id = session.tenant(None);
        let tenant = match tenant_id.as_str() {
            "active" => String::from("your own tenant"),
            named => format!("the tenant {}", escaped(named)),
        };
        let whose = self.user.as_ref().map_or_else(String::new, |user| {
            format!(" of the user {}", escaped(user))
        });
        session.confirm(
            &format!("Revoke, for good, all tokens{whose} in {tenant}?"),
            self.yes,
        )?;
        let (reason, reason_text) = self.why.parts();
        let request = session.request(pb::RevokeAllTokensRequest {
            tenant_id,
            user_id: self.user.unwrap_or_default(),
            kinds: self.kind.into_iter().map(i32::from).collect(),
            reason,
            reason_text,
            request_id: session.request_id(self.again.request_id)?,
        });
        let answer = session.tokens().revoke_all_tokens(request).await?;
        session.output.show(&answer.into_inner(), |answer| {
            Record::default()
                .with("revision", text(&answer.revision))
                .to_string()
        })
    }
}

/// The value that was found.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Exposed {
    /// The file that holds the value; default: standard input, typed unseen on a terminal
    #[arg(long, value_name = "FILE")]
    value_file: Option<PathBuf>,
}

impl Exposed {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        let value = input::value("the value", self.value_file.as_deref())?;
        // No credential is needed, and none is shown to a server that needs none.
        let request = session.request_by_nobody(pb::RevokeExposedTokenRequest { value });
        let answer = session.me().revoke_exposed_token(request).await?;
        session.output.show(&answer.into_inner(), |_| {
            String::from("If it was a good value, its token is revoked. Nobody is told whether.\n")
        })
    }
}
