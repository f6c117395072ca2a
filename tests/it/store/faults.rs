//! What the store says of a database that is away, in the way or wrong. None of it
//! is ever taken for absence.

use std::time::Duration;

use token_authority::domain::change::{Change, ChangeNumber};
use token_authority::domain::principal::Role;
use token_authority::domain::token::{RevokeReason, State};
use token_authority::store::{
    Epoch, Error, Listed, Location, NewSecret, NewToken, PoolSettings, SecretUrl, Store,
    TokenFilter,
};

use super::World;
use crate::support::{Backend, Database, both_backends};

both_backends! {
    garbage_in_a_tokens_record_is_corrupt,
    garbage_in_other_records_is_corrupt,
    a_closed_store_is_unavailable,
    an_exhausted_pool_is_unavailable,
    a_row_that_refers_to_nothing_is_refused,
}

const IMPATIENT: PoolSettings = PoolSettings {
    connections: 2,
    acquire_timeout: Duration::from_secs(1),
    answer_timeout: Duration::from_secs(1),
};

/// Returns which column an error names.
fn column<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    match result {
        Err(Error::Corrupt { table, column }) => format!("{table}.{column}"),
        other => panic!("not corrupt: {other:?}"),
    }
}

fn is_unavailable<T: std::fmt::Debug>(result: Result<T, Error>) -> bool {
    match result {
        Err(Error::Unavailable(_)) => true,
        other => panic!("not unavailable: {other:?}"),
    }
}

async fn a_users_token(world: &World) -> (NewToken, NewSecret) {
    let acme = world.tenant("acme").await.tenant_id;
    let alice = world.user(&acme, "alice").await.user_id;
    let (token, secret) = world.draft(&acme, Some(alice), "token");
    world.insert(&token, &secret).await;
    (token, secret)
}

/// What ruins a revoked token's record, what mends it, and which column is to be
/// named.
const GARBAGE_IN_TOKENS: &[(&str, &str, &str)] = &[
    (
        "UPDATE tokens SET scopes = 'a b!'",
        "UPDATE tokens SET scopes = ''",
        "scopes",
    ),
    (
        "UPDATE tokens SET labels = '{'",
        "UPDATE tokens SET labels = '{}'",
        "labels",
    ),
    (
        "UPDATE tokens SET labels = '[]'",
        "UPDATE tokens SET labels = '{}'",
        "labels",
    ),
    (
        "UPDATE tokens SET created_at = -1",
        "UPDATE tokens SET created_at = 1",
        "created_at",
    ),
    (
        "UPDATE tokens SET updated_at = 253402300800000",
        "UPDATE tokens SET updated_at = 253402300799999",
        "updated_at",
    ),
    (
        "UPDATE tokens SET expires_at = -1",
        "UPDATE tokens SET expires_at = 0",
        "expires_at",
    ),
    (
        "UPDATE tokens SET disabled_at = -1",
        "UPDATE tokens SET disabled_at = 0",
        "disabled_at",
    ),
    (
        "UPDATE epochs SET reason = 'x'",
        "UPDATE epochs SET reason = 'superseded'",
        "revoke_reason",
    ),
    (
        "UPDATE epochs SET created_at = -1",
        "UPDATE epochs SET created_at = 1",
        "revoked_at",
    ),
    (
        "UPDATE tokens SET revoked_at = -1, revoke_reason = 'superseded'",
        "UPDATE tokens SET revoked_at = NULL, revoke_reason = NULL",
        "revoked_at",
    ),
    // Revoked for no reason that there is.
    (
        "UPDATE tokens SET revoked_at = 1",
        "UPDATE tokens SET revoked_at = NULL",
        "revoke_reason",
    ),
    (
        "UPDATE memberships SET role = 'x'",
        "UPDATE memberships SET role = 'admin'",
        "role",
    ),
];

