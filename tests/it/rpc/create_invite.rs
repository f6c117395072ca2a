//! `InviteService/CreateInvite`.

use std::time::Duration;

use token_authority::pb;
use tonic_types::StatusExt as _;

use crate::support::invites::{first, guest, returning, revocation, seconds};
use crate::support::tokens::{
    at, number, set_policy, strings, suspend_tenant, suspend_user, who_am_i,
};
use crate::support::{
    Actor, Backend, Database, TestServer, administrators_only, both_backends, events, message,
    outcome, refusal, refused, self_service, share,
};

both_backends!(
    the_whole_answer_of_a_new_invite,
    what_is_wrong_is_said_all_at_once,
    an_invite_is_for_who_is_no_member,
    a_first_token_is_given_by_who_holds_what_it_may_do,
    a_tenant_has_so_many_open_invites,
    asked_again_it_is_not_made_again,
    it_is_written_down,
    only_its_administrators_invite_to_a_tenant,
);

async fn the_whole_answer_of_a_new_invite(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let before = acme.admin.issue("before", &[]).await.revision;
    t.advance(Duration::from_secs(5));
    let token = pb::FirstToken {
        kind: pb::TokenKind::Webhook.into(),
        profile: "editor".into(),
        ttl: seconds(60),
        labels: [("team".into(), "blue".into())].into(),
        ..first("first", &["read"]).unwrap()
    };
    let user = pb::NewUser {
        external_id: "auth0|Älice".into(),
        display_name: "Alice".into(),
    };
    let made = acme
        .admin
        .invite(pb::CreateInviteRequest {
            invitee: Some(pb::create_invite_request::Invitee::NewUser(user.clone())),
            role: pb::Role::Member.into(),
            ttl: seconds(3600),
            first_token: Some(token.clone()),
            ..guest("")
        })
        .await;
    let invite = made.invite.unwrap();
    assert!(invite.invite_id.starts_with("ivt_"), "{invite:?}");
    assert!(invite.user_id.starts_with("usr_"), "{invite:?}");
    let me = who_am_i(&acme.admin, pb::WhoAmIRequest {}).await;
    let me = me.unwrap().token.unwrap();
    let expected = pb::Invite {
        invite_id: invite.invite_id.clone(),
        tenant_id: "acme".into(),
        state: pb::InviteState::Open.into(),
        hint: made.value[..12].into(),
        role: pb::Role::Member.into(),
        user_id: invite.user_id.clone(),
        new_user: Some(user),
        first_token: Some(pb::FirstToken {
            // The profile's, as they are now.
            scopes: strings(&["read", "write"]),
            ..token
        }),
        created_by: me.token_id,
        creator_user_id: acme.admin_id.clone(),
        create_time: Some(at(5)),
        expire_time: Some(at(3605)),
        claim_time: None,
        token_id: String::new(),
        revoke_time: None,
    };
    assert_eq!(invite, expected);
    assert!(made.value.starts_with("inv_"));
    assert_eq!(made.value.len(), 4 + 12 + 43 + 6);

    // What is not said: a member, for a week, without a token.
    let plain = acme.admin.invite(guest("bob")).await.invite.unwrap();
    assert_eq!(plain.role(), pb::Role::Member);
    assert_eq!(plain.expire_time, Some(at(5 + 7 * 24 * 60 * 60)));
    assert_eq!(plain.first_token, None);
    // By a service, which acts as no user.
    let operator = t.operator();
    let service = operator.invite(pb::CreateInviteRequest {
        tenant_id: "acme".into(),
        ..guest("carol")
    });
    assert_eq!(service.await.invite.unwrap().creator_user_id, "");
    // It alters no answer, and nobody is a user by it yet.
    let after = acme.admin.issue("after", &[]).await.revision;
    assert_eq!(number(&after), number(&before) + 1);
    let user = message!(GetUserRequest {
        tenant_id: "active",
        user_id: invite.user_id,
    });
    let got = acme.admin.get_user(user).await;
    assert_eq!(refused(got), "NotFound USER_NOT_FOUND");
}

