//! Epochs: one row that revokes whatever it covers and exists already.

use token_authority::domain::change::Change;
use token_authority::domain::ids::{TenantId, UserId};
use token_authority::domain::time::Timestamp;
use token_authority::domain::token::{Kind, Revocation, RevokeReason, State, Token};
use token_authority::store::{Epoch, NewToken, TokenFilter};

use super::World;
use crate::support::{Backend, both_backends};

both_backends! {
    an_epoch_covers_its_users_its_tenants_and_its_kinds_tokens,
    a_token_created_after_an_epoch_is_not_covered,
    a_token_created_in_the_epochs_own_change_is_not_covered,
    the_earliest_epoch_gives_time_and_reason,
    of_one_changes_epochs_the_first_gives_the_reason,
    a_tokens_own_revocation_comes_before_an_epochs,
    an_epochs_token_is_neither_changed_nor_revoked_again,
    every_count_filter_and_record_knows_epochs,
    an_epoch_is_never_dropped_for_want_of_a_change,
}

fn epoch(tenant_id: Option<&TenantId>, user_id: Option<UserId>, kind: Option<Kind>) -> Epoch {
    Epoch {
        tenant_id: tenant_id.cloned(),
        user_id,
        kind,
        reason: RevokeReason::Administrative,
        text: String::new(),
    }
}

fn revocation(at: Timestamp, reason: RevokeReason) -> Revocation {
    Revocation {
        at,
        reason,
        text: String::new(),
    }
}

async fn token_of_kind(
    world: &World,
    tenant_id: &TenantId,
    user_id: Option<UserId>,
    kind: Kind,
) -> Token {
    let (token, secret) = world.draft(tenant_id, user_id, "token");
    let token = NewToken { kind, ..token };
    world.insert(&token, &secret).await;
    world.find(tenant_id, token.token_id).await
}

/// Whether the token is listed among those that are not revoked.
async fn is_listed(world: &World, token: &Token) -> bool {
    let filter = TokenFilter {
        kind: token.kind,
        user_id: None,
        name_contains: None,
        hint: Some(token.hint.clone()),
        beginning: None,
        expires_before: None,
        unused_since: None,
        state: None,
        show_revoked: false,
    };
    let mut tx = world.snapshot().await;
    let page = tx.list_tokens(&token.tenant_id, &filter, None, 10, world.now());
    let items = page.await.unwrap().items;
    items.iter().any(|item| item.token_id == token.token_id)
}

async fn an_epoch_covers_its_users_its_tenants_and_its_kinds_tokens(backend: Backend) {
    let world = World::new(backend).await;
    let acme = world.tenant("acme").await.tenant_id;
    let other = world.tenant("other").await.tenant_id;
    let alice = world.user(&acme, "alice").await.user_id;
    let bob = world.user(&acme, "bob").await.user_id;
    let api = Some(Kind::Api);
    // Each with the letters of the tokens that it covers, as they stand below.
    for (epoch, covered) in [
        (epoch(None, Some(alice), None), "abc"),
        (epoch(None, Some(alice), api), "ac"),
        (epoch(Some(&acme), Some(alice), None), "ab"),
        (epoch(Some(&acme), Some(alice), api), "a"),
        (epoch(Some(&other), Some(alice), None), "c"),
        (epoch(Some(&acme), None, None), "abde"),
        (epoch(Some(&acme), None, api), "ad"),
        (epoch(Some(&acme), None, Some(Kind::Service)), "e"),
        (epoch(None, Some(bob), None), "df"),
        (epoch(None, Some(bob), Some(Kind::Webhook)), ""),
    ] {
        let mut tokens = Vec::new();
        for (letter, tenant_id, user_id, kind) in [
            ('a', &acme, Some(alice), Kind::Api),
            ('b', &acme, Some(alice), Kind::Agent),
            ('c', &other, Some(alice), Kind::Api),
            ('d', &acme, Some(bob), Kind::Api),
            ('e', &acme, None, Kind::Service),
            ('f', &other, Some(bob), Kind::Agent),
            ('g', &other, None, Kind::Service),
        ] {
            let token = token_of_kind(&world, tenant_id, user_id, kind).await;
            tokens.push((letter, token));
        }
        let at = world.later();
        world.revoke_all(std::slice::from_ref(&epoch)).await;
        world.later();
        let mut revoked = String::new();
        for (letter, before) in tokens {
            let now = world.find(&before.tenant_id, before.token_id).await;
            if now.revocation.is_some() {
                revoked.push(letter);
            }
            // Lists and guards ask by another text than the one that gives the reason.
            let is_listed = is_listed(&world, &now).await;
            assert_eq!(is_listed, now.revocation.is_none(), "{letter} {epoch:?}");
            let expected = Token {
                revocation: now
                    .revocation
                    .as_ref()
                    .map(|_| revocation(at, RevokeReason::Administrative)),
                ..before
            };
            assert_eq!(now, expected);
        }
        assert_eq!(revoked, covered, "{epoch:?}");
    }
}

