//! The log of changes: one gapless number for each transaction that may alter an
//! answer, taken as the last thing before its commit.

use std::sync::Arc;

use super::backend::{execute, fetch_all, fetch_one, fetch_optional};
use super::{Error, NewRequest, Store, Tx};
use crate::domain::change::{Change, ChangeNumber, Revision};
use crate::domain::ids::{TenantId, TokenId, UserId};
use crate::domain::time::Timestamp;
use crate::domain::token::{Kind, RevokeReason};

const INSERT_HEAD: &str = "
    INSERT INTO log_head (singleton, incarnation, number)
    VALUES (1, $1, 0)
    ON CONFLICT DO NOTHING";

const GET_HEAD: &str = "
    SELECT incarnation, number
      FROM log_head
     WHERE singleton = 1";

/// The row's lock is held to the commit: numbers are gapless, and in commit order.
const TAKE_NUMBER: &str = "
    UPDATE log_head
       SET number = number + 1
     WHERE singleton = 1
    RETURNING incarnation, number";

/// Waits for whoever has taken a number and has not committed yet.
const LOCK_HEAD: &str = "
    UPDATE log_head
       SET number = number
     WHERE singleton = 1
    RETURNING incarnation, number";

const INSERT_CHANGE: &str = "
    INSERT INTO changes (number, position, kind, tenant_id, user_id, token_id, created_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7)";

const INSERT_EPOCH: &str = "
    INSERT INTO epochs (number, position, tenant_id, user_id, kind, reason, revoke_text,
                        created_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";

const STAMP_TOKEN: &str = "
    UPDATE tokens
       SET created_number = $1
     WHERE token_id = $2 AND created_number = 0";

/// Nobody else's token is without a number in this transaction's eyes.
const STAMP_TOKENS_FROM: &str = "
    UPDATE tokens
       SET created_number = $1
     WHERE tenant_id = $2 AND token_id >= $3 AND created_number = 0";

/// By numbers and not by rows: who goes on after a number must have had all of it.
const LIST_CHANGES: &str = "
    SELECT number, kind, tenant_id, user_id, token_id
      FROM changes
     WHERE number > $1 AND number <= $1 + $2
     ORDER BY number, position";

pub(super) const STATEMENTS: &[(&str, &str)] = &[
    ("insert_head", INSERT_HEAD),
    ("get_head", GET_HEAD),
    ("take_number", TAKE_NUMBER),
    ("lock_head", LOCK_HEAD),
    ("insert_change", INSERT_CHANGE),
    ("insert_epoch", INSERT_EPOCH),
    ("stamp_token", STAMP_TOKEN),
    ("stamp_tokens_from", STAMP_TOKENS_FROM),
    ("list_changes", LIST_CHANGES),
];

/// Revokes, in one row, all tokens that it covers and that exist already.
#[derive(Clone, Debug)]
pub struct Epoch {
    /// Of which tenant; `None` of every.
    pub tenant_id: Option<TenantId>,
    /// Of which user; `None` of every.
    pub user_id: Option<UserId>,
    /// Of which kind; `None` of every.
    pub kind: Option<Kind>,
    /// Why.
    pub reason: RevokeReason,
    /// What the revoker added.
    pub text: String,
}

#[derive(sqlx::FromRow)]
struct HeadRow {
    incarnation: String,
    number: i64,
}

impl From<HeadRow> for Revision {
    fn from(row: HeadRow) -> Self {
        Self {
            incarnation: row.incarnation,
            number: ChangeNumber(row.number),
        }
    }
}

#[derive(sqlx::FromRow)]
pub(super) struct ChangeRow {
    pub number: i64,
    pub kind: String,
    pub tenant_id: Option<String>,
    pub user_id: Option<uuid::Uuid>,
    pub token_id: Option<uuid::Uuid>,
}

impl TryFrom<ChangeRow> for (ChangeNumber, Change) {
    type Error = Error;

    fn try_from(row: ChangeRow) -> Result<Self, Error> {
        let corrupt = |column| Error::Corrupt {
            table: "changes",
            column,
        };
        let tenant_id = || -> Result<TenantId, Error> {
            let text = row
                .tenant_id
                .as_deref()
                .ok_or_else(|| corrupt("tenant_id"))?;
            text.parse().map_err(|_| corrupt("tenant_id"))
        };
        let user_id = || {
            row.user_id
                .map(UserId::from)
                .ok_or_else(|| corrupt("user_id"))
        };
        let token_id = || {
            row.token_id
                .map(TokenId::from)
                .ok_or_else(|| corrupt("token_id"))
        };
        let change = match row.kind.as_str() {
            "token_created" => Change::TokenCreated(tenant_id()?, token_id()?),
            "token_changed" => Change::TokenChanged(tenant_id()?, token_id()?),
            "user_changed" => Change::UserChanged(user_id()?),
            "member_changed" => Change::MemberChanged(tenant_id()?, user_id()?),
            "tenant_changed" => match row.token_id {
                Some(first) => Change::TokensCreated(tenant_id()?, first.into()),
                None => Change::TenantChanged(tenant_id()?),
            },
            "catalog_changed" => Change::CatalogChanged(tenant_id()?),
            _ => return Err(corrupt("kind")),
        };
        Ok((ChangeNumber(row.number), change))
    }
}

impl Store {
    /// Gives a new store its incarnation; does nothing to one that has it.
    pub async fn insert_head(&self, incarnation: &str) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        execute!(tx.inner, INSERT_HEAD, incarnation)?;
        tx.inner.commit().await
    }

    /// Returns the last revision that is committed.
    pub async fn get_head(&self) -> Result<Revision, Error> {
        let row = fetch_one!(self.db, HeadRow, GET_HEAD)?;
        Ok(row.into())
    }
}

