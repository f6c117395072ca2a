//! `token rotate`.

use prost_types::Duration;

use super::{Again, record, token_id};
use crate::cli::failure::Failure;
use crate::cli::handout::ValueTo;
use crate::cli::moments;
use crate::cli::session::Session;
use crate::cli::words::Kind;
use crate::pb;

/// What to rotate.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Rotate {
    /// The token's id
    token_id: String,
    /// How long the present value goes on, such as 1h; default: it ends at once
    #[arg(long, value_name = "LENGTH", value_parser = moments::length)]
    grace: Option<Duration>,
    /// The kind that it must be of; webhook tokens are found only where this says so
    #[arg(long, value_enum)]
    kind: Option<Kind>,
    /// The version that it must have
    #[arg(long)]
    etag: Option<String>,
    #[command(flatten)]
    value_to: ValueTo,
    #[command(flatten)]
    again: Again,
}

impl Rotate {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        let request = pb::RotateTokenRequest {
            tenant_id: session.tenant(None),
            token_id: token_id(self.token_id)?,
            kind: Kind::number(self.kind),
            etag: self.etag.unwrap_or_default(),
            grace_period: self.grace,
            request_id: session.request_id(self.again.request_id)?,
        };
        let handout = self.value_to.open()?;
        let request = session.request(request);
        let rotated = session.tokens().rotate_token(request).await?.into_inner();
        let token = rotated.token.clone().unwrap_or_default();
        let said = said(&token, &rotated.revision);
        handout.give(session.output, rotated, |rotated| &mut rotated.value, &said)
    }
}

/// Says what a rotation came to.
pub(super) fn said(token: &pb::Token, revision: &str) -> String {
    let mut record = record::brief(token, revision);
    for value in &token.previous_values {
        let end = moments::said(value.end_time.as_ref());
        record = record.with("in grace", format!("{}, until {end}", value.hint));
    }
    record.to_string()
}
