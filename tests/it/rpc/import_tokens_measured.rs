//! What the first uses of imported values cost those who introspect others meanwhile.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bcrypt::Version;
use tokio::time::{Instant, sleep_until};
use tonic::transport::Channel;

use crate::support::import::{batch, foreign, imported};
use crate::support::ops::ask;
use crate::support::tokens::{import, question, service};
use crate::support::{Actor, Backend, Installation, Issued, Tenant, refusal, self_service};

/// The values that are presented for the first time, each with a hash of its own.
const IMPORTS: usize = 240;
/// The cost of their hashes.
const COST: u32 = 10;
/// Who present them.
const CLIENTS: usize = 8;
/// How often the others are introspected, on a schedule that waits for no answer.
const EVERY: Duration = Duration::from_millis(10);
/// How many of them, before the first uses begin.
const ALONE: u32 = 500;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it measures; run `make measure-import`"]
async fn measure_on_sqlite() {
    measure(Backend::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it measures; run `make measure-import`"]
async fn measure_on_postgres() {
    measure(Backend::Postgres).await;
}

/// Introspects a token every so often until told to stop, or so many times; returns how
/// long each took, from when it was due.
async fn steady(server: &Actor, value: &str, until: impl Fn(u32) -> bool) -> Vec<Duration> {
    let begun = Instant::now();
    let mut calls = Vec::new();
    for number in 0.. {
        if until(number) {
            break;
        }
        let due = begun + EVERY * number;
        sleep_until(due).await;
        let (server, question) = (server.clone(), question("acme", value));
        calls.push(tokio::spawn(async move {
            let answer = server.try_introspect(question).await.unwrap();
            assert!(answer.active);
            due.elapsed()
        }));
    }
    let mut took = Vec::new();
    for call in calls {
        took.push(call.await.unwrap());
    }
    took.sort_unstable();
    took
}

/// Presents values, each until it is answered; returns how often it was told to ask again.
async fn present(server: Actor, values: Vec<String>) -> usize {
    let mut busy = 0;
    for value in values {
        loop {
            match server.try_introspect(question("acme", &value)).await {
                Ok(answer) => {
                    assert!(answer.active);
                    break;
                }
                Err(status) => {
                    assert_eq!(refusal(&status), "ResourceExhausted HASHING_BUSY");
                    busy += 1;
                }
            }
        }
    }
    busy
}

fn at(took: &[Duration], percent: usize) -> Duration {
    took[(took.len() * percent / 100).min(took.len() - 1)]
}

/// Returns an address that nobody listens on just now.
fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

async fn bcrypts(ops: SocketAddr) -> String {
    let (_, text) = ask(ops, &["GET /metrics HTTP/1.0"]).await;
    let name = "token_authority_bcrypt_verifications_total ";
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap().to_owned()
}

async fn measure(backend: Backend) {
    let installation = Installation::new(backend).await;
    let ops = free_address();
    let ops_address = ops.to_string();
    let (_program, address) = installation.start(&[
        ("TOKEN_AUTHORITY_OPS__ADDRESS", &ops_address),
        ("TOKEN_AUTHORITY_HASHING__COST", "10"),
    ]);
    let channel = async || {
        let channel = Channel::from_shared(format!("http://{address}")).unwrap();
        channel.connect().await.unwrap()
    };
    let issued = Issued::default();
    let operator = installation.operator();
    let operator = Actor::new(channel().await, Some(&operator), issued.clone());
    let acme = Tenant::create(&operator, "acme", self_service()).await;
    let scopes = ["authority:introspect"];
    let server = operator
        .create(service("authority", "server", &scopes))
        .await;

    println!("{backend:?}: hashing {IMPORTS} values at cost {COST}, each by itself");
    let values: Vec<String> = (0..IMPORTS).map(|at| foreign("acme", at)).collect();
    let tokens = values.iter().map(|value| {
        let parts = bcrypt::hash_with_salt(value, COST, *b"0123456789abcdef").unwrap();
        token_authority::pb::ImportedToken {
            secret_hash: parts.format_for_version(Version::TwoB),
            ..imported(value, "", value)
        }
    });
    import(&acme.admin, batch(tokens.collect())).await.unwrap();

    let others = Actor::new(channel().await, Some(&server.value), issued.clone());
    let alone = steady(&others, acme.admin.value(), |number| number >= ALONE).await;
    let (over, busy) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let mut clients = Vec::new();
    for part in values.chunks(IMPORTS.div_ceil(CLIENTS)) {
        let client = Actor::new(channel().await, Some(&server.value), issued.clone());
        clients.push(tokio::spawn(present(client, part.to_vec())));
    }
    let (told, refused) = (Arc::clone(&over), Arc::clone(&busy));
    let began = Instant::now();
    let flood = tokio::spawn(async move {
        for client in clients {
            refused.fetch_add(client.await.unwrap(), Ordering::Relaxed);
        }
        told.store(true, Ordering::Relaxed);
        began.elapsed()
    });
    let beside = steady(&others, acme.admin.value(), |_| {
        over.load(Ordering::Relaxed)
    })
    .await;
    let took = flood.await.unwrap();
    let again = Instant::now();
    present(others, values).await;
    let again = again.elapsed();

    let ratio = at(&beside, 99).as_secs_f64() / at(&alone, 99).as_secs_f64();
    println!(
        "{backend:?}: {IMPORTS} first uses by {CLIENTS} clients took {took:.1?} ({} told to ask \
         again), their second uses by one client {again:.1?}; bcrypt ran {} times",
        busy.load(Ordering::Relaxed),
        bcrypts(ops).await
    );
    println!(
        "{backend:?}: introspecting another every {EVERY:?}: alone p50 {:.1?} p99 {:.1?} of {}; \
         meanwhile p50 {:.1?} p99 {:.1?} of {}; ratio of p99 {ratio:.2}, which must be 3 at most",
        at(&alone, 50),
        at(&alone, 99),
        alone.len(),
        at(&beside, 50),
        at(&beside, 99),
        beside.len()
    );
    assert!(ratio <= 3.0, "{ratio}");
}
