//! Services that are known by their client certificates.

mod coverage;
mod deeds;
mod suspension;
mod who;

use token_authority::config::{Config, Identity};

const REFUSED: &str = "Unauthenticated CALLER_UNAUTHENTICATED";
const INTROSPECT: &str = "authority:introspect";
const ADMIN: &str = "authority:tenant.admin";

/// The SPIFFE ID of a service.
fn spiffe_id(name: &str) -> String {
    format!("spiffe://prod.example.org/sa/{name}")
}

/// Has an identity configured that is known by the SPIFFE ID of its name.
fn identify(config: &mut Config, name: &str, tenant_id: &str, scopes: &[&str]) {
    let identity = Identity {
        spiffe_id: Some(spiffe_id(name)),
        dns_name: None,
        tenant_id: tenant_id.into(),
        scopes: scopes.iter().map(|&scope| scope.into()).collect(),
    };
    config.identities.insert(name.into(), identity);
}

/// Has that identity known by a DNS name instead.
fn know_by_dns(config: &mut Config, name: &str, dns_name: &str) {
    let identity = config.identities.get_mut(name).unwrap();
    (identity.spiffe_id, identity.dns_name) = (None, Some(dns_name.into()));
}
