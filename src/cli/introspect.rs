//! `introspect`: a value, judged as a resource server would have it judged.

mod batch;

use std::path::PathBuf;

use super::failure::Failure;
use super::output::{Record, names, text, yes};
use super::session::Session;
use super::words::{self, Kind};
use super::{input, moments};
use crate::pb;

/// What it exits with where the value is not active: a resource server's 401.
const INACTIVE: u8 = 2;
/// What it exits with where the value is active and lacks a scope: 403.
const LACKING: u8 = 3;

/// The question. The token that one calls with needs `authority:introspect`.
#[derive(Debug, clap::Args)]
pub(super) struct Question {
    /// The file that holds the value; default: standard input, typed unseen on a terminal
    #[arg(long, value_name = "FILE")]
    value_file: Option<PathBuf>,
    /// Judge many values, one a line: a row for each, with its hint and never the value
    #[arg(long)]
    batch: bool,
    /// A scope that it must have; can be given again
    #[arg(long, value_name = "SCOPE")]
    require: Vec<String>,
    /// The kind that it must be of; default: any but webhook
    #[arg(long, value_enum)]
    kind: Option<Kind>,
    /// Where the value came from, an IPv4 or IPv6 address, kept as its last use
    #[arg(long, value_name = "ADDRESS")]
    client_address: Option<String>,
    /// A revision that the answer must reflect
    #[arg(long, value_name = "REVISION")]
    min_revision: Option<String>,
}

impl Question {
    /// Asks.
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        if self.batch {
            return batch::run(self, session).await;
        }
        let value = input::value("the value", self.value_file.as_deref())?;
        let request = session.request(self.request(session, value));
        let answer = session.introspection().introspect(request).await?;
        let answer = answer.into_inner();
        session.output.show(&answer, said)?;
        match (answer.allowed, answer.active) {
            (true, _) => Ok(()),
            (false, true) => Err(Failure::quiet(LACKING)),
            (false, false) => Err(Failure::quiet(INACTIVE)),
        }
    }

    /// Returns the question about a value.
    fn request(&self, session: &Session, value: String) -> pb::IntrospectRequest {
        pb::IntrospectRequest {
            token: value,
            tenant_id: session.tenant(None),
            required_scopes: self.require.clone(),
            expected_kind: Kind::number(self.kind),
            min_revision: self.min_revision.clone().unwrap_or_default(),
            client_address: self.client_address.clone().unwrap_or_default(),
        }
    }
}

fn said(answer: &pb::IntrospectResponse) -> String {
    let labels: Vec<String> = answer
        .labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let judged = Record::default()
        .with("allowed", yes(answer.allowed))
        .with("active", yes(answer.active))
        .with_some("missing", names(&answer.missing_scopes));
    if !answer.active {
        return judged.to_string();
    }
    let user = match (answer.user_external_id.as_str(), answer.user_id.as_str()) {
        (_, "") => String::from("-"),
        (external_id, user_id) => format!(
            "{} ({}), {}",
            text(external_id),
            text(user_id),
            words::role(answer.user_role)
        ),
    };
    judged
        .with("token", text(&answer.token_id))
        .with("name", text(&answer.name))
        .with("tenant", text(&answer.tenant_id))
        .with_some("user", user)
        .with("kind", words::kind(answer.kind))
        .with_some("agent", text(&answer.agent_id))
        .with("scopes", names(&answer.scopes))
        .with_some("labels", names(&labels))
        .with("ends", moments::said(answer.expire_time.as_ref()))
        .to_string()
}
