//! What happens to every call before a service sees it, in the one order that is
//! right: it gets its id, its span, a guard against panics; a browser's is refused;
//! it gets its deadline; how it ended is told. One layer and not six, so that the order is read in one
//! place and a call costs one allocation. An introspection that memory answers needs none of
//! what is for those that wait, and goes a short way (`at_once`). Knows nothing about callers.

mod at_once;
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

use http::{HeaderMap, Request, Response, header};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tonic::body::Body;
use tracing::Instrument as _;
use tracing::level_filters::LevelFilter;

pub use at_once::{Asked, Fetching, Recall, Received, Reply};
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
use crate::authority::identities::Certified;
use crate::call_span::{self, CallSpan, Sampling};
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
    /// Where calls are served that may wait, if not where they come in.
    home: Option<Handle>,
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
            home: None,
        }
    }

    /// Serves what may wait on this runtime, wherever it comes in: whoever has a core of
    /// its own waits for nobody.
    #[must_use]
    pub fn at_home(self, home: Handle) -> Self {
        Self {
            home: Some(home),
            ..self
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

/// A call that is being answered.
type Answering = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

/// What may stand within [`Layers`]: whatever serves all calls, and is always ready.
pub trait Serves:
    tower::Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>
    + Clone
    + Send
    + Sync
    + 'static
{
}

impl<S> Serves for S where
    S: tower::Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static
{
}

/// A service within [`Layers`].
#[derive(Clone, Debug)]
pub struct Layered<S> {
    inner: S,
    layers: Layers,
}

impl<S: Serves> tower::Service<Request<Body>> for Layered<S> {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let telling = Telling::of(Rpc::from_path(request.uri().path()), request.headers());
        self.begin(request, telling, None)
    }
}

impl<S: Serves> Layered<S> {
    /// Answers a call of a connection: at once where it may be and `recall` can, else the
    /// long way. `certified` is what the connection's certificate is worth, if it has one.
    pub async fn answer(
        &self,
        recall: &impl Recall,
        certified: Option<&Arc<Certified>>,
        request: Request<impl Received>,
    ) -> Result<Response<Reply>, Infallible> {
        let worth = certified.map(|certified| &**certified);
        let (mut request, telling, told) = match at_once::rpc_of(request.uri().path()) {
            // Of none that is frequent.
            None => (request.map(Body::new), Telling::All, None),
            Some(rpc) => match at_once::answer(&self.layers, recall, (rpc, worth), request).await {
                Ok(response) => return Ok(response),
                Err(back) => *back,
            },
        };
        if let Some(certified) = certified {
            request.extensions_mut().insert(Arc::clone(certified));
        }
        // They are always ready.
        let answered = self.clone().begin(request, telling, told).await;
        answered.map(|response| response.map(Reply::Other))
    }

    /// Begins the long way, with what is told of the call already.
    fn begin(
        &mut self,
        mut request: Request<Body>,
        telling: Telling,
        told: Option<Told>,
    ) -> Answering {
        // The instance that was polled ready serves; its clone waits for the next
        // call.
        let clone = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, clone);
        let path = request.uri().path();
        let running = self.layers.calls.begin(path);
        let told = told.map_or_else(
            || {
                let headers = request.headers();
                let request_id =
                    RequestId::of(headers.get(request_id::HEADER), &*self.layers.entropy);
                let told = Told::begin(path, headers, telling, &request_id, &self.layers.cut);
                (request_id, told)
            },
            |told| (told.request_id.clone(), Some(told)),
        );
        let (request_id, told) = told;
        let is_mutation = (self.layers.is_mutation)(path);
        // From when the call came, however late it is polled.
        let deadline = Deadline::of(request.headers(), stays(path), &self.layers.limits);
        let home = self.layers.home.as_ref();
        let home = home.filter(|_| !waits_for_nobody(path));
        if let Some(told) = &told {
            told.stand_beside(&mut request);
        }
        let call = told.as_ref().map(|told| Arc::clone(&told.call));
        let id = request_id.clone();
        let served = async move {
            let answered =
                panic::guard(answer(inner, request, &request_id, deadline, is_mutation)).await;
            let mut response = answered.unwrap_or_else(|panicked| {
                status(&Error::internal(panicked), &request_id).into_http()
            });
            if let Some(told) = told {
                told.under_way.answered(&response);
            }
            request_id.stamp(response.headers_mut());
            running.answered(&response);
            Ok(response)
        };
        let served: Answering = match call {
            None => Box::pin(served),
            Some(call) if call.is_made() => Box::pin(served.instrument(call.get().clone())),
            Some(call) => Box::pin(call_span::serving(call, served)),
        };
        match home {
            Some(home) => Box::pin(aside(home, served, id)),
            None => served,
        }
    }
}

