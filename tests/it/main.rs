//! The integration tests: one binary, so that there is one thing to link.
//!
//! A test that needs a database runs on either, as `name::sqlite` and
//! `name::postgres`; `make test` starts a `PostgreSQL` for it.

// clippy lets tests unwrap and index only in modules that are for tests alone.
#[cfg(test)]
mod abuse;
#[cfg(test)]
mod administration;
#[cfg(test)]
mod adversary;
#[cfg(test)]
mod architecture;
#[cfg(test)]
mod audit;
#[cfg(test)]
mod authz_coverage;
#[cfg(test)]
mod bench;
#[cfg(test)]
mod bootstrap;
#[cfg(test)]
mod cli;
#[cfg(test)]
mod concurrency;
#[cfg(test)]
mod config_mistakes;
#[cfg(test)]
mod contract;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod cross_tenant;
#[cfg(test)]
mod drops;
#[cfg(test)]
mod errors;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod identities;
#[cfg(test)]
mod keyring;
#[cfg(test)]
mod kinds;
#[cfg(test)]
mod lifecycle;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod metrics;
#[cfg(test)]
mod mutations;
#[cfg(test)]
mod ops;
#[cfg(test)]
mod products;
#[cfg(test)]
mod readme;
#[cfg(test)]
mod rpc;
#[cfg(test)]
mod schema_parity;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod sessions;
#[cfg(test)]
mod silence;
#[cfg(test)]
mod store;
#[cfg(test)]
mod store_sql;
#[cfg(test)]
mod support;
#[cfg(test)]
mod sweeper;
#[cfg(test)]
mod telemetry;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod transport;
#[cfg(test)]
mod usage;
