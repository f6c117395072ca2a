//! How many tokens there are, for those who watch over a server.

use super::backend::{fetch_all, fetch_optional};
use super::row::{CountRow, corrupt};
use super::token_row::revoked;
use super::{Error, Tx};
use crate::domain::time::Timestamp;
use crate::domain::token::{Kind, State};

/// Goes through all tokens: for now and then, never for a call.
const COUNT_TOKENS: &str = concat!(
    "SELECT c.kind, c.state, COUNT(*) AS count,
            COUNT(*) FILTER (WHERE c.expires_at < $2) AS expiring_day,
            COUNT(*) FILTER (WHERE c.expires_at < $3) AS expiring_week,
            COUNT(*) FILTER (WHERE c.expires_at < $4) AS expiring_month,
            COUNT(*) FILTER (WHERE COALESCE(c.used_at, c.created_at) < $5) AS unused
       FROM (SELECT t.kind, t.expires_at, t.created_at, x.used_at,
                    CASE WHEN ",
    revoked!(),
    " THEN 'revoked'
                         WHEN t.expires_at <= $1 THEN 'expired'
                         WHEN t.disabled_at IS NOT NULL THEN 'disabled'
                         ELSE 'active' END AS state
               FROM tokens t
               LEFT JOIN token_uses x ON x.token_id = t.token_id) AS c
      GROUP BY c.kind, c.state
      ORDER BY c.kind, c.state"
);

/// The current values of live tokens that were imported and not presented since.
const COUNT_IMPORTS_PENDING: &str = concat!(
    "SELECT COUNT(*) AS count
       FROM secrets s
       JOIN tokens t ON t.token_id = s.token_id
      WHERE s.lookup IS NULL AND s.fingerprint IS NULL AND s.ends_at IS NULL
        AND (t.expires_at IS NULL OR t.expires_at > $1)
        AND NOT ",
    revoked!()
);

pub(super) const STATEMENTS: &[(&str, &str)] = &[
    ("count_tokens", COUNT_TOKENS),
    ("count_imports_pending", COUNT_IMPORTS_PENDING),
];

/// The tokens of one kind in one state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Their kind.
    pub kind: Kind,
    /// Their state.
    pub state: State,
    /// How many there are.
    pub count: i64,
    /// How many of them expire before the instants asked about.
    pub expiring: [i64; 3],
    /// How many of them were not used since the instant asked about.
    pub unused: i64,
}

#[derive(sqlx::FromRow)]
struct CountedRow {
    kind: String,
    state: String,
    count: i64,
    expiring_day: i64,
    expiring_week: i64,
    expiring_month: i64,
    unused: i64,
}

impl TryFrom<CountedRow> for Counted {
    type Error = Error;

    fn try_from(row: CountedRow) -> Result<Self, Error> {
        let state = State::ALL
            .into_iter()
            .find(|state| state.as_str() == row.state);
        Ok(Self {
            kind: Kind::from_stored(&row.kind).ok_or_else(|| corrupt("tokens", "kind"))?,
            state: state.ok_or_else(|| corrupt("tokens", "state"))?,
            count: row.count,
            expiring: [row.expiring_day, row.expiring_week, row.expiring_month],
            unused: row.unused,
        })
    }
}

impl Tx {
    /// Counts the tokens that were imported, are neither revoked nor expired, and whose
    /// value has no fingerprint yet.
    pub async fn count_imports_pending(&mut self, now: Timestamp) -> Result<i64, Error> {
        let row = fetch_optional!(self.inner, CountRow, COUNT_IMPORTS_PENDING, now.millis())?;
        Ok(row.map_or(0, |row| row.count))
    }

    /// Counts all tokens by kind and state; of each, how many expire before three
    /// instants, and how many were not used since one.
    pub async fn count_tokens(
        &mut self,
        now: Timestamp,
        before: [Timestamp; 3],
        unused_since: Timestamp,
    ) -> Result<Vec<Counted>, Error> {
        let [day, week, month] = before.map(Timestamp::millis);
        let rows = fetch_all!(
            self.inner,
            CountedRow,
            COUNT_TOKENS,
            now.millis(),
            day,
            week,
            month,
            unused_since.millis(),
        )?;
        rows.into_iter().map(Counted::try_from).collect()
    }
}
