//! The connections that are taken: a bounded number at once.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};
use tokio_stream::Stream;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::handshake::{Failure, Failures, Tls, Wire};
use crate::domain::peer::Peer;
use crate::tally::Counter;

/// A connection that was taken, before it is known who serves it.
#[derive(Debug)]
pub struct Arrival {
    stream: std::net::TcpStream,
    address: SocketAddr,
    tls: Option<Arc<Tls>>,
    open: Open,
    place: OwnedSemaphorePermit,
}

/// Why a connection was not opened.
#[derive(Debug, thiserror::Error)]
pub enum NotOpened {
    /// The system's reason.
    #[error("{0}")]
    System(#[from] io::Error),
    /// The handshake failed; it is counted, and told of.
    #[error("the handshake failed")]
    Handshake(Failure),
}

impl Arrival {
    /// Returns where it comes from.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Opens it on the runtime that this is called on, which serves it: makes the handshake
    /// where TLS is spoken. Returns whom the client's certificate names, where it showed
    /// one.
    pub async fn open(self) -> Result<(Connection, Option<Arc<Peer>>), NotOpened> {
        let stream = TcpStream::from_std(self.stream)?;
        let (wire, peer) = match &self.tls {
            None => (Wire::Plain(stream), None),
            Some(tls) => tls.accept(stream).await.map_err(|failure| {
                self.open.0.handshakes_failed.tick(failure);
                NotOpened::Handshake(failure)
            })?,
        };
        let connection = Connection {
            wire,
            silence: Some(Box::pin(tokio::time::sleep(SILENCE))),
            _open: self.open,
            _place: self.place,
        };
        Ok((connection, peer))
    }
}

/// A connection and its place among the bounded number.
#[derive(Debug)]
pub struct Connection {
    wire: Wire,
    /// Until when the first bytes must have come; gone once they have.
    silence: Option<Pin<Box<Sleep>>>,
    _open: Open,
    _place: OwnedSemaphorePermit,
}

/// What became of the connections to a listener.
#[derive(Debug, Default)]
pub struct Connections {
    /// Those that were taken.
    pub taken: Counter,
    /// Those that were taken and are over.
    over: Counter,
    /// Those that were closed at once, for want of a place.
    pub refused: Counter,
    /// Those whose handshake failed, by why.
    pub handshakes_failed: Failures,
}

impl Connections {
    /// Returns how many there are.
    pub fn open(&self) -> u64 {
        let over = self.over.get();
        self.taken.get().saturating_sub(over)
    }
}

/// A connection that is counted as long as this lasts.
#[derive(Debug)]
struct Open(Arc<Connections>);

impl Open {
    fn new(connections: &Arc<Connections>) -> Self {
        connections.taken.add(1);
        Self(Arc::clone(connections))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.over.add(1);
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.wire).poll_read(context, buffer);
        if read.is_ready() {
            self.silence = None;
        } else if let Some(silence) = &mut self.silence
            && silence.as_mut().poll(context).is_ready()
        {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        read
    }
}

/// It takes one buffer at once. Where a stream takes several, the HTTP/2 library copies frames
/// of less than 256 bytes into one, and writes each longer one by itself: half of all answers.
/// So it copies up to 1 KiB, and answers that are ready together are written together.
impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.wire).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_shutdown(context)
    }
}

/// The connections of a listener.
#[derive(Debug)]
pub struct Incoming {
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    places: Arc<Semaphore>,
    connections: Arc<Connections>,
    refusals: Refusals,
    /// Set while no connection can be taken.
    pause: Option<Pin<Box<Sleep>>>,
    /// Resolves once no new connection is to be taken.
    closing: Pin<Box<WaitForCancellationFutureOwned>>,
}

/// How long a connection may say nothing at first: later, HTTP/2 asks whether its peer
/// lives, but not before it has begun.
const SILENCE: Duration = Duration::from_secs(10);
/// How long nothing is taken when nothing can be: without it, a process out of file
/// descriptors would ask again and again.
const PAUSE: Duration = Duration::from_millis(100);

/// How long nothing is told of refusals once they were.
const QUIET: Duration = Duration::from_secs(60);

/// The refusals of which the log does not tell yet: whoever is refused comes again, and
/// would otherwise fill it.
#[derive(Debug, Default)]
struct Refusals {
    untold: u64,
    told_at: Option<Instant>,
}

impl Refusals {
    /// Adds one; returns how many there were since it was last told, if that is to be
    /// told now.
    fn add(&mut self, now: Instant) -> Option<u64> {
        self.untold += 1;
        if self.told_at.is_some_and(|at| now < at + QUIET) {
            return None;
        }
        self.told_at = Some(now);
        Some(std::mem::take(&mut self.untold))
    }
}

