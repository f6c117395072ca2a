//! What a session may do, for how long, and what is written down of it.

use token_authority::pb;
use tonic::Code;

use super::{REFUSED, admit, create, get_tenant, installed, own, refusals, who_am_i};
use crate::support::{
    Backend, Provider, TestServer, both_backends, events, mask, message, refused, self_service,
    share,
};

both_backends! {
    the_first_token_is_made_by_a_session,
    only_administrators_where_they_alone_manage,
    a_session_grants_what_its_role_allows_and_no_more,
    a_session_ends_with_its_user_its_membership_or_its_tenant,
    a_session_of_the_installation_acts_where_its_user_is_a_member,
    who_am_i_tells_of_the_session,
    a_request_asked_again_is_answered_alike_to_its_user_alone,
    the_log_names_the_user_and_the_trust_and_never_the_session,
}

async fn the_first_token_is_made_by_a_session(backend: Backend) {
    let provider = Provider::start("https://id.example").await;
    let t = TestServer::start(backend).await;
    let policy = pb::TenantPolicy {
        oidc_trust: Some(provider.oidc_trust()),
        tokens_may_not_mint: true,
        ..self_service()
    };
    t.tenant("acme", policy).await;
    let operator = t.operator();
    let alice = operator
        .create_user("acme", "alice", pb::Role::Member)
        .await;
    let session = t.actor(&provider.session(&t, "alice"));
    let wanted = ["write", "authority:tokens.read", "authority:tokens.write"];
    let created = session.create(create("acme", "first", &wanted)).await;
    let token = created.token.unwrap();
    assert_eq!((&*token.user_id, &*token.created_by), (&*alice, ""));
    let bearer = t.actor(&created.value);
    // What a session may, a token of this tenant may not.
    let minted = bearer
        .try_create(create("active", "second", &["read"]))
        .await;
    assert_eq!(refused(minted), "PermissionDenied TOKEN_MAY_NOT_MINT");
    let second = session.create(create("active", "second", &["read"])).await;
    let mut tokens = session.tokens();
    let rotate = session.call(message!(RotateTokenRequest {
        tenant_id: "acme",
        token_id: second.token.unwrap().token_id,
    }));
    assert!(tokens.rotate_token(rotate).await.is_ok());
    let listed = session.call(message!(ListTokensRequest {
        tenant_id: "active"
    }));
    let listed = tokens.list_tokens(listed).await.unwrap().into_inner();
    assert_eq!(listed.tokens.len(), 2);
    session.revoke("active", &token.token_id).await;
    assert_eq!(refused(who_am_i(&bearer).await), REFUSED);
    assert!(who_am_i(&session).await.is_ok());
}

async fn only_administrators_where_they_alone_manage(backend: Backend) {
    let (t, provider, acme, _) = own(backend).await;
    let mut request = message!(UpdateTenantRequest { tenant_id: "acme" });
    request.update_mask = Some(mask(&["policy.token_management"]));
    request.policy = Some(pb::TenantPolicy::default());
    acme.admin.update_tenant(request).await.unwrap();
    let member = t.actor(&provider.session(&t, "alice"));
    let denied = "PermissionDenied PERMISSION_DENIED";
    assert_eq!(
        refused(member.try_create(create("acme", "mine", &["read"])).await),
        denied
    );
    t.operator()
        .create_user("acme", "boss", pb::Role::Admin)
        .await;
    let boss = t.actor(&provider.session(&t, "boss"));
    assert!(
        boss.try_create(create("acme", "mine", &["admin"]))
            .await
            .is_ok()
    );
}

