//! The program itself: its commands, its files, what it prints and exits with.

pub(crate) mod client;
mod failure;
mod introspect;
mod profile;
mod tls;
mod token;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use token_authority::pb;
use tonic::transport::Channel;

use crate::support::{Actor, Issued, Program};

fn run(arguments: &[&str]) -> (Option<i32>, String) {
    let directory = tempfile::tempdir().unwrap();
    Program::start(arguments, directory.path()).end()
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// Returns who presents the value in a file.
async fn actor(address: &str, file: &Path) -> Actor {
    let channel = Channel::from_shared(format!("http://{address}")).unwrap();
    let value = std::fs::read_to_string(file).unwrap();
    let channel = channel.connect().await.unwrap();
    Actor::new(channel, Some(value.trim()), Issued::default())
}

#[tokio::test]
async fn quickstart_tells_the_whole_story_and_serves_on() {
    let temporary = tempfile::tempdir().unwrap();
    let mut program = Program::start(&["quickstart"], temporary.path());
    let line = program.until("gRPC on ");
    let address = line.trim_start_matches("gRPC on ");
    let address = address.split_once(": ").unwrap().0.to_owned();
    let line = program.until("Data in ");
    let data = line.trim_start_matches("Data in ");
    let data = Path::new(data.split_once(": ").unwrap().0).to_owned();
    assert!(data.starts_with(temporary.path()), "{}", data.display());
    program.until("tenant odysseus, prefix ody_");
    program.until("allowed=true: user ada");
    program.until("OK, revision ");
    program.until("active=false");
    program.until("This program is a client, too");
    let lines: Vec<String> = (0..3).map(|_| program.until(" quickstart")).collect();
    program.until("Serving on");

    // The lines that lead to the client, pasted.
    let mut pasted = Command::new("/bin/sh");
    pasted.args(["-ec", &lines.join("\n")]).env_clear();
    pasted.env("HOME", temporary.path());
    let pasted = pasted.output().unwrap();
    let told = String::from_utf8(pasted.stdout).unwrap();
    assert!(pasted.status.success(), "{lines:#?}\n{told}");
    for expected in ["The profile quickstart is made", "laptop", "RevokeToken"] {
        assert!(told.contains(expected), "no {expected:?} in {told}");
    }

    assert_eq!(mode(&data), 0o700);
    for file in [
        "authority.db",
        "keyring/0001.key",
        "operator-token",
        "service-token",
        "token",
        "token-id",
        "user-id",
        "catalog.json",
    ] {
        assert_eq!(mode(&data.join(file)), 0o600, "{file}");
    }
    let operator = actor(&address, &data.join("operator-token")).await;
    let call = operator.call(pb::ListTenantsRequest::default());
    let listed = operator.tenants().list_tenants(call).await.unwrap();
    let tenants = listed.into_inner().tenants;
    assert!(tenants.iter().any(|tenant| tenant.tenant_id == "odysseus"));
    let service = actor(&address, &data.join("service-token")).await;
    let token = std::fs::read_to_string(data.join("token")).unwrap();
    assert!(!service.introspect("odysseus", token.trim()).await.active);
    let values = [operator.value(), service.value(), token.trim()].map(str::to_owned);
    drop((operator, service));

    program.terminate();
    let (code, said) = program.ended().await;
    assert_eq!(code, Some(0), "{said}");
    for value in values {
        assert!(!said.contains(&value), "a value was printed");
    }
}

#[tokio::test]
async fn serve_writes_the_operators_token_once_and_stops_when_told() {
    let temporary = tempfile::tempdir().unwrap();
    let arguments = ["serve", "--data", "data", "--address", "127.0.0.1:0"];
    let file = temporary.path().join("data/operator-token");
    let mut written = None;
    for _ in 0..2 {
        let mut program = Program::start(&arguments, temporary.path());
        let address = program.address();
        let operator = actor(&address, &file).await;
        let call = operator.call(pb::WhoAmIRequest {});
        operator.me().who_am_i(call).await.unwrap();
        assert_eq!(mode(&file), 0o600);
        let value = std::fs::read_to_string(&file).unwrap();
        drop(operator);
        program.terminate();
        let (code, said) = program.ended().await;
        assert_eq!(code, Some(0), "{said}");
        assert!(!said.contains(value.trim()), "the value was printed");
        let made = said.contains("the operator's token was made");
        assert_eq!(made, written.is_none(), "{said}");
        assert!(written.is_none_or(|written| written == value));
        written = Some(value);
    }
}

#[test]
fn a_second_serve_on_one_directory_says_what_to_do() {
    let temporary = tempfile::tempdir().unwrap();
    let arguments = ["serve", "--data", "data", "--address", "127.0.0.1:0"];
    let mut first = Program::start(&arguments, temporary.path());
    first.until("server.address=");
    let (code, said) = Program::start(&arguments, temporary.path()).end();
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("another process has") && said.contains("use PostgreSQL"),
        "{said}"
    );
    first.terminate();
    assert_eq!(first.end().0, Some(0));
}

