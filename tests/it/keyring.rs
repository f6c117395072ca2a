//! Keys that come and go while values are presented: no introspection fails or
//! answers wrongly, and what bcrypt must do is bounded.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use token_authority::authority::Authority;

use crate::support::tokens::{altered, checked, own_id, wanted};
use crate::support::{Actor, Backend, Replica, TestServer, both_backends, self_service, shared};

both_backends!(
    keys_come_and_go_while_values_are_presented,
    what_is_no_key_leaves_the_ring_as_it_was,
    a_used_value_is_fingerprinted_anew_and_never_under_an_older_key,
    a_replica_leaves_when_it_stops,
);

/// A process, and who asks it.
struct Node {
    authority: Arc<Authority>,
    keyring: PathBuf,
    server: Actor,
    admin: Actor,
}

impl Node {
    /// Puts a key into the ring's directory.
    fn put(&self, name: &str, byte: u8) {
        let text = STANDARD.encode([byte; 32]);
        std::fs::write(file(&self.keyring, name), text).unwrap();
    }

    async fn reload(&self) {
        self.authority.reload_keyring().await.unwrap();
    }

    fn bcrypts(&self) -> u64 {
        self.authority.counters().bcrypt_verifications.get()
    }
}

fn file(keyring: &Path, name: &str) -> PathBuf {
    keyring.join(format!("{name}.key"))
}

/// Returns the names of the keys that values are fingerprinted with.
async fn keys(t: &TestServer, hints: &[String]) -> Vec<String> {
    let mut keys = Vec::new();
    for hint in hints {
        let sql = format!("SELECT fingerprint_key FROM secrets WHERE hint = '{hint}'");
        let key = t.database.texts(&sql).await.concat();
        keys.push(key.split('.').next().unwrap().to_owned());
    }
    keys
}

/// Asserts that the values are fingerprinted with this key.
async fn assert_all(t: &TestServer, values: &[(String, String)], name: &str) {
    let keys = keys(t, &hints(values)).await;
    assert!(keys.iter().all(|key| key == name), "{keys:?}");
}

/// Returns how many values are fingerprinted with a key.
async fn count(t: &TestServer, name: &str) -> u64 {
    let sql = format!("SELECT fingerprint_key FROM secrets WHERE fingerprint_key LIKE '{name}.%'");
    t.database.texts(&sql).await.len().try_into().unwrap()
}

/// Creates a token; returns its value and hint.
async fn create(admin: &Actor, name: &str) -> (String, String) {
    let created = admin.create(wanted(name, &[])).await;
    (created.value, created.token.unwrap().hint)
}

fn hints(values: &[(String, String)]) -> Vec<String> {
    values.iter().map(|(_, hint)| hint.clone()).collect()
}

/// Values that are presented to every node until told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    fn start(nodes: &[Node], values: &[(String, String)]) -> Self {
        let (stop, asked) = (Arc::default(), Arc::default());
        let mut load = Self {
            stop,
            asked,
            tasks: Vec::new(),
        };
        for node in nodes {
            let (server, values) = (node.server.clone(), values.to_vec());
            let (stop, asked) = (Arc::clone(&load.stop), Arc::clone(&load.asked));
            load.tasks.push(tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    for (value, _) in &values {
                        assert!(server.introspect("acme", value).await.active);
                        let wrong = checked(&altered(value, "acme_", 30));
                        assert!(!server.introspect("acme", &wrong).await.active);
                        asked.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }));
        }
        load
    }

    async fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
        assert!(self.asked.load(Ordering::Relaxed) > 0);
    }
}

fn nodes(t: &TestServer, replica: Option<&Replica>, server: &Actor, admin: &Actor) -> Vec<Node> {
    let mut nodes = vec![Node {
        authority: Arc::clone(&t.authority),
        keyring: t.keyring(),
        server: server.clone(),
        admin: admin.clone(),
    }];
    nodes.extend(replica.iter().map(|replica| Node {
        authority: Arc::clone(&replica.authority),
        keyring: replica.keyring.clone(),
        server: replica.actor(server.value()),
        admin: replica.actor(admin.value()),
    }));
    nodes
}

