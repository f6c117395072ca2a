//! `TokenService/ImportTokens`: what is taken, and what is refused.

use token_authority::pb;

use crate::support::import::{batch, foreign, hash, imported};
use crate::support::invariants::check;
use crate::support::tokens::{
    at, get, import, list, number, set_policy, strings, suspend_user, ttl, update, wanted,
};
use crate::support::{Backend, TestServer, both_backends, refused, self_service};

both_backends!(
    tokens_are_imported_in_order_in_one_change,
    what_is_wrong_is_said_all_at_once,
    a_hint_is_under_the_prefix_and_few_values_share_it,
    hashes_are_bcrypts_and_not_too_costly,
    each_is_judged_as_a_creation_is,
    none_is_imported_where_one_is_wrong,
    validated_alone_nothing_is_imported,
    asked_again_they_are_imported_once,
    a_thousand_are_imported_and_one_more_refused,
    a_token_keeps_the_age_that_it_had,
    the_reserved_tenant_takes_none,
);

async fn tokens_are_imported_in_order_in_one_change(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let alice = t.member(&acme, "alice", &[]).await;
    let before = acme.admin.issue("native", &[]).await;
    let agent = pb::ImportedToken {
        kind: pb::TokenKind::Agent.into(),
        agent_id: "crawler".into(),
        profile: "editor".into(),
        labels: [("team".into(), "blue".into())].into(),
        expiry: Some(pb::imported_token::Expiry::ExpireTime(at(60))),
        ..imported(&foreign("acme", 2), &alice.user_id, "agent")
    };
    let service = imported(&foreign("acme", 3), "", "service");
    let api = pb::ImportedToken {
        scopes: strings(&["write"]),
        ..imported(&foreign("acme", 1), &alice.user_id, "api")
    };
    let request = batch(vec![api, agent, service]);
    let answer = import(&acme.admin, request.clone()).await.unwrap();
    assert_eq!(number(&answer.revision), number(&before.revision) + 1);
    assert!(answer.settled);
    let order: Vec<_> = answer.tokens.iter().map(|token| &*token.name).collect();
    assert_eq!(order, ["api", "agent", "service"]);
    let [api, agent, service] = &answer.tokens[..] else {
        panic!("{answer:?}")
    };
    assert_eq!(api.hint, "acme_old.00000001-s3cret");
    assert_eq!(api.effective_scopes, ["read", "write"]);
    assert_eq!(api.user_id, alice.user_id);
    assert_eq!(agent.agent_id, "crawler");
    assert_eq!(agent.scopes, ["write"]);
    assert_eq!(agent.expire_time, Some(at(60)));
    assert_eq!(
        (&*service.user_id, service.kind()),
        ("", pb::TokenKind::Service)
    );
    // They are as any other, and what was answered is what there is.
    for token in &answer.tokens {
        let one = pb::GetTokenRequest {
            tenant_id: "acme".into(),
            token_id: token.token_id.clone(),
            ..Default::default()
        };
        let found = get(&acme.admin, one).await.unwrap().token.unwrap();
        assert_eq!(found, *token);
        // Found by the hint that was given, or by the whole value.
        for hint in [&*token.hint, &foreign("acme", 1)] {
            let named = pb::ListTokensRequest {
                tenant_id: "acme".into(),
                kind: token.kind,
                hint: hint.into(),
                ..Default::default()
            };
            let listed = list(&acme.admin, named).await.unwrap().tokens;
            let expected = hint == token.hint || token.name == "api";
            assert_eq!(listed.contains(token), expected, "{hint}");
        }
    }
    let events = "SELECT CAST(COUNT(*) AS TEXT) FROM audit_events WHERE action = 'ImportTokens'";
    assert_eq!(t.database.texts(events).await, ["3"]);
    // What verifies a value comes out nowhere.
    let shown = format!("{answer:?}");
    assert!(!shown.contains(&request.tokens[0].secret_hash), "{shown}");
}

