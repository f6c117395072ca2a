//! Tenants and their policies.

use std::cmp::Reverse;
use std::time::Duration;

use token_authority::domain::change::Version;
use token_authority::domain::policy::{Management, Policy};
use token_authority::domain::principal::Tenant;

use super::{World, pages};
use crate::support::{Backend, both_backends};

both_backends! {
    a_tenant_comes_back_with_every_field,
    an_id_and_a_prefix_are_given_once_and_for_ever,
    a_deleted_tenant_is_gone,
    prefixes_overlap_where_one_begins_the_other,
    a_change_writes_every_field_and_a_stale_one_nothing,
    a_tenant_is_suspended_and_resumed_once,
    a_locked_tenant_is_unchanged_and_nobody_elses,
    tenants_are_listed_newest_first,
}

fn strict_policy() -> Policy {
    Policy {
        management: Management::SelfService,
        expiry_required: true,
        default_ttl: Some(Duration::from_millis(86_400_001)),
        max_ttl: Some(Duration::from_secs(3653 * 86_400)),
        max_tokens_per_user: Some(1_000_000),
        unique_names: true,
        tokens_may_not_mint: true,
        admins_act_for_admins: true,
        max_grace: Some(Duration::from_millis(86_400_002)),
        self_rotation: true,
        retention: Some(Duration::from_millis(86_400_003)),
    }
}

async fn a_tenant_comes_back_with_every_field(backend: Backend) {
    let world = World::new(backend).await;
    // One flag at a time, so that none is mistaken for another.
    let policies = [
        Policy::default(),
        strict_policy(),
        Policy {
            expiry_required: true,
            ..Policy::default()
        },
        Policy {
            unique_names: true,
            max_tokens_per_user: Some(0),
            ..Policy::default()
        },
        Policy {
            tokens_may_not_mint: true,
            default_ttl: Some(Duration::from_secs(1)),
            ..Policy::default()
        },
        Policy {
            admins_act_for_admins: true,
            max_ttl: Some(Duration::from_secs(2)),
            ..Policy::default()
        },
        Policy {
            self_rotation: true,
            max_grace: Some(Duration::ZERO),
            ..Policy::default()
        },
    ];
    for (nth, policy) in policies.into_iter().enumerate() {
        let tenant = Tenant {
            display_name: String::from("Zoë's \"Ünïcode\" 会社 🦀 \\ %"),
            policy,
            ..world.draft_tenant(&format!("tenant-{nth}"))
        };
        let mut tx = world.begin().await;
        assert!(tx.insert_tenant(&tenant).await.unwrap());
        world.commit(tx).await;
        let found = world.snapshot().await.find_tenant(&tenant.tenant_id).await;
        assert_eq!(found.unwrap(), Some(tenant));
    }
    let unknown = "nobody".parse().unwrap();
    let found = world.snapshot().await.find_tenant(&unknown).await;
    assert_eq!(found.unwrap(), None);
}

async fn an_id_and_a_prefix_are_given_once_and_for_ever(backend: Backend) {
    let world = World::new(backend).await;
    let acme = world.tenant("acme").await;
    let same_id = Tenant {
        prefix: "other_".parse().unwrap(),
        ..acme.clone()
    };
    let same_prefix = Tenant {
        tenant_id: "other".parse().unwrap(),
        ..acme.clone()
    };
    for _ in ["while it lives", "and after its deletion"] {
        let mut tx = world.begin().await;
        assert!(!tx.insert_tenant(&acme).await.unwrap());
        assert!(!tx.insert_tenant(&same_id).await.unwrap());
        assert!(!tx.insert_tenant(&same_prefix).await.unwrap());
        // The transaction goes on: a refusal is no failed statement.
        tx.mark_tenant_deleted(&acme.tenant_id, Version(1), world.now())
            .await
            .unwrap();
        world.commit(tx).await;
    }
}

async fn a_deleted_tenant_is_gone(backend: Backend) {
    let world = World::new(backend).await;
    let acme = world.tenant("acme").await;
    let id = &acme.tenant_id;
    let now = world.later();
    let mut tx = world.begin().await;
    assert!(!tx.mark_tenant_deleted(id, Version(2), now).await.unwrap());
    assert!(tx.mark_tenant_deleted(id, Version(1), now).await.unwrap());
    for version in [Version(1), Version(2)] {
        assert!(!tx.mark_tenant_deleted(id, version, now).await.unwrap());
        let again = Tenant {
            version,
            ..acme.clone()
        };
        assert_eq!(tx.mark_tenant_changed(&again, now).await.unwrap(), None);
    }
    assert_eq!(tx.find_tenant(id).await.unwrap(), None);
    assert_eq!(tx.lock_tenant(id).await.unwrap(), None);
    assert_eq!(tx.mark_tenant_suspended(id, now).await.unwrap(), None);
    assert_eq!(tx.mark_tenant_resumed(id, now).await.unwrap(), None);
    assert!(tx.list_tenants(None, 10).await.unwrap().items.is_empty());
    world.commit(tx).await;
}

