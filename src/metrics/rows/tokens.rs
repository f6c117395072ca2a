//! Tokens: what becomes of presented values, and how many tokens there are.

use crate::authority::census::{Census, EXPIRING_WITHIN_DAYS, UNUSED_FOR_DAYS};
use crate::authority::counters::{Claim, Outcome, SecurityEvent, Unauthenticated};
use crate::domain::session::Refusal;
use crate::domain::token::{Kind, State};
use crate::metrics::{Label, Metric, Samples, Sources, Values};

const KIND: Label = Label {
    name: "kind",
    values: Values::Closed(|| {
        Kind::ALL
            .iter()
            .map(|kind| kind.as_str().to_owned())
            .collect()
    }),
};
const STATE: Label = Label {
    name: "state",
    values: Values::Closed(|| State::ALL.map(|state| state.as_str().to_owned()).to_vec()),
};
const WITHIN: Label = Label {
    name: "within_days",
    values: Values::Closed(|| EXPIRING_WITHIN_DAYS.map(|days| days.to_string()).to_vec()),
};
const UNUSED: Label = Label {
    name: "for_days",
    values: Values::Closed(|| vec![UNUSED_FOR_DAYS.to_string()]),
};
const KEY: Label = Label {
    name: "key",
    values: Values::Given("the key's name and a check of its content"),
};

