//! The profiles that are kept, in a file that only its owner reads: a name, a server, a
//! token. Knows nothing of what is called with them.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::address::Address;
use super::failure::Failure;
use super::input;
use super::settings::Connection;

/// The bytes of the file, at most.
const MOST: u64 = 4 * 1024 * 1024;

/// All profiles.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Profiles {
    /// The one that is called with where none is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) in_use: Option<String>,
    /// Each, by its name.
    #[serde(default)]
    pub(super) profiles: BTreeMap<String, Profile>,
}

/// One of them: what is absent comes from elsewhere.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Profile {
    /// The server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) address: Option<String>,
    /// Whether plain text may be spoken with it over a network.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) plaintext: bool,
    /// The token itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) token: Option<String>,
    /// The file that holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) token_file: Option<PathBuf>,
    /// The tenant of calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tenant: Option<String>,
    /// The agent that tokens are made for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) agent_id: Option<String>,
    /// The certificates that are trusted in place of the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ca: Option<PathBuf>,
    /// This client's certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) client_cert: Option<PathBuf>,
    /// Its key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) client_key: Option<PathBuf>,
    /// The name that the server's certificate bears.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) server_name: Option<String>,
}

/// Shows no token.
impl fmt::Debug for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Profile")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Profile {
    /// Returns its server, as it was given; the default one where none was.
    pub(super) fn server(&self) -> String {
        let default = || Address::default_server().to_string();
        self.address.clone().unwrap_or_else(default)
    }

    /// Returns whether its server is at this address.
    pub(super) fn is_at(&self, address: &Address) -> bool {
        self.server().parse().as_ref() == Ok(address)
    }

    /// Returns whether it had an address, and has another now.
    pub(super) fn moved_to(&self, now: &Self) -> bool {
        let address = now.server().parse();
        self.address.is_some() && !address.is_ok_and(|address| self.is_at(&address))
    }

    /// Returns whether it holds a token, or says where one is.
    pub(super) fn has_token(&self) -> bool {
        self.token.is_some() || self.token_file.is_some()
    }

    /// Returns how its server is reached, beside its address.
    pub(super) fn connection(&self) -> Connection {
        Connection {
            ca: self.ca.clone(),
            client: self.client_cert.clone().zip(self.client_key.clone()),
            server_name: self.server_name.clone(),
        }
    }
}

impl Profiles {
    /// Reads them; where there is no file there are none.
    pub(super) fn read(environment: &BTreeMap<String, String>) -> Result<Self, Failure> {
        match directory(environment) {
            // A home that is nobody's, or another's: nothing of this user's is there.
            Some(directory)
                if !environment.contains_key("TA_CONFIG_DIR") && is_out_of_reach(&directory) =>
            {
                Ok(Self::default())
            }
            Some(directory) => Self::read_in(&directory),
            None => Ok(Self::default()),
        }
    }

    fn read_in(directory: &Path) -> Result<Self, Failure> {
        let path = directory.join("profiles.toml");
        let unreadable = |error: io::Error| unusable(&path, &error);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(unreadable(error)),
        };
        // Who may write the directory may put another file in place of this one.
        private(
            directory,
            &fs::metadata(directory).map_err(unreadable)?,
            0o022,
        )?;
        private(&path, &file.metadata().map_err(unreadable)?, 0o077)?;
        let mut text = String::new();
        file.take(MOST + 1)
            .read_to_string(&mut text)
            .map_err(unreadable)?;
        if text.len() as u64 > MOST {
            return Err(unreadable(io::Error::from(io::ErrorKind::FileTooLarge)));
        }
        toml::from_str(&text).map_err(|error| unparsable(&path, &text, &error))
    }

    /// Changes them: reads, changes and writes, nobody else meanwhile, so that of two
    /// changes at once none is lost. Where `change` fails nothing is written.
    pub(super) fn change<T>(
        environment: &BTreeMap<String, String>,
        change: impl FnOnce(&mut Self) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let directory = directory(environment).ok_or_else(|| {
            Failure::usage("there is no place for profiles: set TA_CONFIG_DIR or HOME")
        })?;
        let failed = |error: io::Error| unusable(&directory, &error);
        create_private(&directory).map_err(failed)?;
        let made = fs::metadata(&directory).map_err(failed)?;
        private(&directory, &made, 0o022)?;
        let lock = private_options()
            .create(true)
            .open(directory.join("profiles.lock"))
            .map_err(failed)?;
        lock.lock().map_err(failed)?;
        let mut profiles = Self::read_in(&directory)?;
        let before = profiles.clone();
        let changed = change(&mut profiles)?;
        if profiles != before {
            profiles.write(&directory).map_err(failed)?;
        }
        Ok(changed)
    }

    /// Refuses a place where they can't be changed.
    pub(super) fn probe(environment: &BTreeMap<String, String>) -> Result<(), Failure> {
        Self::change(environment, |_| Ok(()))?;
        let directory = directory(environment).unwrap_or_default();
        let path = directory.join("profiles.toml");
        probe(&path).map_err(|error| unusable(&path, &error))
    }

    /// Writes a new file in place of the old one, whole and durably.
    fn write(&self, directory: &Path) -> io::Result<()> {
        let text = toml::to_string(self).map_err(io::Error::other)?;
        replace(&directory.join("profiles.toml"), &text)
    }

    /// Returns the profile of this name, else the one in use, else an empty one.
    pub(super) fn find(&self, name: Option<String>) -> Result<(Option<String>, Profile), Failure> {
        let Some(name) = name.or_else(|| self.in_use.clone()) else {
            return Ok((None, Profile::default()));
        };
        let profile = self.get(&name)?.clone();
        Ok((Some(name), profile))
    }

    /// Returns the profile of this name.
    pub(super) fn get(&self, name: &str) -> Result<&Profile, Failure> {
        self.profiles.get(name).ok_or_else(|| self.missing(name))
    }

    /// Says that there is no such profile, and which there are.
    pub(super) fn missing(&self, name: &str) -> Failure {
        let names: Vec<&str> = self.profiles.keys().map(String::as_str).collect();
        let there = if names.is_empty() {
            String::from("there is none yet; token-authority profile set NAME makes one")
        } else {
            format!("there are: {}", names.join(", "))
        };
        match input::without_value("a profile's name", name) {
            Ok(()) => Failure::usage(format!("no profile {name:?}\n  {there}")),
            Err(failure) => failure,
        }
    }
}

