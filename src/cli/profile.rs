//! `profile`: names for a server and a token, so that they are not given on each call.

mod shown;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs::File;
use std::path::{Path, PathBuf};

use super::address::Address;
use super::failure::Failure;
use super::output::{Record, table, text, yes};
use super::profiles::{Profile, Profiles};
use super::{input, print};
use crate::config;
use crate::domain::jwt;
use crate::domain::value::TokenValue;

/// The characters of a profile's name, at most.
const NAME_CHARS: usize = 64;

/// What is done with profiles.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Makes a profile, or changes what is given of one
    Set(Box<Set>),
    /// Calls with this profile from now on, where no other is named
    Use {
        /// The profile
        name: String,
    },
    /// Lists the profiles
    List {
        /// Print them as JSON
        #[arg(long)]
        json: bool,
    },
    /// Shows a profile, of its token no more than the hint
    Show {
        /// The profile; default: the one in use
        name: Option<String>,
        /// Print it as JSON
        #[arg(long)]
        json: bool,
    },
    /// Removes a profile, and the token that it holds; the token itself goes on
    Remove {
        /// The profile
        name: String,
    },
}

/// What a profile is to hold. An empty text removes what it held.
#[derive(Debug, clap::Args)]
pub(super) struct Set {
    /// Its name: 1 to 64 of A-Z, a-z, 0-9, ., _ and -
    #[arg(value_parser = name)]
    name: String,
    /// The server: HOST:PORT (plain text on loopback, else TLS), `http://…` or `https://…`
    #[arg(long)]
    address: Option<String>,
    /// Speak plain text with it, though it is not on loopback: who is on the way can read
    /// the token
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    plaintext: Option<bool>,
    /// Read the token from standard input, and keep it in the profile; typed unseen on a
    /// terminal
    #[arg(long, conflicts_with = "token_file")]
    token: bool,
    /// Read the token from this file, on each call
    #[arg(long, value_name = "FILE", value_parser = file)]
    token_file: Option<PathBuf>,
    /// The tenant of calls
    #[arg(long, value_name = "ID")]
    tenant: Option<String>,
    /// The agent that AGENT tokens are made for
    #[arg(long, value_name = "ID")]
    agent_id: Option<String>,
    /// Trust these certificates (PEM), and not the system's
    #[arg(long, value_name = "FILE", value_parser = file)]
    ca: Option<PathBuf>,
    /// This client's certificate (PEM)
    #[arg(long, value_name = "FILE", value_parser = file)]
    client_cert: Option<PathBuf>,
    /// Its key (PEM)
    #[arg(long, value_name = "FILE", value_parser = file)]
    client_key: Option<PathBuf>,
    /// The name that the server's certificate bears, where it is not the address's
    #[arg(long, value_name = "NAME")]
    server_name: Option<String>,
}

/// Parses a path, which may be empty.
#[expect(clippy::unnecessary_wraps, reason = "clap takes no other parser")]
fn file(text: &str) -> Result<PathBuf, Infallible> {
    Ok(PathBuf::from(text))
}

/// Parses the name of a profile: it stands in a file and in messages.
fn name(text: &str) -> Result<String, String> {
    let good = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if (1..=NAME_CHARS).contains(&text.len()) && text.chars().all(good) {
        Ok(text.to_owned())
    } else {
        Err(String::from("not 1 to 64 of A-Z, a-z, 0-9, ., _ and -"))
    }
}

impl Command {
    /// Runs it.
    pub(super) fn run(self) -> Result<(), Failure> {
        let environment = config::environment();
        match self {
            Self::Set(set) => set.run(&environment),
            Self::Use { name } => {
                Profiles::change(&environment, |profiles| {
                    profiles.get(&name)?;
                    profiles.in_use = Some(name.clone());
                    Ok(())
                })?;
                Ok(print(&format!("The profile {name} is in use.\n"))?)
            }
            Self::List { json } => {
                let profiles = Profiles::read(&environment)?;
                if json {
                    return Ok(print(&shown::list(&profiles))?);
                }
                let rows = profiles.profiles.iter().map(|(name, profile)| {
                    vec![
                        name.clone(),
                        yes(profiles.in_use.as_ref() == Some(name)),
                        text(profile.address.as_deref().unwrap_or_default()),
                        text(profile.tenant.as_deref().unwrap_or_default()),
                        token(profile),
                    ]
                });
                let headings = ["name", "in use", "address", "tenant", "token"];
                Ok(print(&table(&headings, rows))?)
            }
            Self::Show { name, json } => {
                let profiles = Profiles::read(&environment)?;
                let (name, profile) = profiles.find(name)?;
                let name = name.ok_or_else(|| {
                    Failure::usage(
                        "no profile is in use\n  token-authority profile list, profile use NAME",
                    )
                })?;
                if json {
                    return Ok(print(&shown::one(&name, &profile, &profiles))?);
                }
                Ok(print(&show(&name, &profile, &profiles))?)
            }
            Self::Remove { name } => {
                Profiles::change(&environment, |profiles| {
                    profiles.get(&name)?;
                    profiles.profiles.remove(&name);
                    if profiles.in_use.as_ref() == Some(&name) {
                        profiles.in_use = None;
                    }
                    Ok(())
                })?;
                Ok(print(&format!("The profile {name} is removed.\n"))?)
            }
        }
    }
}

