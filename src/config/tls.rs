//! `[tls]`: TLS on the gRPC port.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Config, Problems};
use crate::domain::time::Clock;
use crate::tls;

/// `[tls]`: TLS on the gRPC port, spoken where `certificate_file` is given. The files are
/// read again when they change.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// The file (PEM) of the server's certificate, and after it those between it and the
    /// CA's.
    pub certificate_file: Option<PathBuf>,
    /// The file (PEM) of its key.
    pub key_file: Option<PathBuf>,
    /// The file (PEM) of the CAs by which clients show who they are; where it is absent no
    /// client is asked for a certificate. Each of them may sign for every identity.
    pub client_ca_file: Option<PathBuf>,
    /// Whether a client needs a certificate: `required`, which it is where there is a CA and
    /// this is absent, or `optional`; one that is shown must be good in any case.
    pub client_certificates: Option<ClientCertificates>,
    /// The least version of TLS that is spoken.
    pub minimum_version: TlsVersion,
    /// How often, in seconds, the files are read again; SIGHUP has it done at once.
    #[schemars(range(min = 1, max = 3600))]
    pub reload_seconds: u64,
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            certificate_file: None,
            key_file: None,
            client_ca_file: None,
            client_certificates: None,
            minimum_version: TlsVersion::V1_3,
            reload_seconds: 10,
        }
    }
}

/// Whether a client needs a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ClientCertificates {
    /// It does.
    Required,
    /// It may show one.
    Optional,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum TlsVersion {
    /// 1.3.
    #[serde(rename = "1.3")]
    V1_3,
    /// 1.2.
    #[serde(rename = "1.2")]
    V1_2,
}

/// The keys that mean nothing without a certificate. Those that have a default are not
/// among them: a configuration that is printed has them, and can be read again.
const WITH_CERTIFICATE: [&str; 4] = [
    "tls.certificate_file",
    "tls.key_file",
    "tls.client_ca_file",
    "tls.client_certificates",
];

impl Config {
    /// Returns whether TLS is to be spoken on the gRPC port.
    pub(super) fn has_tls(&self) -> bool {
        self.tls.certificate_file.is_some() || self.tls.key_file.is_some()
    }

    /// Returns the files of TLS, and how often they are read again, where TLS is spoken.
    pub fn tls(&self) -> Option<(tls::Files, Duration)> {
        let tls = &self.tls;
        let (certificate, key) = tls.certificate_file.clone().zip(tls.key_file.clone())?;
        let clients = match tls.client_certificates {
            Some(ClientCertificates::Optional) => tls::Clients::Optional,
            Some(ClientCertificates::Required) | None => tls::Clients::Required,
        };
        let files = tls::Files {
            certificate,
            key,
            clients: tls.client_ca_file.clone().map(|ca| (ca, clients)),
            minimum: match tls.minimum_version {
                TlsVersion::V1_3 => tls::Version::V1_3,
                TlsVersion::V1_2 => tls::Version::V1_2,
            },
        };
        Some((files, Duration::from_secs(tls.reload_seconds)))
    }

    /// Adds each problem of TLS to `problems`, those of the files among them: a server that
    /// can't use them does not start.
    pub(super) fn check_tls(&self, problems: &mut Problems, clock: &Arc<dyn Clock>) {
        if let Some(name) = self.identities.keys().next()
            && self.tls.client_ca_file.is_none()
            && problems.is_empty()
        {
            let origin = self.origin(&format!("tls.identities.{name}"));
            let what = "required with [tls.identities], whose certificates it verifies";
            problems.add_key("tls.client_ca_file", what, origin);
        }
        let Some(given) = WITH_CERTIFICATE
            .iter()
            .find_map(|key| self.origins.get(*key))
        else {
            return;
        };
        let mut told = |key: &str, what: &str| {
            // What follows from a key that could not be read is not known.
            if !problems.has_key(key) {
                let origin = self.origins.get(key).unwrap_or(given);
                problems.add_key(key, what, origin);
            }
        };
        let tls = &self.tls;
        match (&tls.certificate_file, &tls.key_file) {
            (Some(_), None) => told("tls.key_file", "required with tls.certificate_file"),
            (None, Some(_)) => told("tls.certificate_file", "required with tls.key_file"),
            (None, None) => {
                told("tls.certificate_file", "required with what else [tls] has");
            }
            (Some(_), Some(_)) => {}
        }
        if tls.client_certificates.is_some() && tls.client_ca_file.is_none() {
            told(
                "tls.client_certificates",
                "has no meaning without tls.client_ca_file",
            );
        }
        if tls.client_ca_file.is_some() && self.server.connection_age_seconds == 0 {
            told(
                "server.connection_age_seconds",
                "must not be 0 with tls.client_ca_file: a connection would outlive its certificate",
            );
        }
        if self.server.plaintext && self.has_tls() {
            told(
                "server.plaintext",
                "must not be true beside tls.certificate_file; the port speaks one of them",
            );
        }
        let Some((files, _)) = self.tls() else { return };
        for flaw in tls::load(&files, clock).err().unwrap_or_default() {
            told(flaw.key, &flaw.what);
        }
    }
}
