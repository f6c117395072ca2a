//! What becomes of invites' values is counted, by why.

use std::time::Duration;

use token_authority::pb;

use super::assert_one;
use crate::support::invites::{first, guest, returning, revocation, seconds};
use crate::support::tokens::{
    altered, checked, delete_tenant, own_id, remove_member, set_policy, suspend_tenant,
    suspend_user,
};
use crate::support::{Backend, TestServer, both_backends, refusal, self_service, share};

both_backends!(each_outcome_of_a_claim_moves_its_counter_alone);

/// Returns values that are each refused for another reason, by these; and one that is
/// good, which is to come last.
pub(super) async fn values(t: &TestServer) -> Vec<(&'static str, String)> {
    let soylent = t.tenant("soylent", self_service()).await;
    let umbrella = t.tenant("umbrella", self_service()).await;
    let hooli = t.tenant("hooli", self_service()).await;
    let (admin, operator) = (&soylent.admin, t.operator());
    let good = admin.invite(guest("good")).await.value;
    let claimed = admin.invite(guest("claimed")).await.value;
    t.nobody().try_claim(&claimed).await.unwrap();
    let revoked = admin.invite(guest("revoked")).await;
    admin.revoke_invite(revocation(&revoked)).await.unwrap();
    let brief = pb::CreateInviteRequest {
        ttl: seconds(1),
        ..guest("expired")
    };
    let expired = admin.invite(brief).await.value;
    t.advance(Duration::from_secs(1));
    let of_deleted = hooli.admin.invite(guest("guest")).await.value;
    delete_tenant(&operator, "hooli").await;
    let of_suspended = umbrella.admin.invite(guest("guest")).await.value;
    suspend_tenant(&operator, "umbrella").await;

    let deputy = operator.create_user("soylent", "deputy", pb::Role::Admin);
    let scopes = ["authority:tenant.admin"];
    let deputy = t.token_of("soylent", &deputy.await, &scopes).await;
    let of_deputy = deputy.invite(guest("guest")).await.value;
    operator.revoke("soylent", &own_id(&deputy).await).await;

    let mut returning_users = Vec::new();
    for name in ["gone", "suspended", "member"] {
        let user_id = t.member(&soylent, name, &[]).await.user_id;
        remove_member(admin, "soylent", &user_id).await;
        let value = admin.invite(returning(&user_id)).await.value;
        returning_users.push((user_id, value));
    }
    let [(_, gone), (suspended_id, suspended), (member_id, member)] =
        <[_; 3]>::try_from(returning_users).unwrap();
    // Who is deleted has its invites revoked; should that ever fail, they are dead all
    // the same.
    t.database
        .execute("UPDATE users SET deleted_at = created_at WHERE external_id = 'gone'")
        .await;
    suspend_user(admin, "soylent", &suspended_id).await;
    share(t, &member_id, "soylent").await;
    let taken = admin.invite(guest("taken")).await.value;
    t.member(&soylent, "taken", &[]).await;

    let minting = pb::CreateInviteRequest {
        first_token: first("first", &["read"]),
        ..guest("guest")
    };
    let minting = admin.invite(minting).await.value;
    let policy = pb::TenantPolicy {
        tokens_may_not_mint: true,
        ..self_service()
    };
    set_policy(admin, "soylent", policy).await;
    vec![
        ("malformed", admin.value().to_owned()),
        ("unknown", checked(&altered(&good, "inv_", 3))),
        ("wrong_secret", checked(&altered(&good, "inv_", 20))),
        ("claimed_before", claimed),
        ("revoked", revoked.value),
        ("expired", expired),
        ("tenant_deleted", of_deleted),
        ("tenant_suspended", of_suspended),
        ("creator_lost_right", of_deputy),
        ("user_gone", gone),
        ("user_suspended", suspended),
        ("member", member),
        ("external_id_taken", taken),
        ("first_token_refused", minting),
        ("joined", good),
    ]
}

async fn each_outcome_of_a_claim_moves_its_counter_alone(backend: Backend) {
    let t = TestServer::start(backend).await;
    let values = values(&t).await;
    let mut before = t.scrape().await;
    for (outcome, value) in values {
        let claimed = t.nobody().try_claim(&value).await;
        let said = claimed.map(|_| ()).map_err(|status| refusal(&status));
        let none = Err(String::from("NotFound INVITE_NOT_FOUND"));
        let expected = if outcome == "joined" { Ok(()) } else { none };
        assert_eq!(said, expected, "{outcome}");
        let after = t.scrape().await;
        let labels = format!("{{result=\"{outcome}\"}}");
        assert_one(&after, &before, "claims_total", &labels);
        before = after;
    }
}
