//! What a service and its caller see of the layer.

use std::sync::Mutex;
use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use tokio::time::Instant;
use tonic::{Code, Status};
use tonic_types::StatusExt;
use tower::{Layer, Service as _, ServiceExt, service_fn};

use super::*;
use crate::domain::bounds;
use crate::domain::ids::{TenantId, TokenId};
use crate::rpc::testing::{Always, Capture};

/// How long a caller waits to whom we answer within five seconds.
const FIVE_SECONDS: &str = "5002m";
const READ: &str = "/tokenauthority.v1.TokenService/GetToken";
const MUTATION: &str = "/tokenauthority.v1.TokenService/RevokeToken";
const WATCH: &str = "/grpc.health.v1.Health/Watch";

/// A body that never comes.
struct Never;
impl http_body::Body for Never {
    type Data = <Body as http_body::Body>::Data;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Self::Data>, Status>>> {
        Poll::Pending
    }
}

fn request(path: &str, headers: &[(&'static str, &'static str)]) -> Request<Body> {
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = path.parse().unwrap();
    for (name, value) in headers {
        request
            .headers_mut()
            .insert(*name, HeaderValue::from_static(value));
    }
    request
}

/// Sends a request through the layer to a service.
async fn serve<F>(
    request: Request<Body>,
    service: impl FnMut(Request<Body>) -> F + Clone + Send + Sync + 'static,
) -> Response<Body>
where
    F: Future<Output = Result<Response<Body>, Infallible>> + Send + 'static,
{
    let layers = Layers::new(
        Arc::new(Always(0)),
        |path| path == MUTATION,
        Limits::default(),
        Arc::default(),
        CancellationToken::new(),
    );
    let Ok(response) = layers.layer(service_fn(service)).oneshot(request).await;
    response
}

async fn fine(_: Request<Body>) -> Result<Response<Body>, Infallible> {
    Ok(Response::new(Body::empty()))
}

async fn never(_: Request<Body>) -> Result<Response<Body>, Infallible> {
    std::future::pending().await
}

async fn must_not_be_called(_: Request<Body>) -> Result<Response<Body>, Infallible> {
    unreachable!("refused before")
}

/// Returns the code, the reason and the id that a response tells.
fn told(response: &Response<Body>) -> (Code, String, String) {
    let status = Status::from_header_map(response.headers()).unwrap();
    let reason = status.get_details_error_info().unwrap().reason;
    (status.code(), reason, id(response.headers()).to_owned())
}

fn id(headers: &HeaderMap) -> &str {
    headers["x-request-id"].to_str().unwrap()
}

#[tokio::test]
async fn the_callers_id_reaches_the_service_and_the_answer() {
    let service = |request: Request<Body>| {
        assert_eq!(
            request.extensions().get::<RequestId>().unwrap().as_str(),
            "r-7"
        );
        fine(request)
    };
    let response = serve(request(READ, &[("x-request-id", "r-7")]), service).await;
    assert_eq!(id(response.headers()), "r-7");
}

#[tokio::test]
async fn a_call_without_an_id_is_given_one() {
    let response = serve(request(READ, &[("x-request-id", "no\tgood")]), fine).await;
    assert_eq!(id(response.headers()), "0".repeat(22));
}

#[tokio::test]
async fn a_services_own_failure_carries_the_id() {
    let service = |_| async { Ok(Status::not_found("").into_http()) };
    let response = serve(request(READ, &[]), service).await;
    assert_eq!(id(response.headers()), "0".repeat(22));
}

#[tokio::test]
async fn a_browsers_call_is_refused_before_anything_is_done() {
    let request = request(
        READ,
        &[("origin", "https://x.test"), ("x-request-id", "r-7")],
    );
    let response = serve(request, must_not_be_called).await;
    let expected = (Code::PermissionDenied, "BROWSER_ORIGIN", "r-7");
    let (code, reason, id) = told(&response);
    assert_eq!((code, reason.as_str(), id.as_str()), expected);
}

