//! What records share: tenants, users, grants. Each is there once, and is marked when it
//! changes, so that all records that share it are known to be old.

use std::collections::HashMap;
use std::mem::size_of;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::kept::{Grant, Owner, Shared, Tenant};
use crate::domain::catalog::{Catalog, Holder};
use crate::domain::change::Version;
use crate::domain::fingerprint::KeyId;
use crate::domain::ids::{TenantId, UserId};
use crate::domain::introspection::{Standing, Verifier, holder};
use crate::domain::token::{self, Token};
use crate::store;

/// What is shared, and whether it is as it was read.
#[derive(Debug)]
pub struct Interned<T> {
    changed: AtomicBool,
    value: T,
}

impl<T> Interned<T> {
    pub(super) fn new(value: T) -> Self {
        Self {
            changed: AtomicBool::new(false),
            value,
        }
    }

    /// Returns whether nothing has changed since it was read.
    pub(super) fn is_current(&self) -> bool {
        !self.changed.load(Ordering::Acquire)
    }

    fn mark(&self) {
        self.changed.store(true, Ordering::Release);
    }
}

impl<T> Deref for Interned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// A tenant, its catalog's version, and what grants come to there.
#[derive(Debug)]
struct Known {
    tenant: Arc<Interned<Tenant>>,
    version: Version,
    grants: HashMap<(Box<str>, Holder), Arc<Grant>>,
    /// The bytes that it takes without its grants, about.
    bytes: usize,
}

/// A user in the tenants that it is known in.
type OfUser = Vec<(TenantId, Arc<Interned<Owner>>)>;

impl Known {
    fn all_bytes(&self) -> usize {
        let grants = self.grants.iter();
        let grants = grants.map(|((scopes, _), grant)| bytes_of_grant(scopes, grant));
        self.bytes + grants.sum::<usize>()
    }
}

/// Returns the bytes that a grant takes, about, with what finds it.
fn bytes_of_grant(scopes: &str, grant: &Grant) -> usize {
    size_of::<Grant>() + scopes.len() + grant.effective.len() * 64 + 64
}

/// All that records share now.
#[derive(Debug, Default)]
pub(super) struct Interner {
    tenants: HashMap<TenantId, Known>,
    owners: HashMap<UserId, OfUser>,
    keys: Vec<Arc<KeyId>>,
    /// When all takes so many bytes, what nobody shares any more is looked for.
    look_at: usize,
    bytes: usize,
}

/// The bytes that all takes at least when what is unused is looked for.
const LOOK_AT: usize = 1024 * 1024;
/// The grants of a tenant that are shared, at most; each takes some kilobytes where a catalog
/// is large, and who may create tokens can think of as many as there are sets of scopes.
const GRANTS: usize = 4096;

fn bytes_of(catalog: &Catalog) -> usize {
    let scopes = catalog.scopes.iter().map(|(name, scope)| {
        let implied = scope.implies.len() * 2 * size_of::<Box<str>>();
        name.as_str().len() + scope.description.len() + implied + 128
    });
    let profiles = catalog.profiles.iter().map(|(name, profile)| {
        name.as_str().len() + profile.description.len() + profile.scopes.len() * 32 + 128
    });
    scopes.chain(profiles).sum()
}

impl Interner {
    /// Returns the bytes that all of it takes, about.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns whether a tenant is known as it is with this version of its catalog.
    pub(super) fn has(&self, tenant_id: &TenantId, version: Version) -> bool {
        let known = self.tenants.get(tenant_id);
        known.is_some_and(|known| known.version == version)
    }

    /// Takes in a tenant's catalog of this version, in place of another.
    pub(super) fn add_catalog(
        &mut self,
        tenant_id: &TenantId,
        standing: Standing,
        version: Version,
        catalog: Catalog,
    ) {
        self.forget_tenant(tenant_id);
        let bytes = size_of::<Known>() + size_of::<Tenant>() + bytes_of(&catalog);
        self.bytes += bytes;
        let tenant = Tenant {
            tenant_id: tenant_id.clone(),
            standing,
            catalog,
        };
        let known = Known {
            tenant: Arc::new(Interned::new(tenant)),
            version,
            grants: HashMap::new(),
            bytes,
        };
        self.tenants.insert(tenant_id.clone(), known);
    }

