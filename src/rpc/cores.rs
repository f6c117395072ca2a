//! The threads that serve connections: each has a runtime of its own, so that a call that
//! waits for nobody is served where its bytes come in. Knows nothing of what is served.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::runtime;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::Dispatch;

/// Who serves connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// So many threads, each of which has a runtime and connections of its own.
    PerCore(usize),
    /// The threads that do all else, too: a connection is served by whichever is free.
    Shared,
}

/// One connection of those that a core has, as long as this lasts.
#[derive(Debug)]
pub struct Load(Arc<AtomicUsize>);

impl Load {
    fn new(of: &Arc<AtomicUsize>) -> Self {
        of.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(of))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a core is given to serve, one after the other; once no more come, it finishes
/// what it has, and ends.
pub type Given<T> = mpsc::UnboundedReceiver<(T, Load)>;

/// What serves a part of the connections.
#[derive(Debug)]
struct Core<T> {
    given: mpsc::UnboundedSender<(T, Load)>,
    connections: Arc<AtomicUsize>,
}

/// All that serve connections. Dropped, they end where they are.
#[derive(Debug)]
pub struct Cores<T> {
    all: Vec<Core<T>>,
    /// The first of equals to be given the next connection.
    next: usize,
    /// Resolve when a core ends.
    ends: JoinSet<()>,
    _gone: DropGuard,
}

impl<T: Send + 'static> Cores<T> {
    /// Starts them, on the runtime that this is called on or beside it. Each runs `serve`
    /// on what it is given.
    pub fn start<F>(
        layout: Layout,
        serve: impl Fn(Given<T>) -> F + Clone + Send + 'static,
    ) -> io::Result<Self>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let gone = CancellationToken::new();
        let (mut all, mut ends) = (Vec::new(), JoinSet::new());
        let mut core = || {
            let (given, taken) = mpsc::unbounded_channel();
            let connections = Arc::default();
            all.push(Core { given, connections });
            taken
        };
        match layout {
            Layout::Shared => {
                ends.spawn(serve(core()));
            }
            Layout::PerCore(threads) => {
                for at in 0..threads.max(1) {
                    let taken = core();
                    let (serve, gone) = (serve.clone(), gone.clone());
                    let ended = thread(at, gone, move || serve(taken))?;
                    ends.spawn(async {
                        // Whether it ends or panics: then the sender is dropped.
                        let _ = ended.await;
                    });
                }
            }
        }
        Ok(Self {
            all,
            next: 0,
            ends,
            _gone: gone.drop_guard(),
        })
    }

    /// Gives a connection to the core that has the fewest, in turn among equals.
    pub fn give(&mut self, connection: T) {
        let count = self.all.len();
        let in_turn = (0..count).map(|step| (self.next + step) % count);
        let has = |at: usize| {
            let core = self.all.get(at);
            core.map_or(usize::MAX, |core| core.connections.load(Ordering::Relaxed))
        };
        let Some(at) = in_turn.min_by_key(|at| has(*at)) else {
            return;
        };
        self.next = at + 1;
        if let Some(core) = self.all.get(at) {
            // A core that has ended ends the server.
            let _ = core.given.send((connection, Load::new(&core.connections)));
        }
    }

    /// Resolves when a core ends, though it was not told to.
    pub async fn died(&mut self) {
        self.ends.join_next().await;
    }

    /// Gives them nothing more, and waits until each has finished what it has.
    pub async fn finish(mut self) {
        self.all.clear();
        while self.ends.join_next().await.is_some() {}
    }
}

/// Starts a thread with a runtime of its own that runs `serve`, until that ends or `gone`
/// is cancelled; returns what resolves at its end.
fn thread<F: Future<Output = ()>>(
    at: usize,
    gone: CancellationToken,
    serve: impl FnOnce() -> F + Send + 'static,
) -> io::Result<oneshot::Receiver<()>> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    // What is logged there goes where it goes here.
    let dispatch = tracing::dispatcher::get_default(Dispatch::clone);
    let (ending, ended) = oneshot::channel();
    let run = move || {
        let _ending: oneshot::Sender<()> = ending;
        tracing::dispatcher::with_default(&dispatch, || {
            runtime.block_on(async {
                tokio::select! {
                    () = serve() => {}
                    () = gone.cancelled() => {}
                }
            });
            // What is left of calls tells how it ended.
            drop(runtime);
        });
    };
    std::thread::Builder::new()
        .name(format!("grpc-{at}"))
        .spawn(run)?;
    Ok(ended)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tells the thread's name of each thing that it is given, and keeps it until it is
    /// let go.
    async fn tell(
        mut given: Given<oneshot::Receiver<()>>,
        told: mpsc::UnboundedSender<Option<String>>,
    ) {
        let mut kept = JoinSet::new();
        while let Some((until, load)) = given.recv().await {
            let name = std::thread::current().name().map(str::to_owned);
            told.send(name).unwrap();
            kept.spawn(async move {
                let _load = load;
                let _ = until.await;
            });
        }
        kept.join_all().await;
    }

    #[tokio::test]
    async fn who_has_the_fewest_connections_is_given_the_next() {
        let (telling, mut told) = mpsc::unbounded_channel();
        let mut cores = Cores::start(Layout::PerCore(3), move |given| {
            tell(given, telling.clone())
        })
        .unwrap();
        let mut kept = Vec::new();
        let mut names = Vec::new();
        for _ in 0..4 {
            let (keep, until) = oneshot::channel();
            cores.give(until);
            kept.push(keep);
            names.push(told.recv().await.unwrap().unwrap());
        }
        assert_eq!(names, ["grpc-0", "grpc-1", "grpc-2", "grpc-0"]);
        drop(kept.remove(2));
        while cores.all[2].connections.load(Ordering::Relaxed) > 0 {
            tokio::task::yield_now().await;
        }
        let (keep, until) = oneshot::channel();
        cores.give(until);
        assert_eq!(told.recv().await.unwrap().unwrap(), "grpc-2");
        kept.push(keep);
        // They finish what they have.
        let mut finished = std::pin::pin!(cores.finish());
        tokio::select! {
            biased;
            () = finished.as_mut() => panic!("a connection was left"),
            () = tokio::task::yield_now() => {}
        }
        drop(kept);
        finished.await;
    }

    #[tokio::test]
    async fn a_core_that_panics_is_told_of() {
        for layout in [Layout::PerCore(2), Layout::Shared] {
            let mut cores = Cores::start(layout, |mut given: Given<()>| async move {
                given.recv().await;
                panic!("planted");
            })
            .unwrap();
            cores.give(());
            cores.died().await;
        }
    }

    #[tokio::test]
    async fn dropped_they_end_with_what_they_have() {
        for layout in [Layout::PerCore(2), Layout::Shared] {
            let (telling, mut told) = mpsc::unbounded_channel();
            let mut cores =
                Cores::start(layout, move |given| tell(given, telling.clone())).unwrap();
            let (mut keep, until) = oneshot::channel();
            cores.give(until);
            told.recv().await.unwrap();
            drop(cores);
            keep.closed().await;
        }
    }
}
