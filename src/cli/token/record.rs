//! A token's record, as people read it.

use std::fmt::Write as _;

use crate::cli::output::{Record, escaped, names, text};
use crate::cli::{moments, words};
use crate::pb;

/// Returns all that a record says.
pub(super) fn record(token: &pb::Token) -> Record {
    let labels: Vec<String> = token
        .labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let mut record = Record::default()
        .with("token", text(&token.token_id))
        .with("name", text(&token.name))
        .with("tenant", text(&token.tenant_id))
        .with_some("user", text(&token.user_id))
        .with("kind", words::kind(token.kind))
        .with("state", words::state(token.state))
        .with("hint", text(&token.hint))
        .with("scopes", names(&token.scopes));
    if token.effective_scopes != token.scopes {
        record = record.with("effective", names(&token.effective_scopes));
    }
    record = record
        .with_some("profile", text(&token.profile))
        .with_some("agent", text(&token.agent_id))
        .with_some("labels", names(&labels))
        .with_some("created by", text(&token.created_by))
        .with("created", moments::said(token.create_time.as_ref()))
        .with("ends", moments::said(token.expire_time.as_ref()))
        .with_some("rotated", moments::said(token.rotate_time.as_ref()));
    for value in &token.previous_values {
        let end = moments::said(value.end_time.as_ref());
        record = record.with("in grace", format!("{}, until {end}", text(&value.hint)));
    }
    record
        .with_some("last used", last_used(token))
        .with_some("revoked", revoked(token))
        .with("etag", text(&token.etag))
}

/// Returns the few lines that follow a change.
pub(super) fn brief(token: &pb::Token, revision: &str) -> Record {
    Record::default()
        .with("token", text(&token.token_id))
        .with("name", text(&token.name))
        .with("tenant", text(&token.tenant_id))
        .with_some("user", text(&token.user_id))
        .with("kind", words::kind(token.kind))
        .with("hint", text(&token.hint))
        .with("scopes", names(&token.effective_scopes))
        .with("ends", moments::said(token.expire_time.as_ref()))
        .with_some("revision", text(revision))
}

fn last_used(token: &pb::Token) -> String {
    let mut said = moments::said(token.last_used_time.as_ref());
    if !token.last_used_address.is_empty() {
        let _ = write!(said, " from {}", escaped(&token.last_used_address));
    }
    if !token.last_used_by.is_empty() {
        let _ = write!(said, ", asked by {}", escaped(&token.last_used_by));
    }
    said
}

fn revoked(token: &pb::Token) -> String {
    let mut said = moments::said(token.revoke_time.as_ref());
    if token.revoke_reason != 0 {
        let _ = write!(said, ", {}", words::reason(token.revoke_reason));
    }
    if !token.revoke_reason_text.is_empty() {
        let _ = write!(said, ": {}", escaped(&token.revoke_reason_text));
    }
    said
}
