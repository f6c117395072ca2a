//! Reads a tenant's document. All that is wrong with it is said at once, each with its
//! line.

use std::fmt;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::document::{Document, KINDS, Lines, MANAGEMENTS, ROLES, RULES, Rule, UNSET};
use super::trust;
use crate::cli::moments;
use crate::domain::reason::Violations;
use crate::pb;
use crate::rpc::convert;
use crate::rpc::convert::inward::{self, POLICY_FIELDS};
use crate::rpc::convert::mask::Mask;

/// The keys of a document, of a scope and of a profile.
const DOCUMENT: [&str; 6] = [
    "tenant",
    "display_name",
    "token_prefix",
    "policy",
    "scope",
    "profile",
];
const SCOPE: [&str; 5] = [
    "name",
    "description",
    "implies",
    "minimum_role",
    "forbidden_kinds",
];
const PROFILE: [&str; 3] = ["name", "description", "scopes"];

/// One thing that is wrong with a document.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::cli) struct Problem {
    /// Where, counted from 1.
    pub(in crate::cli) line: usize,
    /// What.
    pub(in crate::cli) what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

/// Reads a document, and where in it each field of a request stands.
pub(in crate::cli) fn parse(text: &str) -> Result<(Document, Lines), Vec<Problem>> {
    let mut reader = Reader {
        ends: text.match_indices('\n').map(|(at, _)| at).collect(),
        problems: Vec::new(),
        lines: Lines::default(),
    };
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        reader.wrong(&error.span().unwrap_or_default(), error.message());
    }
    // What was made up to go on after an error is not judged.
    let document = if errors.is_empty() {
        reader.document(table.get_ref())
    } else {
        Document::default()
    };
    let mut problems = reader.problems;
    if errors.is_empty() {
        judge(&document, &reader.lines, &mut problems);
    }
    if problems.is_empty() {
        return Ok((document, reader.lines));
    }
    problems.sort();
    Err(problems)
}

/// Notes what the authority would refuse, by its own rules. A line that can't be read is
/// not judged as well.
fn judge(document: &Document, lines: &Lines, problems: &mut Vec<Problem>) {
    let unread: Vec<usize> = problems.iter().map(|problem| problem.line).collect();
    let mut violations = Violations::default();
    let draft = inward::catalog(&document.catalog, &mut violations);
    draft.check(&mut violations);
    let named: Vec<&'static str> = POLICY_FIELDS
        .iter()
        .copied()
        .filter(|field| {
            let rule = field.strip_prefix("policy.");
            rule.is_some_and(|rule| document.rules.contains(rule))
        })
        .collect();
    inward::policy(&document.policy, &Mask::all(&named), &mut violations).check(&mut violations);
    if let Some(given) = &document.policy.oidc_trust {
        let field = inward::OIDC_TRUST;
        convert::trust::read(field, given, &mut violations).check(field, &mut violations);
    }
    let (field, admitted) = (inward::ADMITTED_TRUSTS, &document.policy.admitted_trusts);
    convert::trust::admitted(field, admitted, &mut violations);
    for violation in &violations {
        let line = lines.find(&violation.field).unwrap_or(1);
        if !unread.contains(&line) {
            problems.push(Problem {
                line,
                what: format!(
                    "{}: {}",
                    place(&violation.field, &document.catalog),
                    violation.reason.sentence()
                ),
            });
        }
    }
}

/// Returns a field of a request as a document's reader knows it: `catalog.scopes[3].name`
/// is the name of the scope that it is about.
pub(in crate::cli) fn place(field: &str, catalog: &pb::Catalog) -> String {
    let named = |list: &str, noun: &str, name: &dyn Fn(usize) -> Option<String>| {
        let rest = field.strip_prefix(list)?.strip_prefix('[')?;
        let (at, rest) = rest.split_once(']')?;
        let name = match at.parse() {
            Ok(at) => name(at)?,
            // What is not there any more is told by its name.
            Err(_) => at.to_owned(),
        };
        let rest = rest.trim_start_matches('.');
        let gap = if rest.is_empty() { "" } else { ", " };
        Some(format!("{noun} {name:?}{gap}{rest}"))
    };
    let scope = |at: usize| Some(catalog.scopes.get(at)?.name.clone());
    let profile = |at: usize| Some(catalog.profiles.get(at)?.name.clone());
    named("catalog.scopes", "scope", &scope)
        .or_else(|| named("catalog.profiles", "profile", &profile))
        .unwrap_or_else(|| field.to_owned())
}

