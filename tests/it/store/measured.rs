//! What a record costs that is read from the store: `make measure-store` prints it beside
//! the bare statement that reads no more than a value's row, by the same driver.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{Postgres, Sqlite};
use token_authority::domain::ids::SecretId;
use token_authority::domain::value::Lookup;
use token_authority::store::{Location, PoolSettings, Store, statements};
use tokio::sync::Mutex;

use super::World;
use crate::support::Backend;

#[test]
#[ignore = "a measurement: make measure-store"]
fn sqlite() {
    measure(Backend::Sqlite);
}

#[test]
#[ignore = "a measurement: make measure-store"]
fn postgres() {
    measure(Backend::Postgres);
}

/// How many tokens there are.
const TOKENS: u64 = 1_000_000;
/// How many of them are asked for, again and again: what a database has in memory.
const ASKED: u64 = 20_000;
/// How long each way is measured, in each of the rounds.
const PERIOD: Duration = Duration::from_secs(2);
const ROUNDS: usize = 3;
/// Of the store's pool and of those beside it.
const CONNECTIONS: u32 = 8;

const BARE: &str = "SELECT secret_id, token_id, secret_hash, fingerprint, fingerprint_key, ends_at
                      FROM secrets WHERE lookup = $1";
type BareRow = (
    uuid::Uuid,
    uuid::Uuid,
    String,
    Option<Vec<u8>>,
    Option<String>,
    Option<i64>,
);

fn lookup(number: u64) -> Lookup {
    Lookup::from_stored(&format!("{number:012}")).unwrap()
}

/// Tokens of one user, whose lookups are their numbers.
async fn seed(world: &World, backend: Backend) {
    let acme = world.tenant("acme").await.tenant_id;
    let alice = world.user(&acme, "alice").await.user_id;
    let (token, secret) = world.draft(&acme, Some(alice), "first");
    world.insert(&token, &secret).await;
    let (numbers, id, padded) = match backend {
        Backend::Sqlite => (
            format!(
                "WITH RECURSIVE g(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM g
                                          WHERE n + 1 < {TOKENS})"
            ),
            "unhex(printf('%032x', g.n))",
            "printf('%012d', g.n)",
        ),
        Backend::Postgres => (
            format!("WITH g(n) AS (SELECT * FROM generate_series(0, {TOKENS} - 1))"),
            "lpad(to_hex(g.n), 32, '0')::uuid",
            "lpad(g.n::text, 12, '0')",
        ),
    };
    let first = "(SELECT * FROM tokens WHERE name = 'first')";
    let tokens = format!(
        "INSERT INTO tokens (token_id, tenant_id, user_id, kind, name, name_folded, hint, scopes,
                             profile, agent_id, labels, version, created_number, created_at,
                             updated_at)
         {numbers}
         SELECT {id}, t.tenant_id, t.user_id, t.kind, 'seeded', 'seeded', t.hint, t.scopes,
                t.profile, t.agent_id, t.labels, 1, 1, t.created_at, t.updated_at
           FROM g, {first} t"
    );
    world.database.execute(&tokens).await;
    let secrets = format!(
        "INSERT INTO secrets (secret_id, token_id, lookup, hint, secret_hash, fingerprint,
                              fingerprint_key, created_at)
         {numbers}
         SELECT {id}, {id}, {padded}, s.hint, s.secret_hash, s.fingerprint, s.fingerprint_key,
                s.created_at
           FROM g, (SELECT * FROM secrets ORDER BY secret_id DESC LIMIT 1) s"
    );
    world.database.execute(&secrets).await;
    world.database.execute("ANALYZE").await;
}

