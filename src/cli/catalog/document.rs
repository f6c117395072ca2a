//! The document of a tenant: its catalog and, as far as it names them, its name, its
//! prefix and its rules. Read and written as TOML by the files beside this one.

use std::collections::{BTreeMap, BTreeSet};

use super::render::list;
use super::trust;
use crate::cli::moments;
use crate::pb;

/// What a document says of a tenant. Its catalog is said as a whole; of the rest, what
/// it does not name is not meant.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::cli) struct Document {
    /// The tenant's id.
    pub(in crate::cli) tenant: Option<String>,
    /// Its name for people.
    pub(in crate::cli) display_name: Option<String>,
    /// What its values begin with.
    pub(in crate::cli) token_prefix: Option<String>,
    /// Its rules, as far as `rules` names them.
    pub(in crate::cli) policy: pb::TenantPolicy,
    /// The names of the rules that are said.
    pub(in crate::cli) rules: BTreeSet<&'static str>,
    /// Its scopes and profiles.
    pub(in crate::cli) catalog: pb::Catalog,
}

/// Which line each field of a request is from, by the field's path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::cli) struct Lines(BTreeMap<String, usize>);

impl Lines {
    /// Notes where a field stands.
    pub(super) fn note(&mut self, field: impl Into<String>, line: usize) {
        self.0.insert(field.into(), line);
    }

    /// Returns where a field stands, or what it is a part of.
    pub(in crate::cli) fn find(&self, field: &str) -> Option<usize> {
        let mut path = field;
        loop {
            if let Some(line) = self.0.get(path) {
                return Some(*line);
            }
            path = path.get(..path.rfind(['.', '['])?)?;
        }
    }
}

/// What stands where there is none: a rule that is said to be absent.
pub(super) const UNSET: &str = "unset";

/// A rule of a policy.
#[derive(Clone, Copy)]
pub(super) enum Rule {
    /// Who manages tokens.
    Management,
    /// Yes or no.
    Truth(fn(&mut pb::TenantPolicy) -> &mut bool),
    /// A number.
    Number(fn(&mut pb::TenantPolicy) -> &mut i32),
    /// A length of time, or none.
    Length(fn(&mut pb::TenantPolicy) -> &mut Option<prost_types::Duration>),
    /// The trust in an OIDC provider, or none.
    Trust,
    /// Names.
    Names(fn(&mut pb::TenantPolicy) -> &mut Vec<String>),
}

/// The rules of a policy, in the order in which they are written.
pub(super) const RULES: [(&str, Rule); 13] = [
    ("token_management", Rule::Management),
    ("expiry_required", Rule::Truth(|p| &mut p.expiry_required)),
    ("default_ttl", Rule::Length(|p| &mut p.default_ttl)),
    ("max_ttl", Rule::Length(|p| &mut p.max_ttl)),
    (
        "max_tokens_per_user",
        Rule::Number(|p| &mut p.max_tokens_per_user),
    ),
    ("unique_names", Rule::Truth(|p| &mut p.unique_names)),
    (
        "tokens_may_not_mint",
        Rule::Truth(|p| &mut p.tokens_may_not_mint),
    ),
    (
        "admins_act_for_admins",
        Rule::Truth(|p| &mut p.admins_act_for_admins),
    ),
    ("max_grace", Rule::Length(|p| &mut p.max_grace)),
    ("self_rotation", Rule::Truth(|p| &mut p.self_rotation)),
    ("retention", Rule::Length(|p| &mut p.retention)),
    ("oidc_trust", Rule::Trust),
    ("admitted_trusts", Rule::Names(|p| &mut p.admitted_trusts)),
];

/// Returns each rule of a policy and what it is, as a document says it.
pub(in crate::cli) fn rules(policy: &pb::TenantPolicy) -> Vec<(&'static str, String)> {
    // The rules are read through the same paths that set them.
    let mut policy = policy.clone();
    RULES
        .into_iter()
        .map(|(name, rule)| {
            let said = match rule {
                Rule::Management => word(&MANAGEMENTS, &policy.token_management()).to_owned(),
                Rule::Truth(field) => field(&mut policy).to_string(),
                Rule::Number(field) => field(&mut policy).to_string(),
                Rule::Length(field) => field(&mut policy)
                    .as_ref()
                    .map_or_else(|| UNSET.to_owned(), moments::written),
                Rule::Trust => policy
                    .oidc_trust
                    .as_ref()
                    .map_or_else(|| UNSET.to_owned(), trust::said),
                Rule::Names(field) => {
                    // Their order says nothing.
                    field(&mut policy).sort_unstable();
                    list(field(&mut policy))
                }
            };
            (name, said)
        })
        .collect()
}

/// The words for who manages tokens.
pub(super) const MANAGEMENTS: [(&str, pb::TokenManagement); 2] = [
    ("admins-only", pb::TokenManagement::AdminsOnly),
    ("self-service", pb::TokenManagement::SelfService),
];
/// The words for what a user is in a tenant.
pub(super) const ROLES: [(&str, pb::Role); 2] =
    [("member", pb::Role::Member), ("admin", pb::Role::Admin)];
/// The words for what a token is for.
pub(super) const KINDS: [(&str, pb::TokenKind); 4] = [
    ("api", pb::TokenKind::Api),
    ("webhook", pb::TokenKind::Webhook),
    ("agent", pb::TokenKind::Agent),
    ("service", pb::TokenKind::Service),
];

/// Returns the word for what is meant; where nothing is said, that is the first.
pub(super) fn word<T: PartialEq>(words: &[(&'static str, T)], meant: &T) -> &'static str {
    let found = words.iter().find(|(_, word)| word == meant);
    found.or(words.first()).map_or("", |(word, _)| word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rpc::convert::inward::POLICY_FIELDS;

    #[test]
    fn a_document_can_say_every_rule_of_a_policy() {
        let rules: Vec<String> = RULES
            .iter()
            .map(|(name, _)| format!("policy.{name}"))
            .collect();
        let mut fields = POLICY_FIELDS.to_vec();
        let mut sorted = rules.clone();
        sorted.sort_unstable();
        fields.sort_unstable();
        assert_eq!(sorted, fields);
    }

    #[test]
    fn a_field_without_a_line_is_of_what_it_is_a_part() {
        let mut lines = Lines::default();
        lines.note("catalog.scopes[1]", 7);
        lines.note("catalog.scopes[1].implies", 9);
        assert_eq!(lines.find("catalog.scopes[1].implies[3]"), Some(9));
        assert_eq!(lines.find("catalog.scopes[1].name"), Some(7));
        assert_eq!(lines.find("catalog.scopes[10].name"), None);
        assert_eq!(lines.find("request_id"), None);
    }
}
