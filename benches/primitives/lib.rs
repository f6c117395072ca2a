//! What the primitives of an introspection take; see `primitives.rs`.
