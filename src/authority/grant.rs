//! What may be granted: to such a holder, by such a caller.

use super::{Caller, Error};
use crate::domain::bounds;
use crate::domain::catalog::{Catalog, Holder};
use crate::domain::ids::UserId;
use crate::domain::policy::Policy;
use crate::domain::principal::Role;
use crate::domain::reason::{Denial, Field, Violations};
use crate::domain::scope::{Permission, ScopeName, ScopeSet};
use crate::domain::token::Owner;

/// Returns the scopes that are asked for, having noted those that such a holder
/// may not hold, whether asked for or implied.
pub(super) fn scopes(
    field: &str,
    asked: &[String],
    catalog: &Catalog,
    holder: Option<Holder>,
    violations: &mut Violations,
) -> ScopeSet {
    let mut scopes = ScopeSet::default();
    if asked.len() > bounds::TOKEN_SCOPES {
        violations.add(field, Field::TooMany);
        return scopes;
    }
    for (at, text) in asked.iter().enumerate() {
        let field = format!("{field}[{at}]");
        let parsed = text.parse::<ScopeName>().map_err(|_| Field::InvalidScope);
        if let Some(name) = violations.check(&field, parsed) {
            check_holder(&field, &name, catalog, holder, violations);
            scopes.insert(name);
        }
    }
    scopes
}

/// Notes a scope that such a holder may not hold, or that implies one such.
pub(super) fn check_holder(
    field: &str,
    name: &ScopeName,
    catalog: &Catalog,
    holder: Option<Holder>,
    violations: &mut Violations,
) {
    let Some(holder) = holder else {
        // Whose token it is to be is wrong as well; that the catalog has no such
        // scope can be said all the same.
        if name.permission().is_none() && !catalog.scopes.contains_key(name) {
            violations.add(field, Field::UnknownScope);
        }
        return;
    };
    let closure = catalog.closure(&ScopeSet::from_iter([name.clone()]));
    // The scope itself first: it is what was asked for.
    let names = std::iter::once(name).chain(closure.iter());
    for name in names {
        if let Err(unfit) = catalog.may_hold(name, holder) {
            violations.add(field, unfit.into());
            return;
        }
    }
}

/// Refuses a grant beyond what the caller holds itself.
pub(super) fn check_held(
    granted: &ScopeSet,
    caller: &Caller,
    catalog: &Catalog,
) -> Result<(), Error> {
    if catalog
        .closure(granted)
        .iter()
        .all(|scope| caller.holds(scope, catalog))
    {
        Ok(())
    } else {
        Err(Error::PermissionDenied(Denial::Escalation))
    }
}

/// Refuses to act for another administrator, unless the tenant allows it.
pub(super) fn check_on_behalf(
    caller: &Caller,
    user_id: UserId,
    role: Option<Role>,
    policy: &Policy,
) -> Result<(), Error> {
    let for_other_admin = role == Some(Role::Admin) && caller.user_id != Some(user_id);
    if for_other_admin && !policy.admins_act_for_admins && !caller.has(Permission::Operator) {
        return Err(Error::PermissionDenied(Denial::OnBehalfOfAdmin));
    }
    Ok(())
}

/// Refuses to widen a token that acts as another administrator.
pub(super) fn check_owner(
    caller: &Caller,
    owner: Option<&Owner>,
    policy: &Policy,
) -> Result<(), Error> {
    owner.map_or(Ok(()), |owner| {
        check_on_behalf(caller, owner.user_id, owner.role, policy)
    })
}
