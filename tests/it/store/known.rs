//! What is known of several values at once.

use std::collections::{BTreeMap, BTreeSet};

use token_authority::domain::catalog::{Catalog, Profile};
use token_authority::domain::change::{Change, Version};
use token_authority::domain::foreign::ValueKey;
use token_authority::domain::ids::TenantId;
use token_authority::domain::introspection::Verifier;
use token_authority::domain::value::Lookup;
use token_authority::store::{Found, FoundMany, Known};

use super::follow::import;
use super::rotation::rotate;
use super::{World, scopes};
use crate::support::{Backend, both_backends};

both_backends! {
    many_lookups_give_what_each_gives,
    unknown_lookups_give_the_head,
    imported_values_are_known_by_their_beginning,
    a_catalog_is_found_by_its_tenant,
}

fn same(one: &Found, known: &Known, verifier: &Verifier) {
    let (record, its) = one.record.as_ref().unwrap();
    assert_eq!(known.token, record.token);
    assert_eq!(
        format!("{:?} {verifier:?}", known.tenant),
        format!("{:?} {its:?}", record.tenant)
    );
}

async fn many_lookups_give_what_each_gives(backend: Backend) {
    let world = World::new(backend).await;
    let acme = world.tenant("acme").await.tenant_id;
    let other = world.tenant("other").await.tenant_id;
    let alice = world.user(&acme, "alice").await.user_id;
    let mut tx = world.begin().await;
    let now = world.later();
    let catalog = Catalog::default();
    let replaced = tx.mark_catalog_replaced(&acme, Version(1), &catalog, now);
    assert!(replaced.await.unwrap().is_some());
    world.commit(tx).await;
    let mut lookups = Vec::new();
    for number in 0..40 {
        let holder = match number % 3 {
            0 => (&acme, Some(alice)),
            1 => (&acme, None),
            _ => (&other, None),
        };
        let (mut token, secret) = world.draft(holder.0, holder.1, &format!("{number}"));
        token.scopes = scopes(&["read", "write"]);
        world.insert(&token, &secret).await;
        lookups.push(secret.lookup);
        if number % 7 == 0 {
            let token = world.find(holder.0, token.token_id).await;
            lookups.push(rotate(&world, &token, 5).await.1.lookup);
        }
    }
    world.draft(&acme, None, "never inserted");
    let head = world.store.get_head().await.unwrap();
    for most in [1, 2, 15, 16, 17, 33, lookups.len()] {
        let asked = &lookups[..most];
        let found = world.store.find_many(asked).await.unwrap();
        assert_eq!(found.head, head);
        assert_eq!(found.records.len(), most);
        let mut by_lookup = BTreeMap::new();
        for (known, verifier) in found.records {
            let ValueKey::Lookup(lookup) = &known.key else {
                panic!("{:?}", known.key)
            };
            by_lookup.insert(lookup.as_str().to_owned(), (known, verifier));
        }
        for lookup in asked {
            let (known, verifier) = by_lookup.remove(lookup.as_str()).unwrap();
            let one = world.store.find_record_by_lookup(lookup).await.unwrap();
            same(&one, &known, &verifier);
            let version = if known.token.tenant_id == acme { 2 } else { 1 };
            assert_eq!(known.catalog, Version(version));
        }
    }
}

async fn unknown_lookups_give_the_head(backend: Backend) {
    let world = World::new(backend).await;
    let acme = world.tenant("acme").await.tenant_id;
    let (token, secret) = world.draft(&acme, None, "token");
    let unknown: Vec<_> = (0..16)
        .map(|_| world.draft(&acme, None, "never inserted").1.lookup)
        .collect();
    let none = async |lookups: &[Lookup]| {
        let found = world.store.find_many(lookups).await.unwrap();
        assert!(found.records.is_empty());
        assert_eq!(found.head, world.store.get_head().await.unwrap());
    };
    none(&[]).await;
    none(&unknown).await;
    world.insert(&token, &secret).await;
    import(&world, &acme, "acme_0123").await;
    none(&[]).await;
    none(&unknown).await;
    let mixed = [&unknown[..5], &[secret.lookup], &unknown[5..9]].concat();
    let found = world.store.find_many(&mixed).await.unwrap();
    let [(known, _)] = &found.records[..] else {
        panic!("{found:?}")
    };
    assert_eq!(known.token.token_id, token.token_id);
    // Asked for twice, it is given once.
    let twice = [mixed[5].clone(), mixed[5].clone()];
    let found = world.store.find_many(&twice).await.unwrap();
    assert_eq!(found.records.len(), 1);
}

async fn imported_values_are_known_by_their_beginning(backend: Backend) {
    let world = World::new(backend).await;
    let acme = world.tenant("acme").await.tenant_id;
    let at = async |beginning| {
        let found = world.store.find_many_by_beginning(beginning).await;
        let found: FoundMany = found.unwrap();
        let others = world.store.find_records_by_beginning(beginning).await;
        let others = others.unwrap();
        assert_eq!(
            (&found.head, found.records.len()),
            (&others.head, others.records.len())
        );
        for (many, one) in found.records.iter().zip(others.records) {
            let one = Found {
                head: others.head.clone(),
                record: Some(one),
            };
            same(&one, &many.0, &many.1);
        }
        let keys = found.records.into_iter().map(|(known, _)| known.key);
        keys.collect::<Vec<_>>()
    };
    assert_eq!(at("acme_0123456789").await, []);
    // A value of this authority's own form is never found by its hint.
    let native = world.token(&acme, None, "native").await;
    for hint in ["acme_0123", "acme_0123", "acme_01234"] {
        import(&world, &acme, hint).await;
        world.later();
    }
    let hint = |text: &str| ValueKey::Hint(text.to_owned());
    assert_eq!(
        at("acme_0123456789").await,
        [hint("acme_0123"), hint("acme_0123"), hint("acme_01234")]
    );
    assert_eq!(at("acme_0123").await.len(), 2);
    assert_eq!(at("acme_012").await, []);
    assert_eq!(at(&native.hint).await, []);
}

async fn a_catalog_is_found_by_its_tenant(backend: Backend) {
    let world = World::new(backend).await;
    let acme = world.tenant("acme").await.tenant_id;
    let nobody: TenantId = "nobody".parse().unwrap();
    assert!(world.store.find_catalog(&nobody).await.unwrap().is_none());
    let found = world.store.find_catalog(&acme).await.unwrap().unwrap();
    assert_eq!(
        (found.version, found.catalog),
        (Version(1), Catalog::default())
    );
    let mut tx = world.begin().await;
    let mut catalog = Catalog::default();
    let profile = Profile {
        description: String::from("Reads"),
        scopes: BTreeSet::from(["read".parse().unwrap()]),
    };
    catalog.profiles.insert("reader".parse().unwrap(), profile);
    let replaced = tx.mark_catalog_replaced(&acme, Version(1), &catalog, world.later());
    assert!(replaced.await.unwrap().is_some());
    let changed = [Change::CatalogChanged(acme.clone())];
    tx.close(&changed, &[], world.now()).await.unwrap();
    let found = world.store.find_catalog(&acme).await.unwrap().unwrap();
    assert_eq!((found.version, found.catalog), (Version(2), catalog));
    assert_eq!(found.updated_at, world.now());
}
