//! The connections of the ops port: few at once, none for long, and none that keeps
//! another out.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
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
    /// Whether its answer has begun. That it has not means that its question is not
    /// whole: whatever is asked here is answered at once.
    is_answered: AtomicBool,
    given_up: CancellationToken,
}

impl Bounded {
    pub(super) fn new(listener: TcpListener) -> Self {
        Self {
            listener,
            places: VecDeque::new(),
        }
    }

    /// Returns a place for a connection. Where there is none left, the oldest that has
    /// not asked is given up for it, else the oldest: who is silent, or does not read,
    /// must not keep out a probe.
    fn place(&mut self) -> Arc<Place> {
        self.places.retain(|place| place.strong_count() > 0);
        if self.places.len() >= CONNECTIONS {
            let waits = |place: &Weak<Place>| {
                let place = place.upgrade();
                place.is_some_and(|place| !place.is_answered.load(Ordering::Relaxed))
            };
            let worst = self.places.iter().position(waits).unwrap_or_default();
            let worst = self.places.remove(worst);
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
        self.place.is_answered.store(true, Ordering::Relaxed);
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
        taken[0].1.write_all(b"an answer").await.unwrap();
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
        for (_, brief) in &mut taken {
            brief.write_all(b"an answer").await.unwrap();
        }
        let _one_more = TcpStream::connect(address).await.unwrap();
        let _taken = bounded.accept().await;
        assert_eq!(given_up(&mut taken).await, [0]);
    }
}
