//! Who a client says that it is, by its certificate.

use super::time::Timestamp;

/// What a client's certificate, verified, says that it is: the names in its subject
/// alternative name, and how long they count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its URIs; that of a workload's SPIFFE id is one.
    pub uris: Vec<String>,
    /// Its DNS names.
    pub dns: Vec<String>,
    /// The last moment at which it is good.
    pub expires_at: Timestamp,
}
