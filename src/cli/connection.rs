//! A connection to a server, over TLS or in plain text.

use std::error::Error;
use std::path::Path;

use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use super::failure::Failure;
use super::input;
use super::output::escaped;
use super::settings::Settings;
use crate::domain::bounds;

/// The bytes of a file with certificates or a key, at most.
const PEM_BYTES: u64 = 1024 * 1024;
/// The bytes of an answer, at most: a page of a thousand tokens with all that they may
/// have is larger than what a client takes by itself.
pub(super) const ANSWER_BYTES: usize = 4 * bounds::BATCH_MESSAGE_BYTES;

/// Connects.
pub(super) async fn connect(settings: &Settings) -> Result<Channel, Failure> {
    let address = &settings.address;
    let refused = |error: &(dyn Error + 'static)| Failure::told(refusal(settings, error));
    let mut endpoint = Endpoint::from_shared(address.to_string())
        .map_err(|error| refused(&error))?
        .user_agent(concat!("token-authority/", env!("CARGO_PKG_VERSION")))
        .map_err(|error| refused(&error))?
        .connect_timeout(settings.timeout);
    if address.tls() {
        endpoint = endpoint
            .tls_config(tls(settings)?)
            .map_err(|error| refused(&error))?;
    }
    endpoint.connect().await.map_err(|error| refused(&error))
}

/// Returns whom to trust, and who one is.
fn tls(settings: &Settings) -> Result<ClientTlsConfig, Failure> {
    let pem = |what: &str, path: &Path| input::document(what, Some(path), PEM_BYTES);
    let connection = &settings.connection;
    let mut tls = match &connection.ca {
        Some(ca) => ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(pem("the CA's certificate", ca)?)),
        None => ClientTlsConfig::new().with_native_roots(),
    };
    if let Some((certificate, key)) = &connection.client {
        tls = tls.identity(Identity::from_pem(
            pem("the client's certificate", certificate)?,
            pem("the client's key", key)?,
        ));
    }
    if let Some(name) = &connection.server_name {
        tls = tls.domain_name(name);
    }
    Ok(tls)
}

/// Says why there is no connection, and what to look at.
fn refusal(settings: &Settings, error: &(dyn Error + 'static)) -> String {
    let causes: Vec<String> = std::iter::successors(Some(error), |error| (*error).source())
        .map(ToString::to_string)
        .collect();
    let address = &settings.address;
    let mut lines = format!(
        "no connection to {address}: {}",
        escaped(causes.last().map_or("unknown", String::as_str))
    );
    let all = causes.join(": ");
    let mut say = |text: &str| {
        lines.push_str("\n  ");
        lines.push_str(text);
    };
    if all.contains("InvalidContentType") {
        say("it answers in plain text: say http:// if that is meant");
    } else if all.contains("UnknownIssuer") || all.contains("BadSignature") {
        say("its certificate is signed by nobody that is trusted here: profile set --ca FILE");
    } else if all.contains("not valid for name") {
        say("its certificate bears another name: profile set --server-name NAME");
    } else if all.contains("CertificateRequired") {
        say("it wants a certificate: profile set --client-cert FILE --client-key FILE");
    } else if all.contains("refused") {
        say("is it the right address, and does the server run?");
    } else if !address.tls() {
        say("is it a token-authority, and not plain text where TLS is wanted?");
    }
    match &settings.profile {
        Some(name) => say(&format!("the profile is {name}")),
        None => say("no profile is in use; --address or TA_ADDRESS says where the server is"),
    }
    lines
}
