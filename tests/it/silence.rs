//! A network to the database that loses what it is given and tells nobody: no call waits
//! for ever, nothing is held for good, and the program ends.

use std::time::Duration;

use token_authority::domain::ids::TenantId;
use token_authority::pb;
use token_authority::pb::tenant_service_client::TenantServiceClient;
use token_authority::store::{Error, Location, PoolSettings, SecretUrl, Store};
use tokio::time::timeout;

use crate::support::{Backend, Installation, Relay, TestServer, self_service};

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

// The relay goes on while the test waits for the program.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_hangs_in_the_database_does_not_hold_the_end() {
    let installation = Installation::new(Backend::Postgres).await;
    let relay = Relay::to(&installation.database);
    for signals in [1, 2] {
        relay.resume();
        let grace = if signals == 1 { "1" } else { "3600" };
        let (program, address) = installation.start(&[
            ("TOKEN_AUTHORITY_DATABASE__URL", &relay.url),
            ("TOKEN_AUTHORITY_SERVER__GRACE_SECONDS", grace),
        ]);
        let mut raw = installation.database.raw().await;
        raw.execute("BEGIN; LOCK TABLE audit_events IN ACCESS EXCLUSIVE MODE")
            .await
            .unwrap();
        let channel = super::lifecycle::channel(&address).await;
        let mut call = tonic::Request::new(pb::CreateTenantRequest {
            tenant_id: format!("acme-{signals}"),
            token_prefix: format!("acme{signals}_"),
            ..Default::default()
        });
        let bearer = format!("Bearer {}", installation.operator());
        call.metadata_mut()
            .insert("authorization", bearer.parse().unwrap());
        let mut tenants = TenantServiceClient::new(channel);
        let changing = tokio::spawn(async move { tenants.create_tenant(call).await });
        let waiting = "SELECT 'waits' FROM pg_locks WHERE NOT granted";
        while raw.texts(waiting).await.is_empty() {
            tokio::task::yield_now().await;
        }
        relay.silence();
        program.terminate();
        let program = super::lifecycle::until(program, "health says not serving").await;
        if signals == 2 {
            program.terminate();
        }
        let (code, said) = program.ended().await;
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("the call was cut"), "{said}");
        let why = ["1 call(s) in flight outlasted", "told to stop twice"];
        assert!(said.contains(why[signals - 1]), "{said}");
        changing.await.unwrap().unwrap_err();
        raw.close().await;
    }
}