async fn a_session_grants_what_its_role_allows_and_no_more(backend: Backend) {
    let (t, provider, acme, alice) = own(backend).await;
    t.operator()
        .create_user("acme", "boss", pb::Role::Admin)
        .await;
    let member = t.actor(&provider.session(&t, "alice"));
    let boss = t.actor(&provider.session(&t, "boss"));
    let own = [
        "read",
        "write",
        "authority:tokens.read",
        "authority:tokens.write",
    ];
    let all = [&own[..], &["admin", "authority:tenant.admin"]].concat();
    for (number, scope) in all.iter().enumerate() {
        let request = create("acme", &format!("of the boss {number}"), &[scope]);
        boss.create(request).await;
        let wanted = create("acme", &format!("mine {number}"), &[scope]);
        let made = member.try_create(wanted).await;
        assert_eq!(made.is_ok(), own.contains(scope), "{scope}");
    }
    for scope in ["authority:introspect", "authority:operator"] {
        for session in [&member, &boss] {
            let made = session.try_create(create("acme", scope, &[scope])).await;
            let code = made.unwrap_err().code();
            assert!(
                matches!(code, Code::PermissionDenied | Code::InvalidArgument),
                "{scope}"
            );
        }
    }
    // On behalf: of a member, and of another administrator only where the tenant allows.
    let of = |user_id: &str| pb::CreateTokenRequest {
        user_id: user_id.into(),
        ..create("acme", "on behalf", &["read"])
    };
    assert!(boss.try_create(of(&alice)).await.is_ok());
    let refusal = refused(boss.try_create(of(&acme.admin_id)).await);
    assert_eq!(refusal, "PermissionDenied ON_BEHALF_OF_ADMIN");
    let refusal = refused(member.try_create(of(&acme.admin_id)).await);
    assert_eq!(refusal, "PermissionDenied PERMISSION_DENIED");
}

async fn a_session_ends_with_its_user_its_membership_or_its_tenant(backend: Backend) {
    let (t, provider, acme, alice) = own(backend).await;
    let session = t.actor(&provider.session(&t, "alice"));
    let (operator, admin) = (t.operator(), &acme.admin);
    let user = |user_id: &str| (String::from("acme"), user_id.to_owned());
    let (tenant_id, user_id) = user(&alice);
    let suspend = message!(SuspendUserRequest {
        tenant_id: tenant_id.clone(),
        user_id: user_id.clone()
    });
    admin.suspend_user(suspend).await.unwrap();
    assert_eq!(refused(get_tenant(&session, "acme").await), REFUSED);
    let resume = message!(ResumeUserRequest {
        tenant_id: tenant_id.clone(),
        user_id: user_id.clone()
    });
    admin.resume_user(resume).await.unwrap();
    assert!(get_tenant(&session, "acme").await.is_ok());
    // A change of role is true at once.
    let promote = |role: pb::Role| {
        message!(UpdateMemberRequest {
            tenant_id: "acme",
            user_id: alice.clone(),
            role: role
        })
    };
    admin.update_member(promote(pb::Role::Admin)).await.unwrap();
    let list = || message!(ListUsersRequest { tenant_id: "acme" });
    assert!(session.list_users(list()).await.is_ok());
    admin
        .update_member(promote(pb::Role::Member))
        .await
        .unwrap();
    assert_eq!(
        refused(session.list_users(list()).await),
        "PermissionDenied PERMISSION_DENIED"
    );
    let suspend = message!(SuspendTenantRequest { tenant_id: "acme" });
    operator.suspend_tenant(suspend).await.unwrap();
    assert_eq!(refused(get_tenant(&session, "acme").await), REFUSED);
    let resume = message!(ResumeTenantRequest { tenant_id: "acme" });
    operator.resume_tenant(resume).await.unwrap();
    let remove = message!(RemoveMemberRequest {
        tenant_id: "acme",
        user_id: alice.clone()
    });
    admin.remove_member(remove).await.unwrap();
    assert_eq!(refused(get_tenant(&session, "acme").await), REFUSED);
    let add = message!(AddMemberRequest {
        tenant_id: "acme",
        user_id: alice.clone()
    });
    admin.add_member(add).await.unwrap();
    assert!(get_tenant(&session, "acme").await.is_ok());
    let delete = message!(DeleteUserRequest {
        tenant_id: "acme",
        user_id: alice
    });
    admin.delete_user(delete).await.unwrap();
    assert_eq!(refused(get_tenant(&session, "acme").await), REFUSED);
    let delete = message!(DeleteTenantRequest { tenant_id: "acme" });
    operator.delete_tenant(delete).await.unwrap();
    assert_eq!(refused(get_tenant(&session, "acme").await), REFUSED);
    assert_eq!(
        refusals(&t),
        [
            ("no_trust", 1),
            ("user_deleted", 1),
            ("user_suspended", 1),
            ("not_member", 1),
            ("tenant_suspended", 1),
        ]
    );
}

