//! The whole story in a minute: a demo tenant, a token, who it is, and its end.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Instant;

use tokio_util::sync::CancellationToken;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;

use super::catalog::document::Document;
use super::catalog::parse::parse;
use super::serve::serve_until_told;
use super::{output, print};
use crate::app::{self, App, BoxError, World};
use crate::authority::keyring::write_private;
use crate::config::Config;
use crate::domain::value::Prefix;
use crate::lifecycle::StopSignals;
use crate::pb;
use crate::pb::introspection_service_client::IntrospectionServiceClient;
use crate::pb::scope_service_client::ScopeServiceClient;
use crate::pb::tenant_service_client::TenantServiceClient;
use crate::pb::token_service_client::TokenServiceClient;
use crate::pb::user_service_client::UserServiceClient;

/// The demo tenant.
const TENANT: &str = "odysseus";
/// What is said of it: its name, its prefix, its rules and its catalog.
const DOCUMENT: &str = include_str!("../../catalogs/odysseus.toml");

/// Returns a configuration on a free port, quiet in its logs, with nobody to drain for.
pub(super) fn config() -> Config {
    let mut config = Config::default();
    config.server.address.set_port(0);
    config.ops.address.set_port(0);
    config.server.drain_seconds = 0;
    config.telemetry.log = String::from("warn");
    config
}

/// Who calls, and where.
struct Teller {
    address: SocketAddr,
    directory: PathBuf,
    channel: Channel,
    operator: MetadataValue<Ascii>,
}

/// Goes through the story, and keeps serving until told to stop.
pub(super) async fn run(mut config: Config, world: World) -> Result<(), BoxError> {
    let signals = StopSignals::listen()?;
    let mut private = tempfile::Builder::new();
    private.prefix("token-authority-");
    #[cfg(unix)]
    private.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700));
    // Kept when the program ends: the lines that were printed read from it.
    let directory = private.tempdir()?.keep();
    config.database.directory.clone_from(&directory);
    let app = App::build(&config, world).await?;
    let mut operator = String::new();
    app.bootstrap(|value| {
        operator = value.expose();
        app::write_operator_token(&app::operator_token_path(&config), value)
    })
    .await?;
    let address = app.address()?;
    print(&format!(
        "gRPC on {address}: plain text, loopback only, reflection on\n\
         Data in {}: yours alone, fresh; delete it when you are done\n",
        directory.display()
    ))?;
    let (stop, cut) = (CancellationToken::new(), app.cut());
    let serving = tokio::spawn(app.serve(stop.clone()));

    let channel = Channel::from_shared(format!("http://{address}"))?
        .connect()
        .await?;
    let operator = format!("Bearer {operator}").parse()?;
    let teller = Teller {
        address,
        directory,
        channel,
        operator,
    };
    if let Err(error) = teller.tell().await {
        stop.cancel();
        serving.await??;
        return Err(error);
    }
    print("\nServing on; stop with Ctrl-C.\n")?;
    serve_until_told(serving, [stop, cut], signals).await
}

impl Teller {
    /// Calls one RPC after the other, and prints how to do the same by hand.
    async fn tell(&self) -> Result<(), BoxError> {
        self.make_tenant().await?;
        let user_id = self.make_user().await?;
        let value = self.make_token(&user_id).await?;
        self.make_service().await?;

        self.say(
            "Any service may now ask who that is and what they may do",
            &self.introspect_line(),
        )?;
        let answer = self.introspect(&value).await?;
        if !answer.allowed {
            return Err("the new token is not allowed what it was granted".into());
        }
        self.answer(&format!(
            "allowed=true: user {} ({}) of tenant {}, scopes {}",
            answer.user_external_id,
            answer.user_id,
            answer.tenant_id,
            answer.scopes.join(", ")
        ))?;

        self.say(
            "It leaks, so it is revoked. Once this has returned OK, no introspection that starts \
             afterwards says active",
            &self.line(
                "TokenService/RevokeToken",
                &format!(
                    r#"'{{"tenant_id":"{TENANT}","token_id":"'"$(cat {})"'","reason":"REVOKE_REASON_COMPROMISED"}}'"#,
                    self.file("token-id")
                ),
            ),
        )?;
        let token_id = std::fs::read_to_string(self.directory.join("token-id"))?;
        let request = pb::RevokeTokenRequest {
            tenant_id: TENANT.to_owned(),
            token_id: token_id.trim().to_owned(),
            reason: pb::RevokeReason::Compromised.into(),
            ..Default::default()
        };
        let revoked = self
            .tokens()
            .revoke_token(self.call(request))
            .await?
            .into_inner();
        let since = Instant::now();
        self.answer(&format!("OK, revision {}", revoked.revision))?;

        self.say("Asked again, with the same line", &self.introspect_line())?;
        let answer = self.introspect(&value).await?;
        if answer.active {
            return Err("a revoked token is active".into());
        }
        self.answer(&format!(
            "active=false, {:.1} ms after the revocation",
            since.elapsed().as_secs_f64() * 1000.0
        ))?;
        self.point_to_client()
    }

