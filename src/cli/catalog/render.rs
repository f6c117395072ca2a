//! Writes a tenant's document, so that it is read back as what it was.

use std::fmt::Write as _;

use super::document::{Document, KINDS, ROLES, rules, word};
use crate::cli::output::drives;
use crate::pb;

/// Returns the document as TOML.
pub(in crate::cli) fn render(document: &Document) -> String {
    let mut text = String::new();
    for (key, value) in [
        ("tenant", &document.tenant),
        ("display_name", &document.display_name),
        ("token_prefix", &document.token_prefix),
    ] {
        if let Some(value) = value {
            line(&mut text, key, &quoted(value));
        }
    }
    let said: Vec<_> = rules(&document.policy)
        .into_iter()
        .filter(|(name, _)| document.rules.contains(name))
        .collect();
    if !said.is_empty() {
        header(&mut text, "[policy]");
        for (name, said) in said {
            line(&mut text, name, &literal(&said));
        }
    }
    for scope in &document.catalog.scopes {
        render_scope(&mut text, scope);
    }
    for profile in &document.catalog.profiles {
        header(&mut text, "[[profile]]");
        line(&mut text, "name", &quoted(&profile.name));
        if !profile.description.is_empty() {
            line(&mut text, "description", &quoted(&profile.description));
        }
        line(&mut text, "scopes", &list(&profile.scopes));
    }
    text
}

fn render_scope(text: &mut String, scope: &pb::Scope) {
    header(text, "[[scope]]");
    line(text, "name", &quoted(&scope.name));
    if !scope.description.is_empty() {
        line(text, "description", &quoted(&scope.description));
    }
    if !scope.implies.is_empty() {
        line(text, "implies", &list(&scope.implies));
    }
    if scope.minimum_role() == pb::Role::Admin {
        let role = word(&ROLES, &scope.minimum_role());
        line(text, "minimum_role", &quoted(role));
    }
    if !scope.forbidden_kinds.is_empty() {
        line(text, "forbidden_kinds", &list(&kinds(scope)));
    }
}

/// Returns the kinds that may not hold a scope, as a document says them.
pub(super) fn kinds(scope: &pb::Scope) -> Vec<String> {
    scope
        .forbidden_kinds()
        .map(|kind| word(&KINDS, &kind).to_owned())
        .collect()
}

fn header(text: &mut String, header: &str) {
    if !text.is_empty() {
        text.push('\n');
    }
    text.push_str(header);
    text.push('\n');
}

fn line(text: &mut String, key: &str, value: &str) {
    // Writing to a text does not fail.
    let _ = writeln!(text, "{key} = {value}");
}

/// Returns a rule as TOML has it: truths, numbers, lists and tables as they are, all else as
/// text.
fn literal(said: &str) -> String {
    let is_other = said.starts_with(['[', '{']);
    if is_other || said.parse::<bool>().is_ok() || said.parse::<i64>().is_ok() {
        said.to_owned()
    } else {
        quoted(said)
    }
}

pub(super) fn list(items: &[String]) -> String {
    let items: Vec<String> = items.iter().map(|item| quoted(item)).collect();
    format!("[{}]", items.join(", "))
}

/// Returns a text as a basic string of TOML.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if drives(c) => {
                let _ = write!(quoted, "\\U{:08X}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
