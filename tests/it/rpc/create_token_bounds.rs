//! `TokenService/CreateToken`: bounds, expiry, names and limits.

use std::time::Duration;

use prost_types::Timestamp;
use token_authority::pb;
use token_authority::pb::create_token_request::Expiry;
use tonic_types::StatusExt as _;

use crate::support::tokens::{
    START, at, change, id, service, set_policy, strings, ttl, update, wanted,
};
use crate::support::{Backend, TestServer, both_backends, refusal, refused, self_service};

both_backends!(
    each_field_has_its_bound,
    all_that_is_wrong_is_said_at_once,
    an_end_is_an_instant_or_a_time_to_live,
    the_policy_decides_over_the_end,
    a_name_is_unique_for_its_user_and_kind_where_the_tenant_says_so,
    a_user_has_no_more_tokens_than_the_tenant_allows,
);

/// A change of a request that is right.
type Edit = Box<dyn Fn(&mut pb::CreateTokenRequest)>;

/// Changes what a function changes.
fn edit(edit: impl Fn(&mut pb::CreateTokenRequest) + 'static) -> Edit {
    Box::new(edit)
}

/// Gives one label.
fn label(key: &str, value: &str) -> Edit {
    let (key, value) = (key.to_owned(), value.to_owned());
    edit(move |request| request.labels = [(key.clone(), value.clone())].into())
}

/// Gives a name.
fn name(name: &str) -> Edit {
    let name = name.to_owned();
    edit(move |request| request.name.clone_from(&name))
}

/// Gives so many labels.
fn labels(count: i32) -> Edit {
    edit(move |request| {
        request.labels = (0..count).map(|n| (n.to_string(), String::new())).collect();
    })
}

/// Makes it an agent's.
fn agent(agent_id: &str) -> Edit {
    let agent_id = agent_id.to_owned();
    edit(move |request| {
        request.kind = pb::TokenKind::Agent.into();
        request.agent_id.clone_from(&agent_id);
    })
}

async fn each_field_has_its_bound(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let cases: Vec<(Edit, &str)> = vec![
        (name(&"ä".repeat(100)), ""),
        (name("Ünï 🦀 'quoted'; --"), ""),
        (name(&"ä".repeat(101)), "name: FIELD_TOO_LONG"),
        (name(""), "name: INVALID_NAME"),
        (name(" \u{a0}"), "name: INVALID_NAME"),
        (name("a\0b"), "name: INVALID_NAME"),
        (name("a\nb"), "name: INVALID_NAME"),
        (agent(&"ä".repeat(255)), ""),
        (agent(""), ""),
        (agent(&"ä".repeat(256)), "agent_id: FIELD_TOO_LONG"),
        (agent("a\u{7f}"), "agent_id: INVALID_TEXT"),
        (
            edit(|request| request.agent_id = "agent".into()),
            "agent_id: AGENT_FOR_OTHER_KIND",
        ),
        (labels(32), ""),
        (labels(33), "labels: TOO_MANY_ITEMS"),
        (label(&"k".repeat(63), &"ä".repeat(256)), ""),
        (label(&"k".repeat(64), ""), "labels: INVALID_LABEL"),
        (label("k", &"v".repeat(257)), "labels: INVALID_LABEL"),
        (label("", "v"), "labels: INVALID_LABEL"),
        (label("k", "a\nb"), "labels: INVALID_LABEL"),
        (edit(|request| request.scopes = strings(&["read"; 100])), ""),
        (
            edit(|request| request.scopes = strings(&["read"; 101])),
            "scopes: TOO_MANY_ITEMS",
        ),
        (
            edit(|request| request.scopes = vec!["s".repeat(65)]),
            "scopes[0]: INVALID_SCOPE",
        ),
        (
            edit(|request| request.scopes = vec![String::new()]),
            "scopes[0]: INVALID_SCOPE",
        ),
        (
            edit(|request| request.scopes = strings(&["réad"])),
            "scopes[0]: INVALID_SCOPE",
        ),
        (
            edit(|request| request.profile = "p".repeat(65)),
            "profile: INVALID_SCOPE",
        ),
        (edit(|request| request.kind = 5), "kind: UNKNOWN_ENUM_VALUE"),
        (
            edit(|request| request.user_id = "admin".into()),
            "user_id: INVALID_USER_ID",
        ),
        (
            edit(|request| request.user_id = "x".repeat(100_000)),
            "user_id: INVALID_USER_ID",
        ),
        (
            edit(|request| request.tenant_id = "x".repeat(64)),
            "tenant_id: INVALID_TENANT_ID",
        ),
    ];
    for (nth, (edit, wrong)) in cases.into_iter().enumerate() {
        let mut request = wanted("laptop", &[]);
        edit(&mut request);
        let result = acme.admin.try_create(request.clone()).await;
        if let Some((_, reason)) = wrong.split_once(": ") {
            let told = format!("InvalidArgument {reason}\n  {wrong}");
            assert_eq!(refused(result), told, "case {nth}");
        } else {
            let token = result.unwrap().token.unwrap();
            assert_eq!((token.name, token.labels), (request.name, request.labels));
            assert_eq!(token.agent_id, request.agent_id, "case {nth}");
        }
    }
}

