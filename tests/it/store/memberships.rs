//! Memberships.

use std::cmp::Reverse;

use token_authority::domain::change::Version;
use token_authority::domain::principal::{Membership, Role};

use super::{World, pages};
use crate::support::{Backend, both_backends};

both_backends! {
    a_membership_comes_back_with_every_field,
    a_user_joins_a_tenant_once,
    a_member_who_left_joins_anew,
    a_role_changes_and_a_stale_change_does_nothing,
    a_membership_ends_once,
    members_are_listed_newest_first_without_those_who_left,
    a_users_memberships_are_listed_newest_first,
}

async fn a_membership_comes_back_with_every_field(backend: Backend) {
    let world = World::new(backend).await;
    let acme = world.tenant("acme").await.tenant_id;
    let other = world.tenant("other").await.tenant_id;
    let alice = world.user(&other, "alice").await.user_id;
    let mut tx = world.begin().await;
    assert_eq!(tx.find_membership(&acme, alice).await.unwrap(), None);
    let now = world.later();
    let expected = Membership {
        tenant_id: acme.clone(),
        user_id: alice,
        role: Role::Admin,
        version: Version(1),
        created_at: now,
        updated_at: now,
    };
    let inserted = tx.insert_membership(&acme, alice, Role::Admin, now).await;
    assert_eq!(inserted.unwrap().as_ref(), Some(&expected));
    world.commit(tx).await;
    let mut tx = world.snapshot().await;
    let found = tx.find_membership(&acme, alice).await.unwrap();
    assert_eq!(found, Some(expected));
    let elsewhere = tx.find_membership(&other, alice).await.unwrap().unwrap();
    assert_eq!(elsewhere.role, Role::Member);
}

async fn a_user_joins_a_tenant_once(backend: Backend) {
    let world = World::new(backend).await;
    let acme = world.tenant("acme").await.tenant_id;
    let alice = world.user(&acme, "alice").await.user_id;
    let mut tx = world.begin().await;
    let before = tx.find_membership(&acme, alice).await.unwrap();
    let now = world.later();
    for role in [Role::Member, Role::Admin] {
        let second = tx.insert_membership(&acme, alice, role, now).await;
        assert_eq!(second.unwrap(), None);
    }
    // The transaction goes on, and the present membership is as it was.
    assert_eq!(tx.find_membership(&acme, alice).await.unwrap(), before);
    world.commit(tx).await;
}

async fn a_member_who_left_joins_anew(backend: Backend) {
    let world = World::new(backend).await;
    let acme = world.tenant("acme").await.tenant_id;
    let alice = world.user(&acme, "alice").await.user_id;
    let mut tx = world.begin().await;
    let left = world.later();
    let removed = tx.mark_membership_removed(&acme, alice, left).await;
    assert!(removed.unwrap());
    assert_eq!(tx.find_membership(&acme, alice).await.unwrap(), None);
    let now = world.later();
    let joined = tx.insert_membership(&acme, alice, Role::Admin, now).await;
    // The version goes on, so that an etag of the earlier membership is stale.
    let expected = Membership {
        tenant_id: acme.clone(),
        user_id: alice,
        role: Role::Admin,
        version: Version(3),
        created_at: now,
        updated_at: now,
    };
    assert_eq!(joined.unwrap().as_ref(), Some(&expected));
    let again = tx.insert_membership(&acme, alice, Role::Member, now).await;
    assert_eq!(again.unwrap(), None);
    world.commit(tx).await;
    let mut tx = world.snapshot().await;
    let found = tx.find_membership(&acme, alice).await.unwrap();
    assert_eq!(found, Some(expected));
}

async fn a_role_changes_and_a_stale_change_does_nothing(backend: Backend) {
    let world = World::new(backend).await;
    let acme = world.tenant("acme").await.tenant_id;
    let alice = world.user(&acme, "alice").await.user_id;
    let bob = world.user(&acme, "bob").await.user_id;
    let mut tx = world.begin().await;
    let before = tx.find_membership(&acme, alice).await.unwrap().unwrap();
    let now = world.later();
    let changed = tx.mark_membership_changed(&before, Role::Admin, now).await;
    let expected = Membership {
        role: Role::Admin,
        version: Version(2),
        updated_at: now,
        ..before.clone()
    };
    assert_eq!(changed.unwrap().as_ref(), Some(&expected));
    let stale = tx.mark_membership_changed(&before, Role::Member, now).await;
    assert_eq!(stale.unwrap(), None);
    let found = tx.find_membership(&acme, alice).await.unwrap();
    assert_eq!(found.as_ref(), Some(&expected));
    let other = tx.find_membership(&acme, bob).await.unwrap().unwrap();
    assert_eq!(other.role, Role::Member);
    assert!(tx.mark_membership_removed(&acme, alice, now).await.unwrap());
    for version in [Version(2), Version(3)] {
        let gone = Membership {
            version,
            ..expected.clone()
        };
        let answer = tx.mark_membership_changed(&gone, Role::Member, now).await;
        assert_eq!(answer.unwrap(), None);
    }
    world.commit(tx).await;
}

