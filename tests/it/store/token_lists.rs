//! Lists of tokens: pages, filters, searches.

use std::cmp::Reverse;
use std::time::Duration;

use token_authority::domain::token::{Kind, RevokeReason, State, Token};
use token_authority::store::{Epoch, NewToken, TokenFilter};

use super::{World, pages};
use crate::support::{Backend, both_backends};

both_backends! {
    tokens_are_listed_newest_first,
    filters_are_joined_by_and,
    a_search_finds_a_part_of_a_name_whatever_the_case,
    a_search_follows_a_change_of_name,
    a_list_keeps_to_its_tenant_and_kind,
}

fn all(kind: Kind) -> TokenFilter {
    TokenFilter {
        kind,
        user_id: None,
        name_contains: None,
        hint: None,
        beginning: None,
        expires_before: None,
        unused_since: None,
        state: None,
        show_revoked: false,
    }
}

async fn tokens_are_listed_newest_first(backend: Backend) {
    let world = World::new(backend).await;
    let acme = world.tenant("acme").await.tenant_id;
    let alice = world.user(&acme, "alice").await.user_id;
    let mut tokens = Vec::new();
    // Four of each age, ids of one instant in no order, every fifth revoked.
    for nth in 0..15 {
        let token = world.token(&acme, Some(alice), &format!("{nth}")).await;
        if nth % 5 == 0 {
            world.revoke(&token).await;
        } else {
            tokens.push(token);
        }
        if nth % 4 == 3 {
            world.later();
        }
    }
    tokens.sort_by_key(|token| Reverse((token.created_at, token.token_id)));
    for size in [1, 2, 3, 4, 6, 12, 100] {
        let listed = pages(size, |after| {
            let (world, acme) = (&world, &acme);
            async move {
                let mut tx = world.snapshot().await;
                tx.list_tokens(acme, &all(Kind::Api), after, size, world.now())
                    .await
                    .unwrap()
            }
        })
        .await;
        assert_eq!(listed, tokens, "in pages of {size}");
    }
}

/// What a filter means, said in Rust.
fn matches(
    filter: &TokenFilter,
    token: &Token,
    now: token_authority::domain::time::Timestamp,
) -> bool {
    let state = token.state(now);
    let owner = token.owner.as_ref().map(|owner| owner.user_id);
    filter.kind == token.kind
        && filter.user_id.is_none_or(|id| owner == Some(id))
        && filter
            .name_contains
            .as_ref()
            .is_none_or(|part| token.name.contains(part))
        && filter.hint.as_ref().is_none_or(|hint| token.hint == *hint)
        && filter
            .expires_before
            .is_none_or(|before| token.expires_at.is_some_and(|end| end < before))
        && filter.state.is_none_or(|wanted| wanted == state)
        && (state != State::Revoked || filter.show_revoked || filter.state == Some(State::Revoked))
}

async fn filters_are_joined_by_and(backend: Backend) {
    let world = World::new(backend).await;
    let acme = world.tenant("acme").await.tenant_id;
    let alice = world.user(&acme, "alice").await.user_id;
    let bob = world.user(&acme, "bob").await.user_id;
    let start = world.now();
    let after = |seconds| start.saturating_add(Duration::from_secs(seconds));
    let mut tokens = Vec::new();
    // The first third is revoked by an epoch, of the rest every fourth by itself
    // and every fourth is disabled.
    for nth in 0_u64..36 {
        let (token, secret) = world.draft(&acme, Some(if nth % 2 == 0 { alice } else { bob }), "");
        let token = NewToken {
            name: format!("{} {nth}", if nth % 3 == 0 { "deploy" } else { "build" }),
            expires_at: (nth % 5 != 0).then(|| after(50 + nth % 5 * 25)),
            ..token
        };
        world.insert(&token, &secret).await;
        tokens.push(token.token_id);
        if nth == 11 {
            world
                .revoke_all(&[Epoch {
                    tenant_id: Some(acme.clone()),
                    user_id: None,
                    kind: Some(Kind::Api),
                    reason: RevokeReason::Superseded,
                    text: String::new(),
                }])
                .await;
        }
        let token = world.find(&acme, token.token_id).await;
        if nth > 11 && nth % 4 == 0 {
            world.revoke(&token).await;
        }
        if nth > 11 && nth % 4 == 1 {
            let disabled = Token {
                disabled_at: Some(start),
                ..token
            };
            let mut tx = world.begin().await;
            assert!(tx.mark_token_changed(&disabled, start).await.unwrap());
            world.commit(tx).await;
        }
    }
    let mut stored = Vec::new();
    for token_id in tokens {
        stored.push(world.find(&acme, token_id).await);
    }
    stored.sort_by_key(|token| Reverse((token.created_at, token.token_id)));
    // At the very instant of some tokens' end.
    let now = world.clock.advance(Duration::from_secs(100));
    let hint = stored[20].hint.clone();
    let states = [
        State::Active,
        State::Disabled,
        State::Expired,
        State::Revoked,
    ];
    let mut tx = world.snapshot().await;
    let mut found = 0;
    for state in [None].into_iter().chain(states.map(Some)) {
        for user_id in [None, Some(alice), Some(bob)] {
            for name_contains in [None, Some("ploy"), Some("1")] {
                for hint in [None, Some(&hint)] {
                    for expires_before in [None, Some(after(100)), Some(after(101))] {
                        for show_revoked in [false, true] {
                            let filter = TokenFilter {
                                kind: Kind::Api,
                                user_id,
                                name_contains: name_contains.map(str::to_owned),
                                hint: hint.cloned(),
                                beginning: None,
                                expires_before,
                                unused_since: None,
                                state,
                                show_revoked,
                            };
                            let page = tx.list_tokens(&acme, &filter, None, 100, now).await;
                            let listed = page.unwrap().items;
                            let mut expected = stored.clone();
                            expected.retain(|token| matches(&filter, token, now));
                            found += listed.len();
                            assert_eq!(listed, expected, "{filter:?}");
                        }
                    }
                }
            }
        }
    }
    assert!(found > 500, "the filters leave next to nothing: {found}");
}

