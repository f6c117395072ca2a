//! What is logged, and how.

use tracing::Dispatch;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::config::{LogFormat, Telemetry};

/// The filter of the logs can't be understood.
#[derive(Debug, thiserror::Error)]
#[error("telemetry.log: {0}")]
pub struct FilterError(#[from] tracing_subscriber::filter::ParseError);

/// Returns what logs are written by, to standard error. Nothing global is touched:
/// the caller installs it.
pub fn dispatch(settings: &Telemetry) -> Result<Dispatch, FilterError> {
    // This target repeats parameters of the database's URL that it does not know.
    let filter = EnvFilter::builder()
        .parse(&settings.log)?
        .add_directive("sqlx_postgres::options=off".parse()?);
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    Ok(match settings.log_format {
        LogFormat::Text => {
            use std::io::IsTerminal as _;
            Dispatch::new(registry.with(layer.with_ansi(std::io::stderr().is_terminal())))
        }
        LogFormat::Json => Dispatch::new(registry.with(layer.json())),
    })
}
