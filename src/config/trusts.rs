//! `[trusts.NAME]`: the OIDC providers whose sessions the whole installation takes.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use super::Config;
use crate::authority::sessions::{InstallationTrust, InstallationTrusts, KeySource};
use crate::domain::reason::{Field, Violations};
use crate::domain::session::TrustName;
use crate::domain::trust::{self, Rules, USER_CLAIM};

/// `[trusts.NAME]`: a trust in an OIDC provider. Users are known by its name, so a name is
/// never given to another provider.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Trust {
    /// What `iss` must be, to the byte.
    pub issuer: String,
    /// What `aud` must be or have.
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
    pub(super) fn check_trusts(&self, problems: &mut Vec<String>) {
        for (name, trust) in &self.trusts {
            if let Err(error) = name.parse::<TrustName>() {
                problems.push(format!("trusts: {error}"));
                continue;
            }
            let path = format!("trusts.{name}");
            let mut violations = Violations::default();
            trust.rules().check(&path, &mut violations);
            if trust.keys().is_none() {
                problems.push(format!("{path}: set one of jwks_url and jwks_file"));
            }
            if let Some(url) = &trust.jwks_url
                && trust::operators_url(url).is_err()
            {
                violations.add(format!("{path}.jwks_url"), Field::InvalidUrl);
            }
            let said = violations.iter();
            problems.extend(said.map(|v| format!("{}: {}", v.field, v.reason.sentence())));
            let twin = self.trusts.iter().find(|(other, twin)| {
                *other < name && twin.issuer == trust.issuer && twin.audience == trust.audience
            });
            if let Some((twin, _)) = twin {
                problems.push(format!(
                    "{path}: trusts.{twin} has this issuer and audience"
                ));
            }
        }
    }
}