pub(super) const ROWS: &[Metric] = &[
    Metric::counter(
        "token_authority_introspections",
        "Values that were introspected, also in batches, by what became of it: allowed, lacking a required scope, inactive for this reason, or not answered",
        &[super::label::<Outcome>("outcome")],
        |sources, samples| {
            let counters = sources.authority.counters();
            samples.each(|outcome| counters.introspections.sum(|each| each.get(outcome)));
        },
    ),
    Metric::histogram(
        "token_authority_introspection_batch_size",
        "Values of each batch that was introspected",
        &[],
        |sources, samples| samples.one(sources.authority.counters().batches.read()),
    ),
    Metric::counter(
        "token_authority_unauthenticated",
        "Calls whose credential was not good, by why",
        &[super::label::<Unauthenticated>("reason")],
        |sources, samples| {
            samples.each(|reason| sources.authority.counters().unauthenticated.get(reason));
        },
    ),
    Metric::counter(
        "token_authority_claims",
        "Values that were presented to claim an invite, by what became of it: joined, or refused for this reason, which is told to nobody",
        &[super::label::<Claim>("result")],
        |sources, samples| {
            samples.each(|result| sources.authority.counters().claims.get(result));
        },
    ),
    Metric::counter(
        "token_authority_sessions_refused",
        "Sessions by OIDC that were refused, by why: their callers are told that they are not authenticated, and no more",
        &[super::label::<Refusal>("reason")],
        |sources, samples| {
            samples.each(|reason| sources.authority.counters().sessions_refused.get(reason));
        },
    ),
    Metric::counter(
        "token_authority_security_events",
        "What somebody should look into: values that were presented after their end (each once), and values that were found exposed and revoked",
        &[super::label::<SecurityEvent>("event")],
        |sources, samples| {
            samples.each(|event| sources.authority.counters().security_events.get(event));
        },
    ),
    Metric::counter(
        "token_authority_bcrypt_verifications",
        "Values that bcrypt verified or found wrong: their fingerprint was under no key of the ring",
        &[],
        |sources, samples| samples.one(sources.authority.counters().bcrypt_verifications.get()),
    ),
    Metric::gauge(
        "token_authority_bcrypt_queue_length",
        "Values that wait to be hashed",
        &[],
        |sources, samples| samples.one(sources.authority.hashing().waiting),
    ),
    Metric::gauge(
        "token_authority_bcrypt_queue_capacity",
        "Values that may wait to be hashed",
        &[],
        |sources, samples| samples.one(sources.authority.hashing().capacity),
    ),
    Metric::gauge(
        "token_authority_bcrypt_threads_busy",
        "Threads that hash just now",
        &[],
        |sources, samples| samples.one(sources.authority.hashing().busy),
    ),
    Metric::gauge(
        "token_authority_bcrypt_threads",
        "Threads that may hash",
        &[],
        |sources, samples| samples.one(sources.authority.hashing().threads),
    ),
    Metric::histogram(
        "token_authority_bcrypt_wait_seconds",
        "How long values waited for their turn to be hashed",
        &[],
        |sources, samples| samples.one(sources.authority.hashing().waits),
    ),
    Metric::histogram(
        "token_authority_bcrypt_run_seconds",
        "How long hashing a value took",
        &[],
        |sources, samples| samples.one(sources.authority.hashing().runs),
    ),
    Metric::counter(
        "token_authority_bcrypt_refused",
        "Values that found no place in the queue: their calls were answered HASHING_BUSY, or RATE_LIMITED where anybody may call",
        &[],
        |sources, samples| samples.one(sources.authority.hashing().refused),
    ),
    Metric::counter(
        "token_authority_fingerprints_upgraded",
        "Fingerprints written in place of none, or of one under an older key",
        &[],
        |sources, samples| samples.one(sources.authority.counters().fingerprints_upgraded.get()),
    ),
    Metric::counter(
        "token_authority_fingerprint_upgrades_dropped",
        "Fingerprints that there was no room to remember",
        &[],
        |sources, samples| samples.one(sources.authority.counters().upgrades_dropped.get()),
    ),
    Metric::counter(
        "token_authority_uses_written",
        "Last uses of tokens that were written",
        &[],
        |sources, samples| samples.one(sources.authority.counters().uses_written.get()),
    ),
    Metric::counter(
        "token_authority_uses_dropped",
        "Uses of tokens that there was no room to remember",
        &[],
        |sources, samples| samples.one(sources.authority.counters().uses_dropped.get()),
    ),
    Metric::gauge(
        "token_authority_tokens",
        "Tokens when they were last counted",
        &[KIND, STATE],
        |sources, samples| {
            counted(sources, |census| {
                for (kind, state, count) in &census.tokens {
                    samples.labelled(&[kind.as_str(), state.as_str()], *count);
                }
            });
        },
    ),
    Metric::gauge(
        "token_authority_tokens_expiring",
        "Active tokens that expire within so many days",
        &[WITHIN],
        |sources, samples| {
            counted(sources, |census| {
                for (days, count) in EXPIRING_WITHIN_DAYS.iter().zip(census.expiring) {
                    samples.labelled(&[&days.to_string()], count);
                }
            });
        },
    ),
    Metric::gauge(
        "token_authority_tokens_unused",
        "Active tokens that were neither used nor made for so many days",
        &[UNUSED],
        |sources, samples| {
            counted(sources, |census| {
                samples.labelled(&[&UNUSED_FOR_DAYS.to_string()], census.unused);
            });
        },
    ),
    Metric::gauge(
        "token_authority_rows_by_fingerprint_key",
        "Values whose fingerprint is under each key of the ring or of one that is gone",
        &[KEY],
        |sources, samples| {
            counted(sources, |census| {
                for (key, count) in &census.fingerprints {
                    samples.labelled(&[&key.0], *count);
                }
            });
        },
    ),
    Metric::gauge(
        "token_authority_census_timestamp_seconds",
        "When tokens were last counted, in seconds since the Unix epoch",
        &[],
        |sources, samples| counted(sources, |census| samples.one(census.taken_at.parts().0)),
    ),
    Metric::gauge(
        "token_authority_keyring_keys",
        "Keys that the keyring holds",
        &[],
        |sources, samples| samples.one(sources.authority.keyring().ids().count()),
    ),
    Metric::gauge(
        "token_authority_keyring_current_key_info",
        "1, with the key that new fingerprints are made with",
        &[KEY],
        current_key,
    ),
    Metric::counter(
        "token_authority_keyring_reload_failures",
        "Times that the keyring could not be read again",
        &[],
        |sources, samples| samples.one(sources.authority.counters().keyring_failures.get()),
    ),
];

fn current_key(sources: &Sources, samples: &mut Samples) {
    let keyring = sources.authority.keyring();
    samples.labelled(&[&keyring.current().id().0], true);
}

/// Reads the census. Before the first there is nothing to say, which is not zero.
fn counted(sources: &Sources, read: impl FnOnce(&Census)) {
    if let Some(census) = sources.authority.census() {
        read(&census);
    }
}
