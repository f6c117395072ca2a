//! Profiles as JSON, for programs. Never holds a value.

use std::path::PathBuf;

use serde::Serialize;
use serde_json::json;

use crate::cli::output::harmless;
use crate::cli::profiles::{Profile, Profiles};
use crate::domain::value::TokenValue;

/// A profile; what it does not hold is left out, as in the JSON of answers.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    in_use: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    plaintext: bool,
    /// Of a token that the profile itself holds, where it is of a value's form.
    #[serde(skip_serializing_if = "Option::is_none")]
    token_hint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ca: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_cert: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_name: Option<&'a str>,
}

/// Returns all profiles.
pub(super) fn list(profiles: &Profiles) -> String {
    let all = profiles.profiles.iter();
    let all: Vec<Shown<'_>> = all
        .map(|(name, profile)| shown(name, profile, profiles))
        .collect();
    harmless(&format!("{:#}\n", json!({ "profiles": all })))
}

/// Returns one of them.
pub(super) fn one(name: &str, profile: &Profile, profiles: &Profiles) -> String {
    let profile = json!({ "profile": shown(name, profile, profiles) });
    harmless(&format!("{profile:#}\n"))
}

fn shown<'a>(name: &'a str, profile: &'a Profile, profiles: &Profiles) -> Shown<'a> {
    let value = profile.token.as_deref();
    let value = value.and_then(|value| value.parse::<TokenValue>().ok());
    let file = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
    Shown {
        name,
        in_use: profiles.in_use.as_deref() == Some(name),
        address: profile.address.as_deref(),
        plaintext: profile.plaintext,
        token_hint: value.map(|value| value.hint()),
        token_file: file(&profile.token_file),
        tenant: profile.tenant.as_deref(),
        agent_id: profile.agent_id.as_deref(),
        ca: file(&profile.ca),
        client_cert: file(&profile.client_cert),
        client_key: file(&profile.client_key),
        server_name: profile.server_name.as_deref(),
    }
}
