//! `IntrospectionService/Introspect`.

use std::time::Duration;

use token_authority::pb;

use crate::support::tokens::{
    at, change, id, number, question, service, set_catalog, set_role, strings, suspend_user, ttl,
    update, wanted,
};
use crate::support::{Backend, TestServer, both_backends, catalog, refused, self_service};

both_backends!(
    a_new_token_is_active_and_a_revoked_one_is_inactive_at_once,
    the_whole_answer_of_an_active_token,
    an_expired_token_is_inactive_at_the_instant_of_its_end,
    the_whole_answer_of_an_agents_and_of_a_services_token,
    allowed_is_active_and_nothing_missing,
    a_demoted_administrators_token_loses_what_the_role_allowed,
    a_catalog_edit_changes_what_tokens_may_do_at_once,
    a_minimum_revision_is_met_or_refused,
    all_that_is_wrong_with_a_question_is_said_at_once,
    each_answers_revision_covers_every_change_before_it,
);

async fn a_new_token_is_active_and_a_revoked_one_is_inactive_at_once(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let alice = t
        .member(&acme, "alice", &["write", "authority:tokens.write"])
        .await;
    let server = t.resource_server().await;

    let created = alice.actor.issue("laptop", &["read"]).await;
    assert!(server.introspect("acme", &created.value).await.allowed);

    alice
        .actor
        .revoke("acme", &created.token.unwrap().token_id)
        .await;
    let answer = server.introspect("acme", &created.value).await;
    assert_eq!((answer.active, answer.allowed), (false, false));
}

