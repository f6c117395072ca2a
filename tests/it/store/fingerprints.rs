//! Fingerprints, and the keys that they are under.

use token_authority::domain::change::Change;
use token_authority::domain::fingerprint::{Fingerprint, KeyId};

use super::World;
use crate::support::{Backend, both_backends};

both_backends! {
    a_fingerprint_is_written_over_the_one_that_was_read,
    fingerprint_keys_are_counted,
}

async fn a_fingerprint_is_written_over_the_one_that_was_read(backend: Backend) {
    let world = World::new(backend).await;
    let acme = world.tenant("acme").await.tenant_id;
    let (token, secret) = world.draft(&acme, None, "token");
    world.insert(&token, &secret).await;
    let (old, _) = secret.fingerprint.clone();
    let new = (KeyId(String::from("0002")), Fingerprint::from([2; 32]));
    let mut tx = world.begin().await;
    for (replaced, expected) in [(None, false), (Some(&old), true), (Some(&old), false)] {
        let written = tx
            .record_fingerprint(secret.secret_id, &new, replaced)
            .await;
        assert_eq!(written.unwrap(), expected, "over {replaced:?}");
    }
    world.commit(tx).await;
    let found = world.store.find_record_by_lookup(&secret.lookup).await;
    let (_, verifier) = found.unwrap().record.unwrap();
    assert_eq!(verifier.fingerprint, Some(new.clone()));

    world
        .database
        .execute("UPDATE secrets SET fingerprint = NULL, fingerprint_key = NULL")
        .await;
    let mut tx = world.begin().await;
    for (replaced, expected) in [(Some(&new.0), false), (None, true), (None, false)] {
        let written = tx
            .record_fingerprint(secret.secret_id, &new, replaced)
            .await;
        assert_eq!(written.unwrap(), expected, "over {replaced:?}");
    }
    world.commit(tx).await;
}

async fn fingerprint_keys_are_counted(backend: Backend) {
    let world = World::new(backend).await;
    let acme = world.tenant("acme").await.tenant_id;
    let mut tx = world.begin().await;
    assert_eq!(tx.list_fingerprint_keys().await.unwrap(), []);
    let mut changes = Vec::new();
    for (nth, key) in ["b", "a", "b", "none"].into_iter().enumerate() {
        let (token, mut secret) = world.draft(&acme, None, &format!("token {nth}"));
        secret.fingerprint.0 = KeyId(key.to_owned());
        tx.insert_token(&token, &secret).await.unwrap();
        changes.push(Change::TokenCreated(acme.clone(), token.token_id));
    }
    tx.close(&changes, &[], world.now()).await.unwrap();
    world
        .database
        .execute(
            "UPDATE secrets SET fingerprint = NULL, fingerprint_key = NULL
              WHERE fingerprint_key = 'none'",
        )
        .await;
    let keys = world
        .snapshot()
        .await
        .list_fingerprint_keys()
        .await
        .unwrap();
    let expected = [(KeyId(String::from("a")), 1), (KeyId(String::from("b")), 2)];
    assert_eq!(keys, expected);
}
