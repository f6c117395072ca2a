//! Users.

use std::cmp::Reverse;

use token_authority::domain::change::Version;
use token_authority::domain::ids::TenantId;
use token_authority::domain::principal::{Role, User};
use token_authority::store::{Error, Listed};

use super::{World, pages};
use crate::support::{Backend, both_backends};

both_backends! {
    a_user_comes_back_with_every_field,
    a_voucher_gives_an_external_id_once,
    an_external_id_is_free_again_after_its_users_deletion,
    a_user_id_is_never_used_again,
    a_change_writes_every_field_and_a_stale_one_nothing,
    taking_another_users_external_id_is_a_conflict,
    a_user_is_suspended_and_resumed_once,
    a_deleted_user_is_gone,
    a_locked_user_is_unchanged_and_nobody_elses,
    members_and_the_vouched_for_are_listed,
    users_are_listed_newest_first,
}

async fn a_user_comes_back_with_every_field(backend: Backend) {
    let world = World::new(backend).await;
    let acme = world.tenant("acme").await.tenant_id;
    let user = User {
        external_id: String::from("auth0|Zoë 'x' \\ %"),
        display_name: String::from("Zoë 会社 🦀"),
        ..world.draft_user(&acme, "")
    };
    let mut tx = world.begin().await;
    let inserted = tx.insert_user(&user).await.unwrap();
    assert_eq!(inserted.as_ref(), Some(&user));
    world.commit(tx).await;
    let mut tx = world.snapshot().await;
    let found = tx.find_user(user.user_id).await.unwrap();
    assert_eq!(found.as_ref(), Some(&user));
    let found = tx
        .find_user_by_external_id(&acme, None, &user.external_id)
        .await;
    assert_eq!(found.unwrap(), Some(user));
    let unknown = world.draft_user(&acme, "nobody");
    assert_eq!(tx.find_user(unknown.user_id).await.unwrap(), None);
    let found = tx.find_user_by_external_id(&acme, None, "nobody").await;
    assert_eq!(found.unwrap(), None);
}

async fn a_voucher_gives_an_external_id_once(backend: Backend) {
    let world = World::new(backend).await;
    let acme = world.tenant("acme").await.tenant_id;
    let other = world.tenant("other").await.tenant_id;
    let alice = world.user(&acme, "alice").await;
    let mut tx = world.begin().await;
    let second = world.draft_user(&acme, "alice");
    assert_eq!(tx.insert_user(&second).await.unwrap(), None);
    // The transaction goes on, and neither case nor another voucher collides.
    for other in [
        world.draft_user(&acme, "Alice"),
        world.draft_user(&other, "alice"),
    ] {
        let inserted = tx.insert_user(&other).await.unwrap();
        assert_eq!(inserted, Some(other));
    }
    world.commit(tx).await;
    let mut tx = world.snapshot().await;
    let found = tx.find_user_by_external_id(&acme, None, "alice").await;
    assert_eq!(found.unwrap(), Some(alice));
}

async fn an_external_id_is_free_again_after_its_users_deletion(backend: Backend) {
    let world = World::new(backend).await;
    let acme = world.tenant("acme").await.tenant_id;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let alice = world.user(&acme, "alice").await;
        ids.push(alice.user_id);
        let mut tx = world.begin().await;
        let found = tx
            .find_user_by_external_id(&acme, None, "alice")
            .await
            .unwrap();
        assert_eq!(found.as_ref(), Some(&alice));
        let deleted = tx
            .mark_user_deleted(alice.user_id, Version(1), world.later())
            .await;
        assert!(deleted.unwrap().is_some());
        let found = tx
            .find_user_by_external_id(&acme, None, "alice")
            .await
            .unwrap();
        assert_eq!(found, None);
        world.commit(tx).await;
    }
    ids.dedup();
    assert_eq!(ids.len(), 3);
}

async fn a_user_id_is_never_used_again(backend: Backend) {
    let world = World::new(backend).await;
    let acme = world.tenant("acme").await.tenant_id;
    let alice = world.user(&acme, "alice").await;
    let same_id = User {
        external_id: String::from("bob"),
        ..alice.clone()
    };
    let mut tx = world.begin().await;
    assert_eq!(tx.insert_user(&same_id).await.unwrap(), None);
    let deleted = tx
        .mark_user_deleted(alice.user_id, Version(1), world.now())
        .await;
    assert!(deleted.unwrap().is_some());
    assert_eq!(tx.insert_user(&same_id).await.unwrap(), None);
    world.commit(tx).await;
}

