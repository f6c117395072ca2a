//! Scope names, sets of them, and the authority's own permissions among them.

use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{bounds, value};

/// What the authority's own scopes begin with.
const RESERVED: &str = "authority:";

/// The text is no scope's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not of the form of a scope's name")]
pub struct ScopeError;

/// A scope's or profile's name: 1 to 64 of `A-Z a-z 0-9 _ . : -`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ScopeName(Arc<str>);

impl ScopeName {
    /// Returns whether a text is a name.
    pub fn is_name(text: &str) -> bool {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte);
        let well_formed =
            (1..=bounds::SCOPE_NAME_BYTES).contains(&text.len()) && text.bytes().all(good);
        // A short value would pass for a name, which is kept and shown.
        well_formed && !value::stands_in(text)
    }

    /// Returns the name's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns whether the name is in the authority's own namespace.
    pub fn is_reserved(&self) -> bool {
        self.0.starts_with(RESERVED)
    }

    /// Returns the permission that the name stands for, if any.
    pub fn permission(&self) -> Option<Permission> {
        Permission::ALL
            .into_iter()
            .find(|permission| permission.as_str() == &*self.0)
    }
}

/// As a text it is as equal and as ordered as by itself, so that a set is asked for one.
impl Borrow<str> for ScopeName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl FromStr for ScopeName {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        if Self::is_name(text) {
            Ok(Self(text.into()))
        } else {
            Err(ScopeError)
        }
    }
}

impl TryFrom<String> for ScopeName {
    type Error = ScopeError;

    fn try_from(text: String) -> Result<Self, ScopeError> {
        text.parse()
    }
}

impl From<ScopeName> for String {
    fn from(name: ScopeName) -> Self {
        name.as_str().to_owned()
    }
}

impl fmt::Debug for ScopeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The authority's own permissions, held as scopes of the reserved namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Permission {
    /// To introspect values that others present.
    Introspect,
    /// To read tokens: one's own, where the tenant lets its members.
    TokensRead,
    /// To create, change and revoke tokens: one's own, where the tenant lets its
    /// members.
    TokensWrite,
    /// To manage all of one tenant.
    TenantAdmin,
    /// To manage the installation.
    Operator,
}

impl Permission {
    /// Each permission.
    pub const ALL: [Self; 5] = [
        Self::Introspect,
        Self::TokensRead,
        Self::TokensWrite,
        Self::TenantAdmin,
        Self::Operator,
    ];

    /// Returns the name of the scope that grants it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Introspect => "authority:introspect",
            Self::TokensRead => "authority:tokens.read",
            Self::TokensWrite => "authority:tokens.write",
            Self::TenantAdmin => "authority:tenant.admin",
            Self::Operator => "authority:operator",
        }
    }

    /// Returns the scope that grants it.
    pub fn scope(self) -> ScopeName {
        ScopeName(self.as_str().into())
    }
}

/// A sorted set of scopes.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScopeSet(BTreeSet<ScopeName>);

impl ScopeSet {
    /// Returns whether the set has the scope.
    pub fn contains(&self, scope: &ScopeName) -> bool {
        self.0.contains(scope)
    }

    /// Returns whether the set has the scope of this name, which need not be one.
    pub fn names(&self, text: &str) -> bool {
        self.0.contains(text)
    }

    /// Returns whether the set has the permission's scope.
    pub fn has(&self, permission: Permission) -> bool {
        self.0
            .iter()
            .any(|scope| scope.as_str() == permission.as_str())
    }

    /// Adds a scope; false if it was there.
    pub fn insert(&mut self, scope: ScopeName) -> bool {
        self.0.insert(scope)
    }

    /// Returns each scope, sorted.
    pub fn iter(&self) -> std::collections::btree_set::Iter<'_, ScopeName> {
        self.0.iter()
    }

    /// Returns how many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns those that `other` lacks.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        Self(self.0.difference(&other.0).cloned().collect())
    }

    /// Returns the names as texts, sorted.
    pub fn to_strings(&self) -> Vec<String> {
        self.0
            .iter()
            .map(|scope| scope.as_str().to_owned())
            .collect()
    }

    /// Returns the names joined by blanks, as the store keeps them.
    pub fn to_text(&self) -> String {
        self.to_strings().join(" ")
    }

    /// Parses what [`ScopeSet::to_text`] gave.
    pub fn from_text(text: &str) -> Result<Self, ScopeError> {
        text.split(' ')
            .filter(|name| !name.is_empty())
            .map(str::parse)
            .collect()
    }
}

impl FromIterator<ScopeName> for ScopeSet {
    fn from_iter<I: IntoIterator<Item = ScopeName>>(names: I) -> Self {
        Self(names.into_iter().collect())
    }
}

impl<'a> IntoIterator for &'a ScopeSet {
    type Item = &'a ScopeName;
    type IntoIter = std::collections::btree_set::Iter<'a, ScopeName>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Debug for ScopeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(&self.0).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_set_survives_its_text(names in proptest::collection::btree_set("[A-Za-z0-9_.:-]{1,64}", 0..20)) {
            let set: ScopeSet = names.iter().map(|name| name.parse().unwrap()).collect();
            prop_assert_eq!(ScopeSet::from_text(&set.to_text()), Ok(set));
        }

        #[test]
        fn any_text_is_judged_without_a_panic(text in "\\PC{0,80}") {
            let good = text.parse::<ScopeName>().is_ok();
            prop_assert!(!good || (!text.is_empty() && !text.contains(' ')));
        }
    }

    #[test]
    fn permissions_are_reserved_scopes() {
        for permission in Permission::ALL {
            assert!(permission.scope().is_reserved());
            assert_eq!(permission.scope().permission(), Some(permission));
        }
        assert_eq!(
            "authority:nothing"
                .parse::<ScopeName>()
                .unwrap()
                .permission(),
            None
        );
    }
}
