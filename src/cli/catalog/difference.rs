//! What a document would change of a tenant.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::document::{Document, ROLES, rules, word};
use super::render::kinds;
use crate::pb;

/// What becomes of a thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Fate {
    /// It is new.
    Added,
    /// It is no more.
    Removed,
    /// It is otherwise.
    Changed,
}

impl Fate {
    /// Returns its sign.
    pub(in crate::cli) fn sign(self) -> char {
        match self {
            Self::Added => '+',
            Self::Removed => '-',
            Self::Changed => '~',
        }
    }

    /// Returns its word, for programs.
    pub(in crate::cli) fn word(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Changed => "changed",
        }
    }
}

/// One thing that is added, removed or changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Difference {
    /// What becomes of it.
    pub(in crate::cli) fate: Fate,
    /// What it is: `scope`, `profile`, `policy` or `tenant`.
    pub(in crate::cli) noun: &'static str,
    /// Its name.
    pub(in crate::cli) name: String,
    /// Its fields: what they were, and what they are to be.
    pub(in crate::cli) fields: Vec<Field>,
}

/// What becomes of a field; empty is nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Field {
    /// Its name.
    pub(in crate::cli) name: &'static str,
    /// What it was.
    pub(in crate::cli) before: String,
    /// What it is to be.
    pub(in crate::cli) after: String,
}

/// All that a document would change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::cli) struct Differences {
    /// Of the catalog.
    pub(in crate::cli) catalog: Vec<Difference>,
    /// Of the tenant itself: its names and its rules.
    pub(in crate::cli) tenant: Vec<Difference>,
}

impl Differences {
    /// Returns whether there is none.
    pub(in crate::cli) fn is_empty(&self) -> bool {
        self.catalog.is_empty() && self.tenant.is_empty()
    }

    /// Returns each, the tenant's first.
    pub(in crate::cli) fn iter(&self) -> impl Iterator<Item = &Difference> {
        self.tenant.iter().chain(&self.catalog)
    }

    /// Returns the update that makes the tenant as the document says: of what is to
    /// change alone, so that what others changed meanwhile stays.
    pub(in crate::cli) fn update(&self, document: &Document) -> pb::UpdateTenantRequest {
        let paths = self.tenant.iter().map(|difference| {
            if difference.noun == "policy" {
                format!("policy.{}", difference.name)
            } else {
                difference.name.clone()
            }
        });
        pb::UpdateTenantRequest {
            update_mask: Some(prost_types::FieldMask {
                paths: paths.collect(),
            }),
            display_name: document.display_name.clone().unwrap_or_default(),
            token_prefix: document.token_prefix.clone().unwrap_or_default(),
            policy: Some(document.policy.clone()),
            ..Default::default()
        }
    }
}

/// Returns what a document would change.
pub(in crate::cli) fn compare(
    catalog: &pb::Catalog,
    tenant: &pb::Tenant,
    document: &Document,
) -> Differences {
    Differences {
        catalog: [
            things("scope", &scopes(catalog), &scopes(&document.catalog)),
            things("profile", &profiles(catalog), &profiles(&document.catalog)),
        ]
        .concat(),
        tenant: of_tenant(tenant, document),
    }
}

/// A thing's fields, by their names; texts are said as they are, lists in order.
type Fields = BTreeMap<&'static str, String>;

fn scopes(catalog: &pb::Catalog) -> BTreeMap<&str, Fields> {
    let scopes = catalog.scopes.iter().map(|scope| {
        // What is not said means member.
        let role = word(&ROLES, &scope.minimum_role());
        let fields = [
            ("description", scope.description.clone()),
            ("implies", listed(&scope.implies)),
            ("minimum_role", role.to_owned()),
            ("forbidden_kinds", listed(&kinds(scope))),
        ];
        (scope.name.as_str(), Fields::from(fields))
    });
    scopes.collect()
}

fn profiles(catalog: &pb::Catalog) -> BTreeMap<&str, Fields> {
    let profiles = catalog.profiles.iter().map(|profile| {
        let fields = [
            ("description", profile.description.clone()),
            ("scopes", listed(&profile.scopes)),
        ];
        (profile.name.as_str(), Fields::from(fields))
    });
    profiles.collect()
}

/// Returns a list as text, in the one order that all spellings of it have.
fn listed(items: &[String]) -> String {
    let items: BTreeSet<&str> = items.iter().map(String::as_str).collect();
    items.into_iter().collect::<Vec<_>>().join(", ")
}

