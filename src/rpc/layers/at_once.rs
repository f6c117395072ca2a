//! The short way of an introspection that memory answers: nobody is waited for, so nothing
//! is needed of what the others need to wait in good order. Whatever is out of the common
//! goes the long way, through all layers, as if it had not been here.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use http::header::{AUTHORIZATION, CONTENT_TYPE, ORIGIN};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use http_body::Frame;
use prost::bytes::{Buf as _, Bytes, BytesMut};
use tonic::body::Body;

use super::panic::guard_at_once;
use super::{CalledBy, Layers, RequestId, Telling, Told, Who, deadline, request_id};
use crate::authority::Caller;
use crate::authority::access::Rpc;
use crate::authority::identities::Certified;
use crate::domain::peer::Peer;

const ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const OK: HeaderValue = HeaderValue::from_static("0");
const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The bytes before a message: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// An introspection that may be answered at once.
pub struct Asked<'a> {
    /// Which.
    pub rpc: Rpc,
    /// The header `authorization`, if there is one: then it alone decides who calls.
    pub credential: Option<&'a str>,
    /// What the connection's certificate is worth, if it has one.
    pub certified: Option<&'a Certified>,
    /// The message, as it was sent.
    pub message: &'a Bytes,
    /// Where to note who calls, if that will be told of.
    called_by: Option<&'a CalledBy>,
}

impl Asked<'_> {
    /// Notes who calls, for whoever tells of the call.
    pub fn note(&self, caller: &Caller) {
        if let Some(called_by) = self.called_by {
            called_by.note(Who::from(caller));
        }
    }
}

/// Who answers from memory.
pub trait Recall {
    /// Returns what a connection's certificate is worth, once for all of its calls.
    fn certify(&self, peer: &Peer) -> Certified;

    /// Writes the answer's message behind what is in `answer`. `None` where memory does
    /// not decide, or the answer is a refusal: then nothing was counted or noted, and the
    /// call is begun anew, the long way.
    fn recall(&self, asked: &Asked<'_>, answer: &mut BytesMut) -> Option<()>;

    /// Returns what ends once memory may have what it lacked; `None` where that is not to be
    /// waited for.
    fn fetch(&self, asked: &Asked<'_>) -> Option<Fetching>;
}

/// What waits for memory to have something.
pub type Fetching = Pin<Box<dyn Future<Output = ()> + Send>>;

/// How long a call waits for memory before it is begun anew, the long way: its deadline is
/// counted from then.
const FETCHED: Duration = Duration::from_millis(20);

/// Returns which RPC may be answered at once.
pub(super) fn rpc_of(path: &str) -> Option<Rpc> {
    const RPCS: [Rpc; 2] = [Rpc::Introspect, Rpc::BatchIntrospect];
    RPCS.into_iter().find(|rpc| rpc.path() == path)
}

/// What a call's headers say, unless they are out of the common.
struct Head<'a> {
    credential: Option<&'a str>,
    request_id: Option<&'a HeaderValue>,
    /// Whether the caller waits for much longer than memory is waited for.
    is_patient: bool,
}

/// What goes the long way, and how much is told of it, and what
/// already.
type Back = Box<(Request<Body>, Telling, Option<Told>)>;

impl<'a> Head<'a> {
    /// Reads the headers, each once. Who calls is said by one of them, unless it is
    /// `certified` otherwise.
    fn of(headers: &'a HeaderMap, certified: bool) -> Option<Self> {
        let (mut credential, mut request_id, mut is_grpc) = (None, None, false);
        let mut is_patient = true;
        for (name, value) in headers {
            if name == AUTHORIZATION {
                // Of several, none counts.
                if credential.replace(value).is_some() {
                    return None;
                }
            } else if name == CONTENT_TYPE {
                is_grpc = value.as_bytes().starts_with(GRPC.as_bytes());
            } else if name == request_id::HEADER {
                if request_id.replace(value).is_some() {
                    return None;
                }
            } else if name == deadline::HEADER {
                // One that waits so shortly may be gone already.
                if !deadline::is_ample(value, Duration::ZERO) {
                    return None;
                }
                is_patient = deadline::is_ample(value, 5 * FETCHED);
            } else if name == ORIGIN || (name == ENCODING && value != "identity") {
                return None;
            }
        }
        let credential = match credential {
            Some(credential) => Some(credential.to_str().ok()?),
            None => None,
        };
        let known = credential.is_some() || certified;
        (is_grpc && known).then_some(Self {
            credential,
            request_id,
            is_patient,
        })
    }
}

/// A request's body, of which the first bytes may have been read.
struct Replayed<B> {
    read: Bytes,
    rest: B,
}

/// A request's body as a connection gives it.
pub trait Received:
    http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static
{
}

impl<B> Received for B where
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static
{
}

impl<B: Received> Replayed<B> {
    fn into_body(self) -> Body {
        if self.read.is_empty() {
            Body::new(self.rest)
        } else {
            Body::new(self)
        }
    }