async fn what_is_wrong_is_said_all_at_once(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let alice = t.member(&acme, "alice", &[]).await;
    let good = imported(&foreign("acme", 0), &alice.user_id, "good");
    let tokens = vec![
        good.clone(),
        pb::ImportedToken {
            hint: "acme_old".into(),
            secret_hash: "nonsense".into(),
            name: String::new(),
            scopes: strings(&["read", "nowhere", "admin"]),
            ..good.clone()
        },
        pb::ImportedToken {
            user_id: String::new(),
            ..imported(&foreign("acme", 2), &alice.user_id, "nobodys")
        },
        pb::ImportedToken {
            user_id: format!("usr_{}", "0".repeat(22)),
            ..imported(&foreign("acme", 3), &alice.user_id, "strangers")
        },
        pb::ImportedToken {
            kind: 99,
            create_time: Some(at(1)),
            expiry: Some(pb::imported_token::Expiry::ExpireTime(at(-1))),
            ..imported(&foreign("acme", 4), &alice.user_id, "late")
        },
        pb::ImportedToken {
            create_time: Some(at(1)),
            ..imported(&foreign("acme", 5), &alice.user_id, "of tomorrow")
        },
    ];
    assert_eq!(
        refused(import(&acme.admin, batch(tokens)).await),
        "InvalidArgument INVALID_HINT\n  tokens[1].hint: INVALID_HINT\n  \
         tokens[1].secret_hash: INVALID_HASH\n  tokens[1].name: INVALID_NAME\n  \
         tokens[1].scopes[1]: UNKNOWN_SCOPE\n  tokens[1].scopes[2]: SCOPE_ABOVE_ROLE\n  \
         tokens[2].user_id: FIELD_REQUIRED\n  tokens[3].user_id: UNKNOWN_USER\n  \
         tokens[4].kind: UNKNOWN_ENUM_VALUE\n  tokens[4].expire_time: EXPIRY_IN_PAST\n  \
         tokens[5].create_time: OUT_OF_RANGE"
    );
    for length in [-1, 0, 5, 33] {
        let request = pb::ImportTokensRequest {
            hint_length: length,
            ..batch(vec![good.clone()])
        };
        assert_eq!(
            refused(import(&acme.admin, request).await),
            "InvalidArgument OUT_OF_RANGE\n  hint_length: OUT_OF_RANGE"
        );
    }
    assert_eq!(
        refused(import(&acme.admin, batch(vec![])).await),
        "InvalidArgument FIELD_REQUIRED\n  tokens: FIELD_REQUIRED"
    );
}

async fn a_hint_is_under_the_prefix_and_few_values_share_it(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let of = |value: &str, name: &str| pb::ImportedToken {
        hint: value[..9].into(),
        ..imported(value, &acme.admin_id, name)
    };
    let asked = |tokens| pb::ImportTokensRequest {
        hint_length: 9,
        ..batch(tokens)
    };
    // Under another's prefix, or none.
    let abroad = of(&foreign("globex", 1), "abroad");
    assert_eq!(
        refused(import(&acme.admin, asked(vec![abroad])).await),
        "InvalidArgument INVALID_HINT\n  tokens[0].hint: INVALID_HINT"
    );
    let value = |number| foreign("acme", number);
    let three = (0..3).map(|at| of(&value(at), &at.to_string()));
    import(&acme.admin, asked(three.collect())).await.unwrap();
    let two = vec![of(&value(3), "3"), of(&value(4), "4")];
    assert_eq!(
        refused(import(&acme.admin, asked(two)).await),
        "InvalidArgument TOO_MANY_OF_HINT\n  tokens[1].hint: TOO_MANY_OF_HINT"
    );
    // The same again, there already or in the batch.
    let again = vec![of(&value(2), "2"), of(&value(3), "3"), of(&value(3), "3")];
    assert_eq!(
        refused(import(&acme.admin, asked(again)).await),
        "InvalidArgument ALREADY_IMPORTED\n  tokens[0].secret_hash: ALREADY_IMPORTED\n  \
         tokens[2].secret_hash: ALREADY_IMPORTED"
    );
    // Each length costs every value that is looked for: eight, and no more.
    for length in 10..=17 {
        let value = value(length);
        let token = pb::ImportedToken {
            hint: value[..length].into(),
            ..imported(&value, &acme.admin_id, &length.to_string())
        };
        let request = pb::ImportTokensRequest {
            hint_length: i32::try_from(length).unwrap(),
            ..batch(vec![token])
        };
        let answer = import(&acme.admin, request).await;
        if length < 17 {
            answer.unwrap();
        } else {
            assert_eq!(
                refused(answer),
                "InvalidArgument TOO_MANY_HINT_LENGTHS\n  hint_length: TOO_MANY_HINT_LENGTHS"
            );
        }
    }
}

async fn hashes_are_bcrypts_and_not_too_costly(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let good = hash(&foreign("acme", 0));
    let asked = async |secret_hash: &str| {
        let token = pb::ImportedToken {
            secret_hash: secret_hash.into(),
            ..imported(&foreign("acme", 0), &acme.admin_id, "x")
        };
        let request = pb::ImportTokensRequest {
            validate_only: true,
            ..batch(vec![token])
        };
        let refused = import(&acme.admin, request).await.map(|_| ());
        crate::support::outcome(refused)
    };
    let of = |begin: &str| format!("{begin}{}", &good[7..]);
    for begin in ["$2a$04$", "$2b$12$", "$2y$10$"] {
        assert_eq!(asked(&of(begin)).await, None, "{begin}");
    }
    let wrong = |reason: &str| {
        Some(format!(
            "InvalidArgument {reason}\n  tokens[0].secret_hash: {reason}"
        ))
    };
    for cost in ["03", "13", "31"] {
        let told = asked(&of(&format!("$2b${cost}$"))).await;
        assert_eq!(told, wrong("HASH_COST_OUT_OF_RANGE"), "{cost}");
    }
    for bad in [
        "",
        "$2b$",
        &of("$2x$04$"),
        &of("$2$04$"),
        &of("$2b$+4$"),
        &of("$1$04$"),
        &good[..59],
        &format!("{good}x"),
        &good.replace("$2b$04$", "$2b$04$!"),
        "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2g",
    ] {
        assert_eq!(asked(bad).await, wrong("INVALID_HASH"), "{bad}");
    }
}