/// Presents each value to each node.
async fn present(nodes: &[Node], values: &[(String, String)]) {
    for node in nodes {
        for (value, _) in values {
            assert!(node.server.introspect("acme", value).await.active);
        }
    }
}

/// Presents each value to each node, many times at once, and a wrong one of its lookup.
async fn all_at_once(nodes: &[Node], values: &[(String, String)]) {
    let mut asking = Vec::new();
    for (value, _) in values {
        for node in nodes {
            for _ in 0..8 {
                let (server, value) = (node.server.clone(), value.clone());
                asking.push(tokio::spawn(async move {
                    assert!(server.introspect("acme", &value).await.active);
                }));
            }
        }
    }
    for asked in asking {
        asked.await.unwrap();
    }
    let wrong = checked(&altered(&values[0].0, "acme_", 30));
    for node in nodes {
        // What was learned of a value decides over others of its lookup, too.
        assert!(!node.server.introspect("acme", &wrong).await.active);
    }
}

/// On `PostgreSQL` two processes, else one.
async fn keys_come_and_go_while_values_are_presented(backend: Backend) {
    let mut t = TestServer::start_with(backend, shared).await;
    t.expect_alarms();
    let acme = t.tenant("acme", self_service()).await;
    let server = t.resource_server().await;
    let replica = match backend {
        Backend::Postgres => Some(t.replica().await),
        Backend::Sqlite => None,
    };
    let nodes = nodes(&t, replica.as_ref(), &server, &acme.admin);
    let (mut busy, mut idle) = (Vec::new(), Vec::new());
    for nth in 0..4 {
        busy.push(create(&acme.admin, &format!("busy {nth}")).await);
        idle.push(create(&acme.admin, &format!("idle {nth}")).await);
    }
    let load = Load::start(&nodes, &busy);

    // A key that one of two holds verifies there and is current nowhere.
    nodes[0].put("0002", 2);
    nodes[0].reload().await;
    nodes[0].reload().await;
    let expected = if nodes.len() > 1 { "0001" } else { "0002" };
    let first = create(&nodes[0].admin, "first").await;
    assert_eq!(keys(&t, &hints(&[first])).await, [expected]);
    let before = count(&t, "0002").await;

    // Once both hold it, it is current, at the latest one reload after.
    for node in &nodes {
        node.put("0002", 2);
        node.reload().await;
    }
    nodes[0].reload().await;
    let mut fresh = Vec::new();
    for (nth, node) in nodes.iter().enumerate() {
        fresh.push(create(&node.admin, &format!("fresh {nth}")).await);
    }
    assert_all(&t, &fresh, "0002").await;
    present(&nodes, &fresh).await;
    assert!(nodes.iter().all(|node| node.bcrypts() == 0));

    // What is used moves to the new key, each row once; what is not stays.
    present(&nodes, &busy).await;
    for node in &nodes {
        node.authority.flush_usage().await.unwrap();
    }
    assert_all(&t, &busy, "0002").await;
    assert_all(&t, &idle, "0001").await;
    let upgraded = |node: &Node| node.authority.counters().fingerprints_upgraded.get();
    let moved: u64 = nodes.iter().map(upgraded).sum();
    let made = before + u64::try_from(fresh.len()).unwrap();
    assert_eq!(moved, count(&t, "0002").await - made);

    // The old key goes: bcrypt covers what is under it, once a value and process.
    for node in &nodes {
        std::fs::remove_file(file(&node.keyring, "0001")).unwrap();
        node.reload().await;
    }
    let under = count(&t, "0001").await;
    let alarms = t.logs.alarms();
    let told = |line: &String| line.contains(&format!("rows={under}")) && line.contains("0001.");
    assert_eq!(alarms.iter().filter(|line| told(line)).count(), nodes.len());
    all_at_once(&nodes, &idle).await;
    for node in &nodes {
        assert!((1..=under).contains(&node.bcrypts()), "{}", node.bcrypts());
    }
    for node in &nodes {
        node.authority.flush_usage().await.unwrap();
    }
    assert_all(&t, &idle, "0002").await;
    let bcrypts: Vec<_> = nodes.iter().map(Node::bcrypts).collect();
    present(&nodes, &idle).await;
    load.end().await;
    assert_eq!(nodes.iter().map(Node::bcrypts).collect::<Vec<_>>(), bcrypts);
}

