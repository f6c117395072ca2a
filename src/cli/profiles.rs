//! The profiles that are kept: a name, a server, a token.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::failure::Failure;
use super::settings::Connection;

/// All profiles.
#[derive(Clone, Debug, Default)]
pub(super) struct Profiles {}

/// One of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Profile {
    pub(super) address: Option<String>,
    pub(super) plaintext: bool,
    pub(super) token: Option<String>,
    pub(super) token_file: Option<PathBuf>,
    pub(super) tenant: Option<String>,
    pub(super) agent_id: Option<String>,
}

impl Profiles {
    /// Reads them.
    #[expect(clippy::unnecessary_wraps, reason = "files can be unreadable")]
    pub(super) fn read(_environment: &BTreeMap<String, String>) -> Result<Self, Failure> {
        Ok(Self {})
    }

    /// Returns the profile of this name, else the one in use, else an empty one.
    #[expect(clippy::unused_self, reason = "there are none yet")]
    pub(super) fn find(&self, name: Option<String>) -> Result<(Option<String>, Profile), Failure> {
        match name {
            None => Ok((None, Profile::default())),
            Some(name) => Err(Failure::usage(format!("there is no profile {name}"))),
        }
    }
}

impl Profile {
    /// Returns how its server is reached, beside its address.
    #[expect(clippy::unused_self, reason = "there are none yet")]
    pub(super) fn connection(&self) -> Connection {
        Connection::default()
    }
}