#[test]
fn a_taken_port_is_named() {
    let temporary = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let arguments = ["serve", "--data", "data", "--address", &address];
    let (code, said) = Program::start(&arguments, temporary.path()).end();
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains(&format!("can't listen on {address}")),
        "{said}"
    );
    // Nobody got a token of a server that never served.
    assert!(!temporary.path().join("data/operator-token").exists());
}

#[test]
fn a_wrong_configuration_is_told_whole() {
    let temporary = tempfile::tempdir().unwrap();
    let file = "[hashing]\ncost = 99\nqueue = 0\n[cache]\nsize = 1\n[database]\nurl = 'postgres://u:hunter2@h/d'\n";
    std::fs::write(temporary.path().join("config.toml"), file).unwrap();
    let arguments = ["serve", "--config", "config.toml", "--address", "0.0.0.0:0"];
    let (code, said) = Program::start(&arguments, temporary.path()).end();
    assert_eq!(code, Some(64), "{said}");
    for problem in [
        "5 problems",
        "hashing.cost: must be a whole number from 4 to 14",
        "hashing.queue: must be a whole number from 1 to 100000",
        "cache: no such section",
        "server.address: not loopback, and there is no TLS",
        "keyring.directory: required",
    ] {
        assert!(said.contains(problem), "no {problem:?} in {said}");
    }
    assert!(!said.contains("hunter2"), "{said}");
    assert!(!temporary.path().join("data").exists());
}

#[test]
fn a_wrong_filter_of_logs_is_a_wrong_configuration() {
    let temporary = tempfile::tempdir().unwrap();
    let file = "[telemetry]\nlog = 'token_authority=loud'\n";
    std::fs::write(temporary.path().join("config.toml"), file).unwrap();
    let arguments = ["serve", "--config", "config.toml"];
    let (code, said) = Program::start(&arguments, temporary.path()).end();
    assert_eq!(code, Some(64), "{said}");
    assert!(said.contains("telemetry.log"), "{said}");
}

#[test]
fn plain_text_beyond_loopback_is_served_only_when_asked_for() {
    let (code, said) = run(&["serve", "--address", "0.0.0.0:0"]);
    assert_eq!(code, Some(64), "{said}");
    assert!(said.contains("or server.plaintext = true"), "{said}");

    let temporary = tempfile::tempdir().unwrap();
    let arguments = ["serve", "--address", "0.0.0.0:0", "--plaintext"];
    let mut program = Program::start(&arguments, temporary.path());
    program.until("server.address: plain text off loopback");
    program.until("serving server.address=");
    program.terminate();
    assert_eq!(program.end().0, Some(0));
}

#[test]
fn migrate_brings_the_schema_up_to_date_and_ends() {
    let temporary = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let program = Program::start(&["migrate", "--data", "data"], temporary.path());
        let (code, said) = program.end();
        assert_eq!(
            (code, &*said),
            (Some(0), "The SQLite schema is up to date.")
        );
    }
    assert!(temporary.path().join("data/authority.db").exists());
    assert!(!temporary.path().join("data/operator-token").exists());
}

#[test]
fn the_table_of_errors_is_printed() {
    let (code, said) = run(&["docs", "errors"]);
    assert_eq!(code, Some(0));
    assert_eq!(said + "\n", include_str!("../../docs/errors.md"));
}

#[test]
fn what_there_is_to_configure_is_printed() {
    let (code, said) = run(&["docs", "config"]);
    assert_eq!(code, Some(0));
    let written = include_str!("../../docs/config.md");
    assert!(said + "\n" == written, "docs/config.md is old: make docs");
}

#[test]
fn a_wrong_command_line_is_64_and_a_question_is_not() {
    for wrong in [&["sing"][..], &[], &["serve", "--loud"], &["docs"]] {
        let (code, said) = run(wrong);
        assert_eq!(code, Some(64), "{wrong:?}: {said}");
        assert!(said.contains("Usage"), "{wrong:?}: {said}");
    }
    let (code, said) = run(&["--version"]);
    assert_eq!(code, Some(0));
    assert!(said.starts_with("token-authority "), "{said}");
    assert_eq!(run(&["--help"]).0, Some(0));
}

#[test]
fn completions_are_printed_for_each_shell() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let (code, said) = run(&["completions", shell]);
        assert_eq!(code, Some(0), "{shell}");
        assert!(said.contains("rotate-current"), "{shell}");
    }
}
