//! What is told of a running server in numbers: one table, from which the text that
//! is scraped, `docs/metrics.md` and the tests are made. Counts nothing itself.

mod process;
mod rows;
mod text;

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc;

use crate::authority::Authority;
use crate::health::Readiness;
use crate::housekeeping::Ledger;
use crate::rpc::Calls;
use crate::rpc::incoming::Connections;
use crate::tally::{Closed, Distribution};
use crate::tls;

pub use self::text::Format;

/// Where the numbers are kept.
#[derive(Clone, Debug)]
pub struct Sources {
    /// What use cases and the store count.
    pub authority: Arc<Authority>,
    /// What calls come to.
    pub calls: Arc<Calls>,
    /// The connections that calls come by.
    pub connections: Arc<Connections>,
    /// How the chores went.
    pub chores: Arc<Ledger>,
    /// How the certificates of the gRPC port are.
    pub certificates: Arc<tls::Ledger>,
    /// Whether calls are served.
    pub readiness: Readiness,
}

impl Sources {
    /// Returns the sources of a server that has counted nothing yet.
    pub fn new(authority: Arc<Authority>, readiness: Readiness) -> Self {
        Self {
            authority,
            calls: Arc::default(),
            connections: Arc::default(),
            chores: Arc::default(),
            certificates: Arc::default(),
            readiness,
        }
    }

    /// Returns all metrics as text.
    pub fn render(&self, format: Format) -> String {
        let mut text = text::Text::new(format);
        for metric in table() {
            let mut samples = Samples::default();
            (metric.read)(self, &mut samples);
            text.add(metric, &samples);
        }
        text.finish()
    }
}

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// It only grows, from zero at the start.
    Counter,
    /// It is as it is now.
    Gauge,
    /// How numbers are spread.
    Histogram,
}

impl Type {
    /// Returns its name in the formats.
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A label and the values that it has.
#[derive(Clone, Copy, Debug)]
pub struct Label {
    /// Its name.
    pub name: &'static str,
    /// Its values.
    pub values: Values,
}

/// The values of a label.
#[derive(Clone, Copy, Debug)]
pub enum Values {
    /// These, whatever happens.
    Closed(fn() -> Vec<String>),
    /// What an operator named, or the build: this. Never what a caller writes.
    Given(&'static str),
}

/// A metric: a row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name, as `OpenMetrics` has it: of a counter, without `_total`.
    pub name: &'static str,
    /// What it is.
    pub kind: Type,
    /// Its labels.
    pub labels: &'static [Label],
    /// What it tells: a sentence without a full stop.
    pub help: &'static str,
    read: fn(&Sources, &mut Samples),
}

impl Metric {
    const fn counter(
        name: &'static str,
        help: &'static str,
        labels: &'static [Label],
        read: fn(&Sources, &mut Samples),
    ) -> Self {
        Self {
            name,
            kind: Type::Counter,
            labels,
            help,
            read,
        }
    }

    const fn gauge(
        name: &'static str,
        help: &'static str,
        labels: &'static [Label],
        read: fn(&Sources, &mut Samples),
    ) -> Self {
        Self {
            kind: Type::Gauge,
            ..Self::counter(name, help, labels, read)
        }
    }

    const fn histogram(
        name: &'static str,
        help: &'static str,
        labels: &'static [Label],
        read: fn(&Sources, &mut Samples),
    ) -> Self {
        Self {
            kind: Type::Histogram,
            ..Self::counter(name, help, labels, read)
        }
    }

    /// Returns its unit, which its name ends in, if it has one.
    pub fn unit(&self) -> Option<&'static str> {
        let units = ["seconds", "bytes"];
        units
            .into_iter()
            .find(|unit| self.name.ends_with(&format!("_{unit}")))
    }

    /// Returns the name under which it is asked for.
    pub fn series(&self) -> Cow<'static, str> {
        match self.kind {
            Type::Counter => format!("{}_total", self.name).into(),
            Type::Gauge | Type::Histogram => self.name.into(),
        }
    }
}

