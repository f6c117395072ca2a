//! Traces on their way to a collector: a bounded queue, and a thread that sends. Calls
//! wait for neither; what finds no room is dropped and counted.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::{Link, SpanKind, TraceId, TracerProvider as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    IdGenerator as _, RandomIdGenerator, Sampler, SamplingDecision, SamplingResult,
    SdkTracerProvider, ShouldSample, Span, SpanData, SpanProcessor,
};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::dynamic_filter_fn;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::Error;
use super::collector::Collector;
use super::upkeep::Upkeep;
use crate::call_span::{self, Sampling};
use crate::config::Telemetry as Settings;

/// The most spans that are sent at once.
const BATCH: usize = 512;
/// How long a span waits for others to be sent with.
const DELAY: Duration = Duration::from_secs(1);

/// What exports traces. Dropped, it sends the rest, within its bound.
#[derive(Debug)]
pub struct Export {
    provider: SdkTracerProvider,
    sample: Sample,
    /// Whether everything is logged.
    tells_all: bool,
    flushes: mpsc::Sender<oneshot::Sender<()>>,
    dropped: Arc<AtomicU64>,
    closing: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Export {
    /// Starts to export. The collector is not waited for.
    pub fn start(endpoint: &str, settings: &Settings) -> Result<Self, Error> {
        let patience = Duration::from_secs(settings.otlp_timeout_seconds);
        let resource = resource(settings);
        let collector = Collector::new(endpoint, settings.otlp_headers_file.as_deref(), patience)?;
        let (spans, received) = mpsc::channel(settings.otlp_queue);
        let (flushes, flush) = mpsc::channel(1);
        let (dropped, wanted) = (Arc::<AtomicU64>::default(), Arc::<Notify>::default());
        let closing = CancellationToken::new();
        let sending = Sending {
            resource: (&resource).into(),
            spans: received,
            flushes: flush,
            wanted: Arc::clone(&wanted),
            closing: closing.clone(),
            patience,
            upkeep: Upkeep::new(Arc::clone(&dropped)),
        };
        // A runtime of its own: a collector that is slow to take what it is sent slows
        // down no call.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Error::Thread)?;
        let thread = std::thread::Builder::new()
            .name(String::from("traces"))
            .spawn(move || {
                runtime.block_on(async { sending.run(collector.connect()).await });
                // Nor is the system waited for, should it still look up a name.
                runtime.shutdown_background();
            })
            .map_err(Error::Thread)?;
        let queue = Queue {
            spans,
            wanted,
            dropped: Arc::clone(&dropped),
        };
        let sample = Sample(Sampler::TraceIdRatioBased(settings.sample_ratio));
        let provider = SdkTracerProvider::builder()
            .with_sampler(Sampler::ParentBased(Box::new(sample.clone())))
            .with_resource(resource)
            .with_span_processor(queue)
            .build();
        Ok(Self {
            provider,
            sample,
            tells_all: super::filter(settings)?.max_level_hint() > Some(LevelFilter::INFO),
            flushes,
            dropped,
            closing,
            thread: Some(thread),
        })
    }

    /// Returns the layer that turns spans into traces: those of calls, and within them
    /// those of use cases and statements. What is logged stays out of traces.
    pub fn layer<S>(&self) -> impl Layer<S> + Send + Sync + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
    {
        let sample = self.sample.clone();
        let traces = tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer("token-authority"))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_level(false)
            .with_tracked_inactivity(false)
            .with_context_activation(false)
            .with_filter(
                dynamic_filter_fn(is_traced)
                    // What libraries tell costs nothing: they tell much on each call.
                    .with_callsite_filter(|metadata| {
                        if may_be_traced(metadata) {
                            Interest::sometimes()
                        } else {
                            Interest::never()
                        }
                    })
                    .with_max_level_hint(LevelFilter::DEBUG),
            );
        Sampling {
            all: self.tells_all,
            draw: Box::new(move || sample.draw()),
        }
        // It listens to nothing: without a filter all that libraries tell would be made for it.
        .with_filter(LevelFilter::OFF)
        .and_then(traces)
    }

    /// Returns once what had ended before was sent, or could not be.
    pub async fn flush(&self) {
        let (tell, told) = oneshot::channel();
        if self.flushes.send(tell).await.is_ok() {
            let _ = told.await;
        }
    }

