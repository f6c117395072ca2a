//! The log of changes, and what a transaction leaves behind.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use token_authority::domain::change::{Change, ChangeNumber, Revision, Version};
use token_authority::domain::ids::{TenantId, TokenId};
use token_authority::domain::principal::Role;
use token_authority::domain::time::Clock as _;
use token_authority::domain::token::RevokeReason;
use token_authority::store::{Epoch, Error};

use super::{INCARNATION, World};
use crate::support::{Backend, Database, both_backends};

both_backends! {
    a_store_keeps_its_first_incarnation,
    a_store_without_a_head_answers_nothing,
    without_a_change_no_number_is_taken,
    each_change_comes_back_in_order,
    a_created_token_bears_its_changes_number,
    a_rollback_leaves_nothing,
    a_snapshot_stays_as_it_began,
    a_snapshot_writes_nothing,
    numbers_are_gapless_and_in_commit_order,
}

fn revision(number: i64) -> Revision {
    Revision {
        incarnation: INCARNATION.to_owned(),
        number: ChangeNumber(number),
    }
}

async fn a_store_keeps_its_first_incarnation(backend: Backend) {
    let world = World::new(backend).await;
    assert_eq!(world.store.get_head().await.unwrap(), revision(0));
    let other = "z".repeat(22);
    world.store.insert_head(&other).await.unwrap();
    assert_eq!(world.store.get_head().await.unwrap(), revision(0));
    let head = world.snapshot().await.get_head().await;
    assert_eq!(head.unwrap(), revision(0));
}

async fn a_store_without_a_head_answers_nothing(backend: Backend) {
    let database = Database::new(backend).await;
    let store = database.open(2).await;
    assert!(store.get_head().await.is_err());
    let mut tx = store.begin().await.unwrap();
    let head = tx.get_head().await;
    assert!(matches!(head, Err(Error::Corrupt { .. })), "{head:?}");
    let now = crate::support::ManualClock::new().now();
    let closed = tx.close(&[Change::TenantChanged(acme())], &[], now).await;
    assert!(matches!(closed, Err(Error::Corrupt { .. })), "{closed:?}");
}

fn acme() -> TenantId {
    "acme".parse().unwrap()
}

async fn without_a_change_no_number_is_taken(backend: Backend) {
    let world = World::new(backend).await;
    let mut tx = world.begin().await;
    assert!(tx.insert_tenant(&world.draft_tenant("acme")).await.unwrap());
    let closed = tx.close(&[], &[], world.now()).await.unwrap();
    assert_eq!(closed, revision(0));
    let mut tx = world.snapshot().await;
    assert!(tx.find_tenant(&acme()).await.unwrap().is_some());
    let changes = tx.list_changes(ChangeNumber(0), 10).await.unwrap();
    assert_eq!(changes, []);
}

async fn each_change_comes_back_in_order(backend: Backend) {
    let world = World::new(backend).await;
    let token = TokenId::mint(world.now(), &world.entropy).unwrap();
    let user = world.draft_user(&acme(), "alice").user_id;
    let several = [
        Change::CatalogChanged(acme()),
        Change::TokenChanged(acme(), token),
        Change::UserChanged(user),
        Change::TokenCreated(acme(), token),
        Change::MemberChanged(acme(), user),
        Change::TenantChanged(acme()),
    ];
    let one = [Change::UserChanged(user)];
    for (number, changes) in [(1, &several[..]), (2, &one), (3, &several)] {
        let tx = world.begin().await;
        let closed = tx.close(changes, &[], world.later()).await.unwrap();
        assert_eq!(closed, revision(number));
        assert_eq!(world.store.get_head().await.unwrap(), closed);
    }
    let with = |number, changes: &[Change]| {
        let number = ChangeNumber(number);
        changes
            .iter()
            .map(|change| (number, change.clone()))
            .collect::<Vec<_>>()
    };
    let all = [with(1, &several), with(2, &one), with(3, &several)].concat();
    let mut tx = world.snapshot().await;
    for (after, most, expected) in [
        (0, 100, &all[..]),
        (0, 3, &all),
        (0, 2, &all[..7]),
        (0, 1, &all[..6]),
        (1, 1, &all[6..7]),
        (1, 100, &all[6..]),
        (2, 100, &all[7..]),
        (3, 100, &[]),
    ] {
        let listed = tx.list_changes(ChangeNumber(after), most).await.unwrap();
        assert_eq!(listed, expected, "{most} after {after}");
    }
    drop(tx);
    let times = world
        .database
        .texts("SELECT DISTINCT CAST(created_at AS TEXT) FROM changes WHERE number = 3")
        .await;
    assert_eq!(times, [world.now().millis().to_string()]);
}

