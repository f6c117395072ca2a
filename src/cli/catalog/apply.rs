//! `catalog diff` and `catalog apply`.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::Read;
use super::difference::{Difference, Differences, Fate, compare, show};
use super::parse::place;
use crate::cli::change::RequestArguments;
use crate::cli::failure::{Failure, is_open};
use crate::cli::output::{Output, escaped, harmless};
use crate::cli::session::Session;
use crate::cli::{print, tell};
use crate::domain::reason::Field;
use crate::pb;

/// What `diff` exits with where a document would change something.
const DIFFERS: u8 = 2;
/// The tokens that are named as holding a scope, at most.
const HOLDERS: usize = 10;
/// The pages of tokens that are looked through for them, at most, of each kind.
const PAGES: usize = 20;

/// A tenant as it is, and what a document would change of it.
struct Plan {
    read: Read,
    tenant_id: String,
    catalog: pb::Catalog,
    tenant: pb::Tenant,
    differences: Differences,
}

/// Shows what a document would change.
pub(super) async fn diff(session: &Session, read: Read) -> Result<(), Failure> {
    let plan = Plan::make(session, read).await?;
    plan.print(session, Done::Nothing, None)?;
    if plan.differences.is_empty() {
        return Ok(());
    }
    Err(Failure::quiet(DIFFERS))
}

/// Shows what a document would change.
pub(super) async fn dry_run(session: &Session, read: Read) -> Result<(), Failure> {
    let plan = Plan::make(session, read).await?;
    plan.print(session, Done::Nothing, None)?;
    if !plan.differences.is_empty() && session.output == Output::Table {
        print("A dry run: nothing was changed.\n")?;
    }
    Ok(())
}

/// Changes what a document would change.
pub(super) async fn apply(
    session: &Session,
    read: Read,
    yes: bool,
    request: RequestArguments,
) -> Result<(), Failure> {
    let plan = Plan::make(session, read).await?;
    if plan.differences.is_empty() {
        return plan.print(session, Done::Nothing, None);
    }
    match session.output {
        Output::Table => plan.print(session, Done::Nothing, None)?,
        // Standard output is for the answer; who is asked sees what for.
        Output::Json if !yes => tell(&plan.shown()),
        Output::Json => {}
    }
    let question = format!("Change the tenant {} so?", escaped(&plan.tenant_id));
    session.confirm(&question, yes)?;
    let request_id = request.id(session)?;
    let mut revision = String::new();
    if !plan.differences.catalog.is_empty() {
        let request = session.request(pb::UpdateCatalogRequest {
            tenant_id: plan.tenant_id.clone(),
            catalog: Some(plan.read.document.catalog.clone()),
            etag: plan.catalog.etag.clone(),
            request_id: request_id.clone(),
        });
        match session.scopes().update_catalog(request).await {
            Ok(answer) => revision = answer.into_inner().revision,
            Err(status) => return Err(plan.refused(session, status, Part::Catalog).await),
        }
    }
    if !plan.differences.tenant.is_empty() {
        let request = session.request(pb::UpdateTenantRequest {
            tenant_id: plan.tenant_id.clone(),
            etag: plan.tenant.etag.clone(),
            request_id,
            ..plan.differences.update(&plan.read.document)
        });
        match session.tenants().update_tenant(request).await {
            Ok(answer) => revision = answer.into_inner().revision,
            Err(status) => return Err(plan.refused(session, status, Part::Tenant).await),
        }
    }
    match session.output {
        Output::Table => Ok(print("Done.\n")?),
        Output::Json => plan.print(session, Done::All, Some(revision)),
    }
}

/// What has been changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Done {
    Nothing,
    All,
}

/// Which of the two calls that `apply` makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Catalog,
    Tenant,
}

impl Plan {
    async fn make(session: &Session, read: Read) -> Result<Self, Failure> {
        let flag = session.settings.tenant_flag.clone();
        let tenant_id = session.tenant(flag.or_else(|| read.document.tenant.clone()));
        let catalog = super::present(session, tenant_id.clone()).await?;
        let catalog = catalog.catalog.unwrap_or_default();
        let request = session.request(pb::GetTenantRequest {
            tenant_id: tenant_id.clone(),
        });
        let tenant = session.tenants().get_tenant(request).await?.into_inner();
        let tenant = tenant.tenant.unwrap_or_default();
        let differences = compare(&catalog, &tenant, &read.document);
        Ok(Self {
            read,
            tenant_id: tenant.tenant_id.clone(),
            catalog,
            tenant,
            differences,
        })
    }

