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
/// text names a variable, or from a profile; a flag wins, and so does a profile which
/// --profile names, then the environment.
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
    /// Whether no credential is wanted.
    #[arg(skip)]
    nobody: bool,
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
    /// Standard input.
    StandardInput,
    /// A file.
    File(PathBuf),
    /// A profile that holds it.
    Profile(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment => f.write_str("the token in TA_TOKEN"),
            Self::StandardInput => f.write_str("the token on standard input"),
            Self::File(path) => write!(f, "the token in {}", path.display()),
            Self::Profile(name) => write!(f, "the token of the profile {name}"),
        }
    }
}

impl ClientArguments {
    /// Returns these, of one who presents no credential: none is read.
    pub(super) fn of_nobody(mut self) -> Self {
        self.nobody = true;
        self
    }

    /// Returns how answers are printed.
    pub(super) fn output(&self) -> Output {
        if self.json {
            Output::Json
        } else {
            Output::Table
        }
    }

    /// Returns what they come to.
    pub(super) fn settings(
        self,
        environment: &BTreeMap<String, String>,
    ) -> Result<Settings, Failure> {
        let output = self.output();
        let variable = |name: &str| {
            environment
                .get(name)
                .filter(|text| !text.trim().is_empty())
                .cloned()
        };
        let profiles = Profiles::read(environment)?;
        let named_by_flag = self.profile.is_some();
        let (name, profile) = profiles.find(self.profile.or_else(|| variable("TA_PROFILE")))?;
        // A profile that was asked for is not called with another's token, or at another's
        // address, because the shell has one.
        let asked = |name: &str| variable(name).filter(|_| !named_by_flag);
        let address = match (self.address, asked("TA_ADDRESS")) {
            (Some(address), _) => Some(address),
            (None, Some(text)) => Some(parse(&text)?),
            (None, None) => profile.address.as_deref().map(parse).transpose()?,
        };
        let address = address.unwrap_or_else(Address::default_server);
        // What the profile allows, it allows for its own address; and what it shows, it
        // shows to no other.
        let is_own = profile.is_at(&address);
        if address.is_exposed() && !(profile.plaintext && is_own) {
            return Err(Failure::usage(format!(
                "{address} is plain text over a network, where others can read the token\n  \
                 with TLS: https://…\n  where the network is safe: token-authority profile set \
                 NAME --address {address} --plaintext"
            )));
        }
        let named = name.as_deref().unwrap_or_default();
        let credential = match (self.nobody, self.token_file) {
            (true, _) => None,
            (false, Some(path)) => Some(Credential::read(path)?),
            (false, None) => match of_environment(&variable)? {
                Some(origin) if named_by_flag && !profile.has_token() => {
                    return Err(Failure::usage(format!(
                        "the profile {named} has no token, and {origin} is not for it\n  \
                         token-authority profile set {named} --token, or --token-file FILE"
                    )));
                }
                Some(given) if !named_by_flag => Some(given.read()?),
                _ if profile.has_token() && !is_own => {
                    return Err(Failure::usage(format!(
                        "the token of the profile {named} is for {}, and not for {address}\n  for \
                         that one: --token-file FILE, or TA_TOKEN without --profile",
                        profile.server()
                    )));
                }
                _ => of_profile(named, &profile)?,
            },
        };
        let mut connection = profile.connection();
        if !is_own {
            connection.client = None;
        }
        let tenant = if named_by_flag {
            profile.tenant.clone().or_else(|| variable("TA_TENANT"))
        } else {
            variable("TA_TENANT").or_else(|| profile.tenant.clone())
        };
        Ok(Settings {
            address,
            credential,
            tenant_flag: self.tenant.clone(),
            tenant: self.tenant.or(tenant),
            agent_id: profile.agent_id.clone(),
            connection,
            timeout: self.timeout,
            output,
            profile: name,
        })
    }
}

fn parse(text: &str) -> Result<Address, Failure> {
    text.parse()
        .map_err(|error| Failure::usage(format!("the address {text:?} {error}")))
}

/// A credential that the environment holds, or says where to read.
enum Given {
    Value(String),
    File(PathBuf),
}

/// Names the variable.
impl fmt::Display for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Value(_) => "TA_TOKEN",
            Self::File(_) => "TA_TOKEN_FILE",
        })
    }
}

impl Given {
    fn read(self) -> Result<Credential, Failure> {
        match self {
            Self::Value(value) => Ok(Credential {
                value: value.trim().to_owned(),
                origin: Origin::Environment,
            }),
            Self::File(path) => Credential::read(path),
        }
    }
}

/// Returns what the environment presents.
fn of_environment(variable: &impl Fn(&str) -> Option<String>) -> Result<Option<Given>, Failure> {
    match (variable("TA_TOKEN"), variable("TA_TOKEN_FILE")) {
        (Some(_), Some(_)) => Err(Failure::usage("TA_TOKEN and TA_TOKEN_FILE are both set")),
        (Some(value), None) => Ok(Some(Given::Value(value))),
        (None, Some(path)) => Ok(Some(Given::File(PathBuf::from(path)))),
        (None, None) => Ok(None),
    }
}

/// Returns what a profile presents.
fn of_profile(name: &str, profile: &Profile) -> Result<Option<Credential>, Failure> {
    match (&profile.token, &profile.token_file) {
        (Some(value), _) => Ok(Some(Credential {
            value: value.clone(),
            origin: Origin::Profile(name.to_owned()),
        })),
        (None, Some(path)) => Credential::read(path.clone()).map(Some),
        (None, None) => Ok(None),
    }
}

impl Credential {
    fn read(path: PathBuf) -> Result<Self, Failure> {
        let value = input::value("the token", Some(&path))?;
        Ok(Self {
            value: value.trim().to_owned(),
            origin: if input::is_standard(Some(&path)) {
                Origin::StandardInput
            } else {
                Origin::File(path)
            },
        })
    }
}
