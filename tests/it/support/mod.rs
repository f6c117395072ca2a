//! What tests share: a database each, time that they move, chance that repeats.

mod actor;
mod certified;
mod clock;
mod database;
mod events;
pub(crate) mod import;
mod installation;
pub(crate) mod invariants;
pub(crate) mod invites;
mod logs;
mod manage;
pub(crate) mod ops;
pub(crate) mod pki;
mod program;
mod provider;
pub(crate) mod raw;
mod relay;
mod rows;
mod server;
pub(crate) mod tokens;
pub(crate) mod traces;

pub(crate) use actor::{Actor, Issued, gives_value, refusal, refused};
pub(crate) use clock::{ManualClock, SeededEntropy};
pub(crate) use database::{Backend, Database, Raw};
pub(crate) use events::events;
pub(crate) use installation::Installation;
pub(crate) use logs::in_parallel;
pub(crate) use manage::{
    administrators_only, guarded_by_etag, mask, message, operators_only, outcome, pages, share,
    tokens_of,
};
pub(crate) use program::Program;
pub(crate) use provider::{Answer, Provider, SigningKey};
pub(crate) use relay::Relay;
pub(crate) use rows::Reader;
pub(crate) use server::{
    Member, Replica, Tenant, TestServer, catalog, self_service, shared, without_memory,
};

/// Makes of each `async fn name(backend: Backend)` the tests `name::sqlite` and
/// `name::postgres`. One that is not listed is dead code, which fails the build.
macro_rules! both_backends {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            use crate::support::Backend;

            #[tokio::test]
            async fn sqlite() {
                super::$name(Backend::Sqlite).await;
            }

            #[tokio::test]
            async fn postgres() {
                super::$name(Backend::Postgres).await;
            }
        }
    )+};
}

/// As [`both_backends`], on a runtime of two threads.
macro_rules! both_backends_in_parallel {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            use crate::support::{Backend, in_parallel};

            #[test]
            fn sqlite() {
                in_parallel(super::$name(Backend::Sqlite));
            }

            #[test]
            fn postgres() {
                in_parallel(super::$name(Backend::Postgres));
            }
        }
    )+};
}

pub(crate) use {both_backends, both_backends_in_parallel};