async fn a_membership_ends_once(backend: Backend) {
    let world = World::new(backend).await;
    let acme = world.tenant("acme").await.tenant_id;
    let other = world.tenant("other").await.tenant_id;
    let alice = world.user(&acme, "alice").await.user_id;
    let bob = world.user(&acme, "bob").await.user_id;
    let now = world.later();
    let mut tx = world.begin().await;
    assert!(
        !tx.mark_membership_removed(&other, alice, now)
            .await
            .unwrap()
    );
    assert!(tx.mark_membership_removed(&acme, alice, now).await.unwrap());
    assert!(!tx.mark_membership_removed(&acme, alice, now).await.unwrap());
    assert!(tx.find_membership(&acme, bob).await.unwrap().is_some());
    world.commit(tx).await;
}

async fn members_are_listed_newest_first_without_those_who_left(backend: Backend) {
    let world = World::new(backend).await;
    let acme = world.tenant("acme").await.tenant_id;
    let other = world.tenant("other").await.tenant_id;
    world.user(&other, "stranger").await;
    let mut users = Vec::new();
    for nth in 0..11 {
        users.push(world.user(&acme, &format!("user-{nth}")).await.user_id);
        if nth % 3 == 2 {
            world.later();
        }
    }
    let (left, deleted) = (users.remove(7), users.remove(1));
    let mut tx = world.begin().await;
    let now = world.now();
    assert!(tx.mark_membership_removed(&acme, left, now).await.unwrap());
    let gone = tx.mark_user_deleted(deleted, Version(1), now).await;
    assert!(gone.unwrap().is_some());
    let mut members = Vec::new();
    for user_id in users {
        members.push(tx.find_membership(&acme, user_id).await.unwrap().unwrap());
    }
    world.commit(tx).await;
    members.sort_by_key(|member| Reverse((member.created_at, member.user_id)));
    for size in [1, 2, 3, 4, 9, 100] {
        let listed = pages(size, |after| {
            let (world, acme) = (&world, &acme);
            async move {
                let mut tx = world.snapshot().await;
                tx.list_members(acme, after, size).await.unwrap()
            }
        })
        .await;
        assert_eq!(listed, members, "in pages of {size}");
    }
}

async fn a_users_memberships_are_listed_newest_first(backend: Backend) {
    let world = World::new(backend).await;
    let home = world.tenant("home").await.tenant_id;
    let alice = world.user(&home, "alice").await.user_id;
    let bob = world.user(&home, "bob").await.user_id;
    world.later();
    for name in ["deleted", "left", "second", "first"] {
        let tenant_id = world.tenant(name).await.tenant_id;
        let now = world.now();
        let mut tx = world.begin().await;
        for user_id in [alice, bob] {
            let member = tx
                .insert_membership(&tenant_id, user_id, Role::Member, now)
                .await;
            assert!(member.unwrap().is_some());
        }
        if name == "left" {
            let removed = tx.mark_membership_removed(&tenant_id, alice, now).await;
            assert!(removed.unwrap());
        }
        if name == "deleted" {
            let deleted = tx.mark_tenant_deleted(&tenant_id, Version(1), now).await;
            assert!(deleted.unwrap());
        }
        world.commit(tx).await;
    }
    let mut tx = world.snapshot().await;
    for (most, expected) in [
        (10, vec!["first", "second", "home"]),
        (2, vec!["first", "second"]),
        (0, vec![]),
    ] {
        let listed = tx.list_memberships_by_user(alice, most).await.unwrap();
        assert!(listed.iter().all(|member| member.user_id == alice));
        let tenants: Vec<_> = listed.iter().map(|m| m.tenant_id.as_str()).collect();
        assert_eq!(tenants, expected);
    }
}
