//! What a process that keeps answers in memory follows: the log of changes, and by which
//! keys the values are found that a change is about.

use super::backend::{fetch_all, fetch_rows};
use super::changes::ChangeRow;
use super::row::corrupt;
use super::{Error, Store, Tx};
use crate::domain::change::{Change, ChangeNumber, Revision};
use crate::domain::foreign::ValueKey;
use crate::domain::ids::{SecretId, TenantId, TokenId};
use crate::domain::value::{Lookup, Prefix};

/// By numbers and not by rows: who goes on after a number must have had all of it. At
/// least one row comes, for the head. The keys are joined into one text, an imported
/// value's after a blank; joined as a table they would have `PostgreSQL` read all of it
/// where it guesses that many changes follow.
const FOLLOW: &str = "
    SELECT h.incarnation AS head_incarnation, h.number AS head_number,
           c.number, c.kind, c.tenant_id, c.user_id, c.token_id,
           (SELECT string_agg(COALESCE(s.lookup, ' ' || s.hint), ',')
              FROM secrets s
             WHERE s.token_id = c.token_id) AS value_keys
      FROM log_head h
      LEFT JOIN changes c ON c.number > $1 AND c.number <= $1 + $2
     WHERE h.singleton = 1
     ORDER BY c.number, c.position";

/// By rows: what is inserted meanwhile is no part of the snapshot.
const LIST_KEYS: &str = "
    SELECT secret_id, lookup, CASE WHEN lookup IS NULL THEN hint END AS imported_hint
      FROM secrets
     WHERE secret_id > $1
     ORDER BY secret_id
     LIMIT $2";

const LIST_HINT_LENGTHS: &str = "
    SELECT n.prefix, l.hint_length
      FROM import_hints l
      JOIN tenants n ON n.tenant_id = l.tenant_id
     ORDER BY n.prefix, l.hint_length";

/// What was created together, and so has one number. Its rows are the newest.
const LIST_CREATED_KEYS: &str = "
    SELECT s.secret_id, s.lookup, CASE WHEN s.lookup IS NULL THEN s.hint END AS imported_hint
      FROM tokens t
      JOIN secrets s ON s.token_id = t.token_id
     WHERE t.tenant_id = $1 AND t.token_id >= $2 AND t.created_number = $3
     ORDER BY s.secret_id";

pub(super) const STATEMENTS: &[(&str, &str)] = &[
    ("follow", FOLLOW),
    ("list_keys", LIST_KEYS),
    ("list_created_keys", LIST_CREATED_KEYS),
    ("list_hint_lengths", LIST_HINT_LENGTHS),
];

/// A change, as the log has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// The number of its transaction.
    pub number: ChangeNumber,
    /// What it may have altered.
    pub change: Change,
    /// The keys of all values, ended ones too, of the token that it is about. A token that
    /// was removed for good since has none.
    pub keys: Vec<ValueKey>,
}

/// What one look at the log found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Followed {
    /// The last change that the snapshot includes.
    pub head: Revision,
    /// What follows the number that was asked about, in order.
    pub changes: Vec<Logged>,
}

#[derive(sqlx::FromRow)]
struct LoggedRow {
    head_incarnation: String,
    head_number: i64,
    number: Option<i64>,
    kind: Option<String>,
    tenant_id: Option<String>,
    user_id: Option<uuid::Uuid>,
    token_id: Option<uuid::Uuid>,
    value_keys: Option<String>,
}

impl LoggedRow {
    fn logged(self) -> Result<Option<Logged>, Error> {
        let Some(number) = self.number else {
            return Ok(None);
        };
        let row = ChangeRow {
            number,
            kind: self.kind.unwrap_or_default(),
            tenant_id: self.tenant_id,
            user_id: self.user_id,
            token_id: self.token_id,
        };
        let (number, change) = row.try_into()?;
        let joined = self.value_keys.unwrap_or_default();
        let mut texts: Vec<_> = joined.split(',').filter(|text| !text.is_empty()).collect();
        // In what order they are joined, neither database says.
        texts.sort_unstable();
        let keys = texts.into_iter().map(|text| match text.strip_prefix(' ') {
            Some(hint) => Ok(ValueKey::Hint(hint.to_owned())),
            None => lookup(text).map(ValueKey::Lookup),
        });
        let keys = keys.collect::<Result<_, _>>()?;
        Ok(Some(Logged {
            number,
            change,
            keys,
        }))
    }
}

