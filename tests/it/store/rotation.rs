//! A token's values, one after the other.

use std::time::Duration;

use token_authority::domain::change::{Change, Version};
use token_authority::domain::token::{PreviousValue, Token};
use token_authority::store::{NewSecret, TokenFilter};

use super::World;
use crate::support::{Backend, both_backends};

both_backends! {
    a_value_ends_once,
    values_in_grace_are_counted,
    a_rotated_token_has_another_hint_and_its_last_values,
    a_use_after_the_end_is_noted_once,
}

/// Gives a token a new value, the present one going on for so many seconds.
pub(super) async fn rotate(world: &World, token: &Token, grace: u64) -> (Token, NewSecret) {
    let now = world.later();
    let (_, secret) = world.draft(&token.tenant_id, None, "of its value alone");
    let mut tx = world.begin().await;
    let current = tx.find_current_secret(token.token_id).await.unwrap();
    let end = now.saturating_add(Duration::from_secs(grace));
    assert!(tx.mark_secret_ended(current.unwrap(), end).await.unwrap());
    let rotated = tx.mark_token_rotated(token, &secret.hint, now).await;
    assert!(rotated.unwrap());
    let inserted = tx.insert_secret(token.token_id, &secret, now).await;
    inserted.unwrap();
    let changed = Change::TokenChanged(token.tenant_id.clone(), token.token_id);
    tx.close(&[changed], &[], now).await.unwrap();
    (world.find(&token.tenant_id, token.token_id).await, secret)
}

async fn a_value_ends_once(backend: Backend) {
    let world = World::new(backend).await;
    let acme = world.tenant("acme").await.tenant_id;
    let (new, first) = world.draft(&acme, None, "service");
    world.insert(&new, &first).await;
    let other = world.token(&acme, None, "other").await;
    let mut tx = world.begin().await;
    let current = tx.find_current_secret(new.token_id).await.unwrap();
    assert_eq!(current, Some(first.secret_id));
    let end = tx.find_secret_end(first.secret_id).await.unwrap();
    assert_eq!(end, Some(None));
    let now = world.later();
    assert!(tx.mark_secret_ended(first.secret_id, now).await.unwrap());
    // Neither shortened nor prolonged.
    let later = world.later();
    assert!(!tx.mark_secret_ended(first.secret_id, later).await.unwrap());
    let end = tx.find_secret_end(first.secret_id).await.unwrap();
    assert_eq!(end, Some(Some(now)));
    assert_eq!(tx.find_current_secret(new.token_id).await.unwrap(), None);
    let others = tx.find_current_secret(other.token_id).await.unwrap();
    assert!(others.is_some());
    let unknown = world.draft(&acme, None, "unknown").1.secret_id;
    assert!(!tx.mark_secret_ended(unknown, now).await.unwrap());
    assert_eq!(tx.find_secret_end(unknown).await.unwrap(), None);
}

async fn values_in_grace_are_counted(backend: Backend) {
    let world = World::new(backend).await;
    let acme = world.tenant("acme").await.tenant_id;
    let mut token = world.token(&acme, None, "service").await;
    let other = world.token(&acme, None, "other").await;
    let begun = world.now();
    for grace in [100, 0, 50] {
        token = rotate(&world, &token, grace).await.0;
    }
    rotate(&world, &other, 1000).await;
    let count = async |seconds| {
        let at = begun.saturating_add(Duration::from_secs(seconds));
        let mut tx = world.snapshot().await;
        tx.count_secrets_in_grace(token.token_id, at).await.unwrap()
    };
    // They end after 101, 2 and 53 seconds.
    assert_eq!(count(3).await, 2);
    assert_eq!(count(52).await, 2);
    assert_eq!(count(53).await, 1);
    assert_eq!(count(101).await, 0);
}

async fn a_rotated_token_has_another_hint_and_its_last_values(backend: Backend) {
    let world = World::new(backend).await;
    let acme = world.tenant("acme").await.tenant_id;
    let first = world.token(&acme, None, "service").await;
    assert_eq!((first.rotated_at, first.previous.len()), (None, 0));
    let (second, secret) = rotate(&world, &first, 100).await;
    let now = world.now();
    let after = |seconds| now.saturating_add(Duration::from_secs(seconds));
    let value = |token: &Token, ends_at| PreviousValue {
        hint: token.hint.clone(),
        ends_at,
    };
    let expected = Token {
        hint: secret.hint,
        version: Version(2),
        updated_at: now,
        rotated_at: Some(now),
        previous: vec![value(&first, after(100))],
        ..first.clone()
    };
    assert_eq!(second, expected);
    let (third, _) = rotate(&world, &second, 500).await;
    let (fourth, _) = rotate(&world, &third, 0).await;
    let (fifth, _) = rotate(&world, &fourth, 200).await;
    // Those that end last: what ended at once is left out.
    assert_eq!(
        fifth.previous,
        [
            value(&second, after(501)),
            value(&fourth, after(203)),
            value(&first, after(100)),
        ]
    );
    for token in [&first, &second, &third, &fourth, &fifth] {
        let filter = TokenFilter {
            kind: token.kind,
            user_id: None,
            name_contains: None,
            hint: Some(token.hint.clone()),
            beginning: None,
            expires_before: None,
            unused_since: None,
            state: None,
            show_revoked: true,
        };
        let mut tx = world.snapshot().await;
        let listed = tx.list_tokens(&acme, &filter, None, 9, world.now()).await;
        assert_eq!(listed.unwrap().items, std::slice::from_ref(&fifth));
    }

    // A version that is past, and a revoked one, are left as they are.
    let mut tx = world.begin().await;
    let now = world.later();
    let stale = tx.mark_token_rotated(&fourth, "test_x", now).await;
    assert!(!stale.unwrap());
    drop(tx);
    world.revoke(&fifth).await;
    let revoked = world.find(&acme, fifth.token_id).await;
    let mut tx = world.begin().await;
    let dead = tx.mark_token_rotated(&revoked, "test_x", now).await;
    assert!(!dead.unwrap());
}

async fn a_use_after_the_end_is_noted_once(backend: Backend) {
    let world = World::new(backend).await;
    let acme = world.tenant("acme").await.tenant_id;
    let (new, first) = world.draft(&acme, None, "service");
    world.insert(&new, &first).await;
    let token = world.find(&acme, new.token_id).await;
    let reused = async || {
        let found = world.store.find_record_by_lookup(&first.lookup).await;
        found.unwrap().record.unwrap().1.reused
    };
    let mut tx = world.begin().await;
    let now = world.later();
    // It has no end yet.
    let noted = tx.mark_secret_reused(first.secret_id, now).await.unwrap();
    assert_eq!(noted, None);
    drop(tx);
    let (_, second) = rotate(&world, &token, 0).await;
    assert!(!reused().await);
    let mut tx = world.begin().await;
    let noted = tx.mark_secret_reused(first.secret_id, now).await.unwrap();
    assert_eq!(noted.as_ref(), Some(&first.hint));
    let again = tx.mark_secret_reused(first.secret_id, world.later()).await;
    assert_eq!(again.unwrap(), None);
    let current = tx.mark_secret_reused(second.secret_id, now).await;
    assert_eq!(current.unwrap(), None);
    world.commit(tx).await;
    assert!(reused().await);
}
