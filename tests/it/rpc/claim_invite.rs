//! `InviteService/ClaimInvite`: who joins, as what, and with what.

use std::time::Duration;

use token_authority::authority::counters::Claim;
use token_authority::domain::invite::Unclaimable;
use token_authority::pb;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::support::invites::{first, guest, returning, revocation, seconds};
use crate::support::tokens::{
    altered, at, checked, expose, number, presenting, remove_member, set_catalog, who_am_i,
};
use crate::support::{
    Backend, TestServer, both_backends, catalog, events, message, refusal, refused, self_service,
    share,
};

both_backends!(
    who_claims_joins_and_gets_its_first_token,
    who_has_left_comes_back_with_nothing_that_it_had,
    a_guest_is_told_nothing_of_other_tenants,
    what_is_not_good_is_one_answer,
    an_invites_value_is_no_token,
    no_credential_is_looked_at,
    a_claim_is_written_down,
    a_profile_that_grows_widens_no_invite,
    garbage_reaches_neither_the_store_nor_bcrypt,
    a_value_is_verified_also_when_its_key_is_gone,
    so_many_are_served_at_once,
);

const NONE: &str = "NotFound INVITE_NOT_FOUND";

async fn who_claims_joins_and_gets_its_first_token(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let made = acme
        .admin
        .invite(pb::CreateInviteRequest {
            first_token: Some(pb::FirstToken {
                kind: pb::TokenKind::Agent.into(),
                profile: "editor".into(),
                ttl: seconds(60),
                agent_id: "run-7".into(),
                labels: [("team".into(), "blue".into())].into(),
                ..first("first", &["authority:tokens.read"]).unwrap()
            }),
            ..guest("bob")
        })
        .await;
    let invite = made.invite.unwrap();
    let before = acme.admin.issue("before", &[]).await.revision;
    t.advance(Duration::from_secs(9));
    let nobody = t.nobody();
    let claimed = nobody.try_claim(&format!(" bearer {} ", made.value)).await;
    let claimed = claimed.unwrap();
    assert_eq!(number(&claimed.revision), number(&before) + 1);
    assert!(claimed.settled);
    let user = claimed.user.unwrap();
    assert_eq!(user.user_id, invite.user_id);
    assert_eq!(user.external_id, "bob");
    assert_eq!(user.vouching_tenant_id, "acme");
    assert_eq!(user.state(), pb::UserState::Active);
    let member = claimed.membership.unwrap();
    assert_eq!(member.user_id, user.user_id);
    assert_eq!(member.role(), pb::Role::Member);
    let token = claimed.token.unwrap();
    assert_eq!(token.user_id, user.user_id);
    assert_eq!(token.kind(), pb::TokenKind::Agent);
    assert_eq!(token.state(), pb::TokenState::Active);
    assert_eq!(token.profile, "editor");
    assert_eq!(token.agent_id, "run-7");
    assert_eq!(token.created_by, invite.created_by);
    assert_eq!(token.create_time, Some(at(9)));
    // Its time is counted from the claim on.
    assert_eq!(token.expire_time, Some(at(69)));
    assert!(claimed.value.starts_with("acme_"));
    let answer = t.resource_server().await;
    let answer = answer.introspect("acme", &claimed.value).await;
    assert_eq!(answer.scopes, ["authority:tokens.read", "read", "write"]);
    assert_eq!(answer.user_external_id, "bob");
    let me = who_am_i(&t.actor(&claimed.value), pb::WhoAmIRequest {}).await;
    assert_eq!(me.unwrap().user.unwrap().user_id, user.user_id);

    // Whoever did not hear the answer is found all the same.
    let request = message!(ListInvitesRequest { tenant_id: "acme" });
    let listed = acme.admin.list_invites(request).await.unwrap().invites;
    let expected = pb::Invite {
        state: pb::InviteState::Claimed.into(),
        claim_time: Some(at(9)),
        token_id: token.token_id,
        ..invite
    };
    assert_eq!(listed, [expected]);
    // Once.
    assert_eq!(refused(nobody.try_claim(&made.value).await), NONE);
    let admin = pb::CreateInviteRequest {
        role: pb::Role::Admin.into(),
        ..guest("carol")
    };
    let admin = acme.admin.invite(admin).await;
    let claimed = nobody.try_claim(&admin.value).await.unwrap();
    assert_eq!(claimed.membership.unwrap().role(), pb::Role::Admin);
    assert_eq!((claimed.token, &*claimed.value), (None, ""));
}

