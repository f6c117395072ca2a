//! A line of a file of tokens.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;

use crate::cli::failure::Failure;
use crate::cli::moments;
use crate::cli::words::Kind;
use crate::pb;
use crate::pb::imported_token::Expiry;
use clap::ValueEnum as _;

/// Whom a token is to act as.
pub(super) enum Who {
    /// The user of this id; none where it is empty.
    Id(String),
    /// Whom the tenant calls this.
    External(String),
}

/// A line, and the token on it, its user left out.
pub(super) struct Line {
    /// Which line of the file it is, from 1.
    pub(super) number: usize,
    /// What stands on it.
    pub(super) text: String,
    pub(super) who: Who,
    pub(super) token: pb::ImportedToken,
}

/// What may stand on a line.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    secret_hash: String,
    hint: String,
    name: String,
    #[serde(default)]
    user_id: String,
    #[serde(default)]
    user_external_id: String,
    #[serde(default)]
    kind: Option<String>,
    #[serde(default)]
    scopes: Vec<String>,
    #[serde(default)]
    profile: String,
    #[serde(default)]
    expire_time: Option<String>,
    #[serde(default)]
    ttl: Option<String>,
    #[serde(default)]
    agent_id: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    create_time: Option<String>,
}

/// Reads the lines, blank ones left out; says all that is wrong with any, and repeats
/// nothing that stands there: it may be a secret.
pub(super) fn read(document: &str) -> Result<Vec<Line>, Failure> {
    let mut lines: Vec<Line> = Vec::new();
    let mut hashes = HashMap::new();
    let mut wrong = Vec::new();
    for (number, text) in (1..).zip(document.lines().map(str::trim)) {
        if text.is_empty() {
            continue;
        }
        match parse(text) {
            Ok((who, token)) => {
                // The server would tell it from one of an earlier run no more.
                if let Some(first) = hashes.insert(token.secret_hash.clone(), number) {
                    wrong.push(format!("line {number}: the secret_hash of line {first}"));
                }
                lines.push(Line {
                    number,
                    text: text.to_owned(),
                    who,
                    token,
                });
            }
            Err(what) => wrong.push(format!("line {number}: {what}")),
        }
    }
    if wrong.is_empty() {
        return Ok(lines);
    }
    wrong.push(String::from("nothing was imported"));
    Err(Failure::usage(wrong.join("\n  ")))
}

fn parse(text: &str) -> Result<(Who, pb::ImportedToken), String> {
    let fields: Fields = serde_json::from_str(text).map_err(|error| {
        let said = error.to_string();
        // These name fields alone; others repeat what stands there.
        let named = ["missing field", "duplicate field"];
        if named.iter().any(|begin| said.starts_with(begin)) {
            return said;
        }
        let column = error.column();
        format!("not an object of the fields that `token import --help` lists (column {column})")
    })?;
    let time = |field: &str, given: Option<String>| {
        let time = given.map(|text| moments::instant(&text)).transpose();
        time.map_err(|what| format!("{field}: {what}"))
    };
    let kind = fields.kind.map(|kind| Kind::from_str(&kind, false));
    let kind = kind.transpose();
    let kind = kind.map_err(|_| String::from("kind: not api, webhook, agent or service"))?;
    let ttl = fields.ttl.map(|text| moments::length(&text)).transpose();
    let ttl = ttl.map_err(|_| String::from("ttl: not a length such as 90d or 1h30m"))?;
    let expiry = match (time("expire_time", fields.expire_time)?, ttl) {
        (Some(_), Some(_)) => return Err(String::from("both expire_time and ttl")),
        (Some(at), None) => Some(Expiry::ExpireTime(at)),
        (None, ttl) => ttl.map(Expiry::Ttl),
    };
    let who = match (fields.user_id, fields.user_external_id) {
        (id, external) if external.is_empty() => Who::Id(id),
        (id, external) if id.is_empty() => Who::External(external),
        _ => return Err(String::from("both user_id and user_external_id")),
    };
    let token = pb::ImportedToken {
        secret_hash: fields.secret_hash,
        hint: fields.hint,
        user_id: String::new(),
        kind: Kind::number(kind),
        name: fields.name,
        scopes: fields.scopes,
        profile: fields.profile,
        expiry,
        agent_id: fields.agent_id,
        labels: fields.labels,
        create_time: time("create_time", fields.create_time)?,
    };
    Ok((who, token))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(text: &str) -> String {
        parse(text).map(|_| ()).unwrap_err()
    }

    #[test]
    fn what_is_wrong_is_said_and_nothing_repeated() {
        let hash = format!("$2b$10${}", "x".repeat(53));
        for text in [
            format!("\"{hash}\""),
            hash.clone(),
            format!("{{\"{hash}\": 1}}"),
            format!("{{\"name\": \"a\", \"hint\": \"b\", \"secret_hash\": [\"{hash}\"]}}"),
        ] {
            let said = wrong(&text);
            assert!(!said.contains(&hash) && said.contains("column"), "{said}");
        }
        assert!(wrong("{}").starts_with("missing field"));
        let with = |more: &str| {
            wrong(&format!(
                "{{\"secret_hash\": \"x\", \"hint\": \"y\", \"name\": \"z\", {more}}}"
            ))
        };
        for (more, said) in [
            (
                "\"kind\": \"x\"",
                "kind: not api, webhook, agent or service",
            ),
            ("\"ttl\": \"x\"", "ttl: not a length such as 90d or 1h30m"),
            (
                "\"create_time\": \"x\"",
                "create_time: not a time such as 2026-12-31T00:00:00Z",
            ),
            (
                "\"ttl\": \"1d\", \"expire_time\": \"2026-12-31T00:00:00Z\"",
                "both expire_time and ttl",
            ),
            (
                "\"user_id\": \"a\", \"user_external_id\": \"b\"",
                "both user_id and user_external_id",
            ),
        ] {
            assert_eq!(with(more), said);
        }
    }

    #[test]
    fn each_wrong_line_is_named() {
        let failure = read("\n{}\n\n1\n").map(|_| ()).unwrap_err().to_string();
        assert!(failure.starts_with("line 2: missing field"), "{failure}");
        assert!(failure.contains("\n  line 4: not an object"), "{failure}");
        let line = r#"{"secret_hash":"x","hint":"y","name":"z"}"#;
        let failure = read(&format!("{line}\n\n{line}\n")).map(|_| ());
        let failure = failure.unwrap_err().to_string();
        assert!(
            failure.starts_with("line 3: the secret_hash of line 1"),
            "{failure}"
        );
    }
}
