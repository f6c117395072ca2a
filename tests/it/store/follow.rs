//! What is followed by a process that keeps answers in memory.

use token_authority::domain::change::{Change, ChangeNumber};
use token_authority::domain::fingerprint::SecretHash;
use token_authority::domain::foreign::ValueKey;
use token_authority::domain::ids::{SecretId, TenantId, TokenId};
use token_authority::domain::value::Lookup;
use token_authority::store::{Error, ImportedSecret, Logged};

use super::World;
use super::rotation::rotate;
use crate::support::{Backend, both_backends};

both_backends! {
    each_change_comes_with_the_keys_of_its_token,
    a_log_is_followed_by_numbers_and_with_its_head,
    what_this_program_never_logged_is_corrupt,
    all_keys_are_listed_page_by_page,
    the_lengths_of_hints_are_listed_by_prefix,
}

/// Imports a token in a change of its own, as imports are logged.
pub(super) async fn import(world: &World, tenant_id: &TenantId, hint: &str) -> TokenId {
    let (token, of_its_id_alone) = world.draft(tenant_id, None, hint);
    let secret = ImportedSecret {
        secret_id: of_its_id_alone.secret_id,
        hint: hint.to_owned(),
        secret_hash: SecretHash::new(String::from("$2b$04$")),
    };
    let mut tx = world.begin().await;
    tx.insert_imported_token(&token, &secret).await.unwrap();
    let length = i64::try_from(hint.len()).unwrap();
    tx.insert_hint_length(tenant_id, length).await.unwrap();
    let created = Change::TokensCreated(tenant_id.clone(), token.token_id);
    tx.close(&[created], &[], world.now()).await.unwrap();
    token.token_id
}

fn keys_of(lookups: &[&Lookup]) -> Vec<ValueKey> {
    let mut keys: Vec<_> = lookups.iter().map(|&lookup| lookup.clone()).collect();
    keys.sort_by(|a, b| a.as_str().cmp(b.as_str()));
    keys.into_iter().map(ValueKey::Lookup).collect()
}

fn logged(number: i64, change: Change, keys: Vec<ValueKey>) -> Logged {
    Logged {
        number: ChangeNumber(number),
        change,
        keys,
    }
}

async fn each_change_comes_with_the_keys_of_its_token(backend: Backend) {
    let world = World::new(backend).await;
    let acme = world.tenant("acme").await.tenant_id;
    let alice = world.user(&acme, "alice").await.user_id;
    let (token, first) = world.draft(&acme, Some(alice), "token");
    let (bystander, others) = world.draft(&acme, None, "bystander");
    world.insert(&token, &first).await;
    world.insert(&bystander, &others).await;
    let now = world.find(&acme, token.token_id).await;
    let (_, second) = rotate(&world, &now, 0).await;
    let imported = import(&world, &acme, "acme_0123").await;
    let tx = world.begin().await;
    let several = [
        Change::TokenChanged(acme.clone(), token.token_id),
        Change::UserChanged(alice),
        Change::TokenChanged(acme.clone(), imported),
        Change::MemberChanged(acme.clone(), alice),
        Change::CatalogChanged(acme.clone()),
    ];
    tx.close(&several, &[], world.now()).await.unwrap();

    let both = keys_of(&[&first.lookup, &second.lookup]);
    let hint = vec![ValueKey::Hint(String::from("acme_0123"))];
    let [
        token_changed,
        user_changed,
        import_changed,
        member_changed,
        catalog_changed,
    ] = several;
    let created = |token_id| Change::TokenCreated(acme.clone(), token_id);
    let mut expected = vec![
        logged(1, created(token.token_id), both.clone()),
        logged(2, created(bystander.token_id), keys_of(&[&others.lookup])),
        logged(3, token_changed.clone(), both.clone()),
        // Of many tokens at once the log names the first.
        logged(
            4,
            Change::TokensCreated(acme.clone(), imported),
            hint.clone(),
        ),
        logged(5, token_changed, both),
        logged(5, user_changed, vec![]),
        logged(5, import_changed, hint),
        logged(5, member_changed, vec![]),
        logged(5, catalog_changed, vec![]),
    ];
    let followed = world.store.follow(ChangeNumber(0), 100).await.unwrap();
    assert_eq!(followed.changes, expected);
    assert_eq!(followed.head, world.store.get_head().await.unwrap());
    let created = async |first, number| {
        let keys = world.store.list_created_keys(&acme, first, number);
        keys.await.unwrap()
    };
    let hint = vec![ValueKey::Hint(String::from("acme_0123"))];
    assert_eq!(created(imported, ChangeNumber(4)).await, hint);
    assert_eq!(created(imported, ChangeNumber(5)).await, []);

    // A token that is no more has no keys.
    world.database.execute("DELETE FROM secrets").await;
    for logged in &mut expected {
        logged.keys.clear();
    }
    let followed = world.store.follow(ChangeNumber(0), 100).await.unwrap();
    assert_eq!(followed.changes, expected);
}

