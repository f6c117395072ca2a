//! What a server counts is what its clients counted, also when many call at once; and
//! what it does by itself.

use std::collections::BTreeMap;

use token_authority::pb;
use tonic::{Code, Status};

use crate::support::tokens::{START, question, who_am_i};
use crate::support::{
    Actor, Backend, TestServer, both_backends, both_backends_in_parallel, self_service,
};

both_backends_in_parallel!(numbers_agree_with_what_clients_counted);
both_backends!(a_server_tells_how_its_chores_go);

const CLIENTS: u32 = 6;
const ROUNDS: u32 = 20;

/// What one client counted: answers by RPC and code.
type Counts = BTreeMap<(&'static str, &'static str), u32>;

fn code<T>(result: &Result<T, Status>) -> &'static str {
    match result.as_ref().map_err(Status::code) {
        Ok(_) => "OK",
        Err(Code::Unauthenticated) => "UNAUTHENTICATED",
        Err(Code::InvalidArgument) => "INVALID_ARGUMENT",
        Err(code) => panic!("{code:?}"),
    }
}

async fn call(server: Actor, nobody: Actor, value: String) -> Counts {
    let mut counts = Counts::new();
    for _ in 0..ROUNDS {
        let good = question("acme", &value);
        let bad = question("acme", "hunter2");
        let wrong = question("", &value);
        for asked in [&good, &bad, &wrong] {
            let answered = server.try_introspect(asked.clone()).await;
            *counts.entry(("Introspect", code(&answered))).or_default() += 1;
        }
        let requests = vec![good.clone(), good, bad, wrong];
        let batch = server.call(pb::BatchIntrospectRequest { requests });
        let answered = server.introspection().batch_introspect(batch).await;
        *counts
            .entry(("BatchIntrospect", code(&answered)))
            .or_default() += 1;
        let answered = who_am_i(&nobody, pb::WhoAmIRequest {}).await;
        *counts.entry(("WhoAmI", code(&answered))).or_default() += 1;
    }
    counts
}

async fn numbers_agree_with_what_clients_counted(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let server = t.resource_server().await;
    let before = t.scrape().await;
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let value = acme.admin.value().to_owned();
            tokio::spawn(call(server.clone(), t.nobody(), value))
        })
        .collect();
    let mut expected = BTreeMap::<String, i64>::new();
    let mut calls = BTreeMap::<String, i64>::new();
    for client in clients {
        for ((rpc, code), count) in client.await.unwrap() {
            let labels = format!("{{rpc=\"{rpc}\",code=\"{code}\"}}");
            *expected.entry(labels).or_default() += i64::from(count);
            *calls.entry(format!("{{rpc=\"{rpc}\"}}")).or_default() += i64::from(count);
        }
    }
    let after = t.scrape().await;
    assert_eq!(after.moved("requests_total", &before), expected);
    let took = after.moved("request_duration_seconds_count", &before);
    assert_eq!(took, calls);
    // Of each round: one alone and those of a batch.
    let times = i64::from(CLIENTS * ROUNDS);
    let outcomes = [("allowed", 3), ("malformed", 2), ("failed", 2)];
    let outcomes = outcomes.map(|(outcome, each)| {
        let labels = format!("{{outcome=\"{outcome}\"}}");
        (labels, each * times)
    });
    let moved = after.moved("introspections_total", &before);
    assert_eq!(moved, BTreeMap::from(outcomes));
    let moved = |series: &str| after.of(series) - before.of(series);
    assert_eq!(moved("introspection_batch_size_sum"), 4 * times);
    let none = "unauthenticated_total{reason=\"no_credential\"}";
    assert_eq!(moved(none), times);
    let flying: i64 = after
        .series
        .iter()
        .filter(|(series, _)| series.starts_with("requests_in_flight"))
        .map(|(_, number)| number)
        .sum();
    assert_eq!(flying, 0);
}

async fn a_server_tells_how_its_chores_go(backend: Backend) {
    let mut t = TestServer::start_with(backend, |config| {
        config.keyring.reload_seconds = 1;
        config.usage.flush_seconds = 1;
        config.ops.census_seconds = 60;
        config.retention.sweep_minutes = 0;
    })
    .await;
    t.expect_alarms();
    let chores = ["reload keyring", "flush usage", "take census", "sweep"];
    let done = |chore: &str| {
        let name = "housekeeping_done_timestamp_seconds";
        format!("{name}{{chore=\"{chore}\"}}")
    };
    let scrape = t
        .scrape_until("each chore done", |scrape| {
            let times = chores.map(|chore| scrape.series.get(&done(chore)).copied());
            times.iter().all(|time| *time == Some(START))
        })
        .await;
    let failed = "housekeeping_failures_total{chore=\"reload keyring\"}";
    assert_eq!(scrape.of(failed), 0);
    std::fs::write(t.keyring().join("0002.key"), "no key").unwrap();
    t.scrape_until("a failure", |scrape| scrape.of(failed) > 0)
        .await;
    // It was counted before.
    let scrape = t.scrape().await;
    assert!(scrape.of("keyring_reload_failures_total") > 0);
    assert_eq!(scrape.of("keyring_keys"), 1);
}