/// Writes a file in place of the one that is there, whole and durably. It has that one's
/// owner and mode; where there was none, only its owner reads it.
pub(super) fn replace(path: &Path, text: &str) -> io::Result<()> {
    let (path, mut new) = successor(path)?;
    new.write_all(text.as_bytes())?;
    new.as_file().sync_all()?;
    let directory = new.path().parent().map(Path::to_owned);
    new.persist(path)?;
    // The file's name is durable once its directory is.
    #[cfg(unix)]
    if let Some(directory) = directory {
        File::open(directory)?.sync_all()?;
    }
    Ok(())
}

/// Refuses a file that [`replace`] can't replace.
pub(super) fn probe(path: &Path) -> io::Result<()> {
    successor(path).map(drop)
}

/// Returns where a file is, links followed, and an empty one to replace it by.
fn successor(path: &Path) -> io::Result<(PathBuf, tempfile::NamedTempFile)> {
    let (path, old) = match fs::canonicalize(path) {
        Ok(path) => {
            let old = fs::metadata(&path)?;
            (path, Some(old))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => (path.to_owned(), None),
        Err(error) => return Err(error),
    };
    if old.as_ref().is_some_and(|old| !old.is_file()) {
        return Err(io::Error::other("it is no regular file"));
    }
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    // Made with 0600.
    let new = tempfile::NamedTempFile::new_in(directory)?;
    if let Some(old) = old {
        inherit(new.as_file(), &old)?;
    }
    Ok((path, new))
}

/// Gives a file the owner and the mode of another.
#[cfg(unix)]
fn inherit(new: &File, old: &Metadata) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    let made = new.metadata()?;
    let other = |of: u32, made: u32| (of != made).then_some(of);
    let (owner, group) = (other(old.uid(), made.uid()), other(old.gid(), made.gid()));
    if owner.is_some() || group.is_some() {
        std::os::unix::fs::fchown(new, owner, group)?;
    }
    new.set_permissions(old.permissions())
}

#[cfg(not(unix))]
fn inherit(_new: &File, _old: &Metadata) -> io::Result<()> {
    Ok(())
}

/// Returns where profiles are kept.
fn directory(environment: &BTreeMap<String, String>) -> Option<PathBuf> {
    let path = |name: &str| {
        let text = environment.get(name).filter(|text| !text.is_empty())?;
        Some(PathBuf::from(text))
    };
    // A relative one is to be ignored, says the XDG specification.
    let xdg = path("XDG_CONFIG_HOME").filter(|path| path.is_absolute());
    path("TA_CONFIG_DIR").or_else(|| {
        let base = xdg.or_else(|| path("HOME").map(|home| home.join(".config")))?;
        Some(base.join("token-authority"))
    })
}

fn is_out_of_reach(directory: &Path) -> bool {
    let found = fs::metadata(directory).map_err(|error| error.kind());
    matches!(
        found,
        Err(io::ErrorKind::NotADirectory | io::ErrorKind::PermissionDenied)
    )
}

fn create_private(directory: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)
}

