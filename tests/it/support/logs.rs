//! Everything that is logged while a test runs, spans and events at every level.

use std::cell::RefCell;
use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tracing::dispatcher::{self, DefaultGuard, WeakDispatch};
use tracing::subscriber::NoSubscriber;
use tracing::{Dispatch, Subscriber, span};
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::{Context, Layer, Layered, SubscriberExt as _};
use tracing_subscriber::registry::Registry;

/// The lines that were logged.
#[derive(Clone, Debug, Default)]
pub(crate) struct Logs(Arc<Mutex<Vec<u8>>>);

thread_local! {
    /// What all threads of a test's runtime log to, if it has several.
    static SHARED: RefCell<Option<(Logs, Dispatch)>> = const { RefCell::new(None) };
}

/// The layer that writes lines.
type Plain = fmt::Layer<Registry, fmt::format::DefaultFields, fmt::format::Format, Logs>;

/// What a thread shares until this is dropped.
pub(crate) struct Shared;

impl Drop for Shared {
    fn drop(&mut self) {
        SHARED.set(None);
    }
}

/// What the threads of SQLite's driver are called.
const DRIVERS: &str = "sqlx-sqlite-worker";

/// Makes a test's subscriber that of each thread on which SQLite's driver enters a span of
/// its. A span that ends there would not tell the one around it: the registry looks for
/// it by the thread's subscriber, which in the program is all threads'.
#[derive(Debug, Default)]
struct Drivers(OnceLock<WeakDispatch>);

impl<S: Subscriber> Layer<S> for Drivers {
    fn on_register_dispatch(&self, dispatch: &Dispatch) {
        let _ = self.0.set(dispatch.downgrade());
    }

    fn on_enter(&self, _: &span::Id, _: Context<'_, S>) {
        let thread = std::thread::current();
        let is_drivers = thread.name().is_some_and(|name| name.starts_with(DRIVERS));
        if !is_drivers || !dispatcher::get_default(Dispatch::is::<NoSubscriber>) {
            return;
        }
        if let Some(this) = self.0.get().and_then(WeakDispatch::upgrade) {
            // The guard would end with this function; the thread is the test's alone.
            std::mem::forget(dispatcher::set_default(&this));
        }
    }
}

impl Logs {
    /// Captures what this thread logs until the guard is dropped: everything, or, on
    /// a runtime of [`in_parallel`], what all its threads log of alarms.
    pub(crate) fn capture() -> (Self, DefaultGuard) {
        let (logs, dispatch) = SHARED.with_borrow(Clone::clone).unwrap_or_else(|| {
            let logs = Self::default();
            let dispatch = logs.dispatch(tracing::Level::TRACE);
            (logs, dispatch)
        });
        (logs, tracing::dispatcher::set_default(&dispatch))
    }

    /// Has everything that this thread will capture go to a layer, too.
    pub(crate) fn share_with(layer: impl Layer<Layered<Plain, Registry>> + Send + Sync) -> Shared {
        let logs = Self::default();
        let plain = tracing_subscriber::fmt::layer()
            .with_span_events(FmtSpan::NEW | FmtSpan::CLOSE)
            .with_ansi(false)
            .with_writer(logs.clone());
        let dispatch = tracing_subscriber::registry()
            .with(plain)
            .with(layer)
            .with(Drivers::default());
        SHARED.set(Some((logs, dispatch.into())));
        Shared
    }

    fn dispatch(&self, level: tracing::Level) -> Dispatch {
        tracing_subscriber::fmt()
            .with_max_level(level)
            .with_span_events(FmtSpan::NEW | FmtSpan::CLOSE)
            .with_ansi(false)
            .with_writer(self.clone())
            .finish()
            .into()
    }

    /// Returns all that was logged.
    pub(crate) fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Returns the warnings and errors of this program.
    pub(crate) fn alarms(&self) -> Vec<String> {
        let alarm = |line: &&str| {
            (line.contains(" WARN ") || line.contains(" ERROR "))
                && line.contains("token_authority")
                // A call's span is of the highest level, so as not to be filtered out.
                && !line.contains(" token_authority::call_span: ")
        };
        self.text()
            .lines()
            .filter(alarm)
            .map(str::to_owned)
            .collect()
    }
}

impl io::Write for Logs {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Logs {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Runs a test on a runtime of two threads, whose alarms it captures.
pub(crate) fn in_parallel(test: impl Future<Output = ()>) {
    let logs = Logs::default();
    let dispatch = logs.dispatch(tracing::Level::WARN);
    SHARED.set(Some((logs, dispatch.clone())));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        // The guard would end with this function; the thread is the runtime's alone.
        .on_thread_start(move || std::mem::forget(tracing::dispatcher::set_default(&dispatch)))
        .build()
        .unwrap();
    runtime.block_on(test);
    SHARED.set(None);
}
