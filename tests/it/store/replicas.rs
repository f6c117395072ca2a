//! The processes that share a store.

use std::time::Duration;

use token_authority::domain::fingerprint::KeyId;
use token_authority::domain::time::Timestamp;
use token_authority::store::Replica;

use super::World;
use crate::support::{Backend, both_backends};

both_backends! {
    a_replica_comes_back_as_it_was_last_recorded,
    replicas_are_listed_and_deleted_by_when_they_were_seen,
}

fn replica(replica_id: &str, keys: &[&str], now: Timestamp) -> Replica {
    Replica {
        replica_id: replica_id.to_owned(),
        keys: keys.iter().map(|key| KeyId((*key).to_owned())).collect(),
        started_at: now,
        seen_at: now,
    }
}

async fn record(world: &World, replica: &Replica) {
    let mut tx = world.begin().await;
    tx.record_replica(replica).await.unwrap();
    world.commit(tx).await;
}

async fn listed(world: &World, since: Timestamp) -> Vec<Replica> {
    let mut tx = world.snapshot().await;
    tx.list_replicas_seen_since(since).await.unwrap()
}

async fn a_replica_comes_back_as_it_was_last_recorded(backend: Backend) {
    let world = World::new(backend).await;
    let start = world.now();
    let first = replica("a", &["0001.aa", "my key.bb", "100%.cc"], start);
    record(&world, &first).await;
    assert_eq!(listed(&world, start).await, [first]);
    let now = world.later();
    let again = Replica {
        seen_at: now,
        ..replica("a", &["0002.dd"], start)
    };
    record(&world, &again).await;
    // When it started is when it was first recorded.
    record(&world, &replica("b", &[], now)).await;
    assert_eq!(listed(&world, now).await, [again, replica("b", &[], now)]);
    let mut tx = world.begin().await;
    assert!(tx.delete_replica("a").await.unwrap());
    assert!(!tx.delete_replica("a").await.unwrap());
    world.commit(tx).await;
    assert_eq!(listed(&world, start).await, [replica("b", &[], now)]);
}

async fn replicas_are_listed_and_deleted_by_when_they_were_seen(backend: Backend) {
    let world = World::new(backend).await;
    let start = world.now();
    let at = |seconds| start.saturating_add(Duration::from_secs(seconds));
    for (replica_id, seconds) in [("c", 0), ("a", 1), ("b", 2)] {
        record(&world, &replica(replica_id, &["k"], at(seconds))).await;
    }
    let ids = async |since| {
        let all = listed(&world, since).await;
        let ids: Vec<_> = all.into_iter().map(|replica| replica.replica_id).collect();
        ids.concat()
    };
    assert_eq!(ids(at(0)).await, "abc");
    assert_eq!(ids(at(1)).await, "ab");
    assert_eq!(ids(at(3)).await, "");
    let mut tx = world.begin().await;
    assert_eq!(tx.delete_replicas_seen_before(at(0)).await.unwrap(), 0);
    assert_eq!(tx.delete_replicas_seen_before(at(2)).await.unwrap(), 2);
    world.commit(tx).await;
    assert_eq!(ids(at(0)).await, "b");
}