impl Tx {
    /// Returns the last revision of the transaction's snapshot.
    pub async fn get_head(&mut self) -> Result<Revision, Error> {
        let row = fetch_optional!(self.inner, HeadRow, GET_HEAD)?;
        row.map(Revision::from).ok_or(Error::Corrupt {
            table: "log_head",
            column: "singleton",
        })
    }

    /// Returns the changes of at most so many numbers after one, in order, each
    /// number's whole.
    pub async fn list_changes(
        &mut self,
        after: ChangeNumber,
        numbers: u32,
    ) -> Result<Vec<(ChangeNumber, Change)>, Error> {
        let rows = fetch_all!(
            self.inner,
            ChangeRow,
            LIST_CHANGES,
            after.0,
            i64::from(numbers)
        )?;
        rows.into_iter().map(TryInto::try_into).collect()
    }

    /// Returns the last revision once no other transaction is about to take a number.
    pub async fn lock_head(&mut self) -> Result<Revision, Error> {
        let row = fetch_optional!(self.inner, HeadRow, LOCK_HEAD)?;
        row.map(Revision::from).ok_or(Error::Corrupt {
            table: "log_head",
            column: "singleton",
        })
    }

    /// Takes the next number, logs the changes under it, stamps the epochs and
    /// the created tokens with it, and commits: the closing group, with nothing
    /// after it. Without a change or an epoch no number is taken. On an error the outcome is
    /// unknown.
    pub async fn close(
        self,
        changes: &[Change],
        epochs: &[Epoch],
        now: Timestamp,
    ) -> Result<Revision, Error> {
        self.close_with(changes, epochs, None, now).await
    }

    /// As [`Tx::close`]; keeps the call, with the revision that it is answered with.
    pub async fn close_with(
        mut self,
        changes: &[Change],
        epochs: &[Epoch],
        request: Option<&NewRequest>,
        now: Timestamp,
    ) -> Result<Revision, Error> {
        if changes.is_empty() && epochs.is_empty() {
            let head = self.get_head().await?;
            if let Some(request) = request {
                self.insert_request(request, head.number.0, now).await?;
            }
            self.commit().await?;
            return Ok(head);
        }
        let row = fetch_optional!(self.inner, HeadRow, TAKE_NUMBER)?.ok_or(Error::Corrupt {
            table: "log_head",
            column: "singleton",
        })?;
        let number = row.number;
        for (position, change) in (0i64..).zip(changes) {
            let tenant_id = change.tenant_id().map(TenantId::as_str);
            let user_id = change.user_id().map(UserId::uuid);
            let token_id = change.token_id().map(TokenId::uuid);
            execute!(
                self.inner,
                INSERT_CHANGE,
                number,
                position,
                change.kind(),
                tenant_id,
                user_id,
                token_id,
                now.millis()
            )?;
            if let Change::TokenCreated(_, token_id) = change {
                execute!(self.inner, STAMP_TOKEN, number, token_id.uuid())?;
            } else if let Change::TokensCreated(tenant_id, first) = change {
                let (tenant_id, first) = (tenant_id.as_str(), first.uuid());
                execute!(self.inner, STAMP_TOKENS_FROM, number, tenant_id, first)?;
            }
        }
        for (position, epoch) in (0i64..).zip(epochs) {
            let tenant_id = epoch.tenant_id.as_ref().map(TenantId::as_str);
            let user_id = epoch.user_id.map(UserId::uuid);
            let kind = epoch.kind.map(Kind::as_str);
            execute!(
                self.inner,
                INSERT_EPOCH,
                number,
                position,
                tenant_id,
                user_id,
                kind,
                epoch.reason.as_str(),
                epoch.text.as_str(),
                now.millis()
            )?;
        }
        if let Some(request) = request {
            self.insert_request(request, number, now).await?;
        }
        self.commit().await?;
        Ok(row.into())
    }

    /// Commits; what was only written before has happened now.
    async fn commit(self) -> Result<(), Error> {
        let counters = Arc::clone(&self.inner.counters);
        let committed = self.inner.commit().await;
        committed.map_err(|error| {
            if matches!(error, Error::Unavailable(_)) {
                Error::Uncertain(Box::new(error))
            } else {
                error
            }
        })?;
        counters.audit_events.add(self.events);
        Ok(())
    }
}
