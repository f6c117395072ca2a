//! What happens to every call before a service sees it, in the one order that is
//! right: it gets its id, its span, a guard against panics; a browser's is refused;
//! it gets its deadline; how it ended is told. One layer and not six, so that the order is read in one
//! place and a call costs one allocation. Knows nothing about callers.

mod calls;
mod deadline;
mod ending;
mod panic;
mod request_id;
#[cfg(test)]
mod tests;
mod trace;

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response, header};
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tracing::Instrument as _;
use tracing::level_filters::LevelFilter;

pub use calls::{Calls, Method};
pub use deadline::Deadline;
pub(super) use ending::{CalledBy, DoneIn, PartlyFailed, Who};
pub(super) use panic::guard;
pub use panic::panic_hook;
pub use request_id::{HEADER as REQUEST_ID_HEADER, RequestId};
pub use trace::TraceId;

use self::ending::UnderWay;
use self::trace::Trace;
use super::limits::Limits;
use super::status::status;
use crate::authority::Error;
use crate::authority::access::Rpc;
use crate::call_span::{self, CallSpan};
use crate::domain::entropy::Entropy;
use crate::domain::reason::Denial;

/// The layer around all services.
#[derive(Clone, Debug)]
pub struct Layers {
    entropy: Arc<dyn Entropy>,
    is_mutation: fn(&str) -> bool,
    limits: Limits,
    calls: Arc<Calls>,
    cut: CancellationToken,
}

impl Layers {
    /// Makes the layer. `is_mutation` tells by its path, `/package.Service/Method`,
    /// whether a call writes: such a call is not cut at its deadline, because what
    /// has begun is not left half done. It finds its [`Deadline`] among the
    /// request's extensions, beside its [`RequestId`]. Calls take no longer than
    /// `limits` say; what they come to is counted in `calls`. Those that end after `cut`
    /// was cancelled, and are not answered, were cut.
    pub fn new(
        entropy: Arc<dyn Entropy>,
        is_mutation: fn(&str) -> bool,
        limits: Limits,
        calls: Arc<Calls>,
        cut: CancellationToken,
    ) -> Self {
        Self {
            entropy,
            is_mutation,
            limits,
            calls,
            cut,
        }
    }
}

impl<S> tower::Layer<S> for Layers {
    type Service = Layered<S>;

    fn layer(&self, inner: S) -> Layered<S> {
        Layered {
            inner,
            layers: self.clone(),
        }
    }
}

/// A service within [`Layers`].
#[derive(Clone, Debug)]
pub struct Layered<S> {
    inner: S,
    layers: Layers,
}

impl<S> tower::Service<Request<Body>> for Layered<S>
where
    S: tower::Service<Request<Body>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        // The instance that was polled ready serves; its clone waits for the next
        // call.
        let clone = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, clone);
        let running = self.layers.calls.begin(request.uri().path());
        let request_id = RequestId::of(request.headers(), &*self.layers.entropy);
        let begun = begin(&mut request, &request_id, &self.layers.cut);
        let call = begun.as_ref().map(|(call, _)| Arc::clone(call));
        let is_mutation = (self.layers.is_mutation)(request.uri().path());
        // From when the call came, however late it is polled.
        let stays = stays(request.uri().path());
        let deadline = Deadline::of(request.headers(), stays, &self.layers.limits);
        let served = async move {
            let answered =
                panic::guard(answer(inner, request, &request_id, deadline, is_mutation)).await;
            let mut response = answered.unwrap_or_else(|panicked| {
                status(&Error::internal(panicked), &request_id).into_http()
            });
            if let Some((_, under_way)) = begun {
                under_way.answered(&response);
            }
            request_id.stamp(response.headers_mut());
            running.answered(&response);
            Ok(response)
        };
        match call {
            None => Box::pin(served),
            Some(call) if call.is_made() => Box::pin(served.instrument(call.get().clone())),
            Some(call) => Box::pin(call_span::serving(call, served)),
        }
    }
}

/// Begins to watch how a call ends, and its span, under its caller's. Those that probes
/// make all the time have neither.
fn begin(
    request: &mut Request<Body>,
    request_id: &RequestId,
    cut: &CancellationToken,
) -> Option<(Arc<CallSpan>, UnderWay)> {
    let path = request.uri().path();
    if is_probe(path) {
        return None;
    }
    let rpc = Rpc::from_path(path);
    // A path that nobody serves is the caller's text, and may be a value gone astray.
    let method = rpc.map_or("unknown", Rpc::path);
    let method = method.strip_prefix('/').unwrap_or(method);
    let (call, trace) = Trace::begin(request.headers(), |trace_id| {
        let call = CallSpan::new(method, request_id.header(), trace_id);
        // Most introspections have nothing to tell. Below `info` everything is told, and
        // to a trace each span.
        if !is_frequent(rpc) || LevelFilter::current() > LevelFilter::INFO {
            call.get();
        }
        call
    });
    let call = Arc::new(call);
    let called_by = CalledBy::default();
    request.extensions_mut().insert(called_by.clone());
    let under_way = UnderWay::new(rpc, called_by, Arc::clone(&call), &trace, cut.clone());
    if let Some(id) = trace.id {
        request.extensions_mut().insert(id);
    }
    Some((call, under_way))
}

/// Returns whether the RPC is called so often that what it costs is counted in
/// microseconds.
fn is_frequent(rpc: Option<Rpc>) -> bool {
    matches!(rpc, Some(Rpc::Introspect | Rpc::BatchIntrospect))
}

/// Returns whether the call is of health or reflection.
fn is_probe(path: &str) -> bool {
    path.starts_with("/grpc.health.") || path.starts_with("/grpc.reflection.")
}

/// Returns whether the call is a stream that is meant to stay open.
fn stays(path: &str) -> bool {
    path == "/grpc.health.v1.Health/Watch" || path.starts_with("/grpc.reflection.")
}

/// Answers a call: refuses it, or has it served within its deadline.
async fn answer<S>(
    mut inner: S,
    mut request: Request<Body>,
    request_id: &RequestId,
    deadline: Option<Deadline>,
    is_mutation: bool,
) -> Response<Body>
where
    S: tower::Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    if request.headers().contains_key(header::ORIGIN) {
        return refuse(&Error::PermissionDenied(Denial::BrowserOrigin), request_id);
    }
    request.extensions_mut().insert(request_id.clone());
    let Some(deadline) = deadline else {
        let Ok(response) = inner.call(request).await;
        return response;
    };
    // A call that came too late is not begun, not even for one poll.
    if deadline.has_passed() {
        return refuse(&Error::DeadlineExceeded, request_id);
    }
    request.extensions_mut().insert(deadline);
    if is_mutation {
        let request = request
            .map(|body| Body::new(deadline::Bounded::new(body, deadline, request_id.clone())));
        let Ok(response) = inner.call(request).await;
        return response;
    }
    match tokio::time::timeout_at(deadline.0, inner.call(request)).await {
        Ok(Ok(response)) => response,
        Err(_) => refuse(&Error::DeadlineExceeded, request_id),
    }
}

/// Answers with a failure.
fn refuse(error: &Error, request_id: &RequestId) -> Response<Body> {
    status(error, request_id).into_http()
}
