//! Sessions: JWTs of OIDC providers that the operator or a tenant trusts, as the second
//! kind of credential beside tokens.
//!
//! A credential is verified before the call's message is read; who it is in the tenant
//! that the message names is settled after that. See
//! `docs/decisions/0014-a-session-is-settled-where-the-tenant-is-known.md`.

mod keys;
mod provision;
mod rules;
mod settle;

pub use keys::{FetchError, FetchKeys, Fetching, KeySource};
pub use settle::Named;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use self::keys::Keys;
use super::counters::Unauthenticated;
use super::{Authority, Caller, Error};
use crate::domain::bounds;
use crate::domain::jwk::KeySet;
use crate::domain::jwt::{self, Jwt};
use crate::domain::principal::Role;
use crate::domain::session::{Refusal, TrustName, Voucher};
use crate::domain::trust::{Identity, Rules, TenantKeys, TenantTrust};
use crate::domain::value::presented;

/// A trust that holds in the whole installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstallationTrust {
    /// What is required of a JWT.
    pub rules: Rules,
    /// Where the issuer's keys come from.
    pub keys: KeySource,
}

/// The installation-wide trusts, by their names.
pub type InstallationTrusts = BTreeMap<TrustName, InstallationTrust>;

/// Whom the installation trusts, and the keys of all issuers.
#[derive(Debug)]
pub(super) struct Trusts {
    installation: InstallationTrusts,
    keys: Keys,
}

impl Trusts {
    /// Returns what trusts nobody yet.
    pub(super) fn none() -> Self {
        Self {
            installation: BTreeMap::new(),
            keys: Keys::new(Arc::new(Nowhere)),
        }
    }

    /// Returns whether there is an installation-wide trust of this name.
    pub(super) fn has(&self, name: &TrustName) -> bool {
        self.installation.contains_key(name)
    }

    /// Returns whether an installation-wide trust has this issuer and audience.
    pub(super) fn holds_for(&self, rules: &Rules) -> bool {
        self.installation.values().any(|trust| {
            trust.rules.issuer == rules.issuer && trust.rules.audience == rules.audience
        })
    }
}

/// Fetches nothing.
#[derive(Debug)]
struct Nowhere;

impl FetchKeys for Nowhere {
    fn fetch(&self, _source: &KeySource) -> Fetching {
        Box::pin(async { Err(FetchError::from("nothing is fetched")) })
    }
}

/// A credential that is verified.
#[derive(Clone, Debug)]
pub enum Credential {
    /// A token: who calls is known.
    Token(Caller),
    /// A session: who calls is known where the tenant is.
    Session(Session),
}

/// A session that is verified, by each trust that vouches for it.
#[derive(Clone)]
pub struct Session {
    vouched: Vec<Vouched>,
}

/// Says of whom a trust vouches.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Vouched {
    /// Whose trust it is.
    pub(super) voucher: Voucher,
    /// Who the session is of.
    pub(super) identity: Identity,
    /// The tenant's trust, as it was when it verified the session.
    pub(super) trust: Option<TenantTrust>,
    /// What the user becomes that the tenant's trust sees first.
    first_role: Option<Role>,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.vouched.iter().map(|vouched| &vouched.voucher))
            .finish()
    }
}

impl fmt::Debug for Vouched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.voucher, f)
    }
}

/// A trust that may vouch for a session.
struct Candidate {
    voucher: Voucher,
    rules: Rules,
    keys: CandidateKeys,
    trust: Option<TenantTrust>,
}

enum CandidateKeys {
    Source(KeySource),
    Inline(String),
}

impl Authority {
    /// Trusts these providers, whose keys are fetched like this.
    #[must_use]
    pub fn trusting(mut self, trusts: InstallationTrusts, fetcher: Arc<dyn FetchKeys>) -> Self {
        self.trusts = Trusts {
            installation: trusts,
            keys: Keys::new(fetcher),
        };
        self
    }

