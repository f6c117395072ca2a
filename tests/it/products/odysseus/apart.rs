//! What is kept apart: kinds, and what a token's scopes do not permit; and the end of a
//! value that came into other hands.

use token_authority::pb;

use super::super::Stage;
use super::{DENIED, SCOPES, UNAUTHENTICATED, closure, manage};
use crate::support::tokens::{
    batch_revoke, change, disabled, expose, get, id, list, mask, own_id, revoke, revoke_all,
    rotate, rotation, strings, update, wanted, who_am_i,
};
use crate::support::{Actor, Backend, message, refusal, refused};

pub(super) async fn a11_webhook_tokens_are_apart(backend: Backend) {
    use pb::TokenKind::{Api, Unspecified, Webhook};
    let stage = Stage::set(backend).await;
    let odysseus = &stage.odysseus;
    let admin = &odysseus.admin;
    let create = async |kind: pb::TokenKind, name: &str| {
        let request = pb::CreateTokenRequest {
            kind: kind.into(),
            ..wanted(name, &["chat"])
        };
        admin.create(request).await
    };
    let hook = create(Webhook, "hook").await;
    let api = create(Api, "api").await;
    let listed = async |kind: pb::TokenKind| {
        let request = message!(ListTokensRequest {
            tenant_id: "odysseus",
            kind: kind,
            show_revoked: true,
        });
        let tokens = list(admin, request).await.unwrap().tokens;
        tokens
            .into_iter()
            .map(|token| token.name)
            .collect::<Vec<_>>()
    };
    assert_eq!(listed(Unspecified).await, ["api", "admin's first"]);
    assert_eq!(listed(Api).await, ["api", "admin's first"]);
    assert_eq!(listed(Webhook).await, ["hook"]);

    // Managed through its own kind, and through no other.
    let manage = async |kind, token_id: &str| manage_as(admin, kind, token_id).await;
    let absent = "NotFound TOKEN_NOT_FOUND";
    let unseen = [absent, absent, absent, absent, "Err(\"missing\")"];
    for (kind, created) in [(Unspecified, &hook), (Api, &hook), (Webhook, &api)] {
        assert_eq!(manage(kind, &id(created)).await, unseen, "{kind:?}");
    }
    // Where its kind is named, all is served: it is another webhook's that ends by it.
    let spare = create(Webhook, "spare").await;
    let served = ["served", "served", "served", "served", "Ok(0)"];
    assert_eq!(manage(Webhook, &id(&spare)).await, served);
    let renamed = message!(ListTokensRequest {
        tenant_id: "odysseus",
        kind: Webhook,
        show_revoked: true,
        name_contains: "renamed",
    });
    let renamed = list(admin, renamed).await.unwrap().tokens;
    assert_eq!(renamed.len(), 1);
    assert_eq!(renamed[0].state(), pb::TokenState::Revoked);
    assert_ne!(renamed[0].hint, spare.token.as_ref().unwrap().hint);
    assert!(!stage.ask_for(odysseus, &spare.value, Webhook).await.active);
    // Nor does the end of all the others reach it.
    let all = message!(RevokeAllTokensRequest {
        tenant_id: "active",
        user_id: odysseus.admin_id.as_str(),
    });
    let other = stage
        .admin(odysseus, "other", &["authority:tenant.admin"])
        .await;
    let revoked = revoke_all(&other.actor, all).await;
    revoked.unwrap();
    assert!(!stage.active(odysseus, &api.value).await);
    assert!(stage.ask_for(odysseus, &hook.value, Webhook).await.allowed);
    // It works where a webhook's is asked for, and nowhere else.
    for kind in [Unspecified, Api, pb::TokenKind::Agent] {
        assert!(!stage.ask_for(odysseus, &hook.value, kind).await.active);
    }
    let api = other.actor.issue("api", &["chat"]).await;
    assert!(!stage.ask_for(odysseus, &api.value, Webhook).await.active);
    let revoked = message!(RevokeTokenRequest {
        tenant_id: "active",
        token_id: id(&hook),
        kind: Webhook,
    });
    revoke(&other.actor, revoked).await.unwrap();
    assert!(!stage.ask_for(odysseus, &hook.value, Webhook).await.active);
}

