//! Connections that have become old.

use std::time::Duration;

use h2::client::SendRequest;
use http::Request;
use prost::bytes::Bytes;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::{Backend, TestServer};

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(30);

/// Begins a call of health; its message is still to come.
fn begin(
    send: &mut SendRequest<Bytes>,
) -> Result<(h2::client::ResponseFuture, h2::SendStream<Bytes>), h2::Error> {
    let request = Request::post("http://localhost/grpc.health.v1.Health/Check")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .unwrap();
    send.send_request(request, false)
}

/// An empty message.
fn nothing() -> Bytes {
    Bytes::from_static(&[0; 5])
}

#[tokio::test]
async fn a_connection_too_old_takes_no_more_calls_and_finishes_those_it_has() {
    let t = TestServer::start_with(Backend::Sqlite, |config| {
        config.server.connection_age_seconds = 1;
    })
    .await;
    let stream = TcpStream::connect(t.address).await.unwrap();
    let (mut send, connection) = h2::client::handshake(stream).await.unwrap();
    let connection = tokio::spawn(connection);
    send = timeout(PATIENCE, send.ready()).await.unwrap().unwrap();
    let (early, mut message) = begin(&mut send).unwrap();
    // Until it is told to go; a call that was not taken is not lost, but refused.
    let told = async {
        loop {
            send = match send.ready().await {
                Ok(send) => send,
                Err(_) => return,
            };
            match begin(&mut send) {
                Ok((answer, mut message)) => {
                    let _ = message.send_data(nothing(), true);
                    if answer.await.is_err() {
                        return;
                    }
                }
                Err(_) => return,
            }
        }
    };
    timeout(PATIENCE, told).await.unwrap();
    // The call that had begun is answered, and then the connection ends in good order.
    message.send_data(nothing(), true).unwrap();
    let answer = timeout(PATIENCE, early).await.unwrap().unwrap();
    assert_eq!(answer.status(), 200);
    drop(answer);
    let ended = timeout(PATIENCE, connection).await.unwrap().unwrap();
    assert!(ended.is_ok(), "{ended:?}");
}
