//! `token create`.

use prost_types::Duration;

use super::{Again, label, labels, record};
use crate::cli::failure::Failure;
use crate::cli::handout::ValueTo;
use crate::cli::moments::{self, Moment};
use crate::cli::session::Session;
use crate::cli::words::Kind;
use crate::pb;
use crate::pb::create_token_request::Expiry;

/// What to create.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Create {
    /// Its name, for people: 1 to 100 characters
    name: String,
    /// A scope to grant; can be given again
    #[arg(long, value_name = "SCOPE")]
    scope: Vec<String>,
    /// A profile of the tenant's catalog whose scopes are granted as well
    #[arg(long, value_name = "PROFILE")]
    scope_profile: Option<String>,
    /// How long it lives, such as 90d; default: what the tenant's policy says
    #[arg(long, value_name = "LENGTH", value_parser = moments::length, conflicts_with = "expire_time")]
    ttl: Option<Duration>,
    /// When it ends, such as 2026-12-31T00:00:00Z
    #[arg(long, value_name = "TIME", value_parser = moments::moment)]
    expire_time: Option<Moment>,
    /// What it is for; default: api
    #[arg(long, value_enum)]
    kind: Option<Kind>,
    /// The user that it acts as; default: the caller's own
    #[arg(long, value_name = "ID")]
    user: Option<String>,
    /// For an AGENT token: the agent that it is made for; default: the profile's
    #[arg(long, value_name = "ID")]
    agent_id: Option<String>,
    /// A label; can be given again
    #[arg(long, value_name = "KEY=VALUE", value_parser = label)]
    label: Vec<(String, String)>,
    /// Judge the call alone: create nothing
    #[arg(long, conflicts_with = "value_to")]
    validate_only: bool,
    #[command(flatten)]
    value_to: ValueTo,
    #[command(flatten)]
    again: Again,
}

impl Create {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        let kind = Kind::number(self.kind);
        let is_agent = self.kind == Some(Kind::Agent);
        let profiles_agent = session.settings.agent_id.clone().filter(|_| is_agent);
        // Said as it was given: asked again, it is the same request.
        let from_now = self.expire_time.and_then(Moment::length);
        let from_now = from_now.map(Duration::try_from).transpose();
        let from_now = from_now.map_err(|_| Failure::usage("--expire-time is too far"))?;
        let expire_time = self.expire_time.map(Moment::after_now);
        let request = pb::CreateTokenRequest {
            tenant_id: session.tenant(None),
            user_id: self.user.unwrap_or_default(),
            kind,
            name: self.name,
            scopes: self.scope,
            profile: self.scope_profile.unwrap_or_default(),
            expiry: match (self.ttl.or(from_now), expire_time) {
                (Some(ttl), _) => Some(Expiry::Ttl(ttl)),
                (None, at) => at.map(Expiry::ExpireTime),
            },
            agent_id: self.agent_id.or(profiles_agent).unwrap_or_default(),
            labels: labels(self.label)?,
            // What creates nothing need not be known again.
            request_id: if self.validate_only {
                self.again.request_id.unwrap_or_default()
            } else {
                session.request_id(self.again.request_id)?
            },
            validate_only: self.validate_only,
        };
        let handout = self.value_to.open()?;
        let request = session.request(request);
        let created = session.tokens().create_token(request).await?.into_inner();
        let token = created.token.clone().unwrap_or_default();
        let said = record::brief(&token, &created.revision);
        if self.validate_only {
            return session.output.show(&created, |_| {
                format!("{said}It could be created; nothing was.\n")
            });
        }
        let said = said.to_string();
        handout.give(session.output, created, |created| &mut created.value, &said)
    }
}
