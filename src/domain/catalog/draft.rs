//! A catalog as somebody wrote it down, and all that can be wrong with one.

use std::collections::{BTreeMap, BTreeSet};

use super::{Catalog, Profile, Scope};
use crate::domain::bounds;
use crate::domain::reason::{Field, Violations};
use crate::domain::scope::{Permission, ScopeName};
use crate::domain::text;
use crate::domain::token::Kind;

/// A scope as somebody wrote it down.
#[derive(Clone, Debug, Default)]
pub struct ScopeDraft {
    /// Its name.
    pub name: String,
    /// What people read.
    pub description: String,
    /// What comes along with it.
    pub implies: Vec<String>,
    /// Whether only an administrator may hold it.
    pub admins_only: bool,
    /// The kinds of tokens that never hold it.
    pub forbidden_kinds: Vec<Kind>,
}

/// A profile as somebody wrote it down.
#[derive(Clone, Debug, Default)]
pub struct ProfileDraft {
    /// Its name.
    pub name: String,
    /// What people read.
    pub description: String,
    /// What it stands for.
    pub scopes: Vec<String>,
}

/// A catalog as somebody wrote it down.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    /// The scopes.
    pub scopes: Vec<ScopeDraft>,
    /// The profiles.
    pub profiles: Vec<ProfileDraft>,
}

impl Draft {
    /// Returns the catalog, having noted all that is wrong with it.
    pub fn check(&self, violations: &mut Violations) -> Catalog {
        let mut catalog = Catalog::default();
        if self.scopes.len() > bounds::CATALOG_SCOPES {
            violations.add("catalog.scopes", Field::TooMany);
        }
        if self.profiles.len() > bounds::CATALOG_PROFILES {
            violations.add("catalog.profiles", Field::TooMany);
        }
        let implications: usize = self.scopes.iter().map(|scope| scope.implies.len()).sum();
        if implications > bounds::IMPLICATIONS {
            violations.add("catalog.scopes", Field::TooMany);
        }
        if !self.is_bounded() {
            return catalog;
        }
        for (at, draft) in self.scopes.iter().enumerate() {
            let field = format!("catalog.scopes[{at}]");
            if let Some(name) = scope_name(&draft.name, &format!("{field}.name"), violations) {
                let scope = draft.check(&field, violations);
                if name.is_reserved() {
                    violations.add(format!("{field}.name"), Field::ReservedScope);
                } else if catalog.scopes.insert(name, scope).is_some() {
                    violations.add(format!("{field}.name"), Field::DuplicateName);
                }
            }
        }
        self.check_implied(&catalog, violations);
        for (at, draft) in self.profiles.iter().enumerate() {
            let field = format!("catalog.profiles[{at}]");
            if let Some(name) = scope_name(&draft.name, &format!("{field}.name"), violations) {
                let profile = draft.check(&field, &catalog, violations);
                if name.is_reserved() {
                    violations.add(format!("{field}.name"), Field::ReservedScope);
                } else if catalog.profiles.insert(name, profile).is_some() {
                    violations.add(format!("{field}.name"), Field::DuplicateName);
                }
            }
        }
        catalog
    }

    /// Returns whether no list is longer than it may be, so that all of it was read.
    pub fn is_bounded(&self) -> bool {
        self.scopes.len() <= bounds::CATALOG_SCOPES
            && self.profiles.len() <= bounds::CATALOG_PROFILES
    }

    /// Notes implied names that are unknown or reserved, and scopes on a cycle.
    fn check_implied(&self, catalog: &Catalog, violations: &mut Violations) {
        let cyclic = cyclic(catalog);
        for (at, draft) in self.scopes.iter().enumerate() {
            for (nth, implied) in draft.implies.iter().enumerate() {
                let field = format!("catalog.scopes[{at}].implies[{nth}]");
                let Ok(name) = implied.parse::<ScopeName>() else {
                    continue;
                };
                match name.permission() {
                    Some(Permission::TokensRead | Permission::TokensWrite) => {}
                    Some(Permission::TenantAdmin) if draft.admins_only => {}
                    Some(_) => violations.add(field, Field::ReservedScope),
                    None if catalog.scopes.contains_key(&name) => {}
                    None => violations.add(field, Field::UnknownScope),
                }
            }
            if draft
                .name
                .parse()
                .is_ok_and(|name: ScopeName| cyclic.contains(&name))
            {
                violations.add(format!("catalog.scopes[{at}].implies"), Field::ScopeCycle);
            }
        }
    }
}

