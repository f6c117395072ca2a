//! `member`: who belongs to a tenant, and as what.

use super::change::{EtagArguments, RequestArguments};
use super::failure::Failure;
use super::output::{Record, escaped, table, text};
use super::pages::{self, PageArguments};
use super::session::Session;
use super::{moments, words};
use crate::pb;

/// What is done with members.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Makes a user a member: one whom the tenant vouches for, or, for operators, any
    Add {
        /// The user's id: `usr_…`
        user_id: String,
        /// What it is in the tenant [default: member]
        #[arg(long)]
        role: Option<words::Role>,
        #[command(flatten)]
        request: RequestArguments,
    },
    /// Changes a member's role
    Update {
        /// The user's id: `usr_…`
        user_id: String,
        /// What it is to be in the tenant
        #[arg(long)]
        role: words::Role,
        #[command(flatten)]
        etag: EtagArguments,
        #[command(flatten)]
        request: RequestArguments,
    },
    /// Ends a membership, and revokes the user's tokens in this tenant
    Remove {
        /// The user's id: `usr_…`
        user_id: String,
        /// Don't ask
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        request: RequestArguments,
    },
    /// Lists the members, newest first
    List {
        #[command(flatten)]
        pages: PageArguments,
    },
}

impl Command {
    /// Runs it.
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        let tenant_id = session.tenant(None);
        match self {
            Self::Add {
                user_id,
                role,
                request,
            } => {
                let request = pb::AddMemberRequest {
                    tenant_id,
                    user_id,
                    role: words::Role::number(role),
                    request_id: request.id(session)?,
                };
                let request = session.request(request);
                let answer = session.users().add_member(request).await?.into_inner();
                session.output.show(&answer, |a| one(a.membership.as_ref()))
            }
            Self::Update {
                user_id,
                role,
                etag,
                request,
            } => {
                let request = pb::UpdateMemberRequest {
                    tenant_id,
                    user_id,
                    role: role.into(),
                    etag: etag.etag(),
                    request_id: request.id(session)?,
                };
                let request = session.request(request);
                let answer = session.users().update_member(request).await?.into_inner();
                session.output.show(&answer, |a| one(a.membership.as_ref()))
            }
            Self::Remove {
                user_id,
                yes,
                request,
            } => {
                let shown = escaped(&user_id);
                let tenant = escaped(&tenant_id);
                let question = format!(
                    "Remove the user {shown} from the tenant {tenant}? All its tokens there end."
                );
                session.confirm(&question, yes)?;
                let request = pb::RemoveMemberRequest {
                    tenant_id,
                    user_id,
                    request_id: request.id(session)?,
                };
                let request = session.request(request);
                let answer = session.users().remove_member(request).await?.into_inner();
                session.output.show(&answer, |_| {
                    format!(
                        "The user {shown} is no member any more; its tokens here are revoked.\n"
                    )
                })
            }
            Self::List { pages } => list(session, pages).await,
        }
    }
}

async fn list(session: &Session, pages: PageArguments) -> Result<(), Failure> {
    let members = pages.all(async |page_size, page_token| {
        let request = session.request(pb::ListMembersRequest {
            tenant_id: session.tenant(None),
            page_size,
            page_token,
        });
        let page = session.users().list_members(request).await?.into_inner();
        Ok((page.memberships, page.next_page_token))
    });
    let members = members.await?;
    let answer = pb::ListMembersResponse {
        memberships: members.items,
        next_page_token: members.next_page_token,
    };
    session.output.show(&answer, |answer| {
        let rows = answer.memberships.iter().map(|of| {
            vec![
                text(&of.user_id),
                words::role(of.role),
                moments::said(of.create_time.as_ref()),
            ]
        });
        table(&["user", "role", "since"], rows) + &pages::more(&answer.next_page_token)
    })
}

fn one(membership: Option<&pb::Membership>) -> String {
    let Some(of) = membership else {
        return String::new();
    };
    Record::default()
        .with("user", text(&of.user_id))
        .with("tenant", text(&of.tenant_id))
        .with("role", words::role(of.role))
        .with("since", moments::said(of.create_time.as_ref()))
        .with("changed", moments::said(of.update_time.as_ref()))
        .with("etag", text(&of.etag))
        .to_string()
}
