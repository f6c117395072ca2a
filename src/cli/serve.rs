//! `serve`, `bootstrap` and `migrate`.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::server::ServerArguments;
use super::{forbid_core_dumps, print, start};
use crate::app::{self, App, BoxError, World};
use crate::authority;
use crate::authority::bootstrap::OperatorValue;
use crate::config::{Config, Purpose};
use crate::domain::entropy::OsEntropy;
use crate::domain::value::TokenValue;
use crate::lifecycle::{CUT, Hangups, LAST, StopSignals};

/// Serves until told to stop. On an empty store the operator's token is made first: of a
/// value that a file holds, or of a new one, printed to a terminal, else written to a file.
pub(super) async fn serve(config: Config, world: World) -> Result<(), BoxError> {
    for warning in super::config::warnings(&config) {
        tracing::warn!("{warning}");
    }
    let mut signals = StopSignals::listen()?;
    // One that came without this would end the process.
    let mut hangups = Hangups::listen()?;
    // Waiting for a database, or for another's migration, may take long.
    let mut app = tokio::select! {
        app = ready(&config, world) => app?,
        signal = signals.next() => {
            signal?;
            tracing::info!("stopped before serving");
            return Ok(());
        }
    };
    if app.certificates().is_none() {
        app.depend_on("hangups", async move {
            loop {
                hangups.next().await;
                tracing::info!(signal = "SIGHUP", "without TLS no file is read again");
            }
        });
    }
    let (address, ops) = (app.address()?, app.ops_address()?);
    tracing::info!(server.address = %address, ops.address = %ops, "serving");
    let (stop, cut) = (CancellationToken::new(), app.cut());
    let serving = tokio::spawn(app.serve(stop.clone()));
    serve_until_told(serving, [stop, cut], signals).await?;
    tracing::info!("stopped");
    Ok(())
}

/// Gets all that a server needs.
async fn ready(config: &Config, world: World) -> Result<App, BoxError> {
    let app = App::build(config, world).await?;
    if let Some(path) = &config.bootstrap.token_file {
        app.bootstrap_from(path).await?;
    } else {
        let made = app.bootstrap(|value| deliver(config, value)).await;
        made.map_err(|error| not_made(config, error))?;
    }
    Ok(app)
}

/// The arguments of `bootstrap`.
#[derive(Debug, clap::Args)]
pub(super) struct BootstrapArguments {
    /// Print a new value for `bootstrap.token_file` instead, and touch no database
    #[arg(long, exclusive = true)]
    mint: bool,
    #[command(flatten)]
    server: ServerArguments,
}

impl BootstrapArguments {
    /// Runs it.
    pub(super) fn run(self) -> Result<(), BoxError> {
        if self.mint {
            forbid_core_dumps();
            let value = OperatorValue::mint(&OsEntropy)?;
            return Ok(print(&format!("{}\n", value.expose()))?);
        }
        start(|| self.server.read(Purpose::Serve), bootstrap)
    }
}

/// Makes an operator's token in place of the one made at first start, or by this.
async fn bootstrap(config: Config, world: World) -> Result<(), BoxError> {
    let authority = app::open_authority(&config, world).await?;
    let made = authority
        .replace_operator(|value| deliver(&config, value))
        .await;
    made.map_err(|error| not_made(&config, error))?;
    app::close(&authority, Instant::now() + LAST).await;
    Ok(())
}

/// Hands out the operator's token: to a terminal, else to a file.
fn deliver(config: &Config, value: &TokenValue) -> std::io::Result<()> {
    if std::io::stdout().is_terminal() {
        print(&format!(
            "The operator's token, shown this once; it ends in 24 hours unless you extend it:\n\n    \
             {}\n\n",
            value.expose()
        ))
    } else {
        app::write_operator_token(&app::operator_token_path(config), value)
    }
}

fn not_made(config: &Config, error: authority::Error) -> BoxError {
    Box::new(NotMade {
        path: app::operator_token_path(config),
        source: error,
    })
}

/// The operator's token was not made.
#[derive(Debug, thiserror::Error)]
#[error("can't make the operator's token ({path})", path = .path.display())]
struct NotMade {
    path: PathBuf,
    source: authority::Error,
}

/// Waits for a signal, then for the server to finish; a second signal ends it.
pub(super) async fn serve_until_told(
    mut serving: tokio::task::JoinHandle<Result<(), BoxError>>,
    [stop, cut]: [CancellationToken; 2],
    mut signals: StopSignals,
) -> Result<(), BoxError> {
    tokio::select! {
        served = &mut serving => return served?,
        signal = signals.next() => signal?,
    }
    stop.cancel();
    tokio::select! {
        served = &mut serving => served?,
        signal = signals.next() => {
            signal?;
            cut.cancel();
            // So that the calls that are cut are told of. It may be further than that, and
            // then ends where it is.
            let _ = timeout(CUT, &mut serving).await;
            serving.abort();
            Err("told to stop twice: calls in flight were cut".into())
        }
    }
}

/// Brings the schema up to date.
pub(super) async fn migrate(config: Config, _world: World) -> Result<(), BoxError> {
    let store = app::open_store(&config).await?;
    print(&format!("The {} schema is up to date.\n", store.backend()))?;
    store.close().await;
    Ok(())
}
