//! The ops port: what those who watch over a server ask it, in plain text and without
//! a credential. It tells numbers and never an id of a token, user or tenant.

mod metrics;

use std::net::TcpListener;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio_util::sync::CancellationToken;

use self::metrics::Metrics;
use crate::authority::Authority;

/// Serves until `stop` is cancelled.
pub async fn serve(
    listener: TcpListener,
    authority: Arc<Authority>,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let router = Router::new()
        .route("/metrics", get(render))
        // That it answers is all there is to say: whether calls are served is for
        // gRPC's own health service.
        .route("/healthz", get(async || "ok\n"))
        .with_state(Arc::new(Metrics::new(authority)));
    axum::serve(listener, router)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
}

/// Answers with all metrics, as Prometheus reads them.
async fn render(State(metrics): State<Arc<Metrics>>) -> Response {
    match metrics.render() {
        Ok(text) => ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        // Writing to a string fails for want of memory alone.
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