    /// Verifies a credential: a token, or a session.
    pub async fn admit(self: &Arc<Self>, credential: Option<&str>) -> Result<Credential, Error> {
        let credential = credential.map(presented);
        match credential.filter(|credential| jwt::looks_like(credential)) {
            Some(session) => {
                let session = self.verify_session(session).await;
                session.map(Credential::Session)
            }
            None => self.authenticate(credential).await.map(Credential::Token),
        }
    }

    /// Returns the refusal of a session, which is counted.
    pub(super) fn refused(&self, refusal: Refusal) -> Error {
        self.counters.unauthenticated.tick(Unauthenticated::Session);
        self.counters.sessions_refused.tick(refusal);
        Error::SessionRefused(refusal)
    }

    /// Verifies a JWT by each trust of its issuer and audience.
    async fn verify_session(&self, text: &str) -> Result<Session, Error> {
        let jwt = Jwt::parse(text).map_err(|refusal| self.refused(refusal))?;
        let candidates = self.candidates(&jwt).await?;
        let mut vouched = Vec::new();
        let mut refusal = Refusal::NoTrust;
        // Several tenants may trust one issuer: its signature is verified once.
        let mut verified: HashMap<KeySource, Result<(), Refusal>> = HashMap::new();
        for candidate in candidates {
            let signed = match &candidate.keys {
                CandidateKeys::Inline(text) => KeySet::parse(text.as_bytes())
                    .map_err(|_| Refusal::KeysUnavailable)
                    .and_then(|keys| keys.verify(&jwt)),
                CandidateKeys::Source(source) => {
                    if let Some(signed) = verified.get(source) {
                        *signed
                    } else {
                        let now = self.clock.now();
                        let signed = self.trusts.keys.verify(source, &jwt, now).await;
                        verified.insert(source.clone(), signed);
                        signed
                    }
                }
            };
            // Not before: keys may have been waited for.
            let judged = signed.and_then(|()| candidate.rules.judge(&jwt, self.clock.now()));
            match judged {
                Ok(identity) => {
                    let trust = candidate.trust;
                    let first_role = trust
                        .as_ref()
                        .and_then(|trust| trust.first_role(&jwt.claims));
                    vouched.push(Vouched {
                        voucher: candidate.voucher,
                        identity,
                        trust,
                        first_role,
                    });
                }
                Err(why) => refusal = why,
            }
        }
        if vouched.is_empty() {
            return Err(self.refused(refusal));
        }
        Ok(Session { vouched })
    }

    /// Returns the trusts that have a JWT's issuer and audience.
    async fn candidates(&self, jwt: &Jwt) -> Result<Vec<Candidate>, Error> {
        let installation = self.trusts.installation.iter();
        let mut candidates: Vec<Candidate> = installation
            .map(|(name, trust)| Candidate {
                voucher: Voucher::Installation(name.clone()),
                rules: trust.rules.clone(),
                keys: CandidateKeys::Source(trust.keys.clone()),
                trust: None,
            })
            .collect();
        let issuer = jwt.claims.text("iss").unwrap_or_default();
        if !issuer.is_empty() && issuer.len() <= 4 * bounds::EXTERNAL_ID_CHARS {
            let mut tx = self.store.snapshot().await?;
            let tenants = tx
                .list_tenants_by_issuer(issuer, bounds::TENANTS_OF_ISSUER)
                .await?;
            for tenant in tenants {
                let Some(trust) = tenant.sessions.own else {
                    continue;
                };
                candidates.push(Candidate {
                    voucher: Voucher::Tenant(tenant.tenant_id),
                    rules: trust.rules.clone(),
                    keys: match &trust.keys {
                        TenantKeys::Url(url) => CandidateKeys::Source(KeySource::Url {
                            url: url.clone(),
                            of_tenant: true,
                        }),
                        TenantKeys::Inline(text) => CandidateKeys::Inline(text.clone()),
                    },
                    trust: Some(trust),
                });
            }
        }
        candidates.retain(|candidate| candidate.rules.applies_to(&jwt.claims));
        Ok(candidates)
    }
}
