//! Values that another system made: what verifies them, and by which hints they are found.

use super::backend::{execute, fetch_all, fetch_optional};
use super::row::CountRow;
use super::{Error, NewToken, Tx};
use crate::domain::fingerprint::SecretHash;
use crate::domain::ids::{SecretId, TenantId};

const INSERT_IMPORTED_SECRET: &str = "
    INSERT INTO secrets (secret_id, token_id, lookup, hint, secret_hash, fingerprint,
                         fingerprint_key, created_at)
    VALUES ($1, $2, NULL, $3, $4, NULL, NULL, $5)";

/// Under the tenant's prefix, so the tenant's own. `COALESCE` keeps `SQLite` from reading
/// all imported rows by their lookup, which is null.
const LIST_IMPORTED_HASHES: &str = "
    SELECT secret_hash
      FROM secrets
     WHERE hint = $1 AND COALESCE(lookup, '') = ''
     ORDER BY secret_id";

const INSERT_HINT_LENGTH: &str = "
    INSERT INTO import_hints (tenant_id, hint_length)
    VALUES ($1, $2)
    ON CONFLICT DO NOTHING";

const COUNT_OTHER_HINT_LENGTHS: &str = "
    SELECT COUNT(*) AS count
      FROM import_hints
     WHERE tenant_id = $1 AND hint_length <> $2";

pub(super) const STATEMENTS: &[(&str, &str)] = &[
    ("insert_imported_secret", INSERT_IMPORTED_SECRET),
    ("list_imported_hashes", LIST_IMPORTED_HASHES),
    ("insert_hint_length", INSERT_HINT_LENGTH),
    ("count_other_hint_lengths", COUNT_OTHER_HINT_LENGTHS),
];

/// What verifies an imported value: it has no lookup, and no fingerprint before it is
/// presented for the first time.
#[derive(Clone, Debug)]
pub struct ImportedSecret {
    /// Its row.
    pub secret_id: SecretId,
    /// The visible part of the value, by which it is found.
    pub hint: String,
    /// The bcrypt hash of the whole value.
    pub secret_hash: SecretHash,
}

#[derive(sqlx::FromRow)]
struct HashRow {
    secret_hash: String,
}

impl Tx {
    /// Inserts a token and what verifies its value, which another system made. Its
    /// creation must be among the changes that the transaction closes with, which stamp
    /// its number.
    pub async fn insert_imported_token(
        &mut self,
        token: &NewToken,
        secret: &ImportedSecret,
    ) -> Result<(), Error> {
        self.insert_record(token, &secret.hint).await?;
        execute!(
            self.inner,
            INSERT_IMPORTED_SECRET,
            secret.secret_id.uuid(),
            token.token_id.uuid(),
            secret.hint.as_str(),
            secret.secret_hash.expose(),
            token.created_at.millis(),
        )?;
        Ok(())
    }

    /// Returns the hashes of the imported values that have this hint.
    pub async fn list_imported_hashes(&mut self, hint: &str) -> Result<Vec<SecretHash>, Error> {
        let rows = fetch_all!(self.inner, HashRow, LIST_IMPORTED_HASHES, hint)?;
        let hashes = rows.into_iter().map(|row| row.secret_hash);
        Ok(hashes.map(SecretHash::new).collect())
    }

    /// Notes that the hints of a tenant's imported values may be so long.
    pub async fn insert_hint_length(
        &mut self,
        tenant_id: &TenantId,
        length: i64,
    ) -> Result<(), Error> {
        execute!(self.inner, INSERT_HINT_LENGTH, tenant_id.as_str(), length)?;
        Ok(())
    }

    /// Counts the lengths other than this one that the hints of a tenant's imported values
    /// have.
    pub async fn count_other_hint_lengths(
        &mut self,
        tenant_id: &TenantId,
        length: i64,
    ) -> Result<i64, Error> {
        let row = fetch_optional!(
            self.inner,
            CountRow,
            COUNT_OTHER_HINT_LENGTHS,
            tenant_id.as_str(),
            length
        )?;
        Ok(row.map_or(0, |row| row.count))
    }
}
