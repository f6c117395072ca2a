//! The server's keys for fingerprints: files of a directory, ordered by name, the
//! last one current.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::domain::entropy::{self, Entropy};
use crate::domain::fingerprint::{Key, KeyId};

/// The keyring can't be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// A file or the directory can't be read or written.
    #[error("keyring {path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file holds no key. What it holds is not said.
    #[error("keyring {0}: not 32 bytes in base64")]
    NotAKey(PathBuf),
    /// There is no key, and none may be made.
    #[error(
        "keyring {0}: no *.key file; make one (32 random bytes in base64, mode 0600) or allow it to be made"
    )]
    Empty(PathBuf),
    /// The operating system gave no random bytes.
    #[error("keyring: {0}")]
    Entropy(#[from] entropy::EntropyError),
}

/// The keys, the current one last.
#[derive(Clone, Debug)]
pub struct Keyring {
    older: Vec<Key>,
    current: Key,
}

impl Keyring {
    /// Loads the directory's `*.key` files. Where there is none and `create` is
    /// set, makes `0001.key` with mode 0600 in a directory with mode 0700.
    pub fn load(
        directory: &Path,
        create: bool,
        entropy: &dyn Entropy,
    ) -> Result<Self, KeyringError> {
        let io = |source| KeyringError::Io {
            path: directory.to_owned(),
            source,
        };
        if create {
            create_private_directory(directory).map_err(io)?;
        }
        let mut files = Vec::new();
        for entry in fs::read_dir(directory).map_err(io)? {
            let path = entry.map_err(io)?.path();
            if path.extension().is_some_and(|extension| extension == "key") {
                files.push(path);
            }
        }
        files.sort();
        let mut keys = files
            .iter()
            .map(|path| read(path))
            .collect::<Result<Vec<_>, _>>()?;
        match keys.pop() {
            Some(current) => Ok(Self {
                older: keys,
                current,
            }),
            None if create => {
                let path = directory.join("0001.key");
                make(&path, entropy)?;
                Ok(Self {
                    older: Vec::new(),
                    current: read(&path)?,
                })
            }
            None => Err(KeyringError::Empty(directory.to_owned())),
        }
    }

    /// Returns the key that new fingerprints are made with.
    pub fn current(&self) -> &Key {
        &self.current
    }

    /// Returns a key by its name.
    pub fn get(&self, id: &KeyId) -> Option<&Key> {
        std::iter::once(&self.current)
            .chain(&self.older)
            .find(|key| key.id() == id)
    }
}

fn read(path: &Path) -> Result<Key, KeyringError> {
    let text = fs::read_to_string(path).map_err(|source| KeyringError::Io {
        path: path.to_owned(),
        source,
    })?;
    let bytes = STANDARD
        .decode(text.trim())
        .ok()
        .and_then(|bytes| bytes.try_into().ok());
    let name = path.file_stem().and_then(|stem| stem.to_str());
    match (bytes, name) {
        (Some(bytes), Some(name)) => Ok(Key::new(KeyId::of(name, &bytes), &bytes)),
        _ => Err(KeyringError::NotAKey(path.to_owned())),
    }
}

/// Makes a key's file, whole or not at all; one that another process has made
/// meanwhile stands.
fn make(path: &Path, entropy: &dyn Entropy) -> Result<(), KeyringError> {
    let beside = path.with_extension(format!("{}.new", std::process::id()));
    // What an earlier process of this number left half-written.
    let _ = fs::remove_file(&beside);
    write(&beside, entropy)?;
    let linked = fs::hard_link(&beside, path);
    // What is left behind is no `*.key` file.
    let _ = fs::remove_file(&beside);
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(KeyringError::Io {
            path: path.to_owned(),
            source: error,
        }),
        _ => Ok(()),
    }
}

fn write(path: &Path, entropy: &dyn Entropy) -> Result<(), KeyringError> {
    let bytes: [u8; 32] = entropy::bytes(entropy)?;
    write_private(path, &format!("{}\n", STANDARD.encode(bytes))).map_err(|source| {
        KeyringError::Io {
            path: path.to_owned(),
            source,
        }
    })
}

/// Makes a directory, and those above it, that only its owner may enter; leaves one
/// that exists as it is.
pub fn create_private_directory(directory: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)
}

/// Writes a new file that only its owner may read, durably; an error if there is
/// one already.
pub fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    // The file's name is durable once its directory is.
    #[cfg(unix)]
    if let Some(directory) = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
    {
        fs::File::open(directory)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::entropy::OsEntropy;

    #[test]
    fn a_key_is_made_once_and_found_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keyring");
        let made = Keyring::load(&path, true, &OsEntropy).unwrap();
        assert_eq!(made.current().id().name(), "0001");
        let again = Keyring::load(&path, true, &OsEntropy).unwrap();
        assert!(again.get(made.current().id()).is_some());
        assert_eq!(fs::read_dir(&path).unwrap().count(), 1);
        // One that is lost is not taken for the one that is made in its place.
        let elsewhere = Keyring::load(&directory.path().join("new"), true, &OsEntropy).unwrap();
        assert_eq!(elsewhere.current().id().name(), "0001");
        assert!(elsewhere.get(made.current().id()).is_none());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode_of = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode_of(&path), 0o700);
            assert_eq!(mode_of(&path.join("0001.key")), 0o600);
        }
    }

    #[test]
    fn the_last_key_by_name_is_current() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["0002", "0001", "0010"] {
            write(&directory.path().join(format!("{name}.key")), &OsEntropy).unwrap();
        }
        let ring = Keyring::load(directory.path(), false, &OsEntropy).unwrap();
        let names: Vec<_> = ring.older.iter().map(|key| key.id().name()).collect();
        assert_eq!(
            (names, ring.current().id().name()),
            (vec!["0001", "0002"], "0010")
        );
    }

    #[test]
    fn a_file_that_is_no_key_is_named_and_not_shown() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(
            directory.path().join("0001.key"),
            "c2VjcmV0LWJ1dC1zaG9ydA==",
        )
        .unwrap();
        let error = Keyring::load(directory.path(), true, &OsEntropy).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("0001.key") && !text.contains("c2Vj"),
            "{text}"
        );
    }

    #[test]
    fn without_leave_no_key_is_made() {
        let directory = tempfile::tempdir().unwrap();
        let error = Keyring::load(directory.path(), false, &OsEntropy).unwrap_err();
        assert!(matches!(error, KeyringError::Empty(_)), "{error}");
    }
}
