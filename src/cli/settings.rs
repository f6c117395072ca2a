//! Which server, as whom, and how: flags, then the environment, then the profile.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::address::Address;
use super::failure::Failure;
use super::output::Output;
use super::profiles::{Profile, Profiles};
use super::{input, moments};

/// Which server, and as whom. Each can also come from the environment, where the flag's
/// text names a variable, or from a profile; a flag wins, and so does all that a profile
/// holds which --profile names, then the environment.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Connection")]
pub(super) struct ClientArguments {
    /// The profile to call with [`TA_PROFILE`; default: the one in use]
    #[arg(long, global = true, value_name = "NAME")]
    profile: Option<String>,
    /// The server: HOST:PORT, `http://…` or `https://…` `[TA_ADDRESS]`
    #[arg(long, global = true, value_name = "ADDRESS")]
    address: Option<Address>,
    /// A file that holds the token to call with [`TA_TOKEN_FILE`, `TA_TOKEN`]
    #[arg(long, global = true, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// The tenant [`TA_TENANT`; default: the caller's own]
    #[arg(long, global = true, value_name = "ID")]
    tenant: Option<String>,
    /// Print the server's answer as JSON
    #[arg(long, global = true)]
    json: bool,
    /// How long a call may take
    #[arg(long, global = true, value_name = "LENGTH", default_value = "30s", value_parser = moments::wait)]
    timeout: Duration,
}

/// What the flags, the environment and the profile come to.
#[derive(Debug)]
pub(super) struct Settings {
    /// The profile, where there is one.
    pub(super) profile: Option<String>,
    /// The server.
    pub(super) address: Address,
    /// What the profile says of the connection.
    pub(super) connection: Connection,
    /// What is presented.
    pub(super) credential: Option<Credential>,
    /// The tenant, where one was named.
    pub(super) tenant: Option<String>,
    /// The tenant that `--tenant` named.
    pub(super) tenant_flag: Option<String>,
    /// The agent that tokens are made for, where the profile names one.
    pub(super) agent_id: Option<String>,
    /// How long a call may take.
    pub(super) timeout: Duration,
    /// How answers are printed.
    pub(super) output: Output,
}

/// How a profile's server is reached, beside its address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Connection {
    /// The certificates that are trusted in place of the system's.
    pub(super) ca: Option<PathBuf>,
    /// This client's certificate and its key.
    pub(super) client: Option<(PathBuf, PathBuf)>,
    /// The name that the server's certificate bears, where it is not the address's.
    pub(super) server_name: Option<String>,
}

/// What is presented.
pub(super) struct Credential {
    /// The value.
    pub(super) value: String,
    /// Where it was read from.
    pub(super) origin: Origin,
}

/// Shows no value.
impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credential({})", self.origin)
    }
}

/// Where a credential was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The variable `TA_TOKEN`.
    Environment,
    /// A file.
    File(PathBuf),
    /// A profile that holds it.
    Profile(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment => f.write_str("the token in TA_TOKEN"),
            Self::File(path) => write!(f, "the token in {}", path.display()),
            Self::Profile(name) => write!(f, "the token of the profile {name}"),
        }
    }
}

impl ClientArguments {
    /// Returns what they come to.
    pub(super) fn settings(
        self,
        environment: &BTreeMap<String, String>,
    ) -> Result<Settings, Failure> {
        let variable = |name: &str| {
            environment
                .get(name)
                .filter(|text| !text.is_empty())
                .cloned()
        };
        let profiles = Profiles::read(environment)?;
        let named_by_flag = self.profile.is_some();
        let (name, profile) = profiles.find(self.profile.or_else(|| variable("TA_PROFILE")))?;
        // A profile that was asked for is not called with another's token, or at another's
        // address, because the shell has one.
        let first =
            |profile: Option<String>, variable: Option<String>| match (named_by_flag, profile) {
                (true, Some(profile)) => Some(profile),
                (_, profile) => variable.or(profile),
            };

        let address = match self.address {
            Some(address) => Some(address),
            None => first(profile.address.clone(), variable("TA_ADDRESS"))
                .map(|text| parse(&text))
                .transpose()?,
        };
        let address = address.unwrap_or_else(Address::default_server);
        // What the profile allows, it allows for its own address.
        let own = profile
            .address
            .as_deref()
            .and_then(|text| text.parse().ok());
        let allowed = profile.plaintext && own.as_ref() == Some(&address);
        if address.is_exposed() && !allowed {
            return Err(Failure::usage(format!(
                "{address} is plain text over a network, where others can read the token\n  \
                 with TLS: https://…\n  where the network is safe: token-authority profile set \
                 NAME --address {address} --plaintext"
            )));
        }
        let credential = match self.token_file {
            Some(path) => Some(Credential::read(path)?),
            None => credential(named_by_flag, name.as_deref(), &profile, &variable)?,
        };
        Ok(Settings {
            address,
            credential,
            tenant_flag: self.tenant.clone(),
            tenant: self
                .tenant
                .or_else(|| first(profile.tenant.clone(), variable("TA_TENANT"))),
            agent_id: profile.agent_id.clone(),
            connection: profile.connection(),
            timeout: self.timeout,
            output: if self.json {
                Output::Json
            } else {
                Output::Table
            },
            profile: name,
        })
    }
}

fn parse(text: &str) -> Result<Address, Failure> {
    text.parse()
        .map_err(|error| Failure::usage(format!("the address {text:?} {error}")))
}

/// Returns what is presented where no flag says so.
fn credential(
    named_by_flag: bool,
    name: Option<&str>,
    profile: &Profile,
    variable: &impl Fn(&str) -> Option<String>,
) -> Result<Option<Credential>, Failure> {
    let own = |name: Option<&str>| match (&profile.token, &profile.token_file, name) {
        (Some(value), _, Some(name)) => Ok(Some(Credential {
            value: value.clone(),
            origin: Origin::Profile(name.to_owned()),
        })),
        (None, Some(path), _) => Credential::read(path.clone()).map(Some),
        _ => Ok(None),
    };
    if named_by_flag && let Some(credential) = own(name)? {
        return Ok(Some(credential));
    }
    match (variable("TA_TOKEN"), variable("TA_TOKEN_FILE")) {
        (Some(_), Some(_)) => Err(Failure::usage("TA_TOKEN and TA_TOKEN_FILE are both set")),
        (Some(value), None) => Ok(Some(Credential {
            value: value.trim().to_owned(),
            origin: Origin::Environment,
        })),
        (None, Some(path)) => Credential::read(PathBuf::from(path)).map(Some),
        (None, None) => own(name),
    }
}

impl Credential {
    fn read(path: PathBuf) -> Result<Self, Failure> {
        let value = input::value("the token", Some(&path))?;
        Ok(Self {
            value: value.trim().to_owned(),
            origin: Origin::File(path),
        })
    }
}
