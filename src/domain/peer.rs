//! Who a client says that it is, by its certificate.

/// What a client's certificate, verified, says that it is: the names in its subject
/// alternative name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// Its URIs; that of a workload's SPIFFE id is one.
    pub uris: Vec<String>,
    /// Its DNS names.
    pub dns: Vec<String>,
}