async fn a_search_finds_a_part_of_a_name_whatever_the_case(backend: Backend) {
    let world = World::new(backend).await;
    let acme = world.tenant("acme").await.tenant_id;
    for name in [
        "50% off",
        "50 percent",
        "under_score",
        "underXscore",
        "back\\slash",
        "Ärger mit ÄÖÜ",
        "Straße",
        "ΣΊΣΥΦΟΣ",
        "ЖУРНАЛ",
        "İstanbul",
        "'; DROP TABLE tokens; --",
    ] {
        world.token(&acme, None, name).await;
    }
    let now = world.now();
    let mut tx = world.snapshot().await;
    for (part, expected) in [
        ("50%", vec!["50% off"]),
        ("%", vec!["50% off"]),
        ("R_S", vec!["under_score"]),
        ("_", vec!["under_score"]),
        ("\\", vec!["back\\slash"]),
        ("\\s", vec!["back\\slash"]),
        ("UNDER", vec!["underXscore", "under_score"]),
        ("ärger", vec!["Ärger mit ÄÖÜ"]),
        ("ÄRGER", vec!["Ärger mit ÄÖÜ"]),
        ("äöü", vec!["Ärger mit ÄÖÜ"]),
        ("straße", vec!["Straße"]),
        ("STRASSE", vec!["Straße"]),
        // A sigma is written in two ways in lower case, by its place in the word.
        ("σίσυφος", vec!["ΣΊΣΥΦΟΣ"]),
        ("ΣΊΣ", vec!["ΣΊΣΥΦΟΣ"]),
        ("σίς", vec!["ΣΊΣΥΦΟΣ"]),
        ("журнал", vec!["ЖУРНАЛ"]),
        ("İSTAN", vec!["İstanbul"]),
        ("'; drop", vec!["'; DROP TABLE tokens; --"]),
        ("nowhere", vec![]),
        ("50  off", vec![]),
    ] {
        let filter = TokenFilter {
            name_contains: Some(part.to_owned()),
            ..all(Kind::Service)
        };
        let page = tx.list_tokens(&acme, &filter, None, 100, now).await;
        let items = page.unwrap().items;
        let mut names: Vec<_> = items.iter().map(|token| token.name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, expected, "for {part}");
    }
    let filter = TokenFilter {
        name_contains: Some(String::new()),
        ..all(Kind::Service)
    };
    let page = tx.list_tokens(&acme, &filter, None, 100, now).await;
    assert_eq!(page.unwrap().items.len(), 11);
}

async fn a_search_follows_a_change_of_name(backend: Backend) {
    let world = World::new(backend).await;
    let acme = world.tenant("acme").await.tenant_id;
    let token = world.token(&acme, None, "before").await;
    let renamed = Token {
        name: String::from("ÄFTER"),
        ..token
    };
    let mut tx = world.begin().await;
    assert!(tx.mark_token_changed(&renamed, world.now()).await.unwrap());
    for (part, expected) in [("before", 0), ("äft", 1)] {
        let filter = TokenFilter {
            name_contains: Some(part.to_owned()),
            ..all(Kind::Service)
        };
        let page = tx.list_tokens(&acme, &filter, None, 10, world.now()).await;
        assert_eq!(page.unwrap().items.len(), expected, "for {part}");
    }
    world.commit(tx).await;
}

async fn a_list_keeps_to_its_tenant_and_kind(backend: Backend) {
    let world = World::new(backend).await;
    let acme = world.tenant("acme").await.tenant_id;
    let other = world.tenant("other").await.tenant_id;
    let alice = world.user(&acme, "alice").await.user_id;
    let api = world.token(&acme, Some(alice), "api").await;
    let service = world.token(&acme, None, "service").await;
    let elsewhere = world.token(&other, Some(alice), "elsewhere").await;
    let mut tx = world.snapshot().await;
    for (tenant_id, kind, expected) in [
        (&acme, Kind::Api, vec![api]),
        (&acme, Kind::Service, vec![service]),
        (&acme, Kind::Webhook, vec![]),
        (&other, Kind::Api, vec![elsewhere]),
        (&other, Kind::Service, vec![]),
    ] {
        let filter = all(kind);
        let page = tx.list_tokens(tenant_id, &filter, None, 10, world.now());
        assert_eq!(
            page.await.unwrap().items,
            expected,
            "{kind:?} of {tenant_id}"
        );
    }
}