async fn a_created_token_bears_its_changes_number(backend: Backend) {
    let world = World::new(backend).await;
    let tenant_id = world.tenant("acme").await.tenant_id;
    for expected in 1..=3 {
        let mut tx = world.begin().await;
        let mut changes = vec![Change::TenantChanged(tenant_id.clone())];
        let mut tokens = Vec::new();
        for name in ["first", "second"] {
            let (token, secret) = world.draft(&tenant_id, None, name);
            tx.insert_token(&token, &secret).await.unwrap();
            changes.push(Change::TokenCreated(tenant_id.clone(), token.token_id));
            tokens.push(token.token_id);
        }
        let closed = tx.close(&changes, &[], world.now()).await.unwrap();
        assert_eq!(closed, revision(expected));
        for token_id in tokens {
            let token = world.find(&tenant_id, token_id).await;
            assert_eq!(token.created_number, ChangeNumber(expected));
        }
    }
    // A later change of a token leaves it.
    let token = world.token(&tenant_id, None, "token").await;
    world.revoke(&token).await;
    let revoked = world.find(&tenant_id, token.token_id).await;
    assert_eq!(revoked.created_number, token.created_number);
}

async fn a_rollback_leaves_nothing(backend: Backend) {
    let world = World::new(backend).await;
    let tenant_id = world.tenant("acme").await.tenant_id;
    let alice = world.user(&tenant_id, "alice").await;
    let token = world.token(&tenant_id, Some(alice.user_id), "token").await;
    let head = world.store.get_head().await.unwrap();
    let now = world.later();

    let mut tx = world.begin().await;
    let other = world.draft_tenant("other");
    assert!(tx.insert_tenant(&other).await.unwrap());
    tx.insert_catalog(&other.tenant_id, now).await.unwrap();
    let bob = world.draft_user(&tenant_id, "bob");
    assert!(tx.insert_user(&bob).await.unwrap().is_some());
    let joined = tx
        .insert_membership(&tenant_id, bob.user_id, Role::Member, now)
        .await;
    assert!(joined.unwrap().is_some());
    let (draft, secret) = world.draft(&tenant_id, Some(bob.user_id), "draft");
    tx.insert_token(&draft, &secret).await.unwrap();
    let reason = RevokeReason::Unspecified;
    assert!(
        tx.mark_token_revoked(&token, reason, "", now)
            .await
            .unwrap()
    );
    let suspended = tx.mark_user_suspended(alice.user_id, now).await;
    assert!(suspended.unwrap().is_some());
    let deleted = tx.mark_tenant_deleted(&tenant_id, Version(1), now).await;
    assert!(deleted.unwrap());
    drop(tx);

    let mut tx = world.snapshot().await;
    assert_eq!(tx.get_head().await.unwrap(), head);
    assert_eq!(tx.find_tenant(&other.tenant_id).await.unwrap(), None);
    assert!(tx.get_catalog(&other.tenant_id).await.is_err());
    assert_eq!(tx.find_user(bob.user_id).await.unwrap(), None);
    let member = tx.find_membership(&tenant_id, bob.user_id).await;
    assert_eq!(member.unwrap(), None);
    let found = tx.find_token(&tenant_id, draft.token_id).await;
    assert_eq!(found.unwrap(), None);
    assert_eq!(tx.find_user(alice.user_id).await.unwrap(), Some(alice));
    assert!(tx.find_tenant(&tenant_id).await.unwrap().is_some());
    drop(tx);
    assert_eq!(world.find(&tenant_id, token.token_id).await, token);
    let found = world.store.find_record_by_lookup(&secret.lookup).await;
    assert!(found.unwrap().record.is_none());
    // Nor was a number taken.
    let number = world.revoke_all(&[]).await;
    assert_eq!(number.0, head.number.0 + 1);
}

