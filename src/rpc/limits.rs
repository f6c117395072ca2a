//! How much is taken from callers, before anything is known of them. The transport keeps
//! these bounds, with its own status.

use std::time::Duration;

use crate::domain::bounds;

/// The bounds of what is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once.
    pub connections: usize,
    /// How long a connection lasts before its client is told to make another, a tenth more
    /// or less; for ever where it is zero.
    pub connection_age: Duration,
    /// Calls on one connection at once.
    pub streams: u32,
    /// Bytes of a message.
    pub message_bytes: usize,
    /// Bytes of a message of the services that have batches.
    pub batch_message_bytes: usize,
    /// Bytes of a call's metadata.
    pub metadata_bytes: u32,
    /// How long a call may take whose caller gives no deadline.
    pub deadline_default: Duration,
    /// How long a call may take, at most.
    pub deadline_max: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: bounds::CONNECTIONS,
            connection_age: bounds::CONNECTION_AGE,
            streams: bounds::STREAMS,
            message_bytes: bounds::MESSAGE_BYTES,
            batch_message_bytes: bounds::BATCH_MESSAGE_BYTES,
            metadata_bytes: bounds::METADATA_BYTES,
            deadline_default: bounds::DEADLINE_DEFAULT,
            deadline_max: bounds::DEADLINE_MAX,
        }
    }
}
