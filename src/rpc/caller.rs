//! Authenticates the caller, before a service sees the call.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::AUTHORIZATION;
use http::{HeaderValue, Request, Response};
use tokio::time::{Instant, timeout_at};
use tonic::body::Body;
use tower::{Layer, Service};
use tracing::Instrument as _;

use super::call::{Arrived, deadline};
use super::layers::{CalledBy, RequestId, Who};
use super::status::status;
use crate::authority::access::{Need, Rpc, may_at_all, session_may_at_all};
use crate::authority::identities::Certified;
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
            let given = Given::take(&mut request);
            // Where none is needed, not even a bad one is looked at.
            if rpc.need() == Need::Nothing {
                return inner.call(request).await;
            }
            let deadline = deadline(request.extensions());
            let span = tracing::debug_span!("authority", rpc = "Authenticate");
            let authenticated = authenticate(&authority, given, deadline);
            let authenticated = authenticated.instrument(span).await;
            let permitted = authenticated.and_then(|credential| {
                match &credential {
                    Credential::Known(caller) => {
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

/// What a call gives to say who makes it.
enum Given {
    /// A bearer in `authorization`, which alone decides: a bad one is refused, whatever the
    /// connection's certificate is worth. `None` of several, and of what is no text.
    Bearer(Option<HeaderValue>),
    /// No bearer, on a connection with a certificate.
    Certified(Arc<Certified>),
    /// Nothing.
    Nothing,
}

impl Given {
    /// Takes it from a request.
    fn take(request: &mut Request<Body>) -> Self {
        let headers = request.headers_mut();
        let given = headers.get_all(AUTHORIZATION).iter().count();
        let bearer = headers.remove(AUTHORIZATION).filter(|_| given == 1);
        let certified = request.extensions_mut().remove();
        match certified {
            _ if given > 0 => Self::Bearer(bearer),
            Some(certified) => Self::Certified(certified),
            None => Self::Nothing,
        }
    }
}

async fn authenticate(
    authority: &Arc<Authority>,
    given: Given,
    deadline: Instant,
) -> Result<Credential, Error> {
    let admitted = async {
        match &given {
            Given::Bearer(bearer) => {
                let bearer = bearer.as_ref().and_then(|bearer| bearer.to_str().ok());
                authority.admit(bearer).await
            }
            Given::Certified(certified) => {
                let caller = authority.identify(certified).await;
                caller.map(Credential::Known)
            }
            Given::Nothing => authority.admit(None).await,
        }
    };
    timeout_at(deadline, admitted)
        .await
        .map_err(|_| Error::DeadlineExceeded)?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::identity::Refusal;

    #[test]
    fn a_bearer_decides_alone_however_bad_it_is() {
        let taken = |bearers: &[&[u8]], certified: bool| {
            let mut request = Request::new(Body::empty());
            for bearer in bearers {
                let bearer = HeaderValue::from_bytes(bearer).unwrap();
                request.headers_mut().append(AUTHORIZATION, bearer);
            }
            if certified {
                let certified = Arc::new(Certified::from(Refusal::Unknown));
                request.extensions_mut().insert(certified);
            }
            let given = Given::take(&mut request);
            assert!(!request.headers().contains_key(AUTHORIZATION));
            assert!(request.extensions().get::<Arc<Certified>>().is_none());
            match given {
                Given::Bearer(Some(_)) => "a bearer",
                Given::Bearer(None) => "a bad bearer",
                Given::Certified(_) => "a certificate",
                Given::Nothing => "nothing",
            }
        };
        for certified in [true, false] {
            assert_eq!(taken(&[b"Bearer a"], certified), "a bearer");
            assert_eq!(taken(&[b""], certified), "a bearer");
            assert_eq!(taken(&[b"\xff"], certified), "a bearer");
            assert_eq!(taken(&[b"a", b"a"], certified), "a bad bearer");
        }
        assert_eq!(taken(&[], true), "a certificate");
        assert_eq!(taken(&[], false), "nothing");
    }
}