impl ScopeDraft {
    /// Checks what concerns this scope alone.
    fn check(&self, field: &str, violations: &mut Violations) -> Scope {
        let description = text::prose(&self.description);
        let description = violations
            .check(&format!("{field}.description"), description)
            .unwrap_or_default();
        if self.implies.len() > bounds::IMPLIED_SCOPES {
            violations.add(format!("{field}.implies"), Field::TooMany);
        }
        let mut implies = BTreeSet::new();
        for (nth, implied) in self.implies.iter().enumerate() {
            implies.extend(scope_name(
                implied,
                &format!("{field}.implies[{nth}]"),
                violations,
            ));
        }
        Scope {
            description,
            implies,
            admins_only: self.admins_only,
            forbidden_kinds: self.forbidden_kinds.iter().copied().collect(),
        }
    }
}

impl ProfileDraft {
    /// Checks the profile against the catalog's scopes.
    fn check(&self, field: &str, catalog: &Catalog, violations: &mut Violations) -> Profile {
        let description = text::prose(&self.description);
        let description = violations
            .check(&format!("{field}.description"), description)
            .unwrap_or_default();
        if self.scopes.is_empty() {
            violations.add(format!("{field}.scopes"), Field::Required);
        }
        if self.scopes.len() > bounds::TOKEN_SCOPES {
            violations.add(format!("{field}.scopes"), Field::TooMany);
        }
        let mut scopes = BTreeSet::new();
        for (nth, scope) in self.scopes.iter().enumerate() {
            let field = format!("{field}.scopes[{nth}]");
            let Some(name) = scope_name(scope, &field, violations) else {
                continue;
            };
            match name.permission() {
                Some(Permission::TokensRead | Permission::TokensWrite) => {}
                Some(_) => violations.add(field, Field::ReservedScope),
                None if catalog.scopes.contains_key(&name) => {}
                None => violations.add(field, Field::UnknownScope),
            }
            scopes.insert(name);
        }
        Profile {
            description,
            scopes,
        }
    }
}

/// Parses a scope's name or notes that it is none.
fn scope_name(text: &str, field: &str, violations: &mut Violations) -> Option<ScopeName> {
    violations.check(field, text.parse().map_err(|_| Field::InvalidScope))
}

/// Returns the scopes that imply themselves, and those between two such: what is left
/// when the scopes that nothing implies, and then those that imply nothing, have been
/// taken away again and again (Kahn's algorithm, from either end). Its time grows with
/// the number of implications.
fn cyclic(catalog: &Catalog) -> BTreeSet<ScopeName> {
    let implications = || {
        let scopes = catalog.scopes.iter();
        scopes.flat_map(|(name, scope)| scope.implies.iter().map(move |implied| (name, implied)))
    };
    let mut left: BTreeSet<&ScopeName> = catalog.scopes.keys().collect();
    peel(implications(), &mut left);
    peel(
        implications().map(|(name, implied)| (implied, name)),
        &mut left,
    );
    left.into_iter().cloned().collect()
}

/// Takes away, again and again, the names that no edge from a name that is left leads
/// to.
fn peel<'a>(
    edges: impl Iterator<Item = (&'a ScopeName, &'a ScopeName)>,
    left: &mut BTreeSet<&'a ScopeName>,
) {
    let mut leads_to: BTreeMap<&ScopeName, Vec<&ScopeName>> = BTreeMap::new();
    let mut degree: BTreeMap<&ScopeName, usize> = left.iter().map(|name| (*name, 0)).collect();
    for (from, to) in edges.filter(|(from, to)| left.contains(from) && left.contains(to)) {
        leads_to.entry(from).or_default().push(to);
        *degree.entry(to).or_default() += 1;
    }
    let mut free: Vec<&ScopeName> = degree
        .iter()
        .filter(|(_, degree)| **degree == 0)
        .map(|(name, _)| *name)
        .collect();
    while let Some(name) = free.pop() {
        left.remove(name);
        for to in leads_to.remove(name).unwrap_or_default() {
            if let Some(degree) = degree.get_mut(to) {
                *degree -= 1;
                if *degree == 0 {
                    free.push(to);
                }
            }
        }
    }
}
