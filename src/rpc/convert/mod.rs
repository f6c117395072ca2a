//! Between the wire and the domain: what is answered ([`outward`]), what was asked
//! ([`inward`]), page tokens and field masks. Pure; whatever is wrong with a
//! request is gathered as violations, all at once.

pub mod explanation;
pub mod invite;
pub mod inward;
pub mod mask;
pub mod outward;
pub mod page;
pub mod trust;

pub use mask::Mask;
