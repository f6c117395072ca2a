//! All that decides what a token is worth, in one statement: one snapshot on
//! either database.

use sqlx::{ColumnIndex, Decode, FromRow, Row, Type};

use super::backend::{fetch_all, fetch_one, fetch_optional, fetch_rows};
use super::row::{corrupt, optional_time};
use super::scopes;
use super::token_row::{TokenRow, token_columns, token_joins};
use super::{Error, Store, Tx};
use crate::domain::change::{ChangeNumber, Revision};
use crate::domain::fingerprint::{Fingerprint, KeyId, SecretHash};
use crate::domain::ids::TokenId;
use crate::domain::introspection::{Record, Standing, Verifier};
use crate::domain::value::Lookup;

/// The head, and the columns of the value `s`: with each record that is found by its
/// value.
macro_rules! found_columns {
    () => {
        "h.incarnation AS head_incarnation, h.number AS head_number,
         s.secret_id, s.secret_hash, s.fingerprint, s.fingerprint_key, s.ends_at,
         s.reused_at, "
    };
}

/// The columns of a token's tenant; goes with [`standing_joins`].
macro_rules! standing_columns {
    () => {
        ", n.prefix AS tenant_prefix, n.suspended_at AS tenant_suspended_at,
           n.deleted_at AS tenant_deleted_at "
    };
}

/// The tables beside `tokens t` that judge it, where there may be no token.
macro_rules! standing_joins {
    () => {
        concat!(
            " LEFT JOIN tokens t ON t.token_id = s.token_id
              LEFT JOIN tenants n ON n.tenant_id = t.tenant_id
              LEFT JOIN catalogs c ON c.tenant_id = t.tenant_id ",
            $crate::store::token_row::token_joins!()
        )
    };
}

/// The lengths that hints may have; begins a statement with [`begun_values`].
macro_rules! widths {
    () => {
        "WITH widths(width) AS (VALUES (4), (5), (6), (7), (8), (9), (10), (11), (12), (13), (14),
                                       (15), (16), (17), (18), (19), (20), (21), (22), (23),
                                       (24), (25), (26), (27), (28), (29), (30), (31), (32)) "
    };
}

/// The imported values of which the text `$1` may be one, as `s`: their hints begin it.
/// Only hints of lengths that some tenant's have are looked for.
/// `COALESCE` keeps `SQLite` from reading all imported rows by their lookup, which is null.
macro_rules! begun_values {
    () => {
        " LEFT JOIN (SELECT i.secret_id, i.token_id, i.hint, i.secret_hash, i.fingerprint,
                            i.fingerprint_key, i.ends_at, i.reused_at
                       FROM widths w
                       JOIN secrets i ON i.hint = substr(CAST($1 AS TEXT), 1, w.width)
                      WHERE length(i.hint) = w.width AND COALESCE(i.lookup, '') = ''
                        AND EXISTS (SELECT 1
                                      FROM import_hints l
                                     WHERE l.hint_length = w.width)) s
            ON h.singleton = 1 "
    };
}

pub(super) use {begun_values, found_columns, standing_columns, standing_joins, widths};

/// The head comes along whether or not the lookup is known: it is read in the
/// same snapshot, and each answer names it.
const FIND_RECORD_BY_LOOKUP: &str = concat!(
    "SELECT ",
    found_columns!(),
    token_columns!(),
    standing_columns!(),
    ", c.document AS catalog_document
      FROM log_head h
      LEFT JOIN secrets s ON s.lookup = $1",
    standing_joins!(),
    " WHERE h.singleton = 1"
);

/// At least one row comes, for the head.
const FIND_RECORDS_BY_BEGINNING: &str = concat!(
    widths!(),
    "SELECT ",
    found_columns!(),
    token_columns!(),
    standing_columns!(),
    ", c.document AS catalog_document
      FROM log_head h",
    begun_values!(),
    standing_joins!(),
    " WHERE h.singleton = 1
      ORDER BY s.secret_id"
);

const FIND_RECORD_BY_TOKEN: &str = concat!(
    "SELECT ",
    token_columns!(),
    standing_columns!(),
    ", c.document AS catalog_document
      FROM tokens t
      JOIN tenants n ON n.tenant_id = t.tenant_id
      JOIN catalogs c ON c.tenant_id = t.tenant_id ",
    token_joins!(),
    " WHERE t.token_id = $1"
);

