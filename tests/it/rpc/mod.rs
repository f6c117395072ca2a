//! A file for each RPC, named after it, over the wire.

mod introspect;
