//! A connection that speaks HTTP/2 itself: gRPC clients hide settings, repeat no
//! header and keep deadlines of their own.

use std::net::SocketAddr;

use h2::client::SendRequest;
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use prost::Message;
use prost::bytes::{BufMut as _, Bytes, BytesMut};
use tokio::net::TcpStream;
use tonic::Status;

/// A connection.
pub(super) struct Wire(SendRequest<Bytes>);

/// What was answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) http: u16,
    pub(super) status: Status,
    headers: HeaderMap,
}

impl Answer {
    /// Returns a header's text.
    pub(super) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().unwrap())
    }
}

impl Wire {
    pub(super) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let (send, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        Self(send)
    }

    /// Returns how many calls may be under way at once, as the server said.
    pub(super) fn streams(&self) -> usize {
        self.0.current_max_send_streams()
    }

    /// Calls with an empty message.
    pub(super) async fn call(
        &mut self,
        path: &str,
        headers: Vec<(&'static str, Vec<u8>)>,
    ) -> Answer {
        self.send(path, headers, &()).await
    }

    /// Calls.
    pub(super) async fn send(
        &mut self,
        path: &str,
        headers: Vec<(&'static str, Vec<u8>)>,
        message: &impl Message,
    ) -> Answer {
        let mut request = Request::post(format!("http://localhost{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())
            .unwrap();
        for (name, value) in headers {
            let value = HeaderValue::from_bytes(&value).unwrap();
            request
                .headers_mut()
                .append(HeaderName::from_static(name), value);
        }
        let mut frame = BytesMut::new();
        frame.put_u8(0);
        frame.put_u32(u32::try_from(message.encoded_len()).unwrap());
        message.encode(&mut frame).unwrap();

        std::future::poll_fn(|context| self.0.poll_ready(context))
            .await
            .unwrap();
        let (response, mut body) = self.0.send_request(request, false).unwrap();
        // Refused for its headers, a call's body is not taken any more.
        let _ = body.send_data(frame.freeze(), true);
        let response = response.await.unwrap();
        let http = response.status().as_u16();
        let (head, mut body) = response.into_parts();
        while let Some(data) = body.data().await {
            let data = data.unwrap();
            body.flow_control().release_capacity(data.len()).unwrap();
        }
        let trailers = body.trailers().await.unwrap_or_default();
        let status = trailers
            .as_ref()
            .and_then(Status::from_header_map)
            .or_else(|| Status::from_header_map(&head.headers))
            .unwrap_or_else(|| Status::unknown("no status"));
        Answer {
            http,
            status,
            headers: head.headers,
        }
    }
}
