//! What an introspection costs beside what memory and the network do: allocations and time
//! of the way through our layers, and of tonic's own way to a service that answers the same
//! without any layer of ours. `cargo bench --bench layers`; with a way's name and a number
//! it goes that way so often and prints nothing, for valgrind; with `serve`, a way's name,
//! a layout (threads, or `shared`) and a port it serves that way.

mod same;
mod serve;

use std::error::Error;
use std::future::poll_fn;
use std::io::Write as _;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use http::{HeaderValue, Method, Request, Response, Uri};
use http_body::Frame;
use prost::Message as _;
use prost::bytes::{BufMut as _, Bytes, BytesMut};
use token_authority::authority::access::Rpc;
use token_authority::domain::entropy::OsEntropy;
use token_authority::pb::introspection_service_server::IntrospectionServiceServer;
use token_authority::rpc::Limits;
use token_authority::rpc::layers::{Layered, Layers, Reply};
use tokio::runtime;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::service::Routes;
use tower::{Layer as _, Service as _};

use self::same::{Known, Nobody, Same, answer, question};

/// A body of one frame.
struct One(Option<Bytes>);

impl http_body::Body for One {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Poll::Ready(self.0.take().map(|data| Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }
}

fn request(message: &Bytes) -> Request<One> {
    let mut request = Request::new(One(Some(message.clone())));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = Uri::from_static(Rpc::Introspect.path());
    for (name, value) in [
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        (
            "authorization",
            "Bearer authority_0123456789AB012345678901234567890",
        ),
        ("user-agent", "grpc-rust/0.1"),
    ] {
        let value = HeaderValue::from_static(value);
        request.headers_mut().insert(name, value);
    }
    request
}

async fn drain<B: http_body::Body>(response: Response<B>) {
    let mut body = pin!(response.into_body());
    while poll_fn(|context| body.as_mut().poll_frame(context))
        .await
        .is_some()
    {}
}

/// The ways that a call may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// It is only made.
    None,
    /// Through tonic's routes to a service.
    Bare,
    /// Through our layers, to memory.
    AtOnce,
}

const WAYS: [(Way, &str); 3] = [
    (Way::None, "none"),
    (Way::Bare, "bare"),
    (Way::AtOnce, "at-once"),
];

/// What calls go to.
struct Ways {
    bare: Routes,
    layered: Layered<Nobody>,
    known: Known,
    message: Bytes,
}

impl Ways {
    fn new() -> Self {
        let mut message = BytesMut::new();
        message.put_u8(0);
        let question = question().encode_to_vec();
        message.put_u32(u32::try_from(question.len()).unwrap_or_default());
        message.put_slice(&question);
        let layers = Layers::new(
            Arc::new(OsEntropy),
            |_| false,
            Limits::default(),
            Arc::default(),
            CancellationToken::new(),
        );
        Self {
            bare: Routes::new(IntrospectionServiceServer::new(Same(answer()))).prepare(),
            layered: layers.layer(Nobody),
            known: Known(answer()),
            message: message.freeze(),
        }
    }

    async fn go(&mut self, way: Way, calls: u32) {
        for _ in 0..calls {
            let request = request(&self.message);
            match way {
                Way::None => drop(request),
                Way::Bare => {
                    let Ok(response) = self.bare.call(request).await;
                    drain(response).await;
                }
                Way::AtOnce => {
                    let Ok(response) = self.layered.answer(&self.known, None, request).await;
                    assert!(matches!(response.body(), Reply::Whole(..)));
                    drain(response).await;
                }
            }
        }
    }
}

/// The calls between two readings of the clock.
const CALLS: u32 = 200_000;

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = runtime::Builder::new_current_thread().build()?;
    let mut ways = Ways::new();
    let given: Vec<String> = std::env::args().collect();
    if let [_, serve, way, layout, port] = &given[..]
        && serve == "serve"
    {
        return serve::serve(way, layout, port.parse()?);
    }
    if let [_, name, calls] = &given[..] {
        let way = WAYS.iter().find(|(_, known)| known == name);
        let (way, _) = way.ok_or("no such way")?;
        runtime.block_on(ways.go(*way, calls.parse()?));
        return Ok(());
    }
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "| way | allocations | bytes | ns, median of 7 |\n|---|---|---|---|"
    )?;
    // What making the call costs is none of the ways'.
    let mut none = (0, 0, 0.0);
    for (way, name) in WAYS {
        runtime.block_on(ways.go(way, 1000));
        let mut times = [0.0; 7];
        for time in &mut times {
            let began = Instant::now();
            runtime.block_on(ways.go(way, CALLS));
            *time = began.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS);
        }
        times.sort_by(f64::total_cmp);
        let [.., time, _, _, _] = times;
        let counted = allocation_counter::measure(|| runtime.block_on(ways.go(way, 1000)));
        let [count, bytes] = [counted.count_total, counted.bytes_total].map(|all| all / 1000);
        if way == Way::None {
            none = (count, bytes, time);
            continue;
        }
        let (count, bytes, time) = (count - none.0, bytes - none.1, time - none.2);
        writeln!(out, "| {name} | {count} | {bytes} | {time:.0} |")?;
    }
    Ok(())
}
