//! Wrong values for a row that only bcrypt can judge: each costs at most one, and the good
//! one gets through.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::import::{foreign, imported_by};
use crate::support::tokens::question;
use crate::support::{Backend, TestServer, both_backends, refusal, self_service};

both_backends!(
    a_wrong_value_costs_one_bcrypt_however_often_it_comes,
    a_flood_of_wrong_values_locks_the_good_one_out_of_nothing,
);

/// Returns a value of the same hint.
fn wrong(value: &str, number: usize) -> String {
    format!("{}{number:06}", &value[..value.len() - 6])
}

async fn a_wrong_value_costs_one_bcrypt_however_often_it_comes(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let server = t.resource_server().await;
    let value = foreign("acme", 1);
    imported_by(&acme, &value, &[]).await;
    let counters = t.authority.counters();
    let ran = counters.bcrypt_verifications.get();
    for number in 0..3 {
        for _ in 0..5 {
            let answer = server.introspect("acme", &wrong(&value, number)).await;
            assert!(!answer.active);
        }
    }
    assert_eq!(counters.bcrypt_verifications.get(), ran + 3);
    assert_eq!(counters.wrong_values_recalled.get(), 12);
    assert!(server.introspect("acme", &value).await.active);
    assert_eq!(counters.bcrypt_verifications.get(), ran + 4);
    // From now on the fingerprint decides.
    assert!(!server.introspect("acme", &wrong(&value, 9)).await.active);
    assert_eq!(counters.bcrypt_verifications.get(), ran + 4);
}

async fn a_flood_of_wrong_values_locks_the_good_one_out_of_nothing(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let server = t.resource_server().await;
    let value = foreign("acme", 1);
    imported_by(&acme, &value, &[]).await;
    let ran = t.authority.counters().bcrypt_verifications.get();
    let stop = Arc::new(AtomicBool::new(false));
    let flood: Vec<_> = (0..24)
        .map(|task| {
            let (server, value, stop) = (server.clone(), value.clone(), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut presented = 0;
                while !stop.load(Ordering::Relaxed) {
                    let wrong = wrong(&value, task * 10_000 + presented);
                    match server.try_introspect(question("acme", &wrong)).await {
                        Ok(answer) => assert!(!answer.active),
                        Err(status) => {
                            assert_eq!(refusal(&status), "ResourceExhausted HASHING_BUSY");
                        }
                    }
                    presented += 1;
                }
                presented
            })
        })
        .collect();
    // Told to ask again, never that it is inactive.
    let mut through = false;
    for _ in 0..10_000 {
        match server.try_introspect(question("acme", &value)).await {
            Ok(answer) => {
                assert!(answer.active);
                through = true;
                break;
            }
            Err(status) => assert_eq!(refusal(&status), "ResourceExhausted HASHING_BUSY"),
        }
    }
    assert!(through, "locked out");
    stop.store(true, Ordering::Relaxed);
    let mut presented = 0;
    for task in flood {
        presented += task.await.unwrap();
    }
    let ran = t.authority.counters().bcrypt_verifications.get() - ran;
    assert!(ran <= presented as u64 + 1, "{ran} for {presented} values");
    assert!(server.introspect("acme", &value).await.active);
}
