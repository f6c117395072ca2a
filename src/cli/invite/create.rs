//! `invite create`.

use prost_types::Duration;

use super::record;
use crate::cli::change::RequestArguments;
use crate::cli::failure::{self, Failure};
use crate::cli::handout::ValueTo;
use crate::cli::moments;
use crate::cli::session::Session;
use crate::cli::token::{label, labels};
use crate::cli::words::{Kind, Role};
use crate::pb;
use crate::pb::create_invite_request::Invitee;

/// Whom to invite, and to what.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Create {
    /// What the tenant will call a new user, such as its identity provider's subject
    #[arg(required_unless_present = "user", conflicts_with = "user")]
    external_id: Option<String>,
    /// Invite this user, who exists, in place of a new one
    #[arg(long, value_name = "ID")]
    user: Option<String>,
    /// A new user's name for people
    #[arg(long, value_name = "NAME", conflicts_with = "user")]
    display_name: Option<String>,
    /// What the user is to be in the tenant [default: member]
    #[arg(long)]
    role: Option<Role>,
    /// How long it can be claimed, such as 3d; default: 7 days
    #[arg(long, value_name = "LENGTH", value_parser = moments::length)]
    ttl: Option<Duration>,
    /// Have the claim create a token of this name
    #[arg(long, value_name = "NAME")]
    first_token: Option<String>,
    /// A scope to grant to the first token; can be given again
    #[arg(long, value_name = "SCOPE", requires = "first_token")]
    scope: Vec<String>,
    /// A profile of the tenant's catalog whose scopes are granted to it as well
    #[arg(long, value_name = "PROFILE", requires = "first_token")]
    scope_profile: Option<String>,
    /// How long it lives from the claim on, such as 90d; default: what the tenant's policy
    /// says
    #[arg(long, value_name = "LENGTH", value_parser = moments::length, requires = "first_token")]
    first_token_ttl: Option<Duration>,
    /// What it is for; default: api
    #[arg(long, value_enum, requires = "first_token")]
    kind: Option<Kind>,
    /// For an AGENT token: the agent that it is made for
    #[arg(long, value_name = "ID", requires = "first_token")]
    agent_id: Option<String>,
    /// A label of it; can be given again
    #[arg(long, value_name = "KEY=VALUE", value_parser = label, requires = "first_token")]
    label: Vec<(String, String)>,
    #[command(flatten)]
    value_to: ValueTo,
    #[command(flatten)]
    request: RequestArguments,
}

impl Create {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        let invitee = match (self.user, self.external_id) {
            (Some(user_id), _) => Some(Invitee::UserId(user_id)),
            (None, external_id) => external_id.map(|external_id| {
                Invitee::NewUser(pb::NewUser {
                    external_id,
                    display_name: self.display_name.unwrap_or_default(),
                })
            }),
        };
        let labels = labels(self.label)?;
        let first_token = self.first_token.map(|name| pb::FirstToken {
            kind: Kind::number(self.kind),
            name,
            scopes: self.scope,
            profile: self.scope_profile.unwrap_or_default(),
            ttl: self.first_token_ttl,
            agent_id: self.agent_id.unwrap_or_default(),
            labels,
        });
        let request = pb::CreateInviteRequest {
            tenant_id: session.tenant(None),
            invitee,
            role: Role::number(self.role),
            ttl: self.ttl,
            first_token,
            request_id: self.request.id(session)?,
        };
        let handout = self.value_to.open()?;
        let request = session.request(request);
        let made = session.invites().create_invite(request).await?.into_inner();
        let said = made.invite.as_ref().map(record).unwrap_or_default();
        handout.give(session.output, made, |made| &mut made.value, &said)
    }
}

/// Returns how a field is given, where that is another way than to most commands.
pub(in crate::cli) fn flag(field: &str) -> Option<String> {
    if let Some(rest) = field.strip_prefix("first_token.") {
        return Some(match rest {
            "name" => String::from("--first-token"),
            "ttl" => String::from("--first-token-ttl"),
            _ => failure::flag(rest, None),
        });
    }
    match field {
        "new_user.external_id" => Some(String::from("external_id")),
        "new_user.display_name" => Some(String::from("--display-name")),
        _ => None,
    }
}