    /// Returns what a record shares, if its tenant is known with that version of its
    /// catalog. Where the tenant's standing is another, as of a read that came later, the
    /// one that was known is not any more.
    pub(super) fn share(&mut self, read: &store::Known, verifier: &Verifier) -> Option<Shared> {
        let token = &read.token;
        let known = self.tenants.get(&token.tenant_id);
        let known = known.filter(|known| known.version == read.catalog)?;
        if known.tenant.standing != read.tenant {
            let catalog = known.tenant.catalog.clone();
            let standing = read.tenant.clone();
            self.add_catalog(&token.tenant_id, standing, read.catalog, catalog);
        }
        let owner = token.owner.as_ref();
        let owner = owner.map(|owner| self.owner(&token.tenant_id, owner));
        let key = verifier.fingerprint.as_ref().map(|(key, _)| self.key(key));
        let known = self.tenants.get_mut(&token.tenant_id)?;
        let by = (token.scopes.to_text().into_boxed_str(), holder(token));
        let grant = if let Some(grant) = known.grants.get(&by) {
            Arc::clone(grant)
        } else {
            let effective = known.tenant.catalog.effective(&token.scopes, by.1);
            let tenant = Arc::clone(&known.tenant);
            let grant = Arc::new(Grant { tenant, effective });
            if known.grants.len() < GRANTS {
                self.bytes += bytes_of_grant(&by.0, &grant);
                known.grants.insert(by, Arc::clone(&grant));
            }
            grant
        };
        Some(Shared { owner, grant, key })
    }

    fn owner(&mut self, tenant_id: &TenantId, owner: &token::Owner) -> Arc<Interned<Owner>> {
        let new = owner_of(owner);
        let mut of_user = self.owners.get(&owner.user_id).into_iter().flatten();
        let known = of_user.find(|(of, known)| of == tenant_id && ***known == new);
        if let Some((_, known)) = known {
            return Arc::clone(known);
        }
        self.forget_member(tenant_id, owner.user_id);
        self.bytes += bytes_of_owner(&new);
        let new = Arc::new(Interned::new(new));
        let of_user = self.owners.entry(owner.user_id);
        // Most users are known in one tenant: a list makes room for four by itself.
        let of_user = of_user.or_insert_with(|| Vec::with_capacity(1));
        of_user.push((tenant_id.clone(), Arc::clone(&new)));
        new
    }

    fn key(&mut self, key: &KeyId) -> Arc<KeyId> {
        if let Some(known) = self.keys.iter().find(|known| ***known == *key) {
            return Arc::clone(known);
        }
        let key = Arc::new(key.clone());
        self.keys.push(Arc::clone(&key));
        key
    }

    /// Marks a user in all its tenants.
    pub(super) fn forget_user(&mut self, user_id: UserId) {
        for (_, owner) in self.owners.remove(&user_id).unwrap_or_default() {
            owner.mark();
            self.bytes -= bytes_of_owner(&owner);
        }
    }

    /// Marks a user in one tenant.
    pub(super) fn forget_member(&mut self, tenant_id: &TenantId, user_id: UserId) {
        let Some(of_user) = self.owners.get_mut(&user_id) else {
            return;
        };
        let place = of_user.iter().position(|(of, _)| of == tenant_id);
        if let Some(place) = place {
            let (_, owner) = of_user.swap_remove(place);
            owner.mark();
            self.bytes -= bytes_of_owner(&owner);
        }
        if of_user.is_empty() {
            self.owners.remove(&user_id);
        }
    }

    /// Marks a tenant.
    pub(super) fn forget_tenant(&mut self, tenant_id: &TenantId) {
        if let Some(known) = self.tenants.remove(tenant_id) {
            known.tenant.mark();
            self.bytes -= known.all_bytes();
        }
    }