async fn all_that_is_wrong_is_said_at_once(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let request = pb::CreateTokenRequest {
        tenant_id: "active".into(),
        user_id: "usr_".into(),
        kind: 99,
        name: "x".repeat(101),
        scopes: strings(&["read", "a b"]),
        profile: "nobody".into(),
        expiry: ttl(0),
        agent_id: "agent".into(),
        labels: [(String::new(), String::new())].into(),
        ..Default::default()
    };
    let expected = "InvalidArgument INVALID_DURATION
  ttl: INVALID_DURATION
  kind: UNKNOWN_ENUM_VALUE
  user_id: INVALID_USER_ID
  name: FIELD_TOO_LONG
  agent_id: AGENT_FOR_OTHER_KIND
  labels: INVALID_LABEL
  scopes[1]: INVALID_SCOPE
  profile: UNKNOWN_PROFILE";
    let status = acme.admin.try_create(request).await.unwrap_err();
    assert_eq!(refusal(&status), expected);
    // No sentence repeats what was sent.
    let told = format!("{status:?}");
    assert!(!told.contains("nobody") && !told.contains("xxx"));

    let request = pb::CreateTokenRequest {
        expiry: Some(Expiry::ExpireTime(at(-1))),
        ..wanted(" ", &["read", "nothing", "admin", "authority:operator"])
    };
    let expected = "InvalidArgument INVALID_NAME
  name: INVALID_NAME
  expire_time: EXPIRY_IN_PAST
  scopes[1]: UNKNOWN_SCOPE
  scopes[3]: UNKNOWN_SCOPE";
    assert_eq!(refused(acme.admin.try_create(request).await), expected);
}

async fn an_end_is_an_instant_or_a_time_to_live(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let after = |seconds, nanos| Some(Expiry::Ttl(prost_types::Duration { seconds, nanos }));
    let instant = |seconds, nanos| Some(Expiry::ExpireTime(Timestamp { seconds, nanos }));
    let ten_years = 3653 * 24 * 60 * 60;
    let in_past = Err("expire_time: EXPIRY_IN_PAST");
    let no_time = Err("expire_time: INVALID_TIME");
    let no_duration = Err("ttl: INVALID_DURATION");
    for (expiry, expected) in [
        (None, Ok(None)),
        (after(1, 0), Ok(Some(at(1)))),
        (after(0, 999_999_999), Err("ttl: TTL_TOO_SHORT")),
        (after(0, 0), no_duration),
        (after(-1, 0), no_duration),
        (after(1, -1), no_duration),
        (after(1, 1_000_000_000), no_duration),
        (after(ten_years, 0), Ok(Some(at(ten_years)))),
        (after(ten_years, 1_000_000), Err("ttl: TTL_TOO_LONG")),
        (after(i64::MAX, 0), Err("ttl: TTL_TOO_LONG")),
        (instant(START + 1, 0), Ok(Some(at(1)))),
        (
            instant(START, 1_000_000),
            Ok(Some(Timestamp {
                nanos: 1_000_000,
                ..at(0)
            })),
        ),
        (instant(START, 999_999), in_past),
        (instant(START, 0), in_past),
        (instant(0, 0), in_past),
        (instant(START + ten_years, 0), Ok(Some(at(ten_years)))),
        (
            instant(START + ten_years, 1_000_000),
            Err("expire_time: TTL_TOO_LONG"),
        ),
        (
            instant(253_402_300_799, 0),
            Err("expire_time: TTL_TOO_LONG"),
        ),
        (instant(253_402_300_800, 0), no_time),
        (instant(-1, 0), no_time),
        (instant(START + 1, 1_000_000_000), no_time),
        (instant(i64::MAX, 0), no_time),
    ] {
        let request = pb::CreateTokenRequest {
            expiry,
            ..wanted("brief", &[])
        };
        let result = acme.admin.try_create(request).await;
        match expected {
            Ok(end) => assert_eq!(result.unwrap().token.unwrap().expire_time, end),
            Err(wrong) => {
                let (_, reason) = wrong.split_once(": ").unwrap();
                let told = format!("InvalidArgument {reason}\n  {wrong}");
                assert_eq!(refused(result), told, "{expiry:?}");
            }
        }
    }
}

