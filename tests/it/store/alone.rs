//! One process that holds the database alone, and one that wants to.

use std::time::Duration;

use token_authority::store::{Alone, Error, Location, PoolSettings, SecretUrl, Store};
use tokio::time::timeout;

use super::World;
use crate::support::{Backend, Relay, both_backends};

both_backends! {
    a_database_is_held_until_it_is_released,
}

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(30);

fn is_refused(held: Result<Alone, Error>) -> bool {
    match held {
        Err(Error::Held(why)) => why.contains("coherence.single_process"),
        other => panic!("not refused: {other:?}"),
    }
}

async fn a_database_is_held_until_it_is_released(backend: Backend) {
    let world = World::new(backend).await;
    let mut alone = world.store.hold_alone().await.unwrap();
    for _ in 0..3 {
        alone.beat().await.unwrap();
    }
    alone.release().await;
    let mut again = world.store.hold_alone().await.unwrap();
    again.beat().await.unwrap();
    world.tenant("acme").await;
}

#[tokio::test]
async fn another_process_is_refused_until_the_first_lets_go() {
    let world = World::new(Backend::Postgres).await;
    let other = world.database.open(2).await;
    let elsewhere = World::new(Backend::Postgres).await;
    let first = world.store.hold_alone().await.unwrap();
    assert!(is_refused(other.hold_alone().await));
    assert!(is_refused(world.store.hold_alone().await));
    // Another database of the same server is another.
    elsewhere.store.hold_alone().await.unwrap();
    first.release().await;
    let second = other.hold_alone().await.unwrap();
    assert!(is_refused(world.store.hold_alone().await));
    // What is dropped is let go by the server, once it notices.
    drop(second);
    let third = async {
        loop {
            match world.store.hold_alone().await {
                Ok(alone) => break alone,
                refused => assert!(is_refused(refused)),
            }
        }
    };
    timeout(PATIENCE, third)
        .await
        .unwrap()
        .beat()
        .await
        .unwrap();
}

#[tokio::test]
async fn who_lost_its_session_never_holds_by_it_again() {
    let world = World::new(Backend::Postgres).await;
    let other = world.database.open(2).await;
    let mut first = world.store.hold_alone().await.unwrap();
    first.beat().await.unwrap();
    world.database.end_holder().await;
    let mut second = other.hold_alone().await.unwrap();
    for _ in 0..3 {
        let beaten = first.beat().await;
        assert!(matches!(beaten, Err(Error::Unavailable(_))), "{beaten:?}");
    }
    second.beat().await.unwrap();
    assert!(is_refused(world.store.hold_alone().await));
    // What is left of the first releases nothing.
    first.release().await;
    assert!(is_refused(world.store.hold_alone().await));
    second.release().await;
    let mut third = world.store.hold_alone().await.unwrap();
    third.beat().await.unwrap();
}

#[tokio::test]
async fn a_beat_that_is_not_answered_fails_soon() {
    let (_database, relay) = Relay::new().await;
    let location = Location::Postgres(SecretUrl::new(relay.url.clone()));
    let store = Store::open(&location, PoolSettings::default())
        .await
        .unwrap();
    let mut alone = store.hold_alone().await.unwrap();
    alone.beat().await.unwrap();
    relay.silence();
    let beaten = timeout(PATIENCE, alone.beat()).await.unwrap();
    assert!(matches!(beaten, Err(Error::Unavailable(_))), "{beaten:?}");
    relay.resume();
    let beaten = alone.beat().await;
    assert!(matches!(beaten, Err(Error::Unavailable(_))), "{beaten:?}");
    timeout(PATIENCE, alone.release()).await.unwrap();
    // The server saw the session end.
    let again = async {
        loop {
            match store.hold_alone().await {
                Ok(alone) => break alone,
                refused => assert!(is_refused(refused)),
            }
        }
    };
    timeout(PATIENCE, again).await.unwrap();
}

#[tokio::test]
async fn a_session_that_was_lost_keeps_nobody_but_others_out() {
    let (database, relay) = Relay::new().await;
    let location = Location::Postgres(SecretUrl::new(relay.url.clone()));
    let open = async || Store::open(&location, PoolSettings::default()).await;
    let (store, other) = (open().await.unwrap(), database.open(2).await);
    let mut alone = store.hold_alone().await.unwrap();
    alone.beat().await.unwrap();
    relay.tear();
    let beaten = timeout(PATIENCE, alone.beat()).await.unwrap();
    assert!(matches!(beaten, Err(Error::Unavailable(_))), "{beaten:?}");
    relay.resume();
    // The server takes it to be there, and nobody else gets what it has.
    assert!(is_refused(other.hold_alone().await));
    for _ in 0..2 {
        let beaten = alone.beat().await;
        assert!(matches!(beaten, Err(Error::Unavailable(_))), "{beaten:?}");
    }
    // It is this process's own: no other has changed anything meanwhile.
    let mut again = store.hold_alone().await.unwrap();
    again.beat().await.unwrap();
    assert!(is_refused(other.hold_alone().await));
    assert!(is_refused(store.hold_alone().await));
    again.release().await;
    let mut second = other.hold_alone().await.unwrap();
    second.beat().await.unwrap();
    // What was lost once ends nobody else's.
    assert!(is_refused(store.hold_alone().await));
    second.beat().await.unwrap();
}
