//! `[trusts.NAME]`: the OIDC providers whose sessions the whole installation takes.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::given::Raw;
use super::schema::Section;
use super::{Config, Problems, Reader};
use crate::authority::sessions::{InstallationTrust, InstallationTrusts, KeySource};
use crate::domain::reason::{Field, Violations};
use crate::domain::session::TrustName;
use crate::domain::trust::{self, Rules, USER_CLAIM};

/// What the section of each trust is called where no trust is meant.
pub(super) const SECTION: &str = "trusts.NAME";

/// `[trusts.NAME]`: a trust in an OIDC provider, whose sessions are taken in the whole
/// installation; NAME is 1 to 63 of a-z, 0-9 and -, and begins with a letter. Users are
/// known by it, so a name is never given to another provider. Each is given in the file: no
/// variable and no flag sets its keys.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Trust {
    /// What `iss` must be, to the byte. It must be given.
    pub issuer: String,
    /// What `aud` must be or have. It must be given.
    pub audience: String,
    /// What other claims must be or have, such as `typ = "Bearer"`. Where there is none, the
    /// header `typ` must be `at+jwt`.
    pub required_claims: BTreeMap<String, String>,
    /// Where the provider's keys are: an http or https URL.
    pub jwks_url: Option<String>,
    /// In place of the URL: a file that holds the keys.
    pub jwks_file: Option<PathBuf>,
    /// The claim that the user is known by.
    pub user_claim: String,
    /// The claim that people call the user by.
    pub name_claim: Option<String>,
}

impl Default for Trust {
    fn default() -> Self {
        Self {
            issuer: String::new(),
            audience: String::new(),
            required_claims: BTreeMap::new(),
            jwks_url: None,
            jwks_file: None,
            user_claim: String::from(USER_CLAIM),
            name_claim: None,
        }
    }
}

impl Trust {
    fn rules(&self) -> Rules {
        Rules {
            issuer: self.issuer.clone(),
            audience: self.audience.clone(),
            required_claims: self.required_claims.clone(),
            user_claim: self.user_claim.clone(),
            name_claim: self.name_claim.clone().unwrap_or_default(),
        }
    }

    fn keys(&self) -> Option<KeySource> {
        match (&self.jwks_url, &self.jwks_file) {
            (Some(url), None) => Some(KeySource::Url {
                url: url.clone(),
                of_tenant: false,
            }),
            (None, Some(path)) => Some(KeySource::File(path.clone())),
            (Some(_), Some(_)) | (None, None) => None,
        }
    }
}

impl Reader<'_> {
    /// Reads the trusts, each of which is a section of the file.
    pub(super) fn trusts(&mut self) -> BTreeMap<String, Trust> {
        let section = Section::of(SECTION, &Trust::default());
        let mut trusts = BTreeMap::new();
        for (name, raw, origin) in self.given.section("trusts") {
            if !name.is_empty()
                && let Err(error) = name.parse::<TrustName>()
            {
                self.problems.add_key("trusts", &error.to_string(), &origin);
                continue;
            }
            let Raw::Typed(toml::Value::Table(keys)) = raw else {
                let what = "must be a section of the file for each trust, [trusts.NAME]";
                self.problems.add_key("trusts", what, &origin);
                continue;
            };
            let keys = keys
                .into_iter()
                .map(|(key, value)| (key, Raw::Typed(value), origin.clone()));
            let trust = self.keys(&format!("trusts.{name}"), &section, keys.collect());
            self.origins.insert(format!("trusts.{name}"), origin);
            trusts.insert(name, trust);
        }
        trusts
    }
}

impl Config {
    /// Returns the installation-wide trusts.
    pub fn trusts(&self) -> InstallationTrusts {
        let trusts = self.trusts.iter();
        let good = trusts.filter_map(|(name, trust)| {
            let (name, keys) = (name.parse::<TrustName>().ok()?, trust.keys()?);
            let rules = trust.rules();
            Some((name, InstallationTrust { rules, keys }))
        });
        good.collect()
    }

    /// Adds each problem of the trusts to `problems`.
    pub(super) fn check_trusts(&self, problems: &mut Problems) {
        for (name, trust) in &self.trusts {
            let path = format!("trusts.{name}");
            let origin = self.origin(&path);
            let mut told = |key: &str, what: &str| {
                let key = format!("{path}.{key}");
                // What follows from a key that could not be read is not known.
                if !problems.has_key(&key) {
                    problems.add_key(&key, what, origin);
                }
            };
            let mut violations = Violations::default();
            trust.rules().check("", &mut violations);
            for violation in &violations {
                let key = violation.field.trim_start_matches('.');
                told(key, violation.reason.sentence());
            }
            match (&trust.jwks_url, &trust.jwks_file) {
                (Some(url), None) if trust::operators_url(url).is_err() => {
                    told("jwks_url", Field::InvalidUrl.sentence());
                }
                (Some(_), None) | (None, Some(_)) => {}
                (Some(_), Some(_)) => {
                    told(
                        "jwks_url",
                        "must not be set beside jwks_file; set one of them",
                    );
                }
                (None, None) => told("jwks_url", "must be set, or jwks_file"),
            }
            let twin = self.trusts.iter().find(|(other, twin)| {
                *other < name && twin.issuer == trust.issuer && twin.audience == trust.audience
            });
            if let Some((twin, _)) = twin {
                told(
                    "issuer",
                    &format!("must not be that of trusts.{twin}, with the same audience"),
                );
            }
        }
    }
}
