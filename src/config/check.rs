//! What a configuration whose values are good one by one must still be, and what works
//! but is unwise.

use std::path::Path;
use std::time::Duration;

use super::{Config, Origin, Problems, Purpose};
use crate::authority::hasher;
use crate::domain::value;
use crate::lifecycle::LAST;
use crate::telemetry;

/// What Kubernetes leaves a pod between the signal and the end, unless told otherwise.
const TERMINATION_GRACE: Duration = Duration::from_secs(30);

impl Config {
    /// Adds each problem to `problems`.
    pub(super) fn check(&self, purpose: Purpose, problems: &mut Problems) {
        // What is said of the first of these keys is known only if all could be read.
        let mut require = |good: bool, keys: &[&str], problem: &str| {
            if let Some(first) = keys.first()
                && !good
                && !keys.iter().any(|key| problems.has_key(key))
            {
                let given = |key: &&str| self.origins.get(*key);
                let origin = keys.iter().find_map(given).unwrap_or(&Origin::Default);
                problems.add_key(first, problem, origin);
            }
        };
        let Self { server, limits, .. } = self;
        require(
            server.address.ip().is_loopback() || server.plaintext || self.has_tls(),
            &["server.address", "server.plaintext", "tls.certificate_file"],
            "not loopback, and there is no TLS; set tls.certificate_file and tls.key_file, or \
             server.plaintext = true to serve plain text there",
        );
        require(
            self.ops.address.ip().is_loopback() || self.ops.exposed,
            &["ops.address", "ops.exposed"],
            "not loopback, and anybody may read there; set ops.exposed = true to serve it there",
        );
        require(
            server.address.port() == 0 || server.address != self.ops.address,
            &["server.address", "ops.address"],
            "must be another than ops.address",
        );
        require(
            limits.batch_message_bytes >= limits.message_bytes,
            &["limits.batch_message_bytes", "limits.message_bytes"],
            "must not be less than limits.message_bytes",
        );
        require(
            limits.deadline_default_seconds <= limits.deadline_max_seconds,
            &[
                "limits.deadline_default_seconds",
                "limits.deadline_max_seconds",
            ],
            "must not be more than limits.deadline_max_seconds",
        );
        let filter = tracing_subscriber::EnvFilter::builder().parse(&self.telemetry.log);
        require(
            filter.is_ok(),
            &["telemetry.log"],
            "must be a filter such as info or info,token_authority=debug",
        );
        let endpoint = self.telemetry.otlp_endpoint.as_deref();
        require(
            endpoint.is_none_or(|url| telemetry::endpoint(url).is_some()),
            &["telemetry.otlp_endpoint"],
            "must be http://HOST:PORT or https://HOST:PORT; secrets go into \
             telemetry.otlp_headers_file",
        );
        let url = self.database.url.as_ref();
        require(
            url.is_none_or(|url| {
                let is_of = |scheme| url.expose().starts_with(scheme);
                is_of("postgres://") || is_of("postgresql://")
            }),
            &["database.url"],
            "must be of the form postgres://USER:PASSWORD@HOST/DATABASE",
        );
        let file = self.database.url_file.as_ref();
        require(
            file.is_none_or(|file| !file.to_string_lossy().contains("://")),
            &["database.url_file"],
            "must be the name of a file that holds the URL, not the URL",
        );
        require(
            url.is_none() || file.is_none(),
            &["database.url_file", "database.url"],
            "must not be set beside database.url; set one of them",
        );
        let token_file = self.bootstrap.token_file.as_ref();
        require(
            token_file.is_none_or(|file| !value::stands_in(&file.to_string_lossy())),
            &["bootstrap.token_file"],
            "must be the name of a file that holds the value, not the value",
        );
        let external = url.is_some() || file.is_some();
        require(
            purpose == Purpose::Migrate || !external || self.keyring.directory.is_some(),
            &["keyring.directory"],
            "required with PostgreSQL, where replicas share one keyring",
        );
    }

