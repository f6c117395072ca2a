//! Values that another system made.

use token_authority::pb;

use super::flow::Flow;
use super::{People, TENANT};
use crate::support::TestServer;
use crate::support::import::hash;

/// Imports a value that another system made, and presents it.
pub(super) async fn present(t: &TestServer, flow: &mut Flow, people: &People) {
    let value = format!("a_{}", "OldSecret".repeat(6));
    let request = pb::ImportTokensRequest {
        tenant_id: TENANT.into(),
        hint_length: 9,
        tokens: vec![pb::ImportedToken {
            hint: value[..9].into(),
            secret_hash: hash(&value),
            user_id: people.alice_id.clone(),
            name: "imported".into(),
            ..Default::default()
        }],
        ..Default::default()
    };
    flow.good(&people.admin, "TokenService/ImportTokens", &request)
        .await;
    t.note_issued(&value);
    assert!(people.server.introspect(TENANT, &value).await.active);
    t.authority.flush_usage().await.unwrap();
}
