//! Whoever is seen first becomes a member where the tenant says so, once, and nobody does
//! who was sent away.

use token_authority::pb;

use super::{REFUSED, admit, get_tenant, installed, refusals, who_am_i};
use crate::support::{
    Backend, Provider, TestServer, both_backends, both_backends_in_parallel, events, message,
    refused, self_service,
};

both_backends! {
    a_trusts_newcomer_becomes_what_the_policy_says,
    without_the_policy_nobody_becomes_a_member,
    who_was_sent_away_does_not_come_back_by_itself,
    a_newcomer_of_the_installation_is_one_user_in_all_tenants,
    an_older_program_beside_this_one_makes_users_as_ever,
}

both_backends_in_parallel!(a_hundred_first_calls_make_one_user);

/// A server, and a tenant that makes members of its provider's users.
async fn provisioning(backend: Backend, role: pb::Role) -> (TestServer, Provider) {
    let provider = Provider::start("https://id.example").await;
    let t = TestServer::start(backend).await;
    let policy = pb::TenantPolicy {
        oidc_trust: Some(pb::OidcTrust {
            provision_members: true,
            provision_role: role.into(),
            admin_claim: "/realm_access/roles".into(),
            admin_values: vec!["boss".into()],
            ..provider.oidc_trust()
        }),
        ..self_service()
    };
    t.tenant("acme", policy).await;
    (t, provider)
}

async fn a_trusts_newcomer_becomes_what_the_policy_says(backend: Backend) {
    let (t, provider) = provisioning(backend, pb::Role::Unspecified).await;
    let session = t.actor(&provider.session(&t, "alice"));
    let told = who_am_i(&session).await.unwrap();
    let user = told.user.unwrap();
    assert_eq!(
        (&*user.external_id, &*user.display_name),
        ("alice", "The alice")
    );
    assert_eq!(
        (&*user.vouching_tenant_id, &*user.vouching_trust),
        ("acme", "")
    );
    assert_eq!(told.session.unwrap().role(), pb::Role::Member);
    let mut claims = provider.claims(&t, "carol");
    claims["realm_access"] = serde_json::json!({"roles": ["user", "boss"]});
    let boss = t.actor(&provider.sign(&claims));
    assert_eq!(
        who_am_i(&boss).await.unwrap().session.unwrap().role(),
        pb::Role::Admin
    );
    // The claim decides once.
    claims["sub"] = "alice".into();
    let again = who_am_i(&t.actor(&provider.sign(&claims))).await.unwrap();
    assert_eq!(again.session.unwrap().role(), pb::Role::Member);
    let logged = events(&t.database, "acme", "ProvisionMember").await;
    assert_eq!(logged.len(), 2);
    let event = &logged[0];
    let by = event.caller.as_ref().unwrap();
    assert_eq!((&*by.user_id, &*by.trust), (&*user.user_id, "tenant/acme"));
    assert_eq!(event.subject.as_ref().unwrap().user_id, user.user_id);
    let changes: Vec<_> = event
        .changes
        .iter()
        .map(|change| format!("{}={}", change.field, change.after))
        .collect();
    assert_eq!(
        changes,
        ["display_name=The alice", "external_id=alice", "role=MEMBER"]
    );
}

async fn without_the_policy_nobody_becomes_a_member(backend: Backend) {
    let (t, provider, _acme, _alice) = super::own(backend).await;
    let stranger = t.actor(&provider.session(&t, "mallory"));
    assert_eq!(refused(get_tenant(&stranger, "acme").await), REFUSED);
    assert_eq!(refused(who_am_i(&stranger).await), REFUSED);
    assert_eq!(refusals(&t), [("unknown_user", 2)]);
    assert!(
        events(&t.database, "acme", "ProvisionMember")
            .await
            .is_empty()
    );
}

async fn who_was_sent_away_does_not_come_back_by_itself(backend: Backend) {
    let (t, provider) = provisioning(backend, pb::Role::Member).await;
    let operator = t.operator();
    for (name, why) in [
        ("removed", "not_member"),
        ("deleted", "user_deleted"),
        ("suspended", "user_suspended"),
    ] {
        let session = t.actor(&provider.session(&t, name));
        let user = who_am_i(&session).await.unwrap().user.unwrap();
        let user_id = user.user_id;
        match name {
            "removed" => {
                let request = message!(RemoveMemberRequest {
                    tenant_id: "acme",
                    user_id: user_id
                });
                operator.remove_member(request).await.map(drop)
            }
            "deleted" => {
                let request = message!(DeleteUserRequest {
                    tenant_id: "acme",
                    user_id: user_id
                });
                operator.delete_user(request).await.map(drop)
            }
            _ => {
                let request = message!(SuspendUserRequest {
                    tenant_id: "acme",
                    user_id: user_id
                });
                operator.suspend_user(request).await.map(drop)
            }
        }
        .unwrap();
        assert_eq!(refused(get_tenant(&session, "acme").await), REFUSED);
        assert_eq!(refused(who_am_i(&session).await), REFUSED);
        assert!(
            refusals(&t).contains(&(why, 2)),
            "{name}: {:?}",
            refusals(&t)
        );
    }
    let suspend = message!(SuspendTenantRequest { tenant_id: "acme" });
    operator.suspend_tenant(suspend).await.unwrap();
    let late = t.actor(&provider.session(&t, "late"));
    assert_eq!(refused(get_tenant(&late, "acme").await), REFUSED);
    assert_eq!(
        events(&t.database, "acme", "ProvisionMember").await.len(),
        3
    );
}