    /// Says that there is a client.
    fn point_to_client(&self) -> Result<(), BoxError> {
        let program = std::env::current_exe();
        let program = program.map_or_else(|_| String::from("token-authority"), |path| quote(&path));
        self.say(
            "This program is a client, too. It keeps a server and a token under a name",
            &format!(
                "{program} profile set quickstart --address {} --token-file {} --tenant {TENANT}\n\
                 {program} token list --show-revoked --profile quickstart\n\
                 {program} audit list --profile quickstart",
                self.address,
                self.file("operator-token"),
            ),
        )?;
        self.answer("--help has the rest; --json prints what programs read")
    }

    async fn make_tenant(&self) -> Result<(), BoxError> {
        let document = document()?;
        self.say(
            "The operator makes a tenant: a product whose values begin with ody_",
            &self.line(
                "TenantService/CreateTenant",
                r#"'{"tenant_id":"demo-'$(date +%s)'","token_prefix":"d'$(date +%s)'_","policy":{"unique_names":true}}'"#,
            ),
        )?;
        let request = pb::CreateTenantRequest {
            tenant_id: TENANT.to_owned(),
            display_name: document.display_name.unwrap_or_default(),
            token_prefix: document.token_prefix.unwrap_or_default(),
            policy: Some(document.policy),
            ..Default::default()
        };
        let mut tenants = TenantServiceClient::new(self.channel.clone());
        let tenant = tenants.create_tenant(self.call(request)).await?;
        let tenant = tenant.into_inner().tenant.unwrap_or_default();
        self.answer(&format!(
            "tenant {}, prefix {}",
            tenant.tenant_id, tenant.token_prefix
        ))?;

        let request = pb::UpdateCatalogRequest {
            tenant_id: TENANT.to_owned(),
            catalog: Some(document.catalog),
            ..Default::default()
        };
        let json = output::json(&request).map_err(|failure| failure.to_string())?;
        write_private(&self.directory.join("catalog.json"), &json)?;
        self.say(
            "and gives it a catalog: what tokens may do, and what brings what along",
            &self.line_from(
                "ScopeService/UpdateCatalog",
                &format!("< {}", self.file("catalog.json")),
            ),
        )?;
        let mut scopes = ScopeServiceClient::new(self.channel.clone());
        let catalog = scopes
            .update_catalog(self.call(request))
            .await?
            .into_inner();
        let catalog = catalog.catalog.unwrap_or_default();
        self.answer(&format!(
            "{} scopes, {} profiles",
            catalog.scopes.len(),
            catalog.profiles.len()
        ))
    }

    async fn make_user(&self) -> Result<String, BoxError> {
        self.say(
            "A user of that tenant",
            &self.line(
                "UserService/CreateUser",
                &format!(
                    r#"'{{"tenant_id":"{TENANT}","external_id":"user-'$(date +%s)'","role":"ROLE_ADMIN"}}'"#
                ),
            ),
        )?;
        let request = pb::CreateUserRequest {
            tenant_id: TENANT.to_owned(),
            external_id: String::from("ada"),
            display_name: String::from("Ada"),
            role: pb::Role::Admin.into(),
            ..Default::default()
        };
        let mut users = UserServiceClient::new(self.channel.clone());
        let user = users.create_user(self.call(request)).await?.into_inner();
        let user = user.user.unwrap_or_default();
        self.answer(&format!("user {} ({})", user.external_id, user.user_id))?;
        write_private(
            &self.directory.join("user-id"),
            &format!("{}\n", user.user_id),
        )?;
        Ok(user.user_id)
    }

    async fn make_token(&self, user_id: &str) -> Result<String, BoxError> {
        // Pasted, the line replaces the files, so that the lines below speak of the
        // new token.
        let create = self.line(
            "TokenService/CreateToken",
            &format!(
                r#"'{{"tenant_id":"{TENANT}","user_id":"'"$(cat {})"'","name":"laptop-'$(date +%s)'","profile":"codex_todos","ttl":"3600s"}}'"#,
                self.file("user-id")
            ),
        );
        let created = self.file("created.json");
        let keep = |key: &str, name: &str| {
            format!(
                r#"sed -n 's/^  .*"{key}": "\([^"]*\)".*/\1/p' {created} > {}"#,
                self.file(name)
            )
        };
        self.say(
            "A token that acts as that user, with the scopes of a profile; its value is shown once",
            &format!(
                "{create} \\\n    | tee {created}; {}; {}",
                keep("tokenId", "token-id"),
                keep("value", "token")
            ),
        )?;
        let request = pb::CreateTokenRequest {
            tenant_id: TENANT.to_owned(),
            user_id: user_id.to_owned(),
            name: String::from("laptop"),
            profile: String::from("codex_todos"),
            expiry: Some(pb::create_token_request::Expiry::Ttl(
                prost_types::Duration {
                    seconds: 3600,
                    nanos: 0,
                },
            )),
            ..Default::default()
        };
        let created = self
            .tokens()
            .create_token(self.call(request))
            .await?
            .into_inner();
        let token = created.token.unwrap_or_default();
        write_private(
            &self.directory.join("token-id"),
            &format!("{}\n", token.token_id),
        )?;
        write_private(
            &self.directory.join("token"),
            &format!("{}\n", created.value),
        )?;
        self.answer(&format!(
            "token {}, hint {}…; the value is in {}",
            token.token_id,
            token.hint,
            self.file("token")
        ))?;
        Ok(created.value)
    }

