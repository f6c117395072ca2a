//! From columns to the domain's types. What this program never writes is corrupt.

use std::time::Duration;

use super::Error;
use crate::domain::ids::TenantId;
use crate::domain::principal::Role;
use crate::domain::time::Timestamp;

/// What a statement that counts gives.
#[derive(sqlx::FromRow)]
pub(super) struct CountRow {
    pub count: i64,
}

/// Names a column that holds what it can't.
pub(super) fn corrupt(table: &'static str, column: &'static str) -> Error {
    Error::Corrupt { table, column }
}

/// Decodes a time.
pub(super) fn time(
    table: &'static str,
    column: &'static str,
    millis: i64,
) -> Result<Timestamp, Error> {
    Timestamp::from_millis(millis).ok_or_else(|| corrupt(table, column))
}

/// Decodes a time that may be absent.
pub(super) fn optional_time(
    table: &'static str,
    column: &'static str,
    millis: Option<i64>,
) -> Result<Option<Timestamp>, Error> {
    millis.map(|millis| time(table, column, millis)).transpose()
}

/// Decodes a duration that may be absent.
pub(super) fn optional_duration(
    table: &'static str,
    column: &'static str,
    millis: Option<i64>,
) -> Result<Option<Duration>, Error> {
    let duration = |millis| u64::try_from(millis).map(Duration::from_millis);
    millis
        .map(duration)
        .transpose()
        .map_err(|_| corrupt(table, column))
}

/// Encodes a duration.
pub(super) fn millis(duration: Option<Duration>) -> Option<i64> {
    duration.map(|duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX))
}

/// Decodes a tenant's id.
pub(super) fn tenant_id(
    table: &'static str,
    column: &'static str,
    text: &str,
) -> Result<TenantId, Error> {
    text.parse().map_err(|_| corrupt(table, column))
}

/// Decodes a role.
pub(super) fn role(table: &'static str, column: &'static str, text: &str) -> Result<Role, Error> {
    match text {
        "member" => Ok(Role::Member),
        "admin" => Ok(Role::Admin),
        _ => Err(corrupt(table, column)),
    }
}

/// Encodes a role.
pub(super) fn role_text(role: Role) -> &'static str {
    match role {
        Role::Member => "member",
        Role::Admin => "admin",
    }
}
