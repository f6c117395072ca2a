//! The audit log: what was done, by whom, and the chain of hashes that shows when
//! somebody has had a hand in it.

mod fields;
mod verify;

pub use self::fields::{Audited, changes, seconds};
pub use self::verify::{Anchor, Checkpoint, Flaw, Head, Proof, Row, Verdict};

use prost::Message as _;
use sha2::{Digest as _, Sha256};

use super::ids::{TenantId, TokenId, UserId};
use super::time::Timestamp;

/// What was done that is no RPC.
pub mod action {
    /// A value was presented after its end, for the first time.
    pub const ENDED_VALUE_USED: &str = "EndedValueUsed";
    /// The first token was made, for an empty store.
    pub const BOOTSTRAP: &str = "Bootstrap";
    /// An operator's token was made by who has the database.
    pub const REPLACE_OPERATOR: &str = "ReplaceOperator";
    /// Somebody was made a member at first sight, by a trust.
    pub const PROVISION_MEMBER: &str = "ProvisionMember";
    /// Dead tokens past their retention were removed.
    pub const SWEEP: &str = "Sweep";
    /// Events past their retention were removed from the log.
    pub const PRUNE: &str = "PruneAuditLog";
}

/// An event's place in its chain, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sequence(pub i64);

/// The bytes of a SHA-256 hash.
pub const HASH_BYTES: usize = 32;

/// A hash of the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hash(pub [u8; HASH_BYTES]);

impl Hash {
    /// What stands before the first event.
    pub const ZERO: Self = Self([0; HASH_BYTES]);

    /// Returns the hash of an event's canonical bytes, after the event of this hash.
    #[must_use]
    pub fn then(self, event: &[u8]) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(self.0);
        hasher.update(event);
        Self(hasher.finalize().into())
    }

    /// Returns the hash in hexadecimal digits.
    pub fn to_hex(self) -> String {
        use std::fmt::Write as _;
        self.0.iter().fold(String::new(), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

impl TryFrom<&[u8]> for Hash {
    type Error = std::array::TryFromSliceError;

    fn try_from(bytes: &[u8]) -> Result<Self, Self::Error> {
        bytes.try_into().map(Self)
    }
}

/// An event, in the very fields of `tokenauthority.v1.AuditEvent` without its hash:
/// its canonical bytes are those of this message, which has no maps.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Event {
    /// Whose chain it is in.
    #[prost(string, tag = "1")]
    pub tenant_id: String,
    /// Its place in the chain, from 1.
    #[prost(int64, tag = "2")]
    pub sequence: i64,
    /// When it happened.
    #[prost(message, optional, tag = "3")]
    pub event_time: Option<prost_types::Timestamp>,
    /// What was done: an RPC's name, or one of [`action`].
    #[prost(string, tag = "4")]
    pub action: String,
    /// Who did it; absent when it was this service, or somebody without a credential.
    #[prost(message, optional, tag = "5")]
    pub caller: Option<By>,
    /// What it was about.
    #[prost(message, optional, tag = "6")]
    pub subject: Option<About>,
    /// What changed.
    #[prost(message, repeated, tag = "7")]
    pub changes: Vec<FieldChange>,
    /// How many changes are left out.
    #[prost(int32, tag = "8")]
    pub omitted_changes: i32,
    /// The W3C trace that the call was part of, if any.
    #[prost(string, tag = "9")]
    pub trace_id: String,
    /// The call's `x-request-id`, if it was a call.
    #[prost(string, tag = "10")]
    pub call_id: String,
}

/// Who did it.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct By {
    /// The token that was presented; empty for a session and for an identity.
    #[prost(string, tag = "1")]
    pub token_id: String,
    /// That token's tenant, or the one that the session or the identity acts in.
    #[prost(string, tag = "2")]
    pub tenant_id: String,
    /// The user that the token or session acts as; empty for SERVICE and for an identity.
    #[prost(string, tag = "3")]
    pub user_id: String,
    /// Whose trust vouches for the session; empty for a token.
    #[prost(string, tag = "4")]
    pub trust: String,
    /// The service identity whose certificate was presented; empty for all else.
    #[prost(string, tag = "5")]
    pub identity: String,
}

/// What it was about; empty is none.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct About {
    /// The tenant.
    #[prost(string, tag = "1")]
    pub tenant_id: String,
    /// The user.
    #[prost(string, tag = "2")]
    pub user_id: String,
    /// The token.
    #[prost(string, tag = "3")]
    pub token_id: String,
}

/// What became of a field.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct FieldChange {
    /// Its name.
    #[prost(string, tag = "1")]
    pub field: String,
    /// What it was; empty when there was none.
    #[prost(string, tag = "2")]
    pub before: String,
    /// What it is; empty when there is none.
    #[prost(string, tag = "3")]
    pub after: String,
}

impl Event {
    /// Returns its canonical bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.encode_to_vec()
    }

    /// Reads canonical bytes; `None` for others.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Self::decode(bytes).ok()
    }
}