async fn the_policy_decides_over_the_end(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let seconds = |seconds| (seconds > 0).then_some(prost_types::Duration { seconds, nanos: 0 });
    let policy = |expiry_required, default_ttl, max_ttl| pb::TenantPolicy {
        expiry_required,
        default_ttl: seconds(default_ttl),
        max_ttl: seconds(max_ttl),
        ..self_service()
    };
    let instant = |seconds| Some(Expiry::ExpireTime(at(seconds)));
    let required = Err("expire_time: EXPIRY_REQUIRED");
    for (policy, expiry, expected) in [
        (policy(true, 0, 0), None, required),
        (policy(true, 0, 0), ttl(5), Ok(Some(at(5)))),
        (policy(true, 60, 0), None, Ok(Some(at(60)))),
        (policy(false, 60, 0), None, Ok(Some(at(60)))),
        (policy(false, 60, 0), ttl(61), Ok(Some(at(61)))),
        // A maximum requires an end.
        (policy(false, 0, 60), None, required),
        (policy(false, 50, 60), None, Ok(Some(at(50)))),
        (policy(false, 50, 60), ttl(60), Ok(Some(at(60)))),
        (policy(false, 50, 60), ttl(61), Err("ttl: TTL_TOO_LONG")),
        (policy(false, 50, 60), instant(60), Ok(Some(at(60)))),
        (
            policy(false, 50, 60),
            instant(61),
            Err("expire_time: TTL_TOO_LONG"),
        ),
    ] {
        set_policy(&acme.admin, "acme", policy.clone()).await;
        // For services and for operators, too.
        for (actor, request) in [
            (&acme.admin, wanted("brief", &[])),
            (&acme.admin, service("acme", "worker", &[])),
            (&t.operator(), service("acme", "worker", &[])),
        ] {
            let result = actor
                .try_create(pb::CreateTokenRequest { expiry, ..request })
                .await;
            match expected {
                Ok(end) => assert_eq!(result.unwrap().token.unwrap().expire_time, end),
                Err(wrong) => {
                    let (_, reason) = wrong.split_once(": ").unwrap();
                    let told = format!("InvalidArgument {reason}\n  {wrong}");
                    assert_eq!(refused(result), told, "{policy:?} {expiry:?}");
                }
            }
        }
    }
}

