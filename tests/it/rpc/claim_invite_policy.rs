//! `InviteService/ClaimInvite`: a first token keeps the tenant's rules as they are when the
//! invite is claimed, and what its kind and its maker may have then.

use std::time::Duration;

use token_authority::pb;

use crate::support::invites::{first, guest, returning, seconds};
use crate::support::tokens::{
    at, change, changed, id, own_id, remove_member, scopes, service, set_catalog, set_policy,
    wanted,
};
use crate::support::{
    Backend, Tenant, TestServer, both_backends, catalog, outcome, refused, self_service,
};

both_backends!(
    a_first_token_lives_as_long_as_the_policy_of_its_claim_says,
    a_first_token_counts_among_its_users_tokens,
    a_first_token_takes_its_name,
    an_agents_first_token_is_no_administrators_by_the_time_of_its_claim,
    a_first_token_is_no_more_than_its_maker_holds_at_its_claim,
    an_administrators_first_token_needs_a_tenant_that_allows_it,
    a_service_invites_for_as_long_as_it_may,
);

const NONE: &str = "NotFound INVITE_NOT_FOUND";

/// Makes an invite of a guest to a tenant, with a first token.
async fn inviting(acme: &Tenant, name: &str, token: pb::FirstToken) -> String {
    let request = pb::CreateInviteRequest {
        first_token: Some(token),
        ..guest(name)
    };
    acme.admin.invite(request).await.value
}

async fn a_first_token_lives_as_long_as_the_policy_of_its_claim_says(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let long = pb::FirstToken {
        ttl: seconds(3600),
        ..first("long", &["read"]).unwrap()
    };
    let long = inviting(&acme, "long", long).await;
    let default = inviting(&acme, "default", first("default", &["read"]).unwrap()).await;
    let policy = pb::TenantPolicy {
        expiry_required: true,
        default_ttl: seconds(60),
        max_ttl: seconds(1800),
        ..self_service()
    };
    set_policy(&acme.admin, "acme", policy).await;
    t.advance(Duration::from_secs(10));
    assert_eq!(refused(t.nobody().try_claim(&long).await), NONE);
    let claimed = t.nobody().try_claim(&default).await.unwrap();
    // From the claim on, not from the invite.
    assert_eq!(claimed.token.unwrap().expire_time, Some(at(70)));
    set_policy(&acme.admin, "acme", self_service()).await;
    let claimed = t.nobody().try_claim(&long).await.unwrap();
    assert_eq!(claimed.token.unwrap().expire_time, Some(at(3610)));
}

async fn a_first_token_counts_among_its_users_tokens(backend: Backend) {
    let t = TestServer::start(backend).await;
    let one_each = pb::TenantPolicy {
        max_tokens_per_user: 1,
        ..self_service()
    };
    let acme = t.tenant("acme", one_each).await;
    // What ended with an earlier membership takes no place.
    let bob = t.member(&acme, "bob", &["read"]).await.user_id;
    remove_member(&acme.admin, "acme", &bob).await;
    let request = pb::CreateInviteRequest {
        first_token: first("first", &["read"]),
        ..returning(&bob)
    };
    let value = acme.admin.invite(request).await.value;
    t.nobody().try_claim(&value).await.unwrap();
    let another = pb::CreateTokenRequest {
        user_id: bob,
        ..wanted("another", &["read"])
    };
    assert_eq!(
        refused(acme.admin.try_create(another).await),
        "ResourceExhausted TOKEN_LIMIT"
    );
}

async fn a_first_token_takes_its_name(backend: Backend) {
    let t = TestServer::start(backend).await;
    let unique = pb::TenantPolicy {
        unique_names: true,
        ..self_service()
    };
    let acme = t.tenant("acme", unique).await;
    let bob = t.member(&acme, "bob", &["read"]).await;
    // Its own, which the end of its membership gives free.
    let name = "first";
    let before = pb::CreateTokenRequest {
        user_id: bob.user_id.clone(),
        ..wanted(name, &["read"])
    };
    acme.admin.create(before.clone()).await;
    remove_member(&acme.admin, "acme", &bob.user_id).await;
    let request = pb::CreateInviteRequest {
        first_token: first(name, &["read"]),
        ..returning(&bob.user_id)
    };
    let value = acme.admin.invite(request).await.value;
    t.nobody().try_claim(&value).await.unwrap();
    let again = acme.admin.try_create(before).await;
    assert_eq!(refused(again), "AlreadyExists NAME_TAKEN");
}

