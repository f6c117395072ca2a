//! What becomes of imported values that are presented.

use token_authority::authority::Authority;
use token_authority::pb;

use crate::support::import::{batch, foreign, imported, imported_by};
use crate::support::tokens::{
    batch as ask_batch, explain, expose, get, import, list, question, revoke_current, roll,
    rolling, rotated, rotation, who_am_i,
};
use crate::support::{Backend, TestServer, both_backends, outcome, self_service, shared};

both_backends!(
    a_value_costs_one_bcrypt_in_its_life,
    each_version_of_bcrypt_is_verified,
    values_of_one_hint_are_told_apart,
    a_value_is_of_its_tenant_alone,
    a_value_is_a_credential,
    a_rotation_gives_a_native_value_and_leaves_a_grace,
    a_value_is_explained,
    an_exposed_value_is_revoked,
    what_bcrypt_would_cut_off_is_never_found,
    what_is_of_native_form_is_never_an_import,
    a_value_that_its_hint_nearly_shows_is_never_good,
    a_thousand_first_uses_in_a_batch_are_answered,
);

fn bcrypts(authority: &Authority) -> u64 {
    authority.counters().bcrypt_verifications.get()
}

async fn a_value_costs_one_bcrypt_in_its_life(backend: Backend) {
    let t = TestServer::start_with(backend, shared).await;
    let acme = t.tenant("acme", self_service()).await;
    let server = t.resource_server().await;
    let value = foreign("acme", 1);
    let token = imported_by(&acme, &value, &["write"]).await;
    let before = bcrypts(&t.authority);
    let first = server.introspect("acme", &value).await;
    assert!(first.allowed && first.token_id == token.token_id);
    assert_eq!(first.scopes, ["read", "write"]);
    assert_eq!(bcrypts(&t.authority), before + 1);
    for presented in [&*value, &format!("Bearer {value}"), &format!(" {value}\n")] {
        assert!(server.introspect("acme", presented).await.active);
    }
    assert_eq!(bcrypts(&t.authority), before + 1, "the second ran bcrypt");
    // Nor once the fingerprint is written, nor at another replica.
    let upgraded = &t.authority.counters().fingerprints_upgraded;
    let already = upgraded.get();
    t.authority.flush_usage().await.unwrap();
    assert_eq!(upgraded.get(), already + 1);
    t.authority.flush_usage().await.unwrap();
    assert!(server.introspect("acme", &value).await.active);
    assert_eq!(bcrypts(&t.authority), before + 1);
    // A wrong one is judged by the fingerprint, too.
    let wrong = value.replace("s3cret/s3cret", "s3cret/S3cret");
    assert!(!server.introspect("acme", &wrong).await.active);
    assert_eq!(bcrypts(&t.authority), before + 1);
    if backend == Backend::Postgres {
        let replica = t.replica().await;
        let there = replica.actor(server.value());
        let ran = bcrypts(&replica.authority);
        assert!(there.introspect("acme", &value).await.active);
        assert_eq!(bcrypts(&replica.authority), ran);
    }
}

async fn each_version_of_bcrypt_is_verified(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let server = t.resource_server().await;
    // Made by others than what verifies them: Python's bcrypt 5.0.0, by
    // hashpw(value, gensalt(5, prefix=b"2a")) and hashpw(value, gensalt(4)), and Apache's
    // htpasswd 2.4, by htpasswd -nbB -C 5 name value.
    let made = [
        (
            "acme_old.python2a-s3cret/s3cret/s3cret/s3cret",
            "$2a$05$kMy79W3AJJal5jAlhbU7a.Pnrwa1glyXitu9xN8OaPhbBV9BTSP3W",
        ),
        (
            "acme_old.python-s3cret/s3cret/s3cret/s3cret",
            "$2b$04$2y4mONg8fdSGq9MK/hmMF.JsE5ITe514EWR7BjF0NMajzOyq6yJUe",
        ),
        (
            "acme_old.apache-s3cret/s3cret/s3cret/s3cret",
            "$2y$05$j88t7BoK94vySEV1xb6VquEm9ggN.grrIRbA1AgZPFDf.CfzWUw.e",
        ),
    ];
    let token = |(value, hash): &(&str, &str)| pb::ImportedToken {
        secret_hash: (*hash).into(),
        ..imported(value, &acme.admin_id, &hash[..4])
    };
    let tokens = made.iter().map(token).collect();
    import(&acme.admin, batch(tokens)).await.unwrap();
    for (value, hash) in made {
        let wrong = value.replacen("s3cret/s3cret", "s3cret/S3cret", 1);
        assert!(!server.introspect("acme", &wrong).await.active, "{hash}");
        let answer = server.introspect("acme", value).await;
        assert_eq!((answer.active, &*answer.name), (true, &hash[..4]));
    }
}

