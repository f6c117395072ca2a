//! What decides over a presented value, in one look.

use std::sync::Arc;

use token_authority::domain::catalog::{Catalog, Scope};
use token_authority::domain::change::{Change, Version};
use token_authority::domain::ids::TokenId;
use token_authority::domain::introspection::Record;
use token_authority::domain::principal::Role;
use token_authority::domain::time::Timestamp;
use token_authority::domain::token::Token;
use token_authority::store::NewSecret;

use super::World;
use crate::support::{Backend, both_backends};

both_backends! {
    a_lookup_gives_all_that_decides,
    an_unknown_lookup_gives_the_head,
    a_service_tokens_record_has_no_owner,
    a_record_follows_tenant_user_and_membership,
    a_verifier_may_lack_a_fingerprint_and_may_end,
    head_and_record_are_of_one_snapshot,
}

async fn look(world: &World, secret: &NewSecret) -> Record {
    let found = world.store.find_record_by_lookup(&secret.lookup).await;
    let found = found.unwrap();
    assert_eq!(found.head, world.store.get_head().await.unwrap());
    let (record, verifier) = found.record.unwrap();
    assert_eq!(verifier.secret_id, secret.secret_id);
    assert_eq!(verifier.secret_hash, secret.secret_hash);
    // The other ways to the same record.
    let mut tx = world.snapshot().await;
    let same = tx.find_record_by_lookup(&secret.lookup).await.unwrap();
    assert_eq!(same.head, found.head);
    assert_eq!(
        format!("{:?}", same.record.unwrap()),
        format!("{:?}", (&record, &verifier))
    );
    let other = tx.find_record_by_token(record.token.token_id).await;
    assert_eq!(
        format!("{:?}", other.unwrap().unwrap()),
        format!("{record:?}")
    );
    record
}

async fn a_lookup_gives_all_that_decides(backend: Backend) {
    let world = World::new(backend).await;
    let acme = world.tenant("acme").await;
    let bystander = world.tenant("bystander").await.tenant_id;
    let alice = world.user(&acme.tenant_id, "alice").await.user_id;
    let mut catalog = Catalog::default();
    let scope = Scope {
        description: String::from("Reads"),
        implies: ["list".parse().unwrap()].into(),
        admins_only: true,
        forbidden_kinds: [].into(),
    };
    catalog.scopes.insert("read".parse().unwrap(), scope);
    let mut tx = world.begin().await;
    let now = world.later();
    let replaced = tx
        .mark_catalog_replaced(&acme.tenant_id, Version(1), &catalog, now)
        .await;
    assert!(replaced.unwrap().is_some());
    world.commit(tx).await;
    let (token, secret) = world.draft(&acme.tenant_id, Some(alice), "token");
    let (other, other_secret) = world.draft(&bystander, None, "other");
    let number = world.insert(&token, &secret).await;
    world.insert(&other, &other_secret).await;

    let found = world.store.find_record_by_lookup(&secret.lookup).await;
    let found = found.unwrap();
    assert_eq!(found.head.number.0, number.0 + 1);
    let (record, verifier) = found.record.unwrap();
    let expected = world.find(&acme.tenant_id, token.token_id).await;
    assert_eq!(record.token, expected);
    assert_eq!(record.token.created_number, number);
    assert_eq!(record.tenant.prefix, acme.prefix);
    assert!(!record.tenant.suspended && !record.tenant.deleted);
    assert_eq!(record.catalog, catalog);
    assert_eq!(verifier.secret_id, secret.secret_id);
    assert_eq!(verifier.secret_hash, secret.secret_hash);
    assert_eq!(verifier.fingerprint, Some(secret.fingerprint.clone()));
    assert_eq!(verifier.ends_at, None);
    look(&world, &secret).await;
    look(&world, &other_secret).await;
}

async fn an_unknown_lookup_gives_the_head(backend: Backend) {
    let world = World::new(backend).await;
    let acme = world.tenant("acme").await.tenant_id;
    let (_, unknown) = world.draft(&acme, None, "never inserted");
    for _ in ["at first", "after a change"] {
        let found = world.store.find_record_by_lookup(&unknown.lookup).await;
        let found = found.unwrap();
        assert!(found.record.is_none());
        assert_eq!(found.head, world.store.get_head().await.unwrap());
        let mut tx = world.snapshot().await;
        let same = tx.find_record_by_lookup(&unknown.lookup).await.unwrap();
        assert!(same.record.is_none());
        assert_eq!(same.head, found.head);
        drop(tx);
        world.token(&acme, None, "token").await;
    }
    let unknown = TokenId::mint(world.now(), &world.entropy).unwrap();
    let record = world.snapshot().await.find_record_by_token(unknown).await;
    assert!(record.unwrap().is_none());
}