/// Has a call served by a task of another runtime, which ends with who waits for it.
fn aside(
    home: &Handle,
    served: Answering,
    request_id: RequestId,
) -> impl Future<Output = Result<Response<Body>, Infallible>> + Send + use<> {
    let task = AbortOnDropHandle::new(home.spawn(served));
    async move {
        // Panics are kept within the call: what is left is that the runtime is no more.
        let ended = |error| Ok(refuse(&Error::internal(error), &request_id));
        task.await.unwrap_or_else(ended)
    }
}

/// Returns whether a call never waits.
fn waits_for_nobody(path: &str) -> bool {
    path == "/grpc.health.v1.Health/Check"
}

/// What is told of a call: its span, who calls, and how it ends. Dropped before it was
/// answered, it tells that, too.
pub(super) struct Told {
    request_id: RequestId,
    call: Arc<CallSpan>,
    called_by: CalledBy,
    trace_id: Option<TraceId>,
    under_way: UnderWay,
}

impl Told {
    /// Begins to watch how a call ends, and its span, under its caller's. Those that probes
    /// make all the time have neither.
    fn begin(
        path: &str,
        headers: &HeaderMap,
        telling: Telling,
        request_id: &RequestId,
        cut: &CancellationToken,
    ) -> Option<Self> {
        if is_probe(path) {
            return None;
        }
        let rpc = Rpc::from_path(path);
        // A path that nobody serves is the caller's text, and may be a value gone astray.
        let method = rpc.map_or("unknown", Rpc::path);
        let method = method.strip_prefix('/').unwrap_or(method);
        let (call, trace) = Trace::begin(headers, |trace_id| {
            let traced = match telling {
                Telling::All => None,
                Telling::Traced => Some(true),
                Telling::Needed => Some(false),
            };
            let call = CallSpan::new(method, request_id.header(), trace_id, traced);
            if telling != Telling::Needed {
                call.get();
            }
            call
        });
        let call = Arc::new(call);
        let called_by = CalledBy::default();
        let noted = called_by.clone();
        let under_way = UnderWay::new(rpc, noted, Arc::clone(&call), &trace, cut.clone());
        Some(Self {
            request_id: request_id.clone(),
            call,
            called_by,
            trace_id: trace.id,
            under_way,
        })
    }

    /// Puts beside a request what services need of it.
    fn stand_beside(&self, request: &mut Request<Body>) {
        let extensions = request.extensions_mut();
        extensions.insert(self.called_by.clone());
        if let Some(id) = self.trace_id {
            extensions.insert(id);
        }
    }
}

/// How much is told of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Telling {
    /// Its span, and whoever exports decides whether it is traced.
    All,
    /// Its span, which is traced.
    Traced,
    /// Its span once there is something to tell: of most introspections there is nothing. It
    /// is not traced.
    Needed,
}

impl Telling {
    /// Decides it.
    fn of(rpc: Option<Rpc>, headers: &HeaderMap) -> Self {
        if !is_frequent(rpc) {
            return Self::All;
        }
        if LevelFilter::current() <= LevelFilter::INFO {
            return Self::Needed;
        }
        // Below `info` everything is told of, unless that is for traces alone.
        let sampled = Sampling::ask(|sampling| {
            if sampling.all {
                Self::All
            } else if trace::is_sampled(headers, sampling) {
                Self::Traced
            } else {
                Self::Needed
            }
        });
        sampled.unwrap_or(Self::All)
    }
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
