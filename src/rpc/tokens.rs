//! `TokenService`.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::call::{clean, give, mutate, read};
use super::convert::page::{self, List};
use super::convert::{Mask, explanation, inward, outward};
use super::import;
use crate::authority::create::CreateToken;
use crate::authority::explain::{ExplainToken, Subject};
use crate::authority::list::ListTokens;
use crate::authority::revoke::RevokeToken;
use crate::authority::revoke_all::RevokeAllTokens;
use crate::authority::revoke_batch::BatchRevokeTokens;
use crate::authority::rotate::RotateToken;
use crate::authority::update::UpdateToken;
use crate::authority::{Authority, Caller, Shown};
use crate::domain::policy::Expiry;
use crate::domain::reason::Violations;
use crate::domain::token::{Kind, RevokeReason};
use crate::pb;
use crate::pb::create_token_request::Expiry as WireExpiry;
use crate::pb::explain_token_request::Subject as WireSubject;
use crate::pb::token_service_server::TokenService;

/// Serves tokens.
#[derive(Debug)]
pub struct Service(pub Arc<Authority>);

#[tonic::async_trait]
impl TokenService for Service {
    async fn create_token(
        &self,
        request: Request<pb::CreateTokenRequest>,
    ) -> Result<Response<pb::CreateTokenResponse>, Status> {
        give(&self.0, request, |authority, call, message| async move {
            let validate_only = message.validate_only;
            let command = create(message);
            if validate_only {
                let (planned, revision) = authority.plan_token(call, command).await?;
                return Ok(pb::CreateTokenResponse {
                    token: Some(pb::Token {
                        token_id: String::new(),
                        etag: String::new(),
                        ..token(&planned)
                    }),
                    value: String::new(),
                    revision: revision.to_string(),
                    settled: true,
                });
            }
            let created = authority.create_token(call, command).await?;
            Ok(pb::CreateTokenResponse {
                token: Some(token(&created.token)),
                value: created.value.expose(),
                revision: created.revision.to_string(),
                // Each introspection reads the store: what is committed is true
                // everywhere.
                settled: true,
            })
        })
        .await
    }

    async fn import_tokens(
        &self,
        request: Request<pb::ImportTokensRequest>,
    ) -> Result<Response<pb::ImportTokensResponse>, Status> {
        import::tokens(&self.0, request).await
    }

    async fn get_token(
        &self,
        request: Request<pb::GetTokenRequest>,
    ) -> Result<Response<pb::GetTokenResponse>, Status> {
        read(&self.0, request, |authority, call, message| async move {
            let mut violations = Violations::default();
            let kind = inward::kind("kind", message.kind, &mut violations);
            clean(violations)?;
            let (tenant_id, token_id) = (&message.tenant_id, &message.token_id);
            let shown = authority.get_token(call, tenant_id, token_id, kind).await?;
            Ok(pb::GetTokenResponse {
                token: Some(token(&shown)),
            })
        })
        .await
    }

    async fn explain_token(
        &self,
        request: Request<pb::ExplainTokenRequest>,
    ) -> Result<Response<pb::ExplainTokenResponse>, Status> {
        read(&self.0, request, |authority, call, message| async move {
            let mut violations = Violations::default();
            let command = ExplainToken {
                kind: inward::kind("kind", message.kind, &mut violations),
                tenant_id: message.tenant_id,
                subject: message.subject.map(|subject| match subject {
                    WireSubject::TokenId(text) => Subject::Token(text),
                    WireSubject::Value(text) => Subject::Value(text),
                }),
                required_scopes: message.required_scopes,
                violations,
            };
            let answer = authority.explain_token(call, command).await?;
            Ok(explanation::answer(answer))
        })
        .await
    }

    async fn list_tokens(
        &self,
        request: Request<pb::ListTokensRequest>,
    ) -> Result<Response<pb::ListTokensResponse>, Status> {
        read(&self.0, request, |authority, call, message| async move {
            let list = list(&message, &call.caller);
            let page = authority.list_tokens(call, listing(message, &list)).await?;
            Ok(pb::ListTokensResponse {
                tokens: page.items.iter().map(token).collect(),
                next_page_token: page::token(page.next.as_ref(), &list),
            })
        })
        .await
    }

