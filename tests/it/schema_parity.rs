//! The two schemas are one schema, and what was applied once is never edited.

use std::fmt::Write as _;

use token_authority::store::migrations;

use crate::support::{Backend, Database};

/// A line for each column, key and index of a migrated `SQLite` file.
const SQLITE_SCHEMA: &str = "
    WITH tables AS (
        SELECT name
          FROM sqlite_schema
         WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
           AND name <> '_sqlx_migrations'
    ),
    indexes AS (
        SELECT t.name AS table_name, i.name AS index_name, i.\"unique\" AS is_unique,
               i.origin, i.partial,
               (SELECT group_concat(column_name, ', ')
                  FROM (SELECT x.name || iif(x.\"desc\", ' desc', '') AS column_name
                          FROM pragma_index_xinfo(i.name) x
                         WHERE x.key
                         ORDER BY x.seqno)) AS columns
          FROM tables t, pragma_index_list(t.name) i
    )
    SELECT printf('%s column %02d %s %s%s%s', t.name, c.cid + 1, c.name, c.type,
                  iif(c.\"notnull\", ' not null', ''), iif(c.dflt_value IS NULL, '', ' default'))
      FROM tables t, pragma_table_info(t.name) c
    UNION ALL
    SELECT printf('%s primary key (%s)', t.name,
                  (SELECT group_concat(name, ', ')
                     FROM (SELECT name FROM pragma_table_info(t.name) WHERE pk > 0 ORDER BY pk)))
      FROM tables t
    UNION ALL
    SELECT printf('%s unique (%s)', table_name, columns) FROM indexes WHERE origin = 'u'
    UNION ALL
    SELECT printf('%s index %s (%s)%s%s', table_name, index_name, columns,
                  iif(is_unique, ' unique', ''), iif(partial, ' partial', ''))
      FROM indexes
     WHERE origin = 'c'
    UNION ALL
    SELECT printf('%s references %s by %s', t.name, f.\"table\", f.\"from\")
      FROM tables t, pragma_foreign_key_list(t.name) f
     ORDER BY 1";

/// The same of a migrated `PostgreSQL` database.
const POSTGRES_SCHEMA: &str = "
    WITH tables AS (
        SELECT c.oid, c.relname AS name
          FROM pg_class c
         WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
           AND c.relname <> '_sqlx_migrations'
    ),
    indexes AS (
        SELECT t.name AS table_name, i.indexrelid::regclass::text AS index_name,
               i.indisunique, i.indisprimary, i.indpred IS NOT NULL AS partial,
               EXISTS (SELECT 1 FROM pg_constraint k
                        WHERE k.conindid = i.indexrelid AND k.contype = 'u') AS is_constraint,
               (SELECT string_agg(a.attname
                                  || CASE WHEN i.indoption[k.place - 1] & 1 = 1
                                          THEN ' desc' ELSE '' END, ', ' ORDER BY k.place)
                  FROM unnest(i.indkey) WITH ORDINALITY k (number, place)
                  JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.number) AS columns
          FROM tables t
          JOIN pg_index i ON i.indrelid = t.oid
    )
    SELECT format('%s column %s %s %s%s%s', t.name, to_char(a.attnum, 'FM00'), a.attname,
                  CASE format_type(a.atttypid, a.atttypmod)
                      WHEN 'bigint' THEN 'INTEGER'
                      WHEN 'boolean' THEN 'INTEGER'
                      WHEN 'text' THEN 'TEXT'
                      WHEN 'uuid' THEN 'BLOB'
                      WHEN 'bytea' THEN 'BLOB'
                      ELSE 'a type that is not among ours'
                  END,
                  CASE WHEN a.attnotnull THEN ' not null' ELSE '' END,
                  CASE WHEN a.atthasdef THEN ' default' ELSE '' END)
      FROM tables t
      JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT format('%s primary key (%s)', table_name, columns) FROM indexes WHERE indisprimary
    UNION ALL
    SELECT format('%s unique (%s)', table_name, columns) FROM indexes WHERE is_constraint
    UNION ALL
    SELECT format('%s index %s (%s)%s%s', table_name, index_name, columns,
                  CASE WHEN indisunique THEN ' unique' ELSE '' END,
                  CASE WHEN partial THEN ' partial' ELSE '' END)
      FROM indexes
     WHERE NOT indisprimary AND NOT is_constraint
    UNION ALL
    SELECT format('%s references %s by %s', t.name, k.confrelid::regclass,
                  (SELECT string_agg(a.attname, ', ')
                     FROM pg_attribute a
                    WHERE a.attrelid = t.oid AND a.attnum = ANY (k.conkey)))
      FROM tables t
      JOIN pg_constraint k ON k.conrelid = t.oid AND k.contype = 'f'
     ORDER BY 1";

#[test]
fn both_sides_have_the_same_migrations() {
    let [sqlite, postgres] = migrations().map(|side| {
        side.iter()
            .map(|migration| (migration.version, migration.description.to_string()))
            .collect::<Vec<_>>()
    });
    assert_eq!(sqlite, postgres);
    let numbers: Vec<_> = sqlite.iter().map(|(version, _)| *version).collect();
    let expected: Vec<_> = (1..).take(numbers.len()).collect();
    assert_eq!(numbers, expected, "the numbers of migrations have a gap");
}

/// An installation has the checksum of what it applied and refuses to start with
/// another text under that number.
#[test]
fn an_applied_migration_is_never_edited() {
    let mut checksums = String::new();
    for (side, migrator) in ["sqlite", "postgres"].iter().zip(migrations()) {
        for migration in migrator.iter() {
            write!(checksums, "{side} {:04} ", migration.version).unwrap();
            for byte in migration.checksum.iter() {
                write!(checksums, "{byte:02x}").unwrap();
            }
            checksums.push('\n');
        }
    }
    let applied = include_str!("migrations.sha");
    for line in applied.lines() {
        assert!(
            checksums.lines().any(|present| present == line),
            "a migration was edited or removed that may have been applied: undo that, and add a \
             new one to both sides instead. Its line in tests/it/migrations.sha: {line}"
        );
    }
    assert_eq!(
        applied, checksums,
        "add the lines of new migrations to tests/it/migrations.sha, as on the right"
    );
}

#[tokio::test]
async fn both_databases_have_the_same_schema() {
    let sqlite = Database::new(Backend::Sqlite).await;
    let postgres = Database::new(Backend::Postgres).await;
    let sqlite = sqlite.texts(SQLITE_SCHEMA).await;
    let mut postgres = postgres.texts(POSTGRES_SCHEMA).await;
    // The server may sort by another collation.
    postgres.sort_unstable();
    let mut sorted = sqlite.clone();
    sorted.sort_unstable();
    assert_eq!(sqlite, sorted);
    assert_eq!(sqlite.join("\n"), postgres.join("\n"));
    for expected in [
        "log_head column 03 number INTEGER not null",
        "secrets column 06 fingerprint BLOB",
        "changes primary key (number, position)",
        "tenants unique (prefix)",
        "tokens index tokens_by_age (tenant_id, kind, created_at, token_id)",
        "users index users_by_external_id (vouching_tenant_id, external_id) unique partial",
        "secrets references tokens by token_id",
    ] {
        assert!(
            sqlite.iter().any(|line| line == expected),
            "not seen: {expected}\n{}",
            sqlite.join("\n")
        );
    }
    let defaults = sqlite.iter().filter(|line| line.ends_with("default"));
    assert_eq!(defaults.count(), 0, "a value comes in as a parameter");
}

#[tokio::test]
async fn each_file_table_is_strict() {
    let database = Database::new(Backend::Sqlite).await;
    let lax = database
        .texts(
            "SELECT name FROM pragma_table_list
              WHERE schema = 'main' AND type = 'table' AND NOT strict
                AND name NOT IN ('_sqlx_migrations', 'sqlite_schema', 'sqlite_sequence')",
        )
        .await;
    assert!(lax.is_empty(), "not STRICT: {lax:?}");
}

/// Else the server would sort by its own locale, and pages would differ.
#[tokio::test]
async fn each_text_on_the_server_is_compared_by_its_bytes() {
    let database = Database::new(Backend::Postgres).await;
    let other = database
        .texts(
            "SELECT format('%s.%s', table_name, column_name) FROM information_schema.columns
              WHERE table_schema = 'public' AND table_name <> '_sqlx_migrations'
                AND data_type = 'text' AND collation_name IS DISTINCT FROM 'C'",
        )
        .await;
    assert!(other.is_empty(), "without COLLATE \"C\": {other:?}");
}