async fn garbage_in_a_tokens_record_is_corrupt(backend: Backend) {
    let world = World::new(backend).await;
    let (token, secret) = a_users_token(&world).await;
    let epoch = Epoch {
        tenant_id: None,
        user_id: token.user_id,
        kind: None,
        reason: RevokeReason::OwnerGone,
        text: String::new(),
    };
    world.revoke_all(&[epoch]).await;
    let filter = TokenFilter {
        kind: token.kind,
        user_id: None,
        name_contains: None,
        hint: None,
        beginning: None,
        expires_before: None,
        unused_since: None,
        state: Some(State::Revoked),
        show_revoked: true,
    };
    let mut good = "SELECT 1";
    for (garbage, restore, expected) in GARBAGE_IN_TOKENS {
        world.database.execute(good).await;
        world.database.execute(garbage).await;
        let table = if *expected == "role" {
            "memberships"
        } else {
            "tokens"
        };
        let expected = format!("{table}.{expected}");
        let mut tx = world.snapshot().await;
        let found = tx.find_token(&token.tenant_id, token.token_id).await;
        assert_eq!(column(found), expected);
        let page = tx.list_tokens(&token.tenant_id, &filter, None, 10, world.now());
        assert_eq!(column(page.await), expected);
        let record = tx.find_record_by_token(token.token_id).await;
        assert_eq!(column(record), expected);
        let found = world.store.find_record_by_lookup(&secret.lookup).await;
        assert_eq!(column(found), expected);
        let found = world
            .store
            .find_many(std::slice::from_ref(&secret.lookup))
            .await;
        assert_eq!(column(found), expected);
        good = restore;
    }
    world.database.execute(good).await;
    for (garbage, restore, expected) in [
        (
            "UPDATE tokens SET kind = 'x'",
            "UPDATE tokens SET kind = 'api'",
            "tokens.kind",
        ),
        (
            "UPDATE tenants SET prefix = 'X'",
            "UPDATE tenants SET prefix = 'x_'",
            "tenants.prefix",
        ),
        (
            "UPDATE catalogs SET document = '{'",
            "UPDATE catalogs SET document = '{}'",
            "catalogs.document",
        ),
        (
            "UPDATE secrets SET ends_at = -1",
            "UPDATE secrets SET ends_at = 0",
            "secrets.ends_at",
        ),
        (
            "UPDATE secrets SET fingerprint = substr(fingerprint, 1, 31)",
            "SELECT 1",
            "secrets.fingerprint",
        ),
    ] {
        world.database.execute(garbage).await;
        let found = world.store.find_record_by_lookup(&secret.lookup).await;
        assert_eq!(column(found), expected);
        // Which reads no document.
        if expected != "catalogs.document" {
            let found = world
                .store
                .find_many(std::slice::from_ref(&secret.lookup))
                .await;
            assert_eq!(column(found), expected);
        }
        world.database.execute(restore).await;
    }
}

