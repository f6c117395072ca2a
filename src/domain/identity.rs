//! Service identities: which client certificates are whose, and what who presents one may
//! do. They are configured, so nobody makes one by a call.

mod names;

pub use self::names::{
    DnsName, IdentityName, ParseDnsNameError, ParseIdentityNameError, ParseSpiffeIdError, SpiffeId,
};

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::ids::TenantId;
use super::peer::Peer;
use super::refusal::refusals;
use super::scope::{Permission, ScopeSet};

/// What a SPIFFE ID begins with.
pub const SPIFFE: &str = "spiffe://";

/// Which certificates are an identity's: those that have this name among theirs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// A SPIFFE ID.
    SpiffeId(SpiffeId),
    /// A DNS name.
    DnsName(DnsName),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SpiffeId(id) => id.as_str(),
            Self::DnsName(name) => name.as_str(),
        })
    }
}

/// A service identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// What it is called, in the audit log and in the log.
    pub name: IdentityName,
    /// Which certificates are its.
    pub source: Source,
    /// The tenant that it acts in.
    pub tenant_id: TenantId,
    /// What it may do there.
    pub scopes: ScopeSet,
}

impl Identity {
    /// Returns by what it is known when it asks again: never what a token or a user is
    /// known by, whose ids are of another version.
    pub fn key(&self) -> Uuid {
        let mut hasher = Sha256::new();
        // A tenant's id has no such byte, so no two run into each other.
        for part in ["identity", self.tenant_id.as_str(), self.name.as_str()] {
            hasher.update(part);
            hasher.update([0]);
        }
        let hash: [u8; 32] = hasher.finalize().into();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(hash.split_at(16).0);
        uuid::Builder::from_custom_bytes(bytes).into_uuid()
    }
}

/// Why a permission is none that an identity may be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// What a certificate can do nobody revokes in a call.
    #[error("is never a certificate's: an operator is a token, which can be revoked")]
    Operator,
    /// It is for one's own tokens.
    #[error(
        "is for the tokens of one's own user, and an identity has none; authority:tenant.admin is for a tenant's"
    )]
    OwnTokens,
    /// The reserved tenant is the operators'.
    #[error("is nobody's in the tenant authority, which the operator alone manages")]
    Reserved,
}

/// Returns whether an identity may be given a permission; `reserved` is one that acts in the
/// reserved tenant.
pub fn may_hold(permission: Permission, reserved: bool) -> Result<(), Unfit> {
    match permission {
        Permission::TokensRead | Permission::TokensWrite => Err(Unfit::OwnTokens),
        Permission::TenantAdmin if reserved => Err(Unfit::Reserved),
        Permission::Introspect | Permission::TenantAdmin => Ok(()),
        Permission::Operator => Err(Unfit::Operator),
    }
}

refusals! {
    /// Why who presents a certificate, and no bearer, is refused: for the log and a
    /// counter. The caller is told that it is not authenticated, and no more.
    pub enum Refusal {
        /// None of the certificate's names is an identity's.
        Unknown = "unknown_certificate",
        /// The certificate's names are of several identities, or one is a SPIFFE ID and another
        /// a URI beside it, which no such certificate has.
        Ambiguous = "ambiguous_certificate",
        /// The certificate has expired since its connection was opened.
        Expired = "expired_certificate",
        /// The identity's tenant is suspended.
        TenantSuspended = "identity_tenant_suspended",
        /// There is no such tenant as the identity's.
        NoTenant = "identity_without_tenant",
    }
}

/// All identities, by the names of their certificates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identities {
    by_name: BTreeMap<IdentityName, Arc<Identity>>,
    by_source: HashMap<Source, IdentityName>,
}

impl Identities {
    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// Returns each, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Identity>> {
        self.by_name.values()
    }

    /// Returns whose certificate it is that has these names. Of several it is nobody's:
    /// which is meant is not guessed.
    pub fn of(&self, peer: &Peer) -> Result<&Arc<Identity>, Refusal> {
        // X509-SVID, 2: who validates one with more than one URI must refuse it.
        if peer.uris.len() > 1 && peer.uris.iter().any(|uri| uri.starts_with(SPIFFE)) {
            return Err(Refusal::Ambiguous);
        }
        let uris = peer.uris.iter();
        let ids = uris.filter_map(|uri| uri.parse().ok().map(Source::SpiffeId));
        let dns = peer.dns.iter();
        // Case is nothing in DNS.
        let names = dns.filter_map(|name| name.to_ascii_lowercase().parse().ok());
        let mut found: Option<&IdentityName> = None;
        for source in ids.chain(names.map(Source::DnsName)) {
            match (self.by_source.get(&source), found) {
                (Some(one), Some(other)) if one != other => return Err(Refusal::Ambiguous),
                (Some(one), _) => found = Some(one),
                (None, _) => {}
            }
        }
        let found = found.and_then(|name| self.by_name.get(name));
        found.ok_or(Refusal::Unknown)
    }
}

