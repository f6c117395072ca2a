//! Tokens one by one, and their secrets.

use std::time::Duration;

use token_authority::domain::change::Version;
use token_authority::domain::ids::TokenId;
use token_authority::domain::principal::Role;
use token_authority::domain::text::Labels;
use token_authority::domain::token::{Kind, Owner, Revocation, RevokeReason, State, Token};
use token_authority::store::{Error, NewSecret, NewToken};

use super::{World, scopes};
use crate::support::{Backend, both_backends};

both_backends! {
    a_token_comes_back_with_every_field,
    a_service_token_has_no_owner,
    a_tokens_owner_is_as_of_now,
    a_token_is_found_in_its_tenant_alone,
    a_lookup_is_given_once,
    a_change_writes_every_field_and_a_stale_one_nothing,
    a_revocation_comes_back_and_stands,
    a_revoked_token_is_not_changed,
    a_locked_token_is_unchanged_and_nobody_elses,
    a_name_is_held_until_revocation,
    names_are_held_per_user_and_kind,
    live_tokens_are_counted_per_user_and_tenant,
    a_tenant_has_had_tokens_for_ever,
}

/// A token with every field, its owner an administrator.
async fn full(world: &World) -> (NewToken, NewSecret, Token) {
    let acme = world.tenant("acme").await.tenant_id;
    let home = world.tenant("home").await.tenant_id;
    let alice = world.user(&home, "alice").await.user_id;
    let creator = world.token(&acme, None, "creator").await;
    let mut tx = world.begin().await;
    let member = tx.insert_membership(&acme, alice, Role::Admin, world.now());
    assert!(member.await.unwrap().is_some());
    world.commit(tx).await;
    let now = world.later();
    let (token, secret) = world.draft(&acme, Some(alice), "Zoë's 'Token' 会社 🦀 \\ %_");
    let token = NewToken {
        kind: Kind::Agent,
        scopes: scopes(&["write", "read", "authority:tokens.read"]),
        profile: String::from("editor"),
        agent_id: String::from("agent/Ω"),
        labels: Labels::from([
            (String::from("team"), String::from("\"search\"")),
            (String::from("ümlaut"), String::new()),
        ]),
        created_by: Some(creator.token_id),
        expires_at: Some(now.saturating_add(Duration::from_millis(1))),
        ..token
    };
    let created_number = world.insert(&token, &secret).await;
    let new = token.clone();
    let expected = Token {
        token_id: new.token_id,
        tenant_id: new.tenant_id,
        owner: Some(Owner {
            user_id: alice,
            external_id: String::from("alice"),
            role: Some(Role::Admin),
            suspended: false,
            deleted: false,
        }),
        kind: new.kind,
        name: new.name,
        hint: secret.hint.clone(),
        scopes: new.scopes,
        profile: new.profile,
        agent_id: new.agent_id,
        labels: new.labels,
        created_by: new.created_by,
        version: Version(1),
        created_number,
        created_at: now,
        updated_at: now,
        expires_at: new.expires_at,
        disabled_at: None,
        revocation: None,
        rotated_at: None,
        previous: Vec::new(),
        last_use: None,
    };
    (token, secret, expected)
}

async fn a_token_comes_back_with_every_field(backend: Backend) {
    let world = World::new(backend).await;
    let (new, _, expected) = full(&world).await;
    let found = world.find(&new.tenant_id, new.token_id).await;
    assert_eq!(found, expected);
    assert!(expected.created_number.0 > 1);
}

async fn a_service_token_has_no_owner(backend: Backend) {
    let world = World::new(backend).await;
    let acme = world.tenant("acme").await.tenant_id;
    let token = world.token(&acme, None, "service").await;
    assert_eq!(token.owner, None);
    assert_eq!(token.kind, Kind::Service);
    assert_eq!(token.expires_at, None);
    assert_eq!(token.created_by, None);
    assert!(token.labels.is_empty() && token.profile.is_empty() && token.agent_id.is_empty());
}