async fn what_is_wrong_is_said_all_at_once(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let told = async |request| refused(acme.admin.try_invite(request).await);
    let wrong = pb::CreateInviteRequest {
        invitee: Some(pb::create_invite_request::Invitee::NewUser(pb::NewUser {
            external_id: "x".repeat(256),
            display_name: "a\0b".into(),
        })),
        role: 7,
        ttl: seconds(30 * 24 * 60 * 60 + 1),
        first_token: Some(pb::FirstToken {
            kind: pb::TokenKind::Service.into(),
            scopes: strings(&["read", "unknown", "no such"]),
            profile: "nowhere".into(),
            ttl: seconds(-1),
            agent_id: "agent".into(),
            ..Default::default()
        }),
        ..guest("")
    };
    assert_eq!(
        told(wrong).await,
        "InvalidArgument UNKNOWN_ENUM_VALUE
  role: UNKNOWN_ENUM_VALUE
  new_user.external_id: FIELD_TOO_LONG
  new_user.display_name: INVALID_TEXT
  ttl: OUT_OF_RANGE
  first_token.ttl: INVALID_DURATION
  first_token.kind: OUT_OF_RANGE
  first_token.name: INVALID_NAME
  first_token.agent_id: AGENT_FOR_OTHER_KIND
  first_token.scopes[1]: UNKNOWN_SCOPE
  first_token.scopes[2]: INVALID_SCOPE
  first_token.profile: UNKNOWN_PROFILE"
    );
    let nobody = pb::CreateInviteRequest {
        invitee: None,
        ttl: seconds(0),
        ..guest("")
    };
    assert_eq!(
        told(nobody).await,
        "InvalidArgument INVALID_DURATION\n  ttl: INVALID_DURATION\n  invitee: FIELD_REQUIRED"
    );
    assert_eq!(
        told(returning("bob")).await,
        "InvalidArgument INVALID_USER_ID\n  user_id: INVALID_USER_ID"
    );
    for (field, request) in [
        ("new_user.external_id", guest("")),
        ("user_id", returning("")),
    ] {
        let expected = format!("InvalidArgument FIELD_REQUIRED\n  {field}: FIELD_REQUIRED");
        assert_eq!(told(request).await, expected);
    }
    // A value is kept nowhere.
    let pasted = acme.admin.invite(guest("x")).await.value;
    assert_eq!(
        told(guest(&pasted)).await,
        "InvalidArgument TOKEN_VALUE_IN_TEXT\n  new_user.external_id: TOKEN_VALUE_IN_TEXT"
    );
}

async fn an_invite_is_for_who_is_no_member(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let beta = t.tenant("beta", self_service()).await;
    let operator = t.operator();
    let told = async |actor: &Actor, request| {
        let request = pb::CreateInviteRequest {
            tenant_id: "acme".into(),
            ..request
        };
        outcome(actor.try_invite(request).await)
    };
    let ours = t.member(&acme, "ours", &[]).await.user_id;
    let theirs = t.member(&beta, "theirs", &[]).await.user_id;
    let is = |refusal: &str| Some(refusal.to_owned());
    for actor in [&acme.admin, &operator] {
        let member = told(actor, returning(&ours)).await;
        assert_eq!(member, is("AlreadyExists MEMBER_EXISTS"));
        let taken = told(actor, guest("ours")).await;
        assert_eq!(taken, is("AlreadyExists EXTERNAL_ID_TAKEN"));
        // Of another voucher, that is another user.
        assert_eq!(told(actor, guest("theirs")).await, None);
    }
    // Whom another tenant vouches for is not there for an administrator.
    let stranger = told(&acme.admin, returning(&theirs)).await;
    assert_eq!(stranger, is("NotFound USER_NOT_FOUND"));
    assert_eq!(told(&operator, returning(&theirs)).await, None);
    share(&t, &theirs, "acme").await;
    let member = told(&acme.admin, returning(&theirs)).await;
    assert_eq!(member, is("AlreadyExists MEMBER_EXISTS"));
    // Who has left may be asked back.
    crate::support::tokens::remove_member(&acme.admin, "acme", &ours).await;
    assert_eq!(told(&acme.admin, returning(&ours)).await, None);
    suspend_user(&acme.admin, "acme", &ours).await;
    let suspended = told(&acme.admin, returning(&ours)).await;
    assert_eq!(suspended, is("FailedPrecondition USER_SUSPENDED"));
    suspend_tenant(&operator, "acme").await;
    let suspended = told(&operator, guest("new")).await;
    assert_eq!(suspended, is("FailedPrecondition TENANT_SUSPENDED"));
    // Nobody is a member of the reserved tenant.
    let reserved = pb::CreateInviteRequest {
        tenant_id: "authority".into(),
        ..guest("new")
    };
    assert_eq!(
        refused(operator.try_invite(reserved).await),
        "FailedPrecondition RESERVED_TENANT"
    );
}

async fn a_first_token_is_given_by_who_holds_what_it_may_do(backend: Backend) {
    use pb::Role::{Admin, Member};
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let told = async |actor: &Actor, role: pb::Role, scope: &str| {
        let request = pb::CreateInviteRequest {
            tenant_id: "acme".into(),
            role: role.into(),
            first_token: first("first", &[scope]),
            ..guest("new")
        };
        outcome(actor.try_invite(request).await)
    };
    let is = |refusal: &str| Some(refusal.to_owned());
    assert_eq!(told(&acme.admin, Member, "write").await, None);
    assert_eq!(
        told(&acme.admin, Member, "authority:tokens.write").await,
        None
    );
    assert_eq!(
        told(&acme.admin, Member, "authority:introspect").await,
        is("PermissionDenied SCOPE_ESCALATION")
    );
    for scope in ["admin", "authority:tenant.admin"] {
        assert_eq!(
            told(&acme.admin, Member, scope).await,
            is("InvalidArgument SCOPE_ABOVE_ROLE\n  first_token.scopes[0]: SCOPE_ABOVE_ROLE")
        );
    }
    // Who holds an invite's value could claim it, and would act as another administrator.
    let other = is("PermissionDenied ON_BEHALF_OF_ADMIN");
    assert_eq!(told(&acme.admin, Admin, "read").await, other);
    assert_eq!(told(&t.operator(), Admin, "admin").await, None);
    let bare = pb::CreateInviteRequest {
        role: Admin.into(),
        ..guest("new")
    };
    acme.admin.invite(bare).await;
    let policy = pb::TenantPolicy {
        admins_act_for_admins: true,
        ..self_service()
    };
    set_policy(&acme.admin, "acme", policy).await;
    assert_eq!(told(&acme.admin, Admin, "admin").await, None);
    let policy = pb::TenantPolicy {
        tokens_may_not_mint: true,
        ..self_service()
    };
    set_policy(&acme.admin, "acme", policy).await;
    let may_not = is("PermissionDenied TOKEN_MAY_NOT_MINT");
    assert_eq!(told(&acme.admin, Member, "read").await, may_not);
    acme.admin.invite(guest("without a token")).await;
}