async fn a_newcomer_of_the_installation_is_one_user_in_all_tenants(backend: Backend) {
    let (t, provider, acme) = installed(backend).await;
    t.tenant("second", self_service()).await;
    admit(&t, "acme", &["main"]).await;
    let session = t.actor(&provider.session(&t, "alice"));
    get_tenant(&session, "acme").await.unwrap();
    let user = who_am_i(&session).await.unwrap().user.unwrap();
    assert_eq!(user.active_tenant_id, "acme");
    // The tenant sees its member, and may not change who is not its own.
    let list = message!(ListUsersRequest { tenant_id: "acme" });
    let listed = acme.admin.list_users(list).await.unwrap().users;
    assert!(listed.iter().any(|listed| listed.user_id == user.user_id));
    let update = message!(UpdateUserRequest {
        tenant_id: "acme",
        user_id: user.user_id.clone(),
        display_name: "x"
    });
    let refusal = refused(acme.admin.update_user(update).await);
    assert_eq!(refusal, "PermissionDenied USER_NOT_VOUCHED");
    // Her name is free in each tenant.
    let own = t
        .operator()
        .create_user("acme", "alice", pb::Role::Member)
        .await;
    assert_ne!(own, user.user_id);
    admit(&t, "second", &["main"]).await;
    get_tenant(&session, "second").await.unwrap();
    let told = who_am_i(&session).await.unwrap();
    assert_eq!(told.user.unwrap().user_id, user.user_id);
    assert_eq!(told.memberships.len(), 2);
    let remove = message!(RemoveMemberRequest {
        tenant_id: "second",
        user_id: user.user_id
    });
    t.operator().remove_member(remove).await.unwrap();
    let refusal = refused(get_tenant(&session, "second").await);
    assert_eq!(refusal, "NotFound TENANT_NOT_FOUND");
    let logged = events(&t.database, "second", "ProvisionMember").await;
    assert_eq!(logged.len(), 1);
    assert_eq!(
        logged[0].caller.as_ref().unwrap().trust,
        "installation/main"
    );
}

async fn an_older_program_beside_this_one_makes_users_as_ever(backend: Backend) {
    let (t, provider, acme) = installed(backend).await;
    admit(&t, "acme", &["main"]).await;
    let session = t.actor(&provider.session(&t, "alice"));
    get_tenant(&session, "acme").await.unwrap();
    for name in ["first", "second"] {
        acme.admin.issue(name, &[]).await;
    }
    // Its statement, which knows of no trust; some id that no user has stands for a new one.
    let insert = async |id_of: &str, external_id: &str, vouching_tenant_id: &str| {
        let statement = format!(
            "INSERT INTO users (user_id, external_id, display_name, vouching_tenant_id,
                                active_tenant_id, version, created_at, updated_at, suspended_at)
             SELECT token_id, '{external_id}', '', '{vouching_tenant_id}', 'acme', 1, 0, 0, NULL
               FROM tokens
              WHERE name = '{id_of}'
             ON CONFLICT DO NOTHING
             RETURNING external_id"
        );
        t.database.texts(&statement).await
    };
    assert_eq!(insert("first", "alice", "acme").await, ["alice"]);
    let twice = insert("second", "alice", "acme").await;
    assert!(twice.is_empty(), "a name is one user's");
    assert_eq!(insert("second", "alice", "authority").await, ["alice"]);
    // What it made is no user of the trust's.
    let told = who_am_i(&session).await.unwrap().user.unwrap();
    assert_eq!(told.vouching_trust, "main");
    let users = "SELECT external_id FROM users WHERE external_id = 'alice'";
    assert_eq!(t.database.texts(users).await.len(), 3);
}

async fn a_hundred_first_calls_make_one_user(backend: Backend) {
    let (t, provider, _acme) = installed(backend).await;
    t.tenant("second", self_service()).await;
    for tenant_id in ["acme", "second"] {
        admit(&t, tenant_id, &["main"]).await;
    }
    let session = provider.session(&t, "alice");
    let mut calls = Vec::new();
    for number in 0..100 {
        let actor = t.actor(&session);
        let tenant_id = if number % 2 == 0 { "acme" } else { "second" };
        calls.push(tokio::spawn(async move {
            get_tenant(&actor, tenant_id).await.map(drop)
        }));
    }
    for call in calls {
        call.await.unwrap().unwrap();
    }
    let users = t
        .database
        .texts("SELECT external_id FROM users WHERE vouching_trust = 'main'")
        .await;
    assert_eq!(users, ["alice"]);
    for tenant_id in ["acme", "second"] {
        let logged = events(&t.database, tenant_id, "ProvisionMember").await;
        assert_eq!(logged.len(), 1);
    }
}
