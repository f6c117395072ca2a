//! A, Odysseus: tokens for scripts and integrations, which administrators alone manage.

mod apart;
mod manage;

use std::collections::BTreeSet;
use std::time::Duration;

use token_authority::domain::base62;
use token_authority::pb;

use self::apart::{
    a11_webhook_tokens_are_apart, a12_whoever_holds_an_exposed_value_ends_it,
    a13_a_token_works_where_its_scopes_permit_and_nowhere_else,
};
use self::manage::manage;
use super::{Stage, kept, walks};
use crate::support::tokens::{
    at, change, delete_user, id, list, mask, number, own_id, rotate, rotation, service, set_role,
    strings, ttl, update, wanted, who_am_i,
};
use crate::support::{Backend, Provider, message, refusal, refused, tokens_of};

walks!(
    a1_a_token_lets_a_script_call_without_a_session,
    a2_administrators_alone_manage_tokens,
    a3_the_value_is_shown_once,
    a4_a_value_has_the_products_prefix_and_a_visible_hint,
    a5_scopes_are_given_singly_or_by_a_profile,
    a6_there_are_twelve_scopes_each_described,
    a7_writing_brings_reading_along,
    a8_a_token_has_its_own_name_and_history,
    a9_what_is_found_by_name_or_hint_is_revoked_at_once,
    a10_an_administrators_tokens_end_with_its_account,
    a11_webhook_tokens_are_apart,
    a12_whoever_holds_an_exposed_value_ends_it,
    a13_a_token_works_where_its_scopes_permit_and_nowhere_else,
);

/// The scopes.
const SCOPES: [&str; 12] = [
    "calendar:read",
    "calendar:write",
    "chat",
    "documents:read",
    "documents:write",
    "email:draft",
    "email:read",
    "email:send",
    "memory:read",
    "memory:write",
    "todos:read",
    "todos:write",
];

/// Returns what a scope comes to.
fn closure(scope: &str) -> Vec<String> {
    let Some(noun) = scope.strip_suffix(":write") else {
        return strings(&[scope]);
    };
    vec![format!("{noun}:read"), scope.to_owned()]
}

const UNAUTHENTICATED: &str = "Unauthenticated CALLER_UNAUTHENTICATED";
const DENIED: &str = "PermissionDenied PERMISSION_DENIED";

async fn a1_a_token_lets_a_script_call_without_a_session(backend: Backend) {
    let stage = Stage::set(backend).await;
    let odysseus = &stage.odysseus;
    let created = odysseus.admin.issue("nightly", &["chat"]).await;
    // The header as the script sends it, handed on by the product's endpoint.
    let header = format!("Bearer {}", created.value);
    let answer = stage.ask(odysseus, &header, &["chat"]).await;
    assert!(answer.allowed && answer.active);
    assert_eq!(answer.user_id, odysseus.admin_id);
    assert_eq!(answer.name, "nightly");
    // It is all that it takes at the authority itself, too.
    let script = stage.t.actor(&created.value);
    let me = who_am_i(&script, pb::WhoAmIRequest {}).await.unwrap();
    assert_eq!(me.token.unwrap().token_id, id(&created));
    // And without it there is nothing.
    assert!(!stage.ask(odysseus, "Bearer ", &[]).await.allowed);
    let other = created.value.replace("ody_", "ody_0");
    assert!(!stage.ask(odysseus, &other, &[]).await.active);
    let nobody = who_am_i(&stage.t.nobody(), pb::WhoAmIRequest {}).await;
    assert_eq!(refused(nobody), UNAUTHENTICATED);
}

