//! What is counted while the process runs, for tests and for metrics.

use crate::domain::identity;
use crate::domain::introspection::Inactive;
use crate::domain::invite::Unclaimable;
use crate::domain::session::Refusal;
pub use crate::tally::Counter;
use crate::tally::{Closed, Each, Sizes, Striped, closed, is_closed};

/// All that is counted.
#[derive(Debug, Default)]
pub struct Counters {
    /// What introspections came to.
    pub introspections: Striped<Each<Outcome, { Outcome::COUNT }>>,
    /// The questions of each batch that was taken up.
    pub batches: Sizes,
    /// Calls whose credential was not good.
    pub unauthenticated: Each<Unauthenticated, { Unauthenticated::COUNT }>,
    /// Values that bcrypt verified, or found wrong.
    pub bcrypt_verifications: Counter,
    /// Wrong values that bcrypt had found wrong before, and did not judge again.
    pub wrong_values_recalled: Counter,
    /// Tokens that were imported.
    pub tokens_imported: Counter,
    /// Fingerprints that were written in place of none, or of one under an older key.
    pub fingerprints_upgraded: Counter,
    /// Fingerprints that there was no room to remember; the next use of the value
    /// makes them anew.
    pub upgrades_dropped: Counter,
    /// Last uses of tokens that were written.
    pub uses_written: Counter,
    /// Uses of tokens that there was no room to remember.
    pub uses_dropped: Counter,
    /// Sessions that were refused.
    pub sessions_refused: Each<Refusal, { Refusal::COUNT }>,
    /// Times that the keyring could not be read again.
    pub keyring_failures: Counter,
    /// What was past its retention and was removed.
    pub swept: Each<Sweepable, { Sweepable::COUNT }>,
    /// Values that were presented to claim an invite.
    pub claims: Each<Claim, { Claim::COUNT }>,
    /// What somebody should look into.
    pub security_events: Each<SecurityEvent, { SecurityEvent::COUNT }>,
}

/// What an introspection came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The value is active and lacks nothing that was required.
    Allowed,
    /// The value is active and lacks a required scope.
    LacksScope,
    /// The value is inactive.
    Inactive(Inactive),
    /// There was no answer: the question was wrong, or the store away.
    Failed,
}

impl Closed for Outcome {
    const COUNT: usize = Inactive::COUNT + 3;

    fn all() -> impl Iterator<Item = Self> {
        let inactive = Inactive::all().map(Self::Inactive);
        [Self::Allowed, Self::LacksScope]
            .into_iter()
            .chain(inactive)
            .chain([Self::Failed])
    }

    fn name(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::LacksScope => "lacks_scope",
            Self::Inactive(reason) => reason.name(),
            Self::Failed => "failed",
        }
    }

    fn place(self) -> usize {
        match self {
            Self::Inactive(reason) => reason.place(),
            Self::Allowed => Inactive::COUNT,
            Self::LacksScope => Inactive::COUNT + 1,
            Self::Failed => Inactive::COUNT + 2,
        }
    }
}

/// Why a caller is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unauthenticated {
    /// It gave no credential, or several, or one that is no text.
    NoCredential,
    /// What it gave is inactive.
    Inactive(Inactive),
    /// It gave a session that is refused.
    Session,
    /// It gave nothing but its connection's certificate, which is refused.
    Identity(identity::Refusal),
}

impl Closed for Unauthenticated {
    const COUNT: usize = Inactive::COUNT + 2 + identity::Refusal::ALL.len();

    fn all() -> impl Iterator<Item = Self> {
        // A credential is of no tenant but its own.
        let inactive = Inactive::all().filter(|reason| *reason != Inactive::OtherTenant);
        [Self::NoCredential, Self::Session]
            .into_iter()
            .chain(inactive.map(Self::Inactive))
            .chain(identity::Refusal::ALL.iter().copied().map(Self::Identity))
    }

