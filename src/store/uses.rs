//! The last use of each token, apart from its record: it takes no change number and
//! leaves the record's version alone.

use super::backend::execute;
use super::{Error, Tx};
use crate::domain::ids::TokenId;
use crate::domain::token::Use;

/// Moves forward in time alone, and skips a token that is gone.
const RECORD_TOKEN_USE: &str = "
    INSERT INTO token_uses (token_id, used_at, used_by, address)
    SELECT token_id, $2, $3, $4
      FROM tokens
     WHERE token_id = $1
    ON CONFLICT (token_id) DO UPDATE
       SET used_at = excluded.used_at, used_by = excluded.used_by, address = excluded.address
     WHERE excluded.used_at > token_uses.used_at";

pub(super) const STATEMENTS: &[(&str, &str)] = &[("record_token_use", RECORD_TOKEN_USE)];

impl Tx {
    /// Records a token's last use; false when a later one is recorded, or there is no
    /// such token.
    pub async fn record_token_use(&mut self, token_id: TokenId, use_: &Use) -> Result<bool, Error> {
        let done = execute!(
            self.inner,
            RECORD_TOKEN_USE,
            token_id.uuid(),
            use_.at.millis(),
            use_.by.map(TokenId::uuid),
            use_.address.map(|address| address.to_string()),
        )?;
        Ok(done == 1)
    }
}
