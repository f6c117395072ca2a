//! `TokenService/ListTokens`.

use std::collections::BTreeSet;
use std::time::Duration;

use token_authority::pb;

use crate::support::tokens::{
    at, change, id, list, mask, remove_member, service, ttl, update, wanted,
};
use crate::support::{Actor, Backend, TestServer, both_backends, refused, self_service};

both_backends!(
    each_token_is_on_exactly_one_page_newest_first,
    a_page_token_is_good_for_its_own_list_alone,
    a_page_size_is_coerced_and_never_negative,
    each_filter_alone_and_joined,
    a_whole_value_finds_its_token_and_is_not_told_again,
    names_are_found_whatever_the_case_and_literally,
    a_member_lists_its_own_alone,
    who_may_not_list_is_refused,
    all_that_is_wrong_with_a_list_is_said_at_once,
);

const TEST: &str = "of the test";
const BOTH: &str = "disabled and expired";

/// Asks for the tokens of the caller's tenant.
fn all() -> pb::ListTokensRequest {
    pb::ListTokensRequest {
        tenant_id: "active".into(),
        ..Default::default()
    }
}

/// Returns the names that are listed, sorted.
async fn names(actor: &Actor, request: pb::ListTokensRequest) -> Vec<String> {
    let page = list(actor, request).await.unwrap();
    let mut names: Vec<_> = page.tokens.into_iter().map(|token| token.name).collect();
    names.sort();
    names
}

async fn each_token_is_on_exactly_one_page_newest_first(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    t.tenant("globex", self_service()).await;
    // With the administrator's own, thirteen; five at each of the same instants.
    for instant in ["a", "b"] {
        t.advance(Duration::from_millis(1));
        for nth in 0..6 {
            acme.admin
                .issue(&format!("{instant}{nth}"), &["read"])
                .await;
        }
    }
    let whole = list(&acme.admin, all()).await.unwrap();
    assert_eq!(
        (whole.tokens.len(), whole.next_page_token.as_str()),
        (13, "")
    );
    let order = |token: &pb::Token| {
        let created = token.create_time.unwrap();
        (created.seconds, created.nanos, token.token_id.clone())
    };
    assert!(whole.tokens.is_sorted_by(|a, b| order(a) > order(b)));
    assert!(whole.tokens.iter().all(|token| token.tenant_id == "acme"));
    for page_size in [1, 4, 12, 13, 14] {
        let mut paged = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = pb::ListTokensRequest {
                page_size,
                page_token,
                ..all()
            };
            let page = list(&acme.admin, request).await.unwrap();
            assert!(page.tokens.len() <= usize::try_from(page_size).unwrap());
            // No empty page at the end: the last one says that it is.
            assert!(!page.tokens.is_empty());
            paged.extend(page.tokens);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        assert_eq!(paged, whole.tokens, "pages of {page_size}");
    }
    // What is created meanwhile is newer than any page to come.
    let first = pb::ListTokensRequest {
        page_size: 12,
        ..all()
    };
    let page = list(&acme.admin, first.clone()).await.unwrap();
    t.advance(Duration::from_millis(1));
    acme.admin.issue("new", &[]).await;
    let rest = pb::ListTokensRequest {
        page_token: page.next_page_token,
        ..first
    };
    let rest = list(&acme.admin, rest).await.unwrap();
    assert_eq!(rest.tokens, whole.tokens[12..]);
}

