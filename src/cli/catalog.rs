//! `catalog`: a tenant's scopes, profiles and rules as one document.

mod apply;
pub(super) mod difference;
pub(super) mod document;
pub(super) mod parse;
pub(super) mod render;
mod trust;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use self::document::{Document, Lines, RULES};
use super::change::RequestArguments;
use super::failure::Failure;
use super::output::{Output, escaped, names, table, text};
use super::session::Session;
use super::{input, print, words};
use crate::domain::bounds;
use crate::pb;

/// What is done with catalogs.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Shows the scopes and profiles
    Get,
    /// Prints the tenant's document: catalog, names and rules
    Export,
    /// Shows what `apply` would change; exits with 2 where that is something
    Diff {
        /// The document (TOML); `-` is standard input
        file: PathBuf,
    },
    /// Makes a tenant's catalog, and what else the document names, as the document says
    ///
    /// Scopes and profiles that the document lacks are removed. Of names and rules, what
    /// it does not name stays. The tenant is --tenant, else the document's, else the
    /// session's. What somebody else changes meanwhile is not overwritten.
    Apply {
        /// The document (TOML); `-` is standard input
        file: PathBuf,
        /// Show what would change, and change nothing
        #[arg(long)]
        dry_run: bool,
        /// Don't ask
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        request: RequestArguments,
    },
}

impl Command {
    /// Runs it.
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Self::Get => get(session).await,
            Self::Export => export(session).await,
            Self::Diff { file } => apply::diff(session, read(&file)?).await,
            Self::Apply {
                file,
                dry_run,
                yes,
                request,
            } => {
                let read = read(&file)?;
                if dry_run {
                    apply::dry_run(session, read).await
                } else {
                    apply::apply(session, read, yes, request).await
                }
            }
        }
    }
}

/// A document, and where it came from.
#[derive(Debug, Default)]
pub(super) struct Read {
    /// The document.
    pub(super) document: Document,
    /// Where each field of a request stands.
    lines: Lines,
    /// The file's name, as it can be shown.
    file: String,
}

/// Reads a document; all that is wrong with it is told.
pub(super) fn read(file: &Path) -> Result<Read, Failure> {
    let text = input::document("the document", Some(file), bounds::MESSAGE_BYTES as u64)?;
    let name = if file == Path::new("-") {
        String::from("standard input")
    } else {
        escaped(&file.display().to_string())
    };
    match parse::parse(&text) {
        Ok((document, lines)) => Ok(Read {
            document,
            lines,
            file: name,
        }),
        Err(problems) => {
            let mut lines = vec![format!("{name} has {} problem(s):", problems.len())];
            lines.extend(problems.iter().map(|problem| {
                let what = escaped(&problem.what);
                format!("  {name}:{}: {what}", problem.line)
            }));
            Err(Failure::usage(lines.join("\n")))
        }
    }
}

/// Asks for a tenant's catalog.
async fn present(session: &Session, tenant_id: String) -> Result<pb::GetCatalogResponse, Failure> {
    let request = session.request(pb::GetCatalogRequest { tenant_id });
    Ok(session.scopes().get_catalog(request).await?.into_inner())
}

async fn get(session: &Session) -> Result<(), Failure> {
    let answer = present(session, session.tenant(None)).await?;
    session.output.show(&answer, |answer| {
        let catalog = answer.catalog.clone().unwrap_or_default();
        let scopes = catalog.scopes.iter().map(|scope| {
            let kinds: Vec<String> = scope
                .forbidden_kinds
                .iter()
                .map(|kind| words::kind(*kind))
                .collect();
            vec![
                text(&scope.name),
                names(&scope.implies),
                document::word(&document::ROLES, &scope.minimum_role()).to_owned(),
                names(&kinds),
                text(&scope.description),
            ]
        });
        let scopes = table(
            &[
                "scope",
                "brings along",
                "least role",
                "never for",
                "description",
            ],
            scopes,
        );
        if catalog.profiles.is_empty() {
            return scopes;
        }
        let profiles = catalog.profiles.iter().map(|profile| {
            vec![
                text(&profile.name),
                names(&profile.scopes),
                text(&profile.description),
            ]
        });
        let profiles = table(&["profile", "scopes", "description"], profiles);
        format!("{scopes}\n{profiles}")
    })
}

/// Prints all that can be said of a tenant, so that another can be made its like.
async fn export(session: &Session) -> Result<(), Failure> {
    let tenant_id = session.tenant(None);
    let answer = present(session, tenant_id.clone()).await?;
    if session.output == Output::Json {
        return session.output.show(&answer, |_| String::new());
    }
    let request = session.request(pb::GetTenantRequest { tenant_id });
    let tenant = session.tenants().get_tenant(request).await?.into_inner();
    let tenant = tenant.tenant.unwrap_or_default();
    let document = Document {
        tenant: Some(tenant.tenant_id),
        display_name: Some(tenant.display_name),
        token_prefix: Some(tenant.token_prefix),
        policy: tenant.policy.unwrap_or_default(),
        rules: BTreeSet::from(RULES.map(|(name, _)| name)),
        catalog: answer.catalog.unwrap_or_default(),
    };
    Ok(print(&render::render(&document))?)
}
