//! What is kept of a value once it was given out: nothing that gives it back.

use prost::Message;
use token_authority::domain::value::TokenValue;
use token_authority::pb;

use super::{Product, Stage};
use crate::support::{Actor, message};

use crate::support::tokens::{
    batch, change, explain, get, id, list, mask, question, update, who_am_i,
};

/// Makes each call that tells of a token, as one who may; fails where the value or its
/// secret stands in an answer or in the database, and where that holds no hash of it.
pub(super) async fn kept(
    stage: &Stage,
    product: &Product,
    by: &Actor,
    created: &pb::CreateTokenResponse,
) {
    let token = created.token.clone().unwrap();
    let value: TokenValue = created.value.parse().unwrap();
    let mut heard: Vec<(&str, Vec<u8>)> = Vec::new();
    let mut hear = |what, answer: Vec<u8>| {
        assert!(!answer.is_empty(), "{what} told nothing");
        heard.push((what, answer));
    };
    let got = message!(GetTokenRequest {
        tenant_id: product.id,
        token_id: id(created)
    });
    hear("GetToken", get(by, got).await.unwrap().encode_to_vec());
    let listed = message!(ListTokensRequest {
        tenant_id: product.id,
        show_revoked: true
    });
    let listed = list(by, listed).await.unwrap();
    assert!(
        listed
            .tokens
            .iter()
            .any(|one| one.token_id == token.token_id)
    );
    hear("ListTokens", listed.encode_to_vec());
    let by_id = pb::explain_token_request::Subject::TokenId(id(created));
    let by_value = pb::explain_token_request::Subject::Value(created.value.clone());
    for subject in [by_id, by_value] {
        let request = pb::ExplainTokenRequest {
            tenant_id: product.id.into(),
            subject: Some(subject),
            ..Default::default()
        };
        let explained = explain(by, request).await.unwrap();
        hear("ExplainToken", explained.encode_to_vec());
    }
    let renamed = pb::UpdateTokenRequest {
        update_mask: mask(&["name"]),
        name: format!("{} again", token.name),
        ..change(&token.token_id)
    };
    let renamed = update(by, renamed).await.unwrap();
    hear("UpdateToken", renamed.encode_to_vec());
    let holder = stage.t.actor(&created.value);
    let me = who_am_i(&holder, pb::WhoAmIRequest {}).await.unwrap();
    hear("WhoAmI", me.encode_to_vec());
    let asked = question(product.id, &created.value);
    let answered = stage.server.try_introspect(asked.clone()).await.unwrap();
    assert!(answered.active);
    hear("Introspect", answered.encode_to_vec());
    let requests = vec![asked];
    let answered = batch(&stage.server, pb::BatchIntrospectRequest { requests }).await;
    hear("BatchIntrospect", answered.unwrap().encode_to_vec());
    let events = message!(ListAuditEventsRequest {
        tenant_id: product.id
    });
    let events = product.admin.list_audit_events(events).await.unwrap();
    hear("ListAuditEvents", events.encode_to_vec());

    let secret = value.secret().expose();
    for (what, answer) in heard {
        let answer = String::from_utf8_lossy(&answer);
        assert!(!answer.contains(secret), "{what} shows the value");
    }
    let dump = stage.t.database.dump();
    let dump = String::from_utf8_lossy(&dump);
    assert!(!dump.contains(secret), "the database holds the value");
    let hashes = format!(
        "SELECT secret_hash FROM secrets WHERE lookup = '{}'",
        value.lookup().as_str()
    );
    let hashes = stage.t.database.texts(&hashes).await;
    let [hash] = &hashes[..] else {
        panic!("one value has one hash: {hashes:?}");
    };
    assert!(hash.starts_with("$2b$"), "{hash}");
    assert!(bcrypt::non_truncating_verify(secret, hash).unwrap());
    assert!(!bcrypt::non_truncating_verify(&secret[1..], hash).unwrap());
}
