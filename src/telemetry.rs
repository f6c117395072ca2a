//! What is logged and traced, and how. Nothing here is global: `main` installs it.

mod collector;
mod conventions;
mod export;
mod json;
mod upkeep;

use std::sync::Arc;

use tracing::Dispatch;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, fmt};

pub use self::collector::Problem;
pub(crate) use self::collector::endpoint;
pub use self::export::Export;
use self::json::{Lines, SpanFields};
use crate::config::{LogFormat, Telemetry as Settings};
use crate::domain::time::SystemClock;

/// Telemetry can't be set up as it is configured.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The filter of the logs can't be understood.
    #[error("telemetry.log: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// Traces can't be exported.
    #[error(transparent)]
    Collector(#[from] Problem),
    /// The thread that exports could not be started.
    #[error("can't start the thread that exports traces")]
    Thread(#[source] std::io::Error),
}

/// Logs and traces. Dropped, it sends what has not been sent yet, for as long as its
/// configuration lets that take; so it is to be dropped last.
#[derive(Debug)]
pub struct Telemetry {
    dispatch: Dispatch,
    export: Option<Export>,
}

impl Telemetry {
    /// Starts: logs go to standard error, traces to the collector, if one is named.
    pub fn start(settings: &Settings) -> Result<Self, Error> {
        let filter = filter(settings)?;
        let export = settings
            .otlp_endpoint
            .as_deref()
            .map(|endpoint| Export::start(endpoint, settings))
            .transpose()?;
        let traces = export.as_ref().map(Export::layer);
        let layer = fmt::layer().with_writer(std::io::stderr);
        let layer = match settings.log_format {
            LogFormat::Text => {
                use std::io::IsTerminal as _;
                layer.with_ansi(std::io::stderr().is_terminal()).boxed()
            }
            LogFormat::Json => layer
                .fmt_fields(SpanFields)
                .event_format(Lines(Arc::new(SystemClock)))
                .boxed(),
        };
        let registry = tracing_subscriber::registry()
            .with(layer.with_filter(filter))
            .with(traces);
        Ok(Self {
            dispatch: Dispatch::new(registry),
            export,
        })
    }

    /// Returns what logs and spans are told to.
    pub fn dispatch(&self) -> Dispatch {
        self.dispatch.clone()
    }

    /// Returns what exports traces, if they are exported.
    pub fn export(&self) -> Option<&Export> {
        self.export.as_ref()
    }
}

/// Returns the filter of the logs.
fn filter(settings: &Settings) -> Result<EnvFilter, Error> {
    // This target repeats parameters of the database's URL that it does not know.
    Ok(EnvFilter::builder()
        .parse(&settings.log)?
        .add_directive("sqlx_postgres::options=off".parse()?)
        // Each start is told that the table of migrations is there already.
        .add_directive("sqlx::postgres::notice=off".parse()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns whether the span of a statement is made, by itself and below a call's.
    fn statements(settings: &Settings) -> (bool, bool) {
        let telemetry = Telemetry::start(settings).unwrap();
        tracing::dispatcher::with_default(&telemetry.dispatch(), || {
            let statement = || !tracing::debug_span!("store").is_disabled();
            let alone = statement();
            let call = tracing::info_span!("rpc");
            assert!(!call.is_disabled());
            (alone, call.in_scope(statement))
        })
    }

    #[test]
    fn statements_have_spans_only_where_somebody_asks_for_them() {
        // In a process of its own: here other tests listen to everything.
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "telemetry::tests::statements_alone", "--ignored"])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&child.stdout);
        assert!(child.status.success(), "{said}");
        assert!(said.contains("1 passed"), "{said}");
    }

    #[test]
    #[ignore = "run by the test above"]
    fn statements_alone() {
        let mut settings = Settings::default();
        assert_eq!(statements(&settings), (false, false));
        settings.log = String::from("token_authority=debug");
        assert_eq!(statements(&settings), (true, true));
        // Nobody listens there, and nothing is sent.
        settings.otlp_endpoint = Some(String::from("http://127.0.0.1:9"));
        settings.log = String::from("info");
        assert!(statements(&settings).1);
        // What libraries tell is made for nobody, on no call.
        let telemetry = Telemetry::start(&settings).unwrap();
        tracing::dispatcher::with_default(&telemetry.dispatch(), || {
            let of_library = || tracing::debug_span!(target: "h2::proto", "poll");
            assert!(of_library().is_disabled());
            let call = tracing::info_span!("rpc");
            assert!(call.in_scope(of_library).is_disabled());
        });
    }
}