    /// Returns how many spans were lost, for want of room or of a collector.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

impl Drop for Export {
    fn drop(&mut self) {
        self.closing.cancel();
        if let Some(thread) = self.thread.take() {
            // It has a bound of its own.
            let _ = thread.join();
        }
    }
}

/// Returns whether a span is exported. What this program does for itself, such as
/// asking whether the store is there, is no part of a call.
fn is_traced<S>(metadata: &Metadata<'_>, context: &Context<'_, S>) -> bool
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    may_be_traced(metadata)
        && match metadata.name() {
            "rpc" => call_span::is_traced() != Some(false),
            _ => context.lookup_current().is_some(),
        }
}

/// Returns whether it is a span of this program.
fn may_be_traced(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && metadata.target().starts_with("token_authority")
}

/// Which of the calls are traced of whose trace their callers say nothing.
#[derive(Clone, Debug)]
struct Sample(Sampler);

impl Sample {
    /// Decides of a call whose span there is not yet.
    fn draw(&self) -> bool {
        let trace_id = RandomIdGenerator::default().new_trace_id();
        let server = SpanKind::Server;
        let result = self
            .0
            .should_sample(None, trace_id, "rpc", &server, &[], &[]);
        result.decision == SamplingDecision::RecordAndSample
    }
}

impl ShouldSample for Sample {
    fn should_sample(
        &self,
        parent: Option<&opentelemetry::Context>,
        trace_id: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        // Drawn already, and not to be drawn twice.
        let sampler = match call_span::is_traced() {
            Some(true) => &Sampler::AlwaysOn,
            Some(false) => &Sampler::AlwaysOff,
            None => &self.0,
        };
        sampler.should_sample(parent, trace_id, name, kind, attributes, links)
    }
}

/// Returns who sends.
fn resource(settings: &Settings) -> Resource {
    let instance = settings.service_instance.clone();
    let instance = instance.map(|id| KeyValue::new("service.instance.id", id));
    // Empty: the default takes more from the process's environment.
    Resource::builder_empty()
        .with_service_name(settings.service_name.clone())
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_attributes(instance)
        .build()
}

/// Where ended spans wait.
struct Queue {
    spans: mpsc::Sender<SpanData>,
    wanted: Arc<Notify>,
    dropped: Arc<AtomicU64>,
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Queue")
    }
}

impl SpanProcessor for Queue {
    fn on_start(&self, _: &mut Span, _: &opentelemetry::Context) {}

    fn on_end(&self, span: SpanData) {
        if !span.span_context.is_sampled() {
            return;
        }
        if self.spans.try_send(span).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        } else if self.spans.capacity() == self.spans.max_capacity() / 2 {
            // The thread is not woken for each span.
            self.wanted.notify_one();
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.wanted.notify_one();
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// What the thread works with.
struct Sending {
    resource: super::collector::Attributes,
    spans: mpsc::Receiver<SpanData>,
    flushes: mpsc::Receiver<oneshot::Sender<()>>,
    wanted: Arc<Notify>,
    closing: CancellationToken,
    patience: Duration,
    upkeep: Upkeep,
}

impl Sending {
    /// Sends until it is told to close, and then what is left, within the bound.
    async fn run(mut self, mut collector: Collector) {
        let (closing, patience) = (self.closing.clone(), self.patience);
        let bound = async {
            closing.cancelled().await;
            tokio::time::sleep(patience).await;
        };
        tokio::select! {
            () = self.work(&mut collector) => {}
            () = bound => {}
        }
    }

    async fn work(&mut self, collector: &mut Collector) {
        let mut closing = false;
        while !closing {
            let mut flush = None;
            tokio::select! {
                biased;
                () = self.closing.cancelled() => {}
                asked = self.flushes.recv() => flush = asked,
                () = self.wanted.notified() => {}
                () = tokio::time::sleep(DELAY) => {}
            }
            // Before it is sent: what ends meanwhile is left for one more time.
            closing = self.closing.is_cancelled();
            self.send(collector).await;
            if let Some(tell) = flush {
                let _ = tell.send(());
            }
        }
    }

    /// Sends what waits, a batch at a time.
    async fn send(&mut self, collector: &mut Collector) {
        // What comes meanwhile is for the next time, else this might not end.
        let mut left = self.spans.len();
        while left > 0 {
            let mut batch = Vec::with_capacity(left.min(BATCH));
            while batch.len() < BATCH && left > 0 {
                left -= 1;
                batch.extend(self.spans.try_recv().ok());
            }
            let count = batch.len();
            let sent = collector.send(batch, &self.resource).await;
            self.upkeep.sent(count, sent);
        }
        self.upkeep.tell();
    }
}