async fn who_has_left_comes_back_with_nothing_that_it_had(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let bob = t.member(&acme, "bob", &["read"]).await;
    remove_member(&acme.admin, "acme", &bob.user_id).await;
    let request = pb::CreateInviteRequest {
        first_token: first("first", &["write"]),
        ..returning(&bob.user_id)
    };
    let made = acme.admin.invite(request).await;
    let claimed = t.nobody().try_claim(&made.value).await.unwrap();
    let server = t.resource_server().await;
    assert!(server.introspect("acme", &claimed.value).await.active);
    assert_eq!(claimed.user.unwrap().user_id, bob.user_id);
    assert!(!server.introspect("acme", bob.actor.value()).await.active);
}

async fn a_guest_is_told_nothing_of_other_tenants(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let beta = t.tenant("beta", self_service()).await;
    let theirs = t.member(&beta, "theirs", &["read"]).await.user_id;
    share(&t, &theirs, "acme").await;
    remove_member(&acme.admin, "acme", &theirs).await;
    let request = pb::CreateInviteRequest {
        tenant_id: "acme".into(),
        ..returning(&theirs)
    };
    let made = t.operator().invite(request).await;
    let claimed = t.nobody().try_claim(&made.value).await.unwrap();
    let user = claimed.user.unwrap();
    assert_eq!(user.user_id, theirs);
    assert_eq!(
        (&*user.vouching_tenant_id, &*user.active_tenant_id),
        ("", "")
    );
    assert_eq!(claimed.membership.unwrap().tenant_id, "acme");
}

async fn what_is_not_good_is_one_answer(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let good = acme.admin.invite(guest("good")).await.value;
    let claimed = acme.admin.invite(guest("claimed")).await.value;
    t.nobody().try_claim(&claimed).await.unwrap();
    let revoked = acme.admin.invite(guest("revoked")).await;
    acme.admin
        .revoke_invite(revocation(&revoked))
        .await
        .unwrap();
    let brief = pb::CreateInviteRequest {
        ttl: seconds(2),
        ..guest("brief")
    };
    let brief = acme.admin.invite(brief).await.value;
    let in_use = acme.admin.invite(guest("taken")).await.value;
    t.member(&acme, "taken", &[]).await;
    let token = acme.admin.issue("token", &["read"]).await.value;
    let (token_body, _) = token.split_at(token.len() - 6);
    let mut events_before = t.database.texts("SELECT action FROM audit_events").await;
    t.advance(Duration::from_millis(1999));
    let mut answers = Vec::new();
    for (at, value) in [
        "",
        "nonsense",
        &"x".repeat(100_000),
        // No such lookup, a wrong secret of a known one, a typo.
        &checked(&altered(&good, "inv_", 3)),
        &checked(&altered(&good, "inv_", 20)),
        &altered(&good, "inv_", 20),
        // A token's value, as it is and in disguise.
        &token,
        &checked(&token_body.replace("acme_", "inv_")),
        // An invite's as a token's.
        &checked(&good[..good.len() - 6].replace("inv_", "acme_")),
        &claimed,
        &revoked.value,
        &in_use,
        &brief,
    ]
    .into_iter()
    .enumerate()
    {
        if at == 12 {
            // At the very instant of its end.
            t.advance(Duration::from_millis(1));
        }
        let status = t.nobody().try_claim(value).await.unwrap_err();
        let said = (refusal(&status), status.message().to_owned());
        answers.push((said, status.details().to_vec()));
    }
    assert_eq!(answers[0].0.0, NONE);
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    let mut events_after = t.database.texts("SELECT action FROM audit_events").await;
    events_before.sort();
    events_after.sort();
    assert_eq!(events_after, events_before);
    t.nobody().try_claim(&good).await.unwrap();
}

