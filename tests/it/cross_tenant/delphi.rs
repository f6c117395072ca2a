//! The first tenant: everything in it has a name of its own, so that it is recognised
//! wherever it shows.

use std::collections::BTreeMap;

use prost_reflect::{DynamicMessage, Value};
use token_authority::authority::access::{Effect, Rpc};
use token_authority::pb;

use crate::authz_coverage::{Scene, method};
use crate::support::import::{HINT, batch, foreign, imported};
use crate::support::invites::guest;
use crate::support::raw::{call, path};
use crate::support::tokens::{change, get, import, mask, update, who_am_i};
use crate::support::{Actor, Provider, TestServer, message};

/// The tenant and all that others could name of it.
pub(super) struct Delphi<'a> {
    pub(super) scene: Scene<'a>,
    pub(super) admin: Actor,
    /// That of an administrator.
    pub(super) session: String,
    token: pb::Token,
    user: pb::User,
    /// Values that it brought along: one that was never presented, and one that was.
    pub(super) brought: [String; 2],
    /// Where its lists go on.
    pub(super) page_tokens: BTreeMap<&'static str, String>,
}

pub(super) const TENANT: &str = "delphi";
pub(super) const PREFIX: &str = "delphi_";
pub(super) const EXTERNAL_ID: &str = "kassandra@troy";
/// Under which its administrator has called already.
const REQUEST_ID: &str = "asked-before";

impl<'a> Delphi<'a> {
    pub(super) async fn found(t: &'a TestServer, provider: &Provider) -> Self {
        let scene = Scene::new(t, TENANT).await;
        let admin = scene.tenant.admin.clone();
        let renamed = message!(UpdateTenantRequest {
            tenant_id: TENANT,
            display_name: "Oracle of Apollo",
            request_id: REQUEST_ID,
            policy: pb::TenantPolicy {
                oidc_trust: Some(super::trust(provider, TENANT)),
                ..Default::default()
            },
        });
        let paths = mask(&["display_name", "policy.oidc_trust"]);
        let renamed = pb::UpdateTenantRequest {
            update_mask: paths,
            ..renamed
        };
        admin.update_tenant(renamed).await.unwrap();
        let renamed = message!(UpdateUserRequest {
            tenant_id: TENANT,
            user_id: scene.user_id.as_str(),
            external_id: EXTERNAL_ID,
            display_name: "Kassandra",
            request_id: REQUEST_ID,
        });
        let user = admin.update_user(renamed).await.unwrap().user.unwrap();
        let renamed = pb::UpdateTokenRequest {
            update_mask: mask(&["name", "labels"]),
            name: "tripod".into(),
            labels: [("priestess".into(), "pythia".into())].into(),
            request_id: REQUEST_ID.into(),
            ..change(&scene.token_id)
        };
        let token = update(&admin, renamed).await.unwrap().token.unwrap();
        admin.invite(guest("a second")).await;
        let brought = [7, 8].map(|number| foreign(TENANT, number));
        let tokens = brought
            .iter()
            .map(|value| imported(value, &scene.tenant.admin_id, value));
        import(&admin, batch(tokens.collect())).await.unwrap();
        who_am_i(&t.actor(&brought[1]), pb::WhoAmIRequest {})
            .await
            .unwrap();
        t.authority.flush_usage().await.unwrap();
        let mut page_tokens = BTreeMap::new();
        for &rpc in Rpc::ALL {
            let method = method(rpc);
            if method.input().get_field_by_name("page_token").is_none() {
                continue;
            }
            let mut fields = scene.request(rpc);
            fields.push(("page_size", Value::I32(1)));
            let by = scene.right(rpc).await;
            let answer = call(&by, &method, &fields).await.unwrap();
            let answer = DynamicMessage::decode(method.output(), &*answer).unwrap();
            let next = answer.get_field_by_name("next_page_token").unwrap();
            let next = next.as_str().unwrap().to_owned();
            // That of the tenants is the operators'.
            assert!(
                !next.is_empty() || rpc == Rpc::ListTenants,
                "{} has one page",
                path(&method)
            );
            page_tokens.insert(rpc.name(), next);
        }
        Self {
            session: super::session(t, provider, TENANT, super::SUBJECT).await,
            scene,
            admin,
            token,
            user,
            brought,
            page_tokens,
        }
    }

    /// Returns the id under which its administrator has asked already, where a call takes
    /// one.
    pub(super) fn request_id(rpc: Rpc) -> Option<(&'static str, Value)> {
        let field = method(rpc).input().get_field_by_name("request_id");
        let mutates = rpc.effect() == Effect::Mutates;
        (mutates && field.is_some()).then(|| ("request_id", Value::String(REQUEST_ID.into())))
    }

    /// Returns the visible part of its token's value.
    pub(super) fn hint(&self) -> &str {
        &self.token.hint
    }

    /// Returns its invite, which is open.
    pub(super) fn invite(&self) -> &pb::Invite {
        self.scene.invite.invite.as_ref().unwrap()
    }

    /// Returns the ids, names and texts that are its own.
    pub(super) fn needles(&self) -> Vec<String> {
        let scene = &self.scene;
        [
            scene.token_id.as_str(),
            &scene.user_id,
            &scene.outsider_id,
            &scene.tenant.admin_id,
            &scene.value,
            self.hint(),
            &self.invite().invite_id,
            &self.invite().hint,
            TENANT,
            PREFIX,
            EXTERNAL_ID,
            "Oracle of Apollo",
            "Kassandra",
            "tripod",
            "priestess",
            "pythia",
        ]
        .map(str::to_owned)
        .into_iter()
        .chain(self.brought.iter().map(|value| value[..HINT].to_owned()))
        .collect()
    }

    /// Checks that its own administrator finds all as it was.
    pub(super) async fn assert_whole(&self, t: &TestServer) {
        let request = message!(GetTokenRequest {
            tenant_id: TENANT,
            token_id: self.scene.token_id.as_str(),
        });
        let token = get(&self.admin, request).await.unwrap().token.unwrap();
        assert_eq!(token, self.token);
        let request = message!(GetUserRequest {
            tenant_id: TENANT,
            user_id: self.scene.user_id.as_str(),
        });
        let user = self.admin.get_user(request).await.unwrap().user.unwrap();
        assert_eq!(user, self.user);
        let holder = t.actor(&self.scene.value);
        who_am_i(&holder, pb::WhoAmIRequest {}).await.unwrap();
        for value in &self.brought {
            let holder = t.actor(value);
            who_am_i(&holder, pb::WhoAmIRequest {}).await.unwrap();
        }
        let claimed = t.nobody().try_claim(&self.scene.invite.value).await;
        assert_eq!(claimed.unwrap().membership.unwrap().tenant_id, TENANT);
    }
}
