//! `InviteService/ClaimInvite`: an invite is as good as the right of whoever made it, and
//! who was removed does not come back by one.

use std::time::Duration;

use token_authority::pb;

use crate::support::invites::{first, guest, returning};
use crate::support::tokens::{
    changed, delete_tenant, delete_user, disabled, own_id, remove_member, revoke_all, scopes,
    set_catalog, set_policy, set_role, suspend_tenant, suspend_user, ttl, wanted,
};
use crate::support::{
    Actor, Backend, Tenant, TestServer, both_backends, catalog, message, outcome, self_service,
    share,
};

both_backends!(
    it_is_dead_while_its_maker_may_not_make_it,
    it_is_dead_for_good_once_its_makers_token_is,
    a_suspended_tenants_invites_wait_and_a_deleted_ones_are_dead,
    what_the_first_token_may_do_is_judged_again,
    nobody_joins_twice_or_while_suspended,
    who_was_removed_does_not_come_back_by_what_was_open,
);

/// Returns why a claim was refused; `None` when it was served.
async fn claim(t: &TestServer, value: &str) -> Option<String> {
    let outcome = outcome(t.nobody().try_claim(value).await);
    if let Some(refusal) = &outcome {
        assert_eq!(refusal, "NotFound INVITE_NOT_FOUND");
    }
    outcome
}

/// Makes another administrator of a tenant, and its token.
async fn deputy(t: &TestServer, acme: &Tenant, name: &str) -> (String, Actor) {
    let tenant_id = &acme.tenant_id;
    let operator = t.operator();
    let user_id = operator.create_user(tenant_id, name, pb::Role::Admin).await;
    let scopes = ["authority:tenant.admin"];
    let actor = operator.token_of(tenant_id, &user_id, &scopes).await;
    (user_id, actor)
}

async fn it_is_dead_while_its_maker_may_not_make_it(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let operator = t.operator();
    let (user_id, actor) = deputy(&t, &acme, "deputy").await;
    let token_id = own_id(&actor).await;
    let mut made = Vec::new();
    for number in 0..4 {
        made.push(actor.invite(guest(&format!("{number}"))).await.value);
    }
    let in_acme = |request: pb::UpdateTokenRequest| pb::UpdateTokenRequest {
        tenant_id: "acme".into(),
        ..request
    };

    changed(&operator, in_acme(disabled(&token_id, true))).await;
    assert!(claim(&t, &made[0]).await.is_some());
    changed(&operator, in_acme(disabled(&token_id, false))).await;
    assert_eq!(claim(&t, &made[0]).await, None);

    let narrowed = scopes(&token_id, &["authority:tokens.write"]);
    changed(&operator, in_acme(narrowed)).await;
    assert!(claim(&t, &made[1]).await.is_some());
    let widened = scopes(&token_id, &["authority:tenant.admin"]);
    changed(&operator, in_acme(widened)).await;
    assert_eq!(claim(&t, &made[1]).await, None);

    set_role(&operator, "acme", &user_id, pb::Role::Member).await;
    assert!(claim(&t, &made[2]).await.is_some());
    set_role(&operator, "acme", &user_id, pb::Role::Admin).await;
    assert_eq!(claim(&t, &made[2]).await, None);

    suspend_user(&operator, "acme", &user_id).await;
    assert!(claim(&t, &made[3]).await.is_some());
    let resume = message!(ResumeUserRequest {
        tenant_id: "acme",
        user_id: user_id,
    });
    operator.resume_user(resume).await.unwrap();
    assert_eq!(claim(&t, &made[3]).await, None);
}

async fn it_is_dead_for_good_once_its_makers_token_is(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let operator = t.operator();
    let mut values = Vec::new();
    for how in ["revoked", "all revoked", "removed", "deleted", "expired"] {
        let (user_id, actor) = deputy(&t, &acme, how).await;
        let actor = if how == "expired" {
            let brief = pb::CreateTokenRequest {
                expiry: ttl(60),
                ..wanted("brief", &["authority:tenant.admin"])
            };
            t.actor(&actor.create(brief).await.value)
        } else {
            actor
        };
        values.push((how, actor.invite(guest(&format!("by {how}"))).await.value));
        let token_id = own_id(&actor).await;
        if how == "revoked" {
            operator.revoke("acme", &token_id).await;
        } else if how == "all revoked" {
            let request = message!(RevokeAllTokensRequest {
                tenant_id: "acme",
                user_id: user_id,
            });
            revoke_all(&operator, request).await.unwrap();
        } else if how == "removed" {
            remove_member(&operator, "acme", &user_id).await;
        } else if how == "deleted" {
            delete_user(&operator, "acme", &user_id).await;
        } else {
            t.advance(Duration::from_secs(60));
        }
    }
    for (how, value) in &values {
        assert!(claim(&t, value).await.is_some(), "{how}");
    }
    // A token of another value is the same token.
    let (_, actor) = deputy(&t, &acme, "rolling").await;
    let value = actor.invite(guest("by rolling")).await.value;
    let rotation = message!(RotateTokenRequest {
        tenant_id: "acme",
        token_id: own_id(&actor).await,
    });
    crate::support::tokens::rotate(&operator, rotation)
        .await
        .unwrap();
    assert_eq!(claim(&t, &value).await, None);
}

