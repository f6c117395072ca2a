//! Who may call what with a session, for every RPC: members, administrators, and those of
//! another tenant by its own trust or by the installation's.

use token_authority::authority::access::{Need, Rpc};
use token_authority::pb;

use super::REFUSED;
use crate::authz_coverage::{self, Scene, method, names_tenant, served_without_token};
use crate::support::raw::call;
use crate::support::{Actor, Backend, Provider, TestServer, both_backends, mask, message, refusal};

both_backends!(every_rpc_is_for_the_sessions_that_may);

const DENIED: &str = "PermissionDenied PERMISSION_DENIED";
const NO_TENANT: &str = "NotFound TENANT_NOT_FOUND";
const NO_INVITE: &str = "NotFound INVITE_NOT_FOUND";

/// Has a tenant trust a provider for its own audience.
async fn trust(t: &TestServer, provider: &Provider, tenant_id: &str) {
    let mut request = message!(UpdateTenantRequest {
        tenant_id: tenant_id,
    });
    request.update_mask = Some(mask(&["policy.oidc_trust"]));
    request.policy = Some(pb::TenantPolicy {
        oidc_trust: Some(pb::OidcTrust {
            audience: tenant_id.into(),
            ..provider.oidc_trust()
        }),
        ..Default::default()
    });
    t.operator().update_tenant(request).await.unwrap();
}

/// Returns a session of a tenant's user, made as this.
async fn session(
    t: &TestServer,
    provider: &Provider,
    tenant_id: &str,
    name: &str,
    role: pb::Role,
) -> Actor {
    t.operator().create_user(tenant_id, name, role).await;
    let mut claims = provider.claims(t, name);
    claims["aud"] = tenant_id.into();
    t.actor(&provider.sign(&claims))
}

/// What an administrator is answered.
fn to_admin(rpc: Rpc) -> &'static str {
    authz_coverage::to_admin(rpc, served_without_token(rpc))
}

/// What a member is answered who asks for what is another's.
fn to_member(rpc: Rpc) -> &'static str {
    match rpc.need() {
        Need::TokensRead | Need::TokensWrite => {
            if matches!(rpc, Rpc::ListTokens | Rpc::BatchRevokeTokens) {
                "OK"
            } else if rpc == Rpc::CreateToken {
                DENIED
            } else {
                "NotFound TOKEN_NOT_FOUND"
            }
        }
        Need::TenantAdmin => DENIED,
        Need::Nothing | Need::Authenticated | Need::Introspect | Need::Operator => to_admin(rpc),
    }
}

async fn every_rpc_is_for_the_sessions_that_may(backend: Backend) {
    let main = Provider::start("https://main.example").await;
    let provider = Provider::start("https://id.example").await;
    let installed = main.trust();
    let t = TestServer::start_with(backend, |config| {
        config.trusts.insert("main".into(), installed);
    })
    .await;
    t.tenant("stranger", crate::support::self_service()).await;
    trust(&t, &provider, "stranger").await;
    super::admit(&t, "stranger", &["main"]).await;
    let stranger = session(&t, &provider, "stranger", "boss", pb::Role::Admin).await;
    let guest = t.actor(&main.session(&t, "guest"));
    super::get_tenant(&guest, "stranger").await.unwrap();
    for (number, &rpc) in Rpc::ALL.iter().enumerate() {
        let tenant_id = format!("tenant-{number}");
        let scene = Scene::new(&t, &tenant_id).await;
        trust(&t, &provider, &tenant_id).await;
        let admin = session(&t, &provider, &tenant_id, "boss", pb::Role::Admin).await;
        let member = session(&t, &provider, &tenant_id, "worker", pb::Role::Member).await;
        let (method, fields) = (method(rpc), scene.request(rpc));
        let attempt = async |actor: &Actor| match call(actor, &method, &fields).await {
            Ok(_) => String::from("OK"),
            Err(status) => refusal(&status),
        };
        let what = rpc.path();
        let open = matches!(rpc.need(), Need::Nothing | Need::Introspect);
        // The trust of the tenant that is not named vouches for nobody here.
        let foreign = if names_tenant(rpc) && !open {
            REFUSED
        } else {
            to_admin(rpc)
        };
        assert_eq!(attempt(&stranger).await, foreign, "{what} by another's");
        let elsewhere = if rpc == Rpc::ClaimInvite {
            // Nobody's credential is looked at, and the first one has claimed it.
            NO_INVITE
        } else if names_tenant(rpc) && !open {
            NO_TENANT
        } else if rpc.need() == Need::Authenticated {
            served_without_token(rpc)
        } else {
            to_member(rpc)
        };
        assert_eq!(attempt(&guest).await, elsewhere, "{what} from elsewhere");
        let (member_is_told, admin_is_told) = if rpc == Rpc::ClaimInvite {
            (NO_INVITE, NO_INVITE)
        } else {
            (to_member(rpc), to_admin(rpc))
        };
        assert_eq!(attempt(&member).await, member_is_told, "{what} by a member");
        // Done by then, with the one value that there was.
        assert_eq!(attempt(&admin).await, admin_is_told, "{what} by an admin");
    }
}