    /// Prints what would change, or has.
    fn print(
        &self,
        session: &Session,
        done: Done,
        revision: Option<String>,
    ) -> Result<(), Failure> {
        let text = match session.output {
            Output::Json => self.json(done, revision),
            Output::Table if self.differences.is_empty() => {
                format!("{}: nothing to change\n", escaped(&self.tenant_id))
            }
            Output::Table => self.shown(),
        };
        Ok(print(&text)?)
    }

    fn shown(&self) -> String {
        let shown = show(&self.differences, escaped);
        format!("{}:\n{shown}", escaped(&self.tenant_id))
    }

    fn json(&self, done: Done, revision: Option<String>) -> String {
        let differences: Vec<Value> = self.differences.iter().map(in_json).collect();
        let mut object = json!({
            "tenantId": self.tenant_id,
            "differences": differences,
            "changed": done == Done::All,
        });
        if let (Some(object), Some(revision)) = (object.as_object_mut(), revision) {
            object.insert(String::from("revision"), Value::String(revision));
        }
        harmless(&format!("{object:#}\n"))
    }

    /// Returns why a call was refused, where in the document that is, and what to do.
    async fn refused(&self, session: &Session, status: Status, part: Part) -> Failure {
        let details = status.get_error_details();
        let violations = details.bad_request();
        let violations = violations.map(|bad| bad.field_violations.clone());
        let violations = violations.unwrap_or_default();
        let raced = status.code() == Code::Aborted;
        // Whether this call was made is not known then, and is told as for any other.
        let open = is_open(&status);
        let mut failure = Failure::from(status);
        for violation in &violations {
            let shown = place(&violation.field, &self.read.document.catalog);
            let shown = match self.read.lines.find(&violation.field) {
                Some(line) => format!("{}:{line}: {shown}", self.read.file),
                None => shown,
            };
            failure = failure.with_place(&violation.field, shown);
        }
        if raced {
            failure = failure.with_hint(
                "somebody changed it meanwhile; run this again to see what is to change now",
            );
        }
        let in_use: BTreeSet<&str> = violations
            .iter()
            .filter(|violation| violation.reason == Field::ScopeInUse.as_str())
            .filter_map(|violation| {
                let name = violation.field.strip_prefix("catalog.scopes[")?;
                name.strip_suffix(']')
            })
            .collect();
        if !in_use.is_empty() {
            for line in session.aside(self.holders(session, &in_use)).await {
                failure = failure.with_hint(line);
            }
            failure = failure.with_hint(
                "revoke these (token revoke), or take the scope from them (token update --scope), \
                 and run this again; or keep the scope",
            );
        }
        let changed = part == Part::Tenant && !self.differences.catalog.is_empty();
        match (changed, open) {
            (true, false) => failure.with_hint(
                "the catalog was changed as shown, names and rules were not; run this again for \
                 those",
            ),
            (true, true) => failure.with_hint("the catalog was changed as shown"),
            (false, false) => failure.with_hint("nothing was changed"),
            (false, true) => failure,
        }
    }

    /// Returns a line for each token that was granted one of these scopes.
    async fn holders(&self, session: &Session, scopes: &BTreeSet<&str>) -> Vec<String> {
        let mut lines = Vec::new();
        for kind in [
            pb::TokenKind::Api,
            pb::TokenKind::Webhook,
            pb::TokenKind::Agent,
            pb::TokenKind::Service,
        ] {
            let mut page_token = String::new();
            for _ in 0..PAGES {
                let request = session.request(pb::ListTokensRequest {
                    tenant_id: self.tenant_id.clone(),
                    page_size: 1000,
                    page_token,
                    kind: kind.into(),
                    ..Default::default()
                });
                // What they are is a help; without it the failure is still told.
                let Ok(page) = session.tokens().list_tokens(request).await else {
                    return lines;
                };
                let page = page.into_inner();
                for token in &page.tokens {
                    let held = token
                        .scopes
                        .iter()
                        .find(|held| scopes.contains(held.as_str()));
                    let Some(held) = held else { continue };
                    if lines.len() == HOLDERS {
                        lines.push(String::from("and more"));
                        return lines;
                    }
                    lines.push(format!(
                        "{} ({}) was granted {}",
                        escaped(&token.token_id),
                        escaped(&token.name),
                        escaped(held)
                    ));
                }
                page_token = page.next_page_token;
                if page_token.is_empty() {
                    break;
                }
            }
        }
        lines
    }
}

fn in_json(difference: &Difference) -> Value {
    let fields: Vec<Value> = difference
        .fields
        .iter()
        .map(|field| json!({"name": field.name, "before": field.before, "after": field.after}))
        .collect();
    let mut value = json!({
        "fate": difference.fate.word(),
        "noun": difference.noun,
        "name": difference.name,
    });
    if let (false, Some(value)) = (difference.fate == Fate::Removed, value.as_object_mut()) {
        value.insert(String::from("fields"), Value::Array(fields));
    }
    value
}
