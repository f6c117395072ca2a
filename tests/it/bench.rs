//! `bench`, at sizes that prove that it measures what it says and checks what it gets. No
//! figure is held to anything.

use std::path::Path;

use serde_json::Value;
use token_authority::config::Config;
use token_authority::pb;

use crate::support::{Backend, Database, Program, TestServer, both_backends};

both_backends! {
    a_load_is_measured_beside_the_no_op,
    creations_revocations_and_bad_values_go_on_beside,
    each_token_is_asked_about_once_after_a_restart,
    a_server_elsewhere_is_held_to_what_it_answered,
}

/// Runs it on an empty database; returns what it printed, as JSON.
async fn measured(backend: Backend, words: &[&str]) -> Value {
    let temporary = tempfile::tempdir().unwrap();
    let database = Database::new(backend).await;
    let mut words: Vec<String> = ["bench"]
        .iter()
        .chain(words)
        .map(|&word| word.into())
        .collect();
    words.extend(["--json", "--tenants", "3", "--set", "hashing.cost=4"].map(String::from));
    if backend == Backend::Postgres {
        let file = temporary.path().join("url");
        std::fs::write(&file, url(&database)).unwrap();
        words.extend([
            String::from("--database-url-file"),
            file.display().to_string(),
        ]);
    }
    let (code, said) = ended(&words, temporary.path()).await;
    assert_eq!(code, Some(0), "{said}");
    json(&said)
}

/// Returns the report; before it stands how far it has come.
fn json(said: &str) -> Value {
    // What tells how far it has come is another stream, before it or after.
    let begins = said
        .find("{\n")
        .unwrap_or_else(|| panic!("no report in {said}"));
    let mut reports = serde_json::Deserializer::from_str(&said[begins..]).into_iter();
    let report = reports.next().unwrap();
    report.unwrap_or_else(|error| panic!("{error}: {said}"))
}

fn url(database: &Database) -> String {
    let mut config = Config::default();
    database.configure(&mut config);
    config.database.url.unwrap().expose().to_owned()
}

async fn ended(words: &[String], temporary: &Path) -> (Option<i32>, String) {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    Program::start(&words, temporary).ended().await
}

fn number(value: &Value) -> f64 {
    value
        .as_f64()
        .unwrap_or_else(|| panic!("{value} is no number"))
}

/// Returns the number of a fact.
fn fact(report: &Value, name: &str) -> f64 {
    let facts = report["facts"].as_array().unwrap();
    let fact = facts.iter().find(|fact| fact["name"] == name);
    number(&fact.unwrap_or_else(|| panic!("no {name:?} in {report}"))["value"])
}

async fn a_load_is_measured_beside_the_no_op(backend: Backend) {
    for words in [
        &[
            "load",
            "--tokens",
            "300",
            "--rounds",
            "1",
            "--duration",
            "200ms",
        ][..],
        &[
            "p1",
            "--tokens",
            "20",
            "--rounds",
            "1",
            "--duration",
            "100ms",
            "--runtime",
            "shared",
        ],
    ] {
        let report = measured(backend, words).await;
        let loads = report["loads"].as_array().unwrap();
        assert_eq!(loads.len(), 2, "{report}");
        for load in loads {
            assert!(number(&load["calls_per_second"]) > 0.0, "{report}");
            let latency = &load["latency"];
            let [p50, p99, most] =
                ["p50_us", "p99_us", "max_us"].map(|name| number(&latency[name]));
            assert!(p50 > 0.0 && p50 <= p99 && p99 <= most, "{report}");
            assert!(number(&load["server_cpu_us"]) >= 0.0, "{report}");
        }
        assert!(fact(&report, "memory of the server after that") > 0.0);
    }
}

async fn creations_revocations_and_bad_values_go_on_beside(backend: Backend) {
    let words = [
        "load",
        "--tokens",
        "100",
        "--rounds",
        "1",
        "--duration",
        "1s",
        "--rate",
        "50",
        "--unknown",
        "0.1",
        "--wrong",
        "0.1",
        "--malformed",
        "0.1",
        "--create-flood",
        "--revokes-per-second",
        "50",
    ];
    let report = measured(backend, &words).await;
    assert!(fact(&report, "tokens created beside") > 0.0, "{report}");
    assert!(fact(&report, "tokens revoked beside") > 0.0, "{report}");
    let bad = &report["loads"][0]["bad_latency"];
    assert!(number(&bad["p50_us"]) > 0.0, "{report}");
}

async fn each_token_is_asked_about_once_after_a_restart(backend: Backend) {
    let report = measured(backend, &["p6", "--tokens", "50", "--rounds", "2"]).await;
    let budget = report["budget"].as_array().unwrap();
    assert_eq!(budget.len(), 2, "{report}");
    let bcrypt = &budget[1];
    assert_eq!(
        (&bcrypt["row"], &bcrypt["value"]),
        (&"P6".into(), &0.0.into())
    );
    let report = measured(
        backend,
        &[
            "p4",
            "--tokens",
            "50",
            "--rounds",
            "1",
            "--duration",
            "50ms",
        ],
    )
    .await;
    assert_eq!(report["budget"][0]["row"], "P4");
}

async fn a_server_elsewhere_is_held_to_what_it_answered(backend: Backend) {
    let t = TestServer::start(backend).await;
    let temporary = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = temporary.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let server = t.resource_server().await;
    let other = t.resource_server().await;
    let token = file("token", server.value());
    let values = file(
        "values",
        &format!("{}\n{}\n", server.value(), other.value()),
    );
    let address = t.address.to_string();
    let words = [
        "bench",
        "--address",
        &address,
        "--token-file",
        &token,
        "--values-file",
        &values,
        "--tenant",
        "authority",
        "--json",
        "--rounds",
    ];
    let words: Vec<String> = words.map(String::from).to_vec();
    let brief = [&words[..], &["1", "--duration", "100ms"].map(String::from)].concat();
    let (code, said) = ended(&brief, temporary.path()).await;
    assert_eq!(code, Some(0), "{said}");
    let report = json(&said);
    assert!(
        number(&report["loads"][0]["calls_per_second"]) > 0.0,
        "{report}"
    );
    assert_eq!(report["loads"][0]["server_cpu_us"], Value::Null, "{report}");

    // It would go on for a long while: only a wrong answer ends it so.
    let long = [&words[..], &["100", "--duration", "10s"].map(String::from)].concat();
    let long: Vec<&str> = long.iter().map(String::as_str).collect();
    let mut program = Program::start(&long, temporary.path());
    let program = tokio::task::spawn_blocking(move || {
        program.until("answers learned: 2");
        program
    });
    let program = program.await.unwrap();
    let request = other.call(pb::RevokeCurrentTokenRequest::default());
    other.me().revoke_current_token(request).await.unwrap();
    let end = tokio::task::spawn_blocking(|| program.end());
    let (code, said) = end.await.unwrap();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("wrong answer to token 1"), "{said}");
    assert!(!said.contains(other.value()), "{said}");
}
