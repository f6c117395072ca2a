//! `invite`: lets people join who have no token yet.

mod create;

use std::path::PathBuf;

use super::change::RequestArguments;
use super::failure::{Failure, is_open};
use super::handout::ValueTo;
use super::output::{Record, names, table, text};
use super::pages::{self, PageArguments};
use super::session::Session;
use super::{input, moments, words};
use crate::pb;

pub(super) use self::create::flag;

/// What is done with invites.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Makes an invite. Its value goes to standard output, alone, this one time
    ///
    /// Whoever is given the value joins the tenant by `invite claim`, once.
    Create(Box<create::Create>),
    /// Lists the tenant's invites, newest first, never a value
    List {
        /// Only those in this state
        #[arg(long)]
        state: Option<words::InviteState>,
        #[command(flatten)]
        pages: PageArguments,
    },
    /// Makes an invite unclaimable for good
    Revoke {
        /// Its id: `ivt_…`
        invite_id: String,
        #[command(flatten)]
        request: RequestArguments,
    },
    /// Joins by an invite's value; needs no token of one's own
    ///
    /// Where the invite has a first token, its value goes to standard output, alone, this
    /// one time.
    Claim(Claim),
}

/// The value that was handed on.
#[derive(Debug, clap::Args)]
pub(super) struct Claim {
    /// The file that holds the invite's value; default: standard input, typed unseen on a
    /// terminal
    #[arg(long, value_name = "FILE")]
    value_file: Option<PathBuf>,
    #[command(flatten)]
    value_to: ValueTo,
}

impl Command {
    /// Returns whether it takes no credential, so that none is read.
    pub(super) fn is_nobodys(&self) -> bool {
        matches!(self, Self::Claim(_))
    }

    /// Runs it.
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Self::Create(create) => create.run(session).await,
            Self::List { state, pages } => list(session, state, pages).await,
            Self::Revoke { invite_id, request } => {
                input::without_value("an invite's id, which begins with ivt_", &invite_id)?;
                let request = pb::RevokeInviteRequest {
                    tenant_id: session.tenant(None),
                    invite_id,
                    request_id: request.id(session)?,
                };
                let request = session.request(request);
                let answer = session.invites().revoke_invite(request).await?;
                session.output.show(&answer.into_inner(), |answer| {
                    answer.invite.as_ref().map(record).unwrap_or_default()
                })
            }
            Self::Claim(claim) => claim.run(session).await,
        }
    }
}

impl Claim {
    async fn run(self, session: &Session) -> Result<(), Failure> {
        let value = input::value("the invite's value", self.value_file.as_deref())?;
        let handout = self.value_to.open()?;
        let request = session.request_by_nobody(pb::ClaimInviteRequest { value });
        let claimed = session.invites().claim_invite(request).await;
        let claimed = claimed.map_err(|status| {
            let open = is_open(&status);
            let failure = Failure::from(status);
            if open {
                failure.with_hint(
                    "whether it was claimed is not known; if it is refused now, it was: whoever \
                     made it sees so, and can give you a token",
                )
            } else {
                failure
            }
        })?;
        let claimed = claimed.into_inner();
        let said = joined(&claimed);
        if claimed.value.is_empty() {
            return session.output.show(&claimed, |_| said);
        }
        handout.give(session.output, claimed, |claimed| &mut claimed.value, &said)
    }
}

async fn list(
    session: &Session,
    state: Option<words::InviteState>,
    pages: PageArguments,
) -> Result<(), Failure> {
    let invites = pages.all(async |page_size, page_token| {
        let request = session.request(pb::ListInvitesRequest {
            tenant_id: session.tenant(None),
            page_size,
            page_token,
            state: words::InviteState::number(state),
        });
        let page = session.invites().list_invites(request).await?.into_inner();
        Ok((page.invites, page.next_page_token))
    });
    let invites = invites.await?;
    let answer = pb::ListInvitesResponse {
        invites: invites.items,
        next_page_token: invites.next_page_token,
    };
    session.output.show(&answer, |answer| {
        let rows = answer.invites.iter().map(|invite| {
            let new_user = invite.new_user.as_ref();
            vec![
                text(&invite.invite_id),
                words::invite_state(invite.state),
                text(new_user.map_or(&invite.user_id, |user| &user.external_id)),
                words::role(invite.role),
                text(&invite.hint),
                moments::said(invite.create_time.as_ref()),
                moments::said(invite.expire_time.as_ref()),
            ]
        });
        let headings = ["invite", "state", "for", "role", "hint", "created", "ends"];
        table(&headings, rows) + &pages::more(&answer.next_page_token)
    })
}

/// Returns all that an invite says.
fn record(invite: &pb::Invite) -> String {
    let mut record = Record::default()
        .with("invite", text(&invite.invite_id))
        .with("tenant", text(&invite.tenant_id))
        .with("state", words::invite_state(invite.state))
        .with("hint", text(&invite.hint))
        .with("role", words::role(invite.role))
        .with("user", text(&invite.user_id));
    if let Some(user) = &invite.new_user {
        record = record
            .with("external id", text(&user.external_id))
            .with_some("name", text(&user.display_name));
    }
    if let Some(first) = &invite.first_token {
        record = record
            .with("first token", text(&first.name))
            .with("kind", words::kind(first.kind))
            .with("scopes", names(&first.scopes))
            .with_some("profile", text(&first.profile))
            .with_some("agent", text(&first.agent_id))
            .with_some(
                "lives",
                first
                    .ttl
                    .as_ref()
                    .map_or_else(|| text(""), moments::written),
            );
    }
    record
        .with_some("created by", text(&invite.created_by))
        .with_some("creator", text(&invite.creator_user_id))
        .with("created", moments::said(invite.create_time.as_ref()))
        .with("ends", moments::said(invite.expire_time.as_ref()))
        .with_some("claimed", moments::said(invite.claim_time.as_ref()))
        .with_some("token", text(&invite.token_id))
        .with_some("revoked", moments::said(invite.revoke_time.as_ref()))
        .to_string()
}

/// Returns what whoever joined is told.
fn joined(claimed: &pb::ClaimInviteResponse) -> String {
    let user = claimed.user.clone().unwrap_or_default();
    let membership = claimed.membership.clone().unwrap_or_default();
    let mut record = Record::default()
        .with("user", text(&user.user_id))
        .with("external id", text(&user.external_id))
        .with("tenant", text(&membership.tenant_id))
        .with("role", words::role(membership.role));
    if let Some(token) = &claimed.token {
        record = record
            .with("token", text(&token.token_id))
            .with("name", text(&token.name))
            .with("scopes", names(&token.effective_scopes))
            .with("ends", moments::said(token.expire_time.as_ref()));
    }
    record
        .with_some("revision", text(&claimed.revision))
        .to_string()
}
