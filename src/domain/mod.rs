//! The rules, pure: no async, no I/O, no clock read, no chance drawn but through
//! an argument. Knows neither SQL nor gRPC.

pub mod audit;
pub mod base62;
pub mod bounds;
pub mod catalog;
pub mod change;
pub mod entropy;
pub mod explanation;
pub mod fingerprint;
pub mod foreign;
pub mod identity;
pub mod ids;
pub mod introspection;
pub mod invite;
pub mod jwk;
pub mod jwt;
pub mod peer;
pub mod policy;
pub mod principal;
pub mod reason;
mod refusal;
pub mod scope;
pub mod session;
mod short;
pub mod text;
pub mod time;
pub mod token;
pub mod trust;
pub mod value;