async fn a_snapshot_stays_as_it_began(backend: Backend) {
    let world = World::new(backend).await;
    let tenant = world.tenant("acme").await;
    let token = world.token(&tenant.tenant_id, None, "token").await;
    let mut old = world.snapshot().await;
    let head = old.get_head().await.unwrap();

    let mut tx = world.begin().await;
    let now = world.later();
    let suspended = tx.mark_tenant_suspended(&tenant.tenant_id, now).await;
    let suspended = suspended.unwrap().unwrap();
    let changes = [Change::TenantChanged(tenant.tenant_id.clone())];
    let epochs = [Epoch {
        tenant_id: Some(tenant.tenant_id.clone()),
        user_id: None,
        kind: None,
        reason: RevokeReason::Administrative,
        text: String::new(),
    }];
    let closed = tx.close(&changes, &epochs, now).await.unwrap();
    world.tenant("other").await;

    let mut new = world.snapshot().await;
    for (tx, head, tenant, tenants, changes, revoked) in [
        (&mut old, head, tenant, 1, 1, false),
        (&mut new, closed, suspended, 2, 2, true),
    ] {
        assert_eq!(tx.get_head().await.unwrap(), head);
        let found = tx.find_tenant(&tenant.tenant_id).await.unwrap();
        assert_eq!(found.as_ref(), Some(&tenant));
        let page = tx.list_tenants(None, 10).await.unwrap();
        assert_eq!(page.items.len(), tenants);
        let listed = tx.list_changes(ChangeNumber(0), 10).await.unwrap();
        assert_eq!(listed.len(), changes);
        let record = tx.find_record_by_token(token.token_id).await;
        let record = record.unwrap().unwrap();
        assert_eq!(record.token.revocation.is_some(), revoked);
    }
}

async fn a_snapshot_writes_nothing(backend: Backend) {
    let world = World::new(backend).await;
    let tenant = world.tenant("acme").await;
    let mut tx = world.snapshot().await;
    let written = tx
        .mark_tenant_suspended(&tenant.tenant_id, world.now())
        .await;
    // As from a server that became a standby: a later try may find the primary.
    assert!(matches!(written, Err(Error::Unavailable(_))), "{written:?}");
}

/// Polls a future at most so many times, and drops it when that was not enough.
pub(super) async fn cut_off<F: Future>(polls: u32, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        future.as_mut().poll(context).map(Some)
    })
    .await
}

async fn numbers_are_gapless_and_in_commit_order(backend: Backend) {
    const WRITERS: u32 = 12;
    const ROUNDS: u32 = 12;
    let world = Arc::new(World::with_connections(backend, WRITERS + 2).await);
    let tenant_id = world.tenant("acme").await.tenant_id;
    let writers = (0..WRITERS).map(|writer| {
        let (world, tenant_id) = (Arc::clone(&world), tenant_id.clone());
        tokio::spawn(async move {
            let mut numbers = Vec::new();
            for round in 0..ROUNDS {
                let user = world.draft_user(&tenant_id, &format!("{writer}-{round}"));
                let mut tx = world.begin().await;
                assert!(tx.insert_user(&user).await.unwrap().is_some());
                let changes = [
                    Change::UserChanged(user.user_id),
                    Change::MemberChanged(tenant_id.clone(), user.user_id),
                ];
                let close = tx.close(&changes, &[], world.now());
                match (writer + round) % 4 {
                    0 => drop(close),
                    // Somewhere between the first statement and the commit.
                    1 => drop(cut_off(round + 1, close).await),
                    _ => numbers.push(close.await.unwrap().number.0),
                }
            }
            numbers
        })
    });
    let writers: Vec<_> = writers.collect();
    let done = Arc::new(AtomicBool::new(false));
    let reader = {
        let (world, done) = (Arc::clone(&world), Arc::clone(&done));
        tokio::spawn(async move {
            let mut snapshots = 0;
            while !done.load(Ordering::SeqCst) {
                let mut tx = world.snapshot().await;
                let head = tx.get_head().await.unwrap().number.0;
                let changes = tx.list_changes(ChangeNumber(0), 10_000).await.unwrap();
                let seen: Vec<_> = changes.iter().map(|(number, _)| number.0).collect();
                // Two rows for each number up to the head, and none beyond it.
                let expected: Vec<_> = (1..=head).flat_map(|n| [n, n]).collect();
                assert_eq!(seen, expected);
                snapshots += 1;
            }
            snapshots
        })
    };
    let mut numbers = Vec::new();
    for writer in writers {
        let of_one = writer.await.unwrap();
        assert!(of_one.is_sorted_by(|a, b| a < b), "{of_one:?}");
        numbers.extend(of_one);
    }
    done.store(true, Ordering::SeqCst);
    assert!(reader.await.unwrap() > 1);

    let told = numbers.len();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), told, "a number was given twice");
    // What was cut off happened wholly or not at all.
    let head = world.store.get_head().await.unwrap().number.0;
    let count = "SELECT CAST(COUNT(*) AS TEXT) FROM users";
    let users = world.database.texts(count).await;
    assert_eq!(users, [head.to_string()]);
    let changes = "SELECT CAST(c.number AS TEXT) FROM changes c
                    WHERE c.position = 0 ORDER BY c.number";
    let logged = world.database.texts(changes).await;
    let expected: Vec<_> = (1..=head).map(|number| number.to_string()).collect();
    assert_eq!(logged, expected);
}
