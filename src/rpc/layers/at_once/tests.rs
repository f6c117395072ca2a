//! What is answered at once, and what goes the long way unharmed.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use http_body::Body as _;
use proptest::prelude::*;
use tonic::Status;
use tower::Layer as _;
use tower::service_fn;
use tracing_subscriber::layer::SubscriberExt as _;

use super::*;
use crate::call_span::Sampling;
use crate::domain::identity::Refusal;
use crate::rpc::Limits;
use crate::rpc::layers::{Calls, Layered, Method as Called};
use crate::rpc::testing::{Always, hook};

/// A body that comes in pieces, some of which are late.
#[derive(Debug)]
struct Pieces(VecDeque<Option<Bytes>>);

impl Pieces {
    fn of<const N: usize>(pieces: [Option<&[u8]>; N]) -> Self {
        let pieces = pieces.into_iter();
        Self(
            pieces
                .map(|piece| piece.map(Bytes::copy_from_slice))
                .collect(),
        )
    }
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        match self.0.pop_front() {
            Some(Some(piece)) => Poll::Ready(Some(Ok(Frame::data(piece)))),
            Some(None) => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
            None => Poll::Ready(None),
        }
    }
}

/// Memory that knows what is asked as `known`, and answers in its words. What is asked as
/// `later` it knows once that was fetched.
#[derive(Default)]
struct Memory(Arc<AtomicBool>);

impl Recall for Memory {
    fn certify(&self, _: &Peer) -> Certified {
        Certified::from(Refusal::Unknown)
    }

    fn recall(&self, asked: &Asked<'_>, answer: &mut BytesMut) -> Option<()> {
        assert_ne!(asked.message.as_ref(), b"panic");
        answer.extend_from_slice(b"half an answer");
        let fetched = self.0.load(Ordering::Relaxed);
        if asked.message.as_ref() != b"known" && !fetched {
            return None;
        }
        answer.truncate(PREFIX);
        answer.extend_from_slice(asked.credential.unwrap_or("nothing").as_bytes());
        Some(())
    }

    fn fetch(&self, asked: &Asked<'_>) -> Option<Fetching> {
        let fetched = Arc::clone(&self.0);
        match asked.message.as_ref() {
            b"later" => Some(Box::pin(async move {
                tokio::time::sleep(FETCHED / 2).await;
                fetched.store(true, Ordering::Relaxed);
            })),
            b"never" => Some(Box::pin(std::future::pending())),
            _ => None,
        }
    }
}

/// Where bodies go the long way.
type Seen = Arc<Mutex<Vec<Vec<u8>>>>;

async fn read(body: Body) -> Vec<u8> {
    let (mut body, mut bytes) = (body, Vec::new());
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        bytes.extend_from_slice(&frame.unwrap().into_data().unwrap());
    }
    bytes
}

/// Sends a call; returns its answer, what went the long way, and what was counted.
async fn send(
    request: Request<Pieces>,
    message_bytes: usize,
) -> (Response<Reply>, Vec<Vec<u8>>, Arc<Calls>) {
    send_certified(request, message_bytes, None).await
}

/// As [`send`], on a connection whose certificate is worth this.
async fn send_certified(
    request: Request<Pieces>,
    message_bytes: usize,
    certified: Option<&Arc<Certified>>,
) -> (Response<Reply>, Vec<Vec<u8>>, Arc<Calls>) {
    hook();
    let calls = Arc::<Calls>::default();
    let limits = Limits {
        batch_message_bytes: message_bytes,
        ..Limits::default()
    };
    let layers = Layers::new(
        Arc::new(Always(0)),
        |_| false,
        limits,
        Arc::clone(&calls),
        tokio_util::sync::CancellationToken::new(),
    );
    let seen = Seen::default();
    let noted = Arc::clone(&seen);
    let services: Layered<_> = layers.layer(service_fn(move |request: Request<Body>| {
        let noted = Arc::clone(&noted);
        async move {
            let body = read(request.into_body()).await;
            noted.lock().unwrap().push(body);
            Ok(Response::new(Body::empty()))
        }
    }));
    let Ok(response) = services
        .answer(&Memory::default(), certified, request)
        .await;
    let seen = seen.lock().unwrap().clone();
    (response, seen, calls)
}

