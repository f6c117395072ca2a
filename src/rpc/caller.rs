//! Authenticates the caller, before a service sees the call.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue, Request, Response};
use tokio::time::{Instant, timeout_at};
use tonic::body::Body;
use tower::{Layer, Service};
use tracing::Instrument as _;

use super::call::{Arrived, deadline};
use super::layers::{CalledBy, RequestId, Who};
use super::status::status;
use crate::authority::access::{Need, Rpc, may_at_all, session_may_at_all};
use crate::authority::sessions::Credential;
use crate::authority::{Authority, Error};

/// Puts the verified credential beside each request to an RPC of the access table that needs a
/// caller. What has no row there passes without one: health, reflection, and paths that
/// nobody serves.
#[derive(Clone, Debug)]
pub struct CallerLayer {
    authority: Arc<Authority>,
}

impl CallerLayer {
    /// Authenticates with this authority.
    pub fn new(authority: Arc<Authority>) -> Self {
        Self { authority }
    }
}

impl<S> Layer<S> for CallerLayer {
    type Service = CallerService<S>;

    fn layer(&self, inner: S) -> CallerService<S> {
        CallerService {
            inner,
            authority: Arc::clone(&self.authority),
        }
    }
}

/// See [`CallerLayer`].
#[derive(Clone, Debug)]
pub struct CallerService<S> {
    inner: S,
    authority: Arc<Authority>,
}

impl<S> Service<Request<Body>> for CallerService<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        // The instance that was polled ready serves; its clone waits for the next.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let authority = Arc::clone(&self.authority);
        Box::pin(async move {
            let Some(rpc) = Rpc::from_path(request.uri().path()) else {
                return inner.call(request).await;
            };
            // Nobody further in needs the credential.
            let credential = take_credential(request.headers_mut());
            // Where none is needed, not even a bad one is looked at.
            if rpc.need() == Need::Nothing {
                return inner.call(request).await;
            }
            let deadline = deadline(request.extensions());
            let span = tracing::debug_span!("authority", rpc = "Authenticate");
            let authenticated = authenticate(&authority, credential, deadline);
            let authenticated = authenticated.instrument(span).await;
            let permitted = authenticated.and_then(|credential| {
                match &credential {
                    Credential::Token(caller) => {
                        // However the call ends: its caller is known.
                        if let Some(called_by) = request.extensions().get::<CalledBy>() {
                            called_by.note(Who::from(&**caller));
                        }
                        may_at_all(rpc, caller)?;
                    }
                    Credential::Session(_) => session_may_at_all(rpc)?,
                }
                Ok(credential)
            });
            match permitted {
                Ok(credential) => {
                    request.extensions_mut().insert(Arrived {
                        credential,
                        rpc,
                        deadline,
                    });
                    inner.call(request).await
                }
                Err(error) => {
                    let request_id = request.extensions().get().cloned();
                    let request_id = request_id.unwrap_or_else(RequestId::unknown);
                    Ok(status(&error, &request_id).into_http())
                }
            }
        })
    }
}

async fn authenticate(
    authority: &Arc<Authority>,
    credential: Option<HeaderValue>,
    deadline: Instant,
) -> Result<Credential, Error> {
    let credential = credential
        .as_ref()
        .and_then(|credential| credential.to_str().ok());
    let admitted = authority.admit(credential);
    timeout_at(deadline, admitted)
        .await
        .map_err(|_| Error::DeadlineExceeded)?
}

/// Takes the one credential; of several, none is taken.
fn take_credential(headers: &mut HeaderMap) -> Option<HeaderValue> {
    let given = headers.get_all(AUTHORIZATION).iter().count();
    headers.remove(AUTHORIZATION).filter(|_| given == 1)
}
