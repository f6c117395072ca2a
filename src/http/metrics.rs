//! Metrics, in `OpenMetrics`' text format. Labels are of closed sets.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::authority::Authority;
use crate::authority::census::{Census, EXPIRING_WITHIN_DAYS, UNUSED_FOR_DAYS};

/// The type of what is rendered.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All metrics of a server.
#[derive(Debug)]
pub(super) struct Metrics(Registry);

impl Metrics {
    /// Reads the metrics off an authority.
    pub(super) fn new(authority: Arc<Authority>) -> Self {
        let mut registry = Registry::with_prefix("token_authority");
        registry.register_collector(Box::new(Source(authority)));
        Self(registry)
    }

    /// Returns all metrics as text.
    pub(super) fn render(&self) -> Result<String, fmt::Error> {
        let mut rendered = String::new();
        text::encode(&mut rendered, &self.0)?;
        Ok(rendered)
    }
}

/// Where the numbers are kept.
#[derive(Debug)]
struct Source(Arc<Authority>);

impl Collector for Source {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let counters = self.0.counters();
        for (name, help, counter) in [
            (
                "bcrypt_verifications",
                "Values that bcrypt verified or found wrong: their fingerprint was under no key of the ring",
                &counters.bcrypt_verifications,
            ),
            (
                "fingerprints_upgraded",
                "Fingerprints written in place of none, or of one under an older key",
                &counters.fingerprints_upgraded,
            ),
            (
                "fingerprint_upgrades_dropped",
                "Fingerprints that there was no room to remember",
                &counters.upgrades_dropped,
            ),
            (
                "uses_written",
                "Last uses of tokens that were written",
                &counters.uses_written,
            ),
            (
                "uses_dropped",
                "Uses of tokens that there was no room to remember",
                &counters.uses_dropped,
            ),
            (
                "invites_claimed",
                "Invites that were claimed",
                &counters.invites_claimed,
            ),
            (
                "claims_refused",
                "Values that were presented to claim an invite and that claimed none",
                &counters.claims_refused,
            ),
        ] {
            let metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            ConstCounter::new(counter.get()).encode(metric)?;
        }
        // Before the first census there is nothing to say, and nothing is said.
        match self.0.census() {
            Some(census) => encode_census(&census, &mut encoder),
            None => Ok(()),
        }
    }
}

fn encode_census(census: &Census, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
    let mut gauge = |name: &str, help: &str, rows: &[(Vec<(&str, String)>, i64)]| {
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in rows {
            let labels = labels.as_slice();
            ConstGauge::new(*value).encode(metric.encode_family(&labels)?)?;
        }
        Ok::<(), fmt::Error>(())
    };
    let tokens: Vec<_> = census
        .tokens
        .iter()
        .map(|(kind, state, count)| {
            let labels = vec![
                ("kind", kind.as_str().to_owned()),
                ("state", state.as_str().to_owned()),
            ];
            (labels, *count)
        })
        .collect();
    gauge("tokens", "Tokens by kind and state", &tokens)?;
    let expiring: Vec<_> = EXPIRING_WITHIN_DAYS
        .iter()
        .zip(census.expiring)
        .map(|(days, count)| (vec![("within_days", days.to_string())], count))
        .collect();
    gauge(
        "tokens_expiring",
        "Active tokens that expire within so many days",
        &expiring,
    )?;
    gauge(
        "tokens_unused",
        "Active tokens that were neither used nor made for so many days",
        &[(
            vec![("for_days", UNUSED_FOR_DAYS.to_string())],
            census.unused,
        )],
    )?;
    let fingerprints: Vec<_> = census
        .fingerprints
        .iter()
        .map(|(key, count)| (vec![("key", key.0.clone())], *count))
        .collect();
    gauge(
        "rows_by_fingerprint_key",
        "Values whose fingerprint is under each key of the ring or of one that is gone",
        &fingerprints,
    )?;
    let taken = encoder.encode_descriptor(
        "census_timestamp_seconds",
        "When tokens were last counted, in seconds since the Unix epoch",
        None,
        MetricType::Gauge,
    )?;
    ConstGauge::new(census.taken_at.parts().0).encode(taken)
}
