//! `introspect --batch`: many values, each judged as it would be alone.

use std::collections::BTreeSet;

use prost::Message as _;
use tonic_types::StatusExt as _;

use super::{INACTIVE, LACKING, Question};
use crate::authority::access::Rpc;
use crate::cli::failure::{self, Failure};
use crate::cli::input::{self, Line};
use crate::cli::output::{escaped, names, table, text};
use crate::cli::progress::Progress;
use crate::cli::session::Session;
use crate::domain::bounds;
use crate::domain::value::{self, TokenValue};
use crate::pb;
use crate::pb::batch_introspect_result::Result as Outcome;

/// The bytes of the values, at most.
const VALUES_BYTES: u64 = 16 * 1024 * 1024;
/// The reasons for which lines were not judged that are told, at most.
const TOLD: usize = 10;

/// Asks about the values of a file, one a line.
pub(super) async fn run(question: Question, session: &Session) -> Result<(), Failure> {
    let file = question.value_file.as_deref();
    let lines = input::lines("the values", file, VALUES_BYTES)?;
    let requests = lines
        .iter()
        .map(|line| question.request(session, line.text.clone()));
    let requests: Vec<pb::IntrospectRequest> = requests.collect();
    // A call holds as many as the server takes of the longest of them.
    let longest = requests
        .iter()
        .map(pb::IntrospectRequest::encoded_len)
        .max();
    let most = bounds::MESSAGE_BYTES / (longest.unwrap_or(0) + 8);
    let progress = Progress::of("values");
    let mut answer = pb::BatchIntrospectResponse::default();
    for chunk in requests.chunks(most.clamp(1, bounds::BATCH)) {
        let request = session.request(pb::BatchIntrospectRequest {
            requests: chunk.to_vec(),
        });
        let judged = session.introspection().batch_introspect(request).await?;
        answer.results.extend(judged.into_inner().results);
        progress.at(answer.results.len());
    }
    drop(progress);
    session
        .output
        .show(&answer, |answer| said(&lines, answer))?;
    ended(&lines, &answer)
}

fn said(lines: &[Line], answer: &pb::BatchIntrospectResponse) -> String {
    let rows = lines
        .iter()
        .zip(&answer.results)
        .map(|(line, result)| row(line, result));
    let headings = ["line", "hint", "answer", "token", "name", "user", "missing"];
    table(&headings, rows)
}

fn row(line: &Line, result: &pb::BatchIntrospectResult) -> Vec<String> {
    // The value itself is shown to nobody, and what is none may be part of one.
    let hint = value::presented(&line.text).parse::<TokenValue>();
    let hint = hint.map_or_else(|_| String::new(), |value| value.hint());
    let nobody = pb::IntrospectResponse::default();
    let (judged, answer) = match &result.result {
        Some(Outcome::Response(answer)) if answer.allowed => ("allowed", answer),
        Some(Outcome::Response(answer)) if answer.active => ("lacking", answer),
        Some(Outcome::Response(answer)) => ("inactive", answer),
        Some(Outcome::Status(_)) | None => ("none", &nobody),
    };
    vec![
        line.number.to_string(),
        text(&hint),
        judged.to_owned(),
        text(&answer.token_id),
        text(&answer.name),
        text(&answer.user_external_id),
        names(&answer.missing_scopes),
    ]
}

/// Returns the worst that was answered: that there was no answer, then that a value is
/// not active, then that one lacks a scope.
fn ended(lines: &[Line], answer: &pb::BatchIntrospectResponse) -> Result<(), Failure> {
    let (mut unjudged, mut inactive, mut lacking) = (Vec::new(), false, false);
    for (number, line) in lines.iter().enumerate() {
        let result = answer.results.get(number);
        match result.and_then(|result| result.result.as_ref()) {
            Some(Outcome::Response(answer)) => {
                inactive |= !answer.active;
                lacking |= !answer.allowed;
            }
            Some(Outcome::Status(status)) => unjudged.push((line.number, why(status))),
            None => unjudged.push((line.number, String::from("no answer"))),
        }
    }
    if !unjudged.is_empty() {
        let mut told = format!("{} of {} not judged", unjudged.len(), lines.len());
        // A wrong flag is wrong for each of them.
        let mut known = BTreeSet::new();
        for (number, why) in unjudged {
            if known.len() < TOLD && known.insert(why.clone()) {
                told = format!("{told}\n  line {number}: {why}");
            }
        }
        return Err(Failure::told(told));
    }
    match (inactive, lacking) {
        (true, _) => Err(Failure::quiet(INACTIVE)),
        (false, true) => Err(Failure::quiet(LACKING)),
        (false, false) => Ok(()),
    }
}

/// Returns why a question was not answered, on one line.
fn why(status: &tonic_types::pb::Status) -> String {
    let told = status.message.clone();
    let details = status.encode_to_vec().into();
    let status = tonic::Status::with_details(status.code.into(), told, details);
    let details = status.get_error_details();
    let violations = details.bad_request().map(|bad| &bad.field_violations);
    let violations = violations.into_iter().flatten().map(|violation| {
        let flag = failure::flag(&violation.field, Some(Rpc::BatchIntrospect));
        format!("{flag}: {}", violation.description)
    });
    let violations: Vec<String> = violations.collect();
    if violations.is_empty() {
        escaped(status.message())
    } else {
        escaped(&violations.join("; "))
    }
}
