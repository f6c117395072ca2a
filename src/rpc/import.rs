//! `TokenService/ImportTokens`: a message of many tokens, and its answer.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::call::mutate;
use super::convert::inward;
use super::tokens::token;
use crate::authority::Authority;
use crate::authority::create::CreateToken;
use crate::authority::import::{ImportTokens, ImportedToken};
use crate::domain::policy::Expiry;
use crate::domain::reason::Violations;
use crate::domain::token::Kind;
use crate::pb;
use crate::pb::imported_token::Expiry as WireExpiry;

/// Answers the call.
pub(super) async fn tokens(
    authority: &Arc<Authority>,
    request: Request<pb::ImportTokensRequest>,
) -> Result<Response<pb::ImportTokensResponse>, Status> {
    let validate_only = request.get_ref().validate_only;
    mutate(
        authority,
        request,
        move |authority, call, message| async move {
            let command = command(message);
            if validate_only {
                authority.judge_import(call, command).await
            } else {
                authority.import_tokens(call, command).await
            }
        },
        move |_, imported, revision| pb::ImportTokensResponse {
            tokens: imported
                .iter()
                .map(|shown| {
                    let token = token(shown);
                    if !validate_only {
                        return token;
                    }
                    pb::Token {
                        token_id: String::new(),
                        etag: String::new(),
                        ..token
                    }
                })
                .collect(),
            revision,
            // As in a creation.
            settled: true,
        },
    )
    .await
}

fn command(message: pb::ImportTokensRequest) -> ImportTokens {
    let tokens = message.tokens.into_iter().map(imported).collect();
    ImportTokens {
        tenant_id: message.tenant_id,
        hint_length: message.hint_length,
        tokens,
    }
}

fn imported(message: pb::ImportedToken) -> ImportedToken {
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
    let created_at = message.create_time.as_ref();
    let created_at = inward::timestamp("create_time", created_at, &mut violations);
    ImportedToken {
        token: CreateToken {
            tenant_id: String::new(),
            user_id: message.user_id,
            kind: kind.unwrap_or(Kind::Api),
            name: message.name,
            scopes: message.scopes,
            profile: message.profile,
            expiry,
            agent_id: message.agent_id,
            labels: message.labels.into_iter().collect(),
            violations,
        },
        secret_hash: message.secret_hash,
        hint: message.hint,
        created_at,
    }
}