/// Goes through a document and notes what is wrong.
pub(super) struct Reader {
    /// Where each line ends.
    ends: Vec<usize>,
    problems: Vec<Problem>,
    lines: Lines,
}

pub(super) type Key<'a> = Spanned<std::borrow::Cow<'a, str>>;
pub(super) type Value<'a> = Spanned<DeValue<'a>>;

impl Reader {
    fn document(&mut self, table: &DeTable<'_>) -> Document {
        let mut document = Document::default();
        for (key, value) in table {
            match &**key.get_ref() {
                "tenant" => document.tenant = self.field("tenant_id", value, Self::line),
                "display_name" => {
                    document.display_name = self.field("display_name", value, Self::line);
                }
                "token_prefix" => {
                    document.token_prefix = self.field("token_prefix", value, Self::line);
                }
                "policy" => self.policy(value, &mut document),
                "scope" => document.catalog.scopes = self.items(value, "scope", Self::scope),
                "profile" => {
                    document.catalog.profiles = self.items(value, "profile", Self::profile);
                }
                _ => self.unknown(key, "a document", &DOCUMENT),
            }
        }
        document
    }

    fn policy(&mut self, value: &Value<'_>, document: &mut Document) {
        self.note("policy", value);
        let Some(table) = value.get_ref().as_table() else {
            return self.mistyped(value, "a table: [policy]");
        };
        for (key, value) in table {
            let Some((name, rule)) = RULES.into_iter().find(|(name, _)| *name == key.get_ref())
            else {
                self.unknown(key, "a policy", &RULES.map(|(name, _)| name));
                continue;
            };
            self.note(format!("policy.{name}"), value);
            document.rules.insert(name);
            let policy = &mut document.policy;
            match rule {
                Rule::Management => {
                    let management = self.word(value, &MANAGEMENTS).unwrap_or_default();
                    policy.set_token_management(management);
                }
                Rule::Truth(field) => {
                    *field(policy) = self.truth(value).unwrap_or_default();
                }
                Rule::Number(field) => {
                    *field(policy) = self.number(value).unwrap_or_default();
                }
                Rule::Length(field) => *field(policy) = self.length(value),
                Rule::Trust if value.get_ref().as_str() == Some(UNSET) => {
                    policy.oidc_trust = None;
                }
                Rule::Trust => {
                    policy.oidc_trust = trust::read(self, &format!("policy.{name}"), value);
                }
                Rule::Names(field) => {
                    *field(policy) = self.list(&format!("policy.{name}"), value, Self::line);
                }
            }
        }
    }

