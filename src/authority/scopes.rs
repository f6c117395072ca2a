//! Reading and replacing a tenant's catalog.

use super::access::{self, Rpc};
use super::scene::{Deed, check_etag, lost_row};
use super::{Authority, Call, Error, named_tenant};
use crate::domain::catalog::Draft;
use crate::domain::change::{Change, Revision, Version};
use crate::domain::reason::{Denial, Field, Violations};
use crate::domain::scope::ScopeSet;
use crate::store::StoredCatalog;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct UpdateCatalog {
    /// The tenant, or `active`.
    pub tenant_id: String,
    /// The whole catalog; an absent one is a slip, an empty one is said as one.
    pub draft: Option<Draft>,
    /// The version that the change builds on.
    pub etag: Option<Version>,
    /// What was wrong already on the wire.
    pub violations: Violations,
}

impl Authority {
    /// Returns a tenant's catalog.
    pub async fn get_catalog(&self, call: Call, tenant_id: &str) -> Result<StoredCatalog, Error> {
        let tenant_id = named_tenant(&call.caller, tenant_id)?;
        let mut scene = self.look(&call, Rpc::GetCatalog, &tenant_id).await?;
        Ok(scene.tx.get_catalog(&tenant_id).await?)
    }

    /// Replaces a tenant's catalog.
    pub async fn update_catalog(
        &self,
        call: Call,
        command: UpdateCatalog,
    ) -> Result<(StoredCatalog, Revision), Error> {
        let tenant_id = named_tenant(&call.caller, &command.tenant_id)?;
        access::may(Rpc::UpdateCatalog, &call.caller, Some(&tenant_id))?;
        // A large document takes a while to judge: not while others wait for the lock.
        let draft = command.draft;
        let draft = draft.ok_or_else(|| Error::field("catalog", Field::Required))?;
        let mut violations = command.violations;
        let catalog = draft.check(&mut violations);
        let mut scene = self
            .begin(&call, Rpc::UpdateCatalog, &tenant_id, &[])
            .await?;
        scene.forbid_reserved()?;
        let present = scene.tx.get_catalog(&tenant_id).await?;
        check_etag(command.etag, present.version)?;
        let granted = if draft.is_bounded() {
            scene.tx.list_granted_scopes(&tenant_id, scene.now).await?
        } else {
            // What was not read to its end is not missed.
            ScopeSet::default()
        };
        for scope in &granted {
            let lost =
                present.catalog.scopes.contains_key(scope) && !catalog.scopes.contains_key(scope);
            if lost {
                // The name is the present catalog's, not the request's.
                violations.add(
                    format!("catalog.scopes[{}]", scope.as_str()),
                    Field::ScopeInUse,
                );
            }
        }
        if !violations.is_empty() {
            return Err(violations.into());
        }
        // What the new catalog lets an existing grant reach must not go beyond what
        // the caller holds: a catalog is no way round the rule for grants. An
        // administrator holds the whole catalog; of the authority's own scopes it
        // could give on what it may imply.
        let implied: ScopeSet = catalog
            .scopes
            .values()
            .flat_map(|scope| &scope.implies)
            .filter(|name| name.is_reserved())
            .cloned()
            .collect();
        if !implied
            .iter()
            .all(|scope| scene.caller.holds(scope, &catalog))
        {
            return Err(Error::PermissionDenied(Denial::Escalation));
        }
        let now = scene.now;
        let stored = scene
            .tx
            .mark_catalog_replaced(&tenant_id, present.version, &catalog, now)
            .await?;
        let stored = stored.ok_or_else(lost_row)?;
        let act = scene.act();
        let act = act.changed(Some(&present.catalog), Some(&stored.catalog));
        let deed = Deed::of(act).altering([Change::CatalogChanged(tenant_id)]);
        let revision = self.close_scene(scene, deed, &stored).await?;
        Ok((stored, revision))
    }
}