async fn a_change_writes_every_field_and_a_stale_one_nothing(backend: Backend) {
    let world = World::new(backend).await;
    let acme = world.tenant("acme").await.tenant_id;
    let other = world.tenant("other").await.tenant_id;
    let alice = world.user(&acme, "alice").await;
    let now = world.later();
    let wanted = User {
        external_id: String::from("alicia"),
        display_name: String::from("Alicia"),
        active_tenant_id: other,
        ..alice
    };
    let expected = User {
        version: Version(2),
        updated_at: now,
        ..wanted.clone()
    };
    let mut tx = world.begin().await;
    let changed = tx.mark_user_changed(&wanted, now).await.unwrap();
    assert_eq!(changed.as_ref(), Some(&expected));
    for version in [Version(1), Version(3)] {
        let stale = User {
            version,
            ..wanted.clone()
        };
        assert_eq!(tx.mark_user_changed(&stale, now).await.unwrap(), None);
    }
    world.commit(tx).await;
    let found = world.snapshot().await.find_user(expected.user_id).await;
    assert_eq!(found.unwrap(), Some(expected));
}

async fn taking_another_users_external_id_is_a_conflict(backend: Backend) {
    let world = World::new(backend).await;
    let acme = world.tenant("acme").await.tenant_id;
    world.user(&acme, "alice").await;
    let bob = world.user(&acme, "bob").await;
    let usurper = User {
        external_id: String::from("alice"),
        ..bob.clone()
    };
    let mut tx = world.begin().await;
    let error = tx.mark_user_changed(&usurper, world.now()).await;
    assert!(matches!(error, Err(Error::Conflict(Some(_)))), "{error:?}");
    drop(tx);
    let found = world.snapshot().await.find_user(bob.user_id).await;
    assert_eq!(found.unwrap(), Some(bob));
}

async fn a_user_is_suspended_and_resumed_once(backend: Backend) {
    let world = World::new(backend).await;
    let acme = world.tenant("acme").await.tenant_id;
    let alice = world.user(&acme, "alice").await;
    let bob = world.user(&acme, "bob").await;
    let id = alice.user_id;
    let mut tx = world.begin().await;
    let now = world.later();
    assert_eq!(tx.mark_user_resumed(id, now).await.unwrap(), None);
    let suspended = User {
        version: Version(2),
        updated_at: now,
        suspended_at: Some(now),
        ..alice.clone()
    };
    let answer = tx.mark_user_suspended(id, now).await.unwrap();
    assert_eq!(answer.as_ref(), Some(&suspended));
    let again = tx.mark_user_suspended(id, world.later()).await;
    assert_eq!(again.unwrap(), None);
    assert_eq!(tx.find_user(id).await.unwrap(), Some(suspended));
    let now = world.later();
    let resumed = User {
        version: Version(3),
        updated_at: now,
        ..alice
    };
    let answer = tx.mark_user_resumed(id, now).await.unwrap();
    assert_eq!(answer, Some(resumed));
    assert_eq!(tx.mark_user_resumed(id, now).await.unwrap(), None);
    assert_eq!(tx.find_user(bob.user_id).await.unwrap(), Some(bob));
    world.commit(tx).await;
}

async fn a_deleted_user_is_gone(backend: Backend) {
    let world = World::new(backend).await;
    let acme = world.tenant("acme").await.tenant_id;
    let alice = world.user(&acme, "alice").await;
    let id = alice.user_id;
    let now = world.later();
    let mut tx = world.begin().await;
    let stale = tx.mark_user_deleted(id, Version(2), now).await;
    assert_eq!(stale.unwrap(), None);
    let deleted = User {
        version: Version(2),
        updated_at: now,
        ..alice.clone()
    };
    let answer = tx.mark_user_deleted(id, Version(1), now).await;
    assert_eq!(answer.unwrap().as_ref(), Some(&deleted));
    for version in [Version(1), Version(2)] {
        let again = User {
            version,
            ..alice.clone()
        };
        let answer = tx.mark_user_deleted(id, version, now).await;
        assert_eq!(answer.unwrap(), None);
        assert_eq!(tx.mark_user_changed(&again, now).await.unwrap(), None);
    }
    assert_eq!(tx.find_user(id).await.unwrap(), None);
    assert_eq!(tx.lock_user(id).await.unwrap(), None);
    assert_eq!(tx.mark_user_suspended(id, now).await.unwrap(), None);
    assert_eq!(tx.mark_user_resumed(id, now).await.unwrap(), None);
    let listed = tx.list_users(&acme, &Listed::default(), None, 10).await;
    assert!(listed.unwrap().items.is_empty());
    world.commit(tx).await;
}