    fn name(self) -> &'static str {
        match self {
            Self::NoCredential => "no_credential",
            Self::Session => "session",
            Self::Identity(refusal) => refusal.as_str(),
            Self::Inactive(reason) => reason.name(),
        }
    }

    fn place(self) -> usize {
        match self {
            Self::Inactive(reason) => reason.place(),
            Self::NoCredential => Inactive::COUNT,
            Self::Session => Inactive::COUNT + 1,
            Self::Identity(refusal) => Inactive::COUNT + 2 + refusal as usize,
        }
    }
}

/// What became of a value that was presented to claim an invite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Who held it joined.
    Joined,
    /// It claimed none.
    Refused(Unclaimable),
}

impl Closed for Claim {
    const COUNT: usize = Unclaimable::COUNT + 1;

    fn all() -> impl Iterator<Item = Self> {
        std::iter::once(Self::Joined).chain(Unclaimable::all().map(Self::Refused))
    }

    fn name(self) -> &'static str {
        match self {
            Self::Joined => "joined",
            Self::Refused(reason) => reason.name(),
        }
    }

    fn place(self) -> usize {
        match self {
            Self::Refused(reason) => reason.place(),
            Self::Joined => Unclaimable::COUNT,
        }
    }
}

closed! {
    /// What is removed once its retention is over.
    pub enum Sweepable {
        /// Dead tokens.
        Tokens = "tokens",
        /// Values past their end, of tokens that live on.
        Values = "values",
        /// Invites past their end.
        Invites = "invites",
        /// Calls that need not be recognised any more.
        Requests = "requests",
        /// Rows of the log of changes.
        Changes = "changes",
        /// Audit events.
        AuditEvents = "audit_events",
    }
}

closed! {
    /// What somebody should look into.
    pub enum SecurityEvent {
        /// A value was presented after its end: once for each value.
        EndedValueUsed = "ended_value_used",
        /// A token was revoked because its value was found where it should not be.
        ExposedValueRevoked = "exposed_value_revoked",
    }
}

is_closed! {
    Inactive {
        Malformed = "malformed",
        Unknown = "unknown",
        WrongSecret = "wrong_secret",
        WrongPrefix = "wrong_prefix",
        ValueEnded = "value_ended",
        Revoked = "revoked",
        Expired = "expired",
        Disabled = "disabled",
        OwnerDeleted = "owner_deleted",
        OwnerSuspended = "owner_suspended",
        OwnerLeft = "owner_left",
        TenantDeleted = "tenant_deleted",
        TenantSuspended = "tenant_suspended",
        OtherTenant = "other_tenant",
        OtherKind = "other_kind",
    }
}

is_closed! {
    Unclaimable {
        Malformed = "malformed",
        Unknown = "unknown",
        WrongSecret = "wrong_secret",
        Claimed = "claimed_before",
        Revoked = "revoked",
        Expired = "expired",
        TenantDeleted = "tenant_deleted",
        TenantSuspended = "tenant_suspended",
        CreatorLostRight = "creator_lost_right",
        UserGone = "user_gone",
        UserSuspended = "user_suspended",
        Member = "member",
        ExternalIdTaken = "external_id_taken",
        FirstTokenRefused = "first_token_refused",
    }
}

impl Closed for Refusal {
    const COUNT: usize = Self::ALL.len();

    fn all() -> impl Iterator<Item = Self> {
        Self::ALL.iter().copied()
    }

    fn name(self) -> &'static str {
        self.as_str()
    }

    fn place(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each member has a place of its own, and there are as many as are said.
    fn is_sound<K: Closed>() {
        let mut places: Vec<_> = K::all().map(Closed::place).collect();
        places.sort_unstable();
        let members = places.len();
        places.dedup();
        assert_eq!(places.len(), members, "two in one place");
        assert!(places.iter().all(|place| *place < K::COUNT));
        let mut names: Vec<_> = K::all().map(Closed::name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), members, "two of one name");
    }

    #[test]
    fn closed_sets_are_sound() {
        is_sound::<Inactive>();
        is_sound::<Outcome>();
        is_sound::<Unauthenticated>();
        is_sound::<Claim>();
        is_sound::<Refusal>();
        is_sound::<Sweepable>();
        is_sound::<SecurityEvent>();
    }
}