async fn values_of_one_hint_are_told_apart(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let server = t.resource_server().await;
    let value = |at| foreign("acme", at);
    let token = |at: usize| pb::ImportedToken {
        hint: value(at)[..12].into(),
        ..imported(&value(at), &acme.admin_id, &at.to_string())
    };
    let request = pb::ImportTokensRequest {
        hint_length: 12,
        ..batch((0..4).map(token).collect())
    };
    import(&acme.admin, request).await.unwrap();
    // Hints of another length beside them.
    let longer = imported(&value(4), &acme.admin_id, "4");
    import(&acme.admin, batch(vec![longer])).await.unwrap();
    for _ in 0..2 {
        for at in (0..5).rev() {
            let answer = server.introspect("acme", &value(at)).await;
            assert_eq!((answer.active, answer.name), (true, at.to_string()));
        }
        assert!(!server.introspect("acme", &value(5)).await.active);
    }
    let ran = bcrypts(&t.authority);
    for at in 0..6 {
        server.introspect("acme", &value(at)).await;
    }
    assert_eq!(bcrypts(&t.authority), ran);
}

async fn a_value_is_of_its_tenant_alone(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let globex = t.tenant("globex", self_service()).await;
    let server = t.resource_server().await;
    let value = foreign("acme", 1);
    let token = imported_by(&acme, &value, &[]).await;
    let scopes = ["authority:introspect"];
    let wanted = crate::support::tokens::service("globex", "server", &scopes);
    let theirs = t.actor(&t.operator().create(wanted).await.value);
    // Who is bound to one tenant spends no other's bcrypt.
    let ran = bcrypts(&t.authority);
    for tenant_id in ["globex", "active"] {
        assert!(!theirs.introspect(tenant_id, &value).await.active);
    }
    assert_eq!(bcrypts(&t.authority), ran);
    assert!(!server.introspect("globex", &value).await.active);
    let about = explain_value("globex", &value);
    let explained = explain(&globex.admin, about).await.unwrap();
    // As of what nobody has.
    let about = explain_value("globex", &foreign("nobody", 1));
    let nobodys = explain(&globex.admin, about).await.unwrap();
    assert_eq!(explained, nobodys);
    assert_eq!(explained.reason(), pb::InactiveReason::Malformed);
    let named = pb::ListTokensRequest {
        tenant_id: "globex".into(),
        hint: token.hint,
        ..Default::default()
    };
    let listed = list(&globex.admin, named).await.unwrap();
    assert_eq!(listed.tokens, []);
    assert!(server.introspect("acme", &value).await.active);
}