pub(super) const STATEMENTS: &[(&str, &str)] = &[
    ("find_record_by_lookup", FIND_RECORD_BY_LOOKUP),
    ("find_records_by_beginning", FIND_RECORDS_BY_BEGINNING),
    ("find_record_by_token", FIND_RECORD_BY_TOKEN),
];

/// What one look at the store found of a lookup.
#[derive(Clone, Debug)]
pub struct Found {
    /// The last change that the snapshot includes.
    pub head: Revision,
    /// The record and what verifies the value; `None` for an unknown lookup.
    pub record: Option<(Record, Verifier)>,
}

/// What one look at the store found of a value that may have been imported.
#[derive(Clone, Debug)]
pub struct Candidates {
    /// The last change that the snapshot includes.
    pub head: Revision,
    /// Each record whose value it may be, and what verifies that; the earliest first.
    pub records: Vec<(Record, Verifier)>,
}

#[derive(sqlx::FromRow)]
pub(super) struct StandingRow {
    #[sqlx(rename = "tenant_prefix")]
    prefix: String,
    #[sqlx(rename = "tenant_suspended_at")]
    suspended_at: Option<i64>,
    #[sqlx(rename = "tenant_deleted_at")]
    deleted_at: Option<i64>,
}

impl TryFrom<StandingRow> for Standing {
    type Error = Error;

    fn try_from(row: StandingRow) -> Result<Self, Error> {
        let prefix = row.prefix.parse();
        Ok(Self {
            prefix: prefix.map_err(|_| corrupt("tenants", "prefix"))?,
            suspended: row.suspended_at.is_some(),
            deleted: row.deleted_at.is_some(),
        })
    }
}

#[derive(sqlx::FromRow)]
struct RecordRow {
    #[sqlx(flatten)]
    token: TokenRow,
    #[sqlx(flatten)]
    tenant: StandingRow,
    catalog_document: String,
}

impl TryFrom<RecordRow> for Record {
    type Error = Error;

    fn try_from(row: RecordRow) -> Result<Self, Error> {
        Ok(Self {
            token: row.token.try_into()?,
            tenant: row.tenant.try_into()?,
            catalog: scopes::parse(&row.catalog_document)?,
        })
    }
}

#[derive(sqlx::FromRow)]
pub(super) struct VerifierRow {
    secret_id: uuid::Uuid,
    secret_hash: String,
    fingerprint: Option<Vec<u8>>,
    fingerprint_key: Option<String>,
    ends_at: Option<i64>,
    reused_at: Option<i64>,
}

impl TryFrom<VerifierRow> for Verifier {
    type Error = Error;

    fn try_from(row: VerifierRow) -> Result<Self, Error> {
        let fingerprint = match (row.fingerprint, row.fingerprint_key) {
            (Some(bytes), Some(key)) => {
                let bytes: [u8; 32] = bytes
                    .try_into()
                    .map_err(|_| corrupt("secrets", "fingerprint"))?;
                Some((KeyId(key), Fingerprint::from(bytes)))
            }
            _ => None,
        };
        Ok(Self {
            secret_id: row.secret_id.into(),
            secret_hash: SecretHash::new(row.secret_hash),
            fingerprint,
            ends_at: optional_time("secrets", "ends_at", row.ends_at)?,
            reused: row.reused_at.is_some(),
        })
    }
}

/// The head, and what was found by a value, if anything was.
pub(super) struct FoundRow<T> {
    head_incarnation: String,
    head_number: i64,
    found: Option<(T, VerifierRow)>,
}

impl<'r, R, T> FromRow<'r, R> for FoundRow<T>
where
    R: Row,
    &'r str: ColumnIndex<R>,
    T: FromRow<'r, R>,
    VerifierRow: FromRow<'r, R>,
    String: Decode<'r, R::Database> + Type<R::Database>,
    i64: Decode<'r, R::Database> + Type<R::Database>,
    Option<uuid::Uuid>: Decode<'r, R::Database> + Type<R::Database>,
{
    fn from_row(row: &'r R) -> Result<Self, sqlx::Error> {
        let known = row.try_get::<Option<uuid::Uuid>, _>("secret_id")?.is_some();
        let found = if known {
            Some((T::from_row(row)?, VerifierRow::from_row(row)?))
        } else {
            None
        };
        Ok(Self {
            head_incarnation: row.try_get("head_incarnation")?,
            head_number: row.try_get("head_number")?,
            found,
        })
    }
}

