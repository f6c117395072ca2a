//! A token's row: the columns that each statement reads, whether it is revoked, and
//! what it decodes to.

use super::Error;
use super::row::{corrupt, optional_time, role, tenant_id, time};
use crate::domain::change::{ChangeNumber, Version};
use crate::domain::ids::TokenId;
use crate::domain::scope::ScopeSet;
use crate::domain::time::Timestamp;
use crate::domain::token::{Kind, Owner, PreviousValue, Revocation, RevokeReason, Token, Use};

const TABLE: &str = "tokens";

/// Whether the epoch `e` covers the token `t`.
macro_rules! covers {
    () => {
        "e.number > t.created_number
         AND (e.user_id = t.user_id OR (e.user_id IS NULL AND e.tenant_id = t.tenant_id))
         AND (e.tenant_id IS NULL OR e.tenant_id = t.tenant_id)
         AND (e.kind IS NULL OR e.kind = t.kind)"
    };
}

/// Whether the token `t` is revoked, by itself or by an epoch. Says the same as
/// [`covers`], by user and by tenant apart, so that each takes its index: else
/// `PostgreSQL` goes through all epochs for each token.
macro_rules! revoked {
    () => {
        "(t.revoked_at IS NOT NULL
          OR EXISTS (SELECT 1
                       FROM epochs e
                      WHERE e.user_id = t.user_id AND e.number > t.created_number
                        AND (e.tenant_id IS NULL OR e.tenant_id = t.tenant_id)
                        AND (e.kind IS NULL OR e.kind = t.kind))
          OR EXISTS (SELECT 1
                       FROM epochs e
                      WHERE e.user_id IS NULL AND e.tenant_id = t.tenant_id
                        AND e.number > t.created_number
                        AND (e.kind IS NULL OR e.kind = t.kind)))"
    };
}