async fn a_page_token_is_good_for_its_own_list_alone(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let globex = t.tenant("globex", self_service()).await;
    for name in ["one", "two", "three"] {
        acme.admin.issue(name, &[]).await;
    }
    let first = pb::ListTokensRequest {
        page_size: 1,
        ..all()
    };
    let page_token = list(&acme.admin, first).await.unwrap().next_page_token;
    let next = pb::ListTokensRequest {
        page_token: page_token.clone(),
        ..all()
    };
    // Pages may change their size; the tenant may be named or meant.
    assert_eq!(
        list(&acme.admin, next.clone()).await.unwrap().tokens.len(),
        3
    );
    let by_name = pb::ListTokensRequest {
        tenant_id: "acme".into(),
        ..next.clone()
    };
    assert_eq!(list(&acme.admin, by_name).await.unwrap().tokens.len(), 3);

    let other = |edit: fn(&mut pb::ListTokensRequest)| {
        let mut request = next.clone();
        edit(&mut request);
        request
    };
    let mut wrong = vec![
        other(|request| request.kind = pb::TokenKind::Agent.into()),
        other(|request| request.state = pb::TokenState::Active.into()),
        other(|request| request.name_contains = "o".into()),
        other(|request| request.unused_since = Some(at(9))),
        other(|request| request.hint = "acme_00000000".into()),
        other(|request| request.expire_before = Some(at(0))),
        other(|request| request.show_revoked = true),
        other(|request| request.user_id = format!("usr_{}", "0".repeat(22))),
        other(|request| request.page_token = request.page_token[1..].into()),
        other(|request| request.page_token.push('A')),
        other(|request| request.page_token = "x".repeat(100_000)),
        other(|request| request.page_token = "5".into()),
    ];
    let mut flipped = page_token.into_bytes();
    flipped[12] = if flipped[12] == b'A' { b'B' } else { b'A' };
    wrong.push(pb::ListTokensRequest {
        page_token: String::from_utf8(flipped).unwrap(),
        ..next.clone()
    });
    let refusal = "InvalidArgument INVALID_PAGE_TOKEN\n  page_token: INVALID_PAGE_TOKEN";
    for request in wrong {
        assert_eq!(refused(list(&acme.admin, request).await), refusal);
    }
    // Another tenant's list is another list, also where both are meant by `active`.
    assert_eq!(refused(list(&globex.admin, next.clone()).await), refusal);
    let abroad = pb::ListTokensRequest {
        tenant_id: "globex".into(),
        ..next
    };
    assert_eq!(refused(list(&t.operator(), abroad).await), refusal);
}

async fn a_page_size_is_coerced_and_never_negative(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    for nth in 0..51 {
        acme.admin.issue(&format!("token {nth}"), &[]).await;
    }
    for (page_size, count) in [
        (0, 50),
        (1, 1),
        (51, 51),
        (1_000, 52),
        (1_001, 52),
        (i32::MAX, 52),
    ] {
        let request = pb::ListTokensRequest { page_size, ..all() };
        let page = list(&acme.admin, request).await.unwrap();
        assert_eq!(page.tokens.len(), count, "{page_size}");
        assert_eq!(page.next_page_token.is_empty(), count == 52);
    }
    for page_size in [-1, i32::MIN] {
        let request = pb::ListTokensRequest { page_size, ..all() };
        assert_eq!(
            refused(list(&acme.admin, request).await),
            "InvalidArgument OUT_OF_RANGE\n  page_size: OUT_OF_RANGE"
        );
    }
}

async fn each_filter_alone_and_joined(backend: Backend) {
    use pb::TokenKind::{Agent, Api, Service, Webhook};
    use pb::TokenState::{Active, Disabled, Expired, Revoked, Unspecified};
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let bob = t.member(&acme, "bob", &["read"]).await;
    let gone = t.member(&acme, "gone", &["read"]).await;
    let make = async |name: &str, kind: pb::TokenKind, seconds: i64| {
        let expiry = (seconds > 0).then(|| ttl(seconds)).flatten();
        let kind = kind.into();
        let request = pb::CreateTokenRequest {
            kind,
            expiry,
            ..wanted(name, &[])
        };
        id(&acme.admin.create(request).await)
    };
    make("brief", Api, 10).await;
    make("long", Api, 11).await;
    let revoked = make("revoked", Api, 10).await;
    let disabled = make("disabled", Api, 0).await;
    let both = make(BOTH, Api, 10).await;
    make("hook", Webhook, 0).await;
    make("run", Agent, 0).await;
    make("worker", Service, 0).await;
    for token_id in [&disabled, &both] {
        let off = pb::UpdateTokenRequest {
            disabled: true,
            update_mask: mask(&["disabled"]),
            ..change(token_id)
        };
        update(&acme.admin, off).await.unwrap();
    }
    acme.admin.revoke("acme", &revoked).await;
    remove_member(&acme.admin, "acme", &gone.user_id).await;
    t.advance(Duration::from_secs(10));

    let of = |edit: &dyn Fn(&mut pb::ListTokensRequest)| {
        let mut request = all();
        edit(&mut request);
        request
    };
    let kind = |kind: pb::TokenKind| of(&|request| request.kind = kind.into());
    let state = |state: pb::TokenState| of(&|request| request.state = state.into());
    let before = |seconds| of(&|request| request.expire_before = Some(at(seconds)));
    let bobs = of(&|request| request.user_id.clone_from(&bob.user_id));
    let shown = of(&|request| request.show_revoked = true);
    let joined = of(&|request| {
        request.user_id.clone_from(&acme.admin_id);
        request.state = Expired.into();
        request.name_contains = "DIS".into();
        request.expire_before = Some(at(11));
    });
    let none = of(&|request| {
        request.user_id.clone_from(&bob.user_id);
        request.state = Expired.into();
    });
    let revoked_brief = pb::ListTokensRequest {
        expire_before: Some(at(11)),
        ..state(Revoked)
    };
    let cases: Vec<(_, &[&str])> = vec![
        // API is the default; what is revoked is shown only on request.
        (all(), &["brief", "disabled", BOTH, "long", TEST, TEST]),
        (kind(Api), &["brief", "disabled", BOTH, "long", TEST, TEST]),
        (kind(Webhook), &["hook"]),
        (kind(Agent), &["run"]),
        (kind(Service), &["worker"]),
        (
            state(Unspecified),
            &["brief", "disabled", BOTH, "long", TEST, TEST],
        ),
        (state(Active), &["long", TEST, TEST]),
        (state(Disabled), &["disabled"]),
        (state(Expired), &["brief", BOTH]),
        (state(Revoked), &[TEST, "revoked"]),
        (
            shown,
            &[
                "brief", "disabled", BOTH, "long", TEST, TEST, TEST, "revoked",
            ],
        ),
        (bobs, &[TEST]),
        (before(10), &[]),
        (before(11), &["brief", BOTH]),
        (before(12), &["brief", BOTH, "long"]),
        (joined, &[BOTH]),
        (none, &[]),
        (revoked_brief, &["revoked"]),
    ];
    for (request, expected) in cases {
        let about = format!("{request:?}");
        let listed = list(&acme.admin, request.clone()).await.unwrap().tokens;
        let state = request.state();
        assert!(state == Unspecified || listed.iter().all(|token| token.state() == state));
        assert_eq!(names(&acme.admin, request).await, expected, "{about}");
    }
}

