//! Sessions: who vouches for one, and why one is refused.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::ids::TenantId;
use super::refusal::refusals;

/// The bytes of a trust's name, at most.
const NAME_BYTES: usize = 63;

/// The name of an installation-wide trust: `[a-z][a-z0-9-]*`, at most 63 bytes. Users
/// are known by it, so it is never given to another provider.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TrustName(String);

/// The text is no name of a trust.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a trust's name has 1 to 63 of a-z, 0-9 and -, and begins with a letter")]
pub struct ParseTrustNameError;

impl TrustName {
    /// Returns the name's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TrustName {
    type Err = ParseTrustNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let good = text.len() <= NAME_BYTES
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && text
                .bytes()
                .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        good.then(|| Self(text.to_owned()))
            .ok_or(ParseTrustNameError)
    }
}

impl TryFrom<String> for TrustName {
    type Error = ParseTrustNameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<TrustName> for String {
    fn from(name: TrustName) -> Self {
        name.0
    }
}

/// Whose trust verified a session, and so who vouches for its user.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Voucher {
    /// A tenant's own trust: the session acts in that tenant alone.
    Tenant(TenantId),
    /// An installation-wide trust: it acts wherever its user is a member.
    Installation(TrustName),
}

impl fmt::Display for Voucher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tenant(tenant_id) => write!(f, "tenant/{}", tenant_id.as_str()),
            Self::Installation(name) => write!(f, "installation/{}", name.as_str()),
        }
    }
}

refusals! {
    /// Why a session is refused: for the log and a counter. Its caller is told that it
    /// is not authenticated, and no more.
    pub enum Refusal {
        /// It has more bytes than a session may have.
        TooLong = "too_long",
        /// It is no signed JWT in the compact form.
        Malformed = "malformed",
        /// It is encrypted, or another JWT stands in it.
        Nested = "nested",
        /// Its algorithm is none that is accepted, or not its key's.
        Algorithm = "algorithm",
        /// Its header says that something must be understood.
        Critical = "critical",
        /// Its header says that it is another kind of JWT.
        HeaderType = "header_type",
        /// Its header names no key.
        NoKeyId = "no_key_id",
        /// No trust has its issuer and audience.
        NoTrust = "no_trust",
        /// The issuer has no such key, or did not say so in time.
        UnknownKey = "unknown_key",
        /// The issuer's keys can't be had.
        KeysUnavailable = "keys_unavailable",
        /// Its key did not sign it.
        Signature = "signature",
        /// It has no end, or is past it.
        Expired = "expired",
        /// It is not good yet.
        NotYetValid = "not_yet_valid",
        /// It lacks a claim that the trust requires.
        RequiredClaim = "required_claim",
        /// Nothing says that it is an access token.
        NotAccessToken = "not_access_token",
        /// It names no user, or not as a user may be called.
        Subject = "subject",
        /// Several trusts vouch for it, and the call does not say which is meant.
        Ambiguous = "ambiguous",
        /// The trust of another tenant than the named one vouches for it.
        OtherTenant = "other_tenant",
        /// Nobody is known by it, and nobody is to be.
        UnknownUser = "unknown_user",
        /// Its user is deleted.
        UserDeleted = "user_deleted",
        /// Its user is suspended.
        UserSuspended = "user_suspended",
        /// Its user is no member of the tenant whose trust vouches for it.
        NotMember = "not_member",
        /// The tenant is suspended.
        TenantSuspended = "tenant_suspended",
        /// The trust was changed while the call was on its way.
        TrustChanged = "trust_changed",
    }
}