    async fn update_token(
        &self,
        request: Request<pb::UpdateTokenRequest>,
    ) -> Result<Response<pb::UpdateTokenResponse>, Status> {
        mutate(
            &self.0,
            request,
            |authority, call, message| async move {
                authority.update_token(call, update(message)).await
            },
            |_, shown, revision| pb::UpdateTokenResponse {
                token: Some(token(&shown)),
                revision,
            },
        )
        .await
    }

    async fn rotate_token(
        &self,
        request: Request<pb::RotateTokenRequest>,
    ) -> Result<Response<pb::RotateTokenResponse>, Status> {
        give(&self.0, request, |authority, call, message| async move {
            let rotated = authority.rotate_token(call, rotate(message)).await?;
            Ok(pb::RotateTokenResponse {
                token: Some(token(&rotated.token)),
                value: rotated.value.expose(),
                revision: rotated.revision.to_string(),
                // As in a creation.
                settled: true,
            })
        })
        .await
    }

    async fn revoke_token(
        &self,
        request: Request<pb::RevokeTokenRequest>,
    ) -> Result<Response<pb::RevokeTokenResponse>, Status> {
        mutate(
            &self.0,
            request,
            |authority, call, message| async move {
                let mut violations = Violations::default();
                let reason = inward::revoke_reason("reason", message.reason, &mut violations);
                let command = RevokeToken {
                    kind: inward::kind("kind", message.kind, &mut violations),
                    tenant_id: message.tenant_id,
                    token_id: message.token_id,
                    reason: reason.unwrap_or(RevokeReason::Unspecified),
                    reason_text: message.reason_text,
                    violations,
                };
                authority.revoke_token(call, command).await
            },
            |_, shown, revision| pb::RevokeTokenResponse {
                token: Some(token(&shown)),
                revision,
            },
        )
        .await
    }

    async fn batch_revoke_tokens(
        &self,
        request: Request<pb::BatchRevokeTokensRequest>,
    ) -> Result<Response<pb::BatchRevokeTokensResponse>, Status> {
        mutate(
            &self.0,
            request,
            |authority, call, message| async move {
                let mut violations = Violations::default();
                let reason = inward::revoke_reason("reason", message.reason, &mut violations);
                let command = BatchRevokeTokens {
                    kind: inward::kind("kind", message.kind, &mut violations),
                    tenant_id: message.tenant_id,
                    token_ids: message.token_ids,
                    reason: reason.unwrap_or(RevokeReason::Unspecified),
                    reason_text: message.reason_text,
                    violations,
                };
                authority.batch_revoke_tokens(call, command).await
            },
            |_, batch, revision| pb::BatchRevokeTokensResponse {
                // At most as many as a batch has.
                revoked_count: i32::try_from(batch.revoked).unwrap_or(i32::MAX),
                missing_token_ids: batch.missing.iter().map(ToString::to_string).collect(),
                revision,
            },
        )
        .await
    }

    async fn revoke_all_tokens(
        &self,
        request: Request<pb::RevokeAllTokensRequest>,
    ) -> Result<Response<pb::RevokeAllTokensResponse>, Status> {
        mutate(
            &self.0,
            request,
            |authority, call, message| async move {
                let mut violations = Violations::default();
                let reason = inward::revoke_reason("reason", message.reason, &mut violations);
                let command = RevokeAllTokens {
                    kinds: inward::kinds("kinds", &message.kinds, &mut violations),
                    tenant_id: message.tenant_id,
                    user_id: message.user_id,
                    reason: reason.unwrap_or(RevokeReason::Unspecified),
                    reason_text: message.reason_text,
                    violations,
                };
                authority.revoke_all_tokens(call, command).await
            },
            |_, (), revision| pb::RevokeAllTokensResponse { revision },
        )
        .await
    }
}

/// Turns a token's record into a message.
pub(super) fn token(shown: &Shown) -> pb::Token {
    outward::token(&shown.token, &shown.effective, shown.now)
}

