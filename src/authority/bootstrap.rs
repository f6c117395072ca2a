//! The first token: the operator's, made once for an empty store.

use std::str::FromStr;
use std::time::Duration;

use super::{Authority, Error};
use crate::domain::audit::{Act, Origin, action};
use crate::domain::change::{Change, Version};
use crate::domain::entropy::{Entropy, EntropyError};
use crate::domain::ids::{TenantId, TokenId};
use crate::domain::policy::Policy;
use crate::domain::principal::Tenant;
use crate::domain::scope::{Permission, ScopeSet};
use crate::domain::text::Labels;
use crate::domain::time::Timestamp;
use crate::domain::token::{Kind, RevokeReason};
use crate::domain::trust::Sessions;
use crate::domain::value::{ParseTokenError, Prefix, TokenValue};
use crate::store::{NewSecret, NewToken, Tx};

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
        if self.is_founded().await? {
            return Ok(false);
        }
        self.found(OperatorValue::mint(&*self.entropy)?, deliver)
            .await
    }

    /// Makes the reserved tenant, and the operator's token of a value that somebody has
    /// already, if the store has none yet: who has looked first spares a hash. Returns
    /// whether it was made.
    pub async fn bootstrap_with(&self, value: OperatorValue) -> Result<bool, Error> {
        self.found(value, |_| Ok(())).await
    }

    /// Returns whether the store has had an operator.
    pub async fn is_founded(&self) -> Result<bool, Error> {
        let mut snapshot = self.store.snapshot().await?;
        let tenant = snapshot.find_tenant(&TenantId::authority()).await?;
        Ok(tenant.is_some())
    }

    /// Makes the reserved tenant and an operator's token of this value; of several
    /// processes that come here, one does.
    async fn found(
        &self,
        value: OperatorValue,
        deliver: impl FnOnce(&TokenValue) -> std::io::Result<()> + Send,
    ) -> Result<bool, Error> {
        let tenant_id = TenantId::authority();
        let now = self.clock.now();
        let made = self.operator_token(value, now).await?;
        let tenant = Tenant {
            tenant_id: tenant_id.clone(),
            display_name: String::from("Authority"),
            prefix: Prefix::authority(),
            policy: Policy::default(),
            sessions: Sessions::default(),
            version: Version(1),
            created_at: now,
            updated_at: now,
            suspended_at: None,
            deleted_at: None,
        };
        let mut tx = self.store.begin().await?;
        // Another process that inserts it at once waits here for the first.
        if !tx.insert_tenant(&tenant).await? {
            return Ok(false);
        }
        tx.insert_catalog(&tenant_id, now).await?;
        let changes = vec![Change::TenantChanged(tenant_id)];
        self.hand_out(tx, action::BOOTSTRAP, made, changes, deliver)
            .await?;
        Ok(true)
    }

    /// Makes an operator's token in place of those that were made like this, which
    /// are revoked: the way back in for who has the database but no token. On a
    /// store that has none yet, it is the first.
    pub async fn replace_operator(
        &self,
        deliver: impl FnOnce(&TokenValue) -> std::io::Result<()> + Send,
    ) -> Result<(), Error> {
        let tenant_id = TenantId::authority();
        let now = self.clock.now();
        let value = OperatorValue::mint(&*self.entropy)?;
        let made = self.operator_token(value, now).await?;
        let mut tx = self.store.begin().await?;
        if tx.lock_tenant(&tenant_id).await?.is_none() {
            drop(tx);
            return if self.bootstrap(deliver).await? {
                Ok(())
            } else {
                Err(Error::Unavailable(
                    "another process made the first token".into(),
                ))
            };
        }
        let mut changes = Vec::new();
        for token in tx.list_founding_tokens(&tenant_id).await? {
            tx.lock_token(token.token_id).await?;
            tx.mark_token_revoked(&token, RevokeReason::Superseded, "replaced", now)
                .await?;
            changes.push(Change::TokenChanged(tenant_id.clone(), token.token_id));
        }
        self.hand_out(tx, action::REPLACE_OPERATOR, made, changes, deliver)
            .await
    }

    /// Returns an operator's token to be, of this value.
    async fn operator_token(&self, value: OperatorValue, now: Timestamp) -> Result<Made, Error> {
        let OperatorValue(value) = value;
        let tenant_id = TenantId::authority();
        let secret_hash = self
            .hasher
            .hash(&tenant_id, value.secret().expose())
            .await?;
        let token = NewToken {
            token_id: TokenId::mint(now, &*self.entropy)?,
            tenant_id,
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
        let secret = self.new_secret(&value, secret_hash, now)?;
        Ok(Made {
            token,
            secret,
            value,
        })
    }

    /// Inserts an operator's token, delivers its value and commits.
    async fn hand_out(
        &self,
        mut tx: Tx,
        action: &'static str,
        made: Made,
        mut changes: Vec<Change>,
        deliver: impl FnOnce(&TokenValue) -> std::io::Result<()> + Send,
    ) -> Result<(), Error> {
        tx.insert_token(&made.token, &made.secret).await?;
        let act = Act::new(action, made.token.tenant_id.clone())
            .token(made.token.token_id)
            .with("hint", made.secret.hint);
        // Those that it takes the place of.
        let act = changes
            .iter()
            .filter_map(Change::token_id)
            .fold(act, |act, token_id| {
                act.with("revoked", token_id.to_string())
            });
        let now = made.token.created_at;
        tx.append_act(&act, &Origin::default(), now).await?;
        deliver(&made.value).map_err(|error| Error::Unavailable(Box::new(error)))?;
        changes.push(Change::TokenCreated(
            made.token.tenant_id,
            made.token.token_id,
        ));
        self.settled(tx.close(&changes, &[], now).await).await?;
        Ok(())
    }
}

/// The value of an operator's token, of the authority's own prefix.
#[derive(Debug)]
pub struct OperatorValue(TokenValue);

/// The text is no value of an operator's token. It says nothing of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseOperatorValueError {
    /// Not of the form of any value.
    #[error(transparent)]
    Value(#[from] ParseTokenError),
    /// Of the form, but not of the authority's own prefix.
    #[error("does not begin with ta_")]
    Prefix,
}

impl OperatorValue {
    /// Makes a new one.
    pub fn mint(entropy: &dyn Entropy) -> Result<Self, EntropyError> {
        TokenValue::mint(Prefix::authority(), entropy).map(Self)
    }

    /// Returns the value itself, for the file that it is taken from.
    pub fn expose(&self) -> String {
        self.0.expose()
    }
}

impl FromStr for OperatorValue {
    type Err = ParseOperatorValueError;

    /// Parses what a file holds: blanks around it are dropped.
    fn from_str(text: &str) -> Result<Self, ParseOperatorValueError> {
        let value: TokenValue = text.trim().parse()?;
        if *value.prefix() == Prefix::authority() {
            Ok(Self(value))
        } else {
            Err(ParseOperatorValueError::Prefix)
        }
    }
}

/// An operator's token that is not in the store yet.
struct Made {
    token: NewToken,
    secret: NewSecret,
    value: TokenValue,
}
