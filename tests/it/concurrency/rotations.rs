//! Rotations that race with each other, with a revocation and with introspections.

use token_authority::pb;
use tonic::Status;

use super::{Call, ROUNDS, Stage, at_once, number, one_wins, race, token};
use crate::support::tokens::{id, revoke, roll, rolling, rotate, rotation};
use crate::support::{Actor, Backend, both_backends_in_parallel, refusal, self_service};

both_backends_in_parallel!(
    every_value_that_was_given_out_goes_on,
    of_rotations_of_one_version_one_wins,
    of_rotations_by_one_value_one_wins,
    no_value_of_a_revoked_token_is_active,
    an_introspection_that_begins_after_a_rotation_sees_it,
);

type Rotated = Result<pb::RotateTokenResponse, Status>;

/// Returns a call that rotates a token.
fn rotating(actor: &Actor, request: pb::RotateTokenRequest) -> Call<Rotated> {
    let actor = actor.clone();
    Box::pin(async move { rotate(&actor, request).await })
}

async fn every_value_that_was_given_out_goes_on(backend: Backend) {
    let stage = Stage::set(backend, self_service()).await;
    let admin = &stage.acme.admin;
    let user_id = stage.user("alice").await;
    let mut lost = 0;
    for round in 0..ROUNDS {
        let created = admin.create(token(&user_id, "a", &["read"])).await;
        let calls = (0..3).map(|_| rotating(admin, rotation(&id(&created), 60)));
        let mut values = vec![created.value.clone()];
        for outcome in at_once(calls).await {
            match outcome {
                Ok(rotated) => values.push(rotated.value),
                Err(status) => {
                    lost += 1;
                    assert_eq!(refusal(&status), "Aborted ETAG_MISMATCH");
                }
            }
        }
        assert!(values.len() > 1, "round {round}: all lost");
        for value in values {
            let told = stage.server.introspect("acme", &value).await;
            assert!(told.active, "round {round}: ended unused");
        }
    }
    assert!(lost > 0, "no race");
    stage.end().await;
}

async fn of_rotations_of_one_version_one_wins(backend: Backend) {
    let stage = Stage::set(backend, self_service()).await;
    let admin = &stage.acme.admin;
    let user_id = stage.user("alice").await;
    let created = admin.create(token(&user_id, "a", &["read"])).await;
    let (mut record, mut value) = (created.token.unwrap(), created.value);
    for _ in 0..ROUNDS {
        let request = pb::RotateTokenRequest {
            etag: record.etag.clone(),
            ..rotation(&record.token_id, 0)
        };
        let calls = (0..3).map(|_| rotating(admin, request.clone()));
        let won = one_wins(at_once(calls).await, "Aborted ETAG_MISMATCH");
        assert!(!stage.server.introspect("acme", &value).await.active);
        (record, value) = (won.token.unwrap(), won.value);
        assert!(stage.server.introspect("acme", &value).await.active);
    }
    stage.end().await;
}

async fn of_rotations_by_one_value_one_wins(backend: Backend) {
    let policy = pb::TenantPolicy {
        self_rotation: true,
        ..self_service()
    };
    let stage = Stage::set(backend, policy).await;
    let admin = &stage.acme.admin;
    let user_id = stage.user("alice").await;
    for round in 0..ROUNDS {
        let created = admin.create(token(&user_id, "a", &["read"])).await;
        // In grace the loser is still known; without, its value may be over already.
        let grace = if round % 2 == 0 { 60 } else { 0 };
        let calls = (0..3).map(|_| {
            let actor = stage.t.actor(&created.value);
            let call: Call<Result<pb::RotateCurrentTokenResponse, Status>> =
                Box::pin(async move { roll(&actor, rolling(grace)).await });
            call
        });
        let mut won = Vec::new();
        for outcome in at_once(calls).await {
            match outcome {
                Ok(rolled) => won.push(rolled.value),
                Err(status) => {
                    let refusal = refusal(&status);
                    assert!(
                        refusal == "FailedPrecondition VALUE_NOT_CURRENT"
                            || (grace == 0 && refusal == "Unauthenticated CALLER_UNAUTHENTICATED"),
                        "{refusal}"
                    );
                }
            }
        }
        assert_eq!(won.len(), 1, "round {round}");
        assert!(stage.server.introspect("acme", &won[0]).await.active);
    }
    stage.end().await;
}

async fn no_value_of_a_revoked_token_is_active(backend: Backend) {
    let stage = Stage::set(backend, self_service()).await;
    let admin = &stage.acme.admin;
    let user_id = stage.user("alice").await;
    for round in 0..ROUNDS {
        let created = admin.create(token(&user_id, "a", &["read"])).await;
        let rotate = rotating(admin, rotation(&id(&created), 60));
        let revoking = admin.clone();
        let request = pb::RevokeTokenRequest {
            tenant_id: "acme".into(),
            token_id: id(&created),
            ..Default::default()
        };
        let rotate = tokio::spawn(rotate);
        let revoke = async move { revoke(&revoking, request).await };
        let (_, revoked) = race(round, Vec::new(), revoke).await;
        revoked.unwrap();
        let mut values = vec![created.value.clone()];
        match rotate.await.unwrap() {
            Ok(rotated) => values.push(rotated.value),
            Err(status) => assert_eq!(refusal(&status), "FailedPrecondition TOKEN_REVOKED"),
        }
        for value in values {
            let told = stage.server.introspect("acme", &value).await;
            assert!(!told.active, "round {round}");
        }
    }
    stage.end().await;
}

async fn an_introspection_that_begins_after_a_rotation_sees_it(backend: Backend) {
    let stage = Stage::set(backend, self_service()).await;
    let admin = &stage.acme.admin;
    let user_id = stage.user("alice").await;
    for round in 0..ROUNDS {
        let created = admin.create(token(&user_id, "a", &["read"])).await;
        let mut asking = Vec::new();
        for _ in 0..3 {
            let (server, value) = (stage.server.clone(), created.value.clone());
            let ask: Call<Vec<pb::IntrospectResponse>> = Box::pin(async move {
                let mut answers = Vec::new();
                for _ in 0..5 {
                    answers.push(server.introspect("acme", &value).await);
                }
                answers
            });
            asking.push(ask);
        }
        let asking = tokio::spawn(at_once(asking));
        let rotate = rotating(admin, rotation(&id(&created), 0));
        let (_, rotated) = race(round, Vec::new(), rotate).await;
        let rotated = rotated.unwrap();
        let new = stage.server.introspect("acme", &rotated.value).await;
        assert!(new.active, "round {round}");
        let old = stage.server.introspect("acme", &created.value).await;
        assert!(!old.active, "round {round}");
        let revision = number(&rotated.revision);
        assert!(number(&new.revision) >= revision && number(&old.revision) >= revision);
        for answers in asking.await.unwrap() {
            // Never active again, and never active at or past the rotation.
            assert!(
                answers.is_sorted_by_key(|answer| !answer.active),
                "round {round}"
            );
            let active = answers.iter().filter(|answer| answer.active);
            let mut past = active.filter(|answer| number(&answer.revision) >= revision);
            assert!(past.next().is_none(), "round {round}");
        }
    }
    stage.end().await;
}
