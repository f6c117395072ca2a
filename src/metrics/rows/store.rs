//! The store: connections, transactions, failures, and what is committed.

use crate::metrics::Metric;
use crate::store::{Access, Fault};
use crate::tally::closed;

closed! {
    /// Whether somebody has a connection.
    enum Use {
        /// Nobody.
        Idle = "idle",
        /// Somebody.
        InUse = "in_use",
    }
}

pub(super) const ROWS: &[Metric] = &[
    Metric::gauge(
        "token_authority_store_connections",
        "Connections to the database that are open",
        &[super::label::<Use>("use")],
        |sources, samples| {
            let connections = sources.authority.connections();
            samples.each(|of| match of {
                Use::Idle => connections.idle,
                Use::InUse => connections.in_use,
            });
        },
    ),
    Metric::gauge(
        "token_authority_store_connections_max",
        "Connections to the database that may be open",
        &[],
        |sources, samples| samples.one(sources.authority.connections().most),
    ),
    Metric::gauge(
        "token_authority_store_writers",
        "Transactions that write and have their place",
        &[],
        |sources, samples| samples.one(sources.authority.connections().writers),
    ),
    Metric::gauge(
        "token_authority_store_writers_max",
        "Transactions that may write at once",
        &[],
        |sources, samples| samples.one(sources.authority.connections().writers_most),
    ),
    Metric::histogram(
        "token_authority_store_wait_seconds",
        "How long it took until a transaction had begun, or a statement by itself had a connection",
        &[super::label::<Access>("access")],
        |sources, samples| {
            samples.each(|access| sources.authority.store_counters().waits.read(access));
        },
    ),
    Metric::counter(
        "token_authority_store_wait_timeouts",
        "Waits for a connection, or for a writer's place, that were given up",
        &[],
        |sources, samples| samples.one(sources.authority.store_counters().timeouts.get()),
    ),
    Metric::histogram(
        "token_authority_store_transaction_duration_seconds",
        "How long transactions lasted once they had begun",
        &[super::label::<Access>("access")],
        |sources, samples| {
            samples.each(|access| sources.authority.store_counters().transactions.read(access));
        },
    ),
    Metric::counter(
        "token_authority_store_errors",
        "Statements, and ways to them, that failed: a row that must be unique exists, the database is unavailable, or it refused",
        &[super::label::<Fault>("error")],
        |sources, samples| {
            samples.each(|fault| sources.authority.store_counters().faults.get(fault));
        },
    ),
    Metric::counter(
        "token_authority_audit_events_written",
        "Audit events that were committed; what concerns the installation stands in two logs and counts twice",
        &[],
        |sources, samples| samples.one(sources.authority.store_counters().audit_events.get()),
    ),
    Metric::gauge(
        "token_authority_change_number",
        "The highest number of the log of changes that this process has seen committed",
        &[],
        |sources, samples| samples.one(sources.authority.head().0),
    ),
];
