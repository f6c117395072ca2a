//! Invites, from the making to the claim, and what is presented in their place.

use prost::Message as _;
use token_authority::pb;

use super::flow::Flow;
use super::{People, TENANT};
use crate::support::TestServer;
use crate::support::invites::{first, guest, revocation};

pub(super) async fn make(t: &TestServer, flow: &mut Flow, people: &People) {
    let mut made = Vec::new();
    for (external_id, first_token) in [
        ("bob", first("first", &["read"])),
        ("carol", None),
        ("dave", None),
    ] {
        let request = pb::CreateInviteRequest {
            tenant_id: TENANT.into(),
            first_token,
            ..guest(external_id)
        };
        let answer = flow
            .good(&people.admin, "InviteService/CreateInvite", &request)
            .await;
        made.push(pb::CreateInviteResponse::decode(answer.as_slice()).unwrap());
    }
    let request = pb::ListInvitesRequest {
        tenant_id: TENANT.into(),
        page_size: 1,
        ..Default::default()
    };
    let method = "InviteService/ListInvites";
    let page = flow.good(&people.admin, method, &request).await;
    let page = pb::ListInvitesResponse::decode(page.as_slice()).unwrap();
    let request = pb::ListInvitesRequest {
        page_token: page.next_page_token,
        ..request
    };
    flow.good(&people.admin, method, &request).await;
    let revoked = made.pop().unwrap();
    let request = revocation(&revoked);
    flow.good(&people.admin, "InviteService/RevokeInvite", &request)
        .await;

    let method = "InviteService/ClaimInvite";
    for value in t.issued().into_iter().chain(["nonsense".into()]) {
        let good = made.iter().any(|made| made.value == value);
        let wrong = super::with_another_secret(&value);
        for presented in [value[1..].to_owned(), wrong, value.clone()] {
            let is_good = good && presented == value;
            let request = pb::ClaimInviteRequest { value: presented };
            if is_good {
                flow.as_it_is(&t.nobody(), method, &request).await;
            }
            // Also what was claimed is presented once more.
            flow.any(&t.nobody(), method, &request).await;
        }
    }
}
