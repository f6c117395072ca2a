//! The connections of the ops port: few at once, none for long, and none that keeps
//! another out.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use http_body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Sleep;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// The connections at once, at most: for one more, another is given up.
const CONNECTIONS: usize = 32;
/// How long a connection may last: one question and its answer, for whoever is slow to
/// ask or to read.
const LIFETIME: Duration = Duration::from_secs(10);

/// A listener whose connections are bounded in number and time.
pub(super) struct Bounded {
    listener: TcpListener,
    /// The oldest first. Whoever is over is found here no more.
    places: VecDeque<Weak<Place>>,
}

/// The place of a connection.
#[derive(Default)]
struct Place {
    asked: Asked,
    given_up: CancellationToken,
}

/// How many questions of a connection are being answered. Where there is none the client is
/// silent, or slow to ask or to read, or keeps the connection for later, as HTTP/2 allows.
#[derive(Clone, Default)]
pub(super) struct Asked(Arc<AtomicUsize>);

impl Asked {
    /// Counts a question, until what is returned is dropped.
    pub(super) fn begin(&self) -> Question {
        self.0.fetch_add(1, Ordering::Relaxed);
        Question(self.clone())
    }

    fn is_idle(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }
}

impl Connected<IncomingStream<'_, Bounded>> for Asked {
    fn connect_info(stream: IncomingStream<'_, Bounded>) -> Self {
        stream.io().place.asked.clone()
    }
}

/// A question that is being answered.
pub(super) struct Question(Asked);