/// Reads, changes, rotates and revokes a token as one of a kind; says what came of each.
async fn manage_as(admin: &Actor, kind: pb::TokenKind, token_id: &str) -> [String; 5] {
    let found = pb::GetTokenRequest {
        tenant_id: "active".into(),
        token_id: token_id.into(),
        kind: kind.into(),
    };
    let renamed = pb::UpdateTokenRequest {
        kind: kind.into(),
        update_mask: mask(&["name"]),
        name: "renamed".into(),
        ..change(token_id)
    };
    let rotated = pb::RotateTokenRequest {
        kind: kind.into(),
        ..rotation(token_id, 60)
    };
    let several = message!(BatchRevokeTokensRequest {
        tenant_id: "active",
        token_ids: strings(&[token_id]),
        kind: kind,
    });
    let revoked = message!(RevokeTokenRequest {
        tenant_id: "active",
        token_id: token_id,
        kind: kind,
    });
    let told = |result: Result<(), tonic::Status>| match result {
        Ok(()) => "served".to_owned(),
        Err(status) => refusal(&status),
    };
    let found = told(get(admin, found).await.map(drop));
    let renamed = told(update(admin, renamed).await.map(drop));
    let rotated = told(rotate(admin, rotated).await.map(drop));
    let revoked = told(revoke(admin, revoked).await.map(drop));
    let several = match batch_revoke(admin, several).await.unwrap() {
        answer if answer.missing_token_ids == [token_id] => Err("missing"),
        answer => Ok(answer.revoked_count),
    };
    [found, renamed, rotated, revoked, format!("{several:?}")]
}

pub(super) async fn a12_whoever_holds_an_exposed_value_ends_it(backend: Backend) {
    let stage = Stage::set(backend).await;
    let odysseus = &stage.odysseus;
    let nobody = stage.t.nobody();
    let found = |value: &str| message!(RevokeExposedTokenRequest { value: value });
    let created = odysseus.admin.issue("leaked", &["chat"]).await;
    let kept = odysseus.admin.issue("kept", &["chat"]).await;
    // Who holds something else ends nothing, and is told nothing.
    let token = created.token.clone().unwrap();
    let almost = [&created.value[..created.value.len() - 6], "000000"].concat();
    let nothing = expose(&nobody, found(&almost)).await.unwrap();
    for other in [token.token_id.as_str(), &token.hint] {
        assert_eq!(expose(&nobody, found(other)).await.unwrap(), nothing);
    }
    assert!(stage.active(odysseus, &created.value).await);

    let answer = expose(&nobody, found(&created.value)).await.unwrap();
    assert_eq!(answer, nothing);
    assert!(!stage.active(odysseus, &created.value).await);
    assert!(stage.active(odysseus, &kept.value).await);
    let request = message!(GetTokenRequest {
        tenant_id: "odysseus",
        token_id: id(&created)
    });
    let token = get(&odysseus.admin, request).await.unwrap().token.unwrap();
    assert_eq!(token.state(), pb::TokenState::Revoked);
    assert_eq!(token.revoke_reason(), pb::RevokeReason::Compromised);
}

pub(super) async fn a13_a_token_works_where_its_scopes_permit_and_nowhere_else(backend: Backend) {
    let stage = Stage::set(backend).await;
    let odysseus = &stage.odysseus;
    for held in SCOPES {
        let created = odysseus.admin.issue(held, &[held]).await;
        let permitted = closure(held);
        for wanted in SCOPES {
            let answer = stage.ask(odysseus, &created.value, &[wanted]).await;
            let permits = permitted.iter().any(|scope| scope == wanted);
            assert_eq!(answer.allowed, permits, "{wanted} with {held}");
            assert!(answer.active);
            let missing = if permits { vec![] } else { strings(&[wanted]) };
            assert_eq!(answer.missing_scopes, missing, "{wanted} with {held}");
        }
        // Two are wanted: one is not enough.
        let answer = stage.ask(odysseus, &created.value, &SCOPES).await;
        assert!(!answer.allowed);
        assert_eq!(answer.missing_scopes.len(), SCOPES.len() - permitted.len());
    }
    let created = odysseus.admin.issue("everything", &SCOPES).await;
    assert!(stage.ask(odysseus, &created.value, &SCOPES).await.allowed);
    // At another product, it is nothing at all.
    for product in [&stage.sk, &stage.openindex] {
        let answer = stage.ask(product, &created.value, &[]).await;
        assert!(!answer.active && !answer.allowed && answer.token_id.is_empty());
    }
    // At the authority it is known, and manages nothing.
    let holder = stage.t.actor(&created.value);
    let token_id = own_id(&holder).await;
    for (what, refused) in manage(&holder, &odysseus.admin_id, &token_id).await {
        assert_eq!(refused.as_deref(), Some(DENIED), "{what}");
    }
    let introspection = holder.try_introspect(pb::IntrospectRequest {
        token: created.value.clone(),
        tenant_id: "odysseus".into(),
        ..Default::default()
    });
    assert_eq!(refused(introspection.await), DENIED);
    update(&odysseus.admin, disabled(&token_id, true))
        .await
        .unwrap();
    assert!(!stage.ask(odysseus, &created.value, &["chat"]).await.active);
    let me = who_am_i(&holder, pb::WhoAmIRequest {}).await;
    assert_eq!(refused(me), UNAUTHENTICATED);
}
