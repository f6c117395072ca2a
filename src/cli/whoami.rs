//! `whoami`: who one is, where, and until when; and so whether the server is reached.

use super::failure::Failure;
use super::output::{Record, names, text};
use super::session::Session;
use super::{moments, words};
use crate::pb;

/// Asks the server who the caller is.
pub(super) async fn run(session: &Session) -> Result<(), Failure> {
    let request = session.request(pb::WhoAmIRequest {});
    let answer = session.me().who_am_i(request).await?.into_inner();
    session.output.show(&answer, |answer| {
        let address = session.settings.address.to_string();
        let tenant = answer.tenant.clone().unwrap_or_default();
        let user = answer.user.as_ref();
        let memberships: Vec<String> = answer
            .memberships
            .iter()
            .map(|of| format!("{} ({})", of.tenant_id, words::role(of.role)))
            .collect();
        let record = Record::default()
            .with("server", address)
            .with_some(
                "profile",
                text(session.settings.profile.as_deref().unwrap_or_default()),
            )
            .with("tenant", text(&tenant.tenant_id));
        let of_user = user.map_or_else(
            || String::from("-"),
            |user| format!("{} ({})", text(&user.external_id), text(&user.user_id)),
        );
        let record = if let Some(session) = &answer.session {
            record
                .with("session of", text(&session.trust))
                .with("user", of_user)
                .with("role", words::role(session.role))
                .with("ends", moments::said(session.expire_time.as_ref()))
        } else if let Some(identity) = &answer.identity {
            // One of the two is empty.
            let certificate = format!("{}{}", identity.spiffe_id, identity.dns_name);
            record
                .with("identity", text(&identity.name))
                .with("certificate", text(&certificate))
                .with("scopes", names(&identity.scopes))
        } else {
            let token = answer.token.clone().unwrap_or_default();
            record
                .with(
                    "token",
                    format!("{} ({})", text(&token.token_id), text(&token.name)),
                )
                .with("kind", words::kind(token.kind))
                .with("user", of_user)
                .with("scopes", names(&token.effective_scopes))
                .with("ends", moments::said(token.expire_time.as_ref()))
        };
        record
            .with_some("member of", names(&memberships))
            .to_string()
    })
}
