//! A file for each RPC, named after it, over the wire.

mod batch_introspect;
mod create_token;
mod create_token_bounds;
mod create_token_grant;
mod get_token;
mod introspect;
mod introspect_caller;
mod introspect_inactive;
mod list_tokens;
mod revoke_token;
mod update_token;
mod update_token_widening;
mod who_am_i;

mod create_tenant;
mod delete_tenant;
mod get_tenant;
mod list_tenants;
mod resume_tenant;
mod suspend_tenant;
mod update_tenant;
