//! Clients that go before they are answered.

use std::collections::BTreeMap;

use token_authority::pb;

use crate::support::{Actor, Backend, TestServer, both_backends, invariants, self_service, tokens};

both_backends!(what_a_client_that_went_had_asked_for_is_done_as_a_whole_or_not_at_all);

/// How often a client goes: more often than the server has connections.
const TIMES: usize = 36;

/// Makes a call and goes after a moment; returns whether it was answered before.
async fn goes<T>(actor: &Actor, moment: usize, call: impl Future<Output = T>) -> bool {
    let moment = async {
        for _ in 0..moment {
            // A call that comes to nothing takes a moment.
            let _ = actor.raw("/nothing/Here", Vec::new()).await;
        }
    };
    tokio::select! {
        biased;
        _ = call => true,
        () = moment => false,
    }
}

async fn what_a_client_that_went_had_asked_for_is_done_as_a_whole_or_not_at_all(backend: Backend) {
    let mut t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let admin = &acme.admin;
    let mut targets = Vec::new();
    for time in 0..TIMES {
        targets.push(admin.issue(&format!("target {time}"), &["read"]).await);
    }
    let mut answered = BTreeMap::new();
    for (time, target) in targets.iter().enumerate() {
        let (moment, name) = (time % 12, format!("new {time}"));
        let create = admin.try_create(tokens::wanted(&name, &["read"]));
        answered.insert(name, goes(admin, moment, create).await);
        let revoke = tokens::revoke(
            admin,
            pb::RevokeTokenRequest {
                tenant_id: "active".into(),
                token_id: tokens::id(target),
                ..Default::default()
            },
        );
        answered.insert(format!("target {time}"), goes(admin, moment, revoke).await);
    }
    let went = answered.values().filter(|answered| !**answered).count();
    assert!(went > 8, "nobody goes: {went}");

    // It serves on, and comes to an end as ever.
    let last = admin.issue("last", &["read"]).await;
    t.restart(async |database, _| invariants::check(database).await)
        .await;
    let server = t.resource_server().await;
    assert!(server.introspect("acme", &last.value).await.active);
    let admin = t.actor(acme.admin.value());
    let request = pb::ListTokensRequest {
        tenant_id: "active".into(),
        page_size: 1000,
        show_revoked: true,
        ..Default::default()
    };
    let listed = tokens::list(&admin, request).await.unwrap().tokens;
    let state = |name: &str| {
        let found = listed.iter().find(|token| token.name == name);
        found.map(pb::Token::state)
    };
    for (name, answered) in answered {
        let (done, undone) = if name.starts_with("new") {
            (Some(pb::TokenState::Active), None)
        } else {
            (Some(pb::TokenState::Revoked), Some(pb::TokenState::Active))
        };
        let state = state(&name);
        assert!(
            state == done || (state == undone && !answered),
            "{name}, answered={answered}: {state:?}"
        );
    }
    for (time, target) in targets.iter().enumerate() {
        let active = state(&format!("target {time}")) == Some(pb::TokenState::Active);
        let answer = server.introspect("acme", &target.value).await;
        assert_eq!(answer.active, active, "target {time}");
    }
}