async fn an_agents_first_token_is_no_administrators_by_the_time_of_its_claim(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let operator = t.operator();
    let mut made = Vec::new();
    for kind in [pb::TokenKind::Agent, pb::TokenKind::Api] {
        let token = pb::FirstToken {
            kind: kind.into(),
            ..first("first", &["write"]).unwrap()
        };
        // An administrator: its role would do, its kind does not.
        let request = pb::CreateInviteRequest {
            tenant_id: "acme".into(),
            role: pb::Role::Admin.into(),
            first_token: Some(token),
            ..guest(kind.as_str_name())
        };
        made.push(operator.invite(request).await.value);
    }
    let mut edited = catalog();
    edited.scopes[1].minimum_role = pb::Role::Admin.into();
    set_catalog(&acme.admin, "acme", edited).await;
    assert_eq!(refused(t.nobody().try_claim(&made[0]).await), NONE);
    let claimed = t.nobody().try_claim(&made[1]).await.unwrap();
    let scopes = claimed.token.unwrap().effective_scopes;
    assert_eq!(scopes, ["read", "write"]);
    set_catalog(&acme.admin, "acme", catalog()).await;
    let claimed = t.nobody().try_claim(&made[0]).await.unwrap();
    let scopes = claimed.token.unwrap().effective_scopes;
    assert_eq!(scopes, ["read", "write"]);
}

async fn a_first_token_is_no_more_than_its_maker_holds_at_its_claim(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let operator = t.operator();
    let held = ["authority:tenant.admin", "authority:introspect"];
    let maker = operator.create(service("acme", "maker", &held)).await;
    let actor = t.actor(&maker.value);
    let mut made = Vec::new();
    for name in ["judges", "reads"] {
        let scope = if name == "judges" {
            "authority:introspect"
        } else {
            "read"
        };
        let request = pb::CreateInviteRequest {
            first_token: first("first", &[scope]),
            ..guest(name)
        };
        made.push(actor.invite(request).await.value);
    }
    let less = pb::UpdateTokenRequest {
        tenant_id: "acme".into(),
        ..scopes(&id(&maker), &["authority:tenant.admin"])
    };
    changed(&acme.admin, less).await;
    assert_eq!(refused(t.nobody().try_claim(&made[0]).await), NONE);
    assert_eq!(outcome(t.nobody().try_claim(&made[1]).await), None);
}

async fn an_administrators_first_token_needs_a_tenant_that_allows_it(backend: Backend) {
    let t = TestServer::start(backend).await;
    let allowing = pb::TenantPolicy {
        admins_act_for_admins: true,
        ..self_service()
    };
    let acme = t.tenant("acme", allowing.clone()).await;
    let request = pb::CreateInviteRequest {
        role: pb::Role::Admin.into(),
        first_token: first("first", &["admin"]),
        ..guest("boss")
    };
    let value = acme.admin.invite(request).await.value;
    set_policy(&acme.admin, "acme", self_service()).await;
    assert_eq!(refused(t.nobody().try_claim(&value).await), NONE);
    set_policy(&acme.admin, "acme", allowing).await;
    let claimed = t.nobody().try_claim(&value).await.unwrap();
    assert_eq!(claimed.membership.unwrap().role(), pb::Role::Admin);
    assert_eq!(claimed.token.unwrap().scopes, ["admin"]);
}

async fn a_service_invites_for_as_long_as_it_may(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let held = ["authority:tenant.admin"];
    let maker = acme.admin.create(service("acme", "maker", &held)).await;
    let actor = t.actor(&maker.value);
    let made = actor.invite(guest("one")).await;
    let invite = made.invite.unwrap();
    assert_eq!(invite.created_by, own_id(&actor).await);
    assert_eq!(invite.creator_user_id, "");
    let other = actor.invite(guest("two")).await.value;
    // Nobody's going ends a service.
    t.nobody().try_claim(&made.value).await.unwrap();
    let off = pb::UpdateTokenRequest {
        disabled: true,
        ..change(&id(&maker))
    };
    changed(&acme.admin, off).await;
    assert_eq!(refused(t.nobody().try_claim(&other).await), NONE);
}