async fn a_value_is_a_credential(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let value = foreign("acme", 1);
    let token = imported_by(&acme, &value, &["authority:tokens.read"]).await;
    let caller = t.actor(&value);
    let me = who_am_i(&caller, pb::WhoAmIRequest {}).await.unwrap();
    assert_eq!(me.token.unwrap().token_id, token.token_id);
    let ran = bcrypts(&t.authority);
    let own = pb::GetTokenRequest {
        tenant_id: "active".into(),
        token_id: token.token_id.clone(),
        ..Default::default()
    };
    let found = get(&caller, own).await.unwrap().token.unwrap();
    assert_eq!(found.hint, &value[..24]);
    assert_eq!(bcrypts(&t.authority), ran);
    let wrong = t.actor(&value.replace("s3cret/s3cret", "s3cret/S3cret"));
    assert_eq!(
        outcome(who_am_i(&wrong, pb::WhoAmIRequest {}).await).as_deref(),
        Some("Unauthenticated CALLER_UNAUTHENTICATED")
    );
    let request = pb::RevokeCurrentTokenRequest::default();
    revoke_current(&caller, request).await.unwrap();
    assert_eq!(
        outcome(who_am_i(&caller, pb::WhoAmIRequest {}).await).as_deref(),
        Some("Unauthenticated CALLER_UNAUTHENTICATED")
    );
    let server = t.resource_server().await;
    assert!(!server.introspect("acme", &value).await.active);
    // It is revoked for good: its hash is not taken again.
    let again = imported(&value, &acme.admin_id, "again");
    let refusal = outcome(import(&acme.admin, batch(vec![again])).await).unwrap();
    assert!(refusal.contains("ALREADY_IMPORTED"), "{refusal}");
}

async fn a_rotation_gives_a_native_value_and_leaves_a_grace(backend: Backend) {
    let t = TestServer::start(backend).await;
    let policy = pb::TenantPolicy {
        self_rotation: true,
        ..self_service()
    };
    let acme = t.tenant("acme", policy).await;
    let server = t.resource_server().await;
    let (one, two) = (foreign("acme", 1), foreign("acme", 2));
    let token = imported_by(&acme, &one, &[]).await;
    let (after, value) = rotated(&acme.admin, rotation(&token.token_id, 60)).await;
    assert_eq!(after.token_id, token.token_id);
    assert_eq!(after.previous_values[0].hint, token.hint);
    assert_eq!(after.hint, &value[..13]);
    assert!(server.introspect("acme", &one).await.active);
    assert!(server.introspect("acme", &value).await.active);
    t.advance(std::time::Duration::from_secs(60));
    assert!(!server.introspect("acme", &one).await.active);
    assert!(server.introspect("acme", &value).await.active);
    let events = "SELECT CAST(COUNT(*) AS TEXT) FROM audit_events
                   WHERE action = 'EndedValueUsed'";
    assert_eq!(t.database.texts(events).await, ["1"]);
    // And by itself.
    let token = imported(&two, &acme.admin_id, "two");
    import(&acme.admin, batch(vec![token])).await.unwrap();
    let rolled = roll(&t.actor(&two), rolling(0)).await.unwrap();
    assert!(!server.introspect("acme", &two).await.active);
    assert!(server.introspect("acme", &rolled.value).await.active);
}

fn explain_value(tenant_id: &str, value: &str) -> pb::ExplainTokenRequest {
    pb::ExplainTokenRequest {
        tenant_id: tenant_id.into(),
        subject: Some(pb::explain_token_request::Subject::Value(value.into())),
        ..Default::default()
    }
}

async fn a_value_is_explained(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let value = foreign("acme", 1);
    let token = imported_by(&acme, &value, &["read"]).await;
    let about = explain_value("acme", &value);
    let explained = explain(&acme.admin, about.clone()).await.unwrap();
    assert!(explained.active);
    assert_eq!(explained.value_state(), pb::ValueState::Current);
    assert_eq!(explained.token.unwrap().token_id, token.token_id);
    // Its owner alone, of those who reach their own alone.
    let bob = t.member(&acme, "bob", &["authority:tokens.read"]).await;
    let unknown = explain(&bob.actor, about.clone()).await.unwrap();
    let nobodys = explain_value("acme", &foreign("acme", 2));
    let nobodys = explain(&bob.actor, nobodys).await.unwrap();
    assert_eq!(unknown, nobodys);
    assert_eq!(unknown.reason(), pb::InactiveReason::Malformed);
    for (value, reason) in [
        (
            value.replace("s3cret/s3cret", "s3cret/S3cret"),
            pb::InactiveReason::Unknown,
        ),
        (foreign("acme", 2), pb::InactiveReason::Malformed),
    ] {
        let explained = explain(&acme.admin, explain_value("acme", &value)).await;
        assert_eq!(explained.unwrap().reason(), reason);
    }
    acme.admin.revoke("acme", &token.token_id).await;
    let explained = explain(&acme.admin, about).await.unwrap();
    assert_eq!(explained.reason(), pb::InactiveReason::Revoked);
}