impl<T> FoundRow<T> {
    /// Returns the head, and what was found, decoded.
    pub(super) fn decode<D>(self) -> Result<(Revision, Option<(D, Verifier)>), Error>
    where
        D: TryFrom<T, Error = Error>,
    {
        let head = Revision {
            incarnation: self.head_incarnation,
            number: ChangeNumber(self.head_number),
        };
        let found = match self.found {
            Some((found, verifier)) => Some((found.try_into()?, verifier.try_into()?)),
            None => None,
        };
        Ok((head, found))
    }

    /// Returns the head, which each row has, and all that was found, decoded.
    pub(super) fn decode_all<D>(rows: Vec<Self>) -> Result<(Revision, Vec<(D, Verifier)>), Error>
    where
        D: TryFrom<T, Error = Error>,
    {
        let mut head = None;
        let mut all = Vec::with_capacity(rows.len());
        for row in rows {
            let (read, found) = row.decode()?;
            head.get_or_insert(read);
            all.extend(found);
        }
        let head = head.ok_or_else(|| corrupt("log_head", "singleton"))?;
        Ok((head, all))
    }
}

impl TryFrom<FoundRow<RecordRow>> for Found {
    type Error = Error;

    fn try_from(row: FoundRow<RecordRow>) -> Result<Self, Error> {
        let (head, record) = row.decode()?;
        Ok(Self { head, record })
    }
}

impl Candidates {
    fn of(rows: Vec<FoundRow<RecordRow>>) -> Result<Self, Error> {
        let (head, records) = FoundRow::decode_all(rows)?;
        Ok(Self { head, records })
    }
}

impl Store {
    /// Returns what may be meant by a value that begins so, and the head, in one
    /// statement.
    pub async fn find_records_by_beginning(&self, beginning: &str) -> Result<Candidates, Error> {
        let rows = fetch_rows!(
            self.db,
            FoundRow<RecordRow>,
            FIND_RECORDS_BY_BEGINNING,
            beginning
        )?;
        Candidates::of(rows)
    }

    /// Returns what is known of a lookup, and the head, in one statement.
    pub async fn find_record_by_lookup(&self, lookup: &Lookup) -> Result<Found, Error> {
        let lookup = lookup.as_str();
        let row = fetch_one!(self.db, FoundRow<RecordRow>, FIND_RECORD_BY_LOOKUP, lookup)?;
        row.try_into()
    }
}

impl Tx {
    /// Returns what may be meant by a value that begins so, and the head, as of the
    /// transaction's snapshot.
    pub async fn find_records_by_beginning(
        &mut self,
        beginning: &str,
    ) -> Result<Candidates, Error> {
        let rows = fetch_all!(
            self.inner,
            FoundRow<RecordRow>,
            FIND_RECORDS_BY_BEGINNING,
            beginning
        )?;
        Candidates::of(rows)
    }

    /// Returns what is known of a lookup, and the head, as of the transaction's snapshot.
    pub async fn find_record_by_lookup(&mut self, lookup: &Lookup) -> Result<Found, Error> {
        let lookup = lookup.as_str();
        let row = fetch_optional!(
            self.inner,
            FoundRow<RecordRow>,
            FIND_RECORD_BY_LOOKUP,
            lookup
        )?;
        let row = row.ok_or_else(|| corrupt("log_head", "singleton"))?;
        row.try_into()
    }

    /// Returns a token's record as of the transaction's snapshot.
    pub async fn find_record_by_token(
        &mut self,
        token_id: TokenId,
    ) -> Result<Option<Record>, Error> {
        let row = fetch_optional!(self.inner, RecordRow, FIND_RECORD_BY_TOKEN, token_id.uuid())?;
        row.map(Record::try_from).transpose()
    }
}
