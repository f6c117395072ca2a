//! Creating a token while its owner, its tenant or its creator goes.

use token_authority::pb;

use super::{ROUNDS, Stage, created, number, race, token};
use crate::support::{Backend, both_backends_in_parallel, self_service};

both_backends_in_parallel!(
    no_token_of_a_deleted_user_lives,
    no_token_of_a_suspended_user_is_active_until_it_is_resumed,
    no_token_of_a_removed_member_lives_also_when_it_is_added_again,
    no_token_of_a_deleted_tenant_lives,
    a_revoked_token_creates_no_other_afterwards,
);

const MINTING: &[&str] = &["write", "authority:tokens.write"];
const NO_CALLER: &str = "Unauthenticated CALLER_UNAUTHENTICATED";
const NO_USER: &str = "NotFound USER_NOT_FOUND";

async fn no_token_of_a_deleted_user_lives(backend: Backend) {
    let stage = Stage::set(backend, self_service()).await;
    for round in 0..ROUNDS {
        let user = stage
            .t
            .member(&stage.acme, &format!("u{round}"), MINTING)
            .await;
        let admin = stage.acme.admin.clone();
        let request = pb::DeleteUserRequest {
            tenant_id: "acme".into(),
            user_id: user.user_id.clone(),
            ..Default::default()
        };
        let delete = async move { admin.users().delete_user(admin.call(request)).await };
        let asked = |name| token(&user.user_id, name, &["read"]);
        let creates = vec![
            (&stage.acme.admin, asked("a")),
            (&user.actor, asked("b")),
            (&stage.acme.admin, asked("c")),
        ];
        let (outcomes, deleted) = race(round, creates, delete).await;
        deleted.unwrap();
        for created in created(outcomes, &[NO_CALLER, NO_USER]) {
            assert!(!stage.introspect(&created).await.active, "round {round}");
        }
        let answer = stage.server.introspect("acme", user.actor.value()).await;
        assert!(!answer.active, "round {round}");
    }
    stage.end().await;
}

async fn no_token_of_a_suspended_user_is_active_until_it_is_resumed(backend: Backend) {
    let stage = Stage::set(backend, self_service()).await;
    let admin = &stage.acme.admin;
    let user = stage.t.member(&stage.acme, "alice", MINTING).await;
    for round in 0..ROUNDS {
        let (request, suspending) = (
            pb::SuspendUserRequest {
                tenant_id: "acme".into(),
                user_id: user.user_id.clone(),
                ..Default::default()
            },
            admin.clone(),
        );
        let suspend = async move {
            let call = suspending.call(request);
            suspending.users().suspend_user(call).await
        };
        let asked = |name| token(&user.user_id, name, &["read"]);
        let creates = vec![
            (admin, asked("a")),
            (&user.actor, asked("b")),
            (admin, asked("c")),
        ];
        let (outcomes, suspended) = race(round, creates, suspend).await;
        suspended.unwrap();
        let all = created(outcomes, &[NO_CALLER, "FailedPrecondition USER_SUSPENDED"]);
        for created in &all {
            assert!(!stage.introspect(created).await.active, "round {round}");
        }
        let request = pb::ResumeUserRequest {
            tenant_id: "acme".into(),
            user_id: user.user_id.clone(),
            ..Default::default()
        };
        let call = admin.call(request);
        admin.users().resume_user(call).await.unwrap();
        for created in &all {
            assert!(stage.introspect(created).await.active, "round {round}");
        }
    }
    stage.end().await;
}