    async fn make_service(&self) -> Result<(), BoxError> {
        self.say(
            "A token for your services, which may introspect and nothing else",
            &self.line(
                "TokenService/CreateToken",
                r#"'{"tenant_id":"authority","kind":"TOKEN_KIND_SERVICE","name":"gateway-'$(date +%s)'","scopes":["authority:introspect"]}'"#,
            ),
        )?;
        let request = pb::CreateTokenRequest {
            tenant_id: String::from("authority"),
            kind: pb::TokenKind::Service.into(),
            name: String::from("gateway"),
            scopes: vec![String::from("authority:introspect")],
            ..Default::default()
        };
        let created = self
            .tokens()
            .create_token(self.call(request))
            .await?
            .into_inner();
        write_private(
            &self.directory.join("service-token"),
            &format!("{}\n", created.value),
        )?;
        self.answer(&format!(
            "a value that begins with {}; it is in {}",
            Prefix::authority().as_str(),
            self.file("service-token")
        ))
    }

    async fn introspect(&self, value: &str) -> Result<pb::IntrospectResponse, BoxError> {
        let service = std::fs::read_to_string(self.directory.join("service-token"))?;
        let mut request = tonic::Request::new(pb::IntrospectRequest {
            token: value.to_owned(),
            tenant_id: TENANT.to_owned(),
            required_scopes: vec![String::from("todos:read")],
            ..Default::default()
        });
        let credential = format!("Bearer {}", service.trim()).parse()?;
        request.metadata_mut().insert("authorization", credential);
        let mut client = IntrospectionServiceClient::new(self.channel.clone());
        Ok(client.introspect(request).await?.into_inner())
    }

    fn introspect_line(&self) -> String {
        format!(
            r#"printf '{{"token":"%s","tenant_id":"{TENANT}","required_scopes":["todos:read"]}}' "$(cat {})" \
    | grpcurl -plaintext -H "authorization: Bearer $(cat {})" -d @ \
        {} tokenauthority.v1.IntrospectionService/Introspect"#,
            self.file("token"),
            self.file("service-token"),
            self.address
        )
    }

    fn tokens(&self) -> TokenServiceClient<Channel> {
        TokenServiceClient::new(self.channel.clone())
    }

    /// Returns a request by the operator.
    fn call<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        request
            .metadata_mut()
            .insert("authorization", self.operator.clone());
        request
    }

    /// Returns the line that calls an RPC as the operator, with this data.
    fn line(&self, rpc: &str, data: &str) -> String {
        format!(
            "{} -d {data} \\\n    {} tokenauthority.v1.{rpc}",
            self.grpcurl(),
            self.address
        )
    }

    /// Returns the line that calls an RPC as the operator, with data read from
    /// standard input.
    fn line_from(&self, rpc: &str, input: &str) -> String {
        format!(
            "{} -d @ \\\n    {} tokenauthority.v1.{rpc} {input}",
            self.grpcurl(),
            self.address
        )
    }

    fn grpcurl(&self) -> String {
        format!(
            r#"grpcurl -plaintext -H "authorization: Bearer $(cat {})""#,
            self.file("operator-token")
        )
    }

    fn file(&self, name: &str) -> String {
        quote(&self.directory.join(name))
    }

    #[expect(clippy::unused_self, reason = "told by the teller, like all else")]
    fn say(&self, what: &str, line: &str) -> Result<(), BoxError> {
        Ok(print(&format!("\n# {what}\n{line}\n"))?)
    }

    #[expect(clippy::unused_self, reason = "told by the teller, like all else")]
    fn answer(&self, what: &str) -> Result<(), BoxError> {
        Ok(print(&format!("  → {what}\n"))?)
    }
}

/// Returns a path as a shell takes it.
fn quote(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// Returns what is said of the demo tenant.
fn document() -> Result<Document, BoxError> {
    match parse(DOCUMENT) {
        Ok((document, _)) => Ok(document),
        Err(problems) => Err(format!("the demo's document is wrong: {problems:?}").into()),
    }
}
