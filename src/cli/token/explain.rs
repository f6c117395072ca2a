//! `token explain`.

use std::path::PathBuf;

use super::{record, token_id};
use crate::cli::failure::Failure;
use crate::cli::output::{Record, names, table, text, yes};
use crate::cli::session::Session;
use crate::cli::words::{self, Kind};
use crate::cli::{input, moments};
use crate::pb;
use crate::pb::explain_token_request::Subject;

/// What to explain: a token by its id, or a value.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Explain {
    /// The token's id; default: the token of a value, which is read from standard input,
    /// typed unseen on a terminal
    #[arg(conflicts_with = "value_file")]
    token_id: Option<String>,
    /// The file that holds the value
    #[arg(long, value_name = "FILE")]
    value_file: Option<PathBuf>,
    /// A scope to explain beside those of the grant; can be given again
    #[arg(long, value_name = "SCOPE")]
    require: Vec<String>,
    /// The kind that it must be of; webhook tokens are found only where this says so
    #[arg(long, value_enum)]
    kind: Option<Kind>,
}

impl Explain {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        let subject = match self.token_id {
            Some(given) => Subject::TokenId(token_id(given)?),
            None => Subject::Value(input::value("the value", self.value_file.as_deref())?),
        };
        let request = session.request(pb::ExplainTokenRequest {
            tenant_id: session.tenant(None),
            subject: Some(subject),
            kind: Kind::number(self.kind),
            required_scopes: self.require,
        });
        let answer = session.tokens().explain_token(request).await?.into_inner();
        session.output.show(&answer, said)
    }
}

fn said(answer: &pb::ExplainTokenResponse) -> String {
    let reason = words::plain(answer.reason().as_str_name(), "INACTIVE_REASON_");
    let state = words::plain(answer.value_state().as_str_name(), "VALUE_STATE_");
    let judged = Record::default()
        .with("active", yes(answer.active))
        .with_some("because", reason)
        .with_some("value", state)
        .with_some("value ends", moments::said(answer.value_end_time.as_ref()))
        .with_some("missing", names(&answer.missing_scopes));
    let mut said = judged.to_string();
    if let Some(token) = &answer.token {
        said += "\n";
        said += &record::record(token).to_string();
    }
    if !answer.scopes.is_empty() {
        said += "\n";
        let headings = [
            "scope",
            "effective",
            "granted",
            "profile",
            "implied by",
            "withheld",
        ];
        said += &table(&headings, answer.scopes.iter().map(row));
    }
    said
}

fn row(scope: &pb::ScopeExplanation) -> Vec<String> {
    vec![
        text(&scope.name),
        yes(scope.effective),
        yes(scope.granted),
        text(&scope.profile),
        names(&scope.implied_by),
        words::plain(scope.withheld().as_str_name(), "SCOPE_WITHHELD_"),
    ]
}
