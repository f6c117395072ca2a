//! Certificates, and the files of them as Kubernetes mounts a secret: each a link into a
//! directory that is replaced whole.

use std::cell::Cell;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType, date_time_ymd,
};
use tempfile::TempDir;
use token_authority::config::{ClientCertificates, Config};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

/// The name that servers have.
pub(crate) const SERVER: &str = "tokens.example.com";

/// A CA.
pub(crate) struct Ca(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, in PEM.
#[derive(Clone)]
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Ca {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// Certifies a server.
    pub(crate) fn server(&self) -> Pair {
        self.certify(&[SERVER], (4096, 1, 1))
    }

    /// Certifies these names, which may be URIs, until that day.
    pub(crate) fn certify(&self, names: &[&str], until: (i32, u8, u8)) -> Pair {
        let mut params = CertificateParams::default();
        let names = names.iter().map(|name| {
            if name.contains("://") {
                SanType::URI((*name).try_into().unwrap())
            } else {
                SanType::DnsName((*name).try_into().unwrap())
            }
        });
        params.subject_alt_names = names.collect();
        params.not_after = date_time_ymd(until.0, until.1, until.2);
        let key = KeyPair::generate().unwrap();
        Pair {
            certificate: params.signed_by(&key, &*self.0).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }
}

/// The files of a server.
pub(crate) struct TlsFiles {
    directory: TempDir,
    versions: Cell<usize>,
}

impl TlsFiles {
    /// Makes `tls.crt`, `tls.key` and, with the CAs of clients, `ca.crt`.
    pub(crate) fn new(server: &Pair, client_ca: Option<&str>) -> Self {
        let files = Self {
            directory: tempfile::tempdir().unwrap(),
            versions: Cell::new(0),
        };
        for name in ["tls.crt", "tls.key", "ca.crt"] {
            symlink(Path::new("..data").join(name), files.path(name)).unwrap();
        }
        files.replace(server, client_ca);
        files
    }

    /// Returns where a file is.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Puts others in the place of all, at once.
    pub(crate) fn replace(&self, server: &Pair, client_ca: Option<&str>) {
        let version = self.versions.get() + 1;
        self.versions.set(version);
        let version = format!("..{version}");
        fs::create_dir(self.path(&version)).unwrap();
        let mut files = vec![("tls.crt", &*server.certificate), ("tls.key", &*server.key)];
        files.extend(client_ca.map(|ca| ("ca.crt", ca)));
        for (name, text) in files {
            fs::write(self.path(&version).join(name), text).unwrap();
        }
        symlink(&version, self.path("..data_tmp")).unwrap();
        fs::rename(self.path("..data_tmp"), self.path("..data")).unwrap();
    }

    /// Configures a server that reads them when it is told to.
    pub(crate) fn configure(&self, config: &mut Config, clients: Option<ClientCertificates>) {
        config.tls.certificate_file = Some(self.path("tls.crt"));
        config.tls.key_file = Some(self.path("tls.key"));
        config.tls.client_ca_file = clients.map(|_| self.path("ca.crt"));
        config.tls.client_certificates = clients;
        config.tls.reload_seconds = 3600;
    }
}

/// Returns a client's settings: whom it trusts, and who it is.
pub(crate) fn client_tls(trusted: &[&Ca], identity: Option<&Pair>) -> ClientTlsConfig {
    let pem: String = trusted.iter().map(|ca| ca.pem()).collect();
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(pem))
        .domain_name(SERVER);
    match identity {
        Some(pair) => tls.identity(Identity::from_pem(&pair.certificate, &pair.key)),
        None => tls,
    }
}

/// Connects over TLS.
pub(crate) async fn connect(
    address: SocketAddr,
    tls: ClientTlsConfig,
) -> Result<Channel, tonic::transport::Error> {
    Endpoint::from_shared(format!("https://{address}"))?
        .tls_config(tls)?
        .connect()
        .await
}

/// Returns a client's settings for whoever looks at the handshake itself; `versions` are
/// 1.2 or 1.3.
pub(crate) fn raw_tls(
    trusted: &Ca,
    identity: Option<&Pair>,
    is_old: bool,
    alpn: &[&str],
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(trusted.pem().as_bytes()).unwrap())
        .unwrap();
    let provider = Arc::new(crypto::ring::default_provider());
    let version = if is_old { &TLS12 } else { &TLS13 };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(pair) => builder
            .with_client_auth_cert(
                vec![CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap()],
                PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap(),
            )
            .unwrap(),
    };
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    Arc::new(config)
}
