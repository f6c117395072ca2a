//! A way to the database's server that a test's own runtime serves.

use std::path::{Path, PathBuf};

use tempfile::TempDir;
use token_authority::config::Secret;
use tokio::io::copy_bidirectional;
use tokio::net::{UnixListener, UnixStream};

use crate::support::Database;

/// Relays to the server of a database as long as the test lasts, if it has one, and
/// has the configured URL lead through it. No answer can then be there before whoever
/// waits for it has let the runtime go on: each question is waited for, however quick
/// the server is.
pub(super) fn through(database: &Database, directory: &TempDir, url: &mut Option<Secret>) {
    let (Some(socket), Some(url)) = (database.socket(), url) else {
        return;
    };
    let name = socket.file_name().unwrap();
    let listener = UnixListener::bind(directory.path().join(name)).unwrap();
    tokio::spawn(serve(listener, socket));
    // The last one named is taken.
    let near = format!("{}&host={}", url.expose(), path(directory.path()));
    *url = near.into();
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

async fn serve(listener: UnixListener, socket: PathBuf) {
    loop {
        let (mut near, _) = listener.accept().await.unwrap();
        let mut far = UnixStream::connect(&socket).await.unwrap();
        tokio::spawn(async move {
            // Either side may go at any time.
            let _ = copy_bidirectional(&mut near, &mut far).await;
        });
    }
}
