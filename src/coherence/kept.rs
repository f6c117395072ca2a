//! What is kept of a record: all that decides over a presented value and all that is
//! answered about it, as compact as it can be looked at without being taken apart.

use std::mem::size_of;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::intern::Interned;
use crate::domain::catalog::Catalog;
use crate::domain::fingerprint::{Fingerprint, KeyId, SecretHash};
use crate::domain::foreign::AnyValue;
use crate::domain::ids::{SecretId, TenantId, TokenId, UserId};
use crate::domain::introspection::{Facts, Inactive, OwnerFacts, Standing, Verifier};
use crate::domain::principal::Role;
use crate::domain::scope::ScopeSet;
use crate::domain::text::Labels;
use crate::domain::time::Timestamp;
use crate::domain::token::{Kind, Token};

/// A tenant, as far as it decides over its tokens. It stands apart in memory from what is
/// written when another record is read that shares it.
#[derive(Debug)]
#[repr(align(128))]
pub struct Tenant {
    /// Its id.
    pub tenant_id: TenantId,
    /// What its values begin with, and whether it is suspended or deleted.
    pub standing: Standing,
    /// Its catalog.
    pub catalog: Catalog,
}

/// A user in a tenant, as far as it decides over its tokens there.
#[derive(Debug, PartialEq, Eq)]
pub struct Owner {
    /// Its id.
    pub user_id: UserId,
    /// The same as a text, which each answer has.
    pub(super) user_id_text: [u8; UserId::TEXT],
    /// What its voucher calls it.
    pub external_id: Box<str>,
    /// What it is in the tenant; `None` when it is no member.
    pub role: Option<Role>,
    /// Whether it is suspended.
    pub suspended: bool,
    /// Whether it is deleted.
    pub deleted: bool,
}

impl Owner {
    /// Returns its id as a text.
    pub fn user_id_text(&self) -> &str {
        std::str::from_utf8(&self.user_id_text).unwrap_or_default()
    }
}

/// What a grant comes to for who holds it, by the tenant's catalog. It stands apart in
/// memory, as a tenant does.
#[derive(Debug)]
#[repr(align(128))]
pub struct Grant {
    /// The tenant.
    pub(super) tenant: Arc<Interned<Tenant>>,
    /// What may be done.
    pub effective: ScopeSet,
}

/// What is kept of one value of a token, and of that token.
#[derive(Debug)]
pub struct Kept {
    /// What no other that was ever read in this process has; and, as [`USED`], whether it was
    /// asked for since that was last taken back.
    number: AtomicU64,
    /// The token's id.
    pub token_id: TokenId,
    /// The value's row.
    pub secret_id: SecretId,
    /// What verifies the value without bcrypt: its fingerprint and the key of that.
    pub fingerprint: Option<(Arc<KeyId>, Fingerprint)>,
    /// The user that it acts as; none for SERVICE.
    pub owner: Option<Arc<Interned<Owner>>>,
    /// What it may do, in its tenant.
    pub grant: Arc<Grant>,
    /// When it was created.
    pub created_at: Timestamp,
    expires_at: Instant,
    ends_at: Instant,
    /// Its name, the agent that it was made for, and its labels: joined by what none of
    /// them holds.
    texts: Box<str>,
    /// Which use of it was noted last, as a digest, so that the same is not noted again.
    noted: AtomicU32,
    /// What for.
    pub kind: Kind,
    revoked: bool,
    disabled: bool,
    /// Whether it is noted already that the value was presented after its end.
    pub reused: bool,
}

/// A record as it was just read: with what only bcrypt verifies it by, which is not kept. A
/// value that has a fingerprint is seldom verified by bcrypt again, and is read anew where it
/// is.
#[derive(Debug)]
pub struct Fresh {
    /// What may be kept of it.
    pub kept: Kept,
    /// Its hash.
    pub secret_hash: SecretHash,
}

/// The bit of a number that is no part of it. So many are never read.
const USED: u64 = 1 << 63;

/// A time or none, in eight bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Instant(i64);

