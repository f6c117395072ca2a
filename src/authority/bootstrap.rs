//! The first token: the operator's, made once for an empty store.

use std::time::Duration;

use super::{Authority, Error};
use crate::domain::change::{Change, Version};
use crate::domain::ids::{SecretId, TenantId, TokenId};
use crate::domain::policy::Policy;
use crate::domain::principal::Tenant;
use crate::domain::scope::{Permission, ScopeSet};
use crate::domain::text::Labels;
use crate::domain::token::Kind;
use crate::domain::value::{Prefix, TokenValue};
use crate::store::{NewSecret, NewToken};

/// How long the operator's token lives, unless its holder lets it live longer.
pub const OPERATOR_TTL: Duration = Duration::from_secs(24 * 60 * 60);

impl Authority {
    /// Makes the reserved tenant and the operator's token, if the store has none
    /// yet; of several processes on one store, one does. The value is handed to
    /// `deliver` before the commit, so that a crash loses no token that exists;
    /// where that fails, nothing is made. Returns whether it was made.
    pub async fn bootstrap(
        &self,
        deliver: impl FnOnce(&TokenValue) -> std::io::Result<()> + Send,
    ) -> Result<bool, Error> {
        let tenant_id = TenantId::authority();
        if self
            .store
            .snapshot()
            .await?
            .find_tenant(&tenant_id)
            .await?
            .is_some()
        {
            return Ok(false);
        }
        let now = self.clock.now();
        let value = TokenValue::mint(Prefix::authority(), &*self.entropy)?;
        let secret_hash = self
            .hasher
            .hash(&tenant_id, value.secret().expose())
            .await?;
        let key = self.keyring.current();
        let tenant = Tenant {
            tenant_id: tenant_id.clone(),
            display_name: String::from("Authority"),
            prefix: Prefix::authority(),
            policy: Policy::default(),
            version: Version(1),
            created_at: now,
            updated_at: now,
            suspended_at: None,
            deleted_at: None,
        };
        let token = NewToken {
            token_id: TokenId::mint(now, &*self.entropy)?,
            tenant_id: tenant_id.clone(),
            user_id: None,
            kind: Kind::Service,
            name: String::from("operator"),
            scopes: ScopeSet::from_iter([Permission::Operator.scope()]),
            profile: String::new(),
            agent_id: String::new(),
            labels: Labels::new(),
            created_by: None,
            created_at: now,
            expires_at: Some(now.saturating_add(OPERATOR_TTL)),
        };
        let secret = NewSecret {
            secret_id: SecretId::mint(now, &*self.entropy)?,
            lookup: value.lookup().clone(),
            hint: value.hint(),
            secret_hash,
            fingerprint: (key.id().clone(), key.fingerprint(value.secret())),
        };
        let mut tx = self.store.begin().await?;
        // Another process that inserts it at once waits here for the first.
        if !tx.insert_tenant(&tenant).await? {
            return Ok(false);
        }
        tx.insert_catalog(&tenant_id, now).await?;
        tx.insert_token(&token, &secret).await?;
        deliver(&value).map_err(|error| Error::Unavailable(Box::new(error)))?;
        let changes = [
            Change::TenantChanged(tenant_id.clone()),
            Change::TokenCreated(tenant_id, token.token_id),
        ];
        self.see(tx.close(&changes, &[], now).await?);
        Ok(true)
    }
}
