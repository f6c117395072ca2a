//! What a configuration is given, and where: in the file, the environment, by flags. The
//! later one wins. Knows no section but those that stand within another, and no key.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;

use serde::Deserialize as _;
use serde::de::IntoDeserializer as _;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::identities;
use super::problems::Problems;

/// What the environment's variables begin with; `__` stands between a section and
/// a key: `TOKEN_AUTHORITY_SERVER__ADDRESS`.
pub(super) const PREFIX: &str = "TOKEN_AUTHORITY_";

/// A value given by a flag: the flag, the key it sets, and what to.
pub type Flag = (&'static str, &'static str, String);

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// From nowhere: it is the default.
    Default,
    /// The file of that name, and the line there.
    File(String, usize),
    /// The environment's variable of that name.
    Variable(String),
    /// That flag.
    Flag(&'static str),
}

impl Origin {
    /// Returns its place in the order in which the later one wins.
    pub(super) fn layer(&self) -> u8 {
        match self {
            Self::Default => 0,
            Self::File(..) => 1,
            Self::Variable(_) => 2,
            Self::Flag(_) => 3,
        }
    }

    /// Returns what is said of a key whose value comes from here, and that it does.
    pub(super) fn told(&self, key: &str, what: &str) -> String {
        if *self == Self::Default {
            format!("{key}: {what}")
        } else {
            format!("{key}: {what} ({self})")
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(name, line) => write!(f, "{name}:{line}"),
            Self::Variable(name) => f.write_str(name),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

/// A value as it was given.
#[derive(Clone, Debug)]
pub(super) enum Raw {
    /// With a type.
    Typed(toml::Value),
    /// As a text, which may stand for anything.
    Text(String),
    /// As bytes that are no text.
    NotUtf8,
    /// As something that no key takes.
    Wrong,
}

impl Raw {
    /// Returns whether it is the empty string.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Typed(value) => value.as_str() == Some(""),
            Self::Text(text) => text.is_empty(),
            Self::NotUtf8 | Self::Wrong => false,
        }
    }

    /// Returns what it may stand for, as a string first: a directory may be called 2026.
    pub(super) fn readings(self) -> Vec<toml::Value> {
        match self {
            Self::Typed(value) => vec![value],
            Self::Text(text) => {
                let whole = text.parse().ok().map(toml::Value::Integer);
                let truth = text.parse().ok().map(toml::Value::Boolean);
                let number = text.parse().ok().map(toml::Value::Float);
                let text = Some(toml::Value::String(text));
                [text, whole, truth, number].into_iter().flatten().collect()
            }
            Self::NotUtf8 | Self::Wrong => Vec::new(),
        }
    }
}

/// All that was given, by section and key.
#[derive(Debug, Default)]
pub(super) struct Given {
    values: BTreeMap<(String, String), (Raw, Origin)>,
    /// Where a section was begun that may have no key.
    sections: BTreeMap<String, Origin>,
}

impl Given {
    /// Takes what a file holds; what is wrong with the file is added to `problems`.
    pub(super) fn file(name: &str, text: &str, problems: &mut Problems) -> Self {
        let mut given = Self::default();
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            let line = error.span().map_or(1, |span| line(text, span.start));
            // The message alone: the whole error shows lines of the file, which may
            // hold a password.
            problems.add(format!("{name}:{line}: not TOML: {}", error.message()));
        }
        if !errors.is_empty() {
            return given;
        }
        let at = |offset| Origin::File(name.to_owned(), line(text, offset));
        for (section, value) in table.into_inner() {
            let origin = at(section.span().start);
            let section = section.into_inner().into_owned();
            let DeValue::Table(keys) = value.into_inner() else {
                given
                    .values
                    .insert((section, String::new()), (Raw::Wrong, origin));
                continue;
            };
            // One that has nothing but another within it is not begun by that.
            if keys.is_empty()
                || keys
                    .keys()
                    .any(|key| within(&section, key.get_ref()).is_none())
            {
                given.sections.insert(section.clone(), origin);
            }
            for (key, value) in keys {
                let origin = at(key.span().start);
                let inner = within(&section, key.get_ref());
                if let (Some(inner), DeValue::Table(keys)) = (inner, value.get_ref()) {
                    given.sections.insert(inner.to_owned(), origin);
                    for (key, value) in keys.clone() {
                        let origin = at(key.span().start);
                        given.add(inner, key.into_inner().into_owned(), value, origin);
                    }
                } else {
                    given.add(&section, key.into_inner().into_owned(), value, origin);
                }
            }
        }
        given
    }

    /// Adds a value of the file.
    fn add(&mut self, section: &str, key: String, value: Spanned<DeValue<'_>>, origin: Origin) {
        let value = toml::Value::deserialize(value.into_deserializer());
        let raw = value.map_or(Raw::Wrong, Raw::Typed);
        self.values.insert((section.to_owned(), key), (raw, origin));
    }

    /// Adds what the environment holds.
    pub(super) fn environment(&mut self, variables: impl IntoIterator<Item = (String, OsString)>) {
        for (name, value) in variables {
            let Some(key) = name.strip_prefix(PREFIX) else {
                continue;
            };
            // What has no `__` is not ours: Kubernetes gives each pod variables such as
            // TOKEN_AUTHORITY_PORT for a Service of this name.
            if let Some((section, key)) = key.to_lowercase().split_once("__") {
                let name = Origin::Variable(name.clone());
                let raw = value.into_string().map_or(Raw::NotUtf8, Raw::Text);
                self.set(section, key, raw, name);
            }
        }
    }

    /// Adds what was said by flags.
    pub(super) fn flags(&mut self, flags: &[Flag]) {
        for (flag, name, text) in flags {
            if let Some((section, key)) = name.split_once('.') {
                self.set(section, key, Raw::Text(text.clone()), Origin::Flag(flag));
            }
        }
    }

    fn set(&mut self, section: &str, key: &str, raw: Raw, origin: Origin) {
        let name = (section.to_owned(), key.to_owned());
        self.values.insert(name, (raw, origin));
    }

    /// Takes out what was given of a key.
    pub(super) fn take(&mut self, section: &str, key: &str) -> Option<(Raw, Origin)> {
        let taken = self.values.remove(&(section.to_owned(), key.to_owned()));
        if taken.is_some() && !self.values.keys().any(|(other, _)| other == section) {
            self.sections.remove(section);
        }
        taken
    }

    /// Takes out what was given of a section: keys, values and where they come from.
    pub(super) fn section(&mut self, name: &str) -> Vec<(String, Raw, Origin)> {
        self.sections.remove(name);
        let (taken, rest): (BTreeMap<_, _>, _) = std::mem::take(&mut self.values)
            .into_iter()
            .partition(|((section, _), _)| section == name);
        self.values = rest;
        taken
            .into_iter()
            .map(|((_, key), (raw, origin))| (key, raw, origin))
            .collect()
    }

    /// Returns the sections that were not taken out, and where the first of each is.
    pub(super) fn rest(self) -> BTreeMap<String, Origin> {
        let mut rest = self.sections;
        for ((section, _), (_, origin)) in self.values {
            rest.entry(section).or_insert(origin);
        }
        rest
    }
}

/// Returns which section a key stands for, if one is within its section.
fn within(section: &str, key: &str) -> Option<&'static str> {
    let full = identities::ALL;
    (full.split_once('.') == Some((section, key))).then_some(full)
}

/// Returns the line at an offset.
fn line(text: &str, offset: usize) -> usize {
    1 + text
        .bytes()
        .take(offset)
        .filter(|byte| *byte == b'\n')
        .count()
}