async fn an_exposed_value_is_revoked(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let server = t.resource_server().await;
    let value = foreign("acme", 1);
    imported_by(&acme, &value, &[]).await;
    let wrong = value.replace("s3cret/s3cret", "s3cret/S3cret");
    for (exposed, active) in [(&wrong, true), (&value, false), (&value, false)] {
        let request = pb::RevokeExposedTokenRequest {
            value: exposed.clone(),
        };
        expose(&t.nobody(), request).await.unwrap();
        assert_eq!(server.introspect("acme", &value).await.active, active);
    }
}

async fn what_bcrypt_would_cut_off_is_never_found(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let server = t.resource_server().await;
    let value = format!("{}{}", foreign("acme", 1), "x".repeat(72));
    let whole = &value[..72];
    imported_by(&acme, whole, &[]).await;
    assert!(server.introspect("acme", whole).await.active);
    // Longer ones of which bcrypt sees the same.
    for longer in [&value[..73], &value[..100]] {
        assert!(!server.introspect("acme", longer).await.active);
    }
    assert!(!server.introspect("acme", &value[..71]).await.active);
}

async fn what_is_of_native_form_is_never_an_import(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let server = t.resource_server().await;
    let native = acme.admin.issue("native", &[]).await.value;
    acme.admin
        .revoke("acme", &server_token(&server, &native).await)
        .await;
    let token = pb::ImportedToken {
        hint: native[..24].into(),
        ..imported(&native, &acme.admin_id, "smuggled")
    };
    import(&acme.admin, batch(vec![token])).await.unwrap();
    let ran = bcrypts(&t.authority);
    assert!(!server.introspect("acme", &native).await.active);
    assert_eq!(bcrypts(&t.authority), ran);
}

async fn a_value_that_its_hint_nearly_shows_is_never_good(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let server = t.resource_server().await;
    let whole = foreign("acme", 1);
    let ran = bcrypts(&t.authority);
    for (length, good) in [(24, false), (39, false), (40, true)] {
        let value = &whole[..length];
        let token = imported(value, "", &length.to_string());
        import(&acme.admin, batch(vec![token])).await.unwrap();
        assert_eq!(server.introspect("acme", value).await.active, good);
        // Nor does it cost anything.
        assert_eq!(bcrypts(&t.authority) > ran, good);
    }
    let bare = pb::ImportTokensRequest {
        hint_length: 8,
        tokens: vec![pb::ImportedToken {
            hint: whole[..8].into(),
            ..imported(&whole, "", "bare")
        }],
        ..batch(vec![])
    };
    let refusal = outcome(import(&acme.admin, bare).await).unwrap();
    assert!(refusal.contains("INVALID_HINT"), "{refusal}");
}

async fn server_token(server: &crate::support::Actor, value: &str) -> String {
    server.introspect("acme", value).await.token_id
}

async fn a_thousand_first_uses_in_a_batch_are_answered(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let server = t.resource_server().await;
    let count = 1000;
    let tokens = (0..count).map(|at| imported(&foreign("acme", at), "", &at.to_string()));
    import(&acme.admin, batch(tokens.collect())).await.unwrap();
    let requests = (0..count).map(|at| question("acme", &foreign("acme", at)));
    let request = pb::BatchIntrospectRequest {
        requests: requests.collect(),
    };
    let ran = bcrypts(&t.authority);
    for _ in 0..2 {
        let answer = ask_batch(&server, request.clone()).await.unwrap();
        for (at, result) in answer.results.into_iter().enumerate() {
            let Some(pb::batch_introspect_result::Result::Response(answer)) = result.result else {
                panic!("{result:?}")
            };
            assert_eq!((answer.active, answer.name), (true, at.to_string()));
        }
        assert_eq!(bcrypts(&t.authority), ran + count as u64);
    }
}
