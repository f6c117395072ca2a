//! The fingerprints of secrets: which keys they are under, and new ones in their
//! place.

use super::backend::{execute, fetch_all};
use super::{Error, Tx};
use crate::domain::fingerprint::{Fingerprint, KeyId};
use crate::domain::ids::SecretId;

/// A fingerprint is written for the key that the caller read, or not at all.
const RECORD_FINGERPRINT: &str = "
    UPDATE secrets
       SET fingerprint = $2, fingerprint_key = $3
     WHERE secret_id = $1 AND fingerprint_key IS NOT DISTINCT FROM $4
    RETURNING secret_id";

const LIST_FINGERPRINT_KEYS: &str = "
    SELECT k.fingerprint_key, COUNT(*) AS count
      FROM (SELECT fingerprint_key
              FROM secrets
             WHERE fingerprint_key IS NOT NULL
            UNION ALL
            SELECT fingerprint_key
              FROM invites
             WHERE claimed_at IS NULL AND revoked_at IS NULL) AS k
     GROUP BY k.fingerprint_key
     ORDER BY k.fingerprint_key";

pub(super) const STATEMENTS: &[(&str, &str)] = &[
    ("record_fingerprint", RECORD_FINGERPRINT),
    ("list_fingerprint_keys", LIST_FINGERPRINT_KEYS),
];

#[derive(sqlx::FromRow)]
struct KeyRow {
    fingerprint_key: String,
    count: i64,
}

impl Tx {
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

    /// Returns how many secrets, those of invites among them, have a fingerprint under
    /// each key.
    pub async fn list_fingerprint_keys(&mut self) -> Result<Vec<(KeyId, i64)>, Error> {
        let rows = fetch_all!(self.inner, KeyRow, LIST_FINGERPRINT_KEYS)?;
        Ok(rows
            .into_iter()
            .map(|row| (KeyId(row.fingerprint_key), row.count))
            .collect())
    }
}