impl FromIterator<Identity> for Identities {
    /// Takes identities in, of which no two have a name or a source in common.
    fn from_iter<I: IntoIterator<Item = Identity>>(identities: I) -> Self {
        let mut all = Self::default();
        for identity in identities {
            all.by_source
                .insert(identity.source.clone(), identity.name.clone());
            all.by_name
                .insert(identity.name.clone(), Arc::new(identity));
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Timestamp;

    fn identity(name: &str, source: Source) -> Identity {
        Identity {
            name: name.parse().unwrap(),
            source,
            tenant_id: "acme".parse().unwrap(),
            scopes: [Permission::Introspect.scope()].into_iter().collect(),
        }
    }

    fn identities() -> Identities {
        let id = |text: &str| Source::SpiffeId(text.parse().unwrap());
        let dns = |text: &str| Source::DnsName(text.parse().unwrap());
        [
            identity("chat", id("spiffe://prod.acme/ns/chat/sa/chat")),
            identity("mail", dns("mail.acme.svc")),
        ]
        .into_iter()
        .collect()
    }

    fn peer(uris: &[&str], dns: &[&str]) -> Peer {
        let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        Peer {
            uris: owned(uris),
            dns: owned(dns),
            expires_at: Timestamp::MAX,
        }
    }

    const CHAT: &str = "spiffe://prod.acme/ns/chat/sa/chat";

    #[test]
    fn a_certificate_is_the_identitys_whose_name_it_has() {
        let identities = identities();
        for (uris, dns, expected) in [
            (&[CHAT][..], &[][..], Ok("chat")),
            (&[CHAT], &["chat.acme.svc"], Ok("chat")),
            (&[], &["mail.acme.svc"], Ok("mail")),
            (&[], &["Mail.Acme.svc", "mail"], Ok("mail")),
            (&["https://mail"], &["mail.acme.svc"], Ok("mail")),
            // The same name twice is one.
            (&[], &["mail.acme.svc", "MAIL.acme.svc"], Ok("mail")),
            (&[], &[], Err(Refusal::Unknown)),
            (
                &[],
                &["*.acme.svc", "mail.acme.svc."],
                Err(Refusal::Unknown),
            ),
            (&["spiffe://prod.acme/ns/chat"], &[], Err(Refusal::Unknown)),
            (
                &["spiffe://prod.acme/ns/chat/sa/chat/"],
                &[],
                Err(Refusal::Unknown),
            ),
            (
                &["spiffe://prod.acme/ns/chat/sa/CHAT"],
                &[],
                Err(Refusal::Unknown),
            ),
            (
                &["SPIFFE://prod.acme/ns/chat/sa/chat"],
                &[],
                Err(Refusal::Unknown),
            ),
            // A DNS name is no URI, and a URI is no DNS name.
            (&["mail.acme.svc"], &[CHAT], Err(Refusal::Unknown)),
            // No guessing.
            (&[CHAT], &["mail.acme.svc"], Err(Refusal::Ambiguous)),
            (
                &[CHAT, "spiffe://prod.acme/other"],
                &[],
                Err(Refusal::Ambiguous),
            ),
            (&[CHAT, "https://chat"], &[], Err(Refusal::Ambiguous)),
        ] {
            let of = identities.of(&peer(uris, dns));
            let of = of.map(|identity| identity.name.as_str());
            assert_eq!(of, expected, "{uris:?} {dns:?}");
        }
        assert_eq!(
            Identities::default().of(&peer(&[CHAT], &[])),
            Err(Refusal::Unknown)
        );
    }

    #[test]
    fn an_identity_is_known_by_its_name_and_tenant_and_as_no_token_is() {
        let source = || Source::DnsName("mail".parse().unwrap());
        let one = identity("mail", source());
        let elsewhere = Identity {
            tenant_id: "other".parse().unwrap(),
            ..one.clone()
        };
        assert_eq!(one.key(), identity("mail", source()).key());
        assert_ne!(one.key(), identity("mail-2", source()).key());
        assert_ne!(one.key(), elsewhere.key());
        // Tokens and users have version 7.
        assert_eq!(one.key().get_version_num(), 8);
    }

    #[test]
    fn what_can_not_be_taken_back_in_a_call_is_never_a_certificates() {
        let table = Permission::ALL.map(|permission| {
            let of = |reserved| may_hold(permission, reserved).err();
            (permission.as_str(), of(false), of(true))
        });
        let (own, operator) = (Some(Unfit::OwnTokens), Some(Unfit::Operator));
        assert_eq!(
            table,
            [
                ("authority:introspect", None, None),
                ("authority:tokens.read", own, own),
                ("authority:tokens.write", own, own),
                ("authority:tenant.admin", None, Some(Unfit::Reserved)),
                ("authority:operator", operator, operator),
            ]
        );
    }
}
