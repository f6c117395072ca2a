//! What a measurement needs: tokens by the million, ten of one user in a statement, and the
//! least that a lookup may cost. Nothing that is served does either.

use tracing::Instrument as _;

use super::backend::{Db, answered, fetch_rows, on_backend};
use super::row::corrupt;
use super::{Error, NewSecret, NewToken, Store, Tx, span};
use crate::domain::change::ChangeNumber;
use crate::domain::fingerprint::SecretHash;
use crate::domain::ids::{TokenId, UserId};
use crate::domain::text::folded;
use crate::domain::time::Timestamp;
use crate::domain::token::Kind;
use crate::domain::value::Lookup;

/// How many tokens a statement inserts.
pub const TEN: usize = 10;

const INSERT_TEN_TOKENS: &str = "
    INSERT INTO tokens (token_id, tenant_id, user_id, kind, name, name_folded, hint, scopes,
                        profile, agent_id, labels, created_by, version, created_number,
                        created_at, updated_at, expires_at)
    VALUES
       ($5, $1, $2, 'api', $6, $7, $8, $9, '', '', $10, NULL, 1, $4, $3, $3, $11),
       ($12, $1, $2, 'api', $13, $14, $15, $16, '', '', $17, NULL, 1, $4, $3, $3, $18),
       ($19, $1, $2, 'api', $20, $21, $22, $23, '', '', $24, NULL, 1, $4, $3, $3, $25),
       ($26, $1, $2, 'api', $27, $28, $29, $30, '', '', $31, NULL, 1, $4, $3, $3, $32),
       ($33, $1, $2, 'api', $34, $35, $36, $37, '', '', $38, NULL, 1, $4, $3, $3, $39),
       ($40, $1, $2, 'api', $41, $42, $43, $44, '', '', $45, NULL, 1, $4, $3, $3, $46),
       ($47, $1, $2, 'api', $48, $49, $50, $51, '', '', $52, NULL, 1, $4, $3, $3, $53),
       ($54, $1, $2, 'api', $55, $56, $57, $58, '', '', $59, NULL, 1, $4, $3, $3, $60),
       ($61, $1, $2, 'api', $62, $63, $64, $65, '', '', $66, NULL, 1, $4, $3, $3, $67),
       ($68, $1, $2, 'api', $69, $70, $71, $72, '', '', $73, NULL, 1, $4, $3, $3, $74)";

const INSERT_TEN_SECRETS: &str = "
    INSERT INTO secrets (secret_id, token_id, lookup, hint, secret_hash, fingerprint,
                         fingerprint_key, created_at)
    VALUES
       ($4, $5, $6, $7, $1, $8, $2, $3),
       ($9, $10, $11, $12, $1, $13, $2, $3),
       ($14, $15, $16, $17, $1, $18, $2, $3),
       ($19, $20, $21, $22, $1, $23, $2, $3),
       ($24, $25, $26, $27, $1, $28, $2, $3),
       ($29, $30, $31, $32, $1, $33, $2, $3),
       ($34, $35, $36, $37, $1, $38, $2, $3),
       ($39, $40, $41, $42, $1, $43, $2, $3),
       ($44, $45, $46, $47, $1, $48, $2, $3),
       ($49, $50, $51, $52, $1, $53, $2, $3)";

const PROBE_LOOKUP: &str = "
    SELECT token_id
      FROM secrets
     WHERE lookup = $1";

pub(super) const STATEMENTS: &[(&str, &str)] = &[
    ("probe_lookup", PROBE_LOOKUP),
    ("insert_ten_tokens", INSERT_TEN_TOKENS),
    ("insert_ten_secrets", INSERT_TEN_SECRETS),
];

/// What a machine that loses its power may destroy, which is made anew in a minute: nothing
/// is waited for to reach the disk, and pages are written once instead of over and over.
const HASTE: [&str; 3] = [
    "PRAGMA synchronous = OFF",
    "PRAGMA cache_size = -524288",
    "PRAGMA wal_autocheckpoint = 50000",
];