async fn the_whole_answer_of_an_active_token(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let alice = t
        .member(&acme, "alice", &["write", "authority:tokens.write"])
        .await;
    let server = t.resource_server().await;
    let created = alice.actor.issue("laptop", &["write"]).await;

    let request = pb::IntrospectRequest {
        token: created.value,
        tenant_id: "acme".into(),
        required_scopes: vec!["read".into(), "admin".into()],
        ..Default::default()
    };
    let answer = server.try_introspect(request).await.unwrap();
    // The incarnation, too, is drawn from the seed.
    insta::allow_duplicates! {
        insta::assert_debug_snapshot!(answer, @r#"
        IntrospectResponse {
            allowed: false,
            active: true,
            token_id: "tok_0322SbK0Nwf3cFVl0WuObn",
            tenant_id: "acme",
            user_id: "usr_0322SbK0OBIHK3MlLOkEHf",
            user_external_id: "alice",
            user_role: Member,
            kind: Api,
            name: "laptop",
            agent_id: "",
            scopes: [
                "read",
                "write",
            ],
            missing_scopes: [
                "admin",
            ],
            labels: {},
            create_time: Some(
                Timestamp {
                    seconds: 1767225600,
                    nanos: 0,
                },
            ),
            expire_time: None,
            revision: "7MuGYCBLSp65szV8sDRrUE.9",
            evaluate_time: Some(
                Timestamp {
                    seconds: 1767225600,
                    nanos: 0,
                },
            ),
        }
        "#);
    }
}

async fn an_expired_token_is_inactive_at_the_instant_of_its_end(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let server = t.resource_server().await;
    let created = acme
        .admin
        .create(pb::CreateTokenRequest {
            tenant_id: "active".into(),
            name: "brief".into(),
            expiry: Some(pb::create_token_request::Expiry::Ttl(
                prost_types::Duration {
                    seconds: 60,
                    nanos: 0,
                },
            )),
            ..Default::default()
        })
        .await;
    t.advance(Duration::from_millis(59_999));
    assert!(server.introspect("acme", &created.value).await.active);
    t.advance(Duration::from_millis(1));
    assert!(!server.introspect("acme", &created.value).await.active);
}

async fn the_whole_answer_of_an_agents_and_of_a_services_token(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let server = t.resource_server().await;
    let agent = pb::CreateTokenRequest {
        kind: pb::TokenKind::Agent.into(),
        agent_id: "agent-7".into(),
        labels: [("team".into(), "search".into())].into(),
        expiry: ttl(90),
        ..wanted("run 12", &["read", "authority:tokens.read"])
    };
    let agent = acme.admin.create(agent).await;
    let worker = acme.admin.create(service("acme", "worker", &[])).await;
    t.advance(Duration::from_millis(1_500));
    let agents = server.introspect("acme", &agent.value).await;
    let services = server.introspect("acme", &worker.value).await;
    insta::allow_duplicates! {
        insta::assert_debug_snapshot!(agents, @r#"
        IntrospectResponse {
            allowed: true,
            active: true,
            token_id: "tok_0322SbK0NvdJRiaYtEpzbM",
            tenant_id: "acme",
            user_id: "usr_0322SbK0NuWtvJSCXALaIX",
            user_external_id: "admin",
            user_role: Admin,
            kind: Agent,
            name: "run 12",
            agent_id: "agent-7",
            scopes: [
                "authority:tokens.read",
                "read",
            ],
            missing_scopes: [],
            labels: {
                "team": "search",
            },
            create_time: Some(
                Timestamp {
                    seconds: 1767225600,
                    nanos: 0,
                },
            ),
            expire_time: Some(
                Timestamp {
                    seconds: 1767225690,
                    nanos: 0,
                },
            ),
            revision: "7MuGYCBLSp65szV8sDRrUE.8",
            evaluate_time: Some(
                Timestamp {
                    seconds: 1767225601,
                    nanos: 500000000,
                },
            ),
        }
        "#);
        insta::assert_debug_snapshot!(services, @r#"
        IntrospectResponse {
            allowed: true,
            active: true,
            token_id: "tok_0322SbK0O8JaSjiCHhJ7Dk",
            tenant_id: "acme",
            user_id: "",
            user_external_id: "",
            user_role: Unspecified,
            kind: Service,
            name: "worker",
            agent_id: "",
            scopes: [],
            missing_scopes: [],
            labels: {},
            create_time: Some(
                Timestamp {
                    seconds: 1767225600,
                    nanos: 0,
                },
            ),
            expire_time: None,
            revision: "7MuGYCBLSp65szV8sDRrUE.8",
            evaluate_time: Some(
                Timestamp {
                    seconds: 1767225601,
                    nanos: 500000000,
                },
            ),
        }
        "#);
    }
}

async fn allowed_is_active_and_nothing_missing(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let scopes = ["write", "authority:tokens.write"];
    let alice = t.member(&acme, "alice", &scopes).await;
    let server = t.resource_server().await;
    let cases: &[(&[&str], &[&str])] = &[
        (&[], &[]),
        (&["read"], &[]),
        (&["write", "read", "write"], &[]),
        (&["authority:tokens.write"], &[]),
        (&["authority:tokens.read"], &["authority:tokens.read"]),
        (&["read", "admin"], &["admin"]),
        (
            &["zzz", "read", "admin", "zzz", "AAA"],
            &["AAA", "admin", "zzz"],
        ),
    ];
    for (required, missing) in cases {
        let request = pb::IntrospectRequest {
            required_scopes: strings(required),
            ..question("acme", alice.actor.value())
        };
        let answer = server.try_introspect(request).await.unwrap();
        assert!(answer.active);
        assert_eq!(answer.allowed, missing.is_empty(), "{required:?}");
        assert_eq!(answer.missing_scopes, *missing, "{required:?}");
        assert_eq!(answer.scopes, ["authority:tokens.write", "read", "write"]);
    }
}

async fn a_demoted_administrators_token_loses_what_the_role_allowed(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let operator = t.operator();
    let server = t.resource_server().await;
    let scopes = ["admin", "authority:tenant.admin", "authority:tokens.read"];
    let boss = t.token_of("acme", &acme.admin_id, &scopes).await;
    let whole = [
        "admin",
        "authority:tenant.admin",
        "authority:tokens.read",
        "read",
        "write",
    ];
    let answer = server.introspect("acme", boss.value()).await;
    assert_eq!(
        (answer.user_role(), answer.scopes),
        (pb::Role::Admin, strings(&whole))
    );

    set_role(&operator, "acme", &acme.admin_id, pb::Role::Member).await;
    let answer = server.introspect("acme", boss.value()).await;
    let left = ["authority:tokens.read", "read", "write"];
    assert_eq!(
        (answer.user_role(), answer.scopes),
        (pb::Role::Member, strings(&left))
    );
    // What it may do as a caller has shrunk alike.
    assert_eq!(
        refused(boss.try_create(wanted("another", &[])).await),
        "PermissionDenied PERMISSION_DENIED"
    );

    set_role(&operator, "acme", &acme.admin_id, pb::Role::Admin).await;
    let answer = server.introspect("acme", boss.value()).await;
    assert_eq!(answer.scopes, whole);
    boss.create(wanted("another", &[])).await;
}

async fn a_catalog_edit_changes_what_tokens_may_do_at_once(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let alice = t.member(&acme, "alice", &["write"]).await;
    let server = t.resource_server().await;
    let worker = service("acme", "worker", &["write"]);
    let worker = acme.admin.create(worker).await.value;
    let scopes = async |value: &str| server.introspect("acme", value).await.scopes;
    assert_eq!(scopes(alice.actor.value()).await, ["read", "write"]);

    let edit = async |edit: fn(&mut pb::Catalog)| {
        let mut catalog = catalog();
        edit(&mut catalog);
        set_catalog(&acme.admin, "acme", catalog).await;
        (scopes(alice.actor.value()).await, scopes(&worker).await)
    };
    let both = strings(&["read", "write"]);
    // A kind may no longer hold a scope: what it implied stays, being granted.
    let without = edit(|catalog| {
        catalog.scopes[1].forbidden_kinds = vec![pb::TokenKind::Api.into()];
    });
    assert_eq!(without.await, (strings(&["read"]), both.clone()));
    // A role is now needed, which limits users and no service.
    let without = edit(|catalog| catalog.scopes[1].minimum_role = pb::Role::Admin.into());
    assert_eq!(without.await, (strings(&["read"]), both.clone()));
    let without = edit(|catalog| catalog.scopes[1].implies.clear());
    assert_eq!(without.await, (strings(&["write"]), strings(&["write"])));
    let more = edit(|catalog| {
        catalog.scopes[0]
            .implies
            .push("authority:tokens.read".into());
    });
    let three = strings(&["authority:tokens.read", "read", "write"]);
    assert_eq!(more.await, (three.clone(), three));
    assert_eq!(edit(|_| ()).await, (both.clone(), both));
}

async fn a_minimum_revision_is_met_or_refused(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let server = t.resource_server().await;
    let created = acme.admin.issue("last", &[]).await;
    let (incarnation, head) = created.revision.split_once('.').unwrap();
    let head: i64 = head.parse().unwrap();
    let other = "0".repeat(22);
    let ask = async |value: &str, min_revision: String| {
        let request = pb::IntrospectRequest {
            min_revision,
            ..question("acme", value)
        };
        server.try_introspect(request).await
    };
    // The store is not needed for garbage, but a revision is checked all the same.
    for (value, active) in [(created.value.as_str(), true), ("garbage", false)] {
        for number in [0, head - 1, head] {
            let answer = ask(value, format!("{incarnation}.{number}")).await.unwrap();
            assert_eq!(answer.active, active);
            assert_eq!(number_of(&answer), head);
        }
        for wrong in [
            format!("{incarnation}.{}", head + 1),
            format!("{incarnation}.{}", i64::MAX),
            format!("{incarnation}.9223372036854775808"),
            format!("{other}.0"),
            format!("{other}.{head}"),
            format!("{incarnation}.-1"),
            format!("{incarnation}.+1"),
            format!("{incarnation}.01"),
            format!("{incarnation}."),
            format!("{incarnation}1"),
            head.to_string(),
            "x".repeat(100_000),
        ] {
            assert_eq!(
                refused(ask(value, wrong).await),
                "InvalidArgument INVALID_REVISION\n  min_revision: INVALID_REVISION"
            );
        }
    }
}

fn number_of(answer: &pb::IntrospectResponse) -> i64 {
    number(&answer.revision)
}

async fn all_that_is_wrong_with_a_question_is_said_at_once(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let server = t.resource_server().await;
    let long = "s".repeat(65);
    let request = pb::IntrospectRequest {
        expected_kind: 99,
        required_scopes: strings(&["read", "", "a b", &long, "authority:*"]),
        min_revision: "1".into(),
        ..question("", acme.admin.value())
    };
    let expected = "InvalidArgument UNKNOWN_ENUM_VALUE
  expected_kind: UNKNOWN_ENUM_VALUE
  tenant_id: FIELD_REQUIRED
  required_scopes[1]: INVALID_SCOPE
  required_scopes[2]: INVALID_SCOPE
  required_scopes[3]: INVALID_SCOPE
  required_scopes[4]: INVALID_SCOPE
  min_revision: INVALID_REVISION";
    assert_eq!(refused(server.try_introspect(request).await), expected);

    let ask = async |count: usize| {
        let request = pb::IntrospectRequest {
            required_scopes: vec!["s".repeat(64); count],
            ..question("acme", acme.admin.value())
        };
        server.try_introspect(request).await
    };
    assert_eq!(ask(100).await.unwrap().missing_scopes.len(), 1);
    assert_eq!(
        refused(ask(101).await),
        "InvalidArgument TOO_MANY_ITEMS\n  required_scopes: TOO_MANY_ITEMS"
    );
}

async fn each_answers_revision_covers_every_change_before_it(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let alice = t.member(&acme, "alice", &[]).await;
    let server = t.resource_server().await;
    let created = acme.admin.issue("laptop", &[]).await;
    let token_id = id(&created);
    let renamed = pb::UpdateTokenRequest {
        name: "desktop".into(),
        ..change(&token_id)
    };
    let mut last = number(&created.revision) - 1;
    let mut covered = async |revision: String| {
        for value in [created.value.as_str(), "garbage", alice.actor.value()] {
            let answer = server.introspect("acme", value).await;
            assert_eq!(number_of(&answer), number(&revision));
            assert_eq!(answer.evaluate_time, Some(at(0)));
        }
        last += 1;
        assert_eq!(number(&revision), last);
    };
    covered(created.revision.clone()).await;
    covered(update(&acme.admin, renamed).await.unwrap().revision).await;
    covered(suspend_user(&acme.admin, "acme", &alice.user_id).await).await;
    covered(acme.admin.revoke("acme", &token_id).await.revision).await;
}