fn request(pieces: Pieces) -> Request<Pieces> {
    let mut request = Request::new(pieces);
    *request.method_mut() = Method::POST;
    *request.uri_mut() = Rpc::Introspect.path().parse().unwrap();
    let headers = request.headers_mut();
    headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer a"));
    headers.insert(CONTENT_TYPE, GRPC);
    headers.insert("x-request-id", HeaderValue::from_static("r-7"));
    headers.insert("grpc-timeout", HeaderValue::from_static("5S"));
    headers.insert("te", HeaderValue::from_static("trailers"));
    request
}

const KNOWN: &[u8] = b"\0\0\0\0\x05known";

async fn is_answered_at_once(request: Request<Pieces>) {
    let (response, seen, calls) = send(request, 99).await;
    assert_eq!(seen, [[0; 0]; 0]);
    assert_eq!(response.headers()["content-type"], "application/grpc");
    assert_eq!(response.headers()["x-request-id"], "r-7");
    assert_eq!(response.headers().len(), 2, "{:?}", response.headers());
    let mut body = response.into_body();
    assert!(body.size_hint().exact().is_none());
    let mut next = async || {
        let frame = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await;
        frame.map(Result::unwrap)
    };
    let data = next().await.unwrap().into_data().unwrap();
    assert_eq!(data.as_ref(), b"\0\0\0\0\x08Bearer a");
    let trailers = next().await.unwrap().into_trailers().unwrap();
    assert_eq!(trailers["grpc-status"], "0");
    assert!(next().await.is_none());
    assert!(body.is_end_stream());
    let method = Called::Rpc(Rpc::Introspect);
    assert_eq!((calls.running(method), calls.took(method).count()), (0, 1));
}

/// Returns what went the long way.
async fn goes_the_long_way(request: Request<Pieces>) -> Vec<u8> {
    let (response, seen, calls) = send(request, 99).await;
    assert!(matches!(response.body(), Reply::Other(_)));
    assert_eq!(seen.len(), 1);
    let method = Called::Rpc(Rpc::Introspect);
    assert_eq!((calls.running(method), calls.took(method).count()), (0, 1));
    seen[0].clone()
}

#[tokio::test]
async fn what_memory_knows_is_answered_whole() {
    is_answered_at_once(request(Pieces::of([Some(KNOWN)]))).await;
    let (first, rest) = KNOWN.split_at(3);
    let pieces = [Some(first), Some(b"".as_slice()), Some(rest)];
    is_answered_at_once(request(Pieces::of(pieces))).await;
}

#[tokio::test]
async fn what_memory_does_not_know_goes_the_long_way_whole() {
    let unknown = b"\0\0\0\0\x07unknown".as_slice();
    let (first, rest) = unknown.split_at(7);
    let known = |pieces| (pieces, KNOWN);
    for (pieces, whole) in [
        (Pieces::of([Some(unknown)]), unknown),
        (Pieces::of([Some(first), Some(rest)]), unknown),
        // It is late, whole or in part.
        known(Pieces::of([None, Some(KNOWN)])),
        (Pieces::of([Some(first), None, Some(rest)]), unknown),
        // It panics, and will again.
        (
            Pieces::of([Some(b"\0\0\0\0\x05panic")]),
            b"\0\0\0\0\x05panic",
        ),
        // It ends too early, or goes on.
        (Pieces::of([Some(first)]), first),
        (Pieces::of([]), b""),
        (
            Pieces::of([Some(b"\0\0\0\0\x05known+")]),
            b"\0\0\0\0\x05known+",
        ),
        // It is compressed, or too long.
        (
            Pieces::of([Some(b"\x01\0\0\0\x05known")]),
            b"\x01\0\0\0\x05known",
        ),
        (
            Pieces::of([Some(b"\0\0\0\0\x64known")]),
            b"\0\0\0\0\x64known",
        ),
        (
            Pieces::of([Some(b"\0\xff\xff\xff\xff")]),
            b"\0\xff\xff\xff\xff",
        ),
    ] {
        assert_eq!(goes_the_long_way(request(pieces)).await, whole);
    }
}

#[tokio::test(start_paused = true)]
async fn what_memory_is_soon_to_know_is_waited_for_but_not_for_long() {
    const LATER: &[u8] = b"\0\0\0\0\x05later";
    const NEVER: &[u8] = b"\0\0\0\0\x05never";
    // Whoever listens to everything elsewhere, these calls are not told of.
    let sampling = Sampling {
        all: false,
        draw: Box::new(|| false),
    };
    let subscriber = tracing_subscriber::registry().with(sampling);
    let _default = tracing::subscriber::set_default(subscriber);
    is_answered_at_once(request(Pieces::of([Some(LATER)]))).await;
    assert_eq!(
        goes_the_long_way(request(Pieces::of([Some(NEVER)]))).await,
        NEVER
    );
    // Its deadline would be counted from too late.
    let mut impatient = request(Pieces::of([Some(LATER)]));
    let timeout = HeaderValue::from_static("100m");
    impatient.headers_mut().insert("grpc-timeout", timeout);
    assert_eq!(goes_the_long_way(impatient).await, LATER);
}

