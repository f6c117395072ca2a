//! Until when an answer may take: to its end, and not only until it begins.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use http_body::{Frame, SizeHint};
use tokio::time::Sleep;
use tonic::Status;
use tonic::body::Body;
use tonic::transport::{Channel, Error};
use tower::Service;

/// What tonic says where an answer has not begun in time.
pub(super) const EXPIRED: &str = "Timeout expired";

/// A channel whose answers end in time, or in a failure.
#[derive(Clone, Debug)]
pub(super) struct Bounded {
    channel: Channel,
    timeout: Duration,
}

impl Bounded {
    /// Bounds a channel.
    pub(super) fn new(channel: Channel, timeout: Duration) -> Self {
        Self { channel, timeout }
    }
}

impl Service<Request<Body>> for Bounded {
    type Response = Response<Answer>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Answer>, Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.channel.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // Until the answer begins, tonic's own timer runs: by the request's `grpc-timeout`.
        let sleep = Box::pin(tokio::time::sleep(self.timeout));
        let answer = self.channel.call(request);
        Box::pin(async move { Ok(answer.await?.map(|body| Answer { body, sleep })) })
    }
}

/// An answer's body that ends in a failure when its time has passed.
pub(super) struct Answer {
    body: Body,
    sleep: Pin<Box<Sleep>>,
}

impl http_body::Body for Answer {
    type Data = <Body as http_body::Body>::Data;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Status>>> {
        // Asked first: one who sends on and on is not heard out.
        if self.sleep.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(Err(Status::cancelled(EXPIRED))));
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}
