//! The span of a call, for what works for the call on any floor. Most introspections
//! have nothing to tell, so theirs is made when somebody first has.

use std::cell::Cell;
use std::fmt;
use std::sync::{Arc, OnceLock};

use http::HeaderValue;
use opentelemetry::trace::TraceId;
use tracing::{Span, Subscriber, field};
use tracing_subscriber::Layer;

/// Which calls are told of, among those that have nothing to tell: where traces are exported,
/// it is found by its type among what spans are told to.
pub struct Sampling {
    /// Whether each is, as it is for who logs everything.
    pub all: bool,
    /// Decides by chance of a call whose caller says nothing.
    pub draw: Box<dyn Fn() -> bool + Send + Sync>,
}

impl fmt::Debug for Sampling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sampling")
            .field("all", &self.all)
            .finish_non_exhaustive()
    }
}

impl<S: Subscriber> Layer<S> for Sampling {}

impl Sampling {
    /// Returns what `ask` makes of it; `None` where nobody samples.
    pub fn ask<T>(ask: impl FnOnce(&Self) -> T) -> Option<T> {
        let mut ask = Some(ask);
        tracing::dispatcher::get_default(|dispatch| {
            let sampling = dispatch.downcast_ref::<Self>()?;
            ask.take().map(|ask| ask(sampling))
        })
    }
}

thread_local! {
    /// What was decided of the call whose span this thread makes: whether it is traced.
    static TRACED: Cell<Option<bool>> = const { Cell::new(None) };
}

tokio::task_local! {
    /// The call that this task serves, where its span may not have been made yet.
    static CALL: Arc<CallSpan>;
}

/// What the span of a call says, and the span once it is made.
#[derive(Debug)]
pub struct CallSpan {
    method: &'static str,
    request_id: HeaderValue,
    trace_id: Option<TraceId>,
    traced: Option<bool>,
    made: OnceLock<Span>,
}

impl CallSpan {
    /// Notes what the span of a call says: the RPC's path without its first slash, the
    /// call's id, and the trace of which its caller says that it is part. `traced` is whether
    /// it is exported, where that is decided already.
    pub fn new(
        method: &'static str,
        request_id: HeaderValue,
        trace_id: Option<TraceId>,
        traced: Option<bool>,
    ) -> Self {
        Self {
            method,
            request_id,
            trace_id,
            traced,
            made: OnceLock::new(),
        }
    }

    /// Returns whether the span has been made.
    pub fn is_made(&self) -> bool {
        self.made.get().is_some()
    }

    /// Returns the span, made by whoever asks first.
    pub fn get(&self) -> &Span {
        self.made.get_or_init(|| {
            // Not to be filtered out where a line within is not.
            self.as_decided(|| {
                tracing::error_span!(
                    "rpc",
                    rpc.method = self.method,
                    request.id = self.request_id.to_str().unwrap_or_default(),
                    trace_id = self.trace_id.map(field::display)
                )
            })
        })
    }

    /// Does something to the span by which whoever exports it learns of it.
    pub fn as_decided<T>(&self, work: impl FnOnce() -> T) -> T {
        let before = TRACED.replace(self.traced);
        let done = work();
        TRACED.set(before);
        done
    }
}

/// Returns whether the call whose span this thread makes is traced; `None` where that is not
/// decided.
pub fn is_traced() -> Option<bool> {
    TRACED.get()
}

/// Serves a call whose span may not have been made yet.
pub async fn serving<F: Future>(call: Arc<CallSpan>, served: F) -> F::Output {
    CALL.scope(call, served).await
}

/// Returns the span in which what is begun now belongs.
pub fn current() -> Span {
    let current = Span::current();
    if !current.is_none() {
        return current;
    }
    let call = CALL.try_with(|call| call.get().clone());
    call.unwrap_or(current)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_span_is_made_for_who_asks_and_once() {
        assert!(current().is_none());
        let id = HeaderValue::from_static("r-7");
        let call = Arc::new(CallSpan::new("a.Service/Method", id, None, None));
        let subscriber = tracing_subscriber::registry();
        let _default = tracing::subscriber::set_default(subscriber);
        serving(Arc::clone(&call), async {
            assert!(Span::current().is_none());
            assert!(!call.is_made());
            let first = current();
            assert!(first.id().is_some());
            assert_eq!((first.id(), call.get().id()), (current().id(), first.id()));
            let inner = tracing::error_span!("inner");
            assert_eq!(inner.in_scope(current).id(), inner.id());
        })
        .await;
        assert!(current().is_none());
    }
}
