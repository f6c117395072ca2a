//! Invites: that somebody may join a tenant, once, and what may become of that.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::fingerprint::{Fingerprint, KeyId, SecretHash};
use super::ids::{InviteId, TenantId, TokenId, UserId};
use super::principal::Role;
use super::scope::ScopeSet;
use super::text::Labels;
use super::time::Timestamp;
use super::token::Kind;

/// An invite's record. It holds no value and nothing that verifies one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invite {
    /// Its id.
    pub invite_id: InviteId,
    /// The tenant that it is to.
    pub tenant_id: TenantId,
    /// The visible part of its value.
    pub hint: String,
    /// What the user is to be in the tenant.
    pub role: Role,
    /// Who is to join; a new user has this id from the claim on.
    pub user_id: UserId,
    /// What a new user is to be called; none where the user existed.
    pub new_user: Option<NewUser>,
    /// The token that the claim creates, if any.
    pub first_token: Option<FirstToken>,
    /// The token that made it.
    pub created_by: Option<TokenId>,
    /// The user that this token acted as; none for SERVICE.
    pub creator_id: Option<UserId>,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it is expired.
    pub expires_at: Timestamp,
    /// When it was claimed.
    pub claimed_at: Option<Timestamp>,
    /// The token that the claim created.
    pub token_id: Option<TokenId>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// A user who does not exist before the claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewUser {
    /// What the tenant, which will vouch for it, calls it.
    pub external_id: String,
    /// What people call it.
    pub display_name: String,
}

/// A token that the claim creates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstToken {
    /// What it is for.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// What is granted, the profile's scopes of then among them: a profile that grows
    /// later widens no invite.
    pub scopes: ScopeSet,
    /// The profile that it was asked for with, if any.
    pub profile: String,
    /// How long it lives from the claim on; `None` for the tenant's default.
    pub ttl: Option<Duration>,
    /// The agent that it is made for, if any.
    pub agent_id: String,
    /// Its labels.
    pub labels: Labels,
}

/// What verifies an invite's value.
#[derive(Clone, Debug)]
pub struct Verifier {
    /// The bcrypt hash of the secret.
    pub secret_hash: SecretHash,
    /// The fingerprint, and the key that it was made with.
    pub fingerprint: (KeyId, Fingerprint),
}

/// Where an invite is in its life, at some instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It can be claimed, as far as it is concerned itself.
    Open,
    /// Somebody has claimed it.
    Claimed,
    /// It was revoked.
    Revoked,
    /// It ended unclaimed.
    Expired,
}

impl State {
    /// Returns the name that a filter in the store knows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Claimed => "claimed",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
        }
    }
}

impl Invite {
    /// Returns the invite's state. At the very instant of its end it is expired.
    pub fn state(&self, now: Timestamp) -> State {
        if self.claimed_at.is_some() {
            State::Claimed
        } else if self.revoked_at.is_some() {
            State::Revoked
        } else if now >= self.expires_at {
            State::Expired
        } else {
            State::Open
        }
    }
}

/// Why an invite was not claimed: for the log, never in an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unclaimable {
    /// The text is no invite's value.
    Malformed,
    /// Nobody was given it.
    Unknown,
    /// A known lookup with a wrong secret.
    WrongSecret,
    /// It was claimed already.
    Claimed,
    /// It was revoked.
    Revoked,
    /// It has expired.
    Expired,
    /// Its tenant is deleted.
    TenantDeleted,
    /// Its tenant is suspended.
    TenantSuspended,
    /// Whoever made it may not do so now.
    CreatorLostRight,
    /// Its user is deleted, or another tenant's by now.
    UserGone,
    /// Its user is suspended.
    UserSuspended,
    /// Its user is a member already.
    Member,
    /// Its new user's external id was taken meanwhile.
    ExternalIdTaken,
    /// Its first token could not be granted now.
    FirstTokenRefused,
}

impl TryFrom<State> for Unclaimable {
    type Error = ();

    /// Returns why an invite in this state is not claimed; an error for one that is open.
    fn try_from(state: State) -> Result<Self, ()> {
        match state {
            State::Open => Err(()),
            State::Claimed => Ok(Self::Claimed),
            State::Revoked => Ok(Self::Revoked),
            State::Expired => Ok(Self::Expired),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_to_an_invite_outlasts_its_end() {
        let at = |millis| Timestamp::from_millis(millis).unwrap();
        let invite = Invite {
            invite_id: uuid::Uuid::from_u128(1).into(),
            tenant_id: "acme".parse().unwrap(),
            hint: String::new(),
            role: Role::Member,
            user_id: uuid::Uuid::from_u128(2).into(),
            new_user: None,
            first_token: None,
            created_by: None,
            creator_id: None,
            created_at: at(0),
            expires_at: at(10),
            claimed_at: None,
            token_id: None,
            revoked_at: None,
        };
        assert_eq!(invite.state(at(9)), State::Open);
        assert_eq!(invite.state(at(10)), State::Expired);
        let revoked = Invite {
            revoked_at: Some(at(5)),
            ..invite.clone()
        };
        let claimed = Invite {
            claimed_at: Some(at(5)),
            ..invite
        };
        for now in [at(9), at(10)] {
            assert_eq!(revoked.state(now), State::Revoked);
            assert_eq!(claimed.state(now), State::Claimed);
        }
    }
}
