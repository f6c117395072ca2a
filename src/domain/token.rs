//! A token's record, its states and what may become of it.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::change::{ChangeNumber, Version};
use super::ids::{TenantId, TokenId, UserId};
use super::principal::Role;
use super::reason::Obstacle;
use super::scope::ScopeSet;
use super::text::Labels;
use super::time::Timestamp;

/// Declares an enum with its name in the store.
macro_rules! stored {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$vdoc])* #[serde(rename = $text)] $variant,)+
        }

        impl $name {
            /// Each of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// Returns its name in the store.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// Returns the one that the store calls this.
            pub fn from_stored(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

stored! {
    /// What a token is for.
    Kind {
        /// Access to the product's API.
        Api = "api",
        /// Presented by webhooks; found and accepted only where named.
        Webhook = "webhook",
        /// An agent's run.
        Agent = "agent",
        /// A workload with no user.
        Service = "service",
    }
}

stored! {
    /// Why a token was revoked.
    RevokeReason {
        /// Not said.
        Unspecified = "unspecified",
        /// Its value is known to somebody who should not know it.
        Compromised = "compromised",
        /// Another token took its place.
        Superseded = "superseded",
        /// What it was for has ended.
        NoLongerNeeded = "no_longer_needed",
        /// An administrator's decision.
        Administrative = "administrative",
        /// Its user was deleted or left the tenant.
        OwnerGone = "owner_gone",
    }
}

/// Where a token is in its life, at some instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Usable, as far as the token itself is concerned.
    Active,
    /// Switched off, reversibly.
    Disabled,
    /// Past its end.
    Expired,
    /// Revoked for good.
    Revoked,
}

impl State {
    /// Each of them.
    pub const ALL: [Self; 4] = [Self::Active, Self::Disabled, Self::Expired, Self::Revoked];

    /// Returns the state of what has these ends. At the very instant of its end it is
    /// expired; once revoked or expired it is never active again.
    pub fn of(
        revoked: bool,
        expires_at: Option<Timestamp>,
        disabled: bool,
        now: Timestamp,
    ) -> Self {
        if revoked {
            Self::Revoked
        } else if expires_at.is_some_and(|end| now >= end) {
            Self::Expired
        } else if disabled {
            Self::Disabled
        } else {
            Self::Active
        }
    }

    /// Returns the name that a filter in the store knows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

/// The user that a token acts as, in the token's tenant, as of now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// Its id.
    pub user_id: UserId,
    /// What its voucher calls it.
    pub external_id: String,
    /// What it is in the token's tenant; `None` when it is no member.
    pub role: Option<Role>,
    /// Whether it is suspended.
    pub suspended: bool,
    /// Whether it is deleted.
    pub deleted: bool,
}

/// A revocation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: RevokeReason,
    /// What the revoker added.
    pub text: String,
}

/// A use of a token: that a value of it was found active.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Use {
    /// When.
    pub at: Timestamp,
    /// The token of the service that it was presented to and that asked; none when it
    /// was presented to this authority.
    pub by: Option<TokenId>,
    /// Where it came from, as that service said, if it did.
    pub address: Option<IpAddr>,
}

/// A value that a token had before its current one. It holds no more of it than is
/// visible.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreviousValue {
    /// The visible part.
    pub hint: String,
    /// From when on it is over.
    pub ends_at: Timestamp,
}

/// A token's record. It holds no value and nothing that verifies one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Its id.
    pub token_id: TokenId,
    /// The tenant that it belongs to.
    pub tenant_id: TenantId,
    /// The user that it acts as; none for SERVICE.
    pub owner: Option<Owner>,
    /// What it is for.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// The visible part of its current value.
    pub hint: String,
    /// What was granted.
    pub scopes: ScopeSet,
    /// The profile that it was created with, if any.
    pub profile: String,
    /// The agent that it was made for, if any.
    pub agent_id: String,
    /// Its labels.
    pub labels: Labels,
    /// The token that created it; the operator's first has none.
    pub created_by: Option<TokenId>,
    /// The record's version.
    pub version: Version,
    /// The number of the change that created it.
    pub created_number: ChangeNumber,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// From when on it is expired.
    pub expires_at: Option<Timestamp>,
    /// Since when it is switched off.
    pub disabled_at: Option<Timestamp>,
    /// Its revocation, by itself or by the earliest epoch that covers it.
    pub revocation: Option<Revocation>,
    /// When it got its current value, if that is not its first; read for who manages it.
    pub rotated_at: Option<Timestamp>,
    /// The values before that end last, the latest end first; read for who manages it.
    pub previous: Vec<PreviousValue>,
    /// Its last use, as far as it is written; not read where it is judged.
    pub last_use: Option<Use>,
}