    /// Reads the one message that the body is, if it is there already and is all that there
    /// is, uncompressed, and not too long. What was read is kept.
    fn poll_message(&mut self, most: usize, context: &mut Context<'_>) -> Option<Bytes> {
        loop {
            let length = match self.read.get(1..PREFIX) {
                Some(length) => length.try_into().ok().map(u32::from_be_bytes)?,
                None => 0,
            };
            let whole = PREFIX + usize::try_from(length).ok()?;
            if self.read.first().is_some_and(|flag| *flag != 0) || whole > PREFIX + most {
                return None;
            }
            if self.read.len() == whole && self.rest.is_end_stream() {
                return Some(self.read.slice(PREFIX..));
            }
            match Pin::new(&mut self.rest).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => {
                    let data = frame.into_data().ok()?;
                    if self.read.is_empty() {
                        self.read = data;
                    } else if !data.is_empty() {
                        let mut both = BytesMut::from(std::mem::take(&mut self.read));
                        both.extend_from_slice(&data);
                        self.read = both.freeze();
                    }
                }
                Poll::Ready(None) if self.read.len() == whole => {
                    return Some(self.read.slice(PREFIX..));
                }
                Poll::Ready(None | Some(Err(_))) | Poll::Pending => return None,
            }
        }
    }
}

impl<B: Received> http_body::Body for Replayed<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if self.read.has_remaining() {
            let read = std::mem::take(&mut self.read);
            return Poll::Ready(Some(Ok(Frame::data(read))));
        }
        Pin::new(&mut self.rest).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.read.is_empty() && self.rest.is_end_stream()
    }
}

/// Answers an introspection from memory, or gives it back as it came.
pub(super) async fn answer(
    layers: &Layers,
    recall: &impl Recall,
    (rpc, certified): (Rpc, Option<&Certified>),
    request: Request<impl Received>,
) -> Result<Response<Reply>, Back> {
    let began = Instant::now();
    let (parts, rest) = request.into_parts();
    let mut body = Replayed {
        read: Bytes::new(),
        rest,
    };
    let most = layers.limits.batch_message_bytes;
    let message = poll_fn(|context| Poll::Ready(body.poll_message(most, context))).await;
    let telling = Telling::of(Some(rpc), &parts.headers);
    let back = |parts, body: Replayed<_>, told| {
        let request = Request::from_parts(parts, body.into_body());
        Err(Box::new((request, telling, told)))
    };
    let Some(message) = message.filter(|_| parts.method == Method::POST) else {
        return back(parts, body, None);
    };
    let Some(head) = Head::of(&parts.headers, certified.is_some()) else {
        return back(parts, body, None);
    };
    let told = (telling != Telling::Needed).then(|| {
        let request_id = RequestId::of(head.request_id, &*layers.entropy);
        Told::begin(
            rpc.path(),
            &parts.headers,
            telling,
            &request_id,
            &layers.cut,
        )
    });
    let told = told.flatten();
    let asked = Asked {
        rpc,
        credential: head.credential,
        certified,
        message: &message,
        called_by: told.as_ref().map(|told| &told.called_by),
    };
    let mut answer = BytesMut::with_capacity(ANSWER);
    answer.extend_from_slice(&[0; PREFIX]);
    let mut recalled = guard_at_once(|| match &told {
        None => recall.recall(&asked, &mut answer),
        Some(told) => told
            .call
            .get()
            .in_scope(|| recall.recall(&asked, &mut answer)),
    });
    // What is told of a call is told of all that it waits for, which the long way sees to.
    if let (Ok(None), None, true) = (&recalled, &told, head.is_patient)
        && let Some(fetching) = recall.fetch(&asked)
    {
        let _ = tokio::time::timeout(FETCHED, fetching).await;
        answer.truncate(PREFIX);
        recalled = guard_at_once(|| recall.recall(&asked, &mut answer));
    }
    if let Err(panicked) = &recalled {
        // The long way may answer all the same; without this nobody would know.
        tracing::error!(error = %panicked, "an answer from memory panicked");
    }
    let length = u32::try_from(answer.len().saturating_sub(PREFIX));
    let (Ok(Some(())), Ok(length)) = (recalled, length) else {
        return back(parts, body, told);
    };
    if let Some(place) = answer.get_mut(1..PREFIX) {
        place.copy_from_slice(&length.to_be_bytes());
    }
    let request_id = match told {
        None => RequestId::of(head.request_id, &*layers.entropy),
        Some(told) => {
            told.under_way.answered_well();
            told.request_id
        }
    };
    // The request's own map bears the answer's headers: it has room for them.
    let mut headers = parts.headers;
    headers.clear();
    headers.insert(CONTENT_TYPE, GRPC);
    request_id.stamp(&mut headers);
    let mut response = Response::new(Reply::Whole(Some(answer.freeze()), false));
    *response.headers_mut() = headers;
    layers.calls.answered_at_once(rpc, began);
    Ok(response)
}

/// The bytes that most answers take.
const ANSWER: usize = 512;

/// A response's body.
#[derive(Debug)]
pub enum Reply {
    /// One message; whether its trailers have been sent.
    Whole(Option<Bytes>, bool),
    /// Any other.
    Other(Body),
}

impl http_body::Body for Reply {
    type Data = Bytes;
    type Error = tonic::Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, tonic::Status>>> {
        match &mut *self {
            Self::Whole(message @ Some(_), _) => {
                Poll::Ready(message.take().map(|message| Ok(Frame::data(message))))
            }
            Self::Whole(None, sent @ false) => {
                *sent = true;
                let mut trailers = HeaderMap::with_capacity(1);
                trailers.insert(STATUS, OK);
                Poll::Ready(Some(Ok(Frame::trailers(trailers))))
            }
            Self::Whole(None, true) => Poll::Ready(None),
            Self::Other(body) => {
                let frame = ready!(Pin::new(body).poll_frame(context));
                Poll::Ready(frame)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(_, sent) => *sent,
            Self::Other(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> http_body::SizeHint {
        match self {
            // A length would become a header, which gRPC does not want.
            Self::Whole(..) => http_body::SizeHint::default(),
            Self::Other(body) => body.size_hint(),
        }
    }
}

#[cfg(test)]
mod tests;