async fn garbage_in_other_records_is_corrupt(backend: Backend) {
    let world = World::new(backend).await;
    let (token, _) = a_users_token(&world).await;
    let (tenant_id, user_id) = (token.tenant_id, token.user_id.unwrap());
    for (table, assignment, restore) in [
        ("tenants", "management = 'x'", "'admins_only'"),
        ("tenants", "prefix = 'X_'", "'x_'"),
        ("tenants", "default_ttl_ms = -1", "NULL"),
        ("tenants", "max_ttl_ms = -1", "NULL"),
        ("tenants", "max_tokens_per_user = -1", "NULL"),
        ("tenants", "max_tokens_per_user = 4294967296", "NULL"),
        ("tenants", "created_at = -1", "0"),
        ("tenants", "updated_at = -1", "0"),
        ("tenants", "suspended_at = -1", "NULL"),
        ("catalogs", "document = ''", "'{}'"),
        (
            "catalogs",
            "document = '{\"scopes\": {\"not a name\": {}}}'",
            "'{}'",
        ),
        ("catalogs", "updated_at = -1", "0"),
        ("users", "created_at = -1", "0"),
        ("users", "updated_at = -1", "0"),
        ("users", "suspended_at = -1", "NULL"),
        ("memberships", "role = 'owner'", "'member'"),
        ("memberships", "created_at = -1", "0"),
        ("memberships", "updated_at = -1", "0"),
        ("changes", "kind = 'x'", "'token_created'"),
        ("changes", "tenant_id = '!'", "'acme'"),
        ("changes", "tenant_id = NULL", "'acme'"),
        ("changes", "token_id = NULL", "NULL"),
    ] {
        world
            .database
            .execute(&format!("UPDATE {table} SET {assignment}"))
            .await;
        let name = assignment.split(' ').next().unwrap();
        let expected = format!("{table}.{name}");
        let mut tx = world.snapshot().await;
        match table {
            "tenants" => {
                assert_eq!(column(tx.find_tenant(&tenant_id).await), expected);
                assert_eq!(column(tx.list_tenants(None, 10).await), expected);
            }
            "catalogs" => {
                assert_eq!(column(tx.get_catalog(&tenant_id).await), expected);
            }
            "users" => {
                let listed = Listed::default();
                assert_eq!(column(tx.find_user(user_id).await), expected);
                let page = tx.list_users(&tenant_id, &listed, None, 10).await;
                assert_eq!(column(page), expected);
            }
            "memberships" => {
                let found = tx.find_membership(&tenant_id, user_id).await;
                assert_eq!(column(found), expected);
                let page = tx.list_members(&tenant_id, None, 10).await;
                assert_eq!(column(page), expected);
                let listed = tx.list_memberships_by_user(user_id, 10).await;
                assert_eq!(column(listed), expected);
            }
            _ => {
                let listed = tx.list_changes(ChangeNumber(0), 10).await;
                assert_eq!(column(listed), expected);
            }
        }
        drop(tx);
        world
            .database
            .execute(&format!("UPDATE {table} SET {name} = {restore}"))
            .await;
    }
}

async fn a_closed_store_is_unavailable(backend: Backend) {
    let world = World::new(backend).await;
    let (_, secret) = a_users_token(&world).await;
    world.store.close().await;
    assert!(is_unavailable(world.store.begin().await));
    assert!(is_unavailable(world.store.snapshot().await));
    assert!(is_unavailable(world.store.get_head().await));
    let found = world.store.find_record_by_lookup(&secret.lookup).await;
    assert!(is_unavailable(found));
}

async fn an_exhausted_pool_is_unavailable(backend: Backend) {
    let database = Database::new(backend).await;
    let store = Store::open(&database.location(), IMPATIENT).await.unwrap();
    let readers = [
        store.snapshot().await.unwrap(),
        store.snapshot().await.unwrap(),
    ];
    assert!(is_unavailable(store.get_head().await));
    drop(readers);
    // There are places for half as many writers as connections, so that readers have
    // the rest.
    let writer = store.begin().await.unwrap();
    assert!(is_unavailable(store.begin().await));
    assert!(store.snapshot().await.is_ok());
    drop(writer);
    assert!(store.begin().await.is_ok());
}

#[tokio::test]
async fn a_session_that_the_server_ends_is_unavailable_and_replaced() {
    let world = World::new(Backend::Postgres).await;
    let tenant = world.tenant("acme").await;
    let end_all = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                    WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let mut tx = world.begin().await;
    world.database.execute(end_all).await;
    assert!(is_unavailable(tx.find_tenant(&tenant.tenant_id).await));
    drop(tx);
    let tx = world.begin().await;
    world.database.execute(end_all).await;
    let changes = [Change::TenantChanged(tenant.tenant_id.clone())];
    assert!(is_unavailable(tx.close(&changes, &[], world.now()).await));
    let found = world.snapshot().await.find_tenant(&tenant.tenant_id).await;
    assert_eq!(found.unwrap(), Some(tenant));
}