async fn a2_administrators_alone_manage_tokens(backend: Backend) {
    let stage = Stage::set(backend).await;
    let (t, odysseus) = (&stage.t, &stage.odysseus);
    let own = ["authority:tokens.read", "authority:tokens.write"];
    let member = stage.member(odysseus, "member", &SCOPES).await;
    let manager = stage.member(odysseus, "manager", &own).await;
    let demoted = stage
        .admin(odysseus, "demoted", &["authority:tenant.admin"])
        .await;
    // An administrator's, for other work.
    let script = stage.admin(odysseus, "script", &SCOPES).await;
    let request = service("odysseus", "service", &own);
    let service = t.actor(&t.operator().create(request).await.value);
    set_role(
        &odysseus.admin,
        "odysseus",
        &demoted.user_id,
        pb::Role::Member,
    )
    .await;

    // Sessions, too, are of members and of administrators.
    let provider = Provider::start("https://id.odysseus.example").await;
    stage.trust(odysseus, &provider).await;
    let members_session = t.actor(&provider.session(t, "member"));
    let admins_session = t.actor(&provider.session(t, "script"));

    let before = t.database.rows().await;
    let callers = [
        ("member", &member.actor, DENIED),
        ("the member's session", &members_session, DENIED),
        ("manager", &manager.actor, DENIED),
        ("demoted", &demoted.actor, DENIED),
        ("script", &script.actor, DENIED),
        ("service", &service, DENIED),
        ("introspects", &stage.server, "NotFound TENANT_NOT_FOUND"),
        // To another product's administrators, this one is not there.
        ("sk", &stage.sk.admin, "NotFound TENANT_NOT_FOUND"),
        (
            "openindex",
            &stage.openindex.admin,
            "NotFound TENANT_NOT_FOUND",
        ),
        ("nobody", &t.nobody(), UNAUTHENTICATED),
    ];
    for (who, actor, expected) in callers {
        // Of its own, and of another's.
        for holder in [&member, &manager] {
            let token_id = own_id(&holder.actor).await;
            for (what, refused) in manage(actor, &holder.user_id, &token_id).await {
                assert_eq!(refused.as_deref(), Some(expected), "{what} by {who}");
            }
        }
    }
    assert_eq!(t.database.rows().await, before);

    let token_id = own_id(&member.actor).await;
    for (what, refusal) in manage(&odysseus.admin, &member.user_id, &token_id).await {
        assert_eq!(refusal, None, "{what} by an administrator");
    }
    let token_id = own_id(&manager.actor).await;
    for (what, refusal) in manage(&admins_session, &manager.user_id, &token_id).await {
        assert_eq!(refusal, None, "{what} by an administrator's session");
    }
}

async fn a3_the_value_is_shown_once(backend: Backend) {
    let stage = Stage::set(backend).await;
    let odysseus = &stage.odysseus;
    let request = pb::CreateTokenRequest {
        request_id: "once".into(),
        ..wanted("nightly", &["chat"])
    };
    let created = odysseus.admin.create(request.clone()).await;
    kept(&stage, odysseus, &odysseus.admin, &created).await;
    // Asked again, the call is not made again, and shows nothing.
    let again = odysseus.admin.try_create(request).await.unwrap_err();
    assert_eq!(refusal(&again), "AlreadyExists REQUEST_ALREADY_DONE");
    let again = format!("{again:?} {}", String::from_utf8_lossy(again.details()));
    assert!(!again.contains(&created.value));
    // What a rotation shows is another value, and once.
    let rotated = rotate(&odysseus.admin, rotation(&id(&created), 0))
        .await
        .unwrap();
    assert_ne!(rotated.value, created.value);
    assert!(!stage.active(odysseus, &created.value).await);
    let rotated = pb::CreateTokenResponse {
        token: rotated.token,
        value: rotated.value,
        ..Default::default()
    };
    kept(&stage, odysseus, &odysseus.admin, &rotated).await;
}

async fn a4_a_value_has_the_products_prefix_and_a_visible_hint(backend: Backend) {
    let stage = Stage::set(backend).await;
    for product in [&stage.odysseus, &stage.sk, &stage.openindex] {
        for name in ["one", "two"] {
            let request = pb::CreateTokenRequest {
                expiry: ttl(60),
                ..wanted(name, &[])
            };
            let created = product.admin.create(request).await;
            let tail = created.value.strip_prefix(product.prefix).unwrap();
            assert!(base62::is_base62(tail), "{}", product.id);
            let token = created.token.clone().unwrap();
            let visible = product.prefix.len() + 8;
            assert_eq!(token.hint, created.value[..visible]);
            // It is kept, listed, and searched by, also by who pastes the whole value.
            let found = async |hint: &str| {
                let request = message!(ListTokensRequest {
                    tenant_id: product.id,
                    hint: hint
                });
                let listed = list(&product.admin, request).await.unwrap().tokens;
                let names = listed.into_iter().map(|token| (token.name, token.hint));
                names.collect::<Vec<_>>()
            };
            let this = [(name.to_owned(), token.hint.clone())];
            assert_eq!(found(&token.hint).await, this);
            assert_eq!(found(&created.value).await, this);
            assert_eq!(found(&format!("{}________", product.prefix)).await, []);
        }
    }
}