impl From<Option<Timestamp>> for Instant {
    fn from(at: Option<Timestamp>) -> Self {
        Self(at.map_or(i64::MAX, Timestamp::millis))
    }
}

impl Instant {
    fn get(self) -> Option<Timestamp> {
        // No timestamp is so far away.
        Timestamp::from_millis(self.0)
    }

    fn is_past(self, now: Timestamp) -> bool {
        now.millis() >= self.0
    }
}

/// How many have been read.
static READ: AtomicU64 = AtomicU64::new(0);

/// What joins texts: control characters are in none of them.
const JOINT: char = '\0';

fn join(name: &str, agent_id: &str, labels: &Labels) -> Box<str> {
    let mut texts = String::with_capacity(name.len() + agent_id.len() + 1);
    texts.push_str(name);
    if agent_id.is_empty() && labels.is_empty() {
        return texts.into();
    }
    texts.push(JOINT);
    texts.push_str(agent_id);
    for (key, value) in labels {
        for text in [key, value] {
            texts.push(JOINT);
            texts.push_str(text);
        }
    }
    texts.into()
}

/// Takes apart what [`join`] joined, in one pass.
fn part(texts: &str) -> (&str, &str, impl Iterator<Item = (&str, &str)>) {
    let mut texts = texts.split(JOINT);
    let name = texts.next().unwrap_or_default();
    let agent_id = texts.next().unwrap_or_default();
    let labels = std::iter::from_fn(move || Some((texts.next()?, texts.next()?)));
    (name, agent_id, labels)
}

/// The parts of a record that several share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) owner: Option<Arc<Interned<Owner>>>,
    pub(super) grant: Arc<Grant>,
    pub(super) key: Option<Arc<KeyId>>,
}

impl Fresh {
    /// Puts together a record.
    pub(super) fn new(token: &Token, verifier: Verifier, shared: Shared) -> Self {
        let Shared { owner, grant, key } = shared;
        let fingerprint = verifier.fingerprint.map(|(_, fingerprint)| fingerprint);
        // What ended before the record changed last is over whatever the clock says.
        let over = token.is_over(verifier.ends_at, token.updated_at);
        let ends_at = if over {
            Instant(i64::MIN)
        } else {
            verifier.ends_at.into()
        };
        let kept = Kept {
            number: AtomicU64::new(READ.fetch_add(1, Ordering::Relaxed)),
            token_id: token.token_id,
            secret_id: verifier.secret_id,
            fingerprint: key.zip(fingerprint),
            owner,
            grant,
            created_at: token.created_at,
            expires_at: token.expires_at.into(),
            ends_at,
            texts: join(&token.name, &token.agent_id, &token.labels),
            noted: AtomicU32::new(0),
            kind: token.kind,
            revoked: token.revocation.is_some(),
            disabled: token.disabled_at.is_some(),
            reused: verifier.reused,
        };
        Self {
            kept,
            secret_hash: verifier.secret_hash,
        }
    }
}

impl Clone for Kept {
    fn clone(&self) -> Self {
        Self {
            number: AtomicU64::new(self.number()),
            token_id: self.token_id,
            secret_id: self.secret_id,
            fingerprint: self.fingerprint.clone(),
            owner: self.owner.clone(),
            grant: Arc::clone(&self.grant),
            created_at: self.created_at,
            expires_at: self.expires_at,
            ends_at: self.ends_at,
            texts: self.texts.clone(),
            noted: AtomicU32::new(self.noted.load(Ordering::Relaxed)),
            kind: self.kind,
            revoked: self.revoked,
            disabled: self.disabled,
            reused: self.reused,
        }
    }
}

impl Kept {
    /// Returns whether nothing of what it shares with others has changed since it was read.
    pub(super) fn is_current(&self) -> bool {
        self.grant.tenant.is_current() && self.owner.as_ref().is_none_or(|owner| owner.is_current())
    }

    /// Returns what no other that was ever read in this process has.
    pub fn number(&self) -> u64 {
        self.number.load(Ordering::Relaxed) & !USED
    }

