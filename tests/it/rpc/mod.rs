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

mod add_member;
mod create_tenant;
mod create_user;
mod delete_tenant;
mod delete_user;
mod get_catalog;
mod get_tenant;
mod get_user;
mod list_members;
mod list_tenants;
mod list_users;
mod remove_member;
mod resume_tenant;
mod resume_user;
mod set_active_tenant;
mod suspend_tenant;
mod suspend_user;
mod update_catalog;
mod update_member;
mod update_tenant;
mod update_user;
