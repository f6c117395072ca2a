//! What is known of several values at once, in one statement: one snapshot on either
//! database. Without the catalogs, whose documents are large: their versions tell
//! whether one that is at hand still holds.

use super::backend::{Db, fetch_rows};
use super::follow::value_key;
use super::introspection::{
    FoundRow, StandingRow, begun_values, found_columns, standing_columns, standing_joins, widths,
};
use super::token_row::{TokenRow, token_columns};
use super::{Error, Store};
use crate::domain::change::{Revision, Version};
use crate::domain::foreign::ValueKey;
use crate::domain::introspection::{Standing, Verifier};
use crate::domain::token::Token;
use crate::domain::value::Lookup;

/// How many lookups one statement takes.
const AT_ONCE: usize = 16;

/// Begins a statement that reads what is known of values; given their lookup.
macro_rules! select_known {
    ($lookup:literal) => {
        concat!(
            "SELECT ",
            $lookup,
            " AS value_lookup, s.hint AS value_hint, c.version AS catalog_version, ",
            found_columns!(),
            token_columns!(),
            standing_columns!()
        )
    };
}

/// A row comes in any case, for the head.
const FIND_ONE: &str = concat!(
    select_known!("s.lookup"),
    " FROM log_head h
      LEFT JOIN secrets s ON s.lookup = $1",
    standing_joins!(),
    " WHERE h.singleton = 1"
);

/// At least one row comes, for the head. Fewer lookups are filled up with the last one.
const FIND_MANY: &str = concat!(
    select_known!("s.lookup"),
    " FROM log_head h
      LEFT JOIN secrets s ON s.lookup IN ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12,
                                          $13, $14, $15, $16)",
    standing_joins!(),
    " WHERE h.singleton = 1"
);

/// At least one row comes, for the head.
const FIND_MANY_BY_BEGINNING: &str = concat!(
    widths!(),
    select_known!("CAST(NULL AS TEXT)"),
    " FROM log_head h",
    begun_values!(),
    standing_joins!(),
    " WHERE h.singleton = 1
      ORDER BY s.secret_id"
);

pub(super) const STATEMENTS: &[(&str, &str)] = &[
    ("find_one", FIND_ONE),
    ("find_many", FIND_MANY),
    ("find_many_by_beginning", FIND_MANY_BY_BEGINNING),
];

/// What is known of a value, its verifier apart.
#[derive(Clone, Debug)]
pub struct Known {
    /// What it is found by.
    pub key: ValueKey,
    /// The token, its user and its epochs.
    pub token: Token,
    /// Its tenant's standing.
    pub tenant: Standing,
    /// The version of its tenant's catalog.
    pub catalog: Version,
}

/// What one look at the store found of several values.
#[derive(Clone, Debug)]
pub struct FoundMany {
    /// The last change that the snapshot includes.
    pub head: Revision,
    /// What is known, and what verifies the values; nothing of unknown ones.
    pub records: Vec<(Known, Verifier)>,
}

#[derive(sqlx::FromRow)]
struct KnownRow {
    value_lookup: Option<String>,
    value_hint: Option<String>,
    #[sqlx(flatten)]
    token: TokenRow,
    #[sqlx(flatten)]
    tenant: StandingRow,
    catalog_version: i64,
}

impl TryFrom<KnownRow> for Known {
    type Error = Error;

    fn try_from(row: KnownRow) -> Result<Self, Error> {
        Ok(Self {
            key: value_key(row.value_lookup.as_deref(), row.value_hint)?,
            token: row.token.try_into()?,
            tenant: row.tenant.try_into()?,
            catalog: Version(row.catalog_version),
        })
    }
}

impl FoundMany {
    fn of(rows: Vec<FoundRow<KnownRow>>) -> Result<Self, Error> {
        let (head, records) = FoundRow::decode_all(rows)?;
        Ok(Self { head, records })
    }
}

impl Store {
    /// Returns how many reads of what is known are worth running at once, where what waits
    /// is read by the next one: `SQLite` works on this machine's own cores, `PostgreSQL` is
    /// waited for.
    pub fn reads_at_once(&self) -> usize {
        match &*self.db {
            Db::Sqlite { .. } => 1,
            Db::Postgres(..) => 4,
        }
    }

    /// Returns what is known of lookups, in no order, and the head: in one statement for
    /// each 16 of them. Of several statements the earliest head is given, which all include.
    pub async fn find_many(&self, lookups: &[Lookup]) -> Result<FoundMany, Error> {
        let mut chunks = lookups.chunks(AT_ONCE);
        let mut found = self.find_at_once(chunks.next().unwrap_or_default()).await?;
        for chunk in chunks {
            let more = self.find_at_once(chunk).await?;
            found.records.extend(more.records);
        }
        Ok(found)
    }

    async fn find_at_once(&self, lookups: &[Lookup]) -> Result<FoundMany, Error> {
        if let [only] = lookups {
            let rows = fetch_rows!(self.db, FoundRow<KnownRow>, FIND_ONE, only.as_str())?;
            return FoundMany::of(rows);
        }
        let mut texts = lookups.iter().map(Lookup::as_str);
        let mut last = "";
        let at: [&str; AT_ONCE] = std::array::from_fn(|_| {
            last = texts.next().unwrap_or(last);
            last
        });
        let rows = fetch_rows!(
            self.db,
            FoundRow<KnownRow>,
            FIND_MANY,
            at[0],
            at[1],
            at[2],
            at[3],
            at[4],
            at[5],
            at[6],
            at[7],
            at[8],
            at[9],
            at[10],
            at[11],
            at[12],
            at[13],
            at[14],
            at[15]
        )?;
        FoundMany::of(rows)
    }

    /// Returns what may be meant by a value that begins so, the earliest first, and the
    /// head, in one statement.
    pub async fn find_many_by_beginning(&self, beginning: &str) -> Result<FoundMany, Error> {
        let rows = fetch_rows!(
            self.db,
            FoundRow<KnownRow>,
            FIND_MANY_BY_BEGINNING,
            beginning
        )?;
        FoundMany::of(rows)
    }
}
