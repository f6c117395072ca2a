//! Memory: how much is answered from it, how much is in it, and how it follows the log.

use crate::coherence::{Counters, Eviction, Recall, Size};
use crate::metrics::{Metric, Sources};

fn counters(sources: &Sources) -> &Counters {
    sources.authority.coherence().counters()
}

/// Returns how much is in memory; nothing where it is not used.
fn size(sources: &Sources) -> Size {
    sources.authority.coherence().size().unwrap_or_default()
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

pub(super) const ROWS: &[Metric] = &[
    Metric::counter(
        "token_authority_memory_recalls",
        "Presented values, callers' among them, by where what is known of them came from; of a call that memory answers in part, those that it knew count twice",
        &[super::label::<Recall>("from")],
        |sources, samples| {
            let recalls = &counters(sources).recalls;
            samples.each(|from| recalls.sum(|each| each.get(from)));
        },
    ),
    Metric::gauge(
        "token_authority_memory_records",
        "Values whose records are in memory",
        &[],
        |sources, samples| samples.one(number(size(sources).records)),
    ),
    Metric::gauge(
        "token_authority_memory_bytes",
        "Bytes that memory takes, about",
        &[],
        |sources, samples| samples.one(number(size(sources).bytes)),
    ),
    Metric::gauge(
        "token_authority_memory_max_bytes",
        "Bytes that memory may take; 0 where every value is looked up in the database",
        &[],
        |sources, samples| samples.one(number(size(sources).most)),
    ),
    Metric::gauge(
        "token_authority_memory_known_values",
        "Values that are known to exist: all others are refused without a look at the database, once all are known",
        &[],
        |sources, samples| samples.one(number(size(sources).known)),
    ),
    Metric::gauge(
        "token_authority_memory_complete",
        "Whether all values that exist are known: 1 or 0",
        &[],
        |sources, samples| samples.one(u64::from(size(sources).complete)),
    ),
    Metric::counter(
        "token_authority_memory_evictions",
        "Records that left memory: a change may have altered them, or others needed their room",
        &[super::label::<Eviction>("cause")],
        |sources, samples| samples.each(|cause| counters(sources).evictions.get(cause)),
    ),
    Metric::counter(
        "token_authority_memory_reads",
        "Statements that read what was not in memory, several values each",
        &[],
        |sources, samples| samples.one(counters(sources).reads.get()),
    ),
    Metric::counter(
        "token_authority_memory_reads_joined",
        "Calls that waited for a read which another had asked for",
        &[],
        |sources, samples| samples.one(counters(sources).joined.get()),
    ),
    Metric::counter(
        "token_authority_memory_reads_raced",
        "Values that were read again, as a change may have touched them meanwhile",
        &[],
        |sources, samples| samples.one(counters(sources).raced.get()),
    ),
    Metric::counter(
        "token_authority_memory_drops",
        "Times that all of memory was dropped: a change whose outcome nobody knows, or a log that could not be followed",
        &[],
        |sources, samples| samples.one(counters(sources).dropped.get()),
    ),
    Metric::counter(
        "token_authority_changes_applied",
        "Changes that memory has applied",
        &[],
        |sources, samples| samples.one(counters(sources).applied.get()),
    ),
];
