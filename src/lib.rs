//! token-authority issues, revokes and introspects bearer tokens, so that every
//! other service can ask one question: who is this, and what may they do?
//!
//! # The house
//!
//! Imports run one way: **`rpc → authority → coherence → store → domain`**. A test enforces it.
//!
//! | module | what it is |
//! |---|---|
//! | [`domain`] | the rules, pure: values, ids, scopes, catalogs, policies, states, judgements |
//! | [`coherence`] | answers from memory that are never stale: what is kept, and how it follows the log |
//! | [`store`] | the only place that names a database; one SQL text for both |
//! | [`authority`] | the use cases: who may, what happens; knows neither SQL nor gRPC |
//! | [`rpc`] | the only place that names gRPC: services, the one error table, layers |
//! | [`pb`] | the generated code |
//! | [`app`] | the composition root: from a [`config`] to a server that serves |
//! | [`http`], [`metrics`] | the ops port: liveness, readiness, and what is told in numbers |
//! | [`fetch`] | the keys of OIDC providers, over HTTP |
//! | [`tls`] | the certificates of the gRPC port, read and read again |
//! | [`tally`], [`call_span`] | what is counted in, and where lines of the log belong, on every floor but the lowest |
//! | [`health`], [`housekeeping`], [`lifecycle`], [`telemetry`] | what surrounds it: readiness, what is done again and again, signals, logs and traces |
//! | [`mod@bench`] | the measurement: servers of its own, load, figures |
//! | [`cli`] | the command line |
//!
//! The same noun has the same file name on every floor: `tokens`, `users`,
//! `tenants`, `scopes`.

pub mod app;
pub mod authority;
pub mod bench;
pub mod call_span;
pub mod cli;
pub mod coherence;
pub mod config;
pub mod domain;
pub mod fetch;
pub mod health;
pub mod housekeeping;
pub mod http;
pub mod lifecycle;
pub mod metrics;
pub mod pb;
pub mod rpc;
pub mod store;
pub mod tally;
pub mod telemetry;
pub mod tls;