async fn a_service_tokens_record_has_no_owner(backend: Backend) {
    let world = World::new(backend).await;
    let acme = world.tenant("acme").await.tenant_id;
    let (token, secret) = world.draft(&acme, None, "service");
    world.insert(&token, &secret).await;
    assert_eq!(look(&world, &secret).await.token.owner, None);
}

async fn a_record_follows_tenant_user_and_membership(backend: Backend) {
    let world = World::new(backend).await;
    let acme = world.tenant("acme").await.tenant_id;
    let alice = world.user(&acme, "alice").await.user_id;
    let (token, secret) = world.draft(&acme, Some(alice), "token");
    world.insert(&token, &secret).await;
    let now = world.later();
    let owner = |record: &Record| record.token.owner.clone().unwrap();
    let record = look(&world, &secret).await;
    assert_eq!(owner(&record).role, Some(Role::Member));
    assert_eq!(record.dead(now), None);

    let mut tx = world.begin().await;
    let suspended = tx.mark_user_suspended(alice, now).await.unwrap().unwrap();
    world.commit(tx).await;
    let record = look(&world, &secret).await;
    assert!(owner(&record).suspended && !owner(&record).deleted);

    let mut tx = world.begin().await;
    let removed = tx.mark_membership_removed(&acme, alice, now).await;
    assert!(removed.unwrap());
    world.commit(tx).await;
    let record = look(&world, &secret).await;
    assert_eq!(owner(&record).role, None);

    let mut tx = world.begin().await;
    let deleted = tx.mark_user_deleted(alice, suspended.version, now).await;
    assert!(deleted.unwrap().is_some());
    world.commit(tx).await;
    let record = look(&world, &secret).await;
    assert!(owner(&record).deleted);

    let mut tx = world.begin().await;
    let tenant = tx.mark_tenant_suspended(&acme, now).await.unwrap().unwrap();
    world.commit(tx).await;
    let record = look(&world, &secret).await;
    assert!(record.tenant.suspended && !record.tenant.deleted);

    let mut tx = world.begin().await;
    let deleted = tx.mark_tenant_deleted(&acme, tenant.version, now).await;
    assert!(deleted.unwrap());
    world.commit(tx).await;
    let record = look(&world, &secret).await;
    assert!(record.tenant.deleted);
}

async fn a_verifier_may_lack_a_fingerprint_and_may_end(backend: Backend) {
    let world = World::new(backend).await;
    let acme = world.tenant("acme").await.tenant_id;
    let (token, secret) = world.draft(&acme, None, "token");
    world.insert(&token, &secret).await;
    world
        .database
        .execute("UPDATE secrets SET fingerprint = NULL, fingerprint_key = NULL, ends_at = 7")
        .await;
    let found = world.store.find_record_by_lookup(&secret.lookup).await;
    let (_, verifier) = found.unwrap().record.unwrap();
    assert_eq!(verifier.fingerprint, None);
    assert_eq!(verifier.ends_at, Timestamp::from_millis(7));
}

async fn head_and_record_are_of_one_snapshot(backend: Backend) {
    let world = Arc::new(World::new(backend).await);
    let acme = world.tenant("acme").await.tenant_id;
    let (token, secret) = world.draft(&acme, None, "token");
    let created = world.insert(&token, &secret).await.0;
    // Each change adds one to the head and to the token's version.
    let writer = {
        let world = Arc::clone(&world);
        tokio::spawn(async move {
            for _ in 0..40 {
                let before = world.find(&acme, token.token_id).await;
                let changes = [Change::TokenChanged(acme.clone(), token.token_id)];
                let renamed = Token {
                    name: format!("after {}", before.version.0),
                    ..before
                };
                let mut tx = world.begin().await;
                assert!(tx.mark_token_changed(&renamed, world.now()).await.unwrap());
                tx.close(&changes, &[], world.now()).await.unwrap();
            }
        })
    };
    let mut heads = Vec::new();
    while !writer.is_finished() {
        let found = world.store.find_record_by_lookup(&secret.lookup).await;
        let found = found.unwrap();
        let (record, _) = found.record.unwrap();
        assert_eq!(found.head.number.0 - created, record.token.version.0 - 1);
        heads.push(found.head.number);
        let found = world
            .store
            .find_many(std::slice::from_ref(&secret.lookup))
            .await;
        let found = found.unwrap();
        let (known, _) = &found.records[0];
        assert_eq!(found.head.number.0 - created, known.token.version.0 - 1);
        heads.push(found.head.number);
    }
    writer.await.unwrap();
    assert!(heads.is_sorted());
    heads.dedup();
    assert!(heads.len() > 1, "nothing happened meanwhile: {heads:?}");
}