/// Returns how a file is opened that only its owner reads.
pub(super) fn private_options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Refuses what others can reach by one of these bits of its mode.
#[cfg(unix)]
fn private(path: &Path, metadata: &Metadata, bits: u32) -> Result<(), Failure> {
    let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions());
    let owner = std::os::unix::fs::MetadataExt::uid(metadata);
    let caller = rustix::process::geteuid().as_raw();
    // The superuser reads for whom it pleases, and is trusted by all.
    if ![owner, caller].contains(&0) && owner != caller {
        let path = path.display();
        return Err(Failure::usage(format!(
            "{path} is another user's; tokens are kept in one's own"
        )));
    }
    if mode & bits == 0 {
        return Ok(());
    }
    let (verb, right) = if metadata.is_dir() {
        ("changed", "700")
    } else {
        ("read", "600")
    };
    let path = path.display();
    Err(Failure::usage(format!(
        "{path} can be {verb} by others; it holds tokens\n  chmod {right} {path}"
    )))
}

#[cfg(not(unix))]
fn private(_path: &Path, _metadata: &Metadata, _bits: u32) -> Result<(), Failure> {
    Ok(())
}

fn unusable(path: &Path, error: &io::Error) -> Failure {
    Failure::usage(format!("{}: {error}", path.display()))
}

/// Says where the file is wrong, without what stands there, which may be a token.
fn unparsable(path: &Path, text: &str, error: &toml::de::Error) -> Failure {
    let before = error.span().and_then(|span| text.get(..span.start));
    let line = before.map_or(1, |before| before.matches('\n').count() + 1);
    let what = if error.message().starts_with("unknown field") {
        error.message()
    } else {
        "not of the form of a profile"
    };
    Failure::usage(format!("{}: line {line}: {what}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(directory: &Path) -> BTreeMap<String, String> {
        let path = directory.display().to_string();
        BTreeMap::from([(String::from("TA_CONFIG_DIR"), path)])
    }

    fn add(environment: &BTreeMap<String, String>, name: &str) {
        Profiles::change(environment, |profiles| {
            profiles
                .profiles
                .insert(name.to_owned(), Profile::default());
            Ok(())
        })
        .unwrap();
    }

    #[test]
    fn of_changes_at_once_none_is_lost() {
        let temporary = tempfile::tempdir().unwrap();
        let environment = environment(&temporary.path().join("made"));
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let environment = &environment;
                scope.spawn(move || {
                    for change in 0..8 {
                        add(environment, &format!("{writer}-{change}"));
                    }
                });
            }
        });
        let profiles = Profiles::read(&environment).unwrap().profiles;
        assert_eq!(profiles.len(), 32);
    }

    #[test]
    fn a_change_that_fails_writes_nothing() {
        let temporary = tempfile::tempdir().unwrap();
        let environment = environment(temporary.path());
        add(&environment, "one");
        let failed = Profiles::change(&environment, |profiles| {
            profiles.profiles.clear();
            Err::<(), _>(Failure::usage("no"))
        });
        assert!(failed.is_err());
        assert_eq!(Profiles::read(&environment).unwrap().profiles.len(), 1);
    }

    #[test]
    fn a_file_that_is_wrong_is_named_by_line_and_not_shown() {
        let temporary = tempfile::tempdir().unwrap();
        let environment = environment(temporary.path());
        let path = temporary.path().join("profiles.toml");
        for (text, expected) in [
            ("[profiles.a]\ntoken = ta_secret", "line 2: not of the form"),
            (
                "[profiles.a]\nplaintext = 'ta_secret'",
                "line 2: not of the form",
            ),
            ("[profiles.a]\ncolour = 1", "line 2: unknown field `colour`"),
        ] {
            replace(&path, text).unwrap();
            let said = Profiles::read(&environment).unwrap_err().to_string();
            assert!(said.contains(expected), "{said}");
            assert!(!said.contains("secret"), "{said}");
        }
    }

    #[test]
    fn where_profiles_are_kept() {
        let found = |variables: &[(&str, &str)]| {
            let variables = variables
                .iter()
                .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
            directory(&variables.collect()).map(|path| path.display().to_string())
        };
        let home = ("HOME", "/home/ada");
        let xdg = ("XDG_CONFIG_HOME", "/xdg");
        assert_eq!(found(&[]), None);
        assert_eq!(found(&[home]).unwrap(), "/home/ada/.config/token-authority");
        assert_eq!(
            found(&[home, ("XDG_CONFIG_HOME", "relative")]).unwrap(),
            "/home/ada/.config/token-authority"
        );
        assert_eq!(found(&[home, xdg]).unwrap(), "/xdg/token-authority");
        assert_eq!(
            found(&[home, xdg, ("TA_CONFIG_DIR", "here")]).unwrap(),
            "here"
        );
    }
}