impl Question {
    /// Returns an answer's body with which the question ends.
    pub(super) fn until_the_end_of(self, body: Body) -> Body {
        Body::new(Answer {
            body,
            _question: self,
        })
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A body, and the question that it answers.
struct Answer {
    body: Body,
    _question: Question,
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Bounded {
    pub(super) fn new(listener: TcpListener) -> Self {
        Self {
            listener,
            places: VecDeque::new(),
        }
    }

    /// Returns a place for a connection. Where there is none left, those that have a
    /// question and those that have none are two sides, and the oldest of the larger one is
    /// given up; of two alike, of those that have none. So neither many that are silent nor
    /// many that wait for the end of a stream keep out a probe, which is the newest of the
    /// one side, and soon after of the other.
    fn place(&mut self) -> Arc<Place> {
        self.places.retain(|place| place.strong_count() > 0);
        if self.places.len() >= CONNECTIONS {
            let is_idle: Vec<_> = self
                .places
                .iter()
                .map(|place| place.upgrade().is_none_or(|place| place.asked.is_idle()))
                .collect();
            let idle = is_idle.iter().filter(|is_idle| **is_idle).count();
            let of_idle = 2 * idle >= is_idle.len();
            let worst = is_idle.iter().position(|is_idle| *is_idle == of_idle);
            let worst = worst.and_then(|worst| self.places.remove(worst));
            if let Some(place) = worst.and_then(|place| place.upgrade()) {
                place.given_up.cancel();
            }
        }
        let place = Arc::<Place>::default();
        self.places.push_back(Arc::downgrade(&place));
        place
    }
}

impl Listener for Bounded {
    type Io = Brief;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Brief, SocketAddr) {
        // Waits and goes on where none can be taken.
        let (stream, address) = Listener::accept(&mut self.listener).await;
        let place = self.place();
        let brief = Brief {
            stream,
            end: Box::pin(tokio::time::sleep(LIFETIME)),
            given_up: Box::pin(place.given_up.clone().cancelled_owned()),
            place,
        };
        (brief, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that fails once its time is over, or once it is given up.
pub(super) struct Brief {
    stream: TcpStream,
    end: Pin<Box<Sleep>>,
    given_up: Pin<Box<WaitForCancellationFutureOwned>>,
    place: Arc<Place>,
}

impl Brief {
    /// Returns what there is, or fails when nothing comes before the end.
    fn or_end<T>(
        &mut self,
        polled: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if polled.is_pending() {
            if self.end.as_mut().poll(context).is_ready() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            if self.given_up.as_mut().poll(context).is_ready() {
                return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
            }
        }
        polled
    }
}

impl AsyncRead for Brief {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.or_end(read, context)
    }
}

impl AsyncWrite for Brief {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.or_end(written, context)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    async fn bounded() -> (Bounded, SocketAddr) {
        let bounded = Bounded::new(TcpListener::bind("127.0.0.1:0").await.unwrap());
        let address = bounded.local_addr().unwrap();
        (bounded, address)
    }

    #[tokio::test(start_paused = true)]
    async fn who_says_nothing_is_let_go() {
        let (mut bounded, address) = bounded().await;
        let _silent = TcpStream::connect(address).await.unwrap();
        let (mut taken, _) = bounded.accept().await;
        let error = taken.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn who_reads_nothing_is_let_go() {
        let (mut bounded, address) = bounded().await;
        let _deaf = TcpStream::connect(address).await.unwrap();
        let (mut taken, _) = bounded.accept().await;
        // Until the system's buffers are full.
        let much = vec![0; 64 * 1024 * 1024];
        let error = taken.write_all(&much).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    /// Connects and takes, so many times.
    async fn take(bounded: &mut Bounded, address: SocketAddr) -> Vec<(TcpStream, Brief)> {
        let mut taken = Vec::new();
        for _ in 0..CONNECTIONS {
            let client = TcpStream::connect(address).await.unwrap();
            taken.push((client, bounded.accept().await.0));
        }
        taken
    }

    /// Returns which of the connections are given up.
    async fn given_up(taken: &mut [(TcpStream, Brief)]) -> Vec<usize> {
        let mut given_up = Vec::new();
        for (number, (_, brief)) in taken.iter_mut().enumerate() {
            let read = tokio::time::timeout(Duration::ZERO, brief.read_u8()).await;
            if read.is_ok_and(|read| read.is_err()) {
                given_up.push(number);
            }
        }
        given_up
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_that_did_not_ask_gives_way_to_one_too_many() {
        let (mut bounded, address) = bounded().await;
        let mut taken = take(&mut bounded, address).await;
        let _question = taken[0].1.place.asked.begin();
        assert_eq!(given_up(&mut taken).await, [0; 0]);
        let _one_more = TcpStream::connect(address).await.unwrap();
        let _taken = bounded.accept().await;
        assert_eq!(given_up(&mut taken).await, [1]);
        // What is over leaves its place to another.
        taken.pop();
        let _another = TcpStream::connect(address).await.unwrap();
        let _taken_too = bounded.accept().await;
        assert_eq!(given_up(&mut taken).await, [1]);
    }

    #[tokio::test(start_paused = true)]
    async fn where_all_are_being_answered_the_oldest_gives_way() {
        let (mut bounded, address) = bounded().await;
        let mut taken = take(&mut bounded, address).await;
        let asked = |(_, brief): &(_, Brief)| brief.place.asked.begin();
        let _questions: Vec<_> = taken.iter().map(asked).collect();
        let _one_more = TcpStream::connect(address).await.unwrap();
        let _newest = bounded.accept().await;
        assert_eq!(given_up(&mut taken).await, [0]);
        // The newest has not asked yet, and still is not the one that gives way.
        let _another = TcpStream::connect(address).await.unwrap();
        let _taken = bounded.accept().await;
        assert_eq!(given_up(&mut taken).await, [0, 1]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_ends_with_its_answer_or_with_its_connection() {
        let asked = Asked::default();
        let body = asked.begin().until_the_end_of(Body::from("an answer"));
        assert!(!asked.is_idle());
        let answer = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        assert_eq!((&*answer, asked.is_idle()), (&b"an answer"[..], true));
        let body = asked.begin().until_the_end_of(Body::from("an answer"));
        drop(body);
        assert!(asked.is_idle());
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_was_answered_is_as_one_that_did_not_ask() {
        let (mut bounded, address) = bounded().await;
        let mut taken = take(&mut bounded, address).await;
        // As the settings with which a server of HTTP/2 begins.
        for (_, brief) in &mut taken {
            brief.write_all(b"settings").await.unwrap();
        }
        let _question = taken[0].1.place.asked.begin();
        drop(taken[1].1.place.asked.begin());
        let _one_more = TcpStream::connect(address).await.unwrap();
        let _taken = bounded.accept().await;
        assert_eq!(given_up(&mut taken).await, [1]);
    }
}