async fn each_is_judged_as_a_creation_is(backend: Backend) {
    let t = TestServer::start(backend).await;
    let policy = pb::TenantPolicy {
        unique_names: true,
        max_tokens_per_user: 2,
        ..self_service()
    };
    let acme = t.tenant("acme", policy).await;
    let alice = t.member(&acme, "alice", &[]).await;
    let bob = t.member(&acme, "bob", &[]).await;
    suspend_user(&acme.admin, "acme", &bob.user_id).await;
    let other = t
        .operator()
        .create_user("acme", "another admin", pb::Role::Admin)
        .await;
    let asked = async |tokens: Vec<(usize, &str, &str)>| {
        let tokens = tokens
            .into_iter()
            .map(|(at, user_id, name)| imported(&foreign("acme", at), user_id, name));
        refused(import(&acme.admin, batch(tokens.collect())).await)
    };
    let (alice_id, bob_id) = (&*alice.user_id, &*bob.user_id);
    assert_eq!(
        asked(vec![
            (0, alice_id, "token"),
            (1, alice_id, "fresh"),
            (2, alice_id, "third"),
            (3, bob_id, "his"),
        ])
        .await,
        "InvalidArgument OVER_TOKEN_LIMIT\n  tokens[1].user_id: OVER_TOKEN_LIMIT\n  \
         tokens[2].user_id: OVER_TOKEN_LIMIT\n  tokens[3].user_id: SUSPENDED_USER"
    );
    // By a service, which has no limit: names of the batch and those that are there.
    import(
        &acme.admin,
        batch(vec![imported(&foreign("acme", 7), "", "there")]),
    )
    .await
    .unwrap();
    assert_eq!(
        asked(vec![(4, "", "one"), (5, "", "one"), (6, "", "there")]).await,
        "InvalidArgument NAME_IN_USE\n  tokens[1].name: NAME_IN_USE\n  tokens[2].name: NAME_IN_USE"
    );
    // What the caller may not do at all is refused as such.
    assert_eq!(
        asked(vec![(0, &other, "theirs")]).await,
        "PermissionDenied ON_BEHALF_OF_ADMIN"
    );
    let widened = pb::ImportedToken {
        scopes: strings(&["authority:introspect"]),
        ..imported(&foreign("acme", 8), "", "wide")
    };
    assert_eq!(
        refused(import(&acme.admin, batch(vec![widened])).await),
        "PermissionDenied SCOPE_ESCALATION"
    );
    let strict = pb::TenantPolicy {
        tokens_may_not_mint: true,
        ..self_service()
    };
    set_policy(&t.operator(), "acme", strict).await;
    assert_eq!(
        asked(vec![(0, alice_id, "x")]).await,
        "PermissionDenied TOKEN_MAY_NOT_MINT"
    );
}

async fn none_is_imported_where_one_is_wrong(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let rows = t.database.rows().await;
    let good = imported(&foreign("acme", 0), &acme.admin_id, "good");
    let bad = imported(&foreign("acme", 1), &acme.admin_id, "");
    let refusal = refused(import(&acme.admin, batch(vec![good, bad])).await);
    assert_eq!(
        refusal,
        "InvalidArgument INVALID_NAME\n  tokens[1].name: INVALID_NAME"
    );
    assert_eq!(t.database.rows().await, rows);
}

async fn validated_alone_nothing_is_imported(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let rows = t.database.rows().await;
    let token = imported(&foreign("acme", 0), &acme.admin_id, "laptop");
    let request = pb::ImportTokensRequest {
        validate_only: true,
        request_id: "once".into(),
        ..batch(vec![token])
    };
    let judged = import(&acme.admin, request.clone()).await.unwrap();
    let [token] = &judged.tokens[..] else {
        panic!("{judged:?}")
    };
    assert_eq!(
        (&*token.name, &*token.token_id, &*token.etag),
        ("laptop", "", "")
    );
    assert_eq!(token.hint, "acme_old.00000000-s3cret");
    assert_eq!(t.database.rows().await, rows);
    let request = pb::ImportTokensRequest {
        validate_only: false,
        ..request
    };
    let done = import(&acme.admin, request).await.unwrap();
    assert!(!done.tokens[0].token_id.is_empty());
}

