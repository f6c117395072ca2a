//! What the program says of TLS that is configured wrong: by the keys of the configuration,
//! all at once, and before anything is served.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::support::pki::{Ca, Pair, SERVER};

/// What is wrong, the configuration, and what is said.
const MISTAKES: &[(&str, &str, &[&str])] = &[
    (
        "no key",
        "[tls]\ncertificate_file = 'tls.crt'",
        &["tls.key_file: required with tls.certificate_file"],
    ),
    (
        "no certificate",
        "[tls]\nkey_file = 'tls.key'",
        &["tls.certificate_file: required with tls.key_file"],
    ),
    (
        "a CA of clients, and no certificate",
        "[tls]\nclient_ca_file = 'ca.crt'",
        &["tls.certificate_file: required with what else [tls] has"],
    ),
    (
        "a file that is not there",
        "[tls]\ncertificate_file = 'no.crt'\nkey_file = 'tls.key'",
        &["tls.certificate_file: can't be read: No such file or directory (os error 2)"],
    ),
    (
        "a directory in place of a file",
        "[tls]\ncertificate_file = 'tls.crt'\nkey_file = '.'",
        &["tls.key_file: can't be read: not a regular file"],
    ),
    (
        "a certificate in DER",
        "[tls]\ncertificate_file = 'der.crt'\nkey_file = 'tls.key'",
        &["tls.certificate_file: is no text, and so not PEM"],
    ),
    (
        "a file without a certificate",
        "[tls]\ncertificate_file = 'tls.key'\nkey_file = 'tls.key'",
        &["tls.certificate_file: holds no certificate in PEM"],
    ),
    (
        "a certificate that was cut short",
        "[tls]\ncertificate_file = 'cut.crt'\nkey_file = 'tls.key'",
        &["tls.certificate_file: is not PEM throughout"],
    ),
    (
        "something else that says it is a certificate",
        "[tls]\ncertificate_file = 'false.crt'\nkey_file = 'tls.key'",
        &["tls.certificate_file: holds what is no certificate"],
    ),
    (
        "a file without a key",
        "[tls]\ncertificate_file = 'tls.crt'\nkey_file = 'tls.crt'",
        &["tls.key_file: holds no private key in PEM"],
    ),
    (
        "an encrypted key",
        "[tls]\ncertificate_file = 'tls.crt'\nkey_file = 'encrypted.key'",
        &["tls.key_file: holds an encrypted key, which is not taken"],
    ),
    (
        "something else that says it is a key",
        "[tls]\ncertificate_file = 'tls.crt'\nkey_file = 'false.key'",
        &["tls.key_file: holds a key of a kind that is not taken"],
    ),
    (
        "the key of another certificate",
        "[tls]\ncertificate_file = 'tls.crt'\nkey_file = 'other.key'",
        &["tls.key_file: is the key of another certificate"],
    ),
    (
        "a certificate that has expired",
        "[tls]\ncertificate_file = 'expired.crt'\nkey_file = 'expired.key'",
        &["tls.certificate_file: the certificate has expired, at 2020-01-01T00:00:00Z"],
    ),
    (
        "an empty file of CAs",
        "[tls]\ncertificate_file = 'tls.crt'\nkey_file = 'tls.key'\nclient_ca_file = 'empty'",
        &["tls.client_ca_file: holds no certificate in PEM"],
    ),
    (
        "a file of CAs with something else in it",
        "[tls]\ncertificate_file = 'tls.crt'\nkey_file = 'tls.key'\nclient_ca_file = 'false.crt'",
        &["tls.client_ca_file: holds what is no certificate"],
    ),
    (
        "clients that need a certificate, and no CA",
        "[tls]\ncertificate_file = 'tls.crt'\nkey_file = 'tls.key'\nclient_certificates = 'required'",
        &["tls.client_certificates: has no meaning without tls.client_ca_file"],
    ),
    (
        "a version that is not spoken",
        "[tls]\ncertificate_file = 'tls.crt'\nkey_file = 'tls.key'\nminimum_version = '1.1'",
        &["tls.minimum_version: must be one of 1.3, 1.2"],
    ),
    (
        "plain text as well",
        "[server]\nplaintext = true\n[tls]\ncertificate_file = 'tls.crt'\nkey_file = 'tls.key'",
        &[
            "server.plaintext: must not be true beside tls.certificate_file; the port speaks one of them",
        ],
    ),
    (
        "an address off loopback, and nothing of TLS",
        "[server]\naddress = '0.0.0.0:0'",
        &[
            "server.address: not loopback, and there is no TLS; set tls.certificate_file and tls.key_file, or server.plaintext = true to serve plain text there",
        ],
    ),
    (
        "several at once",
        "[tls]\ncertificate_file = 'no.crt'\nkey_file = 'empty'\nclient_ca_file = 'empty'",
        &[
            "tls.certificate_file: can't be read: No such file or directory (os error 2)",
            "tls.key_file: holds no private key in PEM",
            "tls.client_ca_file: holds no certificate in PEM",
        ],
    ),
];