impl Token {
    /// Returns the token's state.
    pub fn state(&self, now: Timestamp) -> State {
        let disabled = self.disabled_at.is_some();
        State::of(self.revocation.is_some(), self.expires_at, disabled, now)
    }

    /// Returns whether a value of the token with this end is over. What was so when the token
    /// last changed is over for everybody: a clock that is behind lets no value go on that a
    /// rotation has ended.
    pub fn is_over(&self, ends_at: Option<Timestamp>, now: Timestamp) -> bool {
        ends_at.is_some_and(|end| now.max(self.updated_at) >= end)
    }

    /// Returns whether the record may be changed: not once expired or revoked.
    pub fn may_change(&self, now: Timestamp) -> Result<(), Obstacle> {
        match self.state(now) {
            State::Active | State::Disabled => Ok(()),
            State::Expired => Err(Obstacle::TokenExpired),
            State::Revoked => Err(Obstacle::TokenRevoked),
        }
    }

    /// Returns the token as it is once it is revoked.
    #[must_use]
    pub fn revoked(self, at: Timestamp, reason: RevokeReason, text: String) -> Self {
        Self {
            revocation: Some(Revocation { at, reason, text }),
            ..self
        }
    }

    /// Returns what role the token's holder has in its tenant: its user's, and
    /// for SERVICE, which has no user to limit it, none.
    pub fn role(&self) -> Option<Role> {
        self.owner.as_ref().and_then(|owner| owner.role)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn token() -> Token {
        let at = Timestamp::from_millis(0).unwrap();
        Token {
            token_id: uuid::Uuid::from_u128(1).into(),
            tenant_id: "tenant".parse().unwrap(),
            owner: None,
            kind: Kind::Service,
            name: String::new(),
            hint: String::new(),
            scopes: ScopeSet::default(),
            profile: String::new(),
            agent_id: String::new(),
            labels: Labels::new(),
            created_by: None,
            version: Version(1),
            created_number: ChangeNumber(1),
            created_at: at,
            updated_at: at,
            expires_at: None,
            disabled_at: None,
            revocation: None,
            rotated_at: None,
            previous: Vec::new(),
            last_use: None,
        }
    }

    proptest! {
        #[test]
        fn once_dead_a_token_stays_dead(
            end in proptest::option::of(0i64..1000),
            revoked: bool,
            disabled: bool,
            a in 0i64..1000,
            b in 0i64..1000,
        ) {
            let at = |millis| Timestamp::from_millis(millis).unwrap();
            let token = Token {
                expires_at: end.map(at),
                disabled_at: disabled.then_some(at(0)),
                revocation: revoked.then_some(Revocation {
                    at: at(0),
                    reason: RevokeReason::Unspecified,
                    text: String::new(),
                }),
                ..token()
            };
            let (earlier, later) = (token.state(at(a.min(b))), token.state(at(a.max(b))));
            if matches!(earlier, State::Expired | State::Revoked) {
                prop_assert_eq!(earlier, later);
            }
            prop_assert_eq!(
                token.state(at(a)) == State::Active,
                !revoked && !disabled && end.is_none_or(|end| a < end)
            );
            prop_assert_eq!(
                token.may_change(at(a)).is_ok(),
                !revoked && end.is_none_or(|end| a < end)
            );
        }
    }

    #[test]
    fn at_the_instant_of_its_end_a_token_is_expired() {
        let at = |millis| Timestamp::from_millis(millis).unwrap();
        let token = Token {
            expires_at: Some(at(10)),
            ..token()
        };
        assert_eq!(token.state(at(9)), State::Active);
        assert_eq!(token.state(at(10)), State::Expired);
    }

    #[test]
    fn at_the_instant_of_its_end_a_value_is_over_whatever_a_late_clock_says() {
        let at = |millis| Timestamp::from_millis(millis).unwrap();
        let token = Token {
            updated_at: at(5),
            ..token()
        };
        assert!(!token.is_over(None, at(9)));
        assert!(!token.is_over(Some(at(10)), at(9)));
        assert!(token.is_over(Some(at(10)), at(10)));
        assert!(token.is_over(Some(at(5)), at(1)));
        assert!(!token.is_over(Some(at(6)), at(1)));
    }

    #[test]
    fn stored_names_come_back() {
        for kind in Kind::ALL {
            assert_eq!(Kind::from_stored(kind.as_str()), Some(*kind));
        }
        assert_eq!(Kind::from_stored("API"), None);
    }
}
