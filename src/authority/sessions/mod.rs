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

use tokio::task::JoinSet;
use tracing::Instrument as _;

use self::keys::Keys;
use super::counters::Unauthenticated;
use super::{Authority, Caller, Error};
use crate::domain::bounds;
use crate::domain::foreign::AnyValue;
use crate::domain::ids::TenantId;
use crate::domain::jwk::KeySet;
use crate::domain::jwt::{self, Jwt};
use crate::domain::principal::Role;
use crate::domain::session::{Refusal, TrustName, Voucher};
use crate::domain::text;
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
    /// A token, or an identity's certificate: who calls is known.
    Known(Arc<Caller>),
    /// A session: who calls is known where the tenant is.
    Session(Session),
}

/// A session that is verified, by each trust that vouches for it.
#[derive(Clone)]
pub struct Session {
    jwt: Arc<Jwt>,
    vouched: Vec<Vouched>,
    /// Those of tenants whose keys nobody waited for: a call that names such a tenant does.
    waiting: Vec<Arc<Candidate>>,
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

impl Candidate {
    fn is_of_tenant(&self) -> bool {
        matches!(self.voucher, Voucher::Tenant(_))
    }
}

/// Where the keys of a trust are.
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
        // What may be a token's value is one: those of other systems may look like anything.
        let is_session = |text: &&str| jwt::looks_like(text) && text.parse::<AnyValue>().is_err();
        match credential.map(presented).filter(is_session) {
            Some(session) => {
                let session = self.verify_session(session).await;
                session.map(Credential::Session)
            }
            None => self.authenticate(credential).await.map(Credential::Known),
        }
    }

    /// Returns the refusal of a session, which is counted.
    pub(super) fn refused(&self, refusal: Refusal) -> Error {
        self.counters.unauthenticated.tick(Unauthenticated::Session);
        self.counters.sessions_refused.tick(refusal);
        Error::SessionRefused(refusal)
    }

    /// Verifies a JWT by each trust of its issuer and audience. Nobody waits for the keys
    /// of a tenant's provider while somebody else vouches: they may never come.
    async fn verify_session(self: &Arc<Self>, text: &str) -> Result<Session, Error> {
        let jwt = Jwt::parse(text).map_err(|refusal| self.refused(refusal))?;
        let jwt = Arc::new(jwt);
        let mut session = Session {
            jwt: Arc::clone(&jwt),
            vouched: Vec::new(),
            waiting: Vec::new(),
        };
        let mut refusal = Refusal::NoTrust;
        // Several tenants may trust one issuer: its signature is verified once.
        let mut verified: HashMap<KeySource, Result<(), Refusal>> = HashMap::new();
        for candidate in self.candidates(&jwt).await? {
            let now = self.clock.now();
            if candidate.is_of_tenant() && !self.trusts.keys.suffice(&candidate.keys, &jwt, now) {
                session.waiting.push(Arc::new(candidate));
                continue;
            }
            let signed = match &candidate.keys {
                CandidateKeys::Inline(_) => self.signed(&candidate, &jwt).await,
                CandidateKeys::Source(source) => {
                    if let Some(signed) = verified.get(source) {
                        *signed
                    } else {
                        let signed = self.signed(&candidate, &jwt).await;
                        verified.insert(source.clone(), signed);
                        signed
                    }
                }
            };
            match self.vouch(&candidate, &jwt, signed) {
                Ok(vouched) => session.vouched.push(vouched),
                Err(why) => refusal = why,
            }
        }
        if session.vouched.is_empty() {
            refusal = self.wait_for_one(&mut session).await.unwrap_or(refusal);
        }
        if session.vouched.is_empty() {
            return Err(self.refused(refusal));
        }
        Ok(session)
    }

    /// Asks for the keys of all that are waiting, at once, until one of them vouches.
    /// Returns why the last of them does not.
    async fn wait_for_one(self: &Arc<Self>, session: &mut Session) -> Option<Refusal> {
        let mut asked = JoinSet::new();
        for candidate in &session.waiting {
            let (authority, jwt) = (Arc::clone(self), Arc::clone(&session.jwt));
            let candidate = Arc::clone(candidate);
            let asking = async move {
                let signed = authority.signed(&candidate, &jwt).await;
                (authority.vouch(&candidate, &jwt, signed), candidate)
            };
            asked.spawn(asking.in_current_span());
        }
        let mut refusal = None;
        while let Some(answered) = asked.join_next().await {
            // A panic is told by its place.
            let Ok((judged, candidate)) = answered else {
                continue;
            };
            let waits = |other: &Arc<Candidate>| !Arc::ptr_eq(other, &candidate);
            session.waiting.retain(waits);
            match judged {
                Ok(vouched) => {
                    session.vouched.push(vouched);
                    break;
                }
                Err(why) => refusal = Some(why),
            }
        }
        refusal
    }

    /// Returns of whom a tenant's own trust vouches, where a call names the tenant and the
    /// keys of its provider were not waited for.
    async fn wait_for_named(&self, session: &Session, tenant_id: &TenantId) -> Option<Vouched> {
        let own = |candidate: &&Arc<Candidate>| matches!(&candidate.voucher, Voucher::Tenant(own) if own == tenant_id);
        let candidate = session.waiting.iter().find(own)?;
        let signed = self.signed(candidate, &session.jwt).await;
        self.vouch(candidate, &session.jwt, signed).ok()
    }

    /// Refuses a JWT that no key of a trust signed; the keys may be waited for.
    async fn signed(&self, candidate: &Candidate, jwt: &Jwt) -> Result<(), Refusal> {
        match &candidate.keys {
            CandidateKeys::Inline(text) => KeySet::parse(text.as_bytes())
                .map_err(|_| Refusal::KeysUnavailable)
                .and_then(|keys| keys.verify(jwt)),
            CandidateKeys::Source(source) => {
                let now = self.clock.now();
                self.trusts.keys.verify(source, jwt, now).await
            }
        }
    }

    /// Returns of whom a trust vouches, by a JWT that one of its keys signed.
    fn vouch(
        &self,
        candidate: &Candidate,
        jwt: &Jwt,
        signed: Result<(), Refusal>,
    ) -> Result<Vouched, Refusal> {
        signed?;
        // Not before: keys may have been waited for.
        let identity = candidate.rules.judge(jwt, self.clock.now())?;
        let trust = candidate.trust.clone();
        let first_role = trust
            .as_ref()
            .and_then(|trust| trust.first_role(&jwt.claims));
        Ok(Vouched {
            voucher: candidate.voucher.clone(),
            identity,
            trust,
            first_role,
        })
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
        // What can't be a trust's is not looked for: a database refuses some texts.
        if text::required_line(issuer, bounds::EXTERNAL_ID_CHARS).as_deref() == Ok(issuer) {
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