fn run(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_token-authority"))
        .args(arguments)
        .args(["--config", "config.toml", "--ops-address", "127.0.0.1:0"])
        .current_dir(directory)
        .env_clear()
        .output()
        .unwrap()
}

/// Returns what was said, a line each, without where it comes from.
fn said(output: &Output) -> Vec<String> {
    let text = String::from_utf8_lossy(&output.stderr);
    let lines = text.lines().filter_map(|line| line.strip_prefix("  - "));
    let lines = lines.map(|line| match line.rsplit_once(" (config.toml:") {
        Some((said, _)) => said.to_owned(),
        None => line.to_owned(),
    });
    lines.collect()
}

#[test]
fn tls_that_is_configured_wrong_is_told_of_and_nothing_starts() {
    let directory = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &[u8]| fs::write(directory.path().join(name), text).unwrap();
    let ca = Ca::new();
    let put_pair = |name: &str, pair: &Pair| {
        put(&format!("{name}.crt"), pair.certificate.as_bytes());
        put(&format!("{name}.key"), pair.key.as_bytes());
    };
    let good = ca.server();
    put_pair("tls", &good);
    put_pair("other", &ca.server());
    put_pair("expired", &ca.certify(&[SERVER], (2020, 1, 1)));
    put("ca.crt", ca.pem().as_bytes());
    put("empty", b"");
    put("der.crt", b"\x30\x82\x01\xff\xfe");
    put(
        "cut.crt",
        &good.certificate.as_bytes()[..good.certificate.len() - 30],
    );
    for (name, label) in [
        ("false.crt", "CERTIFICATE"),
        ("false.key", "PRIVATE KEY"),
        ("encrypted.key", "ENCRYPTED PRIVATE KEY"),
    ] {
        let text = format!("-----BEGIN {label}-----\nAAECAwQF\n-----END {label}-----\n");
        put(name, text.as_bytes());
    }
    let document = include_str!("../../../docs/operations.md");
    for (what, text, expected) in MISTAKES {
        put("config.toml", text.as_bytes());
        let output = run(directory.path(), &["config", "check"]);
        assert_eq!(output.status.code(), Some(64), "{what}");
        assert_eq!(said(&output), *expected, "{what}");
        let row = format!("| {what} | {} |", expected.join("<br>"));
        assert!(document.contains(&row), "not in docs/operations.md: {row}");
    }
    // The server itself says the same, and leaves nothing behind.
    let output = run(directory.path(), &["serve"]);
    assert_eq!(output.status.code(), Some(64));
    assert_eq!(said(&output), MISTAKES.last().unwrap().2);
    assert!(!directory.path().join("data").exists());

    // And where all is well it may be anywhere.
    let text = "[server]\naddress = '0.0.0.0:0'\n[tls]\ncertificate_file = 'tls.crt'\nkey_file = 'tls.key'\nclient_ca_file = 'ca.crt'\nclient_certificates = 'optional'";
    put("config.toml", text.as_bytes());
    let output = run(directory.path(), &["config", "check"]);
    let warned = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{warned}");
    assert!(!warned.contains("plain text"), "{warned}");
    assert!(warned.contains("tls.key_file: every user"), "{warned}");
}