async fn an_invites_value_is_no_token(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let value = acme.admin.invite(guest("bob")).await.value;
    let server = t.resource_server().await;
    let body = &value[..value.len() - 6];
    for disguised in [
        value.clone(),
        checked(&body.replace("inv_", "acme_")),
        checked(&body.replace("inv_", "ta_")),
    ] {
        let answer = server.introspect("acme", &disguised).await;
        assert!(!answer.active);
        let me = who_am_i(&t.actor(&disguised), pb::WhoAmIRequest {}).await;
        assert_eq!(refused(me), "Unauthenticated CALLER_UNAUTHENTICATED");
        let found = pb::RevokeExposedTokenRequest { value: disguised };
        expose(&t.nobody(), found).await.unwrap();
    }
    // And it is as good as before.
    t.nobody().try_claim(&value).await.unwrap();
}

async fn no_credential_is_looked_at(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    for (number, credential) in ["nonsense", "Basic YWxpY2U6", acme.admin.value()]
        .into_iter()
        .enumerate()
    {
        let value = acme.admin.invite(guest(&format!("{number}"))).await.value;
        let request = presenting(pb::ClaimInviteRequest { value }, credential);
        let claimed = t.nobody().invites().claim_invite(request).await;
        let user = claimed.unwrap().into_inner().user.unwrap();
        assert_eq!(user.external_id, format!("{number}"));
    }
}

async fn a_claim_is_written_down(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let request = pb::CreateInviteRequest {
        first_token: first("first", &["read"]),
        ..guest("bob")
    };
    let made = acme.admin.invite(request).await;
    let claimed = t.nobody().try_claim(&made.value).await.unwrap();
    let invite = made.invite.unwrap();
    let token = claimed.token.unwrap();
    let written = events(&t.database, "acme", "ClaimInvite").await;
    assert_eq!(written.len(), 1);
    // Nobody known called; who made the invite is told beside.
    assert_eq!(written[0].caller, None);
    assert!(!written[0].call_id.is_empty());
    let subject = written[0].subject.as_ref().unwrap();
    assert_eq!(subject.user_id, invite.user_id);
    assert_eq!(subject.token_id, token.token_id);
    let told: Vec<_> = written[0]
        .changes
        .iter()
        .map(|change| format!("{} {}{}", change.field, change.before, change.after))
        .collect();
    assert_eq!(
        told,
        [
            "external_id bob",
            "role MEMBER",
            &format!("hint {}", token.hint),
            "kind api",
            "name first",
            "scopes read",
            &format!("user_id {}", invite.user_id),
            "invite.claim_time 2026-01-01T00:00:00Z",
            &format!("invite.invite_id {}", invite.invite_id),
            &format!("invite.created_by {}", invite.created_by),
            &format!("invite.creator_user_id {}", acme.admin_id),
        ]
    );
    let changes = "SELECT kind FROM changes
                    WHERE number = (SELECT number FROM log_head) ORDER BY position";
    assert_eq!(
        t.database.texts(changes).await,
        ["member_changed", "token_created"]
    );
}

async fn a_profile_that_grows_widens_no_invite(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let mut narrow = catalog();
    narrow.profiles[0].scopes = vec!["read".into()];
    set_catalog(&acme.admin, "acme", narrow).await;
    let mut made = Vec::new();
    for name in ["bob", "carol"] {
        let first_token = pb::FirstToken {
            profile: "editor".into(),
            ..first("first", &[]).unwrap()
        };
        let request = pb::CreateInviteRequest {
            first_token: Some(first_token),
            ..guest(name)
        };
        made.push(acme.admin.invite(request).await.value);
    }
    set_catalog(&acme.admin, "acme", catalog()).await;
    let claimed = t.nobody().try_claim(&made[0]).await.unwrap();
    assert_eq!(claimed.token.unwrap().scopes, ["read"]);
    // Nor does it need the profile any more.
    let mut without = catalog();
    without.profiles.clear();
    set_catalog(&acme.admin, "acme", without).await;
    let claimed = t.nobody().try_claim(&made[1]).await.unwrap();
    let token = claimed.token.unwrap();
    assert_eq!(
        (token.scopes, &*token.profile),
        (vec!["read".into()], "editor")
    );
}

