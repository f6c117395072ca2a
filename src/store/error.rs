//! What can go wrong with the store. Absence is not among it: that is `None`.

/// A failure of the store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A row that must be unique exists, or a guard found another version.
    #[error("a conflicting row exists")]
    Conflict(#[source] Option<sqlx::Error>),
    /// A row holds what this program never writes.
    #[error("corrupt value in {table}.{column}")]
    Corrupt {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
    },
    /// The database can't be reached, is overloaded, or gave up waiting. What was
    /// asked may be asked again.
    #[error("the database is unavailable")]
    Unavailable(#[source] sqlx::Error),
    /// The same, when it was told to commit: nobody knows whether it did.
    #[error("the database is unavailable, and may have committed")]
    Uncertain(#[source] Box<Error>),
    /// The database refused a statement: a fault of this program or its schema.
    #[error("the database refused a statement")]
    Driver(#[source] sqlx::Error),
    /// The migrations could not be applied.
    #[error("the schema could not be migrated")]
    Migrate(#[source] sqlx::migrate::MigrateError),
    /// Another process holds the database alone; in words for a person.
    #[error("{0}")]
    Held(String),
    /// The database can't be opened, for a reason to be read by a person.
    #[error("{0}")]
    Open(String),
}

/// PostgreSQL's classes (Appendix A of its manual) that mean "not now":
/// 08 connection, 25006 a standby, 25P03 a session ended for idling, 28 a refused
/// login, 3D a database that is not there, 40 rollback, 53 resources, 55000 a database
/// that takes no connections, 55P03 a lock not had in time, 57 operator intervention,
/// 58 system error.
fn is_transient(code: &str) -> bool {
    [
        "08", "25006", "25P03", "28", "3D", "40", "53", "55000", "55P03", "57", "58",
    ]
    .iter()
    .any(|class| code.starts_with(class))
}

/// `SQLite`'s primary result codes that mean "not now": BUSY, LOCKED, READONLY,
/// IOERR, FULL, CANTOPEN.
fn is_transient_sqlite(code: &str) -> bool {
    let primary = code.parse::<u32>().map(|code| code & 0xff);
    matches!(primary, Ok(5 | 6 | 8 | 10 | 13 | 14))
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        let Some(database) = error.as_database_error() else {
            let refused = matches!(
                error,
                sqlx::Error::RowNotFound
                    | sqlx::Error::ColumnNotFound(_)
                    | sqlx::Error::ColumnIndexOutOfBounds { .. }
                    | sqlx::Error::ColumnDecode { .. }
                    | sqlx::Error::Decode(_)
                    | sqlx::Error::Encode(_)
                    | sqlx::Error::TypeNotFound { .. }
                    | sqlx::Error::Configuration(_)
            );
            return if refused {
                Self::Driver(error)
            } else {
                Self::Unavailable(error)
            };
        };
        if database.kind() == sqlx::error::ErrorKind::UniqueViolation {
            return Self::Conflict(Some(error));
        }
        let postgres = database
            .try_downcast_ref::<sqlx::postgres::PgDatabaseError>()
            .is_some();
        let transient = database.code().is_some_and(|code| {
            if postgres {
                is_transient(&code)
            } else {
                is_transient_sqlite(&code)
            }
        });
        if transient {
            Self::Unavailable(error)
        } else {
            Self::Driver(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_that_mean_not_now() {
        for code in [
            "08006", "25006", "25P03", "28P01", "3D000", "40001", "40P01", "53300", "55P03",
            "55000", "57014", "57P01",
        ] {
            assert!(is_transient(code), "{code}");
        }
        for code in ["23505", "42703", "22P02", "25P02"] {
            assert!(!is_transient(code), "{code}");
        }
        for code in ["5", "261", "10", "2570", "13", "14", "8", "1032"] {
            assert!(is_transient_sqlite(code), "{code}");
        }
        for code in ["1", "19", "2067", "x"] {
            assert!(!is_transient_sqlite(code), "{code}");
        }
    }
}
