//! Connections that are lent again without a question.

use std::time::Duration;

use token_authority::domain::change::Change;
use tokio::time::timeout;

use super::World;
use super::changes::cut_off;
use crate::support::{Backend, Database, both_backends};

both_backends! {
    connections_that_nobody_uses_are_idle,
    a_beginning_that_is_given_up_leaves_nothing_begun,
}

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(30);

const END_ALL: &str = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
                        WHERE datname = current_database() AND pid <> pg_backend_pid()";

/// Waits until nobody uses a connection.
async fn until_idle(world: &World) {
    let idle = async {
        while world.store.connections().in_use > 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, idle).await.unwrap();
}

async fn connections_that_nobody_uses_are_idle(backend: Backend) {
    let world = World::with_connections(backend, 4).await;
    let acme = world.tenant("acme").await.tenant_id;
    until_idle(&world).await;
    let before = world.store.connections();
    for _ in 0..20 {
        world.store.get_head().await.unwrap();
        let mut snapshot = world.snapshot().await;
        assert!(snapshot.find_tenant(&acme).await.unwrap().is_some());
        drop(snapshot);
        until_idle(&world).await;
    }
    // One is enough for whoever asks one thing after the other.
    assert_eq!(world.store.connections(), before);
    let held = [world.snapshot().await, world.snapshot().await];
    assert_eq!(world.store.connections().in_use, 2);
    drop(held);
    until_idle(&world).await;
}

async fn a_beginning_that_is_given_up_leaves_nothing_begun(backend: Backend) {
    let world = World::with_connections(backend, 2).await;
    let acme = world.tenant("acme").await.tenant_id;
    for polls in 0..12 {
        drop(cut_off(polls, world.store.begin()).await);
        drop(cut_off(polls, world.store.snapshot()).await);
        drop(cut_off(polls, world.store.get_head()).await);
        // More of each than there are connections.
        for _ in 0..3 {
            let tx = world.begin().await;
            let changed = [Change::CatalogChanged(acme.clone())];
            let closed = tx.close(&changed, &[], world.now()).await.unwrap();
            assert_eq!(world.store.get_head().await.unwrap(), closed);
            let head = world.snapshot().await.get_head().await;
            assert_eq!(head.unwrap(), closed);
        }
    }
    until_idle(&world).await;
}

/// What nobody was using when the server ended it is no reason to refuse anybody.
#[tokio::test]
async fn sessions_that_end_unused_fail_no_call() {
    let world = World::with_connections(Backend::Postgres, 4).await;
    let acme = world.tenant("acme").await.tenant_id;
    for _ in 0..3 {
        // As many connections as there may be.
        drop([
            world.snapshot().await,
            world.snapshot().await,
            world.snapshot().await,
            world.snapshot().await,
        ]);
        until_idle(&world).await;
        world.database.execute(END_ALL).await;
        let head = world.store.get_head().await.unwrap();
        world.database.execute(END_ALL).await;
        let mut snapshot = world.snapshot().await;
        assert_eq!(snapshot.get_head().await.unwrap(), head);
        drop(snapshot);
        until_idle(&world).await;
        world.database.execute(END_ALL).await;
        let tx = world.begin().await;
        let changed = [Change::CatalogChanged(acme.clone())];
        let closed = tx.close(&changed, &[], world.now()).await.unwrap();
        assert_eq!(closed.number.0, head.number.0 + 1);
    }
}

#[test]
fn a_store_may_outlive_its_runtime() {
    for backend in [Backend::Sqlite, Backend::Postgres] {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let kept = runtime.block_on(async {
            let database = Database::new(backend).await;
            let store = database.open(2).await;
            store.insert_head(super::INCARNATION).await.unwrap();
            store.get_head().await.unwrap();
            (store, database)
        });
        drop(runtime);
        drop(kept.0);
    }
}
