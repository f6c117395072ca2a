//! `token import`: tokens that another system made, from a file of JSON lines.

mod line;

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::path::PathBuf;

use sha2::{Digest as _, Sha256};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use self::line::{Line, Who, read};
use super::Again;
use super::revoke::part_id;
use crate::cli::failure::Failure;
use crate::cli::input;
use crate::cli::output::{Record, escaped, text};
use crate::cli::progress::Progress;
use crate::cli::session::Session;
use crate::cli::tell;
use crate::domain::bounds;
use crate::pb;

/// The bytes of a file of tokens, at most.
const BYTES: u64 = 512 * 1024 * 1024;
/// The bytes of a request, at most, about: half of what a server takes.
const PART_BYTES: usize = bounds::BATCH_MESSAGE_BYTES / 2;

/// Which tokens.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Import {
    /// The file of tokens, a JSON object a line; `-`: standard input. Each has `secret_hash`
    /// (bcrypt's), `hint` (the value's first characters), `name`, and `user_id` or
    /// `user_external_id` unless its `kind` is service; it may have `scopes`, `profile`,
    /// `expire_time`, `ttl`, `agent_id`, `labels` and `create_time`
    file: PathBuf,
    /// How many characters each hint has; default: as many as the first
    #[arg(long, value_name = "NUMBER")]
    hint_length: Option<i32>,
    /// Judge the tokens alone: import nothing
    #[arg(long)]
    validate_only: bool,
    #[command(flatten)]
    again: Again,
}

/// What was done of a file.
#[derive(Default)]
struct Done {
    imported: usize,
    before: usize,
    answer: pb::ImportTokensResponse,
}

impl Import {
    /// Imports the tokens a thousand at a time, each thousand in one change, under a
    /// request id that is made of its lines: run again, what was done is not done twice, and
    /// what is there already is left out.
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        let document = input::document("the tokens", Some(&self.file), BYTES)?;
        let lines = read(&document)?;
        let Some(first) = lines.first() else {
            return Err(Failure::usage("there are no tokens"));
        };
        let counted = i32::try_from(first.token.hint.chars().count()).unwrap_or(i32::MAX);
        let hint_length = self.hint_length.unwrap_or(counted);
        let tenant_id = session.tenant(None);
        let mut users = Users::default();
        let mut done = Done::default();
        let mut wrong = 0;
        let progress = Progress::of("tokens");
        for (number, part) in parts(&lines).into_iter().enumerate() {
            let mut tokens = Vec::with_capacity(part.len());
            for line in part {
                tokens.push(users.named(session, line).await?);
            }
            let mut part: Vec<&Line> = part.iter().collect();
            for round in 0.. {
                let request_id = match &self.again.request_id {
                    _ if self.validate_only => String::new(),
                    Some(given) => session.request_id(Some(given_id(given, number, round)))?,
                    None => session.request_id(Some(id_of(&tenant_id, hint_length, &part)))?,
                };
                let request = session.request(pb::ImportTokensRequest {
                    tenant_id: tenant_id.clone(),
                    hint_length,
                    tokens: tokens.clone(),
                    request_id,
                    validate_only: self.validate_only,
                });
                let status = match session.tokens().import_tokens(request).await {
                    Ok(answer) => {
                        done.add(answer.into_inner());
                        break;
                    }
                    Err(status) => status,
                };
                // A day later, by another caller or beside other lines, it is another request.
                let there = if is_done(&status) {
                    (0..part.len()).collect()
                } else {
                    already(&status, part.len())
                };
                if !there.is_empty() {
                    done.before += there.len();
                    part = without(part, &there);
                    tokens = without(tokens, &there);
                } else if self.validate_only && is_about_fields(&status) {
                    wrong += 1;
                    tell(&session.told(&placed(status, &part)));
                    break;
                } else {
                    return Err(halted(status, &part, done.imported + done.before));
                }
                if part.is_empty() {
                    break;
                }
            }
            progress.at(done.imported + done.before);
        }
        drop(progress);
        if wrong > 0 {
            return Err(Failure::told(
                "not all of the tokens could be imported; nothing was",
            ));
        }
        let Done {
            imported,
            before,
            answer,
        } = done;
        session.output.show(&answer, |answer| {
            if self.validate_only {
                let there = match before {
                    0 => String::new(),
                    _ => format!(" {before} were imported before."),
                };
                return format!("{imported} could be imported; nothing was.{there}\n");
            }
            Record::default()
                .with("imported", imported.to_string())
                .with("imported before", before.to_string())
                .with("revision", text(&answer.revision))
                .to_string()
        })
    }
}

impl Done {
    fn add(&mut self, answer: pb::ImportTokensResponse) {
        self.imported += answer.tokens.len();
        self.answer.tokens.extend(answer.tokens);
        self.answer.revision = answer.revision;
        self.answer.settled = answer.settled;
    }
}

/// The users that were looked up.
#[derive(Default)]
struct Users(HashMap<String, String>);

