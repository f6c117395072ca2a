//! Dropping a future where it waits, at the same places on each run.

use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Poll};
use std::thread::{self, ThreadId};

use tracing::dispatcher::{DefaultGuard, set_default};
use tracing::level_filters::LevelFilter;
use tracing::span::Id;
use tracing::{Dispatch, Span, Subscriber, error_span};
use tracing_subscriber::layer::{self, Layer, SubscriberExt as _};
use tracing_subscriber::registry;

/// When a call is dropped that waits for something.
#[derive(Clone, Copy, Debug)]
pub(super) enum Moment {
    /// Before what it waits for has begun.
    Asleep,
    /// When that is done, before the call learns of it.
    Woken,
}

/// Cuts futures off, on the thread that made it.
pub(super) struct Cutter {
    gate: Arc<Gate>,
    /// What a future is polled in, so that the gate holds what it sets going.
    span: Span,
    _default: DefaultGuard,
}

/// Holds the threads of the embedded database back while a future is polled. Else one
/// could be done before the future looks, which then does not wait: whether it does
/// would depend on how busy the machine is.
#[derive(Debug)]
struct Gate {
    owner: ThreadId,
    open: Mutex<bool>,
    opened: Condvar,
}

/// Sees threads take up what they were told, since they enter the span of who told them.
struct Gatekeeper(Arc<Gate>);

impl<S: Subscriber> Layer<S> for Gatekeeper {
    fn on_enter(&self, _: &Id, _: layer::Context<'_, S>) {
        if thread::current().id() != self.0.owner {
            let open = self.0.open.lock().unwrap();
            drop(self.0.opened.wait_while(open, |open| !*open).unwrap());
        }
    }
}

impl Gate {
    fn set(&self, open: bool) {
        *self.open.lock().unwrap() = open;
        self.opened.notify_all();
    }
}

impl Cutter {
    pub(super) fn new() -> Self {
        let gate = Arc::new(Gate {
            owner: thread::current().id(),
            open: Mutex::new(true),
            opened: Condvar::new(),
        });
        let keeper = Gatekeeper(gate.clone());
        let subscriber = registry().with(keeper).with(LevelFilter::ERROR);
        let default = set_default(&Dispatch::new(subscriber));
        Self {
            gate,
            span: error_span!("cut"),
            _default: default,
        }
    }

    /// Polls a future until it has waited so many times, and then drops it. Waking it is
    /// left to what it waits for. Returns what it comes to; `None` when it was cut.
    pub(super) fn cut<F: Future>(&self, future: F, waits: usize, moment: Moment) -> Cut<'_, F> {
        Cut {
            cutter: self,
            future: Some(Box::pin(future)),
            waits,
            moment,
        }
    }
}

/// A future that is cut.
pub(super) struct Cut<'a, F> {
    cutter: &'a Cutter,
    future: Option<Pin<Box<F>>>,
    waits: usize,
    moment: Moment,
}

impl<F: Future> Cut<'_, F> {
    fn advance(&mut self, context: &mut Context<'_>) -> Poll<Option<F::Output>> {
        let Some(future) = self.future.as_mut().filter(|_| self.waits > 0) else {
            self.future = None;
            return Poll::Ready(None);
        };
        if let Poll::Ready(output) = future.as_mut().poll(context) {
            return Poll::Ready(Some(output));
        }
        self.waits -= 1;
        match (self.waits, self.moment) {
            (0, Moment::Asleep) => {
                self.future = None;
                Poll::Ready(None)
            }
            _ => Poll::Pending,
        }
    }
}

impl<F: Future> Future for Cut<'_, F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let cutter = self.cutter;
        cutter.gate.set(false);
        let polled = cutter.span.in_scope(|| self.advance(context));
        cutter.gate.set(true);
        polled
    }
}

#[tokio::test]
async fn a_cut_is_where_it_was_asked_for() {
    let cutter = Cutter::new();
    for (waits, moment, expected) in [
        (1, Moment::Asleep, (None, 0)),
        (1, Moment::Woken, (None, 0)),
        (2, Moment::Asleep, (None, 1)),
        (3, Moment::Woken, (None, 2)),
        (4, Moment::Asleep, (Some(()), 3)),
    ] {
        let mut passed = 0;
        let future = async {
            for _ in 0..3 {
                tokio::task::yield_now().await;
                passed += 1;
            }
        };
        let outcome = cutter.cut(future, waits, moment).await;
        assert_eq!((outcome, passed), expected, "{waits} {moment:?}");
    }
}
