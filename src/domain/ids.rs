//! Ids, a type for each kind of thing, minted from (now, entropy).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use super::base62;
use super::entropy::{self, Entropy, EntropyError};
use super::time::Timestamp;

/// The characters after an id's prefix: 128 bits in base62.
const ID_WIDTH: usize = 22;

/// The text is no id of this kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an id of this kind")]
pub struct ParseIdError;

/// Builds a `UUIDv7` (RFC 9562, section 5.7) from the time and random bits.
fn uuid_v7(now: Timestamp, entropy: &dyn Entropy) -> Result<Uuid, EntropyError> {
    let random: [u8; 10] = entropy::bytes(entropy)?;
    let millis = u64::try_from(now.millis()).unwrap_or(0);
    Ok(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
}

/// Has an id serialized as its text.
macro_rules! as_text {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        as_text!($name);

        impl $name {
            /// Mints a new id.
            pub fn mint(now: Timestamp, entropy: &dyn Entropy) -> Result<Self, EntropyError> {
                uuid_v7(now, entropy).map(Self)
            }

            /// The bytes of an id's text.
            pub const TEXT: usize = $prefix.len() + ID_WIDTH;

            /// Writes the id's text.
            pub fn write(self, room: &mut [u8; Self::TEXT]) -> &str {
                let (prefix, digits) = room.split_at_mut($prefix.len());
                prefix.copy_from_slice($prefix.as_bytes());
                base62::write_number(self.0.as_u128(), digits);
                std::str::from_utf8(room).unwrap_or_default()
            }

            /// Returns the id as the store keeps it.
            pub fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl From<Uuid> for $name {
            fn from(uuid: Uuid) -> Self {
                Self(uuid)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.write(&mut [0; $prefix.len() + ID_WIDTH]))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                let digits = text.strip_prefix($prefix).ok_or(ParseIdError)?;
                if digits.len() != ID_WIDTH {
                    return Err(ParseIdError);
                }
                base62::decode::<16>(digits).map(|bytes| Self(Uuid::from_bytes(bytes))).ok_or(ParseIdError)
            }
        }
    };
}

id!(
    /// A token's id: `tok_` and 22 characters. It never changes.
    TokenId,
    "tok_"
);
id!(
    /// A user's id: `usr_` and 22 characters. Never used again.
    UserId,
    "usr_"
);
id!(
    /// The id of one value of a token, known to the store alone.
    SecretId,
    "sec_"
);
id!(
    /// An invite's id: `ivt_` and 22 characters.
    InviteId,
    "ivt_"
);

/// A tenant's id: `[a-z][a-z0-9-]{1,61}[a-z0-9]`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantId(Arc<str>);

as_text!(TenantId);

/// The name of the reserved tenant that holds operator and service tokens.
const AUTHORITY: &str = "authority";

impl TenantId {
    /// Returns the reserved tenant's id.
    pub fn authority() -> Self {
        Self(AUTHORITY.into())
    }

    /// Returns whether this is the reserved tenant, whose tokens are bound to none.
    pub fn is_authority(&self) -> bool {
        &*self.0 == AUTHORITY
    }

    /// Returns whether a new tenant may not be called this: `active` stands for
    /// the caller's own, and what begins with `authority` is the installation's.
    pub fn is_reserved(&self) -> bool {
        self.0.starts_with(AUTHORITY) || &*self.0 == "active"
    }

    /// Returns whether a text is a tenant's id.
    pub fn is_id(text: &str) -> bool {
        let bytes = text.as_bytes();
        let inner = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-';
        (3..=63).contains(&bytes.len())
            && bytes.iter().all(inner)
            && bytes.first().is_some_and(u8::is_ascii_lowercase)
            && bytes.last().is_some_and(|byte| *byte != b'-')
    }

    /// Returns the id's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TenantId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        if Self::is_id(text) {
            Ok(Self(text.into()))
        } else {
            Err(ParseIdError)
        }
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_id_parses_back(bits: u128) {
            let id = TokenId::from(Uuid::from_u128(bits));
            prop_assert_eq!(id.to_string().parse(), Ok(id));
        }

        #[test]
        fn ids_sort_as_their_text(a: u128, b: u128) {
            let (a, b) = (UserId::from(Uuid::from_u128(a)), UserId::from(Uuid::from_u128(b)));
            prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
        }
    }

    #[test]
    fn an_id_of_another_kind_is_refused() {
        let token = TokenId::from(Uuid::from_u128(7)).to_string();
        assert!(token.parse::<TokenId>().is_ok());
        assert_eq!(token.parse::<UserId>(), Err(ParseIdError));
        assert_eq!(format!("{token}0").parse::<TokenId>(), Err(ParseIdError));
        assert_eq!(
            format!("tok_{}", "z".repeat(22)).parse::<TokenId>(),
            Err(ParseIdError)
        );
    }

    #[test]
    fn tenant_ids() {
        for good in ["abc", "a-1", "odysseus", "authority"] {
            assert!(good.parse::<TenantId>().is_ok(), "{good}");
        }
        let long = "a".repeat(64);
        for bad in [
            "",
            "ab",
            "-ab",
            "1ab",
            "ab-",
            "aBc",
            "a_b",
            "a b",
            long.as_str(),
        ] {
            assert!(bad.parse::<TenantId>().is_err(), "{bad}");
        }
        for reserved in ["active", "authority", "authority-2"] {
            assert!(
                reserved.parse::<TenantId>().unwrap().is_reserved(),
                "{reserved}"
            );
        }
    }
}
