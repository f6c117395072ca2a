//! Each call that manages tokens, made by somebody.

use token_authority::pb;

use crate::support::tokens::{
    batch_revoke, change, explain, get, list, mask, revoke, revoke_all, rotate, rotation, strings,
    update,
};
use crate::support::{Actor, message, outcome};

/// Makes each call that manages tokens; returns what came of it.
pub(super) async fn manage(
    actor: &Actor,
    user_id: &str,
    token_id: &str,
) -> Vec<(&'static str, Option<String>)> {
    let tenant_id = "odysseus";
    let create = message!(CreateTokenRequest {
        tenant_id: tenant_id,
        user_id: user_id,
        name: "another",
    });
    let renamed = pb::UpdateTokenRequest {
        tenant_id: tenant_id.into(),
        update_mask: mask(&["name"]),
        name: "renamed".into(),
        ..change(token_id)
    };
    let rotated = pb::RotateTokenRequest {
        tenant_id: tenant_id.into(),
        ..rotation(token_id, 0)
    };
    let explained = pb::ExplainTokenRequest {
        tenant_id: tenant_id.into(),
        subject: Some(pb::explain_token_request::Subject::TokenId(token_id.into())),
        ..Default::default()
    };
    let got = message!(GetTokenRequest {
        tenant_id: tenant_id,
        token_id: token_id
    });
    let listed = message!(ListTokensRequest {
        tenant_id: tenant_id
    });
    let revoked = message!(RevokeTokenRequest {
        tenant_id: tenant_id,
        token_id: token_id
    });
    let several = message!(BatchRevokeTokensRequest {
        tenant_id: tenant_id,
        token_ids: strings(&[token_id]),
    });
    let all = message!(RevokeAllTokensRequest {
        tenant_id: tenant_id,
        user_id: user_id
    });
    vec![
        ("create", outcome(actor.try_create(create).await)),
        ("get", outcome(get(actor, got).await)),
        ("list", outcome(list(actor, listed).await)),
        ("explain", outcome(explain(actor, explained).await)),
        ("update", outcome(update(actor, renamed).await)),
        ("rotate", outcome(rotate(actor, rotated).await)),
        ("revoke", outcome(revoke(actor, revoked).await)),
        (
            "revoke several",
            outcome(batch_revoke(actor, several).await),
        ),
        ("revoke all", outcome(revoke_all(actor, all).await)),
    ]
}
