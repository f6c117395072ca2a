//! `UserService/ResumeUser`.

use std::time::Duration;

use token_authority::pb;

use crate::support::{
    Backend, TestServer, administrators_only, both_backends, message, refused, self_service, share,
};

both_backends!(
    a_resumed_users_tokens_are_what_they_were,
    only_who_vouches_for_a_user_resumes_it,
    only_its_administrators_resume_users_of_a_tenant,
);

fn request(tenant_id: &str, user_id: &str) -> pb::ResumeUserRequest {
    message!(ResumeUserRequest {
        tenant_id: tenant_id,
        user_id: user_id
    })
}

async fn a_resumed_users_tokens_are_what_they_were(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    t.tenant("beta", self_service()).await;
    let server = t.resource_server().await;
    let alice = t
        .member(&acme, "alice", &["write", "authority:tokens.write"])
        .await;
    let there = share(&t, &alice.user_id, "beta").await;
    let revoked = alice.actor.issue("revoked", &["read"]).await;
    let before = server.introspect("acme", alice.actor.value()).await;
    let suspend = message!(SuspendUserRequest {
        tenant_id: "acme",
        user_id: &alice.user_id
    });
    acme.admin.suspend_user(suspend).await.unwrap();
    acme.admin
        .revoke("acme", &revoked.token.unwrap().token_id)
        .await;

    let resumed = acme
        .admin
        .resume_user(request("acme", &alice.user_id))
        .await
        .unwrap();
    assert_eq!(
        resumed.user.as_ref().unwrap().state(),
        pb::UserState::Active
    );
    let after = server.introspect("acme", alice.actor.value()).await;
    assert_eq!(
        after,
        pb::IntrospectResponse {
            revision: resumed.revision.clone(),
            ..before
        }
    );
    assert!(server.introspect("beta", there.value()).await.active);
    assert!(!server.introspect("acme", &revoked.value).await.active);
    alice.actor.issue("new", &["read"]).await;

    // Again, nothing is done.
    t.advance(Duration::from_secs(5));
    let again = acme
        .admin
        .resume_user(request("acme", &alice.user_id))
        .await
        .unwrap();
    assert_eq!(again.user, resumed.user);
}

async fn only_who_vouches_for_a_user_resumes_it(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let beta = t.tenant("beta", self_service()).await;
    let alice = t.member(&acme, "alice", &["read"]).await;
    share(&t, &alice.user_id, "beta").await;
    let suspend = message!(SuspendUserRequest {
        tenant_id: "acme",
        user_id: &alice.user_id
    });
    acme.admin.suspend_user(suspend).await.unwrap();
    let refusal = refused(
        beta.admin
            .resume_user(request("beta", &alice.user_id))
            .await,
    );
    assert_eq!(refusal, "PermissionDenied USER_NOT_VOUCHED");
    let resumed = t
        .operator()
        .resume_user(request("beta", &alice.user_id))
        .await
        .unwrap();
    assert_eq!(resumed.user.unwrap().state(), pb::UserState::Active);
}

async fn only_its_administrators_resume_users_of_a_tenant(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    administrators_only(&t, &acme, async |caller| {
        refused(caller.resume_user(request("acme", &acme.admin_id)).await)
    })
    .await;
    let unknown = format!("usr_{}", "0".repeat(22));
    let refusal = refused(acme.admin.resume_user(request("acme", &unknown)).await);
    assert_eq!(refusal, "NotFound USER_NOT_FOUND");
}