/// What a metric's samples say.
#[derive(Clone, Debug)]
enum Value {
    Whole(i128),
    Real(f64),
    Spread(Distribution),
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Whole(number.into())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Whole(number.into())
    }
}

impl From<usize> for Value {
    fn from(number: usize) -> Self {
        Self::Whole(i128::try_from(number).unwrap_or(i128::MAX))
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Whole(truth.into())
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Real(number)
    }
}

impl From<Distribution> for Value {
    fn from(spread: Distribution) -> Self {
        Self::Spread(spread)
    }
}

/// The samples of a metric: its labels' values, in the order of the labels, and what
/// they say.
#[derive(Debug, Default)]
struct Samples(Vec<(Vec<String>, Value)>);

impl Samples {
    /// Adds the only one of a metric without labels.
    fn one(&mut self, value: impl Into<Value>) {
        self.labelled(&[], value);
    }

    fn labelled(&mut self, labels: &[&str], value: impl Into<Value>) {
        let labels = labels.iter().map(|&label| label.to_owned()).collect();
        self.0.push((labels, value.into()));
    }

    /// Adds one for each member of a closed set.
    fn each<K: Closed, V: Into<Value>>(&mut self, value: impl Fn(K) -> V) {
        for member in K::all() {
            self.labelled(&[member.name()], value(member));
        }
    }
}

/// Returns each metric that there is.
pub fn table() -> impl Iterator<Item = &'static Metric> {
    rows::ALL.iter().copied().flatten()
}

const HEAD: &str = "\
# Metrics

Generated by `token-authority docs metrics`; change the code, then run `make docs`.

The ops port serves them at `/metrics`, in OpenMetrics 1.0 where the scraper asks for it, else in
Prometheus' text format 0.0.4. Each series of a closed set is there from the start, at zero. No label
ever holds an id of a token, a user or a tenant, nor a text of a caller.

A histogram `x` is scraped as `x_bucket`, `x_sum` and `x_count`. Times go from 50 µs to 10 s.
";

/// Returns `docs/metrics.md`.
pub fn markdown() -> String {
    let mut text = String::from(HEAD);
    text.push_str("\n| metric | type | labels | what it tells |\n|---|---|---|---|\n");
    for metric in table() {
        let labels: Vec<_> = metric.labels.iter().map(described).collect();
        // Writing to a string fails for want of memory alone.
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {} |",
            metric.series(),
            metric.kind.name(),
            labels.join("; "),
            metric.help
        );
    }
    text.push_str("\n## Labels\n\n| label | values |\n|---|---|\n");
    let mut told: Vec<(&str, String)> = Vec::new();
    for label in table().flat_map(|metric| metric.labels) {
        let Values::Closed(values) = label.values else {
            continue;
        };
        let values: Vec<_> = values().iter().map(|value| format!("`{value}`")).collect();
        let row = (label.name, values.join(", "));
        if !told.contains(&row) {
            let _ = writeln!(text, "| `{}` | {} |", row.0, row.1);
            told.push(row);
        }
    }
    text
}

fn described(label: &Label) -> String {
    match label.values {
        Values::Closed(_) => format!("`{}`", label.name),
        Values::Given(what) => format!("`{}`: {what}", label.name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_of_one_form_and_stand_once() {
        let mut names: Vec<_> = table().map(|metric| metric.name).collect();
        names.sort_unstable();
        let before = names.len();
        names.dedup();
        assert_eq!(names.len(), before, "a name stands twice");
        for metric in table() {
            let name = metric.name;
            let prefixes = ["token_authority_", "process_"];
            assert!(
                prefixes.iter().any(|prefix| name.starts_with(prefix)),
                "{name}"
            );
            assert!(!name.ends_with("_total"), "{name}: the format adds it");
            assert!(!metric.help.ends_with('.'), "{name}");
            assert!(!metric.help.contains(['\n', '\\', '"', '|']), "{name}");
        }
    }
}
