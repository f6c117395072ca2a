//! Serves connections: HTTP/2 as it is set, and the end of each in good order.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming as Received;
use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_stream::StreamExt as _;
use tokio_util::sync::CancellationToken;

use super::cores::{Cores, Given, Load};
use super::incoming::{Arrival, Incoming, NotOpened};
use super::layers::{Layered, Recall, Serves};
use super::limits::Limits;
use super::seldom::Seldom;

/// How often a silent connection is asked whether it lives, and how long it has to
/// answer: one whose peer vanished gives up its place.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(20));

/// Gives what comes in to the cores, until no more comes; then waits until they have
/// finished. Returns early when one of them dies.
pub async fn serve(incoming: Incoming, mut cores: Cores<Arrival>) {
    let mut incoming = Box::pin(incoming);
    loop {
        let arrival = tokio::select! {
            biased;
            () = cores.died() => return,
            arrival = incoming.next() => arrival,
        };
        match arrival {
            Some(arrival) => cores.give(arrival),
            None => break,
        }
    }
    // Nobody can connect any more.
    drop(incoming);
    cores.finish().await;
}

/// Serves the connections that a core is given. Once no more come, each is told so, and
/// finishes its calls; when `cut` is cancelled, each ends where it is.
pub async fn connections<S, R>(
    mut given: Given<Arrival>,
    services: Layered<S>,
    recall: R,
    limits: Limits,
    cut: CancellationToken,
) where
    S: Serves,
    R: Recall + Send + Sync + 'static,
{
    let core = Arc::new(Core {
        services,
        recall,
        http2: http2(&limits),
        age: limits.connection_age,
        patience: limits.deadline_max,
        ending: CancellationToken::new(),
        // Of its own: else all cores would contend for one lock.
        cut: cut.child_token(),
    });
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            given = given.recv() => match given {
                Some((arrival, load)) => {
                    connections.spawn(Arc::clone(&core).connection(arrival, load));
                }
                None => break,
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
    core.ending.cancel();
    while connections.join_next().await.is_some() {}
}

/// Returns HTTP/2 as it is set.
fn http2(limits: &Limits) -> Builder<TokioExecutor> {
    let mut http2 = Builder::new(TokioExecutor::new());
    http2
        .timer(TokioTimer::new())
        // No gRPC client reads it.
        .auto_date_header(false)
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(limits.metadata_bytes)
        .keep_alive_interval(KEEPALIVE.0)
        .keep_alive_timeout(KEEPALIVE.1);
    http2
}

/// What all connections of a core share.
struct Core<S, R> {
    services: Layered<S>,
    recall: R,
    http2: Builder<TokioExecutor>,
    /// How long a connection lasts, about; for ever where it is zero.
    age: Duration,
    /// How long calls may take to finish on a connection that has become too old.
    patience: Duration,
    /// Cancelled when connections are to finish.
    ending: CancellationToken,
    /// Cancelled when they are cut.
    cut: CancellationToken,
}

impl<S, R> Core<S, R>
where
    S: Serves,
    R: Recall + Send + Sync + 'static,
{
    /// Serves a connection until it ends.
    async fn connection(self: Arc<Self>, arrival: Arrival, load: Load) {
        let _load = load;
        let (ending, cut) = (self.ending.child_token(), self.cut.child_token());
        let mut ending = Seldom::new(ending.cancelled_owned());
        let mut cut = Seldom::new(cut.cancelled_owned());
        let mut aged = Seldom::new(aged(age_of(self.age, arrival.address())));
        let opened = tokio::select! {
            biased;
            opened = arrival.open() => opened,
            () = &mut cut => return,
        };
        let (stream, peer) = match opened {
            Ok((stream, peer)) => (TokioIo::new(stream), peer),
            Err(NotOpened::Handshake(_)) => return,
            Err(NotOpened::System(error)) => {
                tracing::warn!(error = %error, "can't serve a connection");
                return;
            }
        };
        // Once: a certificate stays what it is as long as its connection lasts.
        let certified = peer.map(|peer| Arc::new(self.recall.certify(&peer)));
        let service = service_fn(|request: Request<Received>| {
            let (core, certified) = (Arc::clone(&self), certified.clone());
            async move {
                let certified = certified.as_ref();
                core.services.answer(&core.recall, certified, request).await
            }
        });
        let mut served = pin!(self.http2.serve_connection(stream, service));
        let mut ended = tokio::select! {
            biased;
            ended = served.as_mut() => Some(ended),
            () = &mut cut => return,
            () = &mut ending => None,
            () = &mut aged => {
                served.as_mut().graceful_shutdown();
                tokio::select! {
                    biased;
                    ended = served.as_mut() => Some(ended),
                    () = &mut cut => return,
                    () = &mut ending => None,
                    // What outlasts any call is a stream, and begins anew elsewhere.
                    () = sleep(self.patience) => return,
                }
            }
        };
        if ended.is_none() {
            served.as_mut().graceful_shutdown();
            ended = tokio::select! {
                ended = served => Some(ended),
                () = cut => return,
            };
        }
        if let Some(Err(error)) = ended {
            tracing::debug!(error = %error, "a connection failed");
        }
    }
}

/// Resolves after that long; never where it is zero.
async fn aged(age: Duration) {
    if age.is_zero() {
        std::future::pending::<()>().await;
    }
    sleep(age).await;
}

/// Returns how long a connection from there lasts: a tenth more or less than `age`, by its
/// address and port, so that those that were made at once do not all come again at once.
fn age_of(age: Duration, from: SocketAddr) -> Duration {
    let mut hasher = DefaultHasher::new();
    from.hash(&mut hasher);
    // A thousandth of a fifth for each, from nine tenths on.
    let part = u32::try_from(hasher.finish() % 1001).unwrap_or_default();
    age / 10 * 9 + age / 5 * part / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_a_tenth_more_or_less_and_not_the_same_for_all() {
        let age = Duration::from_secs(1800);
        let of = |port| age_of(age, SocketAddr::from(([127, 0, 0, 1], port)));
        let mut ages: Vec<_> = (1..=2000).map(of).collect();
        assert_eq!(of(7), of(7));
        ages.sort_unstable();
        let (least, most) = (ages[0], ages[ages.len() - 1]);
        assert_eq!(least.as_secs(), 1620, "{least:?}");
        assert!((1979..=1980).contains(&most.as_secs()), "{most:?}");
        ages.dedup();
        assert!(ages.len() > 500, "{}", ages.len());
        assert_eq!(
            age_of(Duration::ZERO, ([127, 0, 0, 1], 1).into()),
            Duration::ZERO
        );
    }
}
