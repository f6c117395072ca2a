//! The connections that are taken: a bounded number at once.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_stream::Stream;
use tonic::transport::server::{Connected, TcpConnectInfo};

use crate::domain::bounds;

/// A connection and its place among the bounded number.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    _place: OwnedSemaphorePermit,
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.stream.connect_info()
    }
}

/// The connections of a listener.
#[derive(Debug)]
pub struct Incoming {
    listener: TcpListener,
    places: Arc<Semaphore>,
}

/// Takes a listener's connections, at most [`bounds::CONNECTIONS`] at once.
pub fn incoming(listener: TcpListener) -> Incoming {
    bounded(listener, bounds::CONNECTIONS)
}

fn bounded(listener: TcpListener, most: usize) -> Incoming {
    Incoming {
        listener,
        places: Arc::new(Semaphore::new(most)),
    }
}

impl Stream for Incoming {
    type Item = io::Result<Connection>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let stream = match self.listener.poll_accept(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok((stream, _))) => stream,
                Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(error))),
            };
            // One too many is closed at once: its client is told, instead of
            // waiting in a queue that nobody empties.
            let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
                tracing::warn!("a connection too many was closed");
                continue;
            };
            // Small answers must not wait for more to be sent; where this fails
            // the connection is about to fail as well.
            let _ = stream.set_nodelay(true);
            return Poll::Ready(Some(Ok(Connection {
                stream,
                _place: place,
            })));
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
        let mut incoming = bounded(listener, 1);
        let _first = TcpStream::connect(address).await.unwrap();
        let taken = incoming.next().await.unwrap().unwrap();
        let mut second = TcpStream::connect(address).await.unwrap();
        let mut buffer = [0; 1];
        tokio::select! {
            biased;
            read = second.read(&mut buffer) => assert_eq!(read.unwrap_or(0), 0),
            _ = incoming.next() => panic!("the second connection was taken"),
        }
        drop(taken);
        let _third = TcpStream::connect(address).await.unwrap();
        assert!(incoming.next().await.unwrap().is_ok());
    }
}
