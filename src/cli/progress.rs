//! How far long work has come, on standard error where that is a terminal; else
//! nothing is shown.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Something that is counted while one waits. Dropped, it leaves nothing behind.
#[derive(Debug)]
pub(super) struct Progress(ProgressBar);

impl Progress {
    /// Begins to count such things.
    pub(super) fn of(things: &'static str) -> Self {
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {pos} {msg}") {
            bar.set_style(style);
        }
        bar.set_message(things);
        // Slow enough that a short wait shows nothing.
        bar.enable_steady_tick(Duration::from_millis(200));
        Self(bar)
    }

    /// Says how many there are by now.
    pub(super) fn at(&self, count: usize) {
        self.0.set_position(count as u64);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
