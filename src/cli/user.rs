//! `user`: whoever tokens act as.

use super::change::{EtagArguments, RequestArguments};
use super::failure::Failure;
use super::output::{Record, escaped, table, text};
use super::pages::{self, PageArguments};
use super::session::Session;
use super::{moments, words};
use crate::pb;

/// What is done with users.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Creates a user, for whom the tenant vouches, as its member
    Create(Create),
    /// Shows a user
    Get {
        /// Its id: `usr_…`
        user_id: String,
    },
    /// Lists the tenant's users, newest first
    List {
        /// Only whom the tenant calls this
        #[arg(long, value_name = "ID")]
        external_id: Option<String>,
        #[command(flatten)]
        pages: PageArguments,
    },
    /// Changes what is given
    Update(Update),
    /// Makes all its tokens inactive at once, until it is resumed
    Suspend {
        /// Its id: `usr_…`
        user_id: String,
        /// Don't ask
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        request: RequestArguments,
    },
    /// Undoes a suspension
    Resume {
        /// Its id: `usr_…`
        user_id: String,
        #[command(flatten)]
        request: RequestArguments,
    },
    /// Deletes a user for good and revokes all its tokens, in every tenant
    Delete {
        /// Its id: `usr_…`
        user_id: String,
        /// Don't ask
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        etag: EtagArguments,
        #[command(flatten)]
        request: RequestArguments,
    },
    /// Sets which tenant `active` stands for in one's own sessions
    SetActiveTenant {
        /// A tenant that one is a member of
        tenant_id: String,
        #[command(flatten)]
        request: RequestArguments,
    },
}

/// Whom to create.
#[derive(Debug, clap::Args)]
pub(super) struct Create {
    /// What the tenant calls it, such as its identity provider's subject
    external_id: String,
    /// Its name for people
    #[arg(long, value_name = "NAME")]
    display_name: Option<String>,
    /// What it is in the tenant [default: member]
    #[arg(long)]
    role: Option<words::Role>,
    #[command(flatten)]
    request: RequestArguments,
}

/// What to change.
#[derive(Debug, clap::Args)]
pub(super) struct Update {
    /// Its id: `usr_…`
    user_id: String,
    /// What the tenant calls it
    #[arg(long, value_name = "ID")]
    external_id: Option<String>,
    /// Its name for people; "" takes it away
    #[arg(long, value_name = "NAME")]
    display_name: Option<String>,
    #[command(flatten)]
    etag: EtagArguments,
    #[command(flatten)]
    request: RequestArguments,
}

impl Command {
    /// Runs it.
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        let tenant_id = session.tenant(None);
        match self {
            Self::Create(command) => command.run(session).await,
            Self::Get { user_id } => {
                let request = session.request(pb::GetUserRequest { tenant_id, user_id });
                let answer = session.users().get_user(request).await?.into_inner();
                session
                    .output
                    .show(&answer, |a| one(a.user.as_ref(), a.membership.as_ref()))
            }
            Self::List { external_id, pages } => list(session, external_id, pages).await,
            Self::Update(command) => command.run(session).await,
            Self::Suspend {
                user_id,
                yes,
                request,
            } => {
                let shown = escaped(&user_id);
                let question =
                    format!("Suspend the user {shown}? None of its tokens will be active.");
                session.confirm(&question, yes)?;
                let request = pb::SuspendUserRequest {
                    tenant_id,
                    user_id,
                    request_id: request.id(session)?,
                };
                let request = session.request(request);
                let answer = session.users().suspend_user(request).await?.into_inner();
                session.output.show(&answer, |a| one(a.user.as_ref(), None))
            }
            Self::Resume { user_id, request } => {
                let request = pb::ResumeUserRequest {
                    tenant_id,
                    user_id,
                    request_id: request.id(session)?,
                };
                let request = session.request(request);
                let answer = session.users().resume_user(request).await?.into_inner();
                session.output.show(&answer, |a| one(a.user.as_ref(), None))
            }
            Self::Delete {
                user_id,
                yes,
                etag,
                request,
            } => {
                let shown = escaped(&user_id);
                let question = format!(
                    "Delete the user {shown}? All its tokens end, and nothing brings it back."
                );
                session.confirm(&question, yes)?;
                let request = pb::DeleteUserRequest {
                    tenant_id,
                    user_id,
                    etag: etag.etag(),
                    request_id: request.id(session)?,
                };
                let request = session.request(request);
                let answer = session.users().delete_user(request).await?.into_inner();
                session.output.show(&answer, |_| {
                    format!("The user {shown} is deleted, and all its tokens are revoked.\n")
                })
            }
            Self::SetActiveTenant { tenant_id, request } => {
                let request = pb::SetActiveTenantRequest {
                    tenant_id,
                    request_id: request.id(session)?,
                };
                let request = session.request(request);
                let answer = session
                    .users()
                    .set_active_tenant(request)
                    .await?
                    .into_inner();
                session.output.show(&answer, |a| one(a.user.as_ref(), None))
            }
        }
    }
}

