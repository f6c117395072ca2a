//! What is printed: protobuf's JSON for programs; tables and records for people, in
//! which nothing that somebody named drives the terminal.

use std::fmt::Write as _;

use prost::{Message, Name};
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};
use prost_types::{DescriptorProto, FileDescriptorProto, FileDescriptorSet};

use super::failure::Failure;
use super::print;
use crate::app::BoxError;
use crate::pb;

/// How answers are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Output {
    /// For people.
    Table,
    /// For programs: the answer's message, as grpcurl prints it.
    Json,
}

impl Output {
    /// Prints an answer: as JSON, or as `text` says it to people.
    pub(super) fn show<M: Message + Name>(
        self,
        answer: &M,
        text: impl FnOnce(&M) -> String,
    ) -> Result<(), Failure> {
        let said = match self {
            Self::Table => text(answer),
            Self::Json => json(answer)?,
        };
        Ok(print(&said)?)
    }
}

/// Returns a message as protobuf's JSON: names in lowerCamelCase, enums by name, what
/// is empty left out.
pub(super) fn json<M: Message + Name>(message: &M) -> Result<String, Failure> {
    let broken = |cause: &dyn std::fmt::Display| Failure::told(format!("can't print it: {cause}"));
    let pool = pool().map_err(|cause| broken(&*cause))?;
    let descriptor = pool
        .get_message_by_name(&M::full_name())
        .ok_or_else(|| broken(&"the message has no descriptor"))?;
    let message = DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice())
        .map_err(|cause| broken(&cause))?;
    let mut text = Vec::new();
    let mut serializer = serde_json::Serializer::pretty(&mut text);
    message
        .serialize_with_options(&mut serializer, &SerializeOptions::new())
        .map_err(|cause| broken(&cause))?;
    let text = String::from_utf8(text).map_err(|cause| broken(&cause))?;
    Ok(harmless(&text) + "\n")
}

/// Returns what is known of messages: the protocol's, and what the status of one of a
/// batch holds.
fn pool() -> Result<DescriptorPool, BoxError> {
    let mut pool = DescriptorPool::decode(pb::FILE_DESCRIPTOR_SET)?;
    let details = FileDescriptorSet::decode(tonic_types::pb::FILE_DESCRIPTOR_SET)?;
    // The same message may stand there in a file of another name.
    let is_known = |file: &FileDescriptorProto| {
        let mut names = file.message_type.iter().map(DescriptorProto::name);
        names.any(|name| {
            let name = format!("{}.{name}", file.package());
            pool.get_message_by_name(&name).is_some()
        })
    };
    let files = details.file.into_iter();
    let missing: Vec<_> = files.filter(|file| !is_known(file)).collect();
    pool.add_file_descriptor_protos(missing)?;
    Ok(pool)
}

/// Returns JSON in which nothing drives a terminal.
pub(super) fn harmless(json: &str) -> String {
    let mut safe = String::with_capacity(json.len() + 1);
    for c in json.chars() {
        // Outside of strings there are line ends alone, and within them none: the
        // serializer has escaped those, but not all that drives a terminal.
        if c != '\n' && drives(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(safe, "\\u{unit:04x}");
            }
        } else {
            safe.push(c);
        }
    }
    safe
}

/// Returns whether a character does something to a terminal, or to the order or the
/// look of what stands around it, in place of showing itself.
pub(super) fn drives(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

/// Returns a text that others chose as it can be shown on a line: what would drive the
/// terminal is written out, `\u{1b}`.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if drives(c) {
            safe.extend(c.escape_unicode());
        } else {
            safe.push(c);
        }
    }
    safe
}

/// Returns a text as it can be shown, `-` where there is none.
pub(super) fn text(text: &str) -> String {
    if text.is_empty() {
        String::from("-")
    } else {
        escaped(text)
    }
}

/// Returns names as they can be shown on one line, `-` where there are none.
pub(super) fn names<T: AsRef<str>>(names: &[T]) -> String {
    let names: Vec<String> = names.iter().map(|name| escaped(name.as_ref())).collect();
    text(&names.join(", "))
}

/// Returns whether something is so.
pub(super) fn yes(so: bool) -> String {
    String::from(if so { "yes" } else { "no" })
}

