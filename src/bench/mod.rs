//! The measurement: starts servers of its own on a store that it fills, drives load, holds
//! every answer to what it must be, and tells figures beside those of a service that does
//! nothing, taken in turn. Knows nothing that a client could not know, but processes and
//! how a store is filled.

mod churn;
mod collector;
mod elsewhere;
mod ground;
mod histogram;
mod load;
mod noop;
mod population;
mod process;
mod questions;
mod report;
mod scenario;
mod wire;

use std::path::PathBuf;
use std::time::Duration;

pub use churn::Creates;
pub use elsewhere::Elsewhere;
pub use noop::{Layout, Noop};
pub use report::Report;
pub use scenario::run;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Scenario {
    /// The load that the flags describe, beside the no-op's.
    Load,
    /// Hot tokens against the no-op of the same runtimes.
    P1,
    /// Hot tokens against the no-op of one runtime for all threads.
    P2,
    /// Hot tokens, 100 in a call.
    P3,
    /// Tokens in no memory against a bare read of the store.
    P4,
    /// What a token takes in memory, of a million.
    P5,
    /// Until each token has been introspected after a restart.
    P6,
    /// Hot tokens at half load while tokens are created, against without.
    P8,
    /// Hot tokens with one call in a hundred traced, against none.
    P9,
    /// Hot tokens of a million against of a thousand; a late page of a list against the first.
    P10,
    /// Hot tokens beside values that are none.
    Flood,
    /// A million hot tokens: memory, start and calls.
    Million,
    /// Instructions of a hot introspection, and of a call that does nothing; needs valgrind.
    Instructions,
}

/// How it is measured. What is not said the scenario chooses.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What.
    pub scenario: Scenario,
    /// A server that was started already; only the load that the flags describe.
    pub elsewhere: Option<Elsewhere>,
    /// How many tokens there are.
    pub tokens: Option<u64>,
    /// Of how many tenants.
    pub tenants: Option<u64>,
    /// What values and load are drawn from.
    pub seed: u64,
    /// Connections.
    pub connections: Option<usize>,
    /// Calls at once on each.
    pub streams: Option<usize>,
    /// Threads that ask.
    pub threads: usize,
    /// Calls a second; as many as are answered without.
    pub rate: Option<f64>,
    /// Tokens in a call.
    pub batch: Option<u32>,
    /// Of 1,000 calls, how many are of an unknown value, of a wrong secret, malformed.
    pub bad_permille: [u32; 3],
    /// Tokens that are created beside the load.
    pub creates: Creates,
    /// Of these, how many are revoked in a second.
    pub revokes_per_second: f64,
    /// How long each round is counted.
    pub duration: Option<Duration>,
    /// Rounds; the median is told.
    pub rounds: Option<usize>,
    /// How the server's threads are laid out, and the no-op's.
    pub layout: Layout,
    /// How many these are.
    pub cores: usize,
    /// Where the store and the keys are made; in the system's place for such without.
    pub directory: Option<PathBuf>,
    /// A file that holds the URL of an empty `PostgreSQL` database.
    pub database_url_file: Option<PathBuf>,
    /// Keys of the server's configuration, as variables.
    pub variables: Vec<(String, String)>,
}

/// Who is told how far it has come.
pub trait Watch {
    /// So many of these things are done.
    fn at(&self, what: &'static str, count: u64);
}

/// Returns the variable that sets a key of the configuration.
pub fn variable(key: &str, value: &str) -> (String, String) {
    ground::variable(key, value)
}