/// Asks for one of the tokens after the other, several at once, and returns how many a
/// second were read.
async fn rate<F>(at_once: u64, ask: impl Fn(u64) -> F + Send + Sync + 'static) -> f64
where
    F: Future<Output = u64> + Send,
{
    let (ask, next) = (Arc::new(ask), Arc::new(AtomicU64::new(0)));
    let began = Instant::now();
    let askers: Vec<_> = (0..at_once)
        .map(|_| {
            let (ask, next) = (Arc::clone(&ask), Arc::clone(&next));
            tokio::spawn(async move {
                let mut read = 0;
                while began.elapsed() < PERIOD {
                    // No two neighbours, so that nothing is gained by their nearness.
                    let number = next.fetch_add(1, Ordering::Relaxed) * 7919 % ASKED;
                    read += ask(number * (TOKENS / ASKED)).await;
                }
                read
            })
        })
        .collect();
    let mut read = 0;
    for asker in askers {
        read += asker.await.unwrap();
    }
    f64::from(u32::try_from(read).unwrap()) / began.elapsed().as_secs_f64()
}

/// The ways beside the store's, on one driver.
macro_rules! beside {
    ($name:ident, $database:ty) => {
        #[derive(Clone)]
        struct $name {
            pool: sqlx::Pool<$database>,
            held: Arc<Vec<Mutex<sqlx::pool::PoolConnection<$database>>>>,
            turn: Arc<AtomicU64>,
        }

        impl $name {
            /// By the driver's pool, as it is by default.
            async fn pooled(self, number: u64) -> u64 {
                let lookup = lookup(number);
                let query = sqlx::query_as::<_, BareRow>(BARE).bind(lookup.as_str());
                query.fetch_one(&self.pool).await.unwrap();
                1
            }

            /// By connections that are never given back.
            async fn held(self, number: u64) -> u64 {
                let lookup = lookup(number);
                let turn = self.turn.fetch_add(1, Ordering::Relaxed) % u64::from(CONNECTIONS);
                let mut held = self.held[usize::try_from(turn).unwrap()].lock().await;
                let query = sqlx::query_as::<_, BareRow>(BARE).bind(lookup.as_str());
                query.fetch_one(&mut **held).await.unwrap();
                1
            }

            /// All that decides, by the driver's pool and undecoded.
            async fn record(self, number: u64) -> u64 {
                let all = statements();
                let (_, sql) = all
                    .into_iter()
                    .find(|(name, _)| *name == "find_record_by_lookup")
                    .unwrap();
                let lookup = lookup(number);
                let query = sqlx::query(sql).bind(lookup.as_str());
                query.fetch_one(&self.pool).await.unwrap();
                1
            }
        }
    };
}

beside!(OnSqlite, Sqlite);
beside!(OnPostgres, Postgres);

type Way = Box<dyn Fn(u64) -> Pin<Box<dyn Future<Output = f64>>>>;

macro_rules! ways_beside {
    ($beside:expr) => {{
        let beside = $beside;
        let (a, b, c) = (beside.clone(), beside.clone(), beside);
        let ways: Vec<(&'static str, Way)> = vec![
            (
                "bare SELECT, driver's pool",
                Box::new(move |at_once| {
                    let beside = a.clone();
                    Box::pin(rate(at_once, move |number| beside.clone().pooled(number)))
                }),
            ),
            (
                "bare SELECT, held connections",
                Box::new(move |at_once| {
                    let beside = b.clone();
                    Box::pin(rate(at_once, move |number| beside.clone().held(number)))
                }),
            ),
            (
                "the record's SELECT, driver's pool",
                Box::new(move |at_once| {
                    let beside = c.clone();
                    Box::pin(rate(at_once, move |number| beside.clone().record(number)))
                }),
            ),
        ];
        ways
    }};
}

async fn ways(store: &Arc<Store>, location: Location, url: &str) -> Vec<(&'static str, Way)> {
    let mut ways = match location {
        Location::Sqlite(path) => {
            let options = SqliteConnectOptions::new().filename(path).read_only(true);
            let pool = SqlitePoolOptions::new().max_connections(2 * CONNECTIONS);
            let pool = pool.connect_with(options).await.unwrap();
            let mut held = Vec::new();
            for _ in 0..CONNECTIONS {
                held.push(Mutex::new(pool.acquire().await.unwrap()));
            }
            ways_beside!(OnSqlite {
                pool,
                held: Arc::new(held),
                turn: Arc::default(),
            })
        }
        Location::Postgres(_) => {
            let options: PgConnectOptions = url.parse().unwrap();
            let pool = PgPoolOptions::new().max_connections(2 * CONNECTIONS);
            let pool = pool.connect_with(options).await.unwrap();
            let mut held = Vec::new();
            for _ in 0..CONNECTIONS {
                held.push(Mutex::new(pool.acquire().await.unwrap()));
            }
            ways_beside!(OnPostgres {
                pool,
                held: Arc::new(held),
                turn: Arc::default(),
            })
        }
    };
    let kept = Arc::clone(store);
    ways.push((
        "find_record_by_lookup",
        Box::new(move |at_once| {
            let store = Arc::clone(&kept);
            Box::pin(rate(at_once, move |number| {
                let store = Arc::clone(&store);
                async move {
                    let found = store.find_record_by_lookup(&lookup(number)).await;
                    u64::from(found.unwrap().record.is_some())
                }
            }))
        }),
    ));
    for (name, several) in [
        ("find_many of 1", 1_u64),
        ("find_many of 8", 8),
        ("find_many of 16", 16),
    ] {
        let kept = Arc::clone(store);
        ways.push((
            name,
            Box::new(move |at_once| {
                let store = Arc::clone(&kept);
                Box::pin(rate(at_once, move |number| {
                    let store = Arc::clone(&store);
                    async move {
                        let next = |at: u64| (number + at * 7919 * (TOKENS / ASKED)) % TOKENS;
                        let lookups: Vec<_> = (0..several).map(|at| lookup(next(at))).collect();
                        let found = store.find_many(&lookups).await.unwrap();
                        u64::try_from(found.records.len()).unwrap()
                    }
                }))
            }),
        ));
    }
    ways
}

/// Reads all keys, as at the start, and prints how long that took.
async fn keys(store: &Store) {
    for page in [1_000, 10_000] {
        let began = Instant::now();
        let mut tx = store.snapshot().await.unwrap();
        let mut after: Option<SecretId> = None;
        let mut read = 0;
        loop {
            let keys = tx.list_keys(after, page).await.unwrap();
            let Some((last, _)) = keys.last() else { break };
            after = Some(*last);
            read += keys.len();
        }
        let took = began.elapsed().as_secs_f64();
        println!("list_keys: {read} keys in pages of {page} in {took:.2} s");
    }
}

/// Measures on a runtime of two threads.
fn measure(backend: Backend) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(measured(backend));
}