/// Decodes a lookup.
fn lookup(text: &str) -> Result<Lookup, Error> {
    Lookup::from_stored(text).ok_or_else(|| corrupt("secrets", "lookup"))
}

/// Decodes the key of a value: its lookup, or that of an imported one, its hint.
pub(super) fn value_key(text: Option<&str>, hint: Option<String>) -> Result<ValueKey, Error> {
    match text {
        Some(text) => lookup(text).map(ValueKey::Lookup),
        None => hint
            .map(ValueKey::Hint)
            .ok_or_else(|| corrupt("secrets", "hint")),
    }
}

#[derive(sqlx::FromRow)]
struct KeyRow {
    secret_id: uuid::Uuid,
    lookup: Option<String>,
    imported_hint: Option<String>,
}

impl TryFrom<KeyRow> for (SecretId, ValueKey) {
    type Error = Error;

    fn try_from(row: KeyRow) -> Result<Self, Error> {
        let key = value_key(row.lookup.as_deref(), row.imported_hint)?;
        Ok((row.secret_id.into(), key))
    }
}

#[derive(sqlx::FromRow)]
struct HintLengthRow {
    prefix: String,
    hint_length: i64,
}

impl TryFrom<HintLengthRow> for (Prefix, usize) {
    type Error = Error;

    fn try_from(row: HintLengthRow) -> Result<Self, Error> {
        let prefix = row.prefix.parse();
        let length = usize::try_from(row.hint_length);
        Ok((
            prefix.map_err(|_| corrupt("tenants", "prefix"))?,
            length.map_err(|_| corrupt("import_hints", "hint_length"))?,
        ))
    }
}

impl Store {
    /// Returns the changes of at most so many numbers after one, in order, each number's
    /// whole, and the head, in one statement.
    pub async fn follow(&self, after: ChangeNumber, numbers: u32) -> Result<Followed, Error> {
        let numbers = i64::from(numbers);
        let rows = fetch_rows!(self.db, LoggedRow, FOLLOW, after.0, numbers)?;
        let mut head = None;
        let mut changes = Vec::with_capacity(rows.len());
        for mut row in rows {
            head.get_or_insert_with(|| Revision {
                incarnation: std::mem::take(&mut row.head_incarnation),
                number: ChangeNumber(row.head_number),
            });
            changes.extend(row.logged()?);
        }
        let head = head.ok_or_else(|| corrupt("log_head", "singleton"))?;
        Ok(Followed { head, changes })
    }
}

impl Store {
    /// Returns the keys of the values of tokens that were created together, the first of
    /// which has this id, under this number.
    pub async fn list_created_keys(
        &self,
        tenant_id: &TenantId,
        first: TokenId,
        number: ChangeNumber,
    ) -> Result<Vec<ValueKey>, Error> {
        let (tenant_id, first) = (tenant_id.as_str(), first.uuid());
        let rows = fetch_rows!(
            self.db,
            KeyRow,
            LIST_CREATED_KEYS,
            tenant_id,
            first,
            number.0
        )?;
        let keys = rows.into_iter().map(<(SecretId, ValueKey)>::try_from);
        keys.map(|key| Ok(key?.1)).collect()
    }
}

impl Tx {
    /// Returns the keys of at most so many values after one, in an order of their own.
    pub async fn list_keys(
        &mut self,
        after: Option<SecretId>,
        most: u32,
    ) -> Result<Vec<(SecretId, ValueKey)>, Error> {
        let after = after.map_or_else(uuid::Uuid::nil, SecretId::uuid);
        let rows = fetch_all!(self.inner, KeyRow, LIST_KEYS, after, i64::from(most))?;
        rows.into_iter().map(TryInto::try_into).collect()
    }

    /// Returns how long the hints of imported values may be, by their tenants' prefixes.
    pub async fn list_hint_lengths(&mut self) -> Result<Vec<(Prefix, usize)>, Error> {
        let rows = fetch_all!(self.inner, HintLengthRow, LIST_HINT_LENGTHS)?;
        rows.into_iter().map(TryInto::try_into).collect()
    }
}
