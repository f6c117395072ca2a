//! Who may call what by its certificate, for every RPC: who administers the tenant, who
//! introspects, who is of another tenant or of none, and whom nobody knows.

use token_authority::authority::access::{Need, Rpc};

use super::{ADMIN, INTROSPECT, REFUSED, identify, spiffe_id};
use crate::authz_coverage::{self, Scene, method, names_tenant, served_without_token};
use crate::support::raw::call;
use crate::support::{Actor, Backend, TestServer, both_backends, refusal, self_service};

both_backends!(every_rpc_is_for_the_identities_that_may);

const DENIED: &str = "PermissionDenied PERMISSION_DENIED";
const NO_TENANT: &str = "NotFound TENANT_NOT_FOUND";

/// What the RPC answers to who may not be refused for having no token and no user.
fn served(rpc: Rpc) -> &'static str {
    if rpc == Rpc::SetActiveTenant {
        "FailedPrecondition CALLER_HAS_NO_USER"
    } else if rpc == Rpc::CreateInvite {
        "FailedPrecondition CALLER_CANNOT_INVITE"
    } else {
        served_without_token(rpc)
    }
}

/// What who administers the tenant is answered.
fn to_admin(rpc: Rpc) -> &'static str {
    authz_coverage::to_admin(rpc, served(rpc))
}

/// What who introspects for the tenant is answered.
fn to_gate(rpc: Rpc) -> &'static str {
    match rpc.need() {
        Need::Nothing | Need::Authenticated | Need::Introspect => served(rpc),
        Need::TokensRead | Need::TokensWrite | Need::TenantAdmin | Need::Operator => DENIED,
    }
}

/// What who is answered like this in its own tenant is answered in another.
fn elsewhere(rpc: Rpc, own: &'static str) -> &'static str {
    // Who has no user is told so first.
    if names_tenant(rpc) && rpc != Rpc::SetActiveTenant {
        NO_TENANT
    } else {
        own
    }
}

async fn every_rpc_is_for_the_identities_that_may(backend: Backend) {
    let t = TestServer::start_with(backend, |config| {
        for number in 0..Rpc::ALL.len() {
            let tenant_id = format!("tenant-{number}");
            identify(config, &format!("admin-{number}"), &tenant_id, &[ADMIN]);
            identify(config, &format!("gate-{number}"), &tenant_id, &[INTROSPECT]);
        }
        identify(config, "stranger", "stranger", &[ADMIN]);
        identify(config, "resource-server", "authority", &[INTROSPECT]);
    })
    .await;
    t.tenant("stranger", self_service()).await;
    let stranger = t.spiffe(&spiffe_id("stranger")).await;
    let server = t.spiffe(&spiffe_id("resource-server")).await;
    let unknown = t.spiffe(&spiffe_id("unknown")).await;
    for (number, &rpc) in Rpc::ALL.iter().enumerate() {
        let admin = t.spiffe(&spiffe_id(&format!("admin-{number}"))).await;
        let scene = Scene::new(&t, &format!("tenant-{number}")).await;
        let gate = t.spiffe(&spiffe_id(&format!("gate-{number}"))).await;
        let (method, fields) = (method(rpc), scene.request(rpc));
        let attempt = async |actor: &Actor| match call(actor, &method, &fields).await {
            Ok(_) => String::from("OK"),
            Err(status) => refusal(&status),
        };
        let what = rpc.path();
        if rpc.need() == Need::Nothing {
            // Nobody's certificate is looked at, not even one that is refused.
            assert_eq!(attempt(&unknown).await, "OK", "{what}");
            continue;
        }
        assert_eq!(attempt(&unknown).await, REFUSED, "{what}");
        let told = attempt(&stranger).await;
        assert_eq!(told, elsewhere(rpc, to_admin(rpc)), "{what} by another's");
        let told = attempt(&server).await;
        assert_eq!(told, elsewhere(rpc, to_gate(rpc)), "{what} from elsewhere");
        assert_eq!(attempt(&gate).await, to_gate(rpc), "{what} by a gate");
        assert_eq!(attempt(&admin).await, to_admin(rpc), "{what} by an admin");
    }
}
