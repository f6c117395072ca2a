//! A network to the database that loses what it is given and tells nobody: no call waits
//! for ever, and nothing is held for good.

use std::time::Duration;

use token_authority::domain::ids::TenantId;
use token_authority::pb;
use token_authority::store::{Error, Location, PoolSettings, SecretUrl, Store};
use tokio::time::timeout;

use crate::support::{Backend, Relay, TestServer, self_service};

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_silent_network_costs_the_store_no_connection_and_no_writers_place() {
    let (_database, relay) = Relay::new().await;
    let settings = PoolSettings {
        connections: 4,
        acquire_timeout: Duration::from_secs(2),
        answer_timeout: Duration::from_secs(1),
    };
    let location = Location::Postgres(SecretUrl::new(relay.url.clone()));
    let store = Store::open(&location, settings).await.unwrap();
    let acme = "acme".parse::<TenantId>().unwrap();
    let used = || {
        let connections = store.connections();
        (connections.in_use, connections.writers)
    };
    let transactions = async || {
        let (first, second) = (store.begin().await, store.begin().await);
        let (third, fourth) = (store.snapshot().await, store.snapshot().await);
        [first, second, third, fourth].map(Result::unwrap)
    };

    let begun = transactions().await;
    assert_eq!(used(), (4, 2));
    relay.silence();
    let asking = async {
        for mut tx in begun {
            let asked = tx.find_tenant(&acme).await;
            assert!(matches!(asked, Err(Error::Unavailable(_))), "{asked:?}");
        }
        // Those that come now.
        let (writer, asked) = (store.begin().await, store.get_head().await);
        assert!(matches!(writer, Err(Error::Unavailable(_))), "{writer:?}");
        assert!(matches!(asked, Err(Error::Unavailable(_))), "{asked:?}");
    };
    timeout(PATIENCE, asking).await.unwrap();

    relay.resume();
    let back = async {
        while used() != (0, 0) {
            tokio::task::yield_now().await;
        }
        for mut tx in transactions().await {
            assert!(tx.find_tenant(&acme).await.unwrap().is_none());
        }
    };
    timeout(PATIENCE, back).await.unwrap();
}

#[tokio::test]
async fn calls_that_end_while_the_network_is_silent_leave_their_connections() {
    let (_database, relay) = Relay::new().await;
    let url = relay.url.clone();
    let mut t = TestServer::start_with(Backend::Postgres, |config| {
        config.database.url = Some(url.into());
    })
    .await;
    t.expect_alarms();
    let acme = t.tenant("acme", self_service()).await;
    relay.silence();
    let mut asking = Vec::new();
    for _ in 0..20 {
        let mut call = acme.admin.call(pb::ListTokensRequest {
            tenant_id: "acme".into(),
            ..Default::default()
        });
        let deadline = "500m".parse().unwrap();
        call.metadata_mut().insert("grpc-timeout", deadline);
        let mut tokens = acme.admin.tokens();
        asking.push(tokio::spawn(async move { tokens.list_tokens(call).await }));
    }
    for asked in asking {
        asked.await.unwrap().unwrap_err();
    }
    relay.resume();
    t.scrape_until("given back", |scrape| {
        scrape.of("store_connections{use=\"in_use\"}") == 0 && scrape.of("ready") == 1
    })
    .await;
    acme.admin.issue("laptop", &[]).await;
}
