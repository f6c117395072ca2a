//! Keeps a panic within its call. What a panic says may quote a secret, so only
//! its place in the code is ever logged.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::pin::pin;
use std::task::Poll;

thread_local! {
    /// Whether this thread is polling a call.
    static GUARDED: Cell<bool> = const { Cell::new(false) };
    /// Where this thread's call panicked.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// A call panicked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("panicked at {place}")]
pub(in crate::rpc) struct Panicked {
    place: String,
}

/// Notes where a panic happened. To be the process's panic hook, set by `main`: the
/// standard one prints what the panic says. A panic outside of calls, which nobody
/// else reports, is logged here.
pub fn panic_hook(info: &PanicHookInfo<'_>) {
    let place = info.location().map(ToString::to_string);
    // A thread that is ending has no locals any more, and a hook must not panic.
    if GUARDED.try_with(Cell::get).unwrap_or(false) {
        let _ = PLACE.try_with(|noted| noted.replace(place));
    } else {
        tracing::error!(panic.place = place, "panicked");
    }
}

/// Runs the future; a panic ends it with an error, not the connection that it
/// serves. A future that has panicked is not polled again.
pub(in crate::rpc) async fn guard<F: Future>(future: F) -> Result<F::Output, Panicked> {
    let mut future = pin!(future);
    poll_fn(|cx| match guard_at_once(|| future.as_mut().poll(cx)) {
        Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
        Ok(Poll::Pending) => Poll::Pending,
        Err(panicked) => Poll::Ready(Err(panicked)),
    })
    .await
}

/// Runs what waits for nobody; a panic ends it with an error.
pub(super) fn guard_at_once<T>(run: impl FnOnce() -> T) -> Result<T, Panicked> {
    let outer = GUARDED.replace(true);
    let ended = catch_unwind(AssertUnwindSafe(run));
    GUARDED.set(outer);
    ended.map_err(|_| Panicked {
        place: PLACE
            .take()
            .unwrap_or_else(|| "an unknown place".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rpc::testing::{Capture, hook};

    #[tokio::test]
    async fn a_panic_is_told_by_its_place_and_not_by_its_words() {
        hook();
        let capture = Capture::begin();
        let panicked = guard(async { panic!("ody_secret") }).await.unwrap_err();
        let text = panicked.to_string();
        assert!(text.contains("panic.rs:"), "{text}");
        assert!(!text.contains("ody_secret"), "{text}");
        assert_eq!(capture.end(), [""; 0], "the one who guards reports it");
    }

    #[tokio::test]
    async fn what_does_not_panic_passes_through() {
        let yielding = async {
            tokio::task::yield_now().await;
            7
        };
        assert_eq!(guard(yielding).await, Ok(7));
    }

    #[test]
    fn a_panic_outside_of_calls_is_logged_by_its_place() {
        hook();
        let capture = Capture::begin();
        let _ = catch_unwind(|| panic!("ody_secret"));
        let lines = capture.end();
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains("panic.rs:"), "{lines:?}");
        assert!(!lines[0].contains("ody_secret"), "{lines:?}");
    }
}
