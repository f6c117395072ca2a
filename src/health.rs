//! Health, by service: whether the store answers, asked again and again; logs what
//! changes, not what stays.

use std::sync::Arc;
use std::time::Duration;

use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::authority::Authority;
use crate::rpc;

/// How often the store is asked.
const PERIOD: Duration = Duration::from_secs(1);
/// How long it may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// Keeps the health of every service, until dropped.
pub async fn follow(reporter: HealthReporter, authority: Arc<Authority>) {
    let mut known = None;
    loop {
        let ready = tokio::time::timeout(PATIENCE, authority.ready()).await;
        let ready = matches!(ready, Ok(Ok(())));
        if known != Some(ready) {
            report(&reporter, ready).await;
            match (known, ready) {
                (None, true) => {}
                (_, true) => tracing::info!("the store answers again: serving"),
                (_, false) => tracing::warn!("the store does not answer: not serving"),
            }
            known = Some(ready);
        }
        tokio::time::sleep(PERIOD).await;
    }
}

/// Ends every stream of health, which would hold its connection open until the grace is
/// over: what there is to say has been said.
pub async fn end(mut reporter: HealthReporter) {
    for service in std::iter::once("").chain(rpc::SERVICES) {
        reporter.clear_service_status(service).await;
    }
}

/// Says of every service that it serves, or does not.
pub async fn report(reporter: &HealthReporter, serving: bool) {
    let status = if serving {
        ServingStatus::Serving
    } else {
        ServingStatus::NotServing
    };
    for service in std::iter::once("").chain(rpc::SERVICES) {
        reporter.set_service_status(service, status).await;
    }
}