fn create(message: pb::CreateTokenRequest) -> CreateToken {
    let mut violations = Violations::default();
    let expiry = match &message.expiry {
        None => Some(Expiry::Default),
        Some(WireExpiry::ExpireTime(at)) => {
            inward::timestamp("expire_time", Some(at), &mut violations).map(Expiry::At)
        }
        Some(WireExpiry::Ttl(ttl)) => {
            inward::duration("ttl", Some(ttl), &mut violations).map(Expiry::After)
        }
    };
    let kind = inward::kind("kind", message.kind, &mut violations);
    CreateToken {
        tenant_id: message.tenant_id,
        user_id: message.user_id,
        kind: kind.unwrap_or(Kind::Api),
        name: message.name,
        scopes: message.scopes,
        profile: message.profile,
        expiry,
        agent_id: message.agent_id,
        labels: message.labels.into_iter().collect(),
        violations,
    }
}

/// What an update may set.
const FIELDS: &[&str] = &["name", "scopes", "expire_time", "labels", "disabled"];

fn update(message: pb::UpdateTokenRequest) -> UpdateToken {
    let mut violations = Violations::default();
    let populated: Vec<&'static str> = [
        ("name", !message.name.is_empty()),
        ("scopes", !message.scopes.is_empty()),
        ("expire_time", message.expire_time.is_some()),
        ("labels", !message.labels.is_empty()),
        ("disabled", message.disabled),
    ]
    .into_iter()
    .filter_map(|(field, given)| given.then_some(field))
    .collect();
    let mask = Mask::read(
        message.update_mask.as_ref(),
        FIELDS,
        &populated,
        &mut violations,
    );
    let expiry = match &message.expire_time {
        _ if !mask.has("expire_time") => None,
        None => Some(Expiry::Never),
        // What is no time is said once, and judged no further.
        end => inward::timestamp("expire_time", end.as_ref(), &mut violations).map(Expiry::At),
    };
    UpdateToken {
        kind: inward::kind("kind", message.kind, &mut violations),
        etag: inward::etag(&message.etag),
        expiry,
        name: mask.has("name").then_some(message.name),
        scopes: mask.has("scopes").then_some(message.scopes),
        labels: mask
            .has("labels")
            .then(|| message.labels.into_iter().collect()),
        disabled: mask.has("disabled").then_some(message.disabled),
        tenant_id: message.tenant_id,
        token_id: message.token_id,
        violations,
    }
}

fn rotate(message: pb::RotateTokenRequest) -> RotateToken {
    let mut violations = Violations::default();
    let grace = message.grace_period.as_ref();
    RotateToken {
        kind: inward::kind("kind", message.kind, &mut violations),
        etag: inward::etag(&message.etag),
        grace: inward::duration_or_none("grace_period", grace, &mut violations),
        tenant_id: message.tenant_id,
        token_id: message.token_id,
        violations,
    }
}

/// Returns what a page token of this request is good for.
fn list(message: &pb::ListTokensRequest, caller: &Caller) -> List {
    let instant = |at: &prost_types::Timestamp| format!("{}.{}", at.seconds, at.nanos);
    let expire_before = message.expire_before.as_ref().map(instant);
    let expire_before = expire_before.unwrap_or_default();
    let unused_since = message.unused_since.as_ref().map(instant);
    let unused_since = unused_since.unwrap_or_default();
    List::named("tokens")
        .of_tenant(caller, &message.tenant_id)
        .with("user_id", &message.user_id)
        .with("kind", &message.kind.to_string())
        .with("state", &message.state.to_string())
        .with("name_contains", &message.name_contains)
        .with("hint", &message.hint)
        .with("expire_before", &expire_before)
        .with("unused_since", &unused_since)
        .with("show_revoked", &message.show_revoked.to_string())
}

fn listing(message: pb::ListTokensRequest, list: &List) -> ListTokens {
    let mut violations = Violations::default();
    let expires_before = message.expire_before.as_ref();
    let unused_since = message.unused_since.as_ref();
    let kind = inward::kind("kind", message.kind, &mut violations);
    ListTokens {
        page_size: page::size(message.page_size, &mut violations),
        after: page::position(&message.page_token, list, &mut violations),
        kind: kind.unwrap_or(Kind::Api),
        state: inward::state("state", message.state, &mut violations),
        expires_before: inward::timestamp("expire_before", expires_before, &mut violations),
        unused_since: inward::timestamp("unused_since", unused_since, &mut violations),
        tenant_id: message.tenant_id,
        user_id: message.user_id,
        name_contains: message.name_contains,
        hint: message.hint,
        show_revoked: message.show_revoked,
        violations,
    }
}
