//! A future that is polled when it was woken, and not each time that its task is: what
//! waits beside a busy connection for the end costs the connection next to nothing.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker, ready};

/// A future that is polled when it was woken.
pub(super) struct Seldom<F> {
    future: Pin<Box<F>>,
    woken: Option<Arc<Woken>>,
}

/// Whether the future was woken, and the task that polls it.
struct Woken {
    flag: AtomicBool,
    task: Waker,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.flag.store(true, Ordering::Release);
        self.task.wake_by_ref();
    }
}

impl<F: Future> Seldom<F> {
    /// Makes one of a future.
    pub(super) fn new(future: F) -> Self {
        Self {
            future: Box::pin(future),
            woken: None,
        }
    }
}

impl<F: Future> Future for Seldom<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let known = self.woken.take();
        let known = known.filter(|woken| woken.task.will_wake(context.waker()));
        let woken = match known {
            // Loaded first: who only reads a line takes it from nobody.
            Some(woken) if !woken.flag.load(Ordering::Acquire) => {
                self.woken = Some(woken);
                return Poll::Pending;
            }
            Some(woken) => woken,
            None => Arc::new(Woken {
                flag: AtomicBool::new(false),
                task: context.waker().clone(),
            }),
        };
        woken.flag.store(false, Ordering::Release);
        let waker = Waker::from(Arc::clone(&woken));
        self.woken = Some(woken);
        let output = ready!(self.future.as_mut().poll(&mut Context::from_waker(&waker)));
        Poll::Ready(output)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::future::poll_fn;

    use tokio_util::sync::CancellationToken;

    #[tokio::test]
    async fn it_is_polled_at_first_and_when_it_was_woken() {
        let (token, polls) = (CancellationToken::new(), Cell::new(0));
        let mut waiting = Box::pin(token.cancelled());
        let counted = poll_fn(|context| {
            polls.set(polls.get() + 1);
            waiting.as_mut().poll(context)
        });
        let mut seldom = Seldom::new(counted);
        for _ in 0..3 {
            let poll = |context: &mut Context<'_>| Poll::Ready(Pin::new(&mut seldom).poll(context));
            assert!(poll_fn(poll).await.is_pending());
            tokio::task::yield_now().await;
        }
        assert_eq!(polls.get(), 1);
        let both = async { tokio::join!(biased; &mut seldom, async { token.cancel() }) };
        both.await;
        assert_eq!(polls.get(), 2);
    }

    #[tokio::test]
    async fn another_task_that_polls_it_is_woken_in_place_of_the_first() {
        let token = CancellationToken::new();
        let mut seldom = Seldom::new(token.clone().cancelled_owned());
        let poll = |context: &mut Context<'_>| Poll::Ready(Pin::new(&mut seldom).poll(context));
        assert!(poll_fn(poll).await.is_pending());
        let other = tokio::spawn(seldom);
        tokio::task::yield_now().await;
        token.cancel();
        other.await.unwrap();
    }
}