async fn a5_scopes_are_given_singly_or_by_a_profile(backend: Backend) {
    let stage = Stage::set(backend).await;
    let odysseus = &stage.odysseus;
    let create = async |name: &str, profile: &str, scopes: &[&str]| {
        let request = pb::CreateTokenRequest {
            profile: profile.into(),
            ..wanted(name, scopes)
        };
        odysseus.admin.try_create(request).await
    };
    let drafts = [
        "documents:read",
        "documents:write",
        "email:draft",
        "email:read",
    ];
    for (profile, scopes) in [
        ("chat", &["chat"][..]),
        ("codex_todos", &["todos:read", "todos:write"]),
        ("codex_email_drafts", &drafts),
    ] {
        let created = create(&format!("as {profile}"), profile, &[])
            .await
            .unwrap();
        assert_eq!(created.token.unwrap().profile, profile);
        let answer = stage.ask(odysseus, &created.value, scopes).await;
        assert!(answer.allowed, "{profile}");
        assert_eq!(answer.scopes, scopes, "{profile}");
    }
    for scopes in [&["chat"][..], &["chat", "email:send"]] {
        let created = create(&scopes.join(" and "), "", scopes).await.unwrap();
        assert_eq!(
            stage.ask(odysseus, &created.value, &[]).await.scopes,
            scopes
        );
    }
    let both = create("both", "chat", &["email:send"]).await.unwrap();
    let answer = stage.ask(odysseus, &both.value, &[]).await;
    assert_eq!(answer.scopes, ["chat", "email:send"]);
    // There are no others.
    assert_eq!(
        refused(create("wrong", "codex", &["chat:all", "chat"]).await),
        "InvalidArgument UNKNOWN_SCOPE\n  scopes[0]: UNKNOWN_SCOPE\n  profile: UNKNOWN_PROFILE"
    );
}

async fn a6_there_are_twelve_scopes_each_described(backend: Backend) {
    let stage = Stage::set(backend).await;
    let request = message!(GetCatalogRequest {
        tenant_id: "odysseus"
    });
    let catalog = stage.odysseus.admin.get_catalog(request).await.unwrap();
    let scopes = catalog.catalog.unwrap().scopes;
    let names: Vec<_> = scopes.iter().map(|scope| scope.name.as_str()).collect();
    assert_eq!(names, SCOPES);
    let described: BTreeSet<_> = scopes.iter().map(|scope| &scope.description).collect();
    assert!(described.iter().all(|text| !text.trim().is_empty()));
    assert_eq!(
        described.len(),
        SCOPES.len(),
        "each has its own: {described:?}"
    );
}

async fn a7_writing_brings_reading_along(backend: Backend) {
    let stage = Stage::set(backend).await;
    let odysseus = &stage.odysseus;
    for noun in ["todos", "documents", "calendar", "memory"] {
        let [read, write] = ["read", "write"].map(|verb| format!("{noun}:{verb}"));
        // Whether reading was selected or not.
        for (name, scopes) in [("alone", &[&*write][..]), ("both", &[&*read, &*write])] {
            let created = odysseus
                .admin
                .issue(&format!("{noun} {name}"), scopes)
                .await;
            let answer = stage.ask(odysseus, &created.value, &[&read]).await;
            assert!(answer.allowed, "{noun} {name}");
            assert_eq!(answer.scopes, [&*read, &*write]);
        }
        let reads = odysseus.admin.issue(&read, &[&read]).await;
        let answer = stage.ask(odysseus, &reads.value, &[&write]).await;
        assert_eq!((answer.allowed, answer.scopes), (false, vec![read]));
    }
    for alone in ["email:draft", "email:send"] {
        let created = odysseus.admin.issue(alone, &[alone]).await;
        let answer = stage.ask(odysseus, &created.value, &["email:read"]).await;
        assert_eq!((answer.allowed, answer.scopes), (false, strings(&[alone])));
    }
}

async fn a8_a_token_has_its_own_name_and_history(backend: Backend) {
    let stage = Stage::set(backend).await;
    let (t, odysseus) = (&stage.t, &stage.odysseus);
    t.advance(Duration::from_secs(5));
    let created = odysseus
        .admin
        .issue("Codex, on the build machine", &["chat"])
        .await;
    let again = odysseus
        .admin
        .try_create(wanted("Codex, on the build machine", &[]));
    assert_eq!(refused(again.await), "AlreadyExists NAME_TAKEN");
    let other = id(&odysseus.admin.issue("another", &[]).await);
    let renamed = pb::UpdateTokenRequest {
        update_mask: mask(&["name"]),
        name: "Codex, on the build machine".into(),
        ..change(&other)
    };
    let renamed = update(&odysseus.admin, renamed).await;
    assert_eq!(refused(renamed), "AlreadyExists NAME_TAKEN");

    let listed = async || {
        t.authority.flush_usage().await.unwrap();
        let request = message!(ListTokensRequest {
            tenant_id: "odysseus",
            name_contains: "build machine",
        });
        let listed = list(&odysseus.admin, request).await.unwrap().tokens;
        assert_eq!(listed.len(), 1);
        listed.into_iter().next().unwrap()
    };
    let token = listed().await;
    assert_eq!(token.create_time, Some(at(5)));
    assert_eq!(token.created_by, own_id(&odysseus.admin).await);
    assert_eq!(
        (token.last_used_time, &*token.last_used_address),
        (None, "")
    );
    t.advance(Duration::from_secs(2));
    let request = pb::IntrospectRequest {
        tenant_id: "odysseus".into(),
        token: created.value.clone(),
        client_address: "203.0.113.7".into(),
        ..Default::default()
    };
    assert!(stage.server.try_introspect(request).await.unwrap().active);
    let token = listed().await;
    assert_eq!(token.last_used_time, Some(at(7)));
    assert_eq!(token.last_used_address, "203.0.113.7");
    assert_eq!(token.last_used_by, own_id(&stage.server).await);
    assert_eq!(token.create_time, Some(at(5)));
}