async fn a_suspended_tenants_invites_wait_and_a_deleted_ones_are_dead(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let operator = t.operator();
    let ours = acme.admin.invite(guest("one")).await.value;
    let request = pb::CreateInviteRequest {
        tenant_id: "acme".into(),
        ..guest("two")
    };
    let theirs = operator.invite(request.clone()).await.value;
    suspend_tenant(&operator, "acme").await;
    for value in [&ours, &theirs] {
        assert!(claim(&t, value).await.is_some());
    }
    let resume = message!(ResumeTenantRequest { tenant_id: "acme" });
    operator.resume_tenant(resume).await.unwrap();
    assert_eq!(claim(&t, &ours).await, None);
    delete_tenant(&operator, "acme").await;
    assert!(claim(&t, &theirs).await.is_some());
}

async fn what_the_first_token_may_do_is_judged_again(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let mut made = Vec::new();
    for number in 0..4 {
        let request = pb::CreateInviteRequest {
            first_token: first("first", &["write"]),
            ..guest(&format!("{number}"))
        };
        made.push(acme.admin.invite(request).await.value);
    }
    let mut edited = catalog();
    edited.scopes[1].minimum_role = pb::Role::Admin.into();
    set_catalog(&acme.admin, "acme", edited).await;
    assert!(claim(&t, &made[0]).await.is_some());
    let mut edited = catalog();
    edited.scopes.retain(|scope| scope.name == "read");
    edited.profiles.clear();
    set_catalog(&acme.admin, "acme", edited).await;
    assert!(claim(&t, &made[0]).await.is_some());
    set_catalog(&acme.admin, "acme", catalog()).await;
    let policies = [
        pb::TenantPolicy {
            tokens_may_not_mint: true,
            ..self_service()
        },
        pb::TenantPolicy {
            expiry_required: true,
            ..self_service()
        },
    ];
    for policy in policies {
        set_policy(&acme.admin, "acme", policy).await;
        assert!(claim(&t, &made[0]).await.is_some());
    }
    set_policy(&acme.admin, "acme", self_service()).await;
    // Nobody was made by halves.
    let users = message!(ListUsersRequest {
        tenant_id: "acme",
        external_id: "0",
    });
    assert_eq!(acme.admin.list_users(users).await.unwrap().users, []);
    for value in &made {
        assert_eq!(claim(&t, value).await, None);
    }
}

async fn nobody_joins_twice_or_while_suspended(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let beta = t.tenant("beta", self_service()).await;
    let operator = t.operator();
    let bob = t.member(&acme, "bob", &[]).await.user_id;
    remove_member(&acme.admin, "acme", &bob).await;
    let (one, two) = (
        acme.admin.invite(returning(&bob)).await.value,
        acme.admin.invite(returning(&bob)).await.value,
    );
    suspend_user(&acme.admin, "acme", &bob).await;
    assert!(claim(&t, &one).await.is_some());
    let resume = message!(ResumeUserRequest {
        tenant_id: "acme",
        user_id: &bob,
    });
    acme.admin.resume_user(resume).await.unwrap();
    assert_eq!(claim(&t, &one).await, None);
    assert!(claim(&t, &two).await.is_some());
    // One of two for the same new user.
    let (one, two) = (
        acme.admin.invite(guest("carol")).await.value,
        acme.admin.invite(guest("carol")).await.value,
    );
    assert_eq!(claim(&t, &one).await, None);
    assert!(claim(&t, &two).await.is_some());
    // An operator may ask in whom another tenant vouches for, an administrator may not:
    // also if it was one only when it asked.
    let theirs = t.member(&beta, "theirs", &[]).await.user_id;
    let request = pb::CreateInviteRequest {
        tenant_id: "acme".into(),
        ..returning(&theirs)
    };
    let value = operator.invite(request).await.value;
    assert_eq!(claim(&t, &value).await, None);
}

async fn who_was_removed_does_not_come_back_by_what_was_open(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let beta = t.tenant("beta", self_service()).await;
    let operator = t.operator();
    // By its id: asked back, added by hand, and removed again.
    let bob = t.member(&acme, "bob", &[]).await.user_id;
    remove_member(&acme.admin, "acme", &bob).await;
    let open = acme.admin.invite(returning(&bob)).await.value;
    let elsewhere = pb::CreateInviteRequest {
        tenant_id: "beta".into(),
        ..returning(&bob)
    };
    let elsewhere = operator.invite(elsewhere).await.value;
    share(&t, &bob, "acme").await;
    remove_member(&acme.admin, "acme", &bob).await;
    assert!(claim(&t, &open).await.is_some());
    // From one tenant alone.
    assert_eq!(claim(&t, &elsewhere).await, None);
    // By its name: made by hand meanwhile, and deleted.
    let open = acme.admin.invite(guest("carol")).await;
    let other = beta.admin.invite(guest("carol")).await.value;
    let carol = t.member(&acme, "carol", &[]).await.user_id;
    delete_user(&acme.admin, "acme", &carol).await;
    assert!(claim(&t, &open.value).await.is_some());
    assert_eq!(claim(&t, &other).await, None);
    let request = message!(ListInvitesRequest {
        tenant_id: "acme",
        state: pb::InviteState::Revoked,
    });
    let revoked = acme.admin.list_invites(request).await.unwrap().invites;
    assert_eq!(revoked.len(), 2);
    let deleted = crate::support::events(&t.database, "acme", "DeleteUser").await;
    let told = &deleted[0].changes;
    let said = told.iter().find(|change| change.field == "invites_revoked");
    assert_eq!(said.unwrap().after, "1");
}
