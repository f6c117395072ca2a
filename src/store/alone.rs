//! Holding a database alone: answers from memory would not see another process's changes.
//! A file is held by its lock as long as it is open. Of a server one process holds an
//! advisory lock, by a session of its own: where that session ends, so does the lock.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::time::timeout;
use tracing::Instrument as _;

use super::backend::{Db, answered};
use super::counters::Counters;
use super::{Error, Store, span};

/// The lock's number in each database: `tokenaut`, as eight bytes. The driver's lock of
/// migrations has another.
const LOCK: i64 = i64::from_be_bytes(*b"tokenaut");
/// How the session is called in the server's list of them.
const APPLICATION: &str = "token-authority alone";
/// How long the server may take to say that the session goes on.
const BEAT: Duration = Duration::from_secs(1);
/// How long the server may take to end one that this process has lost.
const END_MS: i64 = 1000;

/// That no other process has said that it holds the database alone. It ends when this is
/// dropped.
#[derive(Debug)]
pub struct Alone {
    held: Held,
    counters: Arc<Counters>,
    lost: Lost,
}

/// The session that this process had and is cut off from. The server may not know that yet,
/// and keep the lock for it: that is no other process.
#[derive(Clone, Debug, Default)]
pub(super) struct Lost(Arc<Mutex<Option<SessionId>>>);

/// What tells a session of the server from all others: its process, and when that began, as
/// the server writes it.
type SessionId = (i32, String);

impl Lost {
    fn set(&self, session: Option<SessionId>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = session;
    }

    fn get(&self) -> Option<SessionId> {
        let lost = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lost.clone()
    }
}

#[derive(Debug)]
enum Held {
    /// By the lock of the file beside it.
    File,
    /// By a session, until it fails once.
    Session(Option<Session>),
}

/// A session of the server, with the lock.
#[derive(Debug)]
struct Session {
    connection: PgConnection,
    /// Another one that answers is a proxy's doing: the session that has the lock may be
    /// anywhere.
    id: SessionId,
}

impl Store {
    /// Holds the database alone, as long as the process lives or [`Alone::beat`] fails. A
    /// process that held it before may not know yet that it does no longer: until its next
    /// beat it answers from what it has in memory.
    pub async fn hold_alone(&self) -> Result<Alone, Error> {
        let held = match &*self.db {
            Db::Sqlite { .. } => Held::File,
            Db::Postgres(kept) => {
                let pool = kept.pool();
                let span = span::of(span::POSTGRES, "HOLD_ALONE");
                let options = pool.connect_options();
                let patience = Some(pool.options().get_acquire_timeout());
                let begun = Session::begin(&options, self.lost.get());
                let session = answered(patience, begun).instrument(span);
                let session = self.db.counters.told(session.await)?.ok_or_else(|| {
                    Error::Held(String::from(
                        "another process holds the database alone, as coherence.single_process \
                         has it do: ask that process over gRPC (grpcurl, or a client), or stop it \
                         first. Several processes share a database where it is false for each",
                    ))
                })?;
                self.lost.set(None);
                Held::Session(Some(session))
            }
        };
        Ok(Alone {
            held,
            counters: Arc::clone(&self.db.counters),
            lost: self.lost.clone(),
        })
    }
}

impl Session {
    /// Connects, ends the session that was lost, and takes the lock; returns none where
    /// another session has it.
    async fn begin(
        options: &PgConnectOptions,
        lost: Option<SessionId>,
    ) -> Result<Option<Self>, sqlx::Error> {
        let options = options
            .clone()
            .application_name(APPLICATION)
            // Of a process that is cut off the server keeps the lock no longer.
            .options([("idle_session_timeout", "10s")]);
        let mut connection = options.connect().await?;
        if let Some((process, began)) = lost {
            let end = "SELECT pg_terminate_backend(pid, $3) FROM pg_stat_activity
                        WHERE pid = $1 AND CAST(backend_start AS TEXT) = $2";
            let end = sqlx::query(end).bind(process).bind(began).bind(END_MS);
            end.execute(&mut connection).await?;
        }
        let taken = "SELECT pg_try_advisory_lock($1), pid, CAST(backend_start AS TEXT)
                       FROM pg_stat_activity
                      WHERE pid = pg_backend_pid()";
        let taken = sqlx::query_as(taken).bind(LOCK).fetch_one(&mut connection);
        let (taken, process, began): (bool, i32, String) = taken.await?;
        let id = (process, began);
        Ok(taken.then_some(Self { connection, id }))
    }

    /// Asks the server whether the session goes on.
    async fn beat(&mut self) -> Result<(), sqlx::Error> {
        let process = sqlx::query_scalar("SELECT pg_backend_pid()");
        let process: i32 = process.fetch_one(&mut self.connection).await?;
        if process == self.id.0 {
            Ok(())
        } else {
            let other = "another session answers: a proxy is in between";
            Err(sqlx::Error::Protocol(other.to_owned()))
        }
    }
}

impl Alone {
    /// Returns whether it may end while the process lives.
    pub fn may_end(&self) -> bool {
        matches!(self.held, Held::Session(_))
    }

    /// Asks whether the database is still held, and waits a second at most. After a failure,
    /// or a call that was not waited for to its end, it never is again: the lock may have
    /// been another's meanwhile.
    pub async fn beat(&mut self) -> Result<(), Error> {
        let Held::Session(session) = &mut self.held else {
            return Ok(());
        };
        let span = span::of(span::POSTGRES, "BEAT");
        // Taken out, so that it is gone whatever ends this.
        let taken = session.take();
        if let Some(taken) = &taken {
            self.lost.set(Some(taken.id.clone()));
        }
        let beaten = async {
            let mut taken = taken.ok_or(sqlx::Error::PoolClosed)?;
            answered(Some(BEAT), taken.beat()).await?;
            Ok(taken)
        };
        *session = Some(self.counters.told(beaten.instrument(span).await)?);
        self.lost.set(None);
        Ok(())
    }

    /// Gives the database up: when this returns, another process may hold it.
    pub async fn release(self) {
        let Held::Session(Some(mut session)) = self.held else {
            return;
        };
        let unlock = sqlx::query("SELECT pg_advisory_unlock($1)").bind(LOCK);
        // Where the server does not answer, it ends with the session.
        let released = async {
            if unlock.execute(&mut session.connection).await.is_ok() {
                let _ = session.connection.close().await;
            }
        };
        let _ = timeout(BEAT, released).await;
    }
}