async fn a_name_is_unique_for_its_user_and_kind_where_the_tenant_says_so(backend: Backend) {
    let t = TestServer::start(backend).await;
    let policy = pb::TenantPolicy {
        unique_names: true,
        ..self_service()
    };
    let acme = t.tenant("acme", policy).await;
    let alice = t.member(&acme, "alice", &["authority:tokens.write"]).await;
    let taken = "AlreadyExists NAME_TAKEN";
    let brief = pb::CreateTokenRequest {
        expiry: ttl(1),
        ..wanted("laptop", &[])
    };
    let first = id(&acme.admin.create(brief.clone()).await);
    assert_eq!(refused(acme.admin.try_create(brief).await), taken);
    // Another's, of another kind, of another spelling: another name.
    alice.actor.issue("laptop", &[]).await;
    acme.admin.issue("Laptop", &[]).await;
    acme.admin.issue("laptop ", &[]).await;
    for kind in [
        pb::TokenKind::Webhook,
        pb::TokenKind::Agent,
        pb::TokenKind::Service,
    ] {
        let request = pb::CreateTokenRequest {
            kind: kind.into(),
            ..wanted("laptop", &[])
        };
        acme.admin.create(request.clone()).await;
        assert_eq!(refused(acme.admin.try_create(request).await), taken);
    }
    // On behalf of its holder it is taken, too.
    let on_behalf = pb::CreateTokenRequest {
        user_id: alice.user_id.clone(),
        ..wanted("laptop", &[])
    };
    assert_eq!(refused(acme.admin.try_create(on_behalf).await), taken);
    // Held while expired, freed by revocation alone.
    t.advance(Duration::from_secs(1));
    assert_eq!(
        refused(acme.admin.try_create(wanted("laptop", &[])).await),
        taken
    );
    acme.admin.revoke("acme", &first).await;
    let second = id(&acme.admin.create(wanted("laptop", &[])).await);
    let off = pb::UpdateTokenRequest {
        disabled: true,
        ..change(&second)
    };
    update(&acme.admin, off).await.unwrap();
    assert_eq!(
        refused(acme.admin.try_create(wanted("laptop", &[])).await),
        taken
    );
    set_policy(&acme.admin, "acme", self_service()).await;
    acme.admin.create(wanted("laptop", &[])).await;
}

async fn a_user_has_no_more_tokens_than_the_tenant_allows(backend: Backend) {
    let t = TestServer::start(backend).await;
    let policy = pb::TenantPolicy {
        max_tokens_per_user: 3,
        ..self_service()
    };
    let acme = t.tenant("acme", policy).await;
    let alice = t.member(&acme, "alice", &[]).await;
    // The administrator's own is the first.
    let brief = pb::CreateTokenRequest {
        expiry: ttl(1),
        ..wanted("brief", &[])
    };
    acme.admin.create(brief).await;
    let hook = pb::CreateTokenRequest {
        kind: pb::TokenKind::Webhook.into(),
        ..wanted("hook", &[])
    };
    let hook = id(&acme.admin.create(hook).await);
    let full = async || {
        let status = acme
            .admin
            .try_create(wanted("more", &[]))
            .await
            .unwrap_err();
        assert_eq!(refusal(&status), "ResourceExhausted TOKEN_LIMIT");
        let details = status.get_error_details();
        let quota = &details.quota_failure().unwrap().violations[0];
        assert_eq!((quota.subject.as_str(), quota.quota_value), ("user", 3));
        let metadata = &details.error_info().unwrap().metadata;
        assert_eq!(metadata["max_tokens_per_user"], "3");
        assert!(details.retry_info().is_none());
    };
    full().await;
    // An operator is held to it; another's tokens and services don't count.
    let operators = pb::CreateTokenRequest {
        tenant_id: "acme".into(),
        user_id: acme.admin_id.clone(),
        ..wanted("more", &[])
    };
    assert_eq!(
        refused(t.operator().try_create(operators).await),
        "ResourceExhausted TOKEN_LIMIT"
    );
    let hers = pb::CreateTokenRequest {
        user_id: alice.user_id.clone(),
        ..wanted("hers", &[])
    };
    acme.admin.create(hers).await;
    for _ in 0..4 {
        acme.admin.create(service("acme", "worker", &[])).await;
    }
    // What has expired or is revoked makes room, what is disabled doesn't.
    t.advance(Duration::from_secs(1));
    let third = id(&acme.admin.issue("third", &[]).await);
    let off = pb::UpdateTokenRequest {
        disabled: true,
        ..change(&third)
    };
    update(&acme.admin, off).await.unwrap();
    full().await;
    let revoked = pb::RevokeTokenRequest {
        tenant_id: "acme".into(),
        token_id: hook,
        kind: pb::TokenKind::Webhook.into(),
        ..Default::default()
    };
    crate::support::tokens::revoke(&acme.admin, revoked)
        .await
        .unwrap();
    acme.admin.issue("another", &[]).await;
    full().await;
}