    /// Marks everything.
    pub(super) fn forget_all(&mut self) {
        for known in self.tenants.values() {
            known.tenant.mark();
        }
        for (_, owner) in self.owners.values().flatten() {
            owner.mark();
        }
        *self = Self::default();
    }

    /// Drops what no record shares any more, once there may be much of it.
    pub(super) fn tidy(&mut self) {
        if self.bytes < self.look_at.max(LOOK_AT) {
            return;
        }
        let mut bytes = 0;
        self.owners.retain(|_, of_user| {
            of_user.retain(|(_, owner)| Arc::strong_count(owner) > 1);
            bytes += of_user
                .iter()
                .map(|(_, o)| bytes_of_owner(o))
                .sum::<usize>();
            !of_user.is_empty()
        });
        self.tenants.retain(|_, known| {
            // Grants of which there are no records any more are made anew when there are.
            known.grants.retain(|_, grant| Arc::strong_count(grant) > 1);
            let used = Arc::strong_count(&known.tenant) > 1;
            bytes += if used { known.all_bytes() } else { 0 };
            used
        });
        self.bytes = bytes;
        self.look_at = self.bytes * 2;
    }
}

/// Returns the bytes that an owner takes, about, with what finds it.
fn bytes_of_owner(owner: &Owner) -> usize {
    size_of::<Interned<Owner>>() + owner.external_id.len() + 96
}

fn owner_of(owner: &token::Owner) -> Owner {
    let mut user_id_text = [0; UserId::TEXT];
    owner.user_id.write(&mut user_id_text);
    Owner {
        user_id: owner.user_id,
        user_id_text,
        external_id: owner.external_id.as_str().into(),
        role: owner.role,
        suspended: owner.suspended,
        deleted: owner.deleted,
    }
}

/// Returns what a record shares with no other.
pub(super) fn alone(
    token: &Token,
    verifier: &Verifier,
    standing: Standing,
    catalog: Catalog,
) -> Shared {
    let effective = catalog.effective(&token.scopes, holder(token));
    let tenant = Tenant {
        tenant_id: token.tenant_id.clone(),
        standing,
        catalog,
    };
    let owner = token.owner.as_ref().map(owner_of);
    let key = verifier.fingerprint.as_ref();
    let tenant = Arc::new(Interned::new(tenant));
    Shared {
        owner: owner.map(|owner| Arc::new(Interned::new(owner))),
        grant: Arc::new(Grant { tenant, effective }),
        key: key.map(|(key, _)| Arc::new(key.clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coherence::model::any_known;
    use crate::domain::scope::ScopeName;

    /// Who may create tokens can think of as many grants as there are sets of scopes.
    #[test]
    fn grants_of_a_tenant_are_bounded_and_all_are_right() {
        let mut interner = Interner::default();
        let (mut known, verifier, catalog) = any_known();
        let (tenant_id, standing) = (known.token.tenant_id.clone(), known.tenant.clone());
        interner.add_catalog(&tenant_id, standing, known.catalog, catalog.clone());
        let mut bytes = 0;
        for number in 0..2 * GRANTS {
            // Scopes that the catalog had once are none now.
            let scopes = ["write".to_owned(), format!("gone-{number}")];
            let scopes = scopes
                .iter()
                .map(|scope| scope.parse::<ScopeName>().unwrap());
            known.token.scopes = scopes.collect();
            let shared = interner.share(&known, &verifier).unwrap();
            let expected = catalog.effective(&known.token.scopes, holder(&known.token));
            assert_eq!(shared.grant.effective, expected, "{number}");
            if number == GRANTS {
                bytes = interner.bytes();
            }
        }
        assert_eq!(interner.tenants[&tenant_id].grants.len(), GRANTS);
        assert_eq!(interner.bytes(), bytes);
        // Once no record has them, they make room.
        interner.look_at = 0;
        interner.bytes = interner.bytes.max(LOOK_AT);
        interner.tidy();
        assert!(interner.tenants.is_empty());
        assert_eq!(interner.bytes(), 0);
    }
}