async fn what_is_no_key_leaves_the_ring_as_it_was(backend: Backend) {
    let mut t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let server = t.resource_server().await;
    let (value, hint) = create(&acme.admin, "token").await;
    let bad = file(&t.keyring(), "0002");
    std::fs::write(&bad, "c2VjcmV0LWJ1dC1zaG9ydA==").unwrap();
    let aside = t.keyring().with_extension("aside");
    let seen = "SELECT CAST(seen_at AS TEXT) FROM replicas";

    let error = t.authority.reload_keyring().await.unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(
        cause.contains("0002.key") && !cause.contains("c2Vj"),
        "{cause}"
    );
    std::fs::remove_file(&bad).unwrap();
    for directory_left in [true, false] {
        std::fs::rename(t.keyring(), &aside).unwrap();
        if directory_left {
            std::fs::create_dir(t.keyring()).unwrap();
        }
        let before = t.database.texts(seen).await;
        t.advance(Duration::from_secs(1));
        assert!(t.authority.reload_keyring().await.is_err());
        // It is there all the same, and says so to the others.
        assert_ne!(t.database.texts(seen).await, before);
        if directory_left {
            std::fs::remove_dir(t.keyring()).unwrap();
        }
        std::fs::rename(&aside, t.keyring()).unwrap();
    }
    assert!(server.introspect("acme", &value).await.active);
    let (_, later) = create(&acme.admin, "later").await;
    assert_eq!(keys(&t, &[hint, later]).await, ["0001", "0001"]);
    t.authority.reload_keyring().await.unwrap();
    assert!(server.introspect("acme", &value).await.active);
    assert_eq!(t.authority.counters().bcrypt_verifications.get(), 0);
    t.stop().await;
}

async fn a_used_value_is_fingerprinted_anew_and_never_under_an_older_key(backend: Backend) {
    let mut t = TestServer::start(backend).await;
    t.expect_alarms();
    let acme = t.tenant("acme", self_service()).await;
    let server = t.resource_server().await;
    let created = acme.admin.create(wanted("token", &[])).await;
    let hint = [created.token.clone().unwrap().hint];
    let put = |name: &str, byte| {
        let text = STANDARD.encode([byte; 32]);
        std::fs::write(file(&t.keyring(), name), text).unwrap();
    };
    let turn = async || {
        t.authority.reload_keyring().await.unwrap();
        assert!(server.introspect("acme", &created.value).await.active);
        // Before the flush nothing is written.
        let before = keys(&t, &hint).await;
        t.authority.flush_usage().await.unwrap();
        (before.concat(), keys(&t, &hint).await.concat())
    };
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    assert_eq!(turn().await, pair("0001", "0001"));
    put("0003", 3);
    assert_eq!(turn().await, pair("0001", "0003"));
    put("0002", 2);
    assert_eq!(turn().await, pair("0003", "0003"));
    // The current key is gone: the one before it is current, and takes no later one's
    // place.
    std::fs::remove_file(file(&t.keyring(), "0003")).unwrap();
    assert_eq!(turn().await, pair("0003", "0003"));
    // One of the value, one of the service's own.
    assert_eq!(t.authority.counters().bcrypt_verifications.get(), 2);
    let fresh = acme.admin.create(wanted("fresh", &[])).await;
    let fresh = [fresh.token.unwrap().hint];
    assert_eq!(keys(&t, &fresh).await, ["0002"]);
    assert_eq!(t.authority.counters().fingerprints_upgraded.get(), 2);
}

async fn a_replica_leaves_when_it_stops(backend: Backend) {
    let mut t = TestServer::start(backend).await;
    let all = "SELECT replica_id FROM replicas";
    let first = t.database.texts(all).await;
    assert_eq!((first.len(), first[0].len()), (1, 22));
    t.authority.reload_keyring().await.unwrap();
    assert_eq!(t.database.texts(all).await, first);
    t.restart(async |database, _| {
        assert_eq!(database.texts(all).await, [] as [String; 0]);
    })
    .await;
    let second = t.database.texts(all).await;
    assert_eq!(second.len(), 1);
    assert_ne!(second, first);
}

