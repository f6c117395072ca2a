//! Where each scope of a token comes from, and what withholds it. Pure, and says of
//! what is effective the same as [`Catalog::effective`].

use std::collections::BTreeMap;

use super::bounds;
use super::catalog::{Catalog, Holder, Unfit};
use super::introspection::holder;
use super::scope::{ScopeName, ScopeSet};
use super::token::Token;

/// What keeps a token from having a scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Withheld {
    /// It was neither granted nor implied.
    NotGranted,
    /// The token may not hold it.
    Unfit(Unfit),
}

/// What there is to say of one scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// Its name.
    pub name: ScopeName,
    /// Whether it was granted as such.
    pub granted: bool,
    /// Whether the token's profile has it now, and it was granted.
    pub in_profile: bool,
    /// The granted scopes that imply it, no more than [`bounds::ORIGINS`] of them.
    pub implied_by: Vec<ScopeName>,
    /// What withholds it; nothing where it is effective.
    pub withheld: Option<Withheld>,
}

/// Where a scope comes from, as far as is known.
#[derive(Debug, Default)]
struct Origin {
    granted: bool,
    implied_by: Vec<ScopeName>,
}

/// An explanation that is being put together, one granted scope after the other: for a
/// large catalog the whole takes a while.
#[derive(Debug)]
pub struct Explanation<'a> {
    catalog: &'a Catalog,
    holder: Holder,
    /// What the token's profile has now.
    profile: ScopeSet,
    origins: BTreeMap<ScopeName, Origin>,
}

impl<'a> Explanation<'a> {
    /// Begins the explanation of a token's scopes.
    pub fn of(token: &Token, catalog: &'a Catalog) -> Self {
        let profile = token.profile.parse().ok();
        let profile = profile.and_then(|name: ScopeName| catalog.profiles.get(&name));
        let profile = profile.map(|profile| profile.scopes.iter().cloned().collect());
        Self {
            catalog,
            holder: holder(token),
            profile: profile.unwrap_or_default(),
            origins: BTreeMap::new(),
        }
    }

    /// Notes a scope that was granted, and all that it implies.
    pub fn add_granted(&mut self, granted: &ScopeName) {
        let alone = ScopeSet::from_iter([granted.clone()]);
        for name in &self.catalog.closure(&alone) {
            let origin = self.origins.entry(name.clone()).or_default();
            if name == granted {
                origin.granted = true;
            } else if origin.implied_by.len() < bounds::ORIGINS {
                origin.implied_by.push(granted.clone());
            }
        }
    }

    /// Notes scopes that are to be explained whether the token has them or not.
    pub fn add_required(&mut self, required: &ScopeSet) {
        for name in required {
            self.origins.entry(name.clone()).or_default();
        }
    }

    /// Returns what there is to say of each scope, sorted by name.
    pub fn finish(self) -> Vec<Explained> {
        let Self {
            catalog,
            holder,
            profile,
            origins,
        } = self;
        let names: ScopeSet = origins.keys().cloned().collect();
        let tainted = catalog.tainted(&names, holder);
        let explained = origins.into_iter().map(|(name, origin)| {
            let has = origin.granted || !origin.implied_by.is_empty();
            let fit = match catalog.may_hold(&name, holder) {
                Ok(()) if tainted.contains(&name) => Err(Unfit::ForbiddenForKind),
                fit => fit,
            };
            let withheld = match fit {
                // What nobody could have been granted, first: it may be a typo.
                Err(Unfit::NotInCatalog) => Some(Withheld::Unfit(Unfit::NotInCatalog)),
                _ if !has => Some(Withheld::NotGranted),
                Err(unfit) => Some(Withheld::Unfit(unfit)),
                Ok(()) => None,
            };
            Explained {
                granted: origin.granted,
                in_profile: origin.granted && profile.contains(&name),
                implied_by: origin.implied_by,
                withheld,
                name,
            }
        });
        explained.collect()
    }
}

#[cfg(test)]
mod tests;
