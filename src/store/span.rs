//! The span of a statement. It names the statement, never what is bound to it.

use tracing::Span;

/// `SQLite`, as OpenTelemetry's conventions name it.
pub(super) const SQLITE: &str = "sqlite";
/// `PostgreSQL`, as OpenTelemetry's conventions name it.
pub(super) const POSTGRES: &str = "postgresql";

/// Returns the span of a statement, by the name of its constant. Where nobody asks
/// for it, by an exporter or the filter of the logs, that costs a comparison.
pub(super) fn of(system: &'static str, statement: &'static str) -> Span {
    tracing::debug_span!("store", db.system.name = system, statement)
}
