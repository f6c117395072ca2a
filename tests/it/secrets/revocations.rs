//! The ways to revoke, beside `RevokeToken`, and what is explained of tokens.

use token_authority::pb;

use super::flow::Flow;
use super::{People, TENANT, imports};
use crate::support::TestServer;

/// Revokes several tokens at once, and a caller's own.
pub(super) async fn make(t: &TestServer, flow: &mut Flow, people: &People) {
    imports::present(t, flow, people).await;
    for value in t.issued().into_iter().chain(["nonsense".into()]) {
        let request = pb::ExplainTokenRequest {
            tenant_id: TENANT.into(),
            subject: Some(pb::explain_token_request::Subject::Value(value)),
            required_scopes: vec!["read".into()],
            ..Default::default()
        };
        let method = "TokenService/ExplainToken";
        flow.as_it_is(&people.admin, method, &request).await;
    }
    let spare = people.admin.issue("spare", &["read"]).await;
    let spare_id = spare.token.unwrap().token_id;
    let request = pb::ExplainTokenRequest {
        tenant_id: TENANT.into(),
        subject: Some(pb::explain_token_request::Subject::TokenId(
            spare_id.clone(),
        )),
        ..Default::default()
    };
    flow.good(&people.admin, "TokenService/ExplainToken", &request)
        .await;
    let request = pb::BatchRevokeTokensRequest {
        tenant_id: TENANT.into(),
        token_ids: vec![spare_id.clone()],
        reason_text: "spare".into(),
        ..Default::default()
    };
    flow.good(&people.admin, "TokenService/BatchRevokeTokens", &request)
        .await;
    let own = t.actor(&people.admin.issue("own", &["read"]).await.value);
    let request = pb::RevokeCurrentTokenRequest {
        reason_text: "done with".into(),
        ..Default::default()
    };
    flow.good(&own, "SelfService/RevokeCurrentToken", &request)
        .await;
    let request = pb::RevokeAllTokensRequest {
        tenant_id: TENANT.into(),
        user_id: people.alice_id.clone(),
        reason_text: "all of them".into(),
        ..Default::default()
    };
    flow.good(&people.admin, "TokenService/RevokeAllTokens", &request)
        .await;
    // What is exposed is revoked, so that nothing else is pasted here.
    let exposed = people.admin.issue("exposed", &["read"]).await.value;
    for value in [exposed.clone(), exposed, "nonsense".into()] {
        let request = pb::RevokeExposedTokenRequest { value };
        let method = "SelfService/RevokeExposedToken";
        let answer = flow.as_it_is(&t.nobody(), method, &request).await;
        assert!(answer.is_empty());
    }
}
