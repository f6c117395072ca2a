//! A token's values, one after the other: the current one has no end, those before it
//! each have their own.

use super::backend::{execute, fetch_optional};
use super::row::{CountRow, optional_time};
use super::token_row::revoked;
use super::{Error, Tx};
use crate::domain::ids::{SecretId, TokenId};
use crate::domain::time::Timestamp;
use crate::domain::token::Token;

const FIND_CURRENT_SECRET: &str = "
    SELECT secret_id
      FROM secrets
     WHERE token_id = $1 AND ends_at IS NULL";

const FIND_SECRET_END: &str = "
    SELECT ends_at
      FROM secrets
     WHERE secret_id = $1";

const COUNT_SECRETS_IN_GRACE: &str = "
    SELECT COUNT(*) AS count
      FROM secrets
     WHERE token_id = $1 AND ends_at > $2";

/// An end is set once: no rotation shortens or prolongs an earlier one's grace.
const MARK_SECRET_ENDED: &str = "
    UPDATE secrets
       SET ends_at = $2
     WHERE secret_id = $1 AND ends_at IS NULL
    RETURNING secret_id";

const MARK_SECRET_REUSED: &str = "
    UPDATE secrets
       SET reused_at = $2
     WHERE secret_id = $1 AND ends_at IS NOT NULL AND reused_at IS NULL
    RETURNING hint";

const MARK_TOKEN_ROTATED: &str = concat!(
    "UPDATE tokens AS t
        SET hint = $3, rotated_at = $4, version = version + 1,
            updated_at = CASE WHEN t.updated_at > $4 THEN t.updated_at ELSE $4 END
      WHERE t.token_id = $1 AND t.version = $2 AND NOT ",
    revoked!(),
    " RETURNING token_id"
);

pub(super) const STATEMENTS: &[(&str, &str)] = &[
    ("find_current_secret", FIND_CURRENT_SECRET),
    ("find_secret_end", FIND_SECRET_END),
    ("count_secrets_in_grace", COUNT_SECRETS_IN_GRACE),
    ("mark_secret_ended", MARK_SECRET_ENDED),
    ("mark_secret_reused", MARK_SECRET_REUSED),
    ("mark_token_rotated", MARK_TOKEN_ROTATED),
];

#[derive(sqlx::FromRow)]
struct SecretRow {
    secret_id: uuid::Uuid,
}

#[derive(sqlx::FromRow)]
struct EndRow {
    ends_at: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct HintRow {
    hint: String,
}

impl Tx {
    /// Returns which row verifies a token's current value.
    pub async fn find_current_secret(
        &mut self,
        token_id: TokenId,
    ) -> Result<Option<SecretId>, Error> {
        let row = fetch_optional!(self.inner, SecretRow, FIND_CURRENT_SECRET, token_id.uuid())?;
        Ok(row.map(|row| row.secret_id.into()))
    }

    /// Returns the end of the value that a row verifies, if it has one; the outer `None`
    /// says that there is no such row any more.
    pub async fn find_secret_end(
        &mut self,
        secret_id: SecretId,
    ) -> Result<Option<Option<Timestamp>>, Error> {
        let row = fetch_optional!(self.inner, EndRow, FIND_SECRET_END, secret_id.uuid())?;
        row.map(|row| optional_time("secrets", "ends_at", row.ends_at))
            .transpose()
    }

    /// Counts a token's earlier values that are not over.
    pub async fn count_secrets_in_grace(
        &mut self,
        token_id: TokenId,
        now: Timestamp,
    ) -> Result<i64, Error> {
        let row = fetch_optional!(
            self.inner,
            CountRow,
            COUNT_SECRETS_IN_GRACE,
            token_id.uuid(),
            now.millis(),
        )?;
        Ok(row.map_or(0, |row| row.count))
    }

    /// Lets a current value end; false when it has an end already.
    pub async fn mark_secret_ended(
        &mut self,
        secret_id: SecretId,
        ends_at: Timestamp,
    ) -> Result<bool, Error> {
        let done = execute!(
            self.inner,
            MARK_SECRET_ENDED,
            secret_id.uuid(),
            ends_at.millis(),
        )?;
        Ok(done == 1)
    }

    /// Notes that a value with an end was presented after it, and returns its visible
    /// part; `None` when that is noted already.
    pub async fn mark_secret_reused(
        &mut self,
        secret_id: SecretId,
        now: Timestamp,
    ) -> Result<Option<String>, Error> {
        let row = fetch_optional!(
            self.inner,
            HintRow,
            MARK_SECRET_REUSED,
            secret_id.uuid(),
            now.millis(),
        )?;
        Ok(row.map(|row| row.hint))
    }

    /// Notes that a token has another current value, if its version is still `token`'s
    /// and it is not revoked; false otherwise.
    pub async fn mark_token_rotated(
        &mut self,
        token: &Token,
        hint: &str,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let done = execute!(
            self.inner,
            MARK_TOKEN_ROTATED,
            token.token_id.uuid(),
            token.version.0,
            hint,
            now.millis(),
        )?;
        Ok(done == 1)
    }
}
