//! What was measured, for people, programs and documents.

use std::time::Duration;

use serde::Serialize;

use super::histogram::Histogram;
use super::load::Outcome;

/// The figures of one load.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// Calls answered in a second.
    pub calls_per_second: f64,
    /// Answers in a second: more than calls where several are in one.
    pub answers_per_second: f64,
    /// How long calls took, of values that tokens have.
    pub latency: Latency,
    /// How long calls took, of values that are none, where there were some.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bad_latency: Option<Latency>,
    /// The server's processor time for a call, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_cpu_us: Option<f64>,
}

/// How long calls took, in microseconds, counted from when each was to begin.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Latency {
    /// Half took no longer.
    #[serde(rename = "p50_us")]
    pub p50: f64,
    /// 99 of 100 took no longer.
    #[serde(rename = "p99_us")]
    pub p99: f64,
    /// 999 of 1,000 took no longer.
    #[serde(rename = "p999_us")]
    pub p999: f64,
    /// None took longer.
    #[serde(rename = "max_us")]
    pub max: f64,
}

/// A figure, by its name.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What was asked, of whom.
    pub name: String,
    /// What came of it: the round of the median.
    #[serde(flatten)]
    pub figures: Figures,
}

/// A figure that is not of a load.
#[derive(Clone, Debug, Serialize)]
pub struct Fact {
    /// What it is.
    pub name: String,
    /// The figure.
    pub value: f64,
    /// Its unit.
    pub unit: &'static str,
}

/// A row of the budget, and whether it was met.
#[derive(Clone, Debug, Serialize)]
pub struct Bar {
    /// Its number.
    pub row: &'static str,
    /// What is held against what.
    pub what: String,
    /// What was found.
    pub value: f64,
    /// What it must be.
    pub limit: f64,
    /// Whether it may be no less than that; else it may be no more.
    pub at_least: bool,
    /// Whether it is.
    pub met: bool,
}

/// What was measured.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// What is to be known of it.
    pub notes: Vec<String>,
    /// The loads.
    pub loads: Vec<Row>,
    /// What else was measured.
    pub facts: Vec<Fact>,
    /// The rows of the budget.
    pub budget: Vec<Bar>,
}

impl Figures {
    /// Returns the figures of a load during which the server took that much processor time.
    pub(super) fn of(outcome: &Outcome, cpu: Option<Duration>) -> Self {
        let seconds = outcome.elapsed.as_secs_f64().max(1e-9);
        let calls = real(outcome.calls);
        Self {
            calls_per_second: calls / seconds,
            answers_per_second: real(outcome.answers) / seconds,
            latency: Latency::of(&outcome.good),
            bad_latency: (outcome.bad.longest() > Duration::ZERO)
                .then(|| Latency::of(&outcome.bad)),
            server_cpu_us: cpu.map(|cpu| micros(cpu) / calls.max(1.0)),
        }
    }
}

impl Latency {
    fn of(histogram: &Histogram) -> Self {
        Self {
            p50: micros(histogram.permille(500)),
            p99: micros(histogram.permille(990)),
            p999: micros(histogram.permille(999)),
            max: micros(histogram.longest()),
        }
    }
}

impl Report {
    /// Adds a figure that is not of a load.
    pub(super) fn fact(&mut self, name: impl Into<String>, value: f64, unit: &'static str) {
        self.facts.push(Fact {
            name: name.into(),
            value,
            unit,
        });
    }

    /// Adds a row of the budget of which the value may be no less.
    pub(super) fn at_least(&mut self, row: &'static str, what: &str, value: f64, bar: f64) {
        self.bar(row, what, value, bar, true);
    }

    /// Adds a row of the budget of which the value may be no more.
    pub(super) fn at_most(&mut self, row: &'static str, what: &str, value: f64, bar: f64) {
        self.bar(row, what, value, bar, false);
    }

    fn bar(&mut self, row: &'static str, what: &str, value: f64, limit: f64, at_least: bool) {
        let met = if at_least {
            value >= limit
        } else {
            value <= limit
        };
        self.budget.push(Bar {
            row,
            what: what.to_owned(),
            value,
            limit,
            at_least,
            met,
        });
    }

    /// Returns the loads as headings and lines of a table.
    pub fn loads_table(&self) -> (Vec<&'static str>, Vec<Vec<String>>) {
        let headings = vec![
            "load",
            "calls/s",
            "answers/s",
            "p50",
            "p99",
            "p99.9",
            "max",
            "server CPU a call",
        ];
        let mut lines = Vec::new();
        for row in &self.loads {
            let figures = &row.figures;
            let line = |name: String, latency: &Latency| {
                vec![
                    name,
                    whole(figures.calls_per_second),
                    whole(figures.answers_per_second),
                    time(latency.p50),
                    time(latency.p99),
                    time(latency.p999),
                    time(latency.max),
                    figures.server_cpu_us.map(time).unwrap_or_default(),
                ]
            };
            lines.push(line(row.name.clone(), &figures.latency));
            if let Some(latency) = &figures.bad_latency {
                lines.push(line(format!("{}: bad values", row.name), latency));
            }
        }
        (headings, lines)
    }

    /// Returns what else was measured as headings and lines of a table.
    pub fn facts_table(&self) -> (Vec<&'static str>, Vec<Vec<String>>) {
        let lines = self.facts.iter().map(|fact| {
            let value = if fact.value >= 100.0 {
                whole(fact.value)
            } else {
                format!("{:.2}", fact.value)
            };
            vec![fact.name.clone(), format!("{value} {}", fact.unit)]
        });
        (vec!["figure", "value"], lines.collect())
    }

    /// Returns the rows of the budget as headings and lines of a table.
    pub fn budget_table(&self) -> (Vec<&'static str>, Vec<Vec<String>>) {
        let lines = self.budget.iter().map(|bar| {
            let number = |value: f64| {
                if value >= 1000.0 {
                    whole(value)
                } else {
                    format!("{value:.2}")
                }
            };
            let sign = if bar.at_least { "≥" } else { "≤" };
            vec![
                bar.row.to_owned(),
                bar.what.clone(),
                number(bar.value),
                format!("{sign} {}", number(bar.limit)),
                String::from(if bar.met { "met" } else { "missed" }),
            ]
        });
        (vec!["row", "what", "found", "bar", ""], lines.collect())
    }

    /// Returns all of it as Markdown.
    pub fn markdown(&self) -> String {
        let mut text = String::new();
        for (headings, lines) in [self.budget_table(), self.loads_table(), self.facts_table()] {
            if lines.is_empty() {
                continue;
            }
            let line = |cells: &[&str]| format!("| {} |\n", cells.join(" | "));
            text.push_str(&line(&headings));
            text.push_str(&line(&vec!["---"; headings.len()]));
            for cells in &lines {
                let cells: Vec<&str> = cells.iter().map(String::as_str).collect();
                text.push_str(&line(&cells));
            }
            text.push('\n');
        }
        text.push_str(&self.notes.join("\n\n"));
        text.push('\n');
        text
    }
}

/// Returns a number as one that has a fraction.
#[expect(
    clippy::cast_precision_loss,
    reason = "a figure has fewer digits than that"
)]
pub(super) fn real(number: u64) -> f64 {
    number as f64
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// Returns a number without its fraction, its thousands apart.
fn whole(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Returns a time in the unit that suits it.
fn time(micros: f64) -> String {
    if micros >= 1e6 {
        format!("{:.2} s", micros / 1e6)
    } else if micros >= 1000.0 {
        format!("{:.2} ms", micros / 1000.0)
    } else {
        format!("{micros:.1} µs")
    }
}
