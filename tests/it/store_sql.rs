//! Every statement of the store, as text and as the two databases read it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use token_authority::store::statements;

use crate::support::{Backend, Database, both_backends};

both_backends! {
    every_statement_prepares,
    imported_values_are_found_by_their_hint,
    what_introspection_waits_for_goes_by_indices,
}

/// A misspelt column, or a type that can't be inferred, is refused here.
async fn every_statement_prepares(backend: Backend) {
    let database = Database::new(backend).await;
    let mut raw = database.raw().await;
    let mut refused = Vec::new();
    for (name, sql) in statements() {
        if let Err(error) = raw.prepare(sql).await {
            refused.push(format!("{name}: {error}"));
        }
    }
    raw.close().await;
    assert!(refused.is_empty(), "{refused:#?}");
}

/// All imported rows lack a lookup: whoever finds them by that reads them all.
async fn imported_values_are_found_by_their_hint(backend: Backend) {
    let database = Database::new(backend).await;
    let mut raw = database.raw().await;
    for wanted in [
        "find_records_by_beginning",
        "find_many_by_beginning",
        "list_imported_hashes",
    ] {
        let all = statements();
        let (_, sql) = all.iter().find(|(name, _)| *name == wanted).unwrap();
        let plan = raw.plan(&sql.replace("$1", "'acme_0123456789'")).await;
        let plan = plan.join("\n");
        assert!(plan.contains("secrets_by_hint"), "{wanted}: {plan}");
    }
    raw.close().await;
}

/// Where the tables are large, whoever reads one of them whole is noticed late.
async fn what_introspection_waits_for_goes_by_indices(backend: Backend) {
    let database = Database::new(backend).await;
    let mut raw = database.raw().await;
    let all = statements();
    for (wanted, by, from) in [
        ("find_record_by_lookup", "'0123456789ab'", "secrets"),
        ("find_many", "'0123456789ab'", "secrets"),
        ("follow", "7", "secrets"),
        ("list_keys", "", "secrets"),
    ] {
        let (_, sql) = all.iter().find(|(name, _)| *name == wanted).unwrap();
        let sql = if wanted == "list_keys" {
            // An id, as either database reads it.
            let id = match backend {
                Backend::Sqlite => "x'00'",
                Backend::Postgres => "'00000000-0000-0000-0000-000000000000'",
            };
            sql.replace("$1", id).replace("$2", "10")
        } else {
            // The longest first: $1 begins the others.
            (1..=16).rev().fold((*sql).to_owned(), |sql, number| {
                sql.replace(&format!("${number}"), by)
            })
        };
        let plan = raw.plan(&sql).await.join("\n");
        for scan in [format!("Seq Scan on {from}"), String::from("SCAN s")] {
            assert!(!plan.contains(&scan), "{wanted}: {plan}");
        }
        // No index of its own that is made for the one call.
        assert!(!plan.contains("AUTOMATIC"), "{wanted}: {plan}");
    }
    raw.close().await;
}

#[test]
fn no_two_statements_have_one_name() {
    let all = statements();
    let names: BTreeSet<_> = all.iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), all.len());
    let texts: BTreeSet<_> = all.iter().map(|(_, sql)| sql).collect();
    assert_eq!(texts.len(), all.len());
}

/// Time and chance come in as parameters, so that both databases and the tests
/// agree; columns are named, so that code runs before and after a migration.
#[test]
fn no_statement_draws_time_or_chance_or_takes_all_columns() {
    for (name, sql) in statements() {
        let sql = sql
            .to_lowercase()
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ");
        for banned in [
            "now(",
            "current_",
            "localtime",
            "clock_timestamp",
            "statement_timestamp",
            "datetime(",
            "julianday(",
            "strftime(",
            "unixepoch(",
            "random",
            "gen_random_uuid",
            "select *",
            ".*",
        ] {
            assert!(!sql.contains(banned), "{name} has {banned}");
        }
    }
}

/// A statement that is not in `STATEMENTS` is prepared by nobody before it runs.
#[test]
fn each_constant_with_sql_is_listed_under_its_name() {
    let listed: BTreeSet<_> = statements()
        .iter()
        .map(|(name, _)| name.to_uppercase())
        .collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store");
    let mut declared = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "rs") {
            let text = fs::read_to_string(path).unwrap();
            let names = text
                .lines()
                .filter_map(|line| {
                    line.trim_start_matches("pub(super) ")
                        .strip_prefix("const ")
                })
                .filter_map(|rest| rest.split_once(": &str = "))
                .filter(|(_, value)| *value == "\"" || value.starts_with("concat!("));
            declared.extend(names.map(|(name, _)| name.to_owned()));
        }
    }
    assert_eq!(declared, listed);
}