    /// Reads a list of tables, such as `[[scope]]`.
    fn items<T>(
        &mut self,
        value: &Value<'_>,
        noun: &str,
        read: impl Fn(&mut Self, &str, &DeTable<'_>) -> T,
    ) -> Vec<T> {
        // The list has no line of its own: what it lacks stands nowhere.
        let field = format!("catalog.{noun}s");
        let Some(array) = value.get_ref().as_array() else {
            self.mistyped(value, &format!("a list of tables: [[{noun}]]"));
            return Vec::new();
        };
        let mut items = Vec::new();
        for value in array {
            let field = format!("{field}[{}]", items.len());
            self.note(field.clone(), value);
            match value.get_ref().as_table() {
                Some(table) => items.push(read(self, &field, table)),
                None => self.mistyped(value, &format!("a table: [[{noun}]]")),
            }
        }
        items
    }

    fn scope(&mut self, field: &str, table: &DeTable<'_>) -> pb::Scope {
        let mut scope = pb::Scope::default();
        for (key, value) in table {
            let field = format!("{field}.{}", key.get_ref());
            match &**key.get_ref() {
                "name" => scope.name = self.field(&field, value, Self::line).unwrap_or_default(),
                "description" => {
                    scope.description = self.field(&field, value, Self::line).unwrap_or_default();
                }
                "implies" => scope.implies = self.list(&field, value, Self::line),
                "minimum_role" => {
                    let role =
                        self.field(&field, value, |reader, value| reader.word(value, &ROLES));
                    scope.set_minimum_role(role.unwrap_or_default());
                }
                "forbidden_kinds" => {
                    let kinds =
                        self.list(&field, value, |reader, value| reader.word(value, &KINDS));
                    scope.forbidden_kinds = kinds.into_iter().map(i32::from).collect();
                }
                _ => self.unknown(key, "a scope", &SCOPE),
            }
        }
        scope
    }

    fn profile(&mut self, field: &str, table: &DeTable<'_>) -> pb::Profile {
        let mut profile = pb::Profile::default();
        for (key, value) in table {
            let field = format!("{field}.{}", key.get_ref());
            match &**key.get_ref() {
                "name" => profile.name = self.field(&field, value, Self::line).unwrap_or_default(),
                "description" => {
                    profile.description = self.field(&field, value, Self::line).unwrap_or_default();
                }
                "scopes" => profile.scopes = self.list(&field, value, Self::line),
                _ => self.unknown(key, "a profile", &PROFILE),
            }
        }
        profile
    }

    /// Reads a value, having noted which field of a request it is.
    fn field<T>(
        &mut self,
        field: &str,
        value: &Value<'_>,
        read: impl Fn(&mut Self, &Value<'_>) -> Option<T>,
    ) -> Option<T> {
        self.note(field, value);
        read(self, value)
    }

    pub(super) fn list<T>(
        &mut self,
        field: &str,
        value: &Value<'_>,
        read: impl Fn(&mut Self, &Value<'_>) -> Option<T>,
    ) -> Vec<T> {
        self.note(field, value);
        let Some(array) = value.get_ref().as_array() else {
            self.mistyped(value, "a list of strings");
            return Vec::new();
        };
        let mut items = Vec::new();
        for value in array {
            self.note(format!("{field}[{}]", items.len()), value);
            items.extend(read(self, value));
        }
        items
    }

    pub(super) fn line(&mut self, value: &Value<'_>) -> Option<String> {
        let text = value.get_ref().as_str();
        if text.is_none() {
            self.mistyped(value, "a string");
        }
        text.map(str::to_owned)
    }

    pub(super) fn truth(&mut self, value: &Value<'_>) -> Option<bool> {
        let truth = value.get_ref().as_bool();
        if truth.is_none() {
            self.mistyped(value, "true or false");
        }
        truth
    }

    fn number(&mut self, value: &Value<'_>) -> Option<i32> {
        let number = value.get_ref().as_integer();
        let number =
            number.and_then(|number| i32::from_str_radix(number.as_str(), number.radix()).ok());
        if number.is_none() {
            self.mistyped(value, "a whole number");
        }
        number
    }

    fn length(&mut self, value: &Value<'_>) -> Option<prost_types::Duration> {
        let text = self.line(value)?;
        if text == UNSET {
            return None;
        }
        match moments::length(text.trim()) {
            Ok(length) => Some(length),
            Err(error) => {
                self.wrong(
                    &value.span(),
                    format!("{text:?}: {error}; {UNSET:?} says that there is none"),
                );
                None
            }
        }
    }

    pub(super) fn word<T: Copy>(&mut self, value: &Value<'_>, words: &[(&str, T)]) -> Option<T> {
        let text = self.line(value)?;
        // The protocol's spelling is understood as well: SELF_SERVICE.
        let plain = text.to_ascii_lowercase().replace('_', "-");
        let found = words.iter().find(|(word, _)| *word == plain);
        if found.is_none() {
            let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            self.wrong(
                &value.span(),
                format!("{text:?} is none of {}", words.join(", ")),
            );
        }
        found.map(|(_, meant)| *meant)
    }

    pub(super) fn unknown(&mut self, key: &Key<'_>, noun: &str, known: &[&str]) {
        self.wrong(
            &key.span(),
            format!(
                "no such key {:?}: {noun} has {}",
                key.get_ref(),
                known.join(", ")
            ),
        );
    }

    pub(super) fn mistyped(&mut self, value: &Value<'_>, expected: &str) {
        let found = value.get_ref().type_str();
        self.wrong(&value.span(), format!("must be {expected}, not {found}"));
    }

    fn wrong(&mut self, at: &Range<usize>, what: impl Into<String>) {
        self.problems.push(Problem {
            line: self.line_of(at),
            what: what.into(),
        });
    }

    pub(super) fn note(&mut self, field: impl Into<String>, value: &Value<'_>) {
        let line = self.line_of(&value.span());
        self.lines.note(field, line);
    }

    fn line_of(&self, at: &Range<usize>) -> usize {
        1 + self.ends.partition_point(|end| *end < at.start)
    }
}