impl Store {
    /// Has an embedded database filled several times as fast, at the cost of what is
    /// written until this is closed, should the machine stop.
    pub async fn hasten(&self) -> Result<(), Error> {
        if let Db::Sqlite { write, .. } = &*self.db {
            for pragma in HASTE {
                let done = sqlx::raw_sql(pragma).execute(write.pool());
                self.db.counters.told(done.await)?;
            }
        }
        Ok(())
    }

    /// Returns whether a lookup is a token's, and nothing of it: what reading by it costs at
    /// the least.
    pub async fn probe_lookup(&self, lookup: &Lookup) -> Result<bool, Error> {
        let rows = fetch_rows!(self.db, (uuid::Uuid,), PROBE_LOOKUP, lookup.as_str())?;
        Ok(!rows.is_empty())
    }
}

impl Tx {
    /// Inserts ten tokens of kind API of one user, created at one time, and what verifies
    /// their values: one hash and one key for all. `number` is of a change that is
    /// committed, or that this transaction closes with.
    pub async fn insert_ten(
        &mut self,
        ten: &[(NewToken, NewSecret); TEN],
        number: ChangeNumber,
    ) -> Result<(), Error> {
        let [(first, secret), ..] = ten;
        let one = ten.iter().all(|(token, _)| {
            token.tenant_id == first.tenant_id
                && token.user_id == first.user_id
                && token.created_at == first.created_at
                && token.kind == Kind::Api
        });
        if !one {
            return Err(corrupt("tokens", "user_id"));
        }
        self.insert_records(first, ten, number).await?;
        let hash = &secret.secret_hash;
        self.insert_verifiers(hash, first.created_at, ten).await
    }

    async fn insert_records(
        &mut self,
        first: &NewToken,
        ten: &[(NewToken, NewSecret); TEN],
        number: ChangeNumber,
    ) -> Result<(), Error> {
        let patience = self.inner.patience;
        let span = span::of(self.inner.system(), "INSERT_TEN_TOKENS");
        let done = on_backend!(self.inner, |conn| {
            let mut query = sqlx::query(INSERT_TEN_TOKENS)
                .bind(first.tenant_id.as_str())
                .bind(first.user_id.map(UserId::uuid))
                .bind(first.created_at.millis())
                .bind(number.0);
            for (token, secret) in ten {
                let labels = serde_json::to_string(&token.labels);
                query = query
                    .bind(token.token_id.uuid())
                    .bind(token.name.as_str())
                    .bind(folded(&token.name))
                    .bind(secret.hint.as_str())
                    .bind(token.scopes.to_text())
                    .bind(labels.map_err(|_| corrupt("tokens", "labels"))?)
                    .bind(token.expires_at.map(Timestamp::millis));
            }
            answered(patience, query.execute(conn).instrument(span))
                .await
                .map(|_| ())
        });
        self.inner.counters.told(done)?;
        Ok(())
    }

    async fn insert_verifiers(
        &mut self,
        hash: &SecretHash,
        now: Timestamp,
        ten: &[(NewToken, NewSecret); TEN],
    ) -> Result<(), Error> {
        let [
            (
                _,
                NewSecret {
                    fingerprint: (key, _),
                    ..
                },
            ),
            ..,
        ] = ten;
        let patience = self.inner.patience;
        let span = span::of(self.inner.system(), "INSERT_TEN_SECRETS");
        let done = on_backend!(self.inner, |conn| {
            let mut query = sqlx::query(INSERT_TEN_SECRETS)
                .bind(hash.expose())
                .bind(key.0.as_str())
                .bind(now.millis());
            for (token, secret) in ten {
                let token_id: TokenId = token.token_id;
                query = query
                    .bind(secret.secret_id.uuid())
                    .bind(token_id.uuid())
                    .bind(secret.lookup.as_str())
                    .bind(secret.hint.as_str())
                    .bind(secret.fingerprint.1.as_bytes().as_slice());
            }
            answered(patience, query.execute(conn).instrument(span))
                .await
                .map(|_| ())
        });
        self.inner.counters.told(done)?;
        Ok(())
    }
}
