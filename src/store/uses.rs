//! The last use of each token, apart from its record: it takes no change number and
//! leaves the record's version alone.

use tracing::Instrument as _;

use super::backend::{answered, on_backend};
use super::{Error, Tx, span};
use crate::domain::ids::TokenId;
use crate::domain::token::Use;

/// How many uses one statement records.
const AT_ONCE: usize = 25;

/// Each of another token; null is no token's id. Moves forward in time alone, and skips a
/// token that is gone. The first part is empty, and tells `PostgreSQL` the types of the
/// others. In order, so that two processes that record the same don't wait for each other
/// crosswise.
const RECORD_TOKEN_USES: &str = "
    INSERT INTO token_uses (token_id, used_at, used_by, address)
    SELECT u.token_id, u.used_at, u.used_by, u.address
      FROM (
           SELECT token_id, used_at, used_by, address FROM token_uses WHERE 1 = 0
           UNION ALL SELECT $1, $2, $3, $4 UNION ALL SELECT $5, $6, $7, $8
           UNION ALL SELECT $9, $10, $11, $12 UNION ALL SELECT $13, $14, $15, $16
           UNION ALL SELECT $17, $18, $19, $20 UNION ALL SELECT $21, $22, $23, $24
           UNION ALL SELECT $25, $26, $27, $28 UNION ALL SELECT $29, $30, $31, $32
           UNION ALL SELECT $33, $34, $35, $36 UNION ALL SELECT $37, $38, $39, $40
           UNION ALL SELECT $41, $42, $43, $44 UNION ALL SELECT $45, $46, $47, $48
           UNION ALL SELECT $49, $50, $51, $52 UNION ALL SELECT $53, $54, $55, $56
           UNION ALL SELECT $57, $58, $59, $60 UNION ALL SELECT $61, $62, $63, $64
           UNION ALL SELECT $65, $66, $67, $68 UNION ALL SELECT $69, $70, $71, $72
           UNION ALL SELECT $73, $74, $75, $76 UNION ALL SELECT $77, $78, $79, $80
           UNION ALL SELECT $81, $82, $83, $84 UNION ALL SELECT $85, $86, $87, $88
           UNION ALL SELECT $89, $90, $91, $92 UNION ALL SELECT $93, $94, $95, $96
           UNION ALL SELECT $97, $98, $99, $100
           ) u
     WHERE EXISTS (SELECT 1 FROM tokens t WHERE t.token_id = u.token_id)
     ORDER BY u.token_id
    ON CONFLICT (token_id) DO UPDATE
       SET used_at = excluded.used_at, used_by = excluded.used_by, address = excluded.address
     WHERE excluded.used_at > token_uses.used_at";

pub(super) const STATEMENTS: &[(&str, &str)] = &[("record_token_uses", RECORD_TOKEN_USES)];

impl Tx {
    /// Records the last uses of tokens, one of each; returns of how many, without those of
    /// which a later one is recorded, and those that are gone.
    pub async fn record_token_uses(&mut self, uses: &[(TokenId, Use)]) -> Result<u64, Error> {
        let mut recorded = 0;
        for chunk in uses.chunks(AT_ONCE) {
            let patience = self.inner.patience;
            let span = span::of(self.inner.system(), "RECORD_TOKEN_USES");
            let done = on_backend!(self.inner, |conn| {
                let mut query = sqlx::query(RECORD_TOKEN_USES);
                for at in 0..AT_ONCE {
                    let (token_id, last) =
                        chunk.get(at).map(|(id, last)| (id.uuid(), last)).unzip();
                    let address = last.and_then(|last| last.address);
                    query = query
                        .bind(token_id)
                        .bind(last.map(|last| last.at.millis()))
                        .bind(last.and_then(|last| last.by.map(TokenId::uuid)))
                        .bind(address.map(|address| address.to_string()));
                }
                answered(patience, query.execute(conn).instrument(span))
                    .await
                    .map(|done| done.rows_affected())
            });
            recorded += self.inner.counters.told(done)?;
        }
        Ok(recorded)
    }
}