async fn prefixes_overlap_where_one_begins_the_other(backend: Backend) {
    let world = World::new(backend).await;
    let acme = world.tenant("acme").await;
    let gone = world.tenant("gone").await;
    let other = "other".parse().unwrap();
    let mut tx = world.begin().await;
    assert!(
        tx.mark_tenant_deleted(&gone.tenant_id, Version(1), world.now())
            .await
            .unwrap()
    );
    for (prefix, taken) in [
        ("acme_", true),
        ("acme_eu_", true),
        ("gone_", true),
        ("ac_", false),
        // An underscore is a character, not a wildcard.
        ("acmex-", false),
        ("acmexy_", false),
        ("acme-", false),
        ("b_", false),
    ] {
        let answer = tx.is_prefix_taken(&prefix.parse().unwrap(), &other).await;
        assert_eq!(answer.unwrap(), taken, "{prefix}");
    }
    let long = Tenant {
        tenant_id: "long".parse().unwrap(),
        prefix: "long-er_".parse().unwrap(),
        ..acme.clone()
    };
    assert!(tx.insert_tenant(&long).await.unwrap());
    let shorter = "long-".parse().unwrap();
    assert!(tx.is_prefix_taken(&shorter, &other).await.unwrap());
    // A tenant does not stand in its own way.
    assert!(!tx.is_prefix_taken(&shorter, &long.tenant_id).await.unwrap());
}

async fn a_change_writes_every_field_and_a_stale_one_nothing(backend: Backend) {
    let world = World::new(backend).await;
    let acme = world.tenant("acme").await;
    let now = world.later();
    let wanted = Tenant {
        display_name: String::from("Acme, renamed"),
        prefix: "acme-2_".parse().unwrap(),
        policy: strict_policy(),
        ..acme.clone()
    };
    let mut tx = world.begin().await;
    let changed = tx.mark_tenant_changed(&wanted, now).await.unwrap();
    let expected = Tenant {
        version: Version(2),
        updated_at: now,
        ..wanted.clone()
    };
    assert_eq!(changed.as_ref(), Some(&expected));
    // `wanted` bears version 1, which is past.
    assert_eq!(tx.mark_tenant_changed(&wanted, now).await.unwrap(), None);
    let future = Tenant {
        version: Version(3),
        ..wanted
    };
    assert_eq!(tx.mark_tenant_changed(&future, now).await.unwrap(), None);
    world.commit(tx).await;
    let found = world.snapshot().await.find_tenant(&acme.tenant_id).await;
    assert_eq!(found.unwrap(), Some(expected));
}

async fn a_tenant_is_suspended_and_resumed_once(backend: Backend) {
    let world = World::new(backend).await;
    let acme = world.tenant("acme").await;
    let bystander = world.tenant("bystander").await;
    let id = &acme.tenant_id;
    let mut tx = world.begin().await;
    let now = world.later();
    assert_eq!(tx.mark_tenant_resumed(id, now).await.unwrap(), None);
    let suspended = Tenant {
        version: Version(2),
        updated_at: now,
        suspended_at: Some(now),
        ..acme.clone()
    };
    let answer = tx.mark_tenant_suspended(id, now).await.unwrap();
    assert_eq!(answer.as_ref(), Some(&suspended));
    assert_eq!(
        tx.mark_tenant_suspended(id, world.later()).await.unwrap(),
        None
    );
    assert_eq!(tx.find_tenant(id).await.unwrap(), Some(suspended));
    let now = world.later();
    let resumed = Tenant {
        version: Version(3),
        updated_at: now,
        ..acme.clone()
    };
    let answer = tx.mark_tenant_resumed(id, now).await.unwrap();
    assert_eq!(answer.as_ref(), Some(&resumed));
    assert_eq!(tx.mark_tenant_resumed(id, now).await.unwrap(), None);
    let other = tx.find_tenant(&bystander.tenant_id).await.unwrap();
    assert_eq!(other, Some(bystander));
    world.commit(tx).await;
}

async fn a_locked_tenant_is_unchanged_and_nobody_elses(backend: Backend) {
    let world = World::new(backend).await;
    let acme = world.tenant("acme").await;
    world.later();
    assert!(!world.is_locked("tenants").await);
    let mut tx = world.begin().await;
    let locked = tx.lock_tenant(&acme.tenant_id).await.unwrap();
    assert_eq!(locked, Some(acme.clone()));
    assert!(world.is_locked("tenants").await);
    world.commit(tx).await;
    assert!(!world.is_locked("tenants").await);
    let found = world.snapshot().await.find_tenant(&acme.tenant_id).await;
    assert_eq!(found.unwrap(), Some(acme));
}

async fn tenants_are_listed_newest_first(backend: Backend) {
    let world = World::new(backend).await;
    let mut tenants = Vec::new();
    // Three of each age.
    for nth in [5, 1, 7, 2, 8, 3, 6, 0, 4] {
        tenants.push(world.tenant(&format!("tenant-{nth}")).await);
        if tenants.len() % 3 == 0 {
            world.later();
        }
    }
    let deleted = tenants.swap_remove(4);
    let mut tx = world.begin().await;
    assert!(
        tx.mark_tenant_deleted(&deleted.tenant_id, Version(1), world.now())
            .await
            .unwrap()
    );
    world.commit(tx).await;
    tenants.sort_by_key(|tenant| Reverse((tenant.created_at, tenant.tenant_id.clone())));
    for size in [1, 2, 3, 4, 8, 100] {
        let listed = pages(size, |after| {
            let world = &world;
            async move {
                let mut tx = world.snapshot().await;
                tx.list_tenants(after, size).await.unwrap()
            }
        })
        .await;
        assert_eq!(listed, tenants, "in pages of {size}");
    }
}
