//! The changes that were applied last, by which a read that raced with one is known.

use std::collections::VecDeque;

use super::kept::{Fresh, Kept};
use super::key::Key;
use crate::domain::change::{Change, ChangeNumber};
use crate::domain::ids::{TenantId, TokenId, UserId};

/// The entries that are remembered, at most. A read that began before the first of them
/// is taken for one that raced.
const MOST: usize = 4096;

/// What a change touched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Touch {
    Key(Key),
    Token(TokenId),
    User(UserId),
    Member(TenantId, UserId),
    Tenant(TenantId),
}

/// The last changes.
#[derive(Debug)]
pub(super) struct Recent {
    touches: VecDeque<(ChangeNumber, Touch)>,
    /// What came up to here is not remembered.
    forgotten: ChangeNumber,
}

impl Recent {
    /// Returns one that remembers what comes after a number.
    pub(super) fn after(number: ChangeNumber) -> Self {
        Self {
            touches: VecDeque::new(),
            forgotten: number,
        }
    }

    /// Remembers what a change touched.
    pub(super) fn add(&mut self, number: ChangeNumber, touch: Touch) {
        self.touches.push_back((number, touch));
        if self.touches.len() > MOST
            && let Some((number, _)) = self.touches.pop_front()
        {
            self.forgotten = number;
        }
    }

    /// Returns whether what was read of a key by a read that began after a number was
    /// applied may be old: a later change touches the key, or a record that was read.
    pub(super) fn may_have_touched(&self, since: ChangeNumber, key: Key, read: &[Fresh]) -> bool {
        if since < self.forgotten {
            return true;
        }
        let later = self.touches.iter().rev();
        let mut later = later.take_while(|(number, _)| *number > since);
        later.any(|(_, touch)| touch.is_of(key) || read.iter().any(|read| touch.alters(&read.kept)))
    }
}

impl Touch {
    /// Returns what a change touches, beside its token's keys.
    pub(super) fn of(change: &Change) -> Self {
        match change {
            Change::TokenCreated(_, token_id) | Change::TokenChanged(_, token_id) => {
                Self::Token(*token_id)
            }
            Change::UserChanged(user_id) => Self::User(*user_id),
            Change::MemberChanged(tenant_id, user_id) => Self::Member(tenant_id.clone(), *user_id),
            Change::TokensCreated(tenant_id, _)
            | Change::TenantChanged(tenant_id)
            | Change::CatalogChanged(tenant_id) => Self::Tenant(tenant_id.clone()),
        }
    }

    fn is_of(&self, key: Key) -> bool {
        *self == Self::Key(key)
    }

    fn alters(&self, kept: &Kept) -> bool {
        let user_id = kept.owner.as_ref().map(|owner| owner.user_id);
        match self {
            Self::Key(_) => false,
            Self::Token(token_id) => *token_id == kept.token_id,
            Self::User(changed) => user_id == Some(*changed),
            Self::Member(tenant_id, changed) => {
                user_id == Some(*changed) && tenant_id == kept.tenant_id()
            }
            Self::Tenant(tenant_id) => tenant_id == kept.tenant_id(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coherence::key::Digests;

    #[test]
    fn a_read_is_as_good_as_no_later_change_touches_it() {
        let digests = Digests::default();
        let (mine, other) = (digests.hint("ody_aaaa"), digests.hint("ody_bbbb"));
        let mut recent = Recent::after(ChangeNumber(5));
        recent.add(ChangeNumber(6), Touch::Key(mine));
        recent.add(ChangeNumber(7), Touch::Key(other));
        let touched = |since, key| recent.may_have_touched(ChangeNumber(since), key, &[]);
        assert!(touched(5, mine) && touched(5, other));
        assert!(!touched(6, mine), "it began after the change");
        assert!(touched(6, other));
        assert!(
            touched(4, digests.hint("ody_cccc")),
            "before what is remembered"
        );
    }

    #[test]
    fn what_is_forgotten_may_have_touched_anything() {
        let digests = Digests::default();
        let mut recent = Recent::after(ChangeNumber(0));
        for number in 1..=5000 {
            recent.add(ChangeNumber(number), Touch::Key(digests.hint("x")));
        }
        assert_eq!(recent.touches.len(), MOST);
        let key = digests.hint("y");
        assert!(recent.may_have_touched(ChangeNumber(100), key, &[]));
        assert!(!recent.may_have_touched(ChangeNumber(5000 - 4096), key, &[]));
    }
}