async fn no_token_of_a_removed_member_lives_also_when_it_is_added_again(backend: Backend) {
    let stage = Stage::set(backend, self_service()).await;
    let admin = &stage.acme.admin;
    let user_id = stage.user("alice").await;
    for round in 0..ROUNDS {
        let own = stage.t.token_of("acme", &user_id, MINTING).await;
        let (request, removing) = (
            pb::RemoveMemberRequest {
                tenant_id: "acme".into(),
                user_id: user_id.clone(),
                ..Default::default()
            },
            admin.clone(),
        );
        let remove = async move {
            let call = removing.call(request);
            removing.users().remove_member(call).await
        };
        let asked = |name| token(&user_id, name, &["read"]);
        let creates = vec![(admin, asked("a")), (&own, asked("b")), (admin, asked("c"))];
        let (outcomes, removed) = race(round, creates, remove).await;
        removed.unwrap();
        let all = created(outcomes, &[NO_CALLER, NO_USER]);
        for created in &all {
            assert!(!stage.introspect(created).await.active, "round {round}");
        }
        let request = pb::AddMemberRequest {
            tenant_id: "acme".into(),
            user_id: user_id.clone(),
            role: pb::Role::Member.into(),
            ..Default::default()
        };
        let call = admin.call(request);
        admin.users().add_member(call).await.unwrap();
        for created in &all {
            assert!(!stage.introspect(created).await.active, "round {round}");
        }
    }
    stage.end().await;
}

async fn no_token_of_a_deleted_tenant_lives(backend: Backend) {
    let stage = Stage::set(backend, self_service()).await;
    let operator = stage.t.operator();
    for round in 0..ROUNDS {
        let tenant_id = format!("t{round:03}");
        let tenant = stage.t.tenant(&tenant_id, self_service()).await;
        let (deleting, request) = (
            operator.clone(),
            pb::DeleteTenantRequest {
                tenant_id: tenant_id.clone(),
                ..Default::default()
            },
        );
        let delete = async move {
            let call = deleting.call(request);
            deleting.tenants().delete_tenant(call).await
        };
        let asked = |name| pb::CreateTokenRequest {
            tenant_id: tenant_id.clone(),
            ..token(&tenant.admin_id, name, &["read"])
        };
        let creates = vec![
            (&operator, asked("a")),
            (&tenant.admin, asked("b")),
            (&operator, asked("c")),
        ];
        let (outcomes, deleted) = race(round, creates, delete).await;
        deleted.unwrap();
        for created in created(outcomes, &[NO_CALLER, "NotFound TENANT_NOT_FOUND"]) {
            let answer = stage.server.introspect(&tenant_id, &created.value).await;
            assert!(!answer.active, "round {round}");
        }
    }
    stage.end().await;
}

/// What was created before the revocation stays; that is a token's own.
async fn a_revoked_token_creates_no_other_afterwards(backend: Backend) {
    let stage = Stage::set(backend, self_service()).await;
    let user_id = stage.user("alice").await;
    for round in 0..ROUNDS {
        let minting = stage
            .t
            .operator()
            .create(token(&user_id, "minting", MINTING))
            .await;
        let actor = stage.t.actor(&minting.value);
        // By an administrator, or by the token itself.
        let revoking = if round % 2 == 0 {
            actor.clone()
        } else {
            stage.acme.admin.clone()
        };
        let token_id = minting.token.unwrap().token_id;
        let listing = stage.acme.admin.clone();
        let own = user_id.clone();
        let revoke = async move {
            let revoked = revoking.revoke("acme", &token_id).await;
            let request = pb::ListTokensRequest {
                tenant_id: "acme".into(),
                user_id: own,
                page_size: 1000,
                ..Default::default()
            };
            let call = listing.call(request.clone());
            let listed = listing.tokens().list_tokens(call).await.unwrap();
            (revoked, request, listed.into_inner().tokens)
        };
        let asked = |name| token("", name, &["read"]);
        let creates = vec![
            (&actor, asked("a")),
            (&actor, asked("b")),
            (&actor, asked("c")),
            (&actor, asked("d")),
        ];
        let (outcomes, (revoked, request, listed)) = race(round, creates, revoke).await;
        for created in created(outcomes, &[NO_CALLER]) {
            assert!(
                number(&created.revision) < number(&revoked.revision),
                "round {round}: created at {}, revoked at {}",
                created.revision,
                revoked.revision
            );
        }
        let admin = &stage.acme.admin;
        let call = admin.call(request);
        let later = admin.tokens().list_tokens(call).await.unwrap();
        let later = later.into_inner().tokens;
        assert_eq!(later.len(), listed.len(), "round {round}");
        for token in later {
            admin.revoke("acme", &token.token_id).await;
        }
    }
    stage.end().await;
}
