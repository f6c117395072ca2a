//! Service identities as callers: by their connections' certificates, where a call gives no
//! other credential.

use std::collections::HashMap;
use std::sync::Arc;

use super::counters::Unauthenticated;
use super::{Authority, Caller, Error};
use crate::coherence::Standing;
use crate::domain::identity::{Identities, Refusal};
use crate::domain::ids::TenantId;
use crate::domain::peer::Peer;
use crate::domain::principal::Tenant;
use crate::domain::time::Timestamp;
use crate::store::{self, Tx};

/// Which identities there are, and what is remembered of the tenants that they act in.
#[derive(Debug, Default)]
pub(super) struct Registry {
    identities: Identities,
    standings: HashMap<TenantId, Arc<Standing>>,
}

/// What a connection's certificate is worth, where a call gives no other credential: made
/// once for each connection, so that its core alone counts who holds the caller.
#[derive(Clone, Debug)]
pub struct Certified(Result<Known, Refusal>);

/// A certificate that is an identity's.
#[derive(Clone, Debug)]
struct Known {
    caller: Arc<Caller>,
    standing: Arc<Standing>,
    expires_at: Timestamp,
}

impl From<Refusal> for Certified {
    /// Returns what is said of a certificate that is refused.
    fn from(refusal: Refusal) -> Self {
        Self(Err(refusal))
    }
}

impl Authority {
    /// Takes certificates for these identities.
    #[must_use]
    pub fn identifying(mut self, identities: Identities) -> Self {
        let tenants = identities.iter().map(|identity| identity.tenant_id.clone());
        self.registry = Registry {
            standings: tenants.map(|id| (id, Arc::default())).collect(),
            identities,
        };
        self
    }

    /// Returns what the certificate of a connection is worth. Whether it has expired since
    /// and whether its tenant stands is judged by each call.
    pub fn certify(&self, peer: &Peer) -> Certified {
        match self.registry.identities.of(peer) {
            Ok(identity) => Certified(Ok(Known {
                caller: Arc::new(Caller::of_identity(identity)),
                standing: self.standing_of(&identity.tenant_id),
                expires_at: peer.expires_at,
            })),
            Err(refusal) => refusal.into(),
        }
    }

    fn standing_of(&self, tenant_id: &TenantId) -> Arc<Standing> {
        let standing = self.registry.standings.get(tenant_id);
        standing.map(Arc::clone).unwrap_or_default()
    }

    /// Returns whose certificate it is; [`Error::IdentityRefused`] when it is nobody's who
    /// may act now.
    pub async fn identify(&self, certified: &Certified) -> Result<Arc<Caller>, Error> {
        let known = certified.0.as_ref();
        let known = known.map_err(|refusal| self.unidentified(*refusal))?;
        if self.has_expired(known) {
            return Err(self.unidentified(Refusal::Expired));
        }
        let tenant_id = &known.caller.tenant_id;
        let read = async {
            let tenant = self.store.snapshot().await?.find_tenant(tenant_id).await?;
            Ok::<_, store::Error>(tenant.as_ref().map(stands))
        };
        let stands = self.coherence.ask_standing(&known.standing, read).await?;
        let refusal = refusal(stands);
        refusal.map_or_else(
            || Ok(Arc::clone(&known.caller)),
            |refusal| Err(self.unidentified(refusal)),
        )
    }

    /// A connection may outlast the certificate that it was opened with.
    fn has_expired(&self, known: &Known) -> bool {
        known.expires_at < self.clock.now()
    }

    /// As [`identify`](Self::identify), if memory knows that the tenant stands. Else nothing
    /// was counted.
    pub fn identify_at_once(&self, certified: &Certified) -> Option<Arc<Caller>> {
        let known = certified.0.as_ref().ok()?;
        let stands = self.coherence.stands(&known.standing)?;
        let may_act = stands && !self.has_expired(known);
        may_act.then(|| Arc::clone(&known.caller))
    }

    /// Judges an identity again, in a transaction that has locked its tenant.
    pub(super) async fn identify_again(
        &self,
        tx: &mut Tx,
        caller: &Caller,
    ) -> Result<Caller, Error> {
        let tenant = tx.find_tenant(&caller.tenant_id).await?;
        match refusal(tenant.as_ref().map(stands)) {
            None => Ok(caller.clone()),
            Some(refusal) => Err(self.unidentified(refusal)),
        }
    }

    /// Returns the refusal of a certificate, which is counted.
    fn unidentified(&self, refusal: Refusal) -> Error {
        let reason = Unauthenticated::Identity(refusal);
        self.counters.unauthenticated.tick(reason);
        Error::IdentityRefused(refusal)
    }
}

/// Returns whether who belongs to a tenant may act.
fn stands(tenant: &Tenant) -> bool {
    tenant.suspended_at.is_none()
}

/// Returns why an identity is refused whose tenant stands so, if it is.
fn refusal(stands: Option<bool>) -> Option<Refusal> {
    match stands {
        Some(true) => None,
        Some(false) => Some(Refusal::TenantSuspended),
        None => Some(Refusal::NoTenant),
    }
}