impl Users {
    /// Returns a line's token with its user's id, which is asked for where the line has
    /// what the tenant calls the user.
    async fn named(
        &mut self,
        session: &Session,
        line: &Line,
    ) -> Result<pb::ImportedToken, Failure> {
        let user_id = match &line.who {
            Who::Id(user_id) => user_id.clone(),
            Who::External(external_id) => match self.0.get(external_id) {
                Some(user_id) => user_id.clone(),
                None => self.find(session, line.number, external_id).await?,
            },
        };
        Ok(pb::ImportedToken {
            user_id,
            ..line.token.clone()
        })
    }

    async fn find(
        &mut self,
        session: &Session,
        line: usize,
        external_id: &str,
    ) -> Result<String, Failure> {
        let request = session.request(pb::ListUsersRequest {
            tenant_id: session.tenant(None),
            external_id: external_id.to_owned(),
            page_size: 2,
            ..Default::default()
        });
        let listed = session.users().list_users(request).await?.into_inner();
        let mut found = listed.users.into_iter();
        let (Some(user), None) = (found.next(), found.next()) else {
            let external_id = escaped(external_id);
            return Err(Failure::usage(format!(
                "line {line}: user_external_id: not one user of the tenant is called {external_id}; \
                 give its user_id"
            )));
        };
        self.0.insert(external_id.to_owned(), user.user_id.clone());
        Ok(user.user_id)
    }
}

/// Cuts lines into parts that a server takes.
fn parts(lines: &[Line]) -> Vec<&[Line]> {
    let mut parts = Vec::new();
    let mut rest = lines;
    while !rest.is_empty() {
        let mut bytes = 0;
        let fits = rest.iter().take(bounds::BATCH).take_while(|line| {
            bytes += line.text.len();
            bytes <= PART_BYTES
        });
        let (part, after) = rest.split_at(fits.count().max(1));
        parts.push(part);
        rest = after;
    }
    parts
}

/// Returns the request id of a part under a given one, and of what is left of it after so
/// many rounds: what is left is another request.
fn given_id(given: &str, number: usize, round: usize) -> String {
    let id = part_id(given, number);
    match round {
        0 => id,
        _ => part_id(&id, round),
    }
}

/// Returns a request id that is made of a part's lines, and of where they go.
fn id_of(tenant_id: &str, hint_length: i32, part: &[&Line]) -> String {
    let mut digest = Sha256::new();
    digest.update(format!("{tenant_id}\n{hint_length}\n"));
    for line in part {
        digest.update(line.text.as_bytes());
        digest.update(b"\n");
    }
    let hex = digest
        .finalize()
        .iter()
        .take(16)
        .fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        });
    format!("import-{hex}")
}

/// Returns whether the part was imported by an earlier run.
fn is_done(status: &Status) -> bool {
    let details = status.get_error_details();
    let info = details.error_info();
    info.is_some_and(|info| info.reason == "REQUEST_ALREADY_DONE")
}

/// Returns which of a part's tokens are there already, whatever else is wrong with them: the
/// names that they have are their own.
fn already(status: &Status, count: usize) -> BTreeSet<usize> {
    let details = status.get_error_details();
    let metadata = details.error_info().map(|info| &info.metadata);
    let of_token = |(field, reason): (&String, &String)| {
        let (at, field) = field.strip_prefix("tokens[")?.split_once("].")?;
        let is_there = field == "secret_hash" && reason == "ALREADY_IMPORTED";
        at.parse().ok().filter(|at| is_there && *at < count)
    };
    metadata
        .into_iter()
        .flatten()
        .filter_map(of_token)
        .collect()
}

/// Returns what is at no such place.
fn without<T>(all: Vec<T>, places: &BTreeSet<usize>) -> Vec<T> {
    let kept = all.into_iter().enumerate();
    let kept = kept.filter(|(at, _)| !places.contains(at));
    kept.map(|(_, one)| one).collect()
}

fn is_about_fields(status: &Status) -> bool {
    status.code() == Code::InvalidArgument
}

/// Says on which lines what is wrong stands.
fn placed(status: Status, part: &[&Line]) -> Failure {
    let details = status.get_error_details();
    let mut failure = Failure::from(status);
    let violations = details.bad_request().map(|bad| &bad.field_violations);
    for violation in violations.into_iter().flatten() {
        let place = violation.field.strip_prefix("tokens[");
        let place = place.and_then(|rest| rest.split_once("]."));
        let line = place.and_then(|(at, field)| {
            let line = part.get(at.parse::<usize>().ok()?)?;
            Some(format!("line {}: {field}", line.number))
        });
        if let Some(line) = line {
            failure = failure.with_place(&violation.field, line);
        }
    }
    failure
}

/// Says what a part failed of, and what was done before it.
fn halted(status: Status, part: &[&Line], before: usize) -> Failure {
    let failure = placed(status, part);
    if before == 0 {
        return failure;
    }
    failure.with_hint(format!(
        "the first {before} were imported before; mend what is wrong and run this again: they are \
         not imported twice"
    ))
}
