//! What there is to configure, read off the types: each key's name, what it may be and
//! what it is. The checks, docs/config.md and `config print` all look here.

use std::borrow::Cow;
use std::fmt;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde::Serialize;
use serde_json::Value;

/// A section.
#[derive(Clone, Debug)]
pub(super) struct Section {
    /// Its name.
    pub(super) name: Cow<'static, str>,
    /// What it is about.
    pub(super) about: String,
    /// Its keys, by name.
    pub(super) keys: Vec<Key>,
}

/// A key of a section.
#[derive(Clone, Debug)]
pub(super) struct Key {
    /// Its name, without the section.
    pub(super) name: String,
    /// What it is about.
    pub(super) about: String,
    /// What it may be.
    pub(super) kind: Kind,
    /// What it is; nothing where it is absent.
    pub(super) value: Option<toml::Value>,
    /// Whether it is shown to nobody.
    pub(super) secret: bool,
}

/// What a value may be.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    Flag,
    Whole(i64, i64),
    Number(f64, f64),
    OneOf(Vec<String>),
    Address,
    Text,
    Texts,
    List,
    Other,
}

impl Section {
    /// Describes a section and what it holds.
    pub(super) fn of<T: JsonSchema + Serialize>(
        name: impl Into<Cow<'static, str>>,
        held: &T,
    ) -> Self {
        let settings = SchemaSettings::draft2020_12().with(|settings| {
            settings.inline_subschemas = true;
        });
        let schema = settings.into_generator().into_root_schema_for::<T>();
        let held = toml::Table::try_from(held).unwrap_or_default();
        let properties = schema.get("properties").and_then(Value::as_object);
        let keys = properties.into_iter().flatten().map(|(name, schema)| Key {
            name: name.clone(),
            about: about(schema),
            kind: Kind::of(schema),
            value: held.get(name).cloned(),
            secret: is_secret(schema),
        });
        Self {
            name: name.into(),
            about: section_about(&schema),
            keys: keys.collect(),
        }
    }

    /// Returns the key of that name.
    pub(super) fn find(&self, name: &str) -> Option<&Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}

/// Returns a description as one line.
fn about(schema: &Value) -> String {
    let text = schema.get("description").and_then(Value::as_str);
    text.unwrap_or_default()
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

/// Returns a section's description, which begins with its name in brackets.
fn section_about(schema: &Schema) -> String {
    let text = about(schema.as_value());
    match text.split_once("]`: ") {
        Some((_, text)) => text.to_owned(),
        None => text,
    }
}

fn is_secret(schema: &Value) -> bool {
    let secret = |schema: &Value| schema.get("writeOnly") == Some(&Value::Bool(true));
    let any = schema.get("anyOf").and_then(Value::as_array);
    secret(schema) || any.is_some_and(|any| any.iter().any(secret))
}

impl Kind {
    fn of(schema: &Value) -> Self {
        let text = |name: &str| schema.get(name).and_then(Value::as_str);
        // An absent value is no value: `null` can't be written.
        let kind = match schema.get("type") {
            Some(Value::Array(types)) => types
                .iter()
                .filter_map(Value::as_str)
                .find(|kind| *kind != "null"),
            _ => text("type"),
        };
        if let Some(one_of) = choices(schema) {
            return Self::OneOf(one_of);
        }
        let any = schema.get("anyOf").and_then(Value::as_array);
        if let Some(inner) = any.and_then(|any| any.first()) {
            return Self::of(inner);
        }
        let number = |name: &str| schema.get(name).and_then(Value::as_f64);
        let whole = |name: &str| schema.get(name).and_then(Value::as_i64);
        match kind {
            Some("boolean") => Self::Flag,
            Some("integer") => Self::Whole(
                whole("minimum").unwrap_or(i64::MIN),
                whole("maximum").unwrap_or(i64::MAX),
            ),
            Some("number") => Self::Number(
                number("minimum").unwrap_or(f64::MIN),
                number("maximum").unwrap_or(f64::MAX),
            ),
            Some("string") if text("format") == Some("address") => Self::Address,
            Some("string") => Self::Text,
            Some("object") => Self::Texts,
            Some("array") => Self::List,
            _ => Self::Other,
        }
    }

    /// Returns whether a value is of this kind and within its bounds, if it has any.
    pub(super) fn holds(&self, value: &toml::Value) -> bool {
        match self {
            Self::Flag => value.is_bool(),
            Self::Whole(least, most) => value
                .as_integer()
                .is_some_and(|value| (least..=most).contains(&&value)),
            Self::Number(least, most) => {
                let whole = value
                    .as_integer()
                    .and_then(|value| i32::try_from(value).ok());
                let number = value.as_float().or(whole.map(f64::from));
                number.is_some_and(|number| (least..=most).contains(&&number))
            }
            Self::OneOf(_) | Self::Address | Self::Text => value.is_str(),
            Self::Texts => value.is_table(),
            Self::List => value.is_array(),
            Self::Other => true,
        }
    }
}

/// Returns the words that a value may be, if it is one of some.
fn choices(schema: &Value) -> Option<Vec<String>> {
    let listed = |name: &str| schema.get(name).and_then(Value::as_array);
    let words: Vec<String> = if let Some(words) = listed("enum") {
        let words = words.iter().filter_map(Value::as_str);
        words.map(str::to_owned).collect()
    } else {
        // With a description of each.
        let variants = listed("oneOf")?.iter();
        let words = variants.filter_map(|variant| variant.get("const")?.as_str());
        words.map(str::to_owned).collect()
    };
    (!words.is_empty()).then_some(words)
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("true or false"),
            Self::Whole(least, i64::MAX) => write!(f, "a whole number, at least {least}"),
            Self::Whole(least, most) => write!(f, "a whole number from {least} to {most}"),
            Self::Number(f64::MIN, f64::MAX) => f.write_str("a number"),
            Self::Number(least, most) => write!(f, "a number from {least} to {most}"),
            Self::OneOf(words) => write!(f, "one of {}", words.join(", ")),
            Self::Address => f.write_str("an IP address and a port, such as 127.0.0.1:50051"),
            Self::Text => f.write_str("a string"),
            Self::Texts => f.write_str("a table of strings, such as { typ = \"Bearer\" }"),
            Self::List => f.write_str("a list of strings, such as [\"a\", \"b\"]"),
            Self::Other => f.write_str("what docs/config.md says"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_of_its_kind_and_within_bounds() {
        let share = Kind::Number(0.0, 1.0);
        for (text, is_share, is_whole) in [
            ("0", true, true),
            ("1", true, true),
            ("2", false, true),
            ("3", false, false),
            ("0.5", true, false),
            ("1.5", false, false),
            ("nan", false, false),
            ("'0.5'", false, false),
            ("true", false, false),
        ] {
            let table: toml::Table = format!("v = {text}").parse().unwrap();
            assert_eq!(share.holds(&table["v"]), is_share, "{text}");
            assert_eq!(Kind::Whole(0, 2).holds(&table["v"]), is_whole, "{text}");
        }
    }
}