async fn a_locked_user_is_unchanged_and_nobody_elses(backend: Backend) {
    let world = World::new(backend).await;
    let acme = world.tenant("acme").await.tenant_id;
    let alice = world.user(&acme, "alice").await;
    world.later();
    assert!(!world.is_locked("users").await);
    let mut tx = world.begin().await;
    let locked = tx.lock_user(alice.user_id).await.unwrap();
    assert_eq!(locked.as_ref(), Some(&alice));
    assert!(world.is_locked("users").await);
    world.commit(tx).await;
    assert!(!world.is_locked("users").await);
    let found = world.snapshot().await.find_user(alice.user_id).await;
    assert_eq!(found.unwrap(), Some(alice));
}

async fn members_and_the_vouched_for_are_listed(backend: Backend) {
    let world = World::new(backend).await;
    let acme = world.tenant("acme").await.tenant_id;
    let other = world.tenant("other").await.tenant_id;
    let alice = world.user(&acme, "alice").await;
    let bob = world.user(&other, "bob").await;
    let left = world.user(&acme, "left").await;
    let guest = world.user(&other, "guest").await;
    let expelled = world.user(&other, "expelled").await;
    let namesake = world.user(&other, "alice").await;
    let mut tx = world.begin().await;
    for user in [&guest, &expelled, &namesake] {
        let member = tx
            .insert_membership(&acme, user.user_id, Role::Admin, world.now())
            .await;
        assert!(member.unwrap().is_some());
    }
    // One whom a tenant vouches for is listed though it left; a guest is not.
    for user in [&left, &expelled] {
        let now = world.now();
        let removed = tx.mark_membership_removed(&acme, user.user_id, now).await;
        assert!(removed.unwrap());
    }
    world.commit(tx).await;

    let list = async |tenant_id: &TenantId, external_id: Option<&str>| {
        let listed = Listed {
            external_id: external_id.map(str::to_owned),
        };
        let mut tx = world.snapshot().await;
        let page = tx.list_users(tenant_id, &listed, None, 10).await.unwrap();
        assert_eq!(page.next, None);
        let mut ids: Vec<_> = page.items.iter().map(|user| user.user_id).collect();
        ids.sort();
        ids
    };
    let sorted = |users: &[&User]| {
        let mut ids: Vec<_> = users.iter().map(|user| user.user_id).collect();
        ids.sort();
        ids
    };
    assert_eq!(
        list(&acme, None).await,
        sorted(&[&alice, &left, &guest, &namesake])
    );
    assert_eq!(
        list(&other, None).await,
        sorted(&[&bob, &guest, &expelled, &namesake])
    );
    assert_eq!(
        list(&acme, Some("alice")).await,
        sorted(&[&alice, &namesake])
    );
    assert_eq!(list(&other, Some("alice")).await, sorted(&[&namesake]));
    assert_eq!(list(&acme, Some("ali%")).await, []);
    assert_eq!(list(&acme, Some("bob")).await, []);
}

async fn users_are_listed_newest_first(backend: Backend) {
    let world = World::new(backend).await;
    let acme = world.tenant("acme").await.tenant_id;
    let mut users = Vec::new();
    // Three of each age; ids minted at one instant are in no order.
    for nth in 0..9 {
        users.push(world.user(&acme, &format!("user-{nth}")).await);
        if nth % 3 == 2 {
            world.later();
        }
    }
    users.sort_by_key(|user| Reverse((user.created_at, user.user_id)));
    for size in [1, 2, 3, 4, 9, 100] {
        let listed = pages(size, |after| {
            let (world, acme) = (&world, &acme);
            async move {
                let mut tx = world.snapshot().await;
                tx.list_users(acme, &Listed::default(), after, size)
                    .await
                    .unwrap()
            }
        })
        .await;
        assert_eq!(listed, users, "in pages of {size}");
    }
}
