//! The ops port: what those who watch over a server ask it, in plain text and without
//! a credential. It tells numbers and never an id of a token, user or tenant. Whoever
//! reaches it holds up nobody: neither calls nor, by being silent or slow, another who asks.

mod listener;

use std::net::TcpListener;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio_util::sync::CancellationToken;

use self::listener::Bounded;
use crate::metrics::{Format, Sources};

/// Serves until `stop` is cancelled.
pub async fn serve(
    listener: TcpListener,
    sources: Sources,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let listener = Bounded::new(tokio::net::TcpListener::from_std(listener)?);
    let router = Router::new()
        .route("/metrics", get(metrics))
        // That it answers is all there is to say.
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .with_state(sources)
        .layer(map_response(closing));
    axum::serve(listener, router)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
}

/// Ends the connection with the answer: who asks every few seconds needs no place in
/// between.
async fn closing(mut response: Response) -> Response {
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(header::CONNECTION, close);
    response
}

/// Answers with all metrics.
async fn metrics(State(sources): State<Sources>, headers: HeaderMap) -> impl IntoResponse {
    let accept = headers.get_all(header::ACCEPT);
    let accept: Vec<&str> = accept
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect();
    let format = Format::accepted(&accept.join(","));
    (
        [
            (header::CONTENT_TYPE, format.content_type()),
            (header::VARY, "accept"),
        ],
        sources.render(format),
    )
}

/// Answers whether calls are served.
async fn ready(State(sources): State<Sources>) -> (StatusCode, &'static str) {
    if sources.readiness.is_ready() {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not serving\n")
    }
}