async fn a_whole_value_finds_its_token_and_is_not_told_again(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let created = acme.admin.issue("laptop", &[]).await;
    acme.admin.issue("desktop", &[]).await;
    let (value, token) = (&created.value, created.token.unwrap());
    let by_hint = |hint: &str| pb::ListTokensRequest {
        hint: hint.into(),
        ..all()
    };
    for hint in [
        token.hint.as_str(),
        value,
        &format!("Bearer {value}"),
        &format!("  {} ", token.hint),
        &value[..value.len() - 1],
    ] {
        let page = list(&acme.admin, by_hint(hint)).await.unwrap();
        assert_eq!(page.tokens.as_slice(), std::slice::from_ref(&token));
        let bytes = prost::Message::encode_to_vec(&page);
        let secret = &value.as_bytes()[value.len() - 49..][..8];
        assert!(!bytes.windows(8).any(|part| part == secret));
    }
    let part = &token.hint[..token.hint.len() - 1];
    for hint in [
        part,
        &token.hint[5..],
        &token.hint.to_uppercase(),
        "%",
        "acme__________",
    ] {
        assert_eq!(names(&acme.admin, by_hint(hint)).await, [""; 0], "{hint}");
    }
    assert_eq!(
        refused(list(&acme.admin, by_hint(&"x".repeat(257))).await),
        "InvalidArgument FIELD_TOO_LONG\n  hint: FIELD_TOO_LONG"
    );
    assert!(!t.logs.text().contains(value.as_str()));
}

async fn names_are_found_whatever_the_case_and_literally(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    for name in [
        "Laptop",
        "100% mine",
        "snake_case",
        "back\\slash",
        "ÄRGER",
        "o'clock; --",
    ] {
        acme.admin.issue(name, &[]).await;
    }
    for (part, expected) in [
        ("LAP", &["Laptop"][..]),
        ("ptop", &["Laptop"]),
        ("%", &["100% mine"]),
        ("_", &["snake_case"]),
        ("e_c", &["snake_case"]),
        ("eXc", &[]),
        ("\\", &["back\\slash"]),
        ("ärg", &["ÄRGER"]),
        ("'", &["o'clock; --"]),
        ("laptop ", &[]),
    ] {
        let request = pb::ListTokensRequest {
            name_contains: part.into(),
            ..all()
        };
        assert_eq!(names(&acme.admin, request).await, expected, "{part}");
    }
}