/// Takes a listener's connections, at most so many at once, and counts them, until
/// `closing` is cancelled: then those that have already been made, and no more.
pub fn incoming(
    listener: TcpListener,
    most: usize,
    connections: Arc<Connections>,
    closing: CancellationToken,
) -> Incoming {
    Incoming {
        listener,
        tls: None,
        connections,
        refusals: Refusals::default(),
        places: Arc::new(Semaphore::new(most)),
        pause: None,
        closing: Box::pin(closing.cancelled_owned()),
    }
}

impl Incoming {
    /// Has TLS spoken over the connections, where it is given.
    #[must_use]
    pub fn over(self, tls: Option<Arc<Tls>>) -> Self {
        Self { tls, ..self }
    }
}

impl Stream for Incoming {
    type Item = Arrival;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(context));
                self.pause = None;
            }
            let (stream, address) = match self.listener.poll_accept(context) {
                Poll::Ready(Ok(accepted)) => accepted,
                // Whoever is in the queue has been told that it is connected, and may have
                // sent a call: only an empty queue is closed.
                Poll::Pending => {
                    ready!(self.closing.as_mut().poll(context));
                    return Poll::Ready(None);
                }
                Poll::Ready(Err(error)) => {
                    // One that was gone before it was taken is no fault of ours.
                    if !matches!(
                        error.kind(),
                        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
                    ) {
                        tracing::warn!(error = %error, "can't take connections");
                        self.pause = Some(Box::pin(tokio::time::sleep(PAUSE)));
                    }
                    continue;
                }
            };
            // One too many is closed at once: its client is told, instead of
            // waiting in a queue that nobody empties.
            let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
                self.connections.refused.add(1);
                if let Some(connections) = self.refusals.add(Instant::now()) {
                    tracing::warn!(connections, "connections too many were closed");
                }
                continue;
            };
            // Small answers must not wait for more to be sent; where this fails
            // the connection is about to fail as well.
            let _ = stream.set_nodelay(true);
            // From the reactor that takes connections to the one that will serve this.
            let Ok(stream) = stream.into_std() else {
                continue;
            };
            return Poll::Ready(Some(Arrival {
                stream,
                address,
                tls: self.tls.clone(),
                open: Open::new(&self.connections),
                place,
            }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt as _;
    use tokio_stream::StreamExt as _;

    #[tokio::test]
    async fn one_connection_too_many_is_closed_and_a_free_place_is_taken_again() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::<Connections>::default();
        let open = CancellationToken::new();
        let counted = Arc::clone(&connections);
        let mut incoming = incoming(listener, 1, counted, open);
        let _first = TcpStream::connect(address).await.unwrap();
        let taken = incoming.next().await.unwrap().open().await.unwrap().0;
        let mut second = TcpStream::connect(address).await.unwrap();
        let mut buffer = [0; 1];
        tokio::select! {
            biased;
            read = second.read(&mut buffer) => assert_eq!(read.unwrap_or(0), 0),
            _ = incoming.next() => panic!("the second connection was taken"),
        }
        let counted = || (connections.open(), connections.refused.get());
        assert_eq!(counted(), (1, 1));
        drop(taken);
        assert_eq!(counted(), (0, 1));
        let _third = TcpStream::connect(address).await.unwrap();
        assert!(incoming.next().await.is_some());
    }

    #[test]
    fn refusals_are_told_at_once_and_then_once_a_minute() {
        let mut refusals = Refusals::default();
        let begin = Instant::now();
        let mut add = |seconds| refusals.add(begin + Duration::from_secs(seconds));
        assert_eq!(add(0), Some(1));
        for second in 1..60 {
            assert_eq!(add(second), None);
        }
        assert_eq!(add(60), Some(60));
        assert_eq!(add(61), None);
    }

    #[tokio::test]
    async fn who_connected_before_the_end_is_taken_and_nobody_after() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let closing = CancellationToken::new();
        let mut incoming = incoming(listener, 9, Arc::default(), closing.clone());
        let mut early = Vec::new();
        for _ in 0..3 {
            early.push(TcpStream::connect(address).await.unwrap());
        }
        closing.cancel();
        for _ in 0..3 {
            assert!(incoming.next().await.is_some());
        }
        assert!(incoming.next().await.is_none());
        drop(incoming);
        assert!(TcpStream::connect(address).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_says_nothing_at_first_gives_up_its_place() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let open = CancellationToken::new();
        let mut incoming = incoming(listener, 1, Arc::default(), open);
        let _silent = TcpStream::connect(address).await.unwrap();
        let mut taken = incoming.next().await.unwrap().open().await.unwrap().0;
        let error = taken.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