impl Create {
    async fn run(self, session: &Session) -> Result<(), Failure> {
        let Self {
            external_id,
            display_name,
            role,
            request,
        } = self;
        let tenant_id = session.tenant(None);
        let request = pb::CreateUserRequest {
            tenant_id,
            external_id,
            display_name: display_name.unwrap_or_default(),
            role: words::Role::number(role),
            request_id: request.id(session)?,
        };
        let request = session.request(request);
        let answer = session.users().create_user(request).await?.into_inner();
        session
            .output
            .show(&answer, |a| one(a.user.as_ref(), a.membership.as_ref()))
    }
}

impl Update {
    async fn run(self, session: &Session) -> Result<(), Failure> {
        let Self {
            user_id,
            external_id,
            display_name,
            etag,
            request,
        } = self;
        let tenant_id = session.tenant(None);
        let names = [
            ("external_id", &external_id),
            ("display_name", &display_name),
        ];
        let given = names.iter().filter(|(_, given)| given.is_some());
        let paths: Vec<String> = given.map(|(name, _)| (*name).to_owned()).collect();
        if paths.is_empty() {
            return Err(Failure::usage(
                "nothing to change: give --external-id or --display-name",
            ));
        }
        let request = pb::UpdateUserRequest {
            tenant_id,
            user_id,
            update_mask: Some(prost_types::FieldMask { paths }),
            etag: etag.etag(),
            external_id: external_id.unwrap_or_default(),
            display_name: display_name.unwrap_or_default(),
            request_id: request.id(session)?,
        };
        let request = session.request(request);
        let answer = session.users().update_user(request).await?.into_inner();
        session.output.show(&answer, |a| one(a.user.as_ref(), None))
    }
}

async fn list(
    session: &Session,
    external_id: Option<String>,
    pages: PageArguments,
) -> Result<(), Failure> {
    let users = pages.all(async |page_size, page_token| {
        let request = session.request(pb::ListUsersRequest {
            tenant_id: session.tenant(None),
            page_size,
            page_token,
            external_id: external_id.clone().unwrap_or_default(),
        });
        let page = session.users().list_users(request).await?.into_inner();
        Ok((page.users, page.next_page_token))
    });
    let users = users.await?;
    let answer = pb::ListUsersResponse {
        users: users.items,
        next_page_token: users.next_page_token,
    };
    session.output.show(&answer, |answer| {
        let rows = answer.users.iter().map(|user| {
            vec![
                text(&user.user_id),
                text(&user.external_id),
                text(&user.display_name),
                state(user.state()),
                text(&user.vouching_tenant_id),
                moments::said(user.create_time.as_ref()),
            ]
        });
        let headings = [
            "user",
            "external id",
            "name",
            "state",
            "vouched by",
            "created",
        ];
        table(&headings, rows) + &pages::more(&answer.next_page_token)
    })
}

fn one(user: Option<&pb::User>, membership: Option<&pb::Membership>) -> String {
    let Some(user) = user else {
        return String::new();
    };
    Record::default()
        .with("user", text(&user.user_id))
        .with("external id", text(&user.external_id))
        .with("name", text(&user.display_name))
        .with("state", state(user.state()))
        .with_some(
            "role",
            membership.map_or_else(
                || String::from("-"),
                |of| format!("{} of {}", words::role(of.role), escaped(&of.tenant_id)),
            ),
        )
        .with("vouched by", text(&user.vouching_tenant_id))
        .with("active tenant", text(&user.active_tenant_id))
        .with("created", moments::said(user.create_time.as_ref()))
        .with("changed", moments::said(user.update_time.as_ref()))
        .with("etag", text(&user.etag))
        .to_string()
}

fn state(state: pb::UserState) -> String {
    words::plain(state.as_str_name(), "USER_STATE_")
}
