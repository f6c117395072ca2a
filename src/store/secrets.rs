//! What verifies the values of tokens.

use super::backend::{execute, fetch_all};
use super::{Error, Tx};
use crate::domain::fingerprint::{Fingerprint, KeyId, SecretHash};
use crate::domain::ids::{SecretId, TokenId};
use crate::domain::time::Timestamp;
use crate::domain::value::Lookup;

const INSERT_SECRET: &str = "
    INSERT INTO secrets (secret_id, token_id, lookup, hint, secret_hash, fingerprint,
                         fingerprint_key, created_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
    ON CONFLICT (lookup) DO NOTHING
    RETURNING secret_id";

/// A fingerprint is written for the key that the caller read, or not at all.
const RECORD_FINGERPRINT: &str = "
    UPDATE secrets
       SET fingerprint = $2, fingerprint_key = $3
     WHERE secret_id = $1 AND fingerprint_key IS NOT DISTINCT FROM $4
    RETURNING secret_id";

const LIST_FINGERPRINT_KEYS: &str = "
    SELECT fingerprint_key, COUNT(*) AS count
      FROM secrets
     WHERE fingerprint_key IS NOT NULL
     GROUP BY fingerprint_key
     ORDER BY fingerprint_key";

pub(super) const STATEMENTS: &[(&str, &str)] = &[
    ("insert_secret", INSERT_SECRET),
    ("record_fingerprint", RECORD_FINGERPRINT),
    ("list_fingerprint_keys", LIST_FINGERPRINT_KEYS),
];

/// What verifies a new value.
#[derive(Clone, Debug)]
pub struct NewSecret {
    /// Its row.
    pub secret_id: SecretId,
    /// The indexed part of the value.
    pub lookup: Lookup,
    /// The visible part of the value.
    pub hint: String,
    /// The bcrypt hash.
    pub secret_hash: SecretHash,
    /// The fingerprint, and the key that it was made with.
    pub fingerprint: (KeyId, Fingerprint),
}

#[derive(sqlx::FromRow)]
struct KeyRow {
    fingerprint_key: String,
    count: i64,
}

impl Tx {
    /// Inserts what verifies a value of a token.
    pub async fn insert_secret(
        &mut self,
        token_id: TokenId,
        secret: &NewSecret,
        now: Timestamp,
    ) -> Result<(), Error> {
        let (key, fingerprint) = &secret.fingerprint;
        let inserted = execute!(
            self.inner,
            INSERT_SECRET,
            secret.secret_id.uuid(),
            token_id.uuid(),
            secret.lookup.as_str(),
            secret.hint.as_str(),
            secret.secret_hash.expose(),
            fingerprint.as_bytes().as_slice(),
            key.0.as_str(),
            now.millis(),
        )?;
        // 71 random bits collide about once in the life of a planet.
        if inserted == 1 {
            Ok(())
        } else {
            Err(Error::Conflict(None))
        }
    }

    /// Gives a secret a fingerprint, if it still has the one under `replaced`, or
    /// none; false otherwise.
    pub async fn record_fingerprint(
        &mut self,
        secret_id: SecretId,
        fingerprint: &(KeyId, Fingerprint),
        replaced: Option<&KeyId>,
    ) -> Result<bool, Error> {
        let (key, fingerprint) = fingerprint;
        let done = execute!(
            self.inner,
            RECORD_FINGERPRINT,
            secret_id.uuid(),
            fingerprint.as_bytes().as_slice(),
            key.0.as_str(),
            replaced.map(|key| key.0.as_str()),
        )?;
        Ok(done == 1)
    }

    /// Returns how many secrets have a fingerprint under each key.
    pub async fn list_fingerprint_keys(&mut self) -> Result<Vec<(KeyId, i64)>, Error> {
        let rows = fetch_all!(self.inner, KeyRow, LIST_FINGERPRINT_KEYS)?;
        Ok(rows
            .into_iter()
            .map(|row| (KeyId(row.fingerprint_key), row.count))
            .collect())
    }
}
