//! The ops port: what those who watch over a server ask it, in plain text and without
//! a credential, over HTTP/1 or, as gRPC's probes do, over HTTP/2. It tells numbers and never
//! an id of a token, user or tenant. Whoever reaches it holds up nobody: neither calls nor, by
//! being silent or slow, another who asks.

mod listener;

use std::net::TcpListener;

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Version, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio_util::sync::CancellationToken;

use self::listener::{Asked, Bounded};
use crate::metrics::{Format, Sources};

/// Serves until `stop` is cancelled; `health` is gRPC's health service. A stream of it
/// ends with its connection, which is soon.
pub async fn serve(
    listener: TcpListener,
    sources: Sources,
    health: Router,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let listener = Bounded::new(tokio::net::TcpListener::from_std(listener)?);
    let router = Router::new()
        .route("/metrics", get(metrics))
        // That it answers is all there is to say.
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .with_state(sources)
        .merge(health)
        .layer(from_fn(closing))
        .layer(from_fn(asking));
    let router = router.into_make_service_with_connect_info::<Asked>();
    axum::serve(listener, router)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
}

/// Has the connection count as one that asks until the answer's end.
async fn asking(ConnectInfo(asked): ConnectInfo<Asked>, request: Request, next: Next) -> Response {
    let question = asked.begin();
    let response = next.run(request).await;
    response.map(|body| question.until_the_end_of(body))
}

/// Ends the connection with the answer: who asks every few seconds needs no place in
/// between. HTTP/2 has no such header; there the client ends it, or its time does.
async fn closing(request: Request, next: Next) -> Response {
    let is_http2 = request.version() == Version::HTTP_2;
    let mut response = next.run(request).await;
    if !is_http2 {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
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
