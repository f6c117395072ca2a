//! The last use of each token.

use token_authority::domain::ids::{TenantId, TokenId};
use token_authority::domain::time::Timestamp;
use token_authority::domain::token::{Kind, Token, Use};
use token_authority::store::TokenFilter;

use super::World;
use crate::support::{Backend, both_backends};

both_backends! {
    a_use_comes_back_and_moves_forward_alone,
    a_use_of_a_token_that_is_gone_is_skipped,
    many_uses_are_recorded_as_each_would_be,
    a_use_leaves_the_record_and_the_log_alone,
    garbage_in_a_use_is_corrupt,
    tokens_are_found_by_how_long_they_were_not_used,
}

async fn record(world: &World, token_id: TokenId, use_: &Use) -> bool {
    let mut tx = world.begin().await;
    let one = [(token_id, use_.clone())];
    let recorded = tx.record_token_uses(&one).await.unwrap();
    world.commit(tx).await;
    recorded == 1
}

fn here(at: Timestamp) -> Use {
    Use {
        at,
        by: None,
        address: None,
    }
}

async fn a_use_comes_back_and_moves_forward_alone(backend: Backend) {
    let world = World::new(backend).await;
    let acme = world.tenant("acme").await.tenant_id;
    let token = world.token(&acme, None, "token").await;
    let asker = world.token(&acme, None, "asker").await;
    assert_eq!(token.last_use, None);
    let start = world.now();
    let (second, third) = (world.later(), world.later());
    let there = Use {
        at: second,
        by: Some(asker.token_id),
        address: Some("2001:db8::7".parse().unwrap()),
    };
    let steps = [
        (here(start), true, here(start)),
        (there.clone(), true, there.clone()),
        (here(second), false, there.clone()),
        (here(start), false, there),
        (here(third), true, here(third)),
    ];
    for (use_, recorded, expected) in steps {
        assert_eq!(record(&world, token.token_id, &use_).await, recorded);
        let found = world.find(&acme, token.token_id).await;
        assert_eq!(found.last_use, Some(expected));
    }
    assert_eq!(world.find(&acme, asker.token_id).await.last_use, None);
}

async fn a_use_of_a_token_that_is_gone_is_skipped(backend: Backend) {
    let world = World::new(backend).await;
    let acme = world.tenant("acme").await.tenant_id;
    let gone = TokenId::mint(world.now(), &world.entropy).unwrap();
    let token = world.token(&acme, None, "token").await;
    let mut tx = world.begin().await;
    for (token_id, recorded) in [(gone, 0), (token.token_id, 1)] {
        let one = [(token_id, here(world.now()))];
        assert_eq!(tx.record_token_uses(&one).await.unwrap(), recorded);
    }
    world.commit(tx).await;
}

/// Whatever their number: alone, and as one statement takes them, which is filled up.
async fn many_uses_are_recorded_as_each_would_be(backend: Backend) {
    let world = World::new(backend).await;
    let acme = world.tenant("acme").await.tenant_id;
    let mut tokens = Vec::new();
    for number in 0..60 {
        tokens.push(world.token(&acme, None, &format!("token {number}")).await);
    }
    let (asker, before) = (tokens[0].token_id, here(world.now()));
    for many in [0, 1, 3, 4, 24, 25, 26, 28, 29, 50, 60] {
        let at = world.later();
        // Every third as seen before, or earlier; of every seventh nobody knows.
        let uses: Vec<(TokenId, Use)> = (0..many)
            .map(|nth| {
                let gone = TokenId::mint(world.now(), &world.entropy).unwrap();
                let address = (nth % 2 == 0).then(|| "192.0.2.7".parse().unwrap());
                let by = (nth % 5 == 0).then_some(asker);
                match nth {
                    _ if nth % 7 == 6 => (gone, here(at)),
                    _ if nth % 3 == 2 => (tokens[nth].token_id, before.clone()),
                    _ => (tokens[nth].token_id, Use { at, by, address }),
                }
            })
            .collect();
        let mut expected = Vec::new();
        for token in &tokens {
            let known = world.find(&acme, token.token_id).await.last_use;
            let given = uses.iter().find(|(id, _)| *id == token.token_id);
            let given = given.map(|(_, use_)| use_.clone());
            let later = match (&known, &given) {
                (Some(known), Some(given)) => given.at > known.at,
                (None, given) => given.is_some(),
                (Some(_), None) => false,
            };
            expected.push((later, if later { given } else { known }));
        }
        let mut tx = world.begin().await;
        let recorded = tx.record_token_uses(&uses).await.unwrap();
        world.commit(tx).await;
        let later = expected.iter().filter(|(later, _)| *later).count();
        assert_eq!(recorded, later as u64, "{many}");
        for (token, (_, expected)) in tokens.iter().zip(expected) {
            let found = world.find(&acme, token.token_id).await;
            assert_eq!(found.last_use, expected, "{many}: {}", token.name);
        }
    }
}

