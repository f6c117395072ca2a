//! What a configuration that could be read must still be: bounds, and what goes with what.

use super::{Config, Purpose};
use crate::authority::hasher;
use crate::telemetry;

impl Config {
    /// Adds each problem to `problems`.
    pub(super) fn check(&self, purpose: Purpose, problems: &mut Vec<String>) {
        let mut require = |good: bool, problem: &str| {
            if !good {
                problems.push(problem.to_owned());
            }
        };
        let loopback = self.server.address.ip().is_loopback();
        require(
            loopback || self.server.plaintext,
            "server.address: not loopback, and there is no TLS; set server.plaintext = true to \
             serve plain text there",
        );
        let cost = hasher::COST_MIN..=hasher::COST_MAX;
        require(
            cost.contains(&self.hashing.cost),
            "hashing.cost: must be 4 to 14",
        );
        let threads = self.hashing.threads;
        require(
            threads.is_none_or(|threads| (1..=256).contains(&threads)),
            "hashing.threads: must be 1 to 256",
        );
        require(
            (1..=100_000).contains(&self.hashing.queue),
            "hashing.queue: must be 1 to 100000",
        );
        require(
            (1..=1000).contains(&self.database.connections),
            "database.connections: must be 1 to 1000",
        );
        require(
            (1..=60_000).contains(&self.database.acquire_timeout_ms),
            "database.acquire_timeout_ms: must be 1 to 60000",
        );
        require(
            self.server.grace_seconds <= 3600,
            "server.grace_seconds: must be at most 3600",
        );
        require(
            (1..=3600).contains(&self.keyring.reload_seconds),
            "keyring.reload_seconds: must be 1 to 3600",
        );
        require(
            (1..=3600).contains(&self.usage.flush_seconds),
            "usage.flush_seconds: must be 1 to 3600",
        );
        require(
            (10..=86_400).contains(&self.ops.census_seconds),
            "ops.census_seconds: must be 10 to 86400",
        );
        require(
            (1..=3650).contains(&self.retention.dead_tokens_days),
            "retention.dead_tokens_days: must be 1 to 3650",
        );
        let days = self.retention.audit_days;
        require(
            days.is_none_or(|days| (1..=3650).contains(&days)),
            "retention.audit_days: must be 1 to 3650",
        );
        require(
            (1..=1440).contains(&self.retention.sweep_minutes),
            "retention.sweep_minutes: must be 1 to 1440",
        );
        let filter = tracing_subscriber::EnvFilter::builder().parse(&self.telemetry.log);
        require(
            filter.is_ok(),
            "telemetry.log: not a filter such as info or info,token_authority=debug",
        );
        let endpoint = self.telemetry.otlp_endpoint.as_deref();
        require(
            endpoint.is_none_or(|url| telemetry::endpoint(url).is_some()),
            "telemetry.otlp_endpoint: must be http://HOST:PORT or https://HOST:PORT; secrets go \
             into telemetry.otlp_headers_file",
        );
        require(
            (1..=60).contains(&self.telemetry.otlp_timeout_seconds),
            "telemetry.otlp_timeout_seconds: must be 1 to 60",
        );
        require(
            (512..=100_000).contains(&self.telemetry.otlp_queue),
            "telemetry.otlp_queue: must be 512 to 100000",
        );
        require(
            (0.0..=1.0).contains(&self.telemetry.sample_ratio),
            "telemetry.sample_ratio: must be 0 to 1",
        );
        require(
            !self.telemetry.service_name.is_empty(),
            "telemetry.service_name: must not be empty",
        );
        let (url, url_file) = (&self.database.url, &self.database.url_file);
        require(
            url.is_none() || url_file.is_none(),
            "database.url and database.url_file: set one of them",
        );
        let external = url.is_some() || url_file.is_some();
        require(
            purpose == Purpose::Migrate || !external || self.keyring.directory.is_some(),
            "keyring.directory: required with PostgreSQL, where replicas share one keyring",
        );
    }
}
