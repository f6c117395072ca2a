//! `tenant`: products and customers, each with its own users, catalog and rules.

use std::path::PathBuf;

use super::catalog;
use super::change::{EtagArguments, RequestArguments};
use super::failure::Failure;
use super::output::{Record, escaped, table, text};
use super::pages::{self, PageArguments};
use super::policy::PolicyArguments;
use super::session::Session;
use super::{moments, words};
use crate::pb;

/// What is done with tenants.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Creates a tenant, with an empty catalog (operators)
    Create(Create),
    /// Shows a tenant
    Get {
        /// Its id; without one, the session's tenant
        tenant_id: Option<String>,
    },
    /// Lists all tenants, newest first (operators)
    List {
        #[command(flatten)]
        pages: PageArguments,
    },
    /// Changes what is given
    Update(Update),
    /// Makes all its tokens inactive at once, until it is resumed (operators)
    Suspend {
        /// Its id
        tenant_id: String,
        /// Don't ask
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        request: RequestArguments,
    },
    /// Undoes a suspension (operators)
    Resume {
        /// Its id
        tenant_id: String,
        #[command(flatten)]
        request: RequestArguments,
    },
    /// Deletes a tenant for good, with all its tokens; its id and prefix are never used
    /// again (operators)
    Delete {
        /// Its id
        tenant_id: String,
        /// Don't ask
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        etag: EtagArguments,
        #[command(flatten)]
        request: RequestArguments,
    },
}

/// What to create.
#[derive(Debug, clap::Args)]
pub(super) struct Create {
    /// Its id: 3 to 63 of a-z, 0-9 and -; may stand in the document
    tenant_id: Option<String>,
    /// Take id, name, prefix and rules from a document such as `catalog apply`
    /// takes; flags win. The catalog is then for `catalog apply`
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// What every value begins with, such as `ody_`
    #[arg(long, value_name = "PREFIX")]
    token_prefix: Option<String>,
    /// Its name for people
    #[arg(long, value_name = "NAME")]
    display_name: Option<String>,
    #[command(flatten)]
    request: RequestArguments,
    // The last: the heading of its flags goes on.
    #[command(flatten)]
    policy: PolicyArguments,
}

/// What to change.
#[derive(Debug, clap::Args)]
pub(super) struct Update {
    /// Its id; without one, the session's tenant
    tenant_id: Option<String>,
    /// Its name for people
    #[arg(long, value_name = "NAME")]
    display_name: Option<String>,
    /// What every value begins with (operators, while there has been no token)
    #[arg(long, value_name = "PREFIX")]
    token_prefix: Option<String>,
    #[command(flatten)]
    etag: EtagArguments,
    #[command(flatten)]
    request: RequestArguments,
    // The last: the heading of its flags goes on.
    #[command(flatten)]
    policy: PolicyArguments,
}

impl Command {
    /// Runs it.
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Self::Create(command) => command.run(session).await,
            Self::Get { tenant_id } => {
                let tenant_id = session.tenant(tenant_id);
                let request = session.request(pb::GetTenantRequest { tenant_id });
                let answer = session.tenants().get_tenant(request).await?.into_inner();
                session.output.show(&answer, |a| one(a.tenant.as_ref()))
            }
            Self::List { pages } => list(session, pages).await,
            Self::Update(command) => command.run(session).await,
            Self::Suspend {
                tenant_id,
                yes,
                request,
            } => {
                let shown = escaped(&tenant_id);
                let question =
                    format!("Suspend the tenant {shown}? None of its tokens will be active.");
                session.confirm(&question, yes)?;
                let request = pb::SuspendTenantRequest {
                    tenant_id,
                    request_id: request.id(session)?,
                };
                let request = session.request(request);
                let answer = session
                    .tenants()
                    .suspend_tenant(request)
                    .await?
                    .into_inner();
                session.output.show(&answer, |a| one(a.tenant.as_ref()))
            }
            Self::Resume { tenant_id, request } => {
                let request = pb::ResumeTenantRequest {
                    tenant_id,
                    request_id: request.id(session)?,
                };
                let request = session.request(request);
                let answer = session.tenants().resume_tenant(request).await?.into_inner();
                session.output.show(&answer, |a| one(a.tenant.as_ref()))
            }
            Self::Delete {
                tenant_id,
                yes,
                etag,
                request,
            } => {
                let shown = escaped(&tenant_id);
                let question = format!(
                    "Delete the tenant {shown}? All its tokens end, and nothing brings it back."
                );
                session.confirm(&question, yes)?;
                let request = pb::DeleteTenantRequest {
                    tenant_id,
                    etag: etag.etag(),
                    request_id: request.id(session)?,
                };
                let request = session.request(request);
                let answer = session.tenants().delete_tenant(request).await?.into_inner();
                session.output.show(&answer, |_| {
                    format!("The tenant {shown} is deleted, with all its tokens.\n")
                })
            }
        }
    }
}