async fn a9_what_is_found_by_name_or_hint_is_revoked_at_once(backend: Backend) {
    let stage = Stage::set(backend).await;
    let odysseus = &stage.odysseus;
    let admin = &odysseus.admin;
    for by_hint in [false, true] {
        let created = admin.issue(&format!("laptop {by_hint}"), &["chat"]).await;
        admin.issue(&format!("phone {by_hint}"), &["chat"]).await;
        let mut request = message!(ListTokensRequest {
            tenant_id: "odysseus"
        });
        if by_hint {
            request.hint = created.token.clone().unwrap().hint;
        } else {
            request.name_contains = "laptop".into();
        }
        let found = list(admin, request).await.unwrap().tokens;
        let found: Vec<_> = found.into_iter().map(|token| token.token_id).collect();
        assert_eq!(found, [id(&created)]);
        let holder = stage.t.actor(&created.value);
        assert!(stage.ask(odysseus, &created.value, &["chat"]).await.allowed);
        own_id(&holder).await;
        let revoked = admin.revoke("active", &found[0]).await;
        // The next request that carries it, here and at the authority.
        let answer = stage.ask(odysseus, &created.value, &["chat"]).await;
        assert!(!answer.active && !answer.allowed);
        assert!(number(&answer.revision) >= number(&revoked.revision));
        let me = who_am_i(&holder, pb::WhoAmIRequest {}).await;
        assert_eq!(refused(me), UNAUTHENTICATED);
    }
}

async fn a10_an_administrators_tokens_end_with_its_account(backend: Backend) {
    use pb::TokenKind::{Agent, Api, Webhook};
    let stage = Stage::set(backend).await;
    let odysseus = &stage.odysseus;
    let leaver = stage
        .admin(odysseus, "leaver", &["authority:tenant.admin"])
        .await;
    let mut values = vec![(leaver.actor.value().to_owned(), Api)];
    for kind in [Api, Webhook, Agent] {
        let request = pb::CreateTokenRequest {
            kind: kind.into(),
            ..wanted(kind.as_str_name(), &["chat"])
        };
        values.push((leaver.actor.create(request).await.value, kind));
    }
    let colleague = stage.member(odysseus, "colleague", &["chat"]).await;
    let made = message!(CreateTokenRequest {
        tenant_id: "active",
        user_id: colleague.user_id.as_str(),
        name: "made by the leaver",
    });
    let made = leaver.actor.create(made).await;
    let others = [odysseus.admin.value(), colleague.actor.value(), &made.value];
    for (value, kind) in &values {
        assert!(
            stage.ask_for(odysseus, value, *kind).await.active,
            "{kind:?}"
        );
    }

    let before = number(&stage.ask(odysseus, others[0], &[]).await.revision);
    let deleted = delete_user(&odysseus.admin, "odysseus", &leaver.user_id).await;
    // One transaction is one number.
    assert_eq!(number(&deleted), before + 1);
    for (value, kind) in &values {
        let answer = stage.ask_for(odysseus, value, *kind).await;
        assert!(!answer.active, "{kind:?}");
        assert_eq!(answer.revision, deleted);
        let refusals = manage(&stage.t.actor(value), &colleague.user_id, &id(&made)).await;
        for (what, refusal) in refusals {
            assert_eq!(
                refusal.as_deref(),
                Some(UNAUTHENTICATED),
                "{what} as {kind:?}"
            );
        }
    }
    let ended = tokens_of(&odysseus.admin, "odysseus", &leaver.user_id).await;
    assert_eq!(ended.len(), 2, "those of kind API: {ended:?}");
    assert!(
        ended
            .iter()
            .all(|token| token.ends_with("Revoked OwnerGone")),
        "{ended:?}"
    );
    for value in others {
        assert!(
            stage.active(odysseus, value).await,
            "another's went with it"
        );
    }
}
