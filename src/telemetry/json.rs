//! A line of the log as a JSON object: flat, each field under its own name.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormattedFields};
use tracing_subscriber::registry::{LookupSpan, Scope};

use crate::domain::time::Clock;

/// Writes each event as one object: `timestamp`, `level`, `target`, its own fields,
/// `message` among them, and those of the spans around it. Where names meet, the inner
/// one counts.
#[derive(Clone, Debug)]
pub(super) struct Lines(pub(super) Arc<dyn Clock>);

/// Writes the fields of a span as one object, for [`Lines`] to read.
#[derive(Clone, Copy, Debug)]
pub(super) struct SpanFields;

impl<S> FormatEvent<S, SpanFields> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, SpanFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        let scope = context.event_scope();
        for span in scope.into_iter().flat_map(Scope::from_root) {
            let extensions = span.extensions();
            if let Some(written) = extensions.get::<FormattedFields<SpanFields>>() {
                fields.read(written);
            }
        }
        event.record(&mut fields);
        let since = u64::try_from(self.0.now().millis()).unwrap_or_default();
        let now = UNIX_EPOCH + Duration::from_millis(since);
        write!(
            writer,
            r#"{{"timestamp":"{}","level":"{}","target":{}"#,
            humantime::format_rfc3339_millis(now),
            event.metadata().level(),
            Value::from(event.metadata().target()),
        )?;
        for (name, value) in fields.0 {
            write!(writer, ",{}:{value}", Value::from(name))?;
        }
        writeln!(writer, "}}")
    }
}

impl<'w> FormatFields<'w> for SpanFields {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'w>, given: R) -> fmt::Result {
        let mut fields = Fields::default();
        given.record(&mut fields);
        write!(writer, "{}", Value::Object(fields.0))
    }
}

/// Fields by their names.
#[derive(Default)]
struct Fields(Map<String, Value>);

impl Fields {
    /// Adds what was written of a span: an object, and one more for each time that a
    /// field was filled in later.
    fn read(&mut self, written: &str) {
        let objects = serde_json::Deserializer::from_str(written).into_iter::<Map<String, Value>>();
        self.0.extend(objects.filter_map(Result::ok).flatten());
    }

    fn add(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Mutex, PoisonError};

    use super::*;
    use crate::domain::time::Timestamp;

    #[derive(Debug)]
    struct Stopped;
    impl Clock for Stopped {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(1_767_225_600_042).unwrap()
        }
    }

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);
    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut sink = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            sink.extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Returns what is written of what this does.
    fn written(run: impl FnOnce()) -> String {
        let sink = Sink::default();
        let writer = sink.clone();
        let subscriber = tracing_subscriber::fmt()
            .fmt_fields(SpanFields)
            .event_format(Lines(Arc::new(Stopped)))
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, run);
        let bytes = sink.0.lock().unwrap();
        String::from_utf8(bytes.clone()).unwrap()
    }

    #[test]
    fn an_event_is_a_flat_object_with_the_fields_of_its_spans() {
        let text = written(|| {
            let span =
                tracing::info_span!("rpc", rpc.method = "a/b", trace_id = tracing::field::Empty);
            span.record("trace_id", "4bf9");
            let inner =
                span.in_scope(|| tracing::info_span!("inner", inner.count = 3, last = "span"));
            let _in = (span.entered(), inner.entered());
            tracing::warn!(
                duration_ms = 1.5,
                good = true,
                last = "event",
                "it \"is\" so"
            );
        });
        insta::assert_snapshot!(text.trim_end(), @r#"{"timestamp":"2026-01-01T00:00:00.042Z","level":"WARN","target":"token_authority::telemetry::json::tests","duration_ms":1.5,"good":true,"inner.count":3,"last":"event","message":"it \"is\" so","rpc.method":"a/b","trace_id":"4bf9"}"#);
    }

    #[test]
    fn whatever_is_logged_is_one_line() {
        let text = written(|| tracing::info!(odd = "a\nb\u{7}\u{2028}", "two\nlines"));
        assert_eq!(text.matches('\n').count(), 1, "{text}");
        assert!(serde_json::from_str::<Map<String, Value>>(&text).is_ok());
    }
}
