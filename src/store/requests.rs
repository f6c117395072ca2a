//! Calls that changed something and may be asked again under the same request id.

use super::backend::{execute, fetch_optional};
use super::row::time;
use super::{Error, Tx};
use crate::domain::change::ChangeNumber;
use crate::domain::ids::TokenId;
use crate::domain::time::Timestamp;

const FIND_REQUEST: &str = "
    SELECT digest, token_id, outcome, number, created_at
      FROM requests
     WHERE caller_id = $1 AND rpc = $2 AND request_id = $3";

/// One that is forgotten makes room for another.
const INSERT_REQUEST: &str = "
    INSERT INTO requests (caller_id, rpc, request_id, digest, token_id, outcome, number,
                          created_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
    ON CONFLICT (caller_id, rpc, request_id)
    DO UPDATE SET digest = excluded.digest, token_id = excluded.token_id,
                  outcome = excluded.outcome, number = excluded.number,
                  created_at = excluded.created_at
     WHERE requests.created_at <= $9
    RETURNING number";

pub(super) const STATEMENTS: &[(&str, &str)] = &[
    ("find_request", FIND_REQUEST),
    ("insert_request", INSERT_REQUEST),
];

/// How a call is recognised when it is asked again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestKey {
    /// The caller's token, or the user whose session it is.
    pub caller_id: uuid::Uuid,
    /// The RPC's name.
    pub rpc: &'static str,
    /// The id, as the caller chose it.
    pub request_id: String,
    /// How far the caller's rights go; more is further.
    pub rights: u8,
    /// SHA-256 of the request.
    pub digest: [u8; 32],
}

/// A call that is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRequest {
    /// How far the caller's rights went, and SHA-256 of the request.
    pub digest: Vec<u8>,
    /// The token whose value was given out.
    pub token_id: Option<TokenId>,
    /// What was answered, as JSON; none where a value was.
    pub outcome: Option<String>,
    /// The number of the revision that was answered.
    pub number: ChangeNumber,
    /// When it was done.
    pub created_at: Timestamp,
}

/// What is kept of a call that commits.
#[derive(Clone, Debug)]
pub struct NewRequest {
    /// How it is recognised.
    pub key: RequestKey,
    /// The token whose value is given out.
    pub token_id: Option<TokenId>,
    /// What is answered, as JSON.
    pub outcome: Option<String>,
    /// One of the same id that was done at this instant or before is forgotten.
    pub forgotten: Timestamp,
}

#[derive(sqlx::FromRow)]
struct RequestRow {
    digest: Vec<u8>,
    token_id: Option<uuid::Uuid>,
    outcome: Option<String>,
    number: i64,
    created_at: i64,
}

impl Tx {
    /// Returns the call of this id, if it was done.
    pub async fn find_request(&mut self, key: &RequestKey) -> Result<Option<StoredRequest>, Error> {
        let row = fetch_optional!(
            self.inner,
            RequestRow,
            FIND_REQUEST,
            key.caller_id,
            key.rpc,
            key.request_id.as_str(),
        )?;
        row.map(|row| {
            Ok(StoredRequest {
                digest: row.digest,
                token_id: row.token_id.map(TokenId::from),
                outcome: row.outcome,
                number: ChangeNumber(row.number),
                created_at: time("requests", "created_at", row.created_at)?,
            })
        })
        .transpose()
    }

    /// Keeps a call for when it is asked again; a conflict when there is one already.
    pub(super) async fn insert_request(
        &mut self,
        request: &NewRequest,
        number: i64,
        now: Timestamp,
    ) -> Result<(), Error> {
        let key = &request.key;
        let inserted = execute!(
            self.inner,
            INSERT_REQUEST,
            key.caller_id,
            key.rpc,
            key.request_id.as_str(),
            [&[key.rights], key.digest.as_slice()].concat(),
            request.token_id.map(TokenId::uuid),
            request.outcome.as_deref(),
            number,
            now.millis(),
            request.forgotten.millis(),
        )?;
        if inserted == 1 {
            Ok(())
        } else {
            Err(Error::Conflict(None))
        }
    }
}