/// The columns of a token, its owner and its earliest epoch, in each statement
/// that reads one; goes with [`token_joins`].
macro_rules! token_columns {
    () => {
        concat!(
            "t.token_id, t.tenant_id, t.user_id, t.kind, t.name, t.hint, t.scopes, t.profile,
             t.agent_id, t.labels, t.created_by, t.version, t.created_number, t.created_at,
             t.updated_at, t.expires_at, t.disabled_at, t.revoked_at, t.revoke_reason,
             t.revoke_text,
             u.external_id AS owner_external_id, u.suspended_at AS owner_suspended_at,
             u.deleted_at AS owner_deleted_at, m.role AS owner_role,
             (SELECT CAST(e.created_at AS TEXT) || ' ' || e.reason FROM epochs e WHERE ",
            $crate::store::token_row::covers!(),
            " ORDER BY e.number, e.position LIMIT 1) AS epoch"
        )
    };
}

/// The tables beside `tokens t` that [`token_columns`] reads.
macro_rules! token_joins {
    () => {
        " LEFT JOIN users u ON u.user_id = t.user_id
          LEFT JOIN memberships m ON m.tenant_id = t.tenant_id AND m.user_id = t.user_id
                                 AND m.removed_at IS NULL "
    };
}

/// The columns of a token's last use: for who manages tokens, not for who judges them.
/// Goes with [`use_joins`].
macro_rules! use_columns {
    () => {
        ", x.used_at, x.used_by, x.address AS used_address "
    };
}

/// The table beside `tokens t` that [`use_columns`] reads.
macro_rules! use_joins {
    () => {
        " LEFT JOIN token_uses x ON x.token_id = t.token_id "
    };
}

/// The columns of a token's rotation, for who manages it: no introspection waits for
/// them. The values before the current one, those that end last, are joined into one
/// text.
macro_rules! value_columns {
    () => {
        concat!(
            ", t.rotated_at,
           (SELECT string_agg(v.text, ',')
              FROM (SELECT CAST(s.ends_at AS TEXT) || ' ' || s.hint AS text
                      FROM secrets s
                     WHERE s.token_id = t.token_id AND s.ends_at IS NOT NULL
                     ORDER BY s.ends_at DESC
                     LIMIT 3) v) AS previous_values,
             (SELECT e.revoke_text FROM epochs e WHERE ",
            $crate::store::token_row::covers!(),
            " ORDER BY e.number, e.position LIMIT 1) AS epoch_text "
        )
    };
}

pub(super) use {
    covers, revoked, token_columns, token_joins, use_columns, use_joins, value_columns,
};

#[derive(sqlx::FromRow)]
pub(super) struct TokenRow {
    token_id: uuid::Uuid,
    tenant_id: String,
    user_id: Option<uuid::Uuid>,
    kind: String,
    name: String,
    hint: String,
    scopes: String,
    profile: String,
    agent_id: String,
    labels: String,
    created_by: Option<uuid::Uuid>,
    version: i64,
    created_number: i64,
    created_at: i64,
    updated_at: i64,
    expires_at: Option<i64>,
    disabled_at: Option<i64>,
    revoked_at: Option<i64>,
    revoke_reason: Option<String>,
    revoke_text: Option<String>,
    owner_external_id: Option<String>,
    owner_suspended_at: Option<i64>,
    owner_deleted_at: Option<i64>,
    owner_role: Option<String>,
    epoch: Option<String>,
    #[sqlx(default)]
    epoch_text: Option<String>,
    #[sqlx(default)]
    rotated_at: Option<i64>,
    #[sqlx(default)]
    previous_values: Option<String>,
    #[sqlx(default)]
    used_at: Option<i64>,
    #[sqlx(default)]
    used_by: Option<uuid::Uuid>,
    #[sqlx(default)]
    used_address: Option<String>,
}

impl TokenRow {
    fn owner(&self) -> Result<Option<Owner>, Error> {
        let Some(user_id) = self.user_id else {
            return Ok(None);
        };
        let external_id = self
            .owner_external_id
            .clone()
            .ok_or_else(|| corrupt(TABLE, "user_id"))?;
        let role = self
            .owner_role
            .as_deref()
            .map(|text| role("memberships", "role", text));
        Ok(Some(Owner {
            user_id: user_id.into(),
            external_id,
            role: role.transpose()?,
            suspended: self.owner_suspended_at.is_some(),
            deleted: self.owner_deleted_at.is_some(),
        }))
    }

    fn revocation(&self) -> Result<Option<Revocation>, Error> {
        let (at, reason, text) = match (self.revoked_at, self.epoch.as_deref()) {
            (Some(at), _) => (at, self.revoke_reason.as_deref(), &self.revoke_text),
            (None, Some(epoch)) => {
                let parts = epoch.split_once(' ');
                let parts = parts.and_then(|(at, reason)| Some((at.parse().ok()?, reason)));
                let (at, reason) = parts.ok_or_else(|| corrupt("epochs", "created_at"))?;
                (at, Some(reason), &self.epoch_text)
            }
            (None, None) => return Ok(None),
        };
        let at = time(TABLE, "revoked_at", at)?;
        let text = text.clone().unwrap_or_default();
        let reason = reason.and_then(RevokeReason::from_stored);
        let reason = reason.ok_or_else(|| corrupt(TABLE, "revoke_reason"))?;
        Ok(Some(Revocation { at, reason, text }))
    }

    fn last_use(&self) -> Result<Option<Use>, Error> {
        let Some(at) = optional_time("token_uses", "used_at", self.used_at)? else {
            return Ok(None);
        };
        let address = self.used_address.as_deref().map(str::parse).transpose();
        Ok(Some(Use {
            at,
            by: self.used_by.map(TokenId::from),
            address: address.map_err(|_| corrupt("token_uses", "address"))?,
        }))
    }

    fn previous(&self) -> Result<Vec<PreviousValue>, Error> {
        let joined = self.previous_values.as_deref().unwrap_or_default();
        let mut values = Vec::new();
        for text in joined.split(',').filter(|text| !text.is_empty()) {
            let value = text.split_once(' ').and_then(|(ends_at, hint)| {
                Some(PreviousValue {
                    hint: hint.to_owned(),
                    ends_at: Timestamp::from_millis(ends_at.parse().ok()?)?,
                })
            });
            values.push(value.ok_or_else(|| corrupt("secrets", "ends_at"))?);
        }
        // In what order they are joined, neither database says.
        values.sort_by(|a, b| (b.ends_at, &b.hint).cmp(&(a.ends_at, &a.hint)));
        Ok(values)
    }
}

impl TryFrom<TokenRow> for Token {
    type Error = Error;

    fn try_from(row: TokenRow) -> Result<Self, Error> {
        Ok(Self {
            token_id: row.token_id.into(),
            tenant_id: tenant_id(TABLE, "tenant_id", &row.tenant_id)?,
            owner: row.owner()?,
            kind: Kind::from_stored(&row.kind).ok_or_else(|| corrupt(TABLE, "kind"))?,
            scopes: ScopeSet::from_text(&row.scopes).map_err(|_| corrupt(TABLE, "scopes"))?,
            labels: serde_json::from_str(&row.labels).map_err(|_| corrupt(TABLE, "labels"))?,
            created_by: row.created_by.map(TokenId::from),
            version: Version(row.version),
            created_number: ChangeNumber(row.created_number),
            created_at: time(TABLE, "created_at", row.created_at)?,
            updated_at: time(TABLE, "updated_at", row.updated_at)?,
            expires_at: optional_time(TABLE, "expires_at", row.expires_at)?,
            disabled_at: optional_time(TABLE, "disabled_at", row.disabled_at)?,
            revocation: row.revocation()?,
            rotated_at: optional_time(TABLE, "rotated_at", row.rotated_at)?,
            previous: row.previous()?,
            last_use: row.last_use()?,
            name: row.name,
            hint: row.hint,
            profile: row.profile,
            agent_id: row.agent_id,
        })
    }
}