fn things(
    noun: &'static str,
    before: &BTreeMap<&str, Fields>,
    after: &BTreeMap<&str, Fields>,
) -> Vec<Difference> {
    let names: BTreeSet<&str> = before.keys().chain(after.keys()).copied().collect();
    // What a thing is of which nothing is said.
    let mut none = Fields::new();
    if noun == "scope" {
        let member = word(&ROLES, &pb::Role::Member);
        none.insert("minimum_role", member.to_owned());
    }
    let mut found = Vec::new();
    for name in names {
        let fate = match (before.get(name), after.get(name)) {
            (None, _) => Fate::Added,
            (_, None) => Fate::Removed,
            (Some(before), Some(after)) if before != after => Fate::Changed,
            (Some(_), Some(_)) => continue,
        };
        let (before, after) = (before.get(name), after.get(name));
        let (before, after) = (before.unwrap_or(&none), after.unwrap_or(&none));
        let keys: BTreeSet<&'static str> = before.keys().chain(after.keys()).copied().collect();
        let said = |fields: &Fields, key| fields.get(key).cloned().unwrap_or_default();
        let fields = keys.into_iter().map(|key| Field {
            name: key,
            before: said(before, key),
            after: said(after, key),
        });
        found.push(Difference {
            fate,
            noun,
            name: name.to_owned(),
            fields: fields.filter(|field| field.before != field.after).collect(),
        });
    }
    found
}

fn of_tenant(tenant: &pb::Tenant, document: &Document) -> Vec<Difference> {
    let mut found = Vec::new();
    let mut compare = |noun, name: &'static str, before: &str, after: &str| {
        if before != after {
            found.push(Difference {
                fate: Fate::Changed,
                noun,
                name: name.to_owned(),
                fields: vec![Field {
                    name,
                    before: before.to_owned(),
                    after: after.to_owned(),
                }],
            });
        }
    };
    for (name, before, after) in [
        ("display_name", &tenant.display_name, &document.display_name),
        ("token_prefix", &tenant.token_prefix, &document.token_prefix),
    ] {
        if let Some(after) = after {
            compare("tenant", name, before, after);
        }
    }
    let present = rules(
        tenant
            .policy
            .as_ref()
            .unwrap_or(&pb::TenantPolicy::default()),
    );
    for ((name, before), (_, after)) in present.iter().zip(rules(&document.policy)) {
        if document.rules.contains(name) {
            compare("policy", name, before, &after);
        }
    }
    found
}

/// The fields that are lists.
const LISTS: [&str; 3] = ["implies", "forbidden_kinds", "scopes"];

/// Returns what comes to a list and what goes.
fn items(field: &Field) -> String {
    let split = |list: &str| -> BTreeSet<String> {
        let items = list.split(", ").filter(|item| !item.is_empty());
        items.map(str::to_owned).collect()
    };
    let (before, after) = (split(&field.before), split(&field.after));
    let added = after.difference(&before).map(|item| format!("+{item}"));
    let removed = before.difference(&after).map(|item| format!("-{item}"));
    added.chain(removed).collect::<Vec<_>>().join(" ")
}

/// Returns the differences for people: a line for each, and one for each of its fields.
pub(in crate::cli) fn show(differences: &Differences, escape: impl Fn(&str) -> String) -> String {
    let mut text = String::new();
    for difference in differences.iter() {
        let Difference {
            fate, noun, name, ..
        } = difference;
        let sign = fate.sign();
        // Writing to a text does not fail.
        if let ("tenant" | "policy", [field]) = (*noun, difference.fields.as_slice()) {
            let (before, after) = (escape(&field.before), escape(&field.after));
            let _ = writeln!(text, "{sign} {noun} {name}: {before} -> {after}");
            continue;
        }
        let _ = writeln!(text, "{sign} {noun} {}", escape(name));
        if *fate == Fate::Removed {
            continue;
        }
        for field in &difference.fields {
            if *fate == Fate::Changed && LISTS.contains(&field.name) {
                let _ = writeln!(text, "    {}: {}", field.name, escape(&items(field)));
                continue;
            }
            let (before, after) = (escape(&field.before), escape(&field.after));
            let _ = match (before.is_empty(), after.is_empty()) {
                (true, _) => writeln!(text, "    {}: {after}", field.name),
                (false, true) => writeln!(text, "    {}: {before} -> (none)", field.name),
                (false, false) => writeln!(text, "    {}: {before} -> {after}", field.name),
            };
        }
    }
    text
}
