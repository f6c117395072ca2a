//! Whether calls are served: whether the store answers, asked again and again. It is
//! told by gRPC's health service, by service, on the ops port and in metrics, all from
//! one place; logs what changes, not what stays.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use tokio::sync::Mutex;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer, SERVICE_NAME};
use tonic_health::server::HealthReporter;

use crate::authority::Authority;
use crate::rpc;

/// How often the store is asked.
const PERIOD: Duration = Duration::from_secs(1);
/// How long it may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// Whether calls are served: the one place that knows. A clone tells the same.
#[derive(Clone, Debug)]
pub struct Readiness {
    reporter: HealthReporter,
    ready: Arc<AtomicBool>,
    /// Whether the end has begun. Held while anything is told, so that nothing is told
    /// after that it should not be.
    ending: Arc<Mutex<bool>>,
}

impl Readiness {
    /// Returns one that says no, and gRPC's health service, which tells it.
    pub fn new() -> (Self, HealthServer<impl Health>) {
        let (reporter, server) = tonic_health::server::health_reporter();
        let readiness = Self {
            reporter,
            ready: Arc::default(),
            ending: Arc::default(),
        };
        (readiness, server)
    }

    /// Returns whether calls are served.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }
}

/// Returns gRPC's health service for the ops port, where kubelet asks it: it needs neither
/// TLS nor a certificate there.
pub fn router(health: HealthServer<impl Health>) -> Router {
    Router::new().route_service(&format!("/{SERVICE_NAME}/{{method}}"), health)
}

/// Keeps the health of every service, until dropped.
pub async fn follow(readiness: Readiness, authority: Arc<Authority>) {
    let mut known = None;
    loop {
        let ready = tokio::time::timeout(PATIENCE, authority.ready()).await;
        let ready = matches!(ready, Ok(Ok(())));
        if known != Some(ready) {
            report(&readiness, ready).await;
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
pub async fn end(mut readiness: Readiness) {
    for service in std::iter::once("").chain(rpc::SERVICES) {
        readiness.reporter.clear_service_status(service).await;
    }
}

/// Says of every service that it serves no more, for good: whoever follows the store may
/// not have been told yet that the end has begun.
pub async fn stop(readiness: &Readiness) {
    let mut ending = readiness.ending.lock().await;
    *ending = true;
    tell(readiness, false).await;
}

/// Says of every service that it serves, or does not; nothing once the end has begun.
pub async fn report(readiness: &Readiness, serving: bool) {
    let ending = readiness.ending.lock().await;
    if !*ending {
        tell(readiness, serving).await;
    }
}

async fn tell(readiness: &Readiness, serving: bool) {
    readiness.ready.store(serving, Ordering::Release);
    let status = if serving {
        ServingStatus::Serving
    } else {
        ServingStatus::NotServing
    };
    for service in std::iter::once("").chain(rpc::SERVICES) {
        readiness.reporter.set_service_status(service, status).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::Request;
    use tonic_health::pb::HealthCheckRequest;
    use tonic_health::pb::health_check_response::ServingStatus as Served;

    #[tokio::test]
    async fn once_the_end_has_begun_nothing_serves_again() {
        let (readiness, _) = Readiness::new();
        let told = async || {
            let health = tonic_health::server::HealthService::from_health_reporter(
                readiness.reporter.clone(),
            );
            let request = Request::new(HealthCheckRequest::default());
            let told = health.check(request).await.unwrap().into_inner();
            (readiness.is_ready(), told.status())
        };
        report(&readiness, true).await;
        assert_eq!(told().await, (true, Served::Serving));
        stop(&readiness).await;
        report(&readiness, true).await;
        assert_eq!(told().await, (false, Served::NotServing));
    }
}