async fn a_use_leaves_the_record_and_the_log_alone(backend: Backend) {
    let world = World::new(backend).await;
    let acme = world.tenant("acme").await.tenant_id;
    let (token, secret) = world.draft(&acme, None, "token");
    world.insert(&token, &secret).await;
    let before = world.find(&acme, token.token_id).await;
    let head = world.store.get_head().await.unwrap();
    let use_ = here(world.later());
    assert!(record(&world, token.token_id, &use_).await);
    assert_eq!(world.store.get_head().await.unwrap(), head);
    let after = world.find(&acme, token.token_id).await;
    let expected = Token {
        last_use: Some(use_),
        ..before.clone()
    };
    assert_eq!(after, expected);
    // Who judges a value does not read it.
    let found = world.store.find_record_by_lookup(&secret.lookup).await;
    assert_eq!(found.unwrap().record.unwrap().0.token, before);
}

async fn garbage_in_a_use_is_corrupt(backend: Backend) {
    let world = World::new(backend).await;
    let acme = world.tenant("acme").await.tenant_id;
    let token = world.token(&acme, None, "token").await;
    assert!(record(&world, token.token_id, &here(world.now())).await);
    for (column, ruin, mend) in [
        ("used_at", "used_at = -1", "used_at = 1"),
        ("address", "address = '1.2.3'", "address = NULL"),
    ] {
        let update = async |set| {
            let sql = format!("UPDATE token_uses SET {set}");
            world.database.execute(&sql).await;
        };
        update(ruin).await;
        let mut tx = world.snapshot().await;
        let found = tx.find_token(&acme, token.token_id).await;
        let error = found.unwrap_err().to_string();
        assert_eq!(error, format!("corrupt value in token_uses.{column}"));
        drop(tx);
        update(mend).await;
    }
}

async fn unused(world: &World, tenant_id: &TenantId, since: Timestamp) -> Vec<String> {
    let filter = TokenFilter {
        kind: Kind::Service,
        user_id: None,
        name_contains: None,
        hint: None,
        beginning: None,
        expires_before: None,
        unused_since: Some(since),
        state: None,
        show_revoked: false,
    };
    let mut tx = world.snapshot().await;
    let page = tx.list_tokens(tenant_id, &filter, None, 10, world.now());
    let items = page.await.unwrap().items;
    items.into_iter().map(|token| token.name).collect()
}

async fn tokens_are_found_by_how_long_they_were_not_used(backend: Backend) {
    let world = World::new(backend).await;
    let acme = world.tenant("acme").await.tenant_id;
    let first = world.now();
    let used = world.token(&acme, None, "used").await;
    world.token(&acme, None, "never used").await;
    let second = world.later();
    world.token(&acme, None, "younger").await;
    let third = world.later();
    assert!(record(&world, used.token_id, &here(third)).await);
    let fourth = world.later();
    let expected: [(Timestamp, &[&str]); 4] = [
        (first, &[]),
        (second, &["never used"]),
        (third, &["younger", "never used"]),
        (fourth, &["younger", "used", "never used"]),
    ];
    for (since, names) in expected {
        let mut found = unused(&world, &acme, since).await;
        let mut names = names.to_vec();
        found.sort();
        names.sort_unstable();
        assert_eq!(found, names);
    }
}
