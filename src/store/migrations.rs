//! The migrations of the schema: which this program knows, and on which schemas it starts.

use std::sync::LazyLock;

use sqlx::migrate::Migrator;

use super::Error;

pub(super) static SQLITE_MIGRATIONS: LazyLock<Migrator> =
    LazyLock::new(|| lenient(sqlx::migrate!("src/store/migrations/sqlite")));
pub(super) static POSTGRES_MIGRATIONS: LazyLock<Migrator> =
    LazyLock::new(|| lenient(sqlx::migrate!("src/store/migrations/postgres")));

pub(super) const LIST_MIGRATIONS: &str = "
    SELECT version, description
      FROM _sqlx_migrations
     ORDER BY version";

pub(super) const STATEMENTS: &[(&str, &str)] = &[("LIST_MIGRATIONS", LIST_MIGRATIONS)];

/// What the name of a migration begins with that takes something away. The number of the
/// oldest migration whose programs do without it comes next.
const CONTRACT: &str = "contract since ";

/// Returns the numbers, names and checksums of the migrations of either side.
#[doc(hidden)]
pub fn migrations() -> [&'static Migrator; 2] {
    [&SQLITE_MIGRATIONS, &POSTGRES_MIGRATIONS]
}

/// Has a migrator run on a schema that a newer program has migrated: beside one that is
/// being replaced, the older program may have to start again.
fn lenient(mut migrator: Migrator) -> Migrator {
    migrator.set_ignore_missing(true);
    migrator
}

/// Looks at what has been applied that this program does not know: what a newer one added
/// is no hindrance, what it took away is, and so is what no newer one did.
pub(super) fn judge(applied: &[(i64, String)], known: &Migrator) -> Result<(), Error> {
    let newest = known.iter().map(|known| known.version).max();
    let newest = newest.unwrap_or_default();
    let mut newer = None;
    for (version, name) in applied {
        if known.version_exists(*version) {
            continue;
        }
        let since = name.strip_prefix(CONTRACT).and_then(|since| {
            let since = since.split_whitespace().next()?;
            since.parse::<i64>().ok()
        });
        if *version < newest {
            return Err(Error::Open(format!(
                "the schema is not of this program: migration {version} is unknown to it"
            )));
        }
        if since.is_some_and(|since| newest < since) {
            return Err(Error::Open(format!(
                "the schema is newer than this program: migration {version} took away what it \
                 uses; start the version that migrated it, or a later one"
            )));
        }
        newer = Some(*version);
    }
    if let Some(migration) = newer {
        tracing::warn!(
            migration,
            "the schema is newer than this program, which goes on with what it knows of it"
        );
    }
    Ok(())
}

/// Brings the schema up to date, on a pool or a connection.
macro_rules! migrate {
    ($on:expr, $migrations:expr) => {{
        let known: &sqlx::migrate::Migrator = &$migrations;
        known
            .run($on)
            .await
            .map_err($crate::store::Error::Migrate)?;
        let applied = sqlx::query_as($crate::store::migrations::LIST_MIGRATIONS)
            .fetch_all($on)
            .await?;
        $crate::store::migrations::judge(&applied, known)
    }};
}

pub(super) use migrate;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_that_others_migrated_is_taken_unless_it_lacks_what_is_used() {
        let known = &*SQLITE_MIGRATIONS;
        let newest = known.iter().map(|known| known.version).max().unwrap();
        let with = |more: &[(i64, String)]| {
            let ours = known
                .iter()
                .map(|known| (known.version, known.description.to_string()));
            let applied: Vec<_> = ours.chain(more.iter().cloned()).collect();
            judge(&applied, known).is_ok()
        };
        let contract = |since: i64| (newest + 9, format!("contract since {since:04} names"));
        assert!(with(&[]));
        assert!(with(&[(newest + 1, String::from("names"))]));
        assert!(with(&[(newest + 1, String::from("contractors"))]));
        assert!(with(&[contract(newest)]));
        assert!(with(&[contract(newest - 1)]));
        assert!(!with(&[contract(newest + 1)]));
        assert!(!with(&[(0, String::from("of another lineage"))]));
    }
}
