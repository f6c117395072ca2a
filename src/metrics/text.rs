//! The two text formats: `OpenMetrics` 1.0, and Prometheus' 0.0.4.

use std::fmt::Write as _;

use super::{Label, Metric, Samples, Value};

/// How metrics are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `OpenMetrics` 1.0.
    OpenMetrics,
    /// Prometheus' text format 0.0.4.
    Prometheus,
}

/// What a scraper asks for that reads `OpenMetrics`.
const OPEN_METRICS: &str = "application/openmetrics-text";

impl Format {
    /// Returns the format that a scraper wants more, by its header `accept`.
    pub fn accepted(accept: &str) -> Self {
        let (mut open, mut plain) = (0.0, 0.0);
        for range in accept.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default().to_ascii_lowercase();
            let (mut weight, mut known) = (1.0, true);
            for (key, value) in parts.filter_map(|part| part.split_once('=')) {
                match key.trim() {
                    "q" => weight = value.trim().parse().unwrap_or(0.0),
                    "version" => known = value.trim().trim_matches('"') == "1.0.0",
                    _ => {}
                }
            }
            match name.as_str() {
                OPEN_METRICS if known => open = f32::max(open, weight),
                "text/plain" | "text/*" | "*/*" => plain = f32::max(plain, weight),
                _ => {}
            }
        }
        if open > 0.0 && open >= plain {
            Self::OpenMetrics
        } else {
            Self::Prometheus
        }
    }

    /// Returns what an answer's type is.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// A text that is being written. Writing to a string fails for want of memory alone.
pub(super) struct Text {
    format: Format,
    text: String,
}

impl Text {
    pub(super) fn new(format: Format) -> Self {
        Self {
            format,
            text: String::new(),
        }
    }

    /// Writes a metric; nothing where there is nothing to say.
    pub(super) fn add(&mut self, metric: &Metric, samples: &Samples) {
        if samples.0.is_empty() {
            return;
        }
        let series = metric.series();
        let (family, unit) = match self.format {
            Format::OpenMetrics => (metric.name, metric.unit()),
            // There a counter is named as it is asked for, and has no unit.
            Format::Prometheus => (&*series, None),
        };
        let text = &mut self.text;
        let _ = writeln!(text, "# HELP {family} {}", metric.help);
        let _ = writeln!(text, "# TYPE {family} {}", metric.kind.name());
        if let Some(unit) = unit {
            let _ = writeln!(text, "# UNIT {family} {unit}");
        }
        for (values, value) in &samples.0 {
            let labels = labels(metric.labels, values);
            match value {
                Value::Whole(number) => self.line(&series, "", &labels, number),
                Value::Real(number) => self.line(&series, "", &labels, number),
                Value::Spread(spread) => {
                    let all = spread.buckets().chain([("+Inf", spread.count())]);
                    for (bound, count) in all {
                        let mut labels = labels.clone();
                        labels.push(format!("le=\"{bound}\""));
                        self.line(&series, "_bucket", &labels, count);
                    }
                    self.line(&series, "_sum", &labels, spread.sum());
                    self.line(&series, "_count", &labels, spread.count());
                }
            }
        }
    }

    fn line(
        &mut self,
        series: &str,
        suffix: &str,
        labels: &[String],
        value: impl std::fmt::Display,
    ) {
        let text = &mut self.text;
        let _ = match labels {
            [] => writeln!(text, "{series}{suffix} {value}"),
            _ => writeln!(text, "{series}{suffix}{{{}}} {value}", labels.join(",")),
        };
    }

    /// Returns the whole text.
    pub(super) fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }
}

fn labels(labels: &[Label], values: &[String]) -> Vec<String> {
    labels
        .iter()
        .zip(values)
        .map(|(label, value)| {
            let value = value
                .replace('\\', r"\\")
                .replace('\n', r"\n")
                .replace('"', "\\\"");
            format!("{}=\"{value}\"", label.name)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Values;

    #[test]
    fn a_scraper_gets_what_it_wants_more() {
        for (accept, expected) in [
            // Prometheus 2.42, then 3.
            (
                "application/openmetrics-text; version=1.0.0,\
                 application/openmetrics-text; version=0.0.1;q=0.75,\
                 text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                Format::OpenMetrics,
            ),
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
                 text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
                Format::OpenMetrics,
            ),
            ("", Format::Prometheus),
            ("*/*", Format::Prometheus),
            ("text/html", Format::Prometheus),
            ("application/openmetrics-text", Format::OpenMetrics),
            ("Application/OpenMetrics-Text", Format::OpenMetrics),
            ("application/openmetrics-text;q=0", Format::Prometheus),
            ("application/openmetrics-text;q=x", Format::Prometheus),
            (
                "application/openmetrics-text;version=0.0.1",
                Format::Prometheus,
            ),
            (
                "application/openmetrics-text;q=0.3,text/plain;q=0.5",
                Format::Prometheus,
            ),
        ] {
            assert_eq!(Format::accepted(accept), expected, "{accept}");
        }
    }

    #[test]
    fn a_label_is_written_so_that_it_can_be_read() {
        let label = Label {
            name: "key",
            values: Values::Given("anything"),
        };
        let written = labels(&[label], &[String::from("a\"b\\c\nd")]);
        assert_eq!(written, [r#"key="a\"b\\c\nd""#]);
    }

    #[test]
    fn the_formats_name_a_counter_each_in_its_way() {
        let metric = Metric::counter("token_authority_x_seconds", "Help", &[], |_, _| {});
        let mut samples = Samples::default();
        samples.one(1.5);
        let written = |format| {
            let mut text = Text::new(format);
            text.add(&metric, &samples);
            text.add(&metric, &Samples::default());
            text.finish()
        };
        assert_eq!(
            written(Format::Prometheus),
            "# HELP token_authority_x_seconds_total Help\n\
             # TYPE token_authority_x_seconds_total counter\n\
             token_authority_x_seconds_total 1.5\n"
        );
        assert_eq!(
            written(Format::OpenMetrics),
            "# HELP token_authority_x_seconds Help\n\
             # TYPE token_authority_x_seconds counter\n\
             # UNIT token_authority_x_seconds seconds\n\
             token_authority_x_seconds_total 1.5\n\
             # EOF\n"
        );
    }
}
