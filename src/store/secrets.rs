//! What verifies the values of tokens.

use super::backend::execute;
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

pub(super) const STATEMENTS: &[(&str, &str)] = &[("insert_secret", INSERT_SECRET)];

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
}