    /// Says that it was asked for. Written once for each time that this is taken back, so
    /// that cores which read the same record don't take its line from each other.
    pub(super) fn was_used(&self) {
        if self.number.load(Ordering::Relaxed) & USED == 0 {
            self.number.fetch_or(USED, Ordering::Relaxed);
        }
    }

    /// Returns whether it was asked for since this was last asked.
    pub(super) fn take_used(&self) -> bool {
        self.number.fetch_and(!USED, Ordering::Relaxed) & USED != 0
    }

    /// Returns the bytes that it takes, without what it shares.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + self.texts.len()
    }

    /// Returns its tenant's id.
    pub fn tenant_id(&self) -> &TenantId {
        &self.grant.tenant.tenant_id
    }

    /// Returns what the user that it acts as is in its tenant.
    pub fn role(&self) -> Option<Role> {
        self.owner.as_ref().and_then(|owner| owner.role)
    }

    /// Returns why the token is inactive, whatever was asked; `None` when it is active.
    pub fn inactive(&self, value: &AnyValue, now: Timestamp) -> Option<Inactive> {
        if !value.is_under(&self.grant.tenant.standing.prefix) {
            return Some(Inactive::WrongPrefix);
        }
        self.facts().dead(now)
    }

    /// Returns whether the value is over.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.ends_at.is_past(now)
    }

    /// Returns from when on the token is expired.
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.expires_at.get()
    }

    fn facts(&self) -> Facts<'_> {
        let owner = self.owner.as_ref().map(|owner| OwnerFacts {
            deleted: owner.deleted,
            suspended: owner.suspended,
            member: owner.role.is_some(),
        });
        Facts {
            tenant: &self.grant.tenant.standing,
            owner,
            revoked: self.revoked,
            disabled: self.disabled,
            expires_at: self.expires_at(),
        }
    }

    /// Returns the token's name, the agent that it was made for, empty for none, and its
    /// labels, by key.
    pub fn texts(&self) -> (&str, &str, impl Iterator<Item = (&str, &str)>) {
        part(&self.texts)
    }

    /// Returns whether a use, by its digest, is another than the last that was noted, and
    /// remembers it. What is written often is no line that other cores read.
    pub fn is_new_use(&self, digest: u32) -> bool {
        let new = self.noted.load(Ordering::Relaxed) != digest;
        if new {
            self.noted.store(digest, Ordering::Relaxed);
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_apart_as_they_were_joined() {
        let labels = |pairs: &[(&str, &str)]| -> Labels {
            let pairs = pairs.iter();
            pairs.map(|(k, v)| ((*k).into(), (*v).into())).collect()
        };
        let cases = [
            ("laptop", "", labels(&[])),
            ("laptop", "agent-7", labels(&[])),
            ("", "", labels(&[("a", ""), ("b", "x")])),
            ("ci", "", labels(&[("", "empty key"), ("team", "ä b")])),
        ];
        for (name, agent_id, labels) in cases {
            let texts = join(name, agent_id, &labels);
            let (its_name, its_agent, its_labels) = part(&texts);
            assert_eq!((its_name, its_agent), (name, agent_id));
            let pairs = labels.iter().map(|(k, v)| (&**k, &**v));
            assert!(its_labels.eq(pairs), "{texts:?}");
            // And nothing else is joined to them.
            let parts: Vec<_> = texts.split(JOINT).skip(2).collect();
            let pairs: Vec<_> = labels.iter().flat_map(|(k, v)| [&**k, &**v]).collect();
            assert_eq!(parts, pairs);
        }
    }

    #[test]
    fn no_time_is_a_time_too() {
        for at in [None, Timestamp::from_millis(0), Timestamp::from_millis(7)] {
            assert_eq!(Instant::from(at).get(), at);
        }
    }

    #[test]
    fn a_record_is_small() {
        // With its key it takes what the allocator has for 160 bytes, not for 192.
        assert!(size_of::<Kept>() <= 144, "{} bytes", size_of::<Kept>());
    }
}