async fn garbage_reaches_neither_the_store_nor_bcrypt(backend: Backend) {
    let mut t = TestServer::start(backend).await;
    t.expect_alarms();
    let acme = t.tenant("acme", self_service()).await;
    let good = acme.admin.invite(guest("bob")).await.value;
    let before = t.authority.counters().bcrypt_verifications.get();
    for value in [
        &checked(&altered(&good, "inv_", 3)),
        &checked(&altered(&good, "inv_", 20)),
    ] {
        assert_eq!(refused(t.nobody().try_claim(value).await), NONE);
    }
    t.database
        .execute("ALTER TABLE invites RENAME TO lost_invites")
        .await;
    for garbage in ["nonsense", acme.admin.value(), &altered(&good, "inv_", 20)] {
        assert_eq!(refused(t.nobody().try_claim(garbage).await), NONE);
    }
    // What has the form of one is looked for, and a failure is no absence.
    let status = t.nobody().try_claim(&good).await.unwrap_err();
    assert_eq!(refusal(&status), "Internal INTERNAL");
    t.database
        .execute("ALTER TABLE lost_invites RENAME TO invites")
        .await;
    let counters = t.authority.counters();
    assert_eq!(counters.bcrypt_verifications.get(), before);
    t.nobody().try_claim(&good).await.unwrap();
    assert_eq!(counters.bcrypt_verifications.get(), before);
    let counted = [
        (Claim::Refused(Unclaimable::Unknown), 1),
        (Claim::Refused(Unclaimable::WrongSecret), 1),
        (Claim::Refused(Unclaimable::Malformed), 3),
        (Claim::Joined, 1),
    ];
    for (outcome, count) in counted {
        assert_eq!(counters.claims.get(outcome), count, "{outcome:?}");
    }
}

async fn a_value_is_verified_also_when_its_key_is_gone(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let good = acme.admin.invite(guest("bob")).await.value;
    t.database
        .execute("UPDATE invites SET fingerprint_key = 'gone.00000000'")
        .await;
    let wrong = checked(&altered(&good, "inv_", 20));
    assert_eq!(refused(t.nobody().try_claim(&wrong).await), NONE);
    t.nobody().try_claim(&good).await.unwrap();
    assert_eq!(t.authority.counters().bcrypt_verifications.get(), 2);
}

async fn so_many_are_served_at_once(backend: Backend) {
    // Nobody gives up before all have come, however slow the machine is.
    let t = TestServer::start_with(backend, |config| {
        config.database.acquire_timeout_ms = 60_000;
    })
    .await;
    let acme = t.tenant("acme", self_service()).await;
    let mut values = Vec::new();
    for number in 0..16 {
        values.push(acme.admin.invite(guest(&format!("{number}"))).await.value);
    }
    let unknown = checked(&altered(&values[0], "inv_", 3));
    // Nobody gets on with a change for now.
    let mut raw = t.database.raw().await;
    let hold = match backend {
        Backend::Sqlite => "BEGIN IMMEDIATE",
        Backend::Postgres => "BEGIN; UPDATE tenants SET updated_at = updated_at",
    };
    raw.execute(hold).await.unwrap();
    let mut calls = Vec::new();
    for value in values.clone() {
        let nobody = t.nobody();
        calls.push(tokio::spawn(async move {
            loop {
                match nobody.try_claim(&value).await {
                    // The place of the one below, which it gives back at once.
                    Err(status) if status.code() == Code::ResourceExhausted => {}
                    // Too long behind the lock: it comes again.
                    Err(status) if status.code() == Code::Unavailable => {}
                    answered => return answered,
                }
            }
        }));
    }
    let nobody = t.nobody();
    let status = loop {
        let status = nobody.try_claim(&unknown).await.unwrap_err();
        if status.code() != Code::NotFound {
            break status;
        }
    };
    assert_eq!(refusal(&status), "ResourceExhausted RATE_LIMITED");
    let retry = status.get_error_details().retry_info().unwrap().retry_delay;
    assert_eq!(retry, Some(Duration::from_secs(1)));
    // It tells nothing of the value, and garbage takes no place.
    let limited = refused(nobody.try_claim(&values[0]).await);
    assert_eq!(limited, "ResourceExhausted RATE_LIMITED");
    assert_eq!(refused(nobody.try_claim("nonsense").await), NONE);
    raw.execute("ROLLBACK").await.unwrap();
    for call in calls {
        call.await.unwrap().unwrap();
    }
}