async fn a_tokens_owner_is_as_of_now(backend: Backend) {
    let world = World::new(backend).await;
    let acme = world.tenant("acme").await.tenant_id;
    let alice = world.user(&acme, "alice").await;
    let token = world.token(&acme, Some(alice.user_id), "token").await;
    let mut tx = world.begin().await;
    let now = world.later();
    let mut expected = token.owner.clone().unwrap();

    let suspended = tx.mark_user_suspended(alice.user_id, now).await;
    let suspended = suspended.unwrap().unwrap();
    expected.suspended = true;
    let found = tx.find_token(&acme, token.token_id).await.unwrap().unwrap();
    assert_eq!(found.owner.as_ref(), Some(&expected));

    let member = tx.find_membership(&acme, alice.user_id).await;
    let member = member.unwrap().unwrap();
    let changed = tx.mark_membership_changed(&member, Role::Admin, now).await;
    assert!(changed.unwrap().is_some());
    expected.role = Some(Role::Admin);
    let found = tx.find_token(&acme, token.token_id).await.unwrap().unwrap();
    assert_eq!(found.owner.as_ref(), Some(&expected));

    let removed = tx.mark_membership_removed(&acme, alice.user_id, now).await;
    assert!(removed.unwrap());
    expected.role = None;
    let found = tx.find_token(&acme, token.token_id).await.unwrap().unwrap();
    assert_eq!(found.owner.as_ref(), Some(&expected));

    let deleted = tx.mark_user_deleted(alice.user_id, suspended.version, now);
    assert!(deleted.await.unwrap().is_some());
    expected.deleted = true;
    let found = tx.find_token(&acme, token.token_id).await.unwrap().unwrap();
    assert_eq!(found.owner, Some(expected));
    // What befalls the owner is not written into the token.
    assert_eq!(found.version, Version(1));
}

async fn a_token_is_found_in_its_tenant_alone(backend: Backend) {
    let world = World::new(backend).await;
    let acme = world.tenant("acme").await.tenant_id;
    let other = world.tenant("other").await.tenant_id;
    let token = world.token(&acme, None, "token").await;
    let unknown = TokenId::mint(world.now(), &world.entropy).unwrap();
    let mut tx = world.snapshot().await;
    let found = tx.find_token(&acme, token.token_id).await.unwrap();
    assert_eq!(found, Some(token.clone()));
    let elsewhere = tx.find_token(&other, token.token_id).await.unwrap();
    assert_eq!(elsewhere, None);
    assert_eq!(tx.find_token(&acme, unknown).await.unwrap(), None);
}

async fn a_lookup_is_given_once(backend: Backend) {
    let world = World::new(backend).await;
    let acme = world.tenant("acme").await.tenant_id;
    let (first, secret) = world.draft(&acme, None, "first");
    world.insert(&first, &secret).await;
    let (second, other_secret) = world.draft(&acme, None, "second");
    let colliding = NewSecret {
        lookup: secret.lookup,
        ..other_secret
    };
    let mut tx = world.begin().await;
    let error = tx.insert_token(&second, &colliding).await;
    assert!(matches!(error, Err(Error::Conflict(None))), "{error:?}");
    drop(tx);
    let mut tx = world.snapshot().await;
    let found = tx.find_token(&acme, second.token_id).await.unwrap();
    assert_eq!(found, None);
}

async fn a_change_writes_every_field_and_a_stale_one_nothing(backend: Backend) {
    let world = World::new(backend).await;
    let (.., before) = full(&world).await;
    let now = world.later();
    let wanted = Token {
        name: String::from("Renamed"),
        scopes: scopes(&["other"]),
        labels: Labels::new(),
        expires_at: Some(now.saturating_add(Duration::from_secs(5))),
        disabled_at: Some(now),
        ..before
    };
    let expected = Token {
        version: Version(2),
        updated_at: now,
        ..wanted.clone()
    };
    let mut tx = world.begin().await;
    assert!(tx.mark_token_changed(&wanted, now).await.unwrap());
    for version in [Version(1), Version(3)] {
        let stale = Token {
            name: String::from("Stale"),
            version,
            ..wanted.clone()
        };
        assert!(!tx.mark_token_changed(&stale, now).await.unwrap());
        let reason = RevokeReason::Superseded;
        assert!(
            !tx.mark_token_revoked(&stale, reason, "", now)
                .await
                .unwrap()
        );
    }
    world.commit(tx).await;
    let found = world.find(&wanted.tenant_id, wanted.token_id).await;
    assert_eq!(found, expected);
    // And back: what was set can be unset.
    let wanted = Token {
        expires_at: None,
        disabled_at: None,
        ..expected
    };
    let mut tx = world.begin().await;
    assert!(tx.mark_token_changed(&wanted, now).await.unwrap());
    world.commit(tx).await;
    let found = world.find(&wanted.tenant_id, wanted.token_id).await;
    assert_eq!((found.expires_at, found.disabled_at), (None, None));
}