impl Set {
    fn run(self, environment: &BTreeMap<String, String>) -> Result<(), Failure> {
        // Asked for before the file is locked: whoever types takes their time.
        let token = self.token.then(|| input::value("the token", None));
        let token = token.transpose()?.map(|value| value.trim().to_owned());
        if let Some(value) = &token
            && !value.chars().all(|c| c.is_ascii_graphic())
        {
            return Err(Failure::usage(
                "what was given is no token, by its characters",
            ));
        }
        let name = self.name.clone();
        let said = Profiles::change(environment, |profiles| {
            let is_new = !profiles.profiles.contains_key(&name);
            let profile = profiles.profiles.entry(name.clone()).or_default();
            self.apply(token, profile)?;
            check(profile)?;
            // The first one is meant to be called with.
            if profiles.in_use.is_none() {
                profiles.in_use = Some(name.clone());
            }
            let done = if is_new { "made" } else { "changed" };
            Ok(match &profiles.in_use {
                Some(in_use) if *in_use == name => {
                    format!("The profile {name} is {done}, and in use.\n")
                }
                _ => format!(
                    "The profile {name} is {done}. To call with it: --profile {name}, or \
                     token-authority profile use {name}\n"
                ),
            })
        })?;
        Ok(print(&said)?)
    }

    /// Puts what was given into the profile.
    fn apply(self, token: Option<String>, profile: &mut Profile) -> Result<(), Failure> {
        let before = profile.clone();
        set(&mut profile.address, self.address);
        set(&mut profile.tenant, self.tenant);
        set(&mut profile.agent_id, self.agent_id);
        set(&mut profile.server_name, self.server_name);
        set_file(&mut profile.ca, self.ca)?;
        set_file(&mut profile.client_cert, self.client_cert)?;
        set_file(&mut profile.client_key, self.client_key)?;
        if let Some(plaintext) = self.plaintext {
            profile.plaintext = plaintext;
        }
        if token.is_some() {
            (profile.token, profile.token_file) = (token, None);
        } else if self.token_file.is_some() {
            set_file(&mut profile.token_file, self.token_file)?;
            profile.token = None;
        } else if before.moved_to(profile) && before.has_token() {
            return Err(Failure::usage(format!(
                "the token of the profile {} is for {}, and not for {}\n  give that one's with it: \
                 --token, or --token-file FILE",
                self.name,
                before.server(),
                profile.server()
            )));
        }
        // Allowed for the address that was, and not for any to come.
        if before.moved_to(profile) && self.plaintext.is_none() {
            profile.plaintext = false;
        }
        Ok(())
    }
}

fn set(field: &mut Option<String>, given: Option<String>) {
    if let Some(given) = given {
        *field = Some(given).filter(|text| !text.is_empty());
    }
}

/// Keeps the path of a file, whole, so that it holds wherever one calls from.
fn set_file(field: &mut Option<PathBuf>, given: Option<PathBuf>) -> Result<(), Failure> {
    let Some(given) = given else {
        return Ok(());
    };
    if given.as_os_str().is_empty() {
        *field = None;
        return Ok(());
    }
    input::path_without_value(&given)?;
    let read = |path: &Path| File::open(path).and_then(|_| std::path::absolute(path));
    let path =
        read(&given).map_err(|error| Failure::usage(format!("{}: {error}", given.display())))?;
    *field = Some(path);
    Ok(())
}

/// Refuses what could not be called with.
fn check(profile: &Profile) -> Result<(), Failure> {
    if let Some(text) = &profile.address {
        let address: Address = text
            .parse()
            .map_err(|error| Failure::usage(format!("--address {text:?} {error}")))?;
        if address.is_exposed() && !profile.plaintext {
            return Err(Failure::usage(format!(
                "{address} is plain text over a network, where others can read the token\n  \
                 with TLS: https://…\n  where the network is safe: add --plaintext"
            )));
        }
    }
    if profile.client_cert.is_some() != profile.client_key.is_some() {
        return Err(Failure::usage("--client-cert and --client-key go together"));
    }
    Ok(())
}

/// Returns what is shown of a profile's token.
fn token(profile: &Profile) -> String {
    match (&profile.token, &profile.token_file) {
        (Some(value), _) => match value.parse::<TokenValue>() {
            Ok(value) => format!("{}…", value.hint()),
            Err(_) if jwt::looks_like(value) => String::from("a session, kept until it ends"),
            Err(_) => String::from("kept; not of a value's form"),
        },
        (None, Some(path)) => format!("in {}", text(&path.display().to_string())),
        (None, None) => String::from("-"),
    }
}

fn show(name: &str, profile: &Profile, profiles: &Profiles) -> String {
    let said = |field: &Option<String>| text(field.as_deref().unwrap_or_default());
    let path = |field: &Option<PathBuf>| {
        let path = field.as_ref().map(|path| path.display().to_string());
        text(&path.unwrap_or_default())
    };
    Record::default()
        .with("name", name)
        .with("in use", yes(profiles.in_use.as_deref() == Some(name)))
        .with("address", said(&profile.address))
        .with_some(
            "plain text",
            if profile.plaintext { "allowed" } else { "-" },
        )
        .with("token", token(profile))
        .with("tenant", said(&profile.tenant))
        .with_some("agent", said(&profile.agent_id))
        .with_some("ca", path(&profile.ca))
        .with_some("client cert", path(&profile.client_cert))
        .with_some("client key", path(&profile.client_key))
        .with_some("server name", said(&profile.server_name))
        .to_string()
}