async fn a_token_created_after_an_epoch_is_not_covered(backend: Backend) {
    let world = World::new(backend).await;
    let acme = world.tenant("acme").await.tenant_id;
    let alice = world.user(&acme, "alice").await.user_id;
    let before = world.token(&acme, Some(alice), "before").await;
    // The clock stands still: what decides is the number, not the time.
    world.revoke_all(&[epoch(Some(&acme), None, None)]).await;
    let after = world.token(&acme, Some(alice), "after").await;
    assert_eq!(before.created_at, after.created_at);
    assert_eq!(after.state(world.now()), State::Active);
    let before = world.find(&acme, before.token_id).await;
    assert_eq!(before.state(world.now()), State::Revoked);
}

async fn a_token_created_in_the_epochs_own_change_is_not_covered(backend: Backend) {
    let world = World::new(backend).await;
    let acme = world.tenant("acme").await.tenant_id;
    let alice = world.user(&acme, "alice").await.user_id;
    let (token, secret) = world.draft(&acme, Some(alice), "token");
    let mut tx = world.begin().await;
    tx.insert_token(&token, &secret).await.unwrap();
    let changes = [
        Change::UserChanged(alice),
        Change::TokenCreated(acme.clone(), token.token_id),
    ];
    let epochs = [epoch(None, Some(alice), None)];
    tx.close(&changes, &epochs, world.now()).await.unwrap();
    let token = world.find(&acme, token.token_id).await;
    assert_eq!(token.revocation, None);
}

async fn the_earliest_epoch_gives_time_and_reason(backend: Backend) {
    let world = World::new(backend).await;
    let acme = world.tenant("acme").await.tenant_id;
    let alice = world.user(&acme, "alice").await.user_id;
    let with = |tenant_id, user_id, reason| Epoch {
        reason,
        ..epoch(tenant_id, user_id, None)
    };
    let wide = || with(Some(&acme), None, RevokeReason::Compromised);
    let narrow = || with(Some(&acme), Some(alice), RevokeReason::OwnerGone);
    let everywhere = || with(None, Some(alice), RevokeReason::NoLongerNeeded);
    // Whatever the order in which an index has them.
    for epochs in [
        [wide(), narrow(), everywhere()],
        [narrow(), everywhere(), wide()],
        [everywhere(), wide(), narrow()],
    ] {
        let token = world.token(&acme, Some(alice), "token").await;
        let first = world.later();
        let reason = epochs[0].reason;
        for epoch in epochs {
            world.revoke_all(&[epoch]).await;
            world.later();
        }
        let token = world.find(&acme, token.token_id).await;
        assert_eq!(token.revocation, Some(revocation(first, reason)));
    }
}

async fn of_one_changes_epochs_the_first_gives_the_reason(backend: Backend) {
    let world = World::new(backend).await;
    let acme = world.tenant("acme").await.tenant_id;
    let alice = world.user(&acme, "alice").await.user_id;
    let reasons = [
        (Some(&acme), Some(alice), RevokeReason::Superseded),
        (Some(&acme), None, RevokeReason::Compromised),
        (None, Some(alice), RevokeReason::OwnerGone),
    ];
    for rotation in 0..3 {
        let token = world.token(&acme, Some(alice), "token").await;
        let mut reasons = reasons;
        reasons.rotate_left(rotation);
        let epochs = reasons.map(|(tenant_id, user_id, reason)| Epoch {
            reason,
            ..epoch(tenant_id, user_id, None)
        });
        world.revoke_all(&epochs).await;
        let token = world.find(&acme, token.token_id).await;
        assert_eq!(
            token.revocation,
            Some(revocation(world.now(), reasons[0].2))
        );
    }
}

