//! The log of changes: numbers, revisions and what each entry is about.

use std::fmt;
use std::str::FromStr;

use super::ids::{TenantId, TokenId, UserId};

/// A number of the gapless sequence in which changes were committed. 0 precedes
/// the first.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct ChangeNumber(pub i64);

/// A record's version: 1 when created, one more with each change.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub struct Version(pub i64);

/// The text is no revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a revision")]
pub struct ParseRevisionError;

/// A point in the log of one incarnation of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision {
    /// The store's incarnation: 22 base62 characters.
    pub incarnation: String,
    /// The number of the last change that is included.
    pub number: ChangeNumber,
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.incarnation, self.number.0)
    }
}

impl FromStr for Revision {
    type Err = ParseRevisionError;

    fn from_str(text: &str) -> Result<Self, ParseRevisionError> {
        let (incarnation, number) = text.split_once('.').ok_or(ParseRevisionError)?;
        let canonical = !number.is_empty()
            && number.bytes().all(|byte| byte.is_ascii_digit())
            && (number == "0" || !number.starts_with('0'));
        if incarnation.len() != 22 || !super::base62::is_base62(incarnation) || !canonical {
            return Err(ParseRevisionError);
        }
        let number = number.parse().map_err(|_| ParseRevisionError)?;
        Ok(Self {
            incarnation: incarnation.to_owned(),
            number: ChangeNumber(number),
        })
    }
}

/// What a change may have altered; a follower drops what it keeps of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A token was created: its lookup is no longer unknown.
    TokenCreated(TenantId, TokenId),
    /// Tokens of a tenant were created, the first of which has this id: too many to be
    /// logged one by one. It is logged as a change of the tenant that names that token.
    TokensCreated(TenantId, TokenId),
    /// A token's record was altered.
    TokenChanged(TenantId, TokenId),
    /// A user was altered, suspended or resumed: all its tokens in every tenant.
    UserChanged(UserId),
    /// A membership was altered: the user's tokens in one tenant.
    MemberChanged(TenantId, UserId),
    /// A tenant was altered: all its tokens.
    TenantChanged(TenantId),
    /// A tenant's catalog was replaced: all its tokens.
    CatalogChanged(TenantId),
}

impl Change {
    /// Returns the kind as the log keeps it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::TokenCreated(..) => "token_created",
            Self::TokenChanged(..) => "token_changed",
            Self::UserChanged(..) => "user_changed",
            Self::MemberChanged(..) => "member_changed",
            Self::TenantChanged(..) | Self::TokensCreated(..) => "tenant_changed",
            Self::CatalogChanged(..) => "catalog_changed",
        }
    }

    /// Returns the tenant that it is about, if one.
    pub fn tenant_id(&self) -> Option<&TenantId> {
        match self {
            Self::TokenCreated(tenant_id, _)
            | Self::TokensCreated(tenant_id, _)
            | Self::TokenChanged(tenant_id, _)
            | Self::MemberChanged(tenant_id, _)
            | Self::TenantChanged(tenant_id)
            | Self::CatalogChanged(tenant_id) => Some(tenant_id),
            Self::UserChanged(_) => None,
        }
    }

    /// Returns the user that it is about, if one.
    pub fn user_id(&self) -> Option<UserId> {
        match self {
            Self::UserChanged(user_id) | Self::MemberChanged(_, user_id) => Some(*user_id),
            Self::TokenCreated(..)
            | Self::TokensCreated(..)
            | Self::TokenChanged(..)
            | Self::TenantChanged(_)
            | Self::CatalogChanged(_) => None,
        }
    }

    /// Returns the token that it is about, if one.
    pub fn token_id(&self) -> Option<TokenId> {
        match self {
            Self::TokenCreated(_, token_id)
            | Self::TokenChanged(_, token_id)
            | Self::TokensCreated(_, token_id) => Some(*token_id),
            Self::UserChanged(_)
            | Self::MemberChanged(..)
            | Self::TenantChanged(_)
            | Self::CatalogChanged(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_parses_back_and_only_in_one_spelling() {
        let revision = Revision {
            incarnation: "0".repeat(22),
            number: ChangeNumber(1234),
        };
        assert_eq!(revision.to_string().parse(), Ok(revision));
        let zeros = "0".repeat(22);
        for bad in [
            "",
            ".",
            "x.1",
            &zeros,
            &format!("{zeros}."),
            &format!("{zeros}.-1"),
            &format!("{zeros}.+1"),
            &format!("{zeros}.01"),
            &format!("{zeros}.99999999999999999999"),
        ] {
            assert_eq!(bad.parse::<Revision>(), Err(ParseRevisionError), "{bad}");
        }
    }
}