/// What was done, before it has its place in a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Act {
    /// What was done: an RPC's name, or one of [`action`].
    pub action: &'static str,
    /// Which tenant it was about.
    pub tenant_id: TenantId,
    /// Which user, if one.
    pub user_id: Option<UserId>,
    /// Which token, if one.
    pub token_id: Option<TokenId>,
    /// What changed.
    pub changes: Vec<FieldChange>,
    /// Whether the installation's chain has it, too: what befalls a tenant as such.
    pub of_installation: bool,
}

impl Act {
    /// Returns an act about a tenant.
    pub fn new(action: &'static str, tenant_id: TenantId) -> Self {
        Self {
            action,
            tenant_id,
            user_id: None,
            token_id: None,
            changes: Vec::new(),
            of_installation: false,
        }
    }

    /// Says which user it was about.
    #[must_use]
    pub fn user(mut self, user_id: UserId) -> Self {
        self.user_id = Some(user_id);
        self
    }

    /// Says which token it was about.
    #[must_use]
    pub fn token(mut self, token_id: TokenId) -> Self {
        self.token_id = Some(token_id);
        self
    }

    /// Says what became of a record: of none it was made, to none it was deleted.
    #[must_use]
    pub fn changed<A: Audited>(mut self, before: Option<&A>, after: Option<&A>) -> Self {
        self.changes.extend(changes(before, after));
        self
    }

    /// Says one thing more.
    #[must_use]
    pub fn with(mut self, field: &str, after: impl Into<String>) -> Self {
        self.changes.push(FieldChange {
            field: field.to_owned(),
            before: String::new(),
            after: after.into(),
        });
        self
    }
}

/// Who acts, and in which call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// Who; `None` for this service itself, and for somebody without a credential.
    pub by: Option<By>,
    /// The W3C trace that the call is part of, if any.
    pub trace_id: String,
    /// The call's `x-request-id`, if it is a call.
    pub call_id: String,
}

/// The changes that an event lists, at most.
const MOST_CHANGES: usize = 100;
/// The bytes of the changes that an event lists, at most, about.
const MOST_BYTES: usize = 32 * 1024;
/// The characters that are kept of what a field was or is.
const MOST_CHARS: usize = 1000;

impl Event {
    /// Writes an act down. Its place in the chain is the store's to give.
    pub fn of(act: &Act, origin: &Origin, at: Timestamp) -> Self {
        let (seconds, nanos) = at.parts();
        let cut = |text: &String| text.chars().take(MOST_CHARS).collect();
        let mut changes = Vec::new();
        let mut bytes = 0;
        for change in act.changes.iter().take(MOST_CHANGES) {
            let change = FieldChange {
                field: change.field.clone(),
                before: cut(&change.before),
                after: cut(&change.after),
            };
            bytes += change.encoded_len();
            if bytes > MOST_BYTES {
                break;
            }
            changes.push(change);
        }
        let omitted = act.changes.len() - changes.len();
        Self {
            tenant_id: String::new(),
            sequence: 0,
            event_time: Some(prost_types::Timestamp { seconds, nanos }),
            action: act.action.to_owned(),
            caller: origin.by.clone(),
            subject: Some(About {
                tenant_id: act.tenant_id.to_string(),
                user_id: act.user_id.map(|id| id.to_string()).unwrap_or_default(),
                token_id: act.token_id.map(|id| id.to_string()).unwrap_or_default(),
            }),
            changes,
            omitted_changes: i32::try_from(omitted).unwrap_or(i32::MAX),
            trace_id: origin.trace_id.clone(),
            call_id: origin.call_id.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_is_sha_256_over_the_hash_before_and_the_bytes() {
        // { printf '\0%.0s' {1..32}; printf 'abc'; } | sha256sum
        let first = Hash::ZERO.then(b"abc");
        assert_eq!(
            first.to_hex(),
            "365aa7d8f7f9402c4b9434502b4cc89ddb09fe50d7cd95b493b834c62d5a5370"
        );
        assert_ne!(first.then(b"abc"), first);
    }

    #[test]
    fn a_long_story_is_cut_and_says_so() {
        let mut act = Act::new("UpdateCatalog", "acme".parse().unwrap());
        for number in 0..=MOST_CHANGES {
            act = act.with(&format!("scope.{number}"), "x".repeat(10));
        }
        let now = Timestamp::from_millis(1_001).unwrap();
        let event = Event::of(&act, &Origin::default(), now);
        assert_eq!(event.changes.len(), MOST_CHANGES);
        assert_eq!(event.omitted_changes, 1);
        let mut long = Act::new("UpdateCatalog", "acme".parse().unwrap());
        for number in 0..30 {
            long = long.with(&format!("scope.{number}"), "ä".repeat(MOST_CHARS + 1));
        }
        let cut = Event::of(&long, &Origin::default(), now);
        assert_eq!(cut.changes[0].after.chars().count(), MOST_CHARS);
        assert!(cut.to_bytes().len() < MOST_BYTES + 1000);
        let omitted = usize::try_from(cut.omitted_changes).unwrap();
        assert_eq!(cut.changes.len() + omitted, 30);
        assert_eq!(Event::from_bytes(&event.to_bytes()), Some(event));
    }
}
