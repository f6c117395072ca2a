//! `token update`.

use super::{Again, label, labels, record, token_id};
use crate::cli::failure::Failure;
use crate::cli::moments::{self, Moment};
use crate::cli::session::Session;
use crate::cli::words::Kind;
use crate::pb;

/// What to change: what is not given stays as it is.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Update {
    /// The token's id
    token_id: String,
    /// A new name
    #[arg(long)]
    name: Option<String>,
    /// A scope to grant, in place of the present ones; can be given again
    #[arg(long, value_name = "SCOPE")]
    scope: Vec<String>,
    /// A new end: a time, or a length from now such as 90d
    #[arg(long, value_name = "TIME", value_parser = moments::moment)]
    expire_time: Option<Moment>,
    /// A label, in place of the present ones; can be given again
    #[arg(long, value_name = "KEY=VALUE", value_parser = label)]
    label: Vec<(String, String)>,
    /// What to take away: all its scopes, its end, all its labels; can be given again
    #[arg(long, value_enum, value_name = "WHAT")]
    clear: Vec<Clear>,
    /// Switch it off, until it is switched on again
    #[arg(long, conflicts_with = "enable")]
    disable: bool,
    /// Switch it on again
    #[arg(long)]
    enable: bool,
    /// The kind that it must be of; webhook tokens are found only where this says so
    #[arg(long, value_enum)]
    kind: Option<Kind>,
    /// The version that it must have
    #[arg(long)]
    etag: Option<String>,
    #[command(flatten)]
    again: Again,
}

/// What can be taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Clear {
    Scopes,
    ExpireTime,
    Labels,
}

impl Update {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        let clears = |what| self.clear.contains(&what);
        let given = [
            ("name", self.name.is_some(), false),
            ("scopes", !self.scope.is_empty(), clears(Clear::Scopes)),
            (
                "expire_time",
                self.expire_time.is_some(),
                clears(Clear::ExpireTime),
            ),
            ("labels", !self.label.is_empty(), clears(Clear::Labels)),
            ("disabled", self.disable || self.enable, false),
        ];
        if let Some((what, ..)) = given.iter().find(|(_, set, cleared)| *set && *cleared) {
            return Err(Failure::usage(format!("{what} is both given and cleared")));
        }
        let paths: Vec<String> = given
            .into_iter()
            .filter(|(_, set, cleared)| *set || *cleared)
            .map(|(path, ..)| path.to_owned())
            .collect();
        if paths.is_empty() {
            return Err(Failure::usage("nothing is given to be changed; see --help"));
        }
        let from_now = self.expire_time.and_then(Moment::length);
        if from_now.is_some() && self.again.request_id.is_some() {
            return Err(Failure::usage(
                "a length of --expire-time is counted from now, so that with --request-id it is \
                 another request each time: say a time",
            ));
        }
        let request = session.request(pb::UpdateTokenRequest {
            tenant_id: session.tenant(None),
            token_id: token_id(self.token_id)?,
            kind: Kind::number(self.kind),
            update_mask: Some(prost_types::FieldMask { paths }),
            etag: self.etag.unwrap_or_default(),
            name: self.name.unwrap_or_default(),
            scopes: self.scope,
            expire_time: self.expire_time.map(Moment::after_now),
            labels: labels(self.label)?,
            disabled: self.disable,
            request_id: session.request_id(self.again.request_id)?,
        });
        let answer = session.tokens().update_token(request).await?.into_inner();
        session.output.show(&answer, |answer| {
            let token = answer.token.clone().unwrap_or_default();
            record::record(&token)
                .with("revision", answer.revision.as_str())
                .to_string()
        })
    }
}
