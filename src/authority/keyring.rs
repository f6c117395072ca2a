//! The server's keys for fingerprints: files of a directory, ordered by name. The last
//! one that all replicas hold is current.

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

/// The keys, and which of them is current.
#[derive(Clone, Debug)]
pub struct Keyring {
    directory: PathBuf,
    /// In the order of their names.
    keys: Vec<Key>,
    current: Key,
}

impl Keyring {
    /// Loads the directory's `*.key` files; the last by name is current. Where there
    /// is none and `create` is set, makes `0001.key` with mode 0600 in a directory with
    /// mode 0700.
    pub fn load(
        directory: &Path,
        create: bool,
        entropy: &dyn Entropy,
    ) -> Result<Self, KeyringError> {
        if create {
            create_private_directory(directory).map_err(|error| io_error(directory, error))?;
        }
        let mut keys = read_all(directory)?;
        if keys.is_empty() && create {
            let path = directory.join("0001.key");
            make(&path, entropy)?;
            keys.push(read(&path)?);
        }
        Self::of(directory, keys, |_| true)
    }

    /// Reads the directory again. What was current stays so as long as it is there:
    /// which key is to be is decided once all replicas have said what they hold. In
    /// place of one that is gone comes the last before it.
    pub fn reread(&self) -> Result<Self, KeyringError> {
        let keys = read_all(&self.directory)?;
        Self::of(&self.directory, keys, |key| {
            key.name() <= self.current.id().name()
        })
    }

    /// Makes current the last key that everybody holds. Where there is none, as where
    /// replicas have keyrings of their own, the ring stays as it is.
    #[must_use]
    pub fn agreed(&self, is_held_by_all: impl Fn(&KeyId) -> bool) -> Self {
        let agreed = self.keys.iter().rev().find(|key| is_held_by_all(key.id()));
        Self {
            current: agreed.unwrap_or(&self.current).clone(),
            ..self.clone()
        }
    }

    /// Returns a ring whose current key is the last of those that may be, else the
    /// first.
    fn of(
        directory: &Path,
        keys: Vec<Key>,
        may_be_current: impl Fn(&KeyId) -> bool,
    ) -> Result<Self, KeyringError> {
        let current = keys.iter().rev().find(|key| may_be_current(key.id()));
        match current.or(keys.first()).cloned() {
            Some(current) => Ok(Self {
                directory: directory.to_owned(),
                keys,
                current,
            }),
            None => Err(KeyringError::Empty(directory.to_owned())),
        }
    }

    /// Returns the key that new fingerprints are made with.
    pub fn current(&self) -> &Key {
        &self.current
    }

    /// Returns a key by its name.
    pub fn get(&self, id: &KeyId) -> Option<&Key> {
        self.keys.iter().find(|key| key.id() == id)
    }

    /// Returns the names of all keys, in their order.
    pub fn ids(&self) -> impl Iterator<Item = &KeyId> {
        self.keys.iter().map(Key::id)
    }
}

fn io_error(path: &Path, source: io::Error) -> KeyringError {
    KeyringError::Io {
        path: path.to_owned(),
        source,
    }
}

/// Reads the directory's `*.key` files, all of them or none.
fn read_all(directory: &Path) -> Result<Vec<Key>, KeyringError> {
    let mut keys = Vec::new();
    for entry in fs::read_dir(directory).map_err(|error| io_error(directory, error))? {
        let path = entry.map_err(|error| io_error(directory, error))?.path();
        if path.extension().is_some_and(|extension| extension == "key") {
            keys.push(read(&path)?);
        }
    }
    keys.sort_by(|a, b| a.id().name().cmp(b.id().name()));
    Ok(keys)
}

fn read(path: &Path) -> Result<Key, KeyringError> {
    let text = fs::read_to_string(path).map_err(|error| io_error(path, error))?;
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
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(io_error(path, error)),
        _ => Ok(()),
    }
}

fn write(path: &Path, entropy: &dyn Entropy) -> Result<(), KeyringError> {
    let bytes: [u8; 32] = entropy::bytes(entropy)?;
    write_private(path, &format!("{}\n", STANDARD.encode(bytes)))
        .map_err(|error| io_error(path, error))
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

    /// Returns the names of a ring's keys and of the current one.
    fn names(ring: &Keyring) -> (Vec<&str>, &str) {
        (
            ring.ids().map(KeyId::name).collect(),
            ring.current().id().name(),
        )
    }

    fn ring_of(names: &[&str]) -> (tempfile::TempDir, Keyring) {
        let directory = tempfile::tempdir().unwrap();
        for name in names {
            write(&directory.path().join(format!("{name}.key")), &OsEntropy).unwrap();
        }
        let ring = Keyring::load(directory.path(), false, &OsEntropy).unwrap();
        (directory, ring)
    }

    #[test]
    fn the_last_key_by_name_is_current() {
        let (_directory, ring) = ring_of(&["0002", "0001", "0010"]);
        assert_eq!(names(&ring), (vec!["0001", "0002", "0010"], "0010"));
        // Of names, not of files: `-` comes before the ending's dot.
        let (_directory, ring) = ring_of(&["1-2", "1"]);
        assert_eq!(names(&ring), (vec!["1", "1-2"], "1-2"));
    }

    #[test]
    fn a_new_key_is_held_at_once_and_current_once_all_hold_it() {
        let (directory, ring) = ring_of(&["0001"]);
        let file = |name: &str| directory.path().join(format!("{name}.key"));
        write(&file("0002"), &OsEntropy).unwrap();
        write(&file("0000"), &OsEntropy).unwrap();
        let ring = ring.reread().unwrap();
        assert_eq!(names(&ring), (vec!["0000", "0001", "0002"], "0001"));
        let all_but = |name: &'static str| ring.agreed(move |key| key.name() != name);
        assert_eq!(all_but("0002").current().id().name(), "0001");
        assert_eq!(all_but("0001").current().id().name(), "0002");
        assert_eq!(ring.agreed(|_| false).current().id().name(), "0001");

        let ring = ring.agreed(|_| true);
        fs::remove_file(file("0002")).unwrap();
        let ring = ring.reread().unwrap();
        assert_eq!(names(&ring), (vec!["0000", "0001"], "0001"));
        fs::remove_file(file("0001")).unwrap();
        fs::remove_file(file("0000")).unwrap();
        let error = ring.reread().unwrap_err();
        assert!(matches!(error, KeyringError::Empty(_)), "{error}");
        write(&file("0003"), &OsEntropy).unwrap();
        assert_eq!(names(&ring.reread().unwrap()), (vec!["0003"], "0003"));
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
