//! What is done beside calls, the program and its process.

use crate::authority::counters::Sweepable;
use crate::housekeeping::Chore;
use crate::metrics::process::{Process, process};
use crate::metrics::{Label, Metric, Samples, Value, Values};
use crate::tally::Closed;

const VERSION: Label = Label {
    name: "version",
    values: Values::Given("the package's version"),
};
const COMMIT: Label = Label {
    name: "commit",
    values: Values::Given(
        "what `TOKEN_AUTHORITY_COMMIT` was when the program was built, else `unknown`",
    ),
};

pub(super) const ROWS: &[Metric] = &[
    Metric::gauge(
        "token_authority_housekeeping_done_timestamp_seconds",
        "When a chore last went well, in seconds since the Unix epoch; nothing before it first has",
        &[super::label::<Chore>("chore")],
        |sources, samples| {
            for chore in Chore::all() {
                if let Some(done_at) = sources.chores.done_at(chore) {
                    samples.labelled(&[chore.name()], done_at.parts().0);
                }
            }
        },
    ),
    Metric::counter(
        "token_authority_housekeeping_failures",
        "Times that a chore failed",
        &[super::label::<Chore>("chore")],
        |sources, samples| samples.each(|chore| sources.chores.failed(chore)),
    ),
    Metric::counter(
        "token_authority_swept",
        "What was past its retention and was removed",
        &[super::label::<Sweepable>("what")],
        |sources, samples| {
            samples.each(|what| sources.authority.counters().swept.get(what));
        },
    ),
    Metric::gauge(
        "token_authority_build_info",
        "1, with what was built",
        &[VERSION, COMMIT],
        |_, samples| {
            let commit = option_env!("TOKEN_AUTHORITY_COMMIT").unwrap_or("unknown");
            samples.labelled(&[env!("CARGO_PKG_VERSION"), commit], true);
        },
    ),
    Metric::gauge(
        "process_start_time_seconds",
        "When the process was started, in seconds since the Unix epoch (Linux)",
        &[],
        |_, samples| of_process(samples, |process| Some(process.started_at)),
    ),
    Metric::counter(
        "process_cpu_seconds",
        "Seconds of processors that the process has used (Linux)",
        &[],
        |_, samples| of_process(samples, |process| Some(process.cpu_seconds)),
    ),
    Metric::gauge(
        "process_resident_memory_bytes",
        "Bytes of memory that the process has in use (Linux)",
        &[],
        |_, samples| of_process(samples, |process| Some(process.resident_bytes)),
    ),
    Metric::gauge(
        "process_open_fds",
        "Files and sockets that the process has open (Linux)",
        &[],
        |_, samples| of_process(samples, |process| Some(process.open_files)),
    ),
    Metric::gauge(
        "process_max_fds",
        "Files and sockets that the process may have open (Linux)",
        &[],
        |_, samples| of_process(samples, |process| process.most_files),
    ),
];

/// Tells of the process what is known.
fn of_process<V: Into<Value>>(samples: &mut Samples, what: impl FnOnce(&Process) -> Option<V>) {
    if let Some(value) = process().as_ref().and_then(what) {
        samples.one(value);
    }
}