async fn a_tenant_has_so_many_open_invites(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let beta = t.tenant("beta", self_service()).await;
    let one = acme.admin.invite(guest("one")).await;
    let (id, lookup) = match &t.database {
        Database::Sqlite(_) => ("unhex(printf('%032x', i))", "printf('%012d', i)"),
        Database::Postgres { .. } => (
            "CAST(lpad(to_hex(i), 32, '0') AS UUID)",
            "lpad(CAST(i AS TEXT), 12, '0')",
        ),
    };
    let many = format!(
        "WITH RECURSIVE numbers (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM numbers WHERE i < 998)
         INSERT INTO invites (invite_id, tenant_id, user_id, external_id, display_name, role,
                              lookup, hint, secret_hash, fingerprint, fingerprint_key,
                              created_at, expires_at)
         SELECT {id}, tenant_id, user_id, external_id, display_name, role, {lookup}, hint,
                secret_hash, fingerprint, fingerprint_key, created_at, expires_at
           FROM invites, numbers"
    );
    t.database.execute(&many).await;
    let last = acme.admin.invite(guest("last")).await;
    let status = acme.admin.try_invite(guest("more")).await.unwrap_err();
    assert_eq!(refusal(&status), "ResourceExhausted INVITE_LIMIT");
    let details = status.get_error_details();
    let violation = &details.quota_failure().unwrap().violations[0];
    assert_eq!(
        (&*violation.subject, violation.quota_value),
        ("tenant", 1000)
    );
    assert!(details.retry_info().is_none());
    // Another tenant has its own; one that is over makes room.
    beta.admin.invite(guest("one")).await;
    acme.admin.revoke_invite(revocation(&last)).await.unwrap();
    acme.admin.invite(guest("more")).await;
    assert!(acme.admin.try_invite(guest("more")).await.is_err());
    t.nobody().try_claim(&one.value).await.unwrap();
    acme.admin.invite(guest("more")).await;
    assert!(acme.admin.try_invite(guest("more")).await.is_err());
    t.advance(Duration::from_secs(7 * 24 * 60 * 60));
    acme.admin.invite(guest("more")).await;
}

async fn asked_again_it_is_not_made_again(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let request = pb::CreateInviteRequest {
        request_id: "first".into(),
        ..guest("bob")
    };
    let made = acme.admin.invite(request.clone()).await;
    let status = acme.admin.try_invite(request).await.unwrap_err();
    assert_eq!(refusal(&status), "AlreadyExists REQUEST_ALREADY_DONE");
    let details = status.get_error_details();
    let resource = details.resource_info().unwrap();
    assert_eq!(resource.resource_type, "invite");
    assert_eq!(resource.resource_name, made.invite.unwrap().invite_id);
}

async fn it_is_written_down(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let request = pb::CreateInviteRequest {
        first_token: first("first", &["write"]),
        ..guest("bob")
    };
    let made = acme.admin.invite(request).await;
    let invite = made.invite.unwrap();
    let written = events(&t.database, "acme", "CreateInvite").await;
    assert_eq!(written.len(), 1);
    assert_eq!(written[0].caller.as_ref().unwrap().user_id, acme.admin_id);
    assert_eq!(written[0].subject.as_ref().unwrap().user_id, invite.user_id);
    let told: Vec<_> = written[0]
        .changes
        .iter()
        .map(|change| format!("{} {}{}", change.field, change.before, change.after))
        .collect();
    assert_eq!(
        told,
        [
            "invite.expire_time 2026-01-08T00:00:00Z",
            "invite.first_token.kind api",
            "invite.first_token.name first",
            "invite.first_token.scopes write",
            &format!("invite.hint {}", invite.hint),
            &format!("invite.invite_id {}", invite.invite_id),
            "invite.new_user.external_id bob",
            "invite.role MEMBER",
            &format!("invite.user_id {}", invite.user_id),
        ]
    );
}

async fn only_its_administrators_invite_to_a_tenant(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    administrators_only(&t, &acme, async |caller| {
        let request = pb::CreateInviteRequest {
            tenant_id: "acme".into(),
            ..guest("new")
        };
        refused(caller.try_invite(request).await)
    })
    .await;
}
