//! `InviteService/ListInvites`.

use std::time::Duration;

use token_authority::pb;

use crate::support::invites::{guest, revocation, seconds};
use crate::support::{
    Actor, Backend, TestServer, administrators_only, both_backends, message, pages, refused,
    self_service,
};

both_backends!(
    each_invite_is_listed_once_newest_first,
    invites_are_found_by_their_state,
    a_page_token_is_of_its_list_tenant_and_filter,
    only_its_administrators_list_invites_of_a_tenant,
);

async fn list(actor: &Actor, request: pb::ListInvitesRequest) -> (Vec<String>, String) {
    let page = actor.list_invites(request).await.unwrap();
    let ids = page.invites.into_iter().map(|invite| invite.invite_id);
    (ids.collect(), page.next_page_token)
}

fn id(made: &pb::CreateInviteResponse) -> String {
    made.invite.as_ref().unwrap().invite_id.clone()
}

async fn each_invite_is_listed_once_newest_first(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let beta = t.tenant("beta", self_service()).await;
    let mut tied = Vec::new();
    for at in 0..4 {
        tied.push(id(&acme.admin.invite(guest(&format!("{at}"))).await));
    }
    t.advance(Duration::from_millis(1));
    let last = id(&acme.admin.invite(guest("last")).await);
    let theirs = id(&beta.admin.invite(guest("0")).await);
    tied.sort_by(|a, b| b.cmp(a));
    let listed = [vec![last], tied].concat();
    for page_size in [1, 2, 5, 1001] {
        let request = |page_token| pb::ListInvitesRequest {
            page_size,
            page_token,
            ..message!(ListInvitesRequest {
                tenant_id: "active"
            })
        };
        let pages = pages(async |token| list(&acme.admin, request(token)).await).await;
        assert_eq!(pages.concat(), listed);
        assert_eq!(
            pages.len(),
            5_usize.div_ceil(usize::try_from(page_size).unwrap())
        );
    }
    let request = message!(ListInvitesRequest { tenant_id: "beta" });
    assert_eq!(list(&beta.admin, request).await.0, [theirs]);
}

async fn invites_are_found_by_their_state(backend: Backend) {
    use pb::InviteState::{Claimed, Expired, Open, Revoked, Unspecified};
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let brief = pb::CreateInviteRequest {
        ttl: seconds(1),
        ..guest("expired")
    };
    let expired = acme.admin.invite(brief).await;
    let claimed = acme.admin.invite(guest("claimed")).await;
    let joined = t.nobody().try_claim(&claimed.value).await.unwrap();
    let revoked = acme.admin.invite(guest("revoked")).await;
    acme.admin
        .revoke_invite(revocation(&revoked))
        .await
        .unwrap();
    let open = acme.admin.invite(guest("open")).await;
    let found = async |state: pb::InviteState| {
        let request = message!(ListInvitesRequest {
            tenant_id: "acme",
            state: state,
        });
        let invites = acme.admin.list_invites(request).await.unwrap().invites;
        for invite in &invites {
            assert!(state == Unspecified || invite.state() == state);
        }
        let ids = invites.into_iter().map(|invite| invite.invite_id);
        ids.collect::<std::collections::BTreeSet<_>>()
    };
    let set = |made: &[&pb::CreateInviteResponse]| made.iter().map(|made| id(made)).collect();
    assert_eq!(found(Open).await, set(&[&open, &expired]));
    assert_eq!(found(Expired).await, set(&[]));
    t.advance(Duration::from_secs(1));
    assert_eq!(found(Open).await, set(&[&open]));
    assert_eq!(found(Expired).await, set(&[&expired]));
    assert_eq!(found(Claimed).await, set(&[&claimed]));
    assert_eq!(found(Revoked).await, set(&[&revoked]));
    let all = set(&[&open, &expired, &claimed, &revoked]);
    assert_eq!(found(Unspecified).await, all);
    // The claimed one says who joined, though nobody may have heard the answer.
    let request = message!(ListInvitesRequest {
        tenant_id: "acme",
        state: Claimed,
    });
    let invite = acme.admin.list_invites(request).await.unwrap().invites;
    assert_eq!(invite[0].user_id, joined.user.unwrap().user_id);
    // What was done outlasts the end.
    t.advance(Duration::from_secs(40 * 24 * 60 * 60));
    assert_eq!(found(Claimed).await, set(&[&claimed]));
    assert_eq!(found(Revoked).await, set(&[&revoked]));

    let unknown = message!(ListInvitesRequest {
        tenant_id: "acme",
        state: 9,
        page_size: -1,
    });
    assert_eq!(
        refused(acme.admin.list_invites(unknown).await),
        "InvalidArgument OUT_OF_RANGE\n  page_size: OUT_OF_RANGE\n  state: UNKNOWN_ENUM_VALUE"
    );
}

async fn a_page_token_is_of_its_list_tenant_and_filter(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let beta = t.tenant("beta", self_service()).await;
    for at in 0..2 {
        acme.admin.invite(guest(&format!("{at}"))).await;
    }
    let request = |tenant_id: &str, state: pb::InviteState, page_token: &str| {
        message!(ListInvitesRequest {
            tenant_id: tenant_id,
            state: state,
            page_token: page_token,
            page_size: 1,
        })
    };
    let any = pb::InviteState::Unspecified;
    let (_, good) = list(&acme.admin, request("acme", any, "")).await;
    assert_eq!(
        list(&acme.admin, request("active", any, &good))
            .await
            .0
            .len(),
        1
    );
    for (actor, bad) in [
        (&beta.admin, request("beta", any, &good)),
        (&acme.admin, request("acme", pb::InviteState::Open, &good)),
        (&acme.admin, request("acme", any, "x")),
    ] {
        assert_eq!(
            refused(actor.list_invites(bad).await),
            "InvalidArgument INVALID_PAGE_TOKEN\n  page_token: INVALID_PAGE_TOKEN"
        );
    }
}

async fn only_its_administrators_list_invites_of_a_tenant(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    administrators_only(&t, &acme, async |caller| {
        let request = message!(ListInvitesRequest { tenant_id: "acme" });
        refused(caller.list_invites(request).await)
    })
    .await;
}
