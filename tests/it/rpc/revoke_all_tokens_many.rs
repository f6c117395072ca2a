//! `TokenService/RevokeAllTokens`: what it costs doesn't grow with the number of tokens.

use std::time::{Duration, Instant};

use token_authority::pb;

use crate::support::tokens::revoke_all;
use crate::support::{Backend, Database, Member, Tenant, TestServer, both_backends, self_service};

both_backends!(fifty_thousand_tokens_take_no_more_rows_than_ten);

/// Whose tokens are revoked, and how many each has.
const FEW: u32 = 10;
const MANY: u32 = 50_000;

/// The tables of the schema.
const TABLES: [&str; 17] = [
    "log_head",
    "changes",
    "tenants",
    "catalogs",
    "users",
    "memberships",
    "tokens",
    "secrets",
    "epochs",
    "token_uses",
    "requests",
    "audit_heads",
    "audit_events",
    "audit_checkpoints",
    "replicas",
    "jobs",
    "import_hints",
];

/// Makes a user with so many tokens: one by the API, the others past it, like that one.
pub(super) async fn user_of(t: &TestServer, acme: &Tenant, name: &str, tokens: u32) -> Member {
    let member = t.member(acme, name, &["read"]).await;
    let hint = member.actor.value().split_at("acme_".len() + 8).0;
    let (first, last) = if tokens == FEW {
        (1, FEW)
    } else {
        (1_000_000, 1_000_000 + tokens - 1)
    };
    let id = match &t.database {
        Database::Sqlite(_) => "unhex(printf('%032x', i))",
        Database::Postgres { .. } => "CAST(lpad(to_hex(i), 32, '0') AS UUID)",
    };
    let lookup = match &t.database {
        Database::Sqlite(_) => "printf('%012d', i)",
        Database::Postgres { .. } => "lpad(CAST(i AS TEXT), 12, '0')",
    };
    let numbers = format!(
        "WITH RECURSIVE numbers (i) AS (
             SELECT {first} UNION ALL SELECT i + 1 FROM numbers WHERE i + 1 < {last})"
    );
    let tokens = format!(
        "{numbers}
         INSERT INTO tokens (token_id, tenant_id, user_id, kind, name, name_folded, hint,
                             scopes, profile, agent_id, labels, created_by, version,
                             created_number, created_at, updated_at)
         SELECT {id}, tenant_id, user_id, kind, name, name_folded, 'seeded', scopes, profile,
                agent_id, labels, created_by, version, created_number, created_at, updated_at
           FROM tokens, numbers
          WHERE hint = '{hint}'"
    );
    let secrets = format!(
        "{numbers}
         INSERT INTO secrets (secret_id, token_id, lookup, hint, secret_hash, created_at)
         SELECT {id}, {id}, {lookup}, 'seeded', secret_hash, created_at
           FROM secrets, numbers
          WHERE hint = '{hint}'"
    );
    t.database.execute(&tokens).await;
    t.database.execute(&secrets).await;
    member
}

/// Has the database note each row that is written from here on.
async fn note_writes(database: &Database) {
    database
        .execute("CREATE TABLE writes (what TEXT NOT NULL)")
        .await;
    if matches!(database, Database::Postgres { .. }) {
        let note = "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
                    BEGIN
                        INSERT INTO writes VALUES (TG_TABLE_NAME || ' ' || TG_OP);
                        RETURN NULL;
                    END $$";
        database.execute(note).await;
    }
    for table in TABLES {
        for event in ["INSERT", "UPDATE", "DELETE"] {
            let work = match database {
                Database::Sqlite(_) => {
                    format!("BEGIN INSERT INTO writes VALUES ('{table} {event}'); END")
                }
                Database::Postgres { .. } => String::from("EXECUTE FUNCTION note()"),
            };
            let trigger = format!(
                "CREATE TRIGGER note_{table}_{event} AFTER {event} ON {table}
                 FOR EACH ROW {work}"
            );
            database.execute(&trigger).await;
        }
    }
}

/// Returns how many rows of each table were written since the last time.
async fn writes(database: &Database) -> Vec<String> {
    let counts = "SELECT what || ' ' || CAST(COUNT(*) AS TEXT) FROM writes
                   GROUP BY what ORDER BY what";
    let counts = database.texts(counts).await;
    database.execute("DELETE FROM writes").await;
    counts
}

fn all(user_id: &str) -> pb::RevokeAllTokensRequest {
    pb::RevokeAllTokensRequest {
        tenant_id: "acme".into(),
        user_id: user_id.into(),
        ..Default::default()
    }
}

/// Counts a user's tokens, and those that an epoch of its own covers.
async fn covered(database: &Database, name: &str) -> Vec<String> {
    let sql = format!(
        "SELECT CAST(COUNT(*) AS TEXT) || ' ' || CAST(SUM(CASE WHEN EXISTS (
                    SELECT 1 FROM epochs e
                     WHERE e.user_id = t.user_id AND e.number > t.created_number
                       AND e.kind = t.kind) THEN 1 ELSE 0 END) AS TEXT)
           FROM tokens t JOIN users u ON u.user_id = t.user_id
          WHERE u.external_id = '{name}'"
    );
    database.texts(&sql).await
}

async fn fifty_thousand_tokens_take_no_more_rows_than_ten(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let few = user_of(&t, &acme, "few", FEW).await;
    let many = user_of(&t, &acme, "many", MANY).await;
    note_writes(&t.database).await;

    revoke_all(&acme.admin, all(&few.user_id)).await.unwrap();
    let for_few = writes(&t.database).await;
    revoke_all(&acme.admin, all(&many.user_id)).await.unwrap();
    let for_many = writes(&t.database).await;
    assert_eq!(for_few, for_many);
    // One row for each kind, and of the tokens the caller's own alone, for its lock.
    assert!(for_many.contains(&"epochs INSERT 3".into()), "{for_many:?}");
    assert!(for_many.contains(&"tokens UPDATE 1".into()), "{for_many:?}");

    assert_eq!(covered(&t.database, "few").await, ["10 10"]);
    assert_eq!(covered(&t.database, "many").await, ["50000 50000"]);
    let server = t.resource_server().await;
    for dead in [&few.actor, &many.actor] {
        assert!(!server.introspect("acme", dead.value()).await.active);
    }
}

/// How often each is measured.
const ROUNDS: usize = 31;

#[tokio::test]
#[ignore = "it measures; run `make measure-revoke-all`"]
async fn measure_on_sqlite() {
    measure(Backend::Sqlite).await;
}

#[tokio::test]
#[ignore = "it measures; run `make measure-revoke-all`"]
async fn measure_on_postgres() {
    measure(Backend::Postgres).await;
}

/// Prints how long revoking all takes for a user of few tokens and for one of many.
async fn measure(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let users = [
        user_of(&t, &acme, "few", FEW).await.user_id,
        user_of(&t, &acme, "many", MANY).await.user_id,
    ];
    let mut took = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        // In turn, so that whatever else the machine does befalls both.
        for (user_id, took) in users.iter().zip(&mut took) {
            let begun = Instant::now();
            revoke_all(&acme.admin, all(user_id)).await.unwrap();
            took.push(begun.elapsed());
        }
    }
    let [few, many] = took.map(median);
    let ratio = many.as_secs_f64() / few.as_secs_f64();
    println!(
        "{backend:?}: RevokeAllTokens, median of {ROUNDS}: {few:?} for {FEW} tokens, \
         {many:?} for {MANY}; ratio {ratio:.2}"
    );
}

fn median(mut took: Vec<Duration>) -> Duration {
    took.sort_unstable();
    took[took.len() / 2]
}