impl Create {
    async fn run(self, session: &Session) -> Result<(), Failure> {
        let Self {
            tenant_id,
            from,
            token_prefix,
            display_name,
            policy,
            request,
        } = self;
        let document = from.as_deref().map(catalog::read).transpose()?;
        let document = document.map(|read| read.document).unwrap_or_default();
        let mut rules = document.policy;
        policy.set(&mut rules);
        let tenant_id = tenant_id.or(document.tenant).ok_or_else(|| {
            Failure::usage("which tenant? give its id, or --from a document that names it")
        })?;
        let request = pb::CreateTenantRequest {
            tenant_id,
            display_name: display_name.or(document.display_name).unwrap_or_default(),
            token_prefix: token_prefix.or(document.token_prefix).unwrap_or_default(),
            policy: Some(rules),
            request_id: request.id(session)?,
        };
        let request = session.request(request);
        let answer = session.tenants().create_tenant(request).await?.into_inner();
        session.output.show(&answer, |a| one(a.tenant.as_ref()))
    }
}

impl Update {
    async fn run(self, session: &Session) -> Result<(), Failure> {
        let Self {
            tenant_id,
            display_name,
            token_prefix,
            policy,
            etag,
            request,
        } = self;
        let mut rules = pb::TenantPolicy::default();
        let mut paths = policy.set(&mut rules);
        let names = [
            ("display_name", &display_name),
            ("token_prefix", &token_prefix),
        ];
        let given = names.iter().filter(|(_, given)| given.is_some());
        paths.extend(given.map(|(name, _)| (*name).to_owned()));
        if paths.is_empty() {
            return Err(Failure::usage("nothing to change: give what is to be"));
        }
        let request = pb::UpdateTenantRequest {
            tenant_id: session.tenant(tenant_id),
            update_mask: Some(prost_types::FieldMask { paths }),
            etag: etag.etag(),
            display_name: display_name.unwrap_or_default(),
            token_prefix: token_prefix.unwrap_or_default(),
            policy: Some(rules),
            request_id: request.id(session)?,
        };
        let request = session.request(request);
        let answer = session.tenants().update_tenant(request).await?.into_inner();
        session.output.show(&answer, |a| one(a.tenant.as_ref()))
    }
}

async fn list(session: &Session, pages: PageArguments) -> Result<(), Failure> {
    let tenants = pages.all(async |page_size, page_token| {
        let request = session.request(pb::ListTenantsRequest {
            page_size,
            page_token,
        });
        let page = session.tenants().list_tenants(request).await?.into_inner();
        Ok((page.tenants, page.next_page_token))
    });
    let tenants = tenants.await?;
    let answer = pb::ListTenantsResponse {
        tenants: tenants.items,
        next_page_token: tenants.next_page_token,
    };
    session.output.show(&answer, |answer| {
        let rows = answer.tenants.iter().map(|tenant| {
            vec![
                text(&tenant.tenant_id),
                text(&tenant.display_name),
                state(tenant.state()),
                text(&tenant.token_prefix),
                moments::said(tenant.create_time.as_ref()),
            ]
        });
        let headings = ["tenant", "name", "state", "prefix", "created"];
        table(&headings, rows) + &pages::more(&answer.next_page_token)
    })
}

fn one(tenant: Option<&pb::Tenant>) -> String {
    let Some(tenant) = tenant else {
        return String::new();
    };
    let record = Record::default()
        .with("tenant", text(&tenant.tenant_id))
        .with("name", text(&tenant.display_name))
        .with("state", state(tenant.state()))
        .with("prefix", text(&tenant.token_prefix));
    let rules = catalog::document::rules(&tenant.policy.clone().unwrap_or_default());
    let record = rules.into_iter().fold(record, |record, (name, rule)| {
        record.with(&name.replace('_', " "), rule)
    });
    record
        .with("created", moments::said(tenant.create_time.as_ref()))
        .with("changed", moments::said(tenant.update_time.as_ref()))
        .with("etag", text(&tenant.etag))
        .to_string()
}

fn state(state: pb::TenantState) -> String {
    words::plain(state.as_str_name(), "TENANT_STATE_")
}
