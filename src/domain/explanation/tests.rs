//! Tests of explanations.

use proptest::prelude::*;

use super::*;
use crate::domain::catalog::{Profile, Scope};
use crate::domain::change::{ChangeNumber, Version};
use crate::domain::principal::Role;
use crate::domain::text::Labels;
use crate::domain::time::Timestamp;
use crate::domain::token::{Kind, Owner};

fn set(names: &[&str]) -> ScopeSet {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

fn token(kind: Kind, role: Role, scopes: ScopeSet) -> Token {
    let at = Timestamp::from_millis(0).unwrap();
    Token {
        token_id: uuid::Uuid::from_u128(1).into(),
        tenant_id: "tenant".parse().unwrap(),
        owner: (kind != Kind::Service).then(|| Owner {
            user_id: uuid::Uuid::from_u128(2).into(),
            external_id: String::new(),
            role: Some(role),
            suspended: false,
            deleted: false,
        }),
        kind,
        name: String::new(),
        hint: String::new(),
        scopes,
        profile: "editor".into(),
        agent_id: String::new(),
        labels: Labels::new(),
        created_by: None,
        version: Version(1),
        created_number: ChangeNumber(1),
        created_at: at,
        updated_at: at,
        expires_at: None,
        disabled_at: None,
        revocation: None,
        last_use: None,
        rotated_at: None,
        previous: Vec::new(),
    }
}

/// Returns a catalog of these scopes and what each implies; `editor` has `write`.
fn catalog(scopes: &[(&str, &[&str])]) -> Catalog {
    let names = |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect();
    let scopes = scopes.iter().map(|(name, implies)| {
        let scope = Scope {
            description: String::new(),
            implies: names(implies),
            admins_only: name.starts_with("admin"),
            forbidden_kinds: if name.ends_with("human") {
                [Kind::Agent].into()
            } else {
                [].into()
            },
        };
        (name.parse().unwrap(), scope)
    });
    let editor = Profile {
        description: String::new(),
        scopes: names(&["write"]),
    };
    Catalog {
        scopes: scopes.collect(),
        profiles: [("editor".parse().unwrap(), editor)].into(),
    }
}

fn explain(token: &Token, catalog: &Catalog, required: &ScopeSet) -> Vec<Explained> {
    let mut explanation = Explanation::of(token, catalog);
    for granted in &token.scopes {
        explanation.add_granted(granted);
    }
    explanation.add_required(required);
    explanation.finish()
}

/// Renders an explanation, a line for each scope.
fn told(explained: &[Explained]) -> Vec<String> {
    let lines = explained.iter().map(|scope| {
        let Explained {
            name,
            granted,
            in_profile,
            implied_by,
            withheld,
        } = scope;
        let granted = if *granted { " granted" } else { "" };
        let profile = if *in_profile { " profile" } else { "" };
        let by = if implied_by.is_empty() {
            String::new()
        } else {
            format!(" by {implied_by:?}")
        };
        let withheld = withheld.map_or(String::new(), |why| format!(": {why:?}"));
        format!("{name:?}{granted}{profile}{by}{withheld}")
    });
    lines.collect()
}

#[test]
fn each_scope_says_where_it_comes_from_and_what_withholds_it() {
    let catalog = catalog(&[
        ("admin", &["write"]),
        ("human", &[]),
        ("read", &[]),
        ("share", &["read", "human"]),
        ("write", &["read"]),
    ]);
    let granted = set(&["admin", "gone", "share", "write"]);
    let agent = token(Kind::Agent, Role::Member, granted.clone());
    let required = set(&["read", "typo", "human", "authority:introspect"]);
    assert_eq!(
        told(&explain(&agent, &catalog, &required)),
        [
            "admin granted: Unfit(ForbiddenForKind)",
            "authority:introspect: NotGranted",
            "gone granted: Unfit(NotInCatalog)",
            "human by [share]: Unfit(ForbiddenForKind)",
            "read by [admin, share, write]",
            // An agent has nothing of what implies what it may not have.
            "share granted: Unfit(ForbiddenForKind)",
            "typo: Unfit(NotInCatalog)",
            "write granted profile by [admin]",
        ]
    );
    let api = token(Kind::Api, Role::Member, granted);
    assert_eq!(
        told(&explain(&api, &catalog, &set(&[]))),
        [
            "admin granted: Unfit(NeedsAdminRole)",
            "gone granted: Unfit(NotInCatalog)",
            "human by [share]",
            "read by [admin, share, write]",
            "share granted",
            "write granted profile by [admin]",
        ]
    );
}

#[test]
fn what_a_token_could_hold_and_was_not_granted_is_told_so() {
    let catalog = catalog(&[("admin", &[]), ("read", &[])]);
    let token = token(Kind::Api, Role::Member, set(&[]));
    assert_eq!(
        told(&explain(&token, &catalog, &set(&["admin", "read"]))),
        ["admin: NotGranted", "read: NotGranted"]
    );
}

#[test]
fn no_more_origins_are_named_than_the_bound() {
    let names: Vec<String> = (0..20).map(|n| format!("s{n:02}")).collect();
    let scopes: Vec<(&str, &[&str])> = names
        .iter()
        .map(|name| (name.as_str(), &["read"][..]))
        .chain([("read", &[][..])])
        .collect();
    let catalog = catalog(&scopes);
    let granted = names.iter().map(|name| name.parse().unwrap()).collect();
    let explained = explain(
        &token(Kind::Api, Role::Member, granted),
        &catalog,
        &set(&[]),
    );
    let read = explained.iter().find(|scope| scope.name.as_str() == "read");
    assert_eq!(read.unwrap().implied_by.len(), bounds::ORIGINS);
}

proptest! {
    #[test]
    fn what_is_not_withheld_is_what_is_effective(
        edges in proptest::collection::vec((0usize..10, 0usize..10), 0..25),
        granted in proptest::collection::btree_set(0usize..12, 0..8),
        required in proptest::collection::btree_set(0usize..12, 0..8),
        kind in proptest::sample::select(Kind::ALL),
        admin: bool,
    ) {
        // 10 and 11 are not in the catalog; each third is for administrators, and each
        // fourth not for agents.
        let name = |n: usize| match (n % 3, n % 4) {
            (0, 0) => format!("admin{n}human"),
            (0, _) => format!("admin{n}"),
            (_, 0) => format!("s{n}human"),
            _ => format!("s{n}"),
        };
        let names: Vec<String> = (0..12).map(name).collect();
        let implied: Vec<Vec<&str>> = (0..10)
            .map(|from| {
                edges
                    .iter()
                    .filter(|(a, b)| *a == from && a < b)
                    .map(|(_, b)| names[*b].as_str())
                    .collect()
            })
            .collect();
        let scopes: Vec<(&str, &[&str])> = (0..10)
            .map(|n| (names[n].as_str(), implied[n].as_slice()))
            .collect();
        let catalog = catalog(&scopes);
        let pick = |numbers: &std::collections::BTreeSet<usize>| -> ScopeSet {
            numbers.iter().map(|n| names[*n].parse().unwrap()).collect()
        };
        let (granted, required) = (pick(&granted), pick(&required));
        let role = if admin { Role::Admin } else { Role::Member };
        let token = token(kind, role, granted.clone());
        let explained = explain(&token, &catalog, &required);
        let effective: ScopeSet = explained
            .iter()
            .filter(|scope| scope.withheld.is_none())
            .map(|scope| scope.name.clone())
            .collect();
        prop_assert_eq!(effective, catalog.effective(&granted, holder(&token)));
        let said: ScopeSet = explained.iter().map(|scope| scope.name.clone()).collect();
        let meant: ScopeSet = catalog.closure(&granted).iter().chain(&required).cloned().collect();
        prop_assert_eq!(said, meant);
        prop_assert!(explained.is_sorted_by(|a, b| a.name < b.name));
        for scope in &explained {
            prop_assert_eq!(scope.granted, granted.contains(&scope.name));
        }
    }
}
