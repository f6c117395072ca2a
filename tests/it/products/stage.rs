//! One authority, and the products as its tenants, made from their own documents.

use token_authority::pb;

use crate::administration::Client;
use crate::support::tokens::{strings, ttl};
use crate::support::{Actor, Backend, Member, Provider, TestServer, mask, message, shared};

/// The documents.
const CATALOGS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/catalogs");

/// A day, in seconds.
pub(super) const DAY: i64 = 86_400;

/// An authority with the products on it.
pub(super) struct Stage {
    pub(super) t: TestServer,
    /// The products' own services, which ask about values.
    pub(super) server: Actor,
    pub(super) odysseus: Product,
    pub(super) sk: Product,
    pub(super) openindex: Product,
}

/// A product and who administers it.
pub(super) struct Product {
    pub(super) id: &'static str,
    pub(super) prefix: &'static str,
    pub(super) admin_id: String,
    pub(super) admin: Actor,
}

impl Stage {
    /// Sets it up, by the command line.
    pub(super) async fn set(backend: Backend) -> Self {
        Self::on(TestServer::start_with(backend, shared).await).await
    }

    /// Sets it up on a server.
    pub(super) async fn on(t: TestServer) -> Self {
        let server = t.resource_server().await;
        let client = Client::new(&t, &t.operator());
        let products = [
            ("odysseus", "ody_"),
            ("sk-platform", "sk-"),
            ("openindex", "oi_pat_"),
        ];
        for (id, _) in products {
            let path = format!("{CATALOGS}/{id}.toml");
            let create = ["tenant", "create", "--from", &path];
            client.run(&create).await.ok();
            let apply = ["catalog", "apply", &path, "--yes"];
            client.run(&apply).await.ok();
        }
        let mut administered = Vec::new();
        for (id, prefix) in products {
            let scopes = ["authority:tenant.admin"];
            let admin = hire(&t, id, "admin", pb::Role::Admin, &scopes).await;
            administered.push(Product {
                id,
                prefix,
                admin_id: admin.user_id,
                admin: admin.actor,
            });
        }
        let mut administered = administered.into_iter();
        let mut next = || administered.next().unwrap();
        Self {
            odysseus: next(),
            sk: next(),
            openindex: next(),
            t,
            server,
        }
    }

    /// Makes a member of a product, with a token that has these scopes.
    pub(super) async fn member(&self, product: &Product, name: &str, scopes: &[&str]) -> Member {
        hire(&self.t, product.id, name, pb::Role::Member, scopes).await
    }

    /// Makes an administrator of a product, with a token that has these scopes.
    pub(super) async fn admin(&self, product: &Product, name: &str, scopes: &[&str]) -> Member {
        hire(&self.t, product.id, name, pb::Role::Admin, scopes).await
    }

    /// Has a product trust a provider.
    pub(super) async fn trust(&self, product: &Product, provider: &Provider) {
        let mut trusting = message!(UpdateTenantRequest {
            tenant_id: product.id
        });
        trusting.update_mask = Some(mask(&["policy.oidc_trust"]));
        trusting.policy = Some(pb::TenantPolicy {
            oidc_trust: Some(provider.oidc_trust()),
            ..Default::default()
        });
        product.admin.update_tenant(trusting).await.unwrap();
    }

    /// Asks whether a value is good for these scopes.
    pub(super) async fn ask(
        &self,
        product: &Product,
        value: &str,
        scopes: &[&str],
    ) -> pb::IntrospectResponse {
        let request = pb::IntrospectRequest {
            tenant_id: product.id.into(),
            token: value.into(),
            required_scopes: strings(scopes),
            ..Default::default()
        };
        self.server.try_introspect(request).await.unwrap()
    }

    /// Asks whether a value is good for a kind.
    pub(super) async fn ask_for(
        &self,
        product: &Product,
        value: &str,
        kind: pb::TokenKind,
    ) -> pb::IntrospectResponse {
        let request = pb::IntrospectRequest {
            tenant_id: product.id.into(),
            token: value.into(),
            expected_kind: kind.into(),
            ..Default::default()
        };
        self.server.try_introspect(request).await.unwrap()
    }

    /// Returns whether a value is active, of whichever kind it is.
    pub(super) async fn any_kind(&self, product: &Product, value: &str) -> bool {
        let webhook = self.ask_for(product, value, pb::TokenKind::Webhook).await;
        webhook.active || self.active(product, value).await
    }

    /// Returns whether a value is active.
    pub(super) async fn active(&self, product: &Product, value: &str) -> bool {
        self.ask(product, value, &[]).await.active
    }
}

/// Makes a user, and a token that acts as it.
async fn hire(
    t: &TestServer,
    tenant_id: &str,
    name: &str,
    role: pb::Role,
    scopes: &[&str],
) -> Member {
    let operator = t.operator();
    let user_id = operator.create_user(tenant_id, name, role).await;
    let request = pb::CreateTokenRequest {
        tenant_id: tenant_id.into(),
        user_id: user_id.clone(),
        name: format!("{name}'s first"),
        scopes: strings(scopes),
        // One of the products wants an end.
        expiry: ttl(365 * DAY),
        ..Default::default()
    };
    let created = operator.create(request).await;
    Member {
        user_id,
        actor: t.actor(&created.value),
    }
}