async fn a_tokens_own_revocation_comes_before_an_epochs(backend: Backend) {
    let world = World::new(backend).await;
    let acme = world.tenant("acme").await.tenant_id;
    let token = world.token(&acme, None, "token").await;
    let at = world.later();
    world.revoke(&token).await;
    world.later();
    world.revoke_all(&[epoch(Some(&acme), None, None)]).await;
    let token = world.find(&acme, token.token_id).await;
    assert_eq!(
        token.revocation,
        Some(revocation(at, RevokeReason::Compromised))
    );
}

async fn an_epochs_token_is_neither_changed_nor_revoked_again(backend: Backend) {
    let world = World::new(backend).await;
    let acme = world.tenant("acme").await.tenant_id;
    let alice = world.user(&acme, "alice").await.user_id;
    let before = world.token(&acme, Some(alice), "token").await;
    world.later();
    world.revoke_all(&[epoch(None, Some(alice), None)]).await;
    let revoked = world.find(&acme, before.token_id).await;
    let now = world.later();
    let mut tx = world.begin().await;
    // An epoch leaves the version as it was: the guard must know of it by itself.
    assert_eq!(before.version, revoked.version);
    assert!(!tx.mark_token_changed(&before, now).await.unwrap());
    let reason = RevokeReason::Unspecified;
    let again = tx.mark_token_revoked(&before, reason, "", now).await;
    assert!(!again.unwrap());
    world.commit(tx).await;
    assert_eq!(world.find(&acme, before.token_id).await, revoked);
}

async fn every_count_filter_and_record_knows_epochs(backend: Backend) {
    let world = World::new(backend).await;
    let acme = world.tenant("acme").await.tenant_id;
    let alice = world.user(&acme, "alice").await.user_id;
    let (token, secret) = world.draft(&acme, Some(alice), "token");
    world.insert(&token, &secret).await;
    world.revoke_all(&[epoch(None, Some(alice), None)]).await;
    let now = world.now();
    let found = world.store.find_record_by_lookup(&secret.lookup).await;
    let (record, _) = found.unwrap().record.unwrap();
    assert_eq!(record.token.state(now), State::Revoked);

    let mut tx = world.snapshot().await;
    let record = tx.find_record_by_token(token.token_id).await.unwrap();
    assert_eq!(record.unwrap().token.state(now), State::Revoked);
    let count = tx.count_live_tokens_by_user(&acme, alice, now).await;
    assert_eq!(count.unwrap(), 0);
    let other = uuid::Uuid::nil().into();
    let is_taken = tx.is_token_name_taken(&acme, Some(alice), Kind::Api, "token", other);
    assert!(!is_taken.await.unwrap());
    for (state, show_revoked, listed) in [
        (None, false, 0),
        (None, true, 1),
        (Some(State::Revoked), false, 1),
        (Some(State::Active), true, 0),
    ] {
        let filter = TokenFilter {
            kind: Kind::Api,
            user_id: None,
            name_contains: None,
            hint: None,
            beginning: None,
            expires_before: None,
            unused_since: None,
            state,
            show_revoked,
        };
        let page = tx.list_tokens(&acme, &filter, None, 10, now).await;
        assert_eq!(page.unwrap().items.len(), listed, "{filter:?}");
    }
}

async fn an_epoch_is_never_dropped_for_want_of_a_change(backend: Backend) {
    let world = World::new(backend).await;
    let acme = world.tenant("acme").await.tenant_id;
    let token = world.token(&acme, None, "token").await;
    let tx = world.begin().await;
    let epochs = [epoch(Some(&acme), None, None)];
    let revision = tx.close(&[], &epochs, world.now()).await.unwrap();
    assert!(revision.number > token.created_number);
    let token = world.find(&acme, token.token_id).await;
    assert_eq!(token.state(world.now()), State::Revoked);
}
