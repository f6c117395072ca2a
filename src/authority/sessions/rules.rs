//! What a tenant may say of whose sessions it takes.

use crate::authority::{Authority, Error};
use crate::domain::bounds;
use crate::domain::reason::{Field, Violations};
use crate::domain::trust::{Sessions, TenantTrust};
use crate::store::Tx;

/// The path of a tenant's trust in a request.
const OIDC_TRUST: &str = "policy.oidc_trust";
/// The path of the trusts that a tenant admits.
const ADMITTED_TRUSTS: &str = "policy.admitted_trusts";

impl Authority {
    /// Notes what is wrong with what a tenant says anew.
    pub(in crate::authority) async fn check_sessions(
        &self,
        tx: &mut Tx,
        present: &Sessions,
        wanted: &Sessions,
        violations: &mut Violations,
    ) -> Result<(), Error> {
        if wanted.admits != present.admits {
            for (at, name) in wanted.admits.iter().enumerate() {
                // One that the configuration has lost meanwhile may stay.
                if !self.trusts.has(name) && !present.admits.contains(name) {
                    violations.add(format!("{ADMITTED_TRUSTS}[{at}]"), Field::UnknownTrust);
                }
            }
        }
        match &wanted.own {
            Some(own) if wanted.own != present.own => {
                own.check(OIDC_TRUST, violations);
                self.check_issuer(tx, present.own.as_ref(), own, violations)
                    .await
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Notes an issuer that is the installation's, or that too many tenants have: by it the
    /// trusts are found that may vouch for a session.
    async fn check_issuer(
        &self,
        tx: &mut Tx,
        present: Option<&TenantTrust>,
        wanted: &TenantTrust,
        violations: &mut Violations,
    ) -> Result<(), Error> {
        let field = format!("{OIDC_TRUST}.issuer");
        if self.trusts.holds_for(&wanted.rules) {
            violations.add(field, Field::TrustTaken);
            return Ok(());
        }
        let issuer = &wanted.rules.issuer;
        if present.is_some_and(|present| present.rules.issuer == *issuer) {
            return Ok(());
        }
        let most = bounds::TENANTS_OF_ISSUER;
        let others = tx.list_tenants_by_issuer(issuer, most).await?;
        if u32::try_from(others.len()).is_ok_and(|others| others >= most) {
            violations.add(field, Field::TooMany);
        }
        Ok(())
    }
}
