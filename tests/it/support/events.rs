//! What the audit log holds, read from the database itself.

use token_authority::domain::audit::Event;

use super::Database;

/// Returns the events of an action in a tenant's chain, oldest first.
pub(crate) async fn events(database: &Database, tenant_id: &str, action: &str) -> Vec<Event> {
    let hex = match database {
        Database::Sqlite(_) => "lower(hex(event))",
        Database::Postgres { .. } => "encode(event, 'hex')",
    };
    let sql = format!(
        "SELECT {hex} FROM audit_events
          WHERE tenant_id = '{tenant_id}' AND action = '{action}' ORDER BY sequence"
    );
    let mut events = Vec::new();
    for hex in database.texts(&sql).await {
        let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        let bytes: Vec<u8> = (0..hex.len()).step_by(2).map(byte).collect();
        events.push(Event::from_bytes(&bytes).unwrap());
    }
    events
}
