//! What the unit tests of this module share.

use std::io::{self, Write};
use std::panic;
use std::sync::{Arc, Mutex, Once, PoisonError};

use super::layers::{RequestId, panic_hook};
use crate::domain::entropy::{Entropy, EntropyError};

/// Randomness that is this byte, again and again.
#[derive(Debug)]
pub(super) struct Always(pub(super) u8);

impl Entropy for Always {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), EntropyError> {
        buffer.fill(self.0);
        Ok(())
    }
}

/// Where the lines of a captured log go.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Takes the log of this thread until it is asked for the lines.
pub(super) struct Capture {
    lines: Lines,
    guard: tracing::subscriber::DefaultGuard,
}

impl Capture {
    /// Begins.
    pub(super) fn begin() -> Self {
        listen_always();
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        let guard = tracing::subscriber::set_default(subscriber);
        Self { lines, guard }
    }

    /// Ends, and returns the lines.
    pub(super) fn end(self) -> Vec<String> {
        drop(self.guard);
        let bytes = self.lines.0.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&bytes);
        text.lines().map(str::to_owned).collect()
    }
}

/// Has somebody take every event, and throw it away: were nobody interested in an event
/// when it is first met, just then, by another test, it could be taken for one that nobody
/// ever is.
fn listen_always() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let sink = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(io::sink)
            .finish();
        let _ = tracing::subscriber::set_global_default(sink);
    });
}

/// Adds our hook of panics before the tests' own, which other tests may need.
pub(super) fn hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            panic_hook(info);
            previous(info);
        }));
    });
}

/// Returns a request's id.
pub(super) fn request_id(text: &str) -> RequestId {
    RequestId::given(text).unwrap()
}