#[tokio::test]
async fn a_panic_is_an_internal_error_with_the_id_to_quote() {
    let service = |_| async { panic!("ody_secret") };
    let capture = Capture::begin();
    let response = serve(request(READ, &[("x-request-id", "r-7")]), service).await;
    let lines: Vec<_> = capture.end();
    let expected = (Code::Internal, "INTERNAL", "r-7");
    let (code, reason, id) = told(&response);
    assert_eq!((code, reason.as_str(), id.as_str()), expected);
    let failed: Vec<_> = lines
        .iter()
        .filter(|line| line.contains("failed"))
        .collect();
    assert_eq!(failed.len(), 1, "{lines:?}");
    assert!(failed[0].contains("panicked at"), "{failed:?}");
    assert!(failed[0].contains("request.id=\"r-7\""), "{failed:?}");
    assert!(!format!("{lines:?}{response:?}").contains("ody_secret"));
}

#[tokio::test]
async fn a_panic_before_the_services_future_is_caught_too() {
    let service = |request: Request<Body>| {
        assert!(request.headers().contains_key("x-none"), "ody_secret");
        fine(request)
    };
    for path in [READ, MUTATION, WATCH] {
        let response = serve(request(path, &[]), service).await;
        assert_eq!(told(&response).0, Code::Internal, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_read_is_cut_at_its_deadline() {
    let began = Instant::now();
    let response = serve(request(READ, &[("grpc-timeout", FIVE_SECONDS)]), never).await;
    assert_eq!(began.elapsed(), Duration::from_secs(5));
    let expected = (Code::DeadlineExceeded, "DEADLINE_EXCEEDED".to_owned());
    let (code, reason, id) = told(&response);
    assert_eq!((code, reason), expected);
    assert_eq!(id, "0".repeat(22));
}

#[tokio::test(start_paused = true)]
async fn a_read_without_a_deadline_gets_the_default() {
    let began = Instant::now();
    let response = serve(request(READ, &[]), never).await;
    assert_eq!(began.elapsed(), bounds::DEADLINE_DEFAULT);
    assert_eq!(told(&response).0, Code::DeadlineExceeded);
}

#[tokio::test(start_paused = true)]
async fn a_read_that_came_too_late_is_not_begun() {
    let request = request(READ, &[("grpc-timeout", "0m")]);
    let response = serve(request, must_not_be_called).await;
    assert_eq!(told(&response).0, Code::DeadlineExceeded);
}

#[tokio::test(start_paused = true)]
async fn a_mutation_is_not_cut_and_knows_its_deadline() {
    let began = Instant::now();
    let service = move |request: Request<Body>| async move {
        let deadline = *request.extensions().get::<Deadline>().unwrap();
        assert_eq!(deadline.0 - began, Duration::from_secs(5));
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(deadline.has_passed());
        Ok(Response::new(Body::empty()))
    };
    let response = serve(
        request(MUTATION, &[("grpc-timeout", FIVE_SECONDS)]),
        service,
    )
    .await;
    assert!(!response.headers().contains_key("grpc-status"));
}

#[tokio::test(start_paused = true)]
async fn a_mutations_request_that_never_ends_is_given_up_at_the_deadline() {
    let read = |request: Request<Body>| async {
        let mut body = request.into_body();
        let next = |cx: &mut Context<'_>| http_body::Body::poll_frame(Pin::new(&mut body), cx);
        let frame = std::future::poll_fn(next).await;
        Ok(frame.unwrap().unwrap_err().into_http())
    };
    let began = Instant::now();
    let request = request(MUTATION, &[("grpc-timeout", FIVE_SECONDS)]).map(|_| Body::new(Never));
    let response = serve(request, read).await;
    assert_eq!(began.elapsed(), Duration::from_secs(5));
    assert_eq!(told(&response).1, "DEADLINE_EXCEEDED");
}

#[tokio::test(start_paused = true)]
async fn a_health_watch_stays_unless_its_caller_says_otherwise() {
    let slow = |request: Request<Body>| async {
        assert!(request.extensions().get::<Deadline>().is_none());
        tokio::time::sleep(Duration::from_secs(3600)).await;
        fine(request).await
    };
    let response = serve(request(WATCH, &[]), slow).await;
    assert!(!response.headers().contains_key("grpc-status"));
    let response = serve(request(WATCH, &[("grpc-timeout", FIVE_SECONDS)]), never).await;
    assert_eq!(told(&response).0, Code::DeadlineExceeded);
}

#[tokio::test]
async fn a_call_has_a_span_and_a_probe_has_none() {
    let service = |request| async {
        tracing::info!("served");
        fine(request).await
    };
    let capture = Capture::begin();
    for path in [READ, WATCH, "/ody_a-value-gone-astray"] {
        serve(request(path, &[]), service).await;
    }
    let lines: Vec<_> = capture.end();
    let served: Vec<_> = lines
        .iter()
        .filter(|line| line.contains("served"))
        .collect();
    let method = "rpc{rpc.method=\"tokenauthority.v1.TokenService/GetToken\" request.id=\"0000";
    assert!(served[0].contains(method), "{served:?}");
    assert!(!served[1].contains("rpc{"), "{served:?}");
    assert!(
        served[2].contains("rpc{rpc.method=\"unknown\""),
        "{served:?}"
    );
    assert!(!lines.concat().contains("astray"), "{lines:?}");
}

/// Returns the lines of a log that tell how calls ended.
fn endings(capture: Capture) -> Vec<String> {
    let lines = capture.end().into_iter();
    lines.filter(|line| line.contains("duration_ms=")).collect()
}

#[tokio::test]
async fn a_change_is_one_line_and_a_read_or_a_probe_is_none() {
    let capture = Capture::begin();
    for path in [READ, MUTATION, WATCH, "/a.path/ThatNobodyServes"] {
        serve(request(path, &[]), fine).await;
    }
    let told = endings(capture);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains(" INFO rpc{"), "{told:?}");
    assert!(told[0].contains("the call was done"), "{told:?}");
}

#[tokio::test]
async fn a_caller_that_leaves_or_is_cut_is_one_line() {
    let (gone, cut) = ("the caller is gone", "the call was cut");
    for (path, level, words) in [
        (READ, "DEBUG", gone),
        (MUTATION, "INFO", gone),
        (READ, "INFO", cut),
        (MUTATION, "INFO", cut),
    ] {
        for begun in [true, false] {
            let capture = Capture::begin();
            let cutting = CancellationToken::new();
            let layers = Layers::new(
                Arc::new(Always(0)),
                |path| path == MUTATION,
                Limits::default(),
                Arc::default(),
                cutting.clone(),
            );
            let mut call = layers
                .layer(service_fn(never))
                .call(request(path, &[("x-request-id", "r-7")]));
            if begun {
                let poll = |cx: &mut Context<'_>| Poll::Ready(call.as_mut().poll(cx).is_pending());
                assert!(std::future::poll_fn(poll).await);
            }
            if words == cut {
                cutting.cancel();
            }
            drop(call);
            let told = endings(capture);
            assert_eq!(told.len(), 1, "{told:?}");
            for word in [level, "r-7", words, "error.code=\"CANCELLED\""] {
                assert!(told[0].contains(word), "{told:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_was_known_is_named_even_without_an_answer_of_the_service() {
    let token_id = TokenId::from(uuid::Uuid::from_u128(7));
    let tenant_id: TenantId = "acme".parse().unwrap();
    let note = move |request: &Request<Body>| {
        let called_by = request.extensions().get::<CalledBy>().unwrap();
        called_by.note(Who {
            token_id: Some(token_id),
            session: None,
            identity: None,
            tenant_id: tenant_id.clone(),
        });
    };
    let (of_panic, of_deadline, of_leaving) = (note.clone(), note.clone(), note);
    let capture = Capture::begin();
    let service = move |request: Request<Body>| {
        of_panic(&request);
        async { panic!("ody_secret") }
    };
    serve(request(READ, &[]), service).await;
    let service = move |request| {
        of_deadline(&request);
        never(request)
    };
    serve(request(READ, &[]), service).await;
    let service = move |request| {
        of_leaving(&request);
        never(request)
    };
    let left = serve(request(READ, &[]), service);
    let left = tokio::time::timeout(Duration::from_secs(1), left).await;
    assert!(left.is_err());
    let told = endings(capture);
    assert_eq!(told.len(), 3, "{told:#?}");
    let codes = ["INTERNAL", "DEADLINE_EXCEEDED", "CANCELLED"];
    for (line, code) in told.iter().zip(codes) {
        let token = format!("caller.token.id={token_id} caller.tenant.id=acme");
        for word in [&format!("error.code=\"{code}\""), &token] {
            assert!(line.contains(word), "{word} is not in {line}");
        }
    }
}

#[tokio::test]
async fn what_fails_is_one_line_at_the_level_of_its_failure() {
    for (error, level) in [
        (Error::internal("why"), "ERROR"),
        (Error::Unavailable("why".into()), "WARN"),
        (Error::Unauthenticated, "INFO"),
        (Error::EtagMismatch, "DEBUG"),
    ] {
        let reason = super::super::status::Outcome::of(&error).reason;
        let failed = status(&error, &RequestId::unknown());
        let service = move |_| {
            let failed = failed.clone();
            async { Ok(failed.into_http()) }
        };
        let capture = Capture::begin();
        serve(request(MUTATION, &[]), service).await;
        let told = endings(capture);
        assert_eq!(told.len(), 1, "{told:?}");
        let reason = format!("error.reason=\"{reason}\"");
        for word in [level, "the call failed", &reason] {
            assert!(told[0].contains(word), "{word}: {told:?}");
        }
        let somebody_must_look = matches!(level, "ERROR" | "WARN");
        assert_eq!(told[0].contains("why"), somebody_must_look, "{told:?}");
    }
}

#[tokio::test]
async fn a_request_that_can_not_be_read_is_one_line() {
    let service = |_| async { Ok(Status::internal("failed to decode").into_http()) };
    let capture = Capture::begin();
    serve(request(MUTATION, &[]), service).await;
    let told = endings(capture);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("DEBUG"), "{told:?}");
    assert!(!told[0].contains("decode"), "{told:?}");
}

#[tokio::test]
async fn a_code_in_a_header_alone_is_a_failure() {
    let service = |_| async {
        let mut response = Response::new(Body::empty());
        let code = HeaderValue::from_static("12");
        response.headers_mut().insert("grpc-status", code);
        Ok(response)
    };
    let capture = Capture::begin();
    serve(request("/a.path/ThatNobodyServes", &[]), service).await;
    let told = endings(capture);
    assert_eq!(told.len(), 1, "{told:?}");
    for word in [
        "DEBUG",
        "rpc.method=\"unknown\"",
        "error.code=\"UNIMPLEMENTED\"",
    ] {
        assert!(told[0].contains(word), "{told:?}");
    }
}

#[tokio::test]
async fn lines_name_the_callers_trace_and_the_service_knows_it() {
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let service = move |request: Request<Body>| {
        let id = request.extensions().get::<TraceId>();
        assert_eq!(id.unwrap().to_string(), trace);
        fine(request)
    };
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let capture = Capture::begin();
    serve(request(MUTATION, &[("traceparent", parent)]), service).await;
    let told = endings(capture);
    assert!(told[0].contains(trace), "{told:?}");
    let without = |request: Request<Body>| {
        assert!(request.extensions().get::<TraceId>().is_none());
        fine(request)
    };
    let capture = Capture::begin();
    serve(request(MUTATION, &[("traceparent", "00-0-0-01")]), without).await;
    assert!(!endings(capture)[0].contains("trace_id"));
}

#[tokio::test]
async fn whatever_a_caller_names_reaches_the_judge_of_mutations() {
    static ASKED: Mutex<Vec<String>> = Mutex::new(Vec::new());
    let is_mutation = |path: &str| {
        ASKED.lock().unwrap().push(path.to_owned());
        false
    };
    let layers = Layers::new(
        Arc::new(Always(0)),
        is_mutation,
        Limits::default(),
        Arc::default(),
        CancellationToken::new(),
    );
    let Ok(_) = layers
        .layer(service_fn(fine))
        .oneshot(request(MUTATION, &[]))
        .await;
    assert_eq!(*ASKED.lock().unwrap(), [MUTATION]);
}
