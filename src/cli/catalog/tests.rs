//! Documents: read, written and compared.

use insta::assert_snapshot;
use proptest::prelude::*;

use super::difference::{Fate, compare, show};
use super::document::{Document, RULES, Rule};
use super::parse::{parse, place};
use super::render::render;
use crate::pb;

/// The products' documents, by their names.
const PRODUCTS: [(&str, &str); 3] = [
    ("odysseus", include_str!("../../../catalogs/odysseus.toml")),
    (
        "sk-platform",
        include_str!("../../../catalogs/sk-platform.toml"),
    ),
    (
        "openindex",
        include_str!("../../../catalogs/openindex.toml"),
    ),
];

fn read(text: &str) -> Document {
    parse(text).unwrap().0
}

/// Returns what is wrong with a document, a line for each problem.
fn problems(text: &str) -> String {
    let problems = parse(text).unwrap_err();
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

/// Returns what a document changes of another.
fn differences(before: &str, after: &str) -> String {
    let (before, after) = (read(before), read(after));
    let tenant = pb::Tenant {
        display_name: before.display_name.unwrap_or_default(),
        token_prefix: before.token_prefix.unwrap_or_default(),
        policy: Some(before.policy),
        ..Default::default()
    };
    show(&compare(&before.catalog, &tenant, &after), str::to_owned)
}

#[test]
fn the_products_documents_are_read_and_written_alike() {
    for (name, text) in PRODUCTS {
        let document = read(text);
        assert_eq!(document.tenant.as_deref(), Some(name));
        let written = render(&document);
        assert_eq!(read(&written), document, "{written}");
        assert_eq!(differences(&written, text), "");
    }
}

#[test]
fn all_that_is_wrong_is_said_with_its_line() {
    let text = r#"tenant = 7
colour = "red"

[policy]
token_management = "nobody"
expiry_required = "yes"
max_ttl = "90"
max_tokens_per_user = 2.5
unique = true

[[scope]]
name = "a"
implied = ["b"]
minimum_role = "owner"
forbidden_kinds = ["agent", "robot"]

[[scope]]
name = "b"
description = 3
implies = "a"

[[profile]]
name = "p"
scopes = ["nowhere"]
"#;
    assert_snapshot!(problems(text), @r#"
    line 1: must be a string, not integer
    line 2: no such key "colour": a document has tenant, display_name, token_prefix, policy, scope, profile
    line 5: "nobody" is none of admins-only, self-service
    line 6: must be true or false, not string
    line 7: "90": not a length such as 90d or 1h30m (time unit needed, for example 90sec or 90ms); "unset" says that there is none
    line 8: must be a whole number, not float
    line 9: no such key "unique": a policy has token_management, expiry_required, default_ttl, max_ttl, max_tokens_per_user, unique_names, tokens_may_not_mint, admins_act_for_admins, max_grace, self_rotation, retention, oidc_trust, admitted_trusts
    line 13: no such key "implied": a scope has name, description, implies, minimum_role, forbidden_kinds
    line 14: "owner" is none of member, admin
    line 15: "robot" is none of api, webhook, agent, service
    line 19: must be a string, not integer
    line 20: must be a list of strings, not string
    line 24: profile "p", scopes[0]: the tenant's catalog has no such scope
    "#);
}

#[test]
fn what_the_authority_would_refuse_is_said_with_its_line() {
    let text = r#"[policy]
default_ttl = "91d"
max_ttl = "90d"
max_grace = "31d"

[[scope]]
name = "a"
implies = [
    "b",
    "nowhere",
]

[[scope]]
name = "b"
implies = ["a"]

[[scope]]
description = "it has no name"

[[scope]]
name = "authority:introspect"

[[scope]]
name = "c"

[[scope]]
name = "c"

[[profile]]
name = "p"
scopes = []
"#;
    assert_snapshot!(problems(text), @r#"
    line 2: policy.default_ttl: the token would live longer than the tenant allows
    line 4: policy.max_grace: the value is outside its bounds
    line 8: scope "a", implies: the scope implies itself, over others or directly
    line 10: scope "a", implies[1]: the tenant's catalog has no such scope
    line 15: scope "b", implies: the scope implies itself, over others or directly
    line 17: scope "", name: a scope has 1 to 64 of A-Z, a-z, 0-9, _, ., : and -
    line 21: scope "authority:introspect", name: names that begin with authority: are reserved, and may be implied only as the catalog's rules say
    line 27: scope "c", name: the name stands twice
    line 31: profile "p", scopes: the field must be given
    "#);
}

#[test]
fn what_is_no_toml_is_said_with_each_line() {
    let text = "[[scope]\nname = \"a\"\n\n[[scope]]\nname = \n";
    assert_snapshot!(problems(text), @"
    line 1: unclosed array table, expected `]`
    line 5: string values must be quoted, expected literal string
    ");
}

#[test]
fn a_list_that_is_none_is_said() {
    assert_snapshot!(problems("scope = 1\nprofile = [1]\npolicy = []\n"), @"
    line 1: must be a list of tables: [[scope]], not integer
    line 2: must be a table: [[profile]], not integer
    line 3: must be a table: [policy], not array
    ");
}

#[test]
fn words_are_understood_as_the_protocol_spells_them() {
    let text = "[policy]\ntoken_management = 'SELF_SERVICE'\n[[scope]]\nname = 'a'\nminimum_role = 'ADMIN'\n";
    let document = read(text);
    let management = document.policy.token_management();
    assert_eq!(management, pb::TokenManagement::SelfService);
    assert_eq!(document.catalog.scopes[0].minimum_role(), pb::Role::Admin);
}

#[test]
fn a_difference_shows_what_is_added_removed_and_changed() {
    let before = r#"
display_name = "Before"
[policy]
max_ttl = "90d"
unique_names = true
[[scope]]
name = "same"
implies = ["gone", "other"]
[[scope]]
name = "other"
description = "Was this"
minimum_role = "admin"
forbidden_kinds = ["agent", "api"]
[[scope]]
name = "gone"
description = "Is not missed"
[[profile]]
name = "p"
scopes = ["same", "gone"]
"#;
    let after = r#"
display_name = "After"
[policy]
max_ttl = "unset"
expiry_required = false
max_grace = "0s"
[[scope]]
name = "same"
implies = ["other"]
[[scope]]
name = "other"
description = "Is that"
forbidden_kinds = ["api", "agent"]
[[scope]]
name = "new"
description = "Comes along"
[[profile]]
name = "p"
scopes = ["same"]
[[profile]]
name = "q"
scopes = ["new"]
"#;
    assert_snapshot!(differences(before, after), @"
    ~ tenant display_name: Before -> After
    ~ policy max_ttl: 90d -> unset
    ~ policy max_grace: unset -> 0s
    - scope gone
    + scope new
        description: Comes along
    ~ scope other
        description: Was this -> Is that
        minimum_role: admin -> member
    ~ scope same
        implies: -gone
    ~ profile p
        scopes: -gone
    + profile q
        scopes: new
    ");
    assert_eq!(differences(after, after), "");
}

#[test]
fn an_update_names_what_changes_alone() {
    let document = read("display_name = 'Same'\n[policy]\nmax_ttl = '1d'\nretention = '2d'\n");
    let tenant = pb::Tenant {
        display_name: "Same".into(),
        token_prefix: "same_".into(),
        policy: Some(pb::TenantPolicy {
            max_ttl: document.policy.max_ttl,
            unique_names: true,
            ..Default::default()
        }),
        ..Default::default()
    };
    let differences = compare(&pb::Catalog::default(), &tenant, &document);
    assert!(differences.catalog.is_empty());
    let request = differences.update(&document);
    assert_eq!(request.update_mask.unwrap().paths, ["policy.retention"]);
    assert_eq!(differences.tenant[0].fate, Fate::Changed);
}

#[test]
fn a_field_of_a_request_is_named_as_a_reader_knows_it() {
    let catalog = read("[[scope]]\nname = 'a'\n[[profile]]\nname = 'p'\nscopes = ['a']\n").catalog;
    for (field, expected) in [
        ("catalog.scopes[0].implies[2]", r#"scope "a", implies[2]"#),
        ("catalog.scopes[0]", r#"scope "a""#),
        ("catalog.scopes[todos:read]", r#"scope "todos:read""#),
        ("catalog.profiles[0].scopes", r#"profile "p", scopes"#),
        ("catalog.scopes[9].name", "catalog.scopes[9].name"),
        ("policy.max_ttl", "policy.max_ttl"),
        ("etag", "etag"),
    ] {
        assert_eq!(place(field, &catalog), expected);
    }
}

/// Returns a trust that the authority would take, with what the number says.
fn trust(number: i64) -> pb::OidcTrust {
    let has = |bit: u32| number & (1 << bit) != 0;
    let text = |bit: u32, text: &str| {
        if has(bit) {
            text.to_owned()
        } else {
            String::new()
        }
    };
    let mut trust = pb::OidcTrust {
        issuer: String::from("https://id.example/\"a\\b\""),
        audience: String::from("account"),
        jwks_url: String::from("https://id.example/keys?a={b}"),
        user_claim: text(0, "email"),
        name_claim: text(1, "name"),
        provision_members: has(2),
        ..Default::default()
    };
    if has(3) {
        let claims = [("typ", "Bearer"), ("/a.b/\"c\"", "{ d }")];
        trust.required_claims = claims
            .map(|(name, value)| (name.into(), value.into()))
            .into();
    }
    if has(4) {
        trust.admin_claim = String::from("/groups");
        trust.admin_values = vec![String::from("admins"), String::from("a, b")];
    }
    if has(5) {
        trust.set_provision_role(pb::Role::Admin);
    }
    trust
}

/// Returns any rules, as far as they are said.
fn policies() -> impl Strategy<Value = Document> {
    let rule = (any::<bool>(), 0i64..86_400, any::<bool>());
    proptest::collection::vec(rule, RULES.len()).prop_map(|given| {
        let mut document = Document::default();
        for ((name, rule), (said, number, truth)) in RULES.into_iter().zip(given) {
            if !said {
                continue;
            }
            document.rules.insert(name);
            let policy = &mut document.policy;
            // Bounds are the authority's: within them all, whatever the rule.
            let seconds = if name == "retention" {
                number + 86_400
            } else {
                number + 1
            };
            match rule {
                Rule::Management if truth => {
                    policy.set_token_management(pb::TokenManagement::SelfService);
                }
                Rule::Management => policy.set_token_management(pb::TokenManagement::AdminsOnly),
                Rule::Truth(field) => *field(policy) = truth,
                Rule::Number(field) => *field(policy) = number.try_into().unwrap(),
                Rule::Length(field) => {
                    let length = prost_types::Duration { seconds, nanos: 0 };
                    *field(policy) = truth.then_some(length);
                }
                Rule::Trust => policy.oidc_trust = truth.then(|| trust(number)),
                Rule::Names(field) => {
                    let names = (0..number % 4).map(|name| format!("trust-{name}"));
                    *field(policy) = names.collect();
                }
            }
        }
        // A default beyond the maximum is refused.
        if document.policy.max_ttl.is_some() {
            document.policy.default_ttl = None;
        }
        document
    })
}

/// Returns any document that the authority would take.
fn documents() -> impl Strategy<Value = Document> {
    let text = "[^\\p{Cc}]{0,20}([\n\t\r\"\\\\'][^\\p{Cc}]{0,9}){0,3}";
    let line = proptest::option::of("[^\\p{Cc}]{0,20}");
    let scope = (
        text,
        proptest::collection::btree_set(0usize..8, 0..4),
        any::<bool>(),
        proptest::collection::btree_set(1i32..5, 0..3),
    );
    let scopes = proptest::collection::vec(scope, 0..8);
    let profiles = proptest::collection::vec((text, 0usize..8), 0..3);
    (policies(), line.clone(), line, scopes, profiles).prop_map(
        |(mut document, tenant, display_name, scopes, profiles)| {
            let count = scopes.len();
            document.tenant = tenant;
            document.display_name = display_name;
            document.catalog.scopes = scopes
                .into_iter()
                .enumerate()
                .map(|(at, (description, implies, admin, kinds))| pb::Scope {
                    name: format!("s{at}:A._-"),
                    description,
                    // From the lower to the higher alone: never a cycle.
                    implies: implies
                        .into_iter()
                        .filter(|other| at < *other && *other < count)
                        .map(|other| format!("s{other}:A._-"))
                        .collect(),
                    minimum_role: if admin { pb::Role::Admin.into() } else { 0 },
                    forbidden_kinds: kinds.into_iter().collect(),
                })
                .collect();
            document.catalog.profiles = profiles
                .into_iter()
                .enumerate()
                .filter(|(_, (_, scope))| *scope < count)
                .map(|(at, (description, scope))| pb::Profile {
                    name: format!("p{at}"),
                    description,
                    scopes: vec![format!("s{scope}:A._-")],
                })
                .collect();
            document
        },
    )
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(document in documents()) {
        let written = render(&document);
        let read = parse(&written);
        prop_assert!(read.is_ok(), "{:?}\n{written}", read.unwrap_err());
        prop_assert_eq!(read.unwrap().0, document, "{}", written);
    }

    #[test]
    fn anything_at_all_is_read_or_refused(text in "\\PC*|[\\[\\]a-z\"=\n.0-9 ]*") {
        if let Err(problems) = parse(&text) {
            prop_assert!(!problems.is_empty());
        }
    }
}
