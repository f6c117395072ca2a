//! A way to the database's server that can go silent: what is sent is lost, and nobody
//! is told.

use std::future::pending;
use std::path::PathBuf;

use tempfile::TempDir;
use token_authority::config::Config;
use tokio::io::copy_bidirectional;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;

use super::{Backend, Database};

/// What becomes of what is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    /// It is relayed.
    Whole,
    /// It is lost, and the server sees its side closed.
    Silent,
    /// It is lost, and the server sees nothing of that.
    Apart,
}

/// Relays to the server of a database while the test's runtime goes on.
#[derive(Debug)]
pub(crate) struct Relay {
    /// The URL of the database that leads through it.
    pub(crate) url: String,
    flow: watch::Sender<Flow>,
    _directory: TempDir,
}

impl Relay {
    /// Begins to relay.
    pub(crate) fn to(database: &Database) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = database.socket().unwrap();
        let near = directory.path().join(socket.file_name().unwrap());
        let listener = UnixListener::bind(near).unwrap();
        let (flow, flowing) = watch::channel(Flow::Whole);
        tokio::spawn(serve(listener, socket, flowing));
        let mut config = Config::default();
        database.configure(&mut config);
        // The last one named is taken.
        let url = format!(
            "{}&host={}",
            config.database.url.unwrap().expose(),
            directory.path().display()
        );
        Self {
            url,
            flow,
            _directory: directory,
        }
    }

    /// Makes a database on a server, and begins to relay to it.
    pub(crate) async fn new() -> (Database, Self) {
        let database = Database::new(Backend::Postgres).await;
        let relay = Self::to(&database);
        (database, relay)
    }

    /// Goes silent: on connections that there are for good, on new ones until
    /// [`Relay::resume`]. The server sees its side of them closed.
    pub(crate) fn silence(&self) {
        self.flow.send_replace(Flow::Silent);
    }

    /// Goes silent as that does, but the server keeps its side of connections: it takes their
    /// clients to be there.
    pub(crate) fn tear(&self) {
        self.flow.send_replace(Flow::Apart);
    }

    /// Relays what connects from now on.
    pub(crate) fn resume(&self) {
        self.flow.send_replace(Flow::Whole);
    }
}

async fn serve(listener: UnixListener, socket: PathBuf, flowing: watch::Receiver<Flow>) {
    loop {
        let (near, _) = listener.accept().await.unwrap();
        tokio::spawn(relay(near, socket.clone(), flowing.clone()));
    }
}

async fn relay(mut near: UnixStream, socket: PathBuf, mut flowing: watch::Receiver<Flow>) {
    let mut far = None;
    let passing = async {
        let far = far.insert(UnixStream::connect(socket).await.unwrap());
        // Either side may go at any time.
        let _ = copy_bidirectional(&mut near, far).await;
    };
    let flow = tokio::select! {
        biased;
        flow = flowing.wait_for(|flow| *flow != Flow::Whole) => flow.map(|flow| *flow),
        () = passing => return,
    };
    // The near side stays open, and says nothing.
    let _near = near;
    let _far = far.filter(|_| flow.is_ok_and(|flow| flow == Flow::Apart));
    pending::<()>().await;
}
