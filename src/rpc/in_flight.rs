//! How many calls are being answered: at the end, whether any was cut.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A count of calls. Streams that are meant to stay open are not among them.
#[derive(Clone, Debug, Default)]
pub struct InFlight(Arc<AtomicUsize>);

/// A call that is counted until this is dropped.
#[derive(Debug)]
pub(super) struct Counted(InFlight);

impl InFlight {
    /// Returns how many there are.
    pub fn calls(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Counts one more.
    pub(super) fn count(&self) -> Counted {
        self.0.fetch_add(1, Ordering::Relaxed);
        Counted(self.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}