async fn a_revocation_comes_back_and_stands(backend: Backend) {
    let world = World::new(backend).await;
    let acme = world.tenant("acme").await.tenant_id;
    for reason in RevokeReason::ALL.iter().copied() {
        let token = world.token(&acme, None, reason.as_str()).await;
        let at = world.later();
        let text = format!("because of \"{}\"\nand 会社", reason.as_str());
        let expected = Token {
            version: Version(2),
            updated_at: at,
            revocation: Some(Revocation {
                at,
                reason,
                text: text.clone(),
            }),
            ..token.clone()
        };
        let mut tx = world.begin().await;
        let revoked = tx.mark_token_revoked(&token, reason, &text, at).await;
        assert!(revoked.unwrap());
        for token in [&token, &expected] {
            let other = RevokeReason::Unspecified;
            let again = tx
                .mark_token_revoked(token, other, "again", world.now())
                .await;
            assert!(!again.unwrap());
        }
        world.commit(tx).await;
        assert_eq!(world.find(&acme, token.token_id).await, expected);
        assert_eq!(expected.state(at), State::Revoked);
    }
}

async fn a_revoked_token_is_not_changed(backend: Backend) {
    let world = World::new(backend).await;
    let acme = world.tenant("acme").await.tenant_id;
    let token = world.token(&acme, None, "token").await;
    world.revoke(&token).await;
    let revoked = world.find(&acme, token.token_id).await;
    let wanted = Token {
        name: String::from("renamed"),
        ..revoked.clone()
    };
    let mut tx = world.begin().await;
    assert!(!tx.mark_token_changed(&wanted, world.now()).await.unwrap());
    world.commit(tx).await;
    assert_eq!(world.find(&acme, token.token_id).await, revoked);
}

async fn a_locked_token_is_unchanged_and_nobody_elses(backend: Backend) {
    let world = World::new(backend).await;
    let acme = world.tenant("acme").await.tenant_id;
    let token = world.token(&acme, None, "token").await;
    let unknown = TokenId::mint(world.now(), &world.entropy).unwrap();
    world.later();
    assert!(!world.is_locked("tokens").await);
    let mut tx = world.begin().await;
    assert!(!tx.lock_token(unknown).await.unwrap());
    assert!(tx.lock_token(token.token_id).await.unwrap());
    assert!(world.is_locked("tokens").await);
    world.commit(tx).await;
    assert!(!world.is_locked("tokens").await);
    assert_eq!(world.find(&acme, token.token_id).await, token);
}

async fn a_name_is_held_until_revocation(backend: Backend) {
    let world = World::new(backend).await;
    let acme = world.tenant("acme").await.tenant_id;
    let alice = world.user(&acme, "alice").await.user_id;
    for user_id in [Some(alice), None] {
        let (new, secret) = world.draft(&acme, user_id, "Name");
        let new = NewToken {
            expires_at: Some(world.now().saturating_add(Duration::from_secs(1))),
            ..new
        };
        world.insert(&new, &secret).await;
        let token = world.find(&acme, new.token_id).await;
        let unknown = TokenId::mint(world.now(), &world.entropy).unwrap();
        let is_held = async |name: &str, except: TokenId| {
            let mut tx = world.snapshot().await;
            tx.is_token_name_taken(&acme, user_id, new.kind, name, except)
                .await
                .unwrap()
        };
        assert!(is_held("Name", unknown).await);
        assert!(!is_held("Name", token.token_id).await, "by itself");
        assert!(!is_held("name", unknown).await, "in another case");
        assert!(!is_held("Nam_", unknown).await, "by a wildcard");
        // Expired and disabled tokens hold their name.
        world.later();
        let mut tx = world.begin().await;
        let disabled = Token {
            disabled_at: Some(world.now()),
            ..token
        };
        assert!(tx.mark_token_changed(&disabled, world.now()).await.unwrap());
        world.commit(tx).await;
        assert!(is_held("Name", unknown).await);
        let disabled = world.find(&acme, new.token_id).await;
        world.revoke(&disabled).await;
        assert!(!is_held("Name", unknown).await);
    }
}