async fn asked_again_they_are_imported_once(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let asked = |count: usize, request_id: &str| {
        let token = |at: usize| {
            let labels = (0..32).map(|key| (key.to_string(), "x".repeat(200)));
            pb::ImportedToken {
                labels: labels.collect(),
                ..imported(&foreign("acme", count * 10 + at), &acme.admin_id, "laptop")
            }
        };
        pb::ImportTokensRequest {
            request_id: request_id.into(),
            ..batch((0..count).map(token).collect())
        }
    };
    let first = import(&acme.admin, asked(2, "few")).await.unwrap();
    let again = import(&acme.admin, asked(2, "few")).await.unwrap();
    assert_eq!(again, first);
    // What was long to answer is not answered again, but not done again either.
    import(&acme.admin, asked(10, "many")).await.unwrap();
    let rows = t.database.rows().await;
    assert_eq!(
        refused(import(&acme.admin, asked(10, "many")).await),
        "AlreadyExists REQUEST_ALREADY_DONE"
    );
    assert_eq!(t.database.rows().await, rows);
}

async fn a_thousand_are_imported_and_one_more_refused(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let before = acme.admin.issue("native", &[]).await;
    let secret_hash = hash("any");
    let token = |at: usize| pb::ImportedToken {
        hint: foreign("acme", at)[..24].into(),
        secret_hash: secret_hash.clone(),
        kind: pb::TokenKind::Service.into(),
        name: at.to_string(),
        ..Default::default()
    };
    let tokens: Vec<_> = (0..1001).map(token).collect();
    assert_eq!(
        refused(import(&acme.admin, batch(tokens.clone())).await),
        "InvalidArgument TOO_MANY_ITEMS\n  tokens: TOO_MANY_ITEMS"
    );
    let answer = import(&acme.admin, batch(tokens[..1000].to_vec()))
        .await
        .unwrap();
    assert_eq!(answer.tokens.len(), 1000);
    assert!(
        answer
            .tokens
            .iter()
            .zip(0..)
            .all(|(token, at)| token.name == at.to_string())
    );
    // One number, of which there is one row: everybody waits for who writes there.
    let number = number(&answer.revision);
    assert_eq!(number, crate::support::tokens::number(&before.revision) + 1);
    let changes = format!("SELECT kind FROM changes WHERE changes.number = {number}");
    assert_eq!(t.database.texts(&changes).await, ["tenant_changed"]);
    let stamped =
        format!("SELECT CAST(COUNT(*) AS TEXT) FROM tokens WHERE created_number = {number}");
    assert_eq!(t.database.texts(&stamped).await, ["1000"]);
    check(&t.database).await;
}

async fn a_token_keeps_the_age_that_it_had(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let day = 24 * 60 * 60;
    let old = |at_: usize, name: &str, end: i64| pb::ImportedToken {
        create_time: Some(at(-10 * day)),
        expiry: Some(pb::imported_token::Expiry::ExpireTime(at(end))),
        ..imported(&foreign("acme", at_), &acme.admin_id, name)
    };
    let answer = import(&acme.admin, batch(vec![old(0, "old", day)]))
        .await
        .unwrap();
    assert_eq!(answer.tokens[0].create_time, Some(at(-10 * day)));
    // The tenant's longest time to live counts from it.
    let policy = pb::TenantPolicy {
        max_ttl: Some(prost_types::Duration {
            seconds: 11 * day,
            nanos: 0,
        }),
        ..self_service()
    };
    set_policy(&t.operator(), "acme", policy).await;
    let tokens = vec![old(1, "just so", day), old(2, "too long", day + 1)];
    assert_eq!(
        refused(import(&acme.admin, batch(tokens)).await),
        "InvalidArgument TTL_TOO_LONG\n  tokens[1].expire_time: TTL_TOO_LONG"
    );
    // It is changed as any other.
    let change = pb::UpdateTokenRequest {
        tenant_id: "active".into(),
        token_id: answer.tokens[0].token_id.clone(),
        name: "renamed".into(),
        ..Default::default()
    };
    let renamed = update(&acme.admin, change).await.unwrap().token.unwrap();
    assert_eq!(renamed.create_time, Some(at(-10 * day)));
    // The others count theirs from now.
    let fresh = pb::CreateTokenRequest {
        expiry: ttl(11 * day),
        ..wanted("fresh", &[])
    };
    assert!(acme.admin.try_create(fresh).await.is_ok());
}

async fn the_reserved_tenant_takes_none(backend: Backend) {
    let t = TestServer::start(backend).await;
    let token = imported("ta_old.00000000-0123456789", "", "x");
    assert_eq!(
        refused(import(&t.operator(), batch(vec![token])).await),
        "FailedPrecondition RESERVED_TENANT"
    );
}