#[tokio::test]
async fn what_is_out_of_the_common_goes_the_long_way() {
    let known = || request(Pieces::of([Some(KNOWN)]));
    let long = async |change: fn(&mut HeaderMap)| {
        let mut request = known();
        change(request.headers_mut());
        // Refused on the long way, its body is not read.
        let (response, ..) = send(request, 99).await;
        assert!(matches!(response.body(), Reply::Other(_)));
    };
    long(|headers| _ = headers.remove(AUTHORIZATION)).await;
    long(|headers| _ = headers.append(AUTHORIZATION, HeaderValue::from_static("b"))).await;
    long(|headers| {
        let bytes = HeaderValue::from_bytes(b"Bearer \xff").unwrap();
        headers.insert(AUTHORIZATION, bytes);
    })
    .await;
    long(|headers| _ = headers.insert(ORIGIN, HeaderValue::from_static("https://a"))).await;
    long(|headers| _ = headers.insert(ENCODING, HeaderValue::from_static("gzip"))).await;
    long(|headers| _ = headers.remove(CONTENT_TYPE)).await;
    long(|headers| _ = headers.insert("grpc-timeout", HeaderValue::from_static("2m"))).await;
    long(|headers| _ = headers.append("x-request-id", HeaderValue::from_static("r-8"))).await;
    let mut get = known();
    *get.method_mut() = Method::GET;
    assert_eq!(goes_the_long_way(get).await, KNOWN);
}

#[tokio::test]
async fn without_a_bearer_a_certificate_is_asked_about() {
    let certified = Arc::new(Certified::from(Refusal::Unknown));
    let answered = async |change: fn(&mut HeaderMap)| {
        let mut request = request(Pieces::of([Some(KNOWN)]));
        change(request.headers_mut());
        let (response, ..) = send_certified(request, 99, Some(&certified)).await;
        let Reply::Whole(whole, _) = response.into_body() else {
            return None;
        };
        whole.map(|whole| whole.slice(PREFIX..))
    };
    let nothing = answered(|headers| _ = headers.remove(AUTHORIZATION)).await;
    assert_eq!(nothing.as_deref(), Some(b"nothing".as_slice()));
    // One that is there decides alone, and what is wrong with it is for the long way to say.
    let bearer = answered(|_| ()).await;
    assert_eq!(bearer.as_deref(), Some(b"Bearer a".as_slice()));
    let two = answered(|headers| _ = headers.append(AUTHORIZATION, HeaderValue::from_static("b")));
    assert_eq!(two.await, None);
    let no_text = answered(|headers| {
        let bytes = HeaderValue::from_bytes(b"Bearer \xff").unwrap();
        headers.insert(AUTHORIZATION, bytes);
    });
    assert_eq!(no_text.await, None);
}

#[tokio::test]
async fn other_calls_are_not_asked_of_memory() {
    let mut request = request(Pieces::of([Some(KNOWN)]));
    *request.uri_mut() = Rpc::GetToken.path().parse().unwrap();
    let (response, seen, _) = send(request, 99).await;
    assert!(matches!(response.body(), Reply::Other(_)));
    assert_eq!(seen, [KNOWN]);
}

proptest! {
    #[test]
    fn whatever_is_sent_arrives_one_way_or_the_other(
        bytes in prop_oneof![Just(KNOWN.to_vec()), any::<Vec<u8>>()],
        cut in any::<prop::sample::Index>(),
        late in any::<bool>(),
    ) {
        let (first, rest) = bytes.split_at(cut.index(bytes.len() + 1));
        let mut pieces = Pieces::of([Some(first), None, Some(rest)]);
        if !late {
            pieces.0.remove(1);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let runtime = runtime.unwrap();
        let (response, seen, _) = runtime.block_on(send(request(pieces), 1 << 20));
        let at_once = matches!(response.body(), Reply::Whole(..));
        let expected: &[Vec<u8>] = if at_once { &[] } else { std::slice::from_ref(&bytes) };
        prop_assert_eq!(&*seen, expected);
        prop_assert!(!at_once || bytes == KNOWN);
    }
}
