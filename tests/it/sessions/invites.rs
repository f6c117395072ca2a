//! Invites that are made in a session: they stand as long as their maker is what it was.

use std::time::Duration;

use token_authority::pb;

use super::{REFUSED, own, who_am_i};
use crate::support::invites::{first, guest};
use crate::support::tokens::{delete_user, remove_member, set_role, suspend_user};
use crate::support::{Backend, both_backends, mask, refused};

both_backends! {
    an_administrators_session_invites_and_a_members_does_not,
    an_invite_is_dead_once_its_maker_is_no_administrator,
    an_invite_is_dead_once_its_makers_provider_is_trusted_no_more,
}

const NONE: &str = "NotFound INVITE_NOT_FOUND";

async fn an_administrators_session_invites_and_a_members_does_not(backend: Backend) {
    let (t, provider, _, _) = own(backend).await;
    let operator = t.operator();
    let boss_id = operator.create_user("acme", "boss", pb::Role::Admin).await;
    let member = t.actor(&provider.session(&t, "alice"));
    assert_eq!(
        refused(member.try_invite(guest("bob")).await),
        "PermissionDenied PERMISSION_DENIED"
    );
    let boss = t.actor(&provider.session(&t, "boss"));
    let request = pb::CreateInviteRequest {
        role: pb::Role::Member.into(),
        first_token: first("first", &["read"]),
        ..guest("bob")
    };
    let made = boss.invite(request).await;
    let invite = made.invite.unwrap();
    assert_eq!(
        (&*invite.created_by, &*invite.creator_user_id),
        ("", &*boss_id)
    );
    // The session itself is over by then.
    t.advance(Duration::from_secs(4 * 60 * 60));
    assert_eq!(refused(who_am_i(&boss).await), REFUSED);
    let claimed = t.nobody().try_claim(&made.value).await.unwrap();
    assert_eq!(claimed.token.unwrap().scopes, ["read"]);
    let server = t.resource_server().await;
    assert!(server.introspect("acme", &claimed.value).await.allowed);
}

async fn an_invite_is_dead_once_its_maker_is_no_administrator(backend: Backend) {
    let (t, provider, _, _) = own(backend).await;
    let operator = t.operator();
    for what in ["demoted", "removed", "suspended", "deleted"] {
        let boss_id = operator.create_user("acme", what, pb::Role::Admin).await;
        let boss = t.actor(&provider.session(&t, what));
        let request = pb::CreateInviteRequest {
            role: pb::Role::Member.into(),
            ..guest(&format!("guest of {what}"))
        };
        let made = boss.invite(request).await;
        match what {
            "demoted" => set_role(&operator, "acme", &boss_id, pb::Role::Member).await,
            "removed" => drop(remove_member(&operator, "acme", &boss_id).await),
            "suspended" => drop(suspend_user(&operator, "acme", &boss_id).await),
            _ => drop(delete_user(&operator, "acme", &boss_id).await),
        }
        let claimed = t.nobody().try_claim(&made.value).await;
        assert_eq!(refused(claimed), NONE, "{what}");
    }
}

async fn an_invite_is_dead_once_its_makers_provider_is_trusted_no_more(backend: Backend) {
    let (t, provider, acme, _) = own(backend).await;
    let operator = t.operator();
    operator.create_user("acme", "boss", pb::Role::Admin).await;
    let boss = t.actor(&provider.session(&t, "boss"));
    let by_session = boss.invite(guest("bob")).await;
    let by_token = acme.admin.invite(guest("carol")).await;
    let trust = |audience: &str| pb::OidcTrust {
        audience: audience.into(),
        ..provider.oidc_trust()
    };
    let set = async |trust: pb::OidcTrust| {
        let request = pb::UpdateTenantRequest {
            tenant_id: "acme".into(),
            policy: Some(pb::TenantPolicy {
                oidc_trust: Some(trust),
                ..Default::default()
            }),
            update_mask: Some(mask(&["policy.oidc_trust"])),
            ..Default::default()
        };
        acme.admin.update_tenant(request).await.unwrap();
    };
    // What it is already changes nothing.
    set(provider.oidc_trust()).await;
    let claimed = t.nobody().try_claim(&by_session.value).await.unwrap();
    assert_eq!(claimed.user.unwrap().external_id, "bob");
    let by_session = boss.invite(guest("dave")).await;
    set(trust("elsewhere")).await;
    assert_eq!(refused(t.nobody().try_claim(&by_session.value).await), NONE);
    assert!(t.nobody().try_claim(&by_token.value).await.is_ok());
}
