//! What is created in one change, so that each token is judged with those before it.

use std::collections::{HashMap, HashSet};

use crate::domain::catalog::Catalog;
use crate::domain::ids::UserId;
use crate::domain::token::Kind;
use crate::store::NewToken;

/// The tokens that are created together, and the catalog that all are judged by.
#[derive(Debug, Default)]
pub(super) struct Together {
    catalog: Option<Catalog>,
    names: HashSet<(Option<UserId>, Kind, String)>,
    counts: HashMap<UserId, i64>,
}

impl Together {
    /// Keeps the tenant's catalog, of which nothing changes in this transaction.
    pub(super) fn keep(&mut self, catalog: Catalog) {
        self.catalog = Some(catalog);
    }

    /// Returns the catalog, if it is kept.
    pub(super) fn catalog(&self) -> Option<&Catalog> {
        self.catalog.as_ref()
    }

    /// Adds a token that was judged good.
    pub(super) fn add(&mut self, token: &NewToken) {
        let name = (token.user_id, token.kind, token.name.clone());
        self.names.insert(name);
        if let Some(user_id) = token.user_id {
            *self.counts.entry(user_id).or_default() += 1;
        }
    }

    /// Returns whether a token of this user, kind and name is among them.
    pub(super) fn has_name(&self, token: &NewToken) -> bool {
        let name = (token.user_id, token.kind, token.name.clone());
        self.names.contains(&name)
    }

    /// Counts a user's tokens among them.
    pub(super) fn count(&self, user_id: UserId) -> i64 {
        self.counts.get(&user_id).copied().unwrap_or_default()
    }
}