async fn names_are_held_per_user_and_kind(backend: Backend) {
    let world = World::new(backend).await;
    let acme = world.tenant("acme").await.tenant_id;
    let other = world.tenant("other").await.tenant_id;
    let alice = world.user(&acme, "alice").await.user_id;
    let bob = world.user(&acme, "bob").await.user_id;
    world.token(&acme, Some(alice), "name").await;
    let unknown = TokenId::mint(world.now(), &world.entropy).unwrap();
    let mut tx = world.snapshot().await;
    for (tenant_id, user_id, kind, expected) in [
        (&acme, Some(alice), Kind::Api, true),
        (&acme, Some(alice), Kind::Agent, false),
        (&acme, Some(bob), Kind::Api, false),
        (&acme, None, Kind::Api, false),
        (&other, Some(alice), Kind::Api, false),
    ] {
        let taken = tx
            .is_token_name_taken(tenant_id, user_id, kind, "name", unknown)
            .await;
        assert_eq!(taken.unwrap(), expected, "{tenant_id} {user_id:?} {kind:?}");
    }
}

async fn live_tokens_are_counted_per_user_and_tenant(backend: Backend) {
    let world = World::new(backend).await;
    let acme = world.tenant("acme").await.tenant_id;
    let other = world.tenant("other").await.tenant_id;
    let alice = world.user(&acme, "alice").await.user_id;
    let bob = world.user(&acme, "bob").await.user_id;
    let end = world.now().saturating_add(Duration::from_secs(60));
    for (tenant_id, user_id, kind, expires_at) in [
        (&acme, alice, Kind::Api, None),
        (&acme, alice, Kind::Agent, Some(end)),
        (&other, alice, Kind::Api, None),
        (&acme, bob, Kind::Api, None),
    ] {
        let (token, secret) = world.draft(tenant_id, Some(user_id), "token");
        let token = NewToken {
            kind,
            expires_at,
            ..token
        };
        world.insert(&token, &secret).await;
    }
    let disabled = world.token(&acme, Some(alice), "disabled").await;
    let revoked = world.token(&acme, Some(alice), "revoked").await;
    world.token(&acme, None, "service").await;
    world.revoke(&revoked).await;
    let disabled = Token {
        disabled_at: Some(world.now()),
        ..disabled
    };
    let mut tx = world.begin().await;
    assert!(tx.mark_token_changed(&disabled, world.now()).await.unwrap());
    for (tenant_id, user_id, at, expected) in [
        (&acme, alice, world.now(), 3),
        // At the very instant of its end a token is expired.
        (&acme, alice, end, 2),
        (&acme, bob, end, 1),
        (&other, alice, end, 1),
        (&other, bob, end, 0),
    ] {
        let count = tx.count_live_tokens_by_user(tenant_id, user_id, at).await;
        assert_eq!(count.unwrap(), expected, "{user_id} in {tenant_id}");
    }
    world.commit(tx).await;
}

async fn a_tenant_has_had_tokens_for_ever(backend: Backend) {
    let world = World::new(backend).await;
    let acme = world.tenant("acme").await.tenant_id;
    let other = world.tenant("other").await.tenant_id;
    let token = world.token(&acme, None, "token").await;
    world.token(&acme, None, "another").await;
    world.revoke(&token).await;
    let mut tx = world.snapshot().await;
    assert!(tx.has_tokens(&acme).await.unwrap());
    assert!(!tx.has_tokens(&other).await.unwrap());
}
