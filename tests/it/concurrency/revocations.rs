//! Revoking while others introspect, create and revoke.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tonic::Code;

use token_authority::pb;

use super::{Call, Stage, at_once, created, number, race, token};
use crate::support::tokens::{batch_revoke, expose, id, revoke_all, revoke_current};
use crate::support::{Actor, Backend, both_backends_in_parallel, self_service};

both_backends_in_parallel!(
    once_a_revocation_is_acknowledged_no_introspection_finds_the_token,
    all_created_before_are_dead_and_all_created_after_live,
    an_exposed_value_is_revoked_once_however_many_show_it,
    a_revocation_meets_the_deletion_of_the_tokens_user_elsewhere,
);

/// How often each race is run.
const ROUNDS: usize = 20;

/// Introspects until `revoked` and once more; a token that is found active by a call
/// that began after `revoked` fails.
fn watch(server: &Actor, value: &str, revoked: &Arc<AtomicBool>) -> Call<()> {
    let (server, value, revoked) = (server.clone(), value.to_owned(), Arc::clone(revoked));
    Box::pin(async move {
        loop {
            let dead = revoked.load(Ordering::SeqCst);
            let active = server.introspect("acme", &value).await.active;
            assert!(!(dead && active), "a revoked token was active");
            if dead {
                return;
            }
        }
    })
}

async fn once_a_revocation_is_acknowledged_no_introspection_finds_the_token(backend: Backend) {
    let stage = Stage::set(backend, self_service()).await;
    let admin = &stage.acme.admin;
    for round in 0..ROUNDS {
        let user_id = stage.user(&format!("u{round}")).await;
        let created = admin.create(token(&user_id, "a", &["read"])).await;
        let (value, token_id) = (created.value.clone(), id(&created));
        let (admin, bearer, nobody) = (admin.clone(), stage.t.actor(&value), stage.t.nobody());
        let exposed = value.clone();
        let revoke: Call<()> = match round % 4 {
            0 => Box::pin(async move {
                let request = pb::RevokeCurrentTokenRequest::default();
                revoke_current(&bearer, request).await.map(drop).unwrap();
            }),
            1 => Box::pin(async move {
                let request = pb::RevokeExposedTokenRequest { value: exposed };
                expose(&nobody, request).await.map(drop).unwrap();
            }),
            2 => Box::pin(async move {
                let request = pb::BatchRevokeTokensRequest {
                    tenant_id: "acme".into(),
                    token_ids: vec![token_id],
                    ..Default::default()
                };
                let answer = batch_revoke(&admin, request).await.unwrap();
                assert_eq!(answer.revoked_count, 1);
            }),
            _ => Box::pin(async move {
                let request = pb::RevokeAllTokensRequest {
                    tenant_id: "acme".into(),
                    user_id,
                    ..Default::default()
                };
                revoke_all(&admin, request).await.map(drop).unwrap();
            }),
        };
        let revoked = Arc::new(AtomicBool::new(false));
        let acknowledged = Arc::clone(&revoked);
        let mut calls: Vec<Call<()>> = (0..4)
            .map(|_| watch(&stage.server, &value, &revoked))
            .collect();
        calls.push(Box::pin(async move {
            revoke.await;
            acknowledged.store(true, Ordering::SeqCst);
        }));
        at_once(calls).await;
    }
    stage.end().await;
}

async fn all_created_before_are_dead_and_all_created_after_live(backend: Backend) {
    let stage = Stage::set(backend, self_service()).await;
    let admin = &stage.acme.admin;
    for round in 0..ROUNDS {
        let user_id = stage.user(&format!("u{round}")).await;
        let asked = |name: &str| token(&user_id, name, &["read"]);
        let before = admin.create(asked("before")).await;
        let revoking = admin.clone();
        let request = pb::RevokeAllTokensRequest {
            tenant_id: "acme".into(),
            user_id: user_id.clone(),
            ..Default::default()
        };
        let rival = async move { revoke_all(&revoking, request).await.unwrap().revision };
        let creates = vec![
            (admin, asked("a")),
            (admin, asked("b")),
            (admin, asked("c")),
        ];
        let (outcomes, revision) = race(round, creates, rival).await;
        let after = admin.create(asked("after")).await;
        assert!(!stage.introspect(&before).await.active, "round {round}");
        assert!(stage.introspect(&after).await.active, "round {round}");
        for created in created(outcomes, &[]) {
            let earlier = number(&created.revision) < number(&revision);
            let active = stage.introspect(&created).await.active;
            assert_eq!(active, !earlier, "round {round}");
        }
    }
    stage.end().await;
}

async fn an_exposed_value_is_revoked_once_however_many_show_it(backend: Backend) {
    let stage = Stage::set(backend, self_service()).await;
    let admin = &stage.acme.admin;
    let user_id = stage.user("alice").await;
    let rounds = ROUNDS / 4;
    for _ in 0..rounds {
        let created = admin.create(token(&user_id, "a", &["read"])).await;
        let shows = (0..20).map(|_| {
            let (nobody, value) = (stage.t.nobody(), created.value.clone());
            let call: Call<()> = Box::pin(async move {
                loop {
                    let request = pb::RevokeExposedTokenRequest {
                        value: value.clone(),
                    };
                    match expose(&nobody, request).await {
                        Ok(pb::RevokeExposedTokenResponse {}) => return,
                        // More at once than have a place: asked again, as it is told.
                        Err(status) => assert_eq!(status.code(), Code::ResourceExhausted),
                    }
                }
            });
            call
        });
        at_once(shows).await;
        assert!(!stage.introspect(&created).await.active);
    }
    let acts = "SELECT CAST(COUNT(*) AS TEXT) FROM audit_events
                 WHERE action = 'RevokeExposedToken' AND caller_id IS NULL";
    let acts = stage.t.database.texts(acts).await;
    assert_eq!(acts, [rounds.to_string()]);
    stage.end().await;
}

/// The tenant that vouches for the user deletes it while another revokes its token: both
/// succeed, whoever comes first.
async fn a_revocation_meets_the_deletion_of_the_tokens_user_elsewhere(backend: Backend) {
    let stage = Stage::set(backend, self_service()).await;
    let globex = stage.t.tenant("globex", self_service()).await;
    let operator = stage.t.operator();
    for round in 0..2 * ROUNDS {
        let name = format!("u{round}");
        let user_id = operator
            .create_user("globex", &name, pb::Role::Member)
            .await;
        crate::support::share(&stage.t, &user_id, "acme").await;
        let created = stage
            .acme
            .admin
            .create(token(&user_id, "a", &["read"]))
            .await;
        let (admin, token_id) = (stage.acme.admin.clone(), id(&created));
        let revoke: Call<()> = Box::pin(async move {
            admin.revoke("acme", &token_id).await;
        });
        let (admin, user_id) = (globex.admin.clone(), user_id.clone());
        let delete: Call<()> = Box::pin(async move {
            crate::support::tokens::delete_user(&admin, "globex", &user_id).await;
        });
        let calls = if round % 2 == 0 {
            [revoke, delete]
        } else {
            [delete, revoke]
        };
        at_once(calls).await;
        assert!(!stage.introspect(&created).await.active);
    }
    stage.end().await;
}