    /// Returns what works but is unwise, a line each. Looks at files, and at no value.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let mut warn = |wise: bool, key: &str, warning: String| {
            if !wise {
                warnings.push(self.origin(key).told(key, &warning));
            }
        };
        let address = self.server.address;
        warn(
            address.ip().is_loopback() || self.has_tls(),
            "server.address",
            String::from("plain text off loopback: values cross the network unprotected"),
        );
        let default = hasher::Settings::default().cost;
        warn(
            self.hashing.cost >= default,
            "hashing.cost",
            format!("less than {default} makes guessing cheap for who has the database"),
        );
        let traces = match &self.telemetry.otlp_endpoint {
            Some(_) => Duration::from_secs(self.telemetry.otlp_timeout_seconds),
            None => Duration::ZERO,
        };
        let together = self.drain() + self.grace() + LAST + traces;
        warn(
            together < TERMINATION_GRACE,
            "server.grace_seconds",
            format!(
                "with the drain, the last writes and traces, the end may take {} s: give the process longer than that \
                 (terminationGracePeriodSeconds is 30 by default)",
                together.as_secs()
            ),
        );
        let url = self.database.url.as_ref();
        warn(
            url.is_none_or(|url| !has_password(url.expose())),
            "database.url",
            String::from("has a password; database.url_file keeps it out of the configuration"),
        );
        if let Some(file) = &self.database.url_file {
            let read = std::fs::metadata(file);
            warn(
                read.is_ok(),
                "database.url_file",
                String::from("can't be read here and now"),
            );
            warn(
                !read.is_ok_and(|file| is_open_to_others(&file)),
                "database.url_file",
                String::from("every user of this machine may read it; chmod 0600, or 0400"),
            );
        }
        for (key, file) in [
            ("bootstrap.token_file", &self.bootstrap.token_file),
            ("tls.key_file", &self.tls.key_file),
        ] {
            let file = file.as_ref().and_then(|file| std::fs::metadata(file).ok());
            warn(
                !file.is_some_and(|file| is_open_to_others(&file)),
                key,
                String::from("every user of this machine may read it; chmod 0600, or 0400"),
            );
        }
        if url.is_some()
            && let Origin::File(name, _) = self.origin("database.url")
        {
            let file = std::fs::metadata(Path::new(name));
            warn(
                !file.is_ok_and(|file| is_open_to_others(&file)),
                "database.url",
                String::from("every user of this machine may read this file; chmod 0600"),
            );
        }
        warnings
    }
}

/// Returns whether a URL has a password.
fn has_password(url: &str) -> bool {
    let authority = url.split_once("://").map_or("", |(_, rest)| rest);
    let authority = authority.split('/').next().unwrap_or_default();
    let user = authority.rsplit_once('@').map(|(user, _)| user);
    user.is_some_and(|user| user.contains(':')) || url.contains("password=")
}

/// Returns whether everybody may read a file. It is warned of and not refused, because
/// Kubernetes mounts secrets so unless told otherwise, into a container that has one user.
#[cfg(unix)]
fn is_open_to_others(file: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    file.permissions().mode() & 0o004 != 0
}

#[cfg(not(unix))]
fn is_open_to_others(_: &std::fs::Metadata) -> bool {
    false
}

/// Returns the variables that are not read for want of an underscore: `__` stands between
/// section and key.
pub fn misspelt_variables<'a>(
    environment: impl IntoIterator<Item = &'a str>,
) -> Vec<(&'a str, String)> {
    // Trusts are given in the file alone.
    let sections = Config::default().sections();
    let names: Vec<_> = sections
        .iter()
        .flat_map(|section| {
            let section_name = section.name.to_uppercase();
            let keys = section.keys.iter();
            keys.map(move |key| (section_name.clone(), key.name.to_uppercase()))
        })
        .collect();
    environment
        .into_iter()
        .filter_map(|variable| {
            let given = variable.strip_prefix(super::given::PREFIX)?;
            let (section, key) = names
                .iter()
                .find(|(section, key)| format!("{section}_{key}") == given)?;
            let meant = format!("{}{section}__{key}", super::given::PREFIX);
            Some((variable, meant))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_seen_in_a_url() {
        for (url, has) in [
            ("postgres://u:p@h/d", true),
            ("postgres://u:p@h", true),
            ("postgres://h/d?user=u&password=p", true),
            ("postgres://u@h:5432/d", false),
            ("postgres://h:5432/a@b:c", false),
            ("postgres:///d?host=/run", false),
        ] {
            assert_eq!(has_password(url), has, "{url}");
        }
    }

    #[test]
    fn a_variable_with_one_underscore_is_seen() {
        let given = [
            "TOKEN_AUTHORITY_SERVER_ADDRESS",
            "TOKEN_AUTHORITY_DATABASE_URL_FILE",
            "TOKEN_AUTHORITY_SERVER__ADDRESS",
            "TOKEN_AUTHORITY_PORT",
            "TOKEN_AUTHORITY_SERVICE_HOST",
            "PATH",
        ];
        let meant = misspelt_variables(given);
        let meant: Vec<_> = meant.iter().map(|(_, meant)| meant.as_str()).collect();
        assert_eq!(
            meant,
            [
                "TOKEN_AUTHORITY_SERVER__ADDRESS",
                "TOKEN_AUTHORITY_DATABASE__URL_FILE"
            ]
        );
    }
}
