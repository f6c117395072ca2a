//! Each RPC is called by some noun and verb of the command line.

use std::collections::BTreeSet;

use token_authority::authority::access::{Need, Rpc};

use super::Client;
use crate::authz_coverage::Scene;
use crate::support::{Backend, TestServer, both_backends};

both_backends!(each_rpc_is_called_by_a_noun_and_a_verb);

/// A command, and what it reads from its standard input.
type Line = (Vec<String>, String);

/// Returns the command that calls an RPC so that it succeeds in this scene.
fn line(rpc: Rpc, scene: &Scene<'_>) -> Line {
    let (user, token) = (&*scene.user_id, &*scene.token_id);
    let (tenant, outsider) = (&*scene.tenant.tenant_id, &*scene.outsider_id);
    let fresh = format!("{tenant}-2");
    let prefix = format!("x{}_", tenant.replace('-', ""));
    // Without `_`: an RPC that is added does not compile before it has a command.
    let line = match rpc {
        Rpc::Introspect => format!("introspect --tenant {tenant}"),
        Rpc::BatchIntrospect => format!("introspect --batch --tenant {tenant}"),
        Rpc::WhoAmI => String::from("whoami"),
        Rpc::RevokeCurrentToken => String::from("token revoke-current"),
        Rpc::RotateCurrentToken => String::from("token rotate-current --grace 1m"),
        Rpc::RevokeExposedToken => String::from("token revoke-exposed"),
        Rpc::CreateToken => format!("token create new --user {user}"),
        Rpc::GetToken => format!("token get {token}"),
        Rpc::ListTokens => String::from("token list"),
        Rpc::ExplainToken => format!("token explain {token}"),
        Rpc::UpdateToken => format!("token update {token} --name renamed"),
        Rpc::RotateToken => format!("token rotate {token}"),
        Rpc::RevokeToken => format!("token revoke {token}"),
        Rpc::BatchRevokeTokens => String::from("token batch-revoke"),
        Rpc::RevokeAllTokens => format!("token revoke-all --user {user} --yes"),
        Rpc::CreateTenant => format!("tenant create {fresh} --token-prefix {prefix}"),
        Rpc::GetTenant => format!("tenant get {tenant}"),
        Rpc::ListTenants => String::from("tenant list"),
        Rpc::UpdateTenant => format!("tenant update {tenant} --display-name New"),
        Rpc::SuspendTenant => format!("tenant suspend {tenant} --yes"),
        Rpc::ResumeTenant => format!("tenant resume {tenant}"),
        Rpc::DeleteTenant => format!("tenant delete {tenant} --yes"),
        Rpc::CreateUser => String::from("user create new"),
        Rpc::GetUser => format!("user get {user}"),
        Rpc::ListUsers => String::from("user list"),
        Rpc::UpdateUser => format!("user update {user} --display-name New"),
        Rpc::SuspendUser => format!("user suspend {user} --yes"),
        Rpc::ResumeUser => format!("user resume {user}"),
        Rpc::DeleteUser => format!("user delete {user} --yes"),
        Rpc::SetActiveTenant => format!("user set-active-tenant {tenant}"),
        Rpc::AddMember => format!("member add {outsider}"),
        Rpc::UpdateMember => format!("member update {user} --role admin"),
        Rpc::RemoveMember => format!("member remove {user} --yes"),
        Rpc::ListMembers => String::from("member list"),
        Rpc::GetCatalog => String::from("catalog get"),
        Rpc::UpdateCatalog => String::from("catalog apply - --yes"),
        Rpc::CreateInvite => String::from("invite create new"),
        Rpc::ListInvites => String::from("invite list"),
        Rpc::RevokeInvite => format!("invite revoke {}", scene.invite_id()),
        Rpc::ClaimInvite => String::from("invite claim"),
        Rpc::ListAuditEvents => String::from("audit list"),
        Rpc::VerifyAuditLog => String::from("audit verify"),
    };
    let input = if matches!(
        rpc,
        Rpc::Introspect | Rpc::BatchIntrospect | Rpc::RevokeExposedToken
    ) {
        scene.value.clone()
    } else if rpc == Rpc::ClaimInvite {
        scene.invite.value.clone()
    } else if rpc == Rpc::BatchRevokeTokens {
        format!("{token}\n")
    } else if rpc == Rpc::UpdateCatalog {
        String::from("[[scope]]\nname = 'read'\n")
    } else {
        String::new()
    };
    (line.split(' ').map(str::to_owned).collect(), input)
}

async fn each_rpc_is_called_by_a_noun_and_a_verb(backend: Backend) {
    let t = TestServer::start(backend).await;
    let mut reached = BTreeSet::new();
    for (number, &rpc) in Rpc::ALL.iter().enumerate() {
        let scene = Scene::new(&t, &format!("tenant-{number}")).await;
        let (arguments, input) = line(rpc, &scene);
        scene.prepare(rpc).await;
        // What needs no credential is called with one that is good for it, too.
        let who = if rpc.need() == Need::Nothing {
            t.operator()
        } else {
            scene.right(rpc).await
        };
        let client = Client::new(&t, &who);
        let before = t.logs.text().len();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let said = client.run_with(&arguments, &input).await;
        assert_eq!(said.code, Some(0), "{arguments:?}: {said:?}");
        let logged = t.logs.text().split_off(before);
        let (_, called) = rpc.path().split_at(1);
        assert!(
            logged.contains(rpc.path()) || logged.contains(called),
            "{arguments:?} did not call {called}"
        );
        reached.insert(rpc.path());
    }
    assert_eq!(reached.len(), Rpc::ALL.len());
}
