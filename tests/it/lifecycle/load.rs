//! The end under load: clients on connections that stay and on new ones, none of which
//! gets an error for a call that was taken.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_stream::StreamExt as _;
use tonic::Status;
use tonic::transport::{Channel, Error};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use super::{LONG_GRACE, channel};
use crate::support::tokens::service;
use crate::support::{Actor, Backend, Installation, Issued, both_backends_in_parallel};

both_backends_in_parallel!(no_call_that_was_taken_fails_when_it_is_told_to_stop);

/// Long enough for many calls, on a slow machine too.
const DRAIN: (&str, &str) = ("TOKEN_AUTHORITY_SERVER__DRAIN_SECONDS", "3");
/// The clients that keep their connection, and as many that make one for each call.
const CLIENTS: usize = 4;
/// The calls that are acknowledged before it is told to stop.
const WARM: u32 = 20;

/// What all clients see and do.
struct Scene {
    address: String,
    operator: String,
    /// Whether health was seen to turn.
    turned: AtomicBool,
    /// A permit for each that was acknowledged.
    acknowledged: Semaphore,
    acknowledged_after: AtomicUsize,
}

impl Scene {
    /// Makes tokens until that fails; returns the names of those that were acknowledged,
    /// and of the one that was not.
    async fn run(&self, client: usize, stays: bool) -> (Vec<String>, Option<String>) {
        let kept = channel(&self.address).await;
        let mut done = Vec::new();
        loop {
            let name = format!("client {client} call {}", done.len());
            let turned = self.turned.load(Ordering::SeqCst);
            let channel = if stays {
                kept.clone()
            } else {
                match self.connect().await {
                    Some(channel) => channel,
                    None => return (done, None),
                }
            };
            match self.create(channel, &name).await {
                Ok(()) => {
                    done.push(name);
                    self.acknowledged.add_permits(1);
                    if turned {
                        self.acknowledged_after.fetch_add(1, Ordering::SeqCst);
                    }
                }
                Err(status) => {
                    // The transport's own word: nobody answered.
                    let source = std::error::Error::source(&status);
                    let is_answer = source.is_none_or(|source| !source.is::<Error>());
                    assert!(!is_answer, "{status:?}");
                    // None fails before nobody can connect any more.
                    assert!(self.connect().await.is_none(), "{status:?}");
                    return (done, Some(name));
                }
            }
        }
    }

    /// Connects, unless that is refused.
    async fn connect(&self) -> Option<Channel> {
        if let Err(error) = TcpStream::connect(&self.address).await {
            // Reset: it was still in the queue of a port that closed.
            let kinds = [ErrorKind::ConnectionRefused, ErrorKind::ConnectionReset];
            assert!(kinds.contains(&error.kind()), "{error}");
            assert!(
                self.turned.load(Ordering::SeqCst),
                "nobody was told before connections were refused"
            );
            return None;
        }
        let channel = Channel::from_shared(format!("http://{}", self.address)).unwrap();
        // The port may have closed meanwhile.
        channel.connect().await.ok()
    }

    async fn create(&self, channel: Channel, name: &str) -> Result<(), Status> {
        let operator = Actor::new(channel, Some(&self.operator), Issued::default());
        let request = service("authority", name, &["authority:introspect"]);
        operator.try_create(request).await.map(drop)
    }
}

async fn no_call_that_was_taken_fails_when_it_is_told_to_stop(backend: Backend) {
    let installation = Installation::new(backend).await;
    let (program, address) = installation.start(&[DRAIN, LONG_GRACE]);
    let scene = Arc::new(Scene {
        operator: installation.operator(),
        address,
        turned: AtomicBool::new(false),
        acknowledged: Semaphore::new(0),
        acknowledged_after: AtomicUsize::new(0),
    });
    let mut client = HealthClient::new(channel(&scene.address).await);
    let watch = client.watch(HealthCheckRequest::default()).await.unwrap();
    let mut watch = watch.into_inner();
    assert_eq!(watch.next().await.unwrap().unwrap().status, 1);

    let running: Vec<_> = (0..2 * CLIENTS)
        .map(|client| {
            let scene = Arc::clone(&scene);
            tokio::spawn(async move { scene.run(client, client % 2 == 0).await })
        })
        .collect();
    drop(scene.acknowledged.acquire_many(WARM).await.unwrap());
    program.terminate();
    while watch.next().await.unwrap().unwrap().status == 1 {}
    scene.turned.store(true, Ordering::SeqCst);

    let (mut acknowledged, mut failed) = (BTreeSet::new(), Vec::new());
    for client in running {
        let (done, last) = client.await.unwrap();
        acknowledged.extend(done);
        failed.extend(last);
    }
    drop((watch, client));
    let (code, said) = program.ended().await;
    assert_eq!(code, Some(0), "{said}");
    assert!(
        scene.acknowledged_after.load(Ordering::SeqCst) > 0,
        "no call was taken in the drain"
    );

    // What was not acknowledged was not done.
    let names = installation.database.texts("SELECT name FROM tokens").await;
    let made: BTreeSet<_> = names
        .into_iter()
        .filter(|name| name.starts_with("client "))
        .collect();
    assert_eq!(made, acknowledged);
    assert!(failed.iter().all(|name| !made.contains(name)), "{failed:?}");
}