/// A row that a process left which can't have ended well.
async fn crashed(t: &TestServer) {
    t.database
        .execute(
            "INSERT INTO replicas (replica_id, keys, started_at, seen_at)
             SELECT 'crashed', keys, started_at, seen_at FROM replicas",
        )
        .await;
}

#[tokio::test]
async fn a_crashed_replica_is_waited_for_until_it_is_dead() {
    let mut t = TestServer::start(Backend::Postgres).await;
    let acme = t.tenant("acme", self_service()).await;
    crashed(&t).await;
    let text = STANDARD.encode([2; 32]);
    std::fs::write(file(&t.keyring(), "0002"), text).unwrap();
    let made_with = async |t: &TestServer, name: &str| {
        let (_, hint) = create(&t.actor(acme.admin.value()), name).await;
        keys(t, &[hint]).await.concat()
    };
    t.authority.reload_keyring().await.unwrap();
    assert_eq!(made_with(&t, "a").await, "0001");
    // Also by one that starts with both keys.
    t.restart(async |_, _| {}).await;
    assert_eq!(made_with(&t, "b").await, "0001");

    t.advance(Duration::from_secs(3 * 3600));
    t.authority.reload_keyring().await.unwrap();
    assert_eq!(made_with(&t, "c").await, "0001");
    t.advance(Duration::from_millis(1));
    t.authority.reload_keyring().await.unwrap();
    assert_eq!(made_with(&t, "d").await, "0002");
    let left = t.database.texts("SELECT replica_id FROM replicas").await;
    assert!(left.len() == 1 && left[0] != "crashed", "{left:?}");
}

#[tokio::test]
async fn what_a_crash_left_on_sqlite_is_nobody() {
    let t = TestServer::start(Backend::Sqlite).await;
    let acme = t.tenant("acme", self_service()).await;
    crashed(&t).await;
    let text = STANDARD.encode([2; 32]);
    std::fs::write(file(&t.keyring(), "0002"), text).unwrap();
    t.authority.reload_keyring().await.unwrap();
    let (_, hint) = create(&acme.admin, "token").await;
    assert_eq!(keys(&t, &[hint]).await, ["0002"]);
}

/// A server reloads and flushes by itself. Of what stays wrong it speaks once.
#[tokio::test]
async fn a_server_keeps_its_house_by_itself() {
    let mut t = TestServer::start_with(Backend::Sqlite, |config| {
        config.keyring.reload_seconds = 1;
        config.usage.flush_seconds = 1;
    })
    .await;
    t.expect_alarms();
    let acme = t.tenant("acme", self_service()).await;
    let bad = file(&t.keyring(), "0002");
    std::fs::write(&bad, "no key").unwrap();
    // What is waited for comes in a second or two; meanwhile the server is used.
    let until = async |what: &str, seen: &dyn Fn() -> bool| {
        let asking = async {
            while !seen() {
                // Of the uses within a second one is noted.
                t.advance(Duration::from_secs(1));
                own_id(&acme.admin).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(30), asking).await;
        assert!(waited.is_ok(), "{what}");
    };
    let logs = t.logs.clone();
    let told = |what: &str| logs.text().matches(what).count();
    until("a warning", &|| told("housekeeping fails") > 0).await;
    let written = || t.authority.counters().uses_written.get();
    let (before, warned) = (written(), told("housekeeping fails"));
    // Some turns of the other chore later there is no second warning.
    until("a flush", &|| written() > before + 2).await;
    assert_eq!((warned, told("housekeeping fails")), (1, 1));
    std::fs::remove_file(&bad).unwrap();
    until("an end of it", &|| told("housekeeping works again") > 0).await;
    let alarms = t.logs.alarms();
    assert_eq!(alarms.len(), 1, "{alarms:#?}");
    assert!(alarms[0].contains("0002.key: not 32 bytes in base64"));
}