async fn a_session_of_the_installation_acts_where_its_user_is_a_member(backend: Backend) {
    let (t, provider, _acme) = installed(backend).await;
    t.tenant("second", self_service()).await;
    t.tenant("third", self_service()).await;
    admit(&t, "acme", &["main"]).await;
    let session = t.actor(&provider.session(&t, "alice"));
    // Nobody knows her yet, and nothing says where she belongs.
    assert_eq!(refused(who_am_i(&session).await), REFUSED);
    assert_eq!(refused(get_tenant(&session, "second").await), REFUSED);
    get_tenant(&session, "acme").await.unwrap();
    let alice = who_am_i(&session).await.unwrap().user.unwrap();
    let no_tenant = "NotFound TENANT_NOT_FOUND";
    for elsewhere in ["second", "third", "nowhere", "authority"] {
        assert_eq!(refused(get_tenant(&session, elsewhere).await), no_tenant);
    }
    let mut add = message!(AddMemberRequest {
        tenant_id: "second",
        user_id: alice.user_id.clone()
    });
    add.role = pb::Role::Admin.into();
    t.operator().add_member(add).await.unwrap();
    let active = async || {
        let tenant = get_tenant(&session, "active").await?.tenant.unwrap();
        Ok::<_, tonic::Status>(tenant.tenant_id)
    };
    assert_eq!(active().await.unwrap(), "acme");
    get_tenant(&session, "second").await.unwrap();
    // Each tenant has its role.
    let users = |tenant_id: &str| {
        message!(ListUsersRequest {
            tenant_id: tenant_id
        })
    };
    assert!(session.list_users(users("second")).await.is_ok());
    let refusal = refused(session.list_users(users("acme")).await);
    assert_eq!(refusal, "PermissionDenied PERMISSION_DENIED");
    let set = |tenant_id: &str| {
        message!(SetActiveTenantRequest {
            tenant_id: tenant_id
        })
    };
    session.set_active_tenant(set("second")).await.unwrap();
    assert_eq!(active().await.unwrap(), "second");
    assert_eq!(
        refused(session.set_active_tenant(set("third")).await),
        no_tenant
    );
    // Of a tenant that she left, nothing is told.
    let remove = message!(RemoveMemberRequest {
        tenant_id: "second",
        user_id: alice.user_id
    });
    t.operator().remove_member(remove).await.unwrap();
    assert_eq!(refused(active().await), no_tenant);
    let told = who_am_i(&session).await.unwrap();
    assert_eq!(told.tenant, None);
    assert_eq!(told.session.unwrap().role(), pb::Role::Unspecified);
    assert_eq!(told.memberships.len(), 1);
    session.set_active_tenant(set("acme")).await.unwrap();
    assert_eq!(active().await.unwrap(), "acme");
}

async fn who_am_i_tells_of_the_session(backend: Backend) {
    let (t, provider, _acme, alice) = own(backend).await;
    let session = t.actor(&provider.session(&t, "alice"));
    let told = who_am_i(&session).await.unwrap();
    assert_eq!(told.token, None);
    assert_eq!(told.tenant.unwrap().tenant_id, "acme");
    assert_eq!(told.user.unwrap().user_id, alice);
    assert_eq!(told.memberships.len(), 1);
    let (now, session) = (told.evaluate_time.unwrap(), told.session.unwrap());
    assert_eq!(session.trust, "tenant/acme");
    assert_eq!(session.role(), pb::Role::Member);
    assert_eq!(session.expire_time.unwrap().seconds, now.seconds + 300);
    // Whose provider acme chose says nothing to it of what its user is elsewhere.
    t.tenant("globex", self_service()).await;
    let other = share(&t, &alice, "globex").await;
    assert_eq!(who_am_i(&other).await.unwrap().memberships.len(), 2);
    let actor = t.actor(&provider.session(&t, "alice"));
    let told = who_am_i(&actor).await.unwrap();
    assert_eq!(told.memberships.len(), 1);
    assert_eq!(told.memberships[0].tenant_id, "acme");
    assert_eq!(told.user.unwrap().active_tenant_id, "acme");
}