async fn a_member_lists_its_own_alone(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let scopes = ["authority:tokens.read", "authority:tokens.write"];
    let alice = t.member(&acme, "alice", &scopes).await;
    let bob = t.member(&acme, "bob", &scopes).await;
    alice.actor.issue("hers", &[]).await;
    bob.actor.issue("his", &[]).await;
    acme.admin.create(service("acme", "worker", &[])).await;
    let by_user = |user_id: &str| pb::ListTokensRequest {
        user_id: user_id.into(),
        ..all()
    };
    let of_kind = |kind: pb::TokenKind| pb::ListTokensRequest {
        kind: kind.into(),
        ..all()
    };
    assert_eq!(names(&alice.actor, all()).await, ["hers", "of the test"]);
    assert_eq!(
        names(&alice.actor, by_user(&alice.user_id)).await,
        ["hers", "of the test"]
    );
    assert_eq!(names(&alice.actor, by_user(&bob.user_id)).await, [""; 0]);
    assert_eq!(
        names(&alice.actor, of_kind(pb::TokenKind::Service)).await,
        [""; 0]
    );
    assert_eq!(
        names(&acme.admin, by_user(&bob.user_id)).await,
        ["his", "of the test"]
    );
    let owners: BTreeSet<_> = list(&acme.admin, all())
        .await
        .unwrap()
        .tokens
        .into_iter()
        .map(|token| token.user_id)
        .collect();
    assert_eq!(
        owners,
        BTreeSet::from([acme.admin_id, alice.user_id, bob.user_id])
    );
    let operators = pb::ListTokensRequest {
        tenant_id: "acme".into(),
        ..of_kind(pb::TokenKind::Service)
    };
    assert_eq!(names(&t.operator(), operators).await, ["worker"]);
}

async fn who_may_not_list_is_refused(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let closed = t.tenant("closed", pb::TenantPolicy::default()).await;
    let alice = t
        .member(&acme, "alice", &["write", "authority:tokens.write"])
        .await;
    let carl = t.member(&closed, "carl", &["authority:tokens.read"]).await;
    let server = t.resource_server().await;
    for actor in [&alice.actor, &carl.actor, &server] {
        assert_eq!(
            refused(list(actor, all()).await),
            "PermissionDenied PERMISSION_DENIED"
        );
    }
    assert_eq!(names(&closed.admin, all()).await, ["of the test"; 2]);
    for tenant_id in ["acme", "nowhere", "authority"] {
        let request = pb::ListTokensRequest {
            tenant_id: tenant_id.into(),
            ..all()
        };
        assert_eq!(
            refused(list(&closed.admin, request).await),
            "NotFound TENANT_NOT_FOUND"
        );
    }
    assert_eq!(
        refused(list(&t.nobody(), all()).await),
        "Unauthenticated CALLER_UNAUTHENTICATED"
    );
}

async fn all_that_is_wrong_with_a_list_is_said_at_once(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let request = pb::ListTokensRequest {
        tenant_id: "acme".into(),
        page_size: -1,
        page_token: "x".into(),
        user_id: "usr_0".into(),
        kind: 99,
        state: -1,
        name_contains: "x".repeat(101),
        hint: "x".repeat(257),
        expire_before: Some(prost_types::Timestamp {
            seconds: -1,
            nanos: 0,
        }),
        unused_since: Some(at(1 << 40)),
        show_revoked: true,
    };
    let expected = "InvalidArgument UNKNOWN_ENUM_VALUE
  kind: UNKNOWN_ENUM_VALUE
  page_size: OUT_OF_RANGE
  page_token: INVALID_PAGE_TOKEN
  state: UNKNOWN_ENUM_VALUE
  expire_before: INVALID_TIME
  unused_since: INVALID_TIME
  user_id: INVALID_USER_ID
  name_contains: FIELD_TOO_LONG
  hint: FIELD_TOO_LONG";
    assert_eq!(refused(list(&acme.admin, request).await), expected);
    let longest = pb::ListTokensRequest {
        name_contains: "ä".repeat(100),
        ..all()
    };
    assert_eq!(names(&acme.admin, longest).await, [""; 0]);
    for (tenant_id, refusal) in [("", "FIELD_REQUIRED"), ("-", "INVALID_TENANT_ID")] {
        let request = pb::ListTokensRequest {
            tenant_id: tenant_id.into(),
            ..all()
        };
        assert_eq!(
            refused(list(&acme.admin, request).await),
            format!("InvalidArgument {refusal}\n  tenant_id: {refusal}")
        );
    }
}