async fn measured(backend: Backend) {
    let world = World::new(backend).await;
    let began = Instant::now();
    seed(&world, backend).await;
    println!(
        "{backend:?}: {TOKENS} tokens in {:.0} s",
        began.elapsed().as_secs_f64()
    );
    let World {
        store, database, ..
    } = world;
    store.close().await;
    drop(store);
    let settings = PoolSettings {
        connections: CONNECTIONS,
        ..PoolSettings::default()
    };
    let location = database.location();
    let store = Arc::new(Store::open(&location, settings).await.unwrap());
    keys(&store).await;
    let mut config = token_authority::config::Config::default();
    database.configure(&mut config);
    let url = config.database.url.as_ref().map_or("", |url| url.expose());
    let ways = ways(&store, location, url).await;
    for at_once in [1, 8] {
        let mut rates = vec![Vec::new(); ways.len()];
        for _ in 0..ROUNDS {
            for ((_, way), rates) in ways.iter().zip(&mut rates) {
                rates.push(way(at_once).await);
            }
        }
        let mut medians = Vec::new();
        for rates in &mut rates {
            rates.sort_by(f64::total_cmp);
            medians.push(rates[ROUNDS / 2]);
        }
        println!("{backend:?}, {at_once} at once | values/s | to the driver's pool | to held");
        for ((name, _), median) in ways.iter().zip(&medians) {
            println!(
                "{name} | {median:.0} | {:.2} | {:.2}",
                median / medians[0],
                median / medians[1]
            );
        }
    }
}