async fn a_request_asked_again_is_answered_alike_to_its_user_alone(backend: Backend) {
    let (t, provider, _acme, alice) = own(backend).await;
    t.operator()
        .create_user("acme", "bob", pb::Role::Member)
        .await;
    let request = || pb::CreateTokenRequest {
        request_id: "one".into(),
        ..create("acme", "mine", &["read"])
    };
    let made = t
        .actor(&provider.session(&t, "alice"))
        .create(request())
        .await;
    let token = made.token.unwrap();
    assert_eq!(token.user_id, alice);
    // Another session of hers is the same caller; another user's is not.
    t.advance(std::time::Duration::from_secs(1));
    let again = t.actor(&provider.session(&t, "alice"));
    let status = again.try_create(request()).await.unwrap_err();
    assert_eq!(
        refused(Err::<(), _>(status)),
        "AlreadyExists REQUEST_ALREADY_DONE"
    );
    let other = t
        .actor(&provider.session(&t, "bob"))
        .create(request())
        .await;
    assert_ne!(other.token.unwrap().user_id, alice);
    let revoke = || pb::RevokeTokenRequest {
        request_id: "two".into(),
        ..message!(RevokeTokenRequest {
            tenant_id: "acme",
            token_id: token.token_id.clone()
        })
    };
    let mut revoked = Vec::new();
    for _ in 0..2 {
        let answer = again.tokens().revoke_token(again.call(revoke())).await;
        revoked.push(answer.unwrap().into_inner().revision);
    }
    assert_eq!(revoked[0], revoked[1]);
}

async fn the_log_names_the_user_and_the_trust_and_never_the_session(backend: Backend) {
    let (t, provider, acme, alice) = own(backend).await;
    let value = provider.session(&t, "alice");
    let session = t.actor(&value);
    session.create(create("acme", "mine", &["read"])).await;
    let logged = events(&t.database, "acme", "CreateToken").await;
    let by = logged.last().unwrap().caller.clone().unwrap();
    assert_eq!((&*by.token_id, &*by.tenant_id), ("", "acme"));
    assert_eq!((&*by.user_id, &*by.trust), (&*alice, "tenant/acme"));
    let verify = message!(VerifyAuditLogRequest { tenant_id: "acme" });
    assert!(acme.admin.verify_audit_log(verify).await.unwrap().verified);
    let list = message!(ListAuditEventsRequest {
        tenant_id: "acme",
        action: "CreateToken"
    });
    let listed = acme.admin.list_audit_events(list).await.unwrap().events;
    assert_eq!(listed[0].caller.as_ref().unwrap().trust, "tenant/acme");
    // The call's own line says it, too; one of a token has neither field.
    let text = t.logs.text();
    let mut done = text
        .lines()
        .filter(|line| line.contains("the call was done"));
    let line = done.next_back().unwrap();
    for field in [
        format!("caller.user.id={alice}"),
        "caller.trust=\"tenant/acme\"".into(),
        "caller.tenant.id=acme".into(),
    ] {
        assert!(line.contains(&field), "{field}: {line}");
    }
    assert!(!line.contains("caller.token.id"), "{line}");
    let by_token = done.all(|line| !line.contains("caller.trust") && !line.contains("caller.user"));
    assert!(by_token, "{text}");
    // Neither this program's log nor the database has any of it.
    let (_, signature) = value.rsplit_once('.').unwrap();
    let ours = t.logs.text();
    let leaked = ours
        .lines()
        .filter(|line| line.contains("token_authority") && line.contains(signature));
    assert_eq!(leaked.count(), 0);
}