async fn a_log_is_followed_by_numbers_and_with_its_head(backend: Backend) {
    let world = World::new(backend).await;
    let followed = world.store.follow(ChangeNumber(0), 10).await.unwrap();
    assert_eq!(followed.changes, []);
    assert_eq!(followed.head, world.store.get_head().await.unwrap());
    let acme: TenantId = "acme".parse().unwrap();
    let change = Change::CatalogChanged(acme.clone());
    for _ in 0..5 {
        let tx = world.begin().await;
        let both = [change.clone(), change.clone()];
        tx.close(&both, &[], world.now()).await.unwrap();
    }
    for (after, most, expected) in [
        (0, 10, &[1, 1, 2, 2, 3, 3, 4, 4, 5, 5][..]),
        (0, 1, &[1, 1]),
        (2, 2, &[3, 3, 4, 4]),
        (4, 9, &[5, 5]),
        (5, 9, &[]),
        (9, 9, &[]),
    ] {
        let followed = world.store.follow(ChangeNumber(after), most).await;
        let followed = followed.unwrap();
        let numbers: Vec<_> = followed.changes.iter().map(|one| one.number.0).collect();
        assert_eq!(numbers, expected, "{most} after {after}");
        assert_eq!(followed.head.number, ChangeNumber(5));
    }
}

async fn what_this_program_never_logged_is_corrupt(backend: Backend) {
    let world = World::new(backend).await;
    let acme = world.tenant("acme").await.tenant_id;
    world.token(&acme, None, "token").await;
    for (garbage, restore, expected) in [
        (
            "UPDATE changes SET kind = 'x'",
            "UPDATE changes SET kind = 'token_created'",
            ("changes", "kind"),
        ),
        (
            "UPDATE changes SET token_id = NULL",
            "UPDATE changes SET token_id = (SELECT token_id FROM tokens)",
            ("changes", "token_id"),
        ),
        (
            "UPDATE secrets SET lookup = 'x'",
            "UPDATE secrets SET lookup = '0123456789ab'",
            ("secrets", "lookup"),
        ),
        (
            "DELETE FROM log_head",
            "SELECT 1",
            ("log_head", "singleton"),
        ),
    ] {
        world.database.execute(garbage).await;
        let followed = world.store.follow(ChangeNumber(0), 1).await;
        let Err(Error::Corrupt { table, column }) = followed else {
            panic!("{garbage}: {followed:?}")
        };
        assert_eq!((table, column), expected);
        world.database.execute(restore).await;
    }
}

async fn all_keys_are_listed_page_by_page(backend: Backend) {
    let world = World::new(backend).await;
    let acme = world.tenant("acme").await.tenant_id;
    assert_eq!(world.snapshot().await.list_keys(None, 2).await.unwrap(), []);
    let mut expected = Vec::new();
    for number in 0..5 {
        let (token, secret) = world.draft(&acme, None, &format!("{number}"));
        world.insert(&token, &secret).await;
        expected.push(ValueKey::Lookup(secret.lookup));
        world.later();
        let hint = format!("acme_{number}123");
        import(&world, &acme, &hint).await;
        expected.push(ValueKey::Hint(hint));
        world.later();
    }
    let mut snapshot = world.snapshot().await;
    snapshot.get_head().await.unwrap();
    world.token(&acme, None, "later than the snapshot").await;
    for most in [1, 3, 10, 100] {
        let mut after: Option<SecretId> = None;
        let mut keys = Vec::new();
        loop {
            let page = snapshot.list_keys(after, most).await.unwrap();
            assert!(page.is_sorted_by_key(|(id, _)| *id));
            assert!(page.len() <= usize::try_from(most).unwrap());
            let Some((last, _)) = page.last() else { break };
            after = Some(*last);
            keys.extend(page.into_iter().map(|(_, key)| key));
        }
        assert_eq!(keys, expected, "{most} at once");
    }
}

async fn the_lengths_of_hints_are_listed_by_prefix(backend: Backend) {
    let world = World::new(backend).await;
    let (acme, other) = (world.tenant("acme").await, world.tenant("other").await);
    world.tenant("without").await;
    let list = async || world.snapshot().await.list_hint_lengths().await.unwrap();
    assert_eq!(list().await, []);
    import(&world, &other.tenant_id, "other_0123").await;
    import(&world, &acme.tenant_id, "acme_01234567").await;
    import(&world, &acme.tenant_id, "acme_0123").await;
    import(&world, &acme.tenant_id, "acme_9999").await;
    assert_eq!(
        list().await,
        [
            (acme.prefix.clone(), 9),
            (acme.prefix, 13),
            (other.prefix, 10)
        ]
    );
}
