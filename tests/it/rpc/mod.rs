//! A file for each RPC, named after it, over the wire.

mod batch_introspect;
mod introspect;
mod introspect_caller;
mod introspect_inactive;