/// One thing, a line for each of its fields.
#[derive(Debug, Default)]
pub(super) struct Record(Vec<(String, String)>);

impl Record {
    /// Adds a field; what would drive the terminal is written out.
    #[must_use]
    pub(super) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.0.push((name.to_owned(), escaped(&value.into())));
        self
    }

    /// Adds a field where it has a value other than `-`.
    #[must_use]
    pub(super) fn with_some(self, name: &str, value: impl Into<String>) -> Self {
        let value = value.into();
        if value == "-" {
            self
        } else {
            self.with(name, value)
        }
    }
}

impl std::fmt::Display for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let widest = self.0.iter().map(|(name, _)| name.chars().count()).max();
        // One more for the colon.
        let width = widest.unwrap_or(0) + 1;
        for (name, value) in &self.0 {
            writeln!(f, "{:width$} {value}", format!("{name}:"))?;
        }
        Ok(())
    }
}

/// Returns rows under their headings, without borders.
pub(super) fn table(headings: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(headings.iter().map(|heading| heading.to_uppercase()));
    table.add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let mut text = table.trim_fmt();
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "a\u{1b}[2J\u{9b}1m\n\u{202e}b";

    #[test]
    fn what_would_drive_a_terminal_is_written_out() {
        assert_eq!(escaped(HOSTILE), "a\\u{1b}[2J\\u{9b}1m\\u{a}\\u{202e}b");
        assert_eq!(escaped("Ärger 東京 🙂"), "Ärger 東京 🙂");
        assert_eq!(text(""), "-");
        assert_eq!(names::<&str>(&[]), "-");
        assert_eq!(names(&["a", "\u{7}"]), "a, \\u{7}");
    }

    #[test]
    fn json_is_protobufs_and_drives_no_terminal() {
        let token = pb::Token {
            name: HOSTILE.to_owned(),
            token_id: "tok_1".to_owned(),
            kind: pb::TokenKind::Service.into(),
            create_time: Some(prost_types::Timestamp {
                seconds: 1_767_225_600,
                nanos: 250_000_000,
            }),
            ..Default::default()
        };
        let text = json(&token).unwrap();
        assert_eq!(
            text,
            "{\n  \"tokenId\": \"tok_1\",\n  \"kind\": \"TOKEN_KIND_SERVICE\",\n  \
             \"name\": \"a\\u001b[2J\\u009b1m\\n\\u202eb\",\n  \
             \"createTime\": \"2026-01-01T00:00:00.250Z\"\n}\n"
        );
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read["name"], HOSTILE);
    }

    #[test]
    fn a_status_within_an_answer_is_printed_with_its_details() {
        use tonic_types::StatusExt as _;
        let mut details = tonic_types::ErrorDetails::new();
        details.set_error_info("SOME_REASON", "example.com", []);
        let code = tonic::Code::InvalidArgument;
        let status = tonic::Status::with_error_details(code, "wrong", details);
        let status = tonic_types::pb::Status::decode(status.details()).unwrap();
        let result = pb::BatchIntrospectResult {
            result: Some(pb::batch_introspect_result::Result::Status(status)),
        };
        let read: serde_json::Value = serde_json::from_str(&json(&result).unwrap()).unwrap();
        assert_eq!(read["status"]["details"][0]["reason"], "SOME_REASON");
    }

    #[test]
    fn a_table_has_its_columns_in_line_and_no_blanks_at_the_end() {
        let rows = [
            vec!["a".to_owned(), "long".to_owned(), "1".to_owned()],
            vec!["東京".to_owned(), "-".to_owned(), "2".to_owned()],
        ];
        assert_eq!(
            table(&["id", "name", "n"], rows),
            "ID    NAME  N\na     long  1\n東京  -     2\n"
        );
        assert_eq!(table(&["id", "name"], []), "ID  NAME\n");
    }

    #[test]
    fn a_record_has_its_values_in_line() {
        let record = Record::default()
            .with("id", "1")
            .with_some("end", "-")
            .with("tenant", "acme");
        assert_eq!(record.to_string(), "id:     1\ntenant: acme\n");
    }
}
