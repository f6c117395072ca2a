//! `InviteService/RevokeInvite`.

use std::time::Duration;

use token_authority::pb;

use crate::support::invites::{guest, revocation, seconds};
use crate::support::tokens::at;
use crate::support::{
    Backend, TestServer, administrators_only, both_backends, events, message, refused, self_service,
};

both_backends!(
    nobody_joins_by_a_revoked_invite,
    a_claimed_invite_stays_claimed,
    an_invite_is_its_tenants_own,
    only_its_administrators_revoke_invites_of_a_tenant,
);

async fn nobody_joins_by_a_revoked_invite(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let made = acme.admin.invite(guest("bob")).await;
    t.advance(Duration::from_secs(1));
    let revoked = acme.admin.revoke_invite(revocation(&made)).await.unwrap();
    let revoked = revoked.invite.unwrap();
    let expected = pb::Invite {
        state: pb::InviteState::Revoked.into(),
        revoke_time: Some(at(1)),
        ..made.invite.clone().unwrap()
    };
    assert_eq!(revoked, expected);
    let claimed = t.nobody().try_claim(&made.value).await;
    assert_eq!(refused(claimed), "NotFound INVITE_NOT_FOUND");
    // Twice is as once.
    t.advance(Duration::from_secs(1));
    let again = acme.admin.revoke_invite(revocation(&made)).await.unwrap();
    assert_eq!(again.invite.unwrap(), revoked);
    let written = events(&t.database, "acme", "RevokeInvite").await;
    assert_eq!(written.len(), 1);
    let told: Vec<_> = written[0]
        .changes
        .iter()
        .map(|change| format!("{} {}{}", change.field, change.before, change.after))
        .collect();
    assert_eq!(
        told,
        [
            &format!("invite.invite_id {}", revoked.invite_id),
            "invite.revoke_time 2026-01-01T00:00:01Z",
        ]
    );
    // One that has expired is revoked all the same: some clock may be late.
    let brief = pb::CreateInviteRequest {
        ttl: seconds(1),
        ..guest("carol")
    };
    let brief = acme.admin.invite(brief).await;
    t.advance(Duration::from_secs(1));
    let revoked = acme.admin.revoke_invite(revocation(&brief)).await.unwrap();
    assert_eq!(revoked.invite.unwrap().state(), pb::InviteState::Revoked);
}

async fn a_claimed_invite_stays_claimed(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let made = acme.admin.invite(guest("bob")).await;
    t.nobody().try_claim(&made.value).await.unwrap();
    let revoked = acme.admin.revoke_invite(revocation(&made)).await;
    assert_eq!(refused(revoked), "FailedPrecondition INVITE_CLAIMED");
}

async fn an_invite_is_its_tenants_own(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let beta = t.tenant("beta", self_service()).await;
    let made = acme.admin.invite(guest("bob")).await;
    let revoked = beta.admin.revoke_invite(revocation(&made)).await;
    assert_eq!(refused(revoked), "NotFound INVITE_NOT_FOUND");
    for (invite_id, reason) in [
        ("", "FIELD_REQUIRED"),
        ("bob", "INVALID_INVITE_ID"),
        (made.value.as_str(), "INVALID_INVITE_ID"),
    ] {
        let request = message!(RevokeInviteRequest {
            tenant_id: "acme",
            invite_id: invite_id,
        });
        assert_eq!(
            refused(acme.admin.revoke_invite(request).await),
            format!("InvalidArgument {reason}\n  invite_id: {reason}")
        );
    }
    t.nobody().try_claim(&made.value).await.unwrap();
}

async fn only_its_administrators_revoke_invites_of_a_tenant(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let made = acme.admin.invite(guest("bob")).await;
    administrators_only(&t, &acme, async |caller| {
        let request = pb::RevokeInviteRequest {
            tenant_id: "acme".into(),
            ..revocation(&made)
        };
        refused(caller.revoke_invite(request).await)
    })
    .await;
}
