//! The program, killed while it is at work (SIGKILL), again and again over one
//! database: what it acknowledged is there when it is back, and what it did not is
//! there as a whole or not at all.
//!
//! `make test` runs a few rounds, `make crash` many. What is drawn depends on the
//! seed alone; which call the kill meets, and where, on the machine, too.

mod client;
mod history;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use token_authority::domain::entropy::Entropy as _;
use tokio::sync::mpsc::unbounded_channel;
use tonic::transport::Channel;

use self::client::Client;
use self::history::{Entry, Stage, look};
use crate::support::{
    Actor, Backend, Database, Installation, Issued, Program, SeededEntropy, Tenant, both_backends,
    self_service, tokens,
};

both_backends!(what_was_acknowledged_outlasts_a_kill_and_nothing_is_half_there);

/// Who calls at once.
const CLIENTS: usize = 8;

/// The tenants that they are spread over, whose locks they wait for.
const TENANTS: usize = 4;

/// The server is killed after fewer acknowledgements than this.
const ACKNOWLEDGED: usize = 24;

/// Returns a number from the environment.
#[expect(
    clippy::disallowed_methods,
    reason = "make crash passes the number of rounds through the environment"
)]
fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// Draws a number below another.
fn below(chance: &SeededEntropy, most: usize) -> usize {
    let mut bytes = [0; 8];
    chance.fill(&mut bytes).unwrap();
    usize::try_from(u64::from_le_bytes(bytes) % most as u64).unwrap()
}

/// The program, serving.
struct Server {
    program: Program,
    channel: Channel,
}

impl Server {
    async fn start(installation: &Installation) -> Self {
        let (program, address) = installation.start(&[]);
        let channel = Channel::from_shared(format!("http://{address}")).unwrap();
        let channel = channel.connect().await.unwrap();
        Self { program, channel }
    }

    fn actor(&self, credential: &str) -> Actor {
        Actor::new(self.channel.clone(), Some(credential), Issued::default())
    }

    /// Returns who looks at what is there.
    fn stage<'a>(
        &self,
        database: &'a Database,
        admins: &[String],
        introspector: &str,
    ) -> Stage<'a> {
        Stage {
            database,
            admins: admins.iter().map(|value| self.actor(value)).collect(),
            introspector: self.actor(introspector),
        }
    }
}

/// Lets clients call until so many calls were acknowledged, and a moment longer; then
/// kills the server.
async fn run_until_killed(
    server: Server,
    clients: Vec<Client>,
    acknowledgements: usize,
    moment: usize,
) -> Vec<Vec<Entry>> {
    let killed = Arc::new(AtomicBool::new(false));
    let (acknowledge, mut acknowledged) = unbounded_channel();
    let running: Vec<_> = clients
        .into_iter()
        .map(|client| tokio::spawn(client.run(acknowledge.clone(), killed.clone())))
        .collect();
    drop(acknowledge);
    for _ in 0..acknowledgements {
        if acknowledged.recv().await.is_none() {
            break;
        }
    }
    let nobody = Actor::new(server.channel.clone(), None, Issued::default());
    for _ in 0..moment {
        // A call that comes to nothing takes a moment.
        let _ = nobody.raw("/nothing/Here", Vec::new()).await;
    }
    killed.store(true, Ordering::SeqCst);
    server.program.kill();
    let mut tokens = Vec::new();
    for client in running {
        tokens.push(client.await.unwrap());
    }
    tokens
}

async fn what_was_acknowledged_outlasts_a_kill_and_nothing_is_half_there(backend: Backend) {
    let rounds = setting("CRASH_ROUNDS", 10);
    let seed = setting("CRASH_SEED", 42) as u64;
    let chance = SeededEntropy::new(seed);
    let installation = Installation::new(backend).await;
    let database = &installation.database;
    let mut server = Server::start(&installation).await;

    let operator = std::fs::read_to_string(installation.data.join("operator-token")).unwrap();
    let operator = server.actor(operator.trim());
    let mut admins = Vec::new();
    for number in 0..TENANTS {
        let tenant = Tenant::create(&operator, &format!("crash-{number}"), self_service()).await;
        admins.push(tenant.admin.value().to_owned());
    }
    let introspector = tokens::service("authority", "server", &["authority:introspect"]);
    let introspector = operator.create(introspector).await.value;

    let mut tokens: Vec<Vec<Entry>> = (0..CLIENTS).map(|_| Vec::new()).collect();
    let mut unknown = 0;
    for round in 0..rounds {
        let (acknowledgements, moment) = (below(&chance, ACKNOWLEDGED), below(&chance, 6));
        let clients = tokens.drain(..).enumerate().map(|(number, tokens)| Client {
            actor: server.actor(&admins[number % TENANTS]),
            tenant: number % TENANTS,
            name: format!("round {round:04} client {number}"),
            chance: SeededEntropy::new(below(&chance, usize::MAX) as u64),
            tokens,
        });
        let clients = clients.collect();
        tokens = run_until_killed(server, clients, acknowledgements, moment).await;
        unknown += tokens.iter().flatten().filter(|t| !t.is_known()).count();

        server = Server::start(&installation).await;
        let stage = server.stage(database, &admins, &introspector);
        let complaints = look(&stage, tokens.iter_mut().flatten()).await;
        assert!(
            complaints.is_empty(),
            "seed {seed}, round {round}, killed {moment} calls after {acknowledgements} \
             acknowledgements: {complaints:#?}"
        );
    }

    // All of it once more, whenever it was.
    for token in tokens.iter_mut().flatten() {
        token.is_new = true;
    }
    let stage = server.stage(database, &admins, &introspector);
    let complaints = look(&stage, tokens.iter_mut().flatten()).await;
    assert!(complaints.is_empty(), "seed {seed}: {complaints:#?}");
    if backend == Backend::Sqlite {
        assert_eq!(database.texts("PRAGMA integrity_check").await, ["ok"]);
    }
    assert!(
        unknown > 0,
        "no kill met a call: the test proves nothing; have more clients call"
    );
    server.program.kill();
}