#[tokio::test]
async fn a_database_that_was_dropped_is_unavailable() {
    let world = World::new(Backend::Postgres).await;
    world.database.drop_now().await;
    assert!(is_unavailable(world.store.get_head().await));
    assert!(is_unavailable(world.store.begin().await));
    let location = world.database.location();
    assert!(is_unavailable(Store::open(&location, IMPATIENT).await));
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    let nowhere = tempfile::tempdir().unwrap();
    let url = format!("postgres://localhost/x?host={}", nowhere.path().display());
    let location = Location::Postgres(SecretUrl::new(url));
    assert!(is_unavailable(Store::open(&location, IMPATIENT).await));
}

#[tokio::test]
async fn an_error_does_not_repeat_a_url() {
    for url in [
        "mysql://u:hunter2@h/x",
        "hunter2",
        "postgres://u:hunter2@h:port/x",
    ] {
        let location = Location::Postgres(SecretUrl::new(url.to_owned()));
        let error = Store::open(&location, IMPATIENT).await.unwrap_err();
        assert!(matches!(error, Error::Open(_)), "{error:?}");
        assert!(!format!("{error:?} {error} {location:?}").contains("hunter2"));
    }
}

#[tokio::test]
async fn replicas_migrate_one_after_another() {
    let database = Database::new(Backend::Postgres).await;
    database
        .execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        .await;
    let (a, b, c) = tokio::join!(database.open(2), database.open(2), database.open(2));
    for store in [a, b, c] {
        store.insert_head(super::INCARNATION).await.unwrap();
        assert_eq!(store.get_head().await.unwrap().number.0, 0);
    }
}

#[tokio::test]
async fn a_file_is_opened_by_one_at_a_time() {
    let world = World::new(Backend::Sqlite).await;
    let location = world.database.location();
    let error = Store::open(&location, IMPATIENT).await.unwrap_err();
    assert!(error.to_string().contains("another process has"), "{error}");
    // What was written is there when it is opened again.
    let tenant = world.tenant("acme").await;
    let World {
        store, database, ..
    } = world;
    store.close().await;
    drop(store);
    let store = database.open(1).await;
    let mut tx = store.snapshot().await.unwrap();
    let found = tx.find_tenant(&tenant.tenant_id).await.unwrap();
    assert_eq!(found, Some(tenant));
}

#[tokio::test]
async fn a_place_where_no_file_can_be_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("missing/tokens.db");
    let location = Location::Sqlite(path.clone());
    let error = Store::open(&location, IMPATIENT).await.unwrap_err();
    assert!(matches!(error, Error::Open(_)), "{error:?}");
    assert!(
        error.to_string().contains(path.to_str().unwrap()),
        "{error}"
    );
}

#[tokio::test]
async fn a_file_that_is_no_database_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tokens.db");
    let text = "dear diary, ".repeat(100);
    std::fs::write(&path, &text).unwrap();
    let location = Location::Sqlite(path.clone());
    assert!(Store::open(&location, IMPATIENT).await.is_err());
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}

#[cfg(unix)]
#[tokio::test]
async fn files_with_hashes_are_their_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    let location = Location::Sqlite(directory.path().join("tokens.db"));
    let store = Store::open(&location, IMPATIENT).await.unwrap();
    store.insert_head(super::INCARNATION).await.unwrap();
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        let name = entry.file_name().into_string().unwrap();
        if name != "tokens.db.lock" {
            assert_eq!(mode & 0o077, 0, "{name} is for others, too: {mode:o}");
        }
        names.push(name);
    }
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "tokens.db",
            "tokens.db-shm",
            "tokens.db-wal",
            "tokens.db.lock"
        ]
    );
}

async fn a_row_that_refers_to_nothing_is_refused(backend: Backend) {
    let world = World::new(backend).await;
    let acme = world.tenant("acme").await.tenant_id;
    let stranger = world.draft_user(&acme, "stranger").user_id;
    let mut tx = world.begin().await;
    let joined = tx.insert_membership(&acme, stranger, Role::Member, world.now());
    let error = joined.await.unwrap_err();
    assert!(matches!(error, Error::Driver(_)), "{error:?}");
}
