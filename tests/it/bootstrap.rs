//! The operator's token: the first one, and the way back in.

use std::time::Duration;

use tempfile::TempDir;
use token_authority::domain::entropy::OsEntropy;
use token_authority::domain::value::TokenValue;
use token_authority::pb;
use tonic::{Response, Status};

use crate::lifecycle::channel;
use crate::support::{
    Actor, Backend, Installation, Issued, Program, TestServer, both_backends, refused,
};

both_backends!(
    the_first_token_is_an_operators_and_ends_in_a_day,
    a_lost_operators_token_is_replaced_by_access_to_the_database,
    an_operator_may_keep_its_token,
    the_first_token_may_come_from_a_file,
    several_processes_take_one_value_from_their_file,
);

/// The variable that names the file of the first operator's token.
const TOKEN_FILE: &str = "TOKEN_AUTHORITY_BOOTSTRAP__TOKEN_FILE";

async fn whoami(actor: &Actor) -> Result<Response<pb::WhoAmIResponse>, Status> {
    actor.me().who_am_i(actor.call(pb::WhoAmIRequest {})).await
}

async fn the_first_token_is_an_operators_and_ends_in_a_day(backend: Backend) {
    let t = TestServer::start(backend).await;
    let me = whoami(&t.operator()).await.unwrap().into_inner();
    let token = me.token.unwrap();
    assert_eq!(token.tenant_id, "authority");
    assert_eq!(token.kind(), pb::TokenKind::Service);
    assert_eq!(token.effective_scopes, ["authority:operator"]);
    assert_eq!((me.user, me.memberships.len()), (None, 0));

    t.advance(Duration::from_secs(24 * 60 * 60) - Duration::from_millis(1));
    assert!(whoami(&t.operator()).await.is_ok());
    t.advance(Duration::from_millis(1));
    assert_eq!(
        refused(whoami(&t.operator()).await),
        "Unauthenticated CALLER_UNAUTHENTICATED"
    );
}

async fn a_lost_operators_token_is_replaced_by_access_to_the_database(backend: Backend) {
    let mut t = TestServer::start(backend).await;
    let server = t.resource_server().await;
    let lost = t.operator().value().to_owned();
    let value = t.replace_operator().await;

    assert!(whoami(&t.actor(&value)).await.is_ok());
    assert_eq!(
        refused(whoami(&t.actor(&lost)).await),
        "Unauthenticated CALLER_UNAUTHENTICATED"
    );
    // What the lost token made is left alone.
    assert!(whoami(&t.actor(server.value())).await.is_ok());
}

async fn an_operator_may_keep_its_token(backend: Backend) {
    let t = TestServer::start(backend).await;
    let operator = t.operator();
    let token_id = whoami(&operator)
        .await
        .unwrap()
        .into_inner()
        .token
        .unwrap()
        .token_id;
    let request = pb::UpdateTokenRequest {
        tenant_id: "authority".into(),
        token_id,
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["expire_time".into()],
        }),
        ..Default::default()
    };
    operator
        .tokens()
        .update_token(operator.call(request))
        .await
        .unwrap();
    t.advance(Duration::from_secs(400 * 24 * 60 * 60));
    assert!(whoami(&operator).await.is_ok());
}

/// Runs the program in a directory; returns what it exits with and all that it said.
fn run(arguments: &[&str], environment: &[(&str, String)], temporary: &TempDir) -> (i32, String) {
    let program = Program::start_with(arguments, temporary.path(), environment);
    let (code, said) = program.end();
    (code.unwrap(), said)
}

/// Returns a new value for a file, as the program makes it.
fn mint() -> String {
    let (code, value) = run(&["bootstrap", "--mint"], &[], &tempfile::tempdir().unwrap());
    assert_eq!(code, 0, "{value}");
    value
}

/// Returns who presents this value to a process.
async fn actor(address: &str, value: &str) -> Actor {
    Actor::new(channel(address).await, Some(value), Issued::default())
}

async fn the_first_token_may_come_from_a_file(backend: Backend) {
    let installation = Installation::new(backend).await;
    let temporary = tempfile::tempdir().unwrap();
    let file = temporary.path().join("first");
    let named = file.to_str().unwrap();
    let (value, other) = (mint(), mint());
    assert_ne!(value, other);
    std::fs::write(&file, format!("{value}\n")).unwrap();

    let (program, address) = installation.start(&[(TOKEN_FILE, named)]);
    let operator = actor(&address, &value).await;
    let token = whoami(&operator).await.unwrap().into_inner().token.unwrap();
    assert_eq!(token.tenant_id, "authority");
    assert_eq!(token.effective_scopes, ["authority:operator"]);
    let seconds = |time: Option<prost_types::Timestamp>| time.unwrap().seconds;
    let lives = seconds(token.expire_time) - seconds(token.create_time);
    assert_eq!(lives, 24 * 60 * 60);
    drop(operator);
    program.terminate();
    let (code, said) = program.ended().await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("taken from a file"), "{said}");
    assert!(!said.contains(&value), "the value was printed");
    assert!(!installation.data.join("operator-token").exists());

    // Another in the file, none that is a value, no file: the operator that there is stays.
    for content in [Some(other.as_str()), Some("nonsense"), None] {
        match content {
            Some(content) => std::fs::write(&file, content).unwrap(),
            None => std::fs::remove_file(&file).unwrap(),
        }
        let (program, address) = installation.start(&[(TOKEN_FILE, named)]);
        assert!(whoami(&actor(&address, &value).await).await.is_ok());
        assert_eq!(
            refused(whoami(&actor(&address, &other).await).await),
            "Unauthenticated CALLER_UNAUTHENTICATED"
        );
        program.terminate();
        let (code, said) = program.ended().await;
        assert_eq!(code, Some(0), "{said}");
        assert!(!said.contains("operator's token"), "{said}");
    }
}

async fn several_processes_take_one_value_from_their_file(backend: Backend) {
    // One has the embedded database to itself.
    let Backend::Postgres = backend else { return };
    let installation = Installation::new(backend).await;
    let temporary = tempfile::tempdir().unwrap();
    let file = temporary.path().join("first");
    let value = mint();
    std::fs::write(&file, &value).unwrap();
    let named = file.to_str().unwrap();
    let start = || installation.start(&[(TOKEN_FILE, named)]);
    let programs = std::thread::scope(|scope| {
        let started = [(); 3].map(|()| scope.spawn(start));
        started.map(|started| started.join().unwrap())
    });
    let mut took = 0;
    for (program, address) in programs {
        let me = whoami(&actor(&address, &value).await).await.unwrap();
        assert_eq!(me.into_inner().token.unwrap().name, "operator");
        program.terminate();
        let (code, said) = program.ended().await;
        assert_eq!(code, Some(0), "{said}");
        took += usize::from(said.contains("taken from a file"));
    }
    assert_eq!(took, 1);
}

#[test]
fn a_file_without_an_operators_value_founds_nothing() {
    let temporary = tempfile::tempdir().unwrap();
    let file = temporary.path().join("first");
    let named = file.display().to_string();
    let environment = [(TOKEN_FILE, named.clone())];
    let arguments = ["serve", "--data", "data", "--address", "127.0.0.1:0"];
    let value = mint();
    let last = value.chars().last().unwrap();
    let typo = if last == 'a' { 'b' } else { 'a' };
    let typo = format!("{}{typo}", &value[..value.len() - 1]);
    let others = TokenValue::mint("ody_".parse().unwrap(), &OsEntropy).unwrap();
    for (content, why) in [
        (Some(String::new()), "not of the format of a value"),
        (Some("hunter2".into()), "not of the format of a value"),
        (Some(format!("{value} {value}")), "not of the format"),
        (Some(typo), "the checksum does not match"),
        (Some(others.expose()), "does not begin with ta_"),
        (Some("x".repeat(2 * 1024 * 1024)), "more than 1 MiB"),
        (None, "No such file"),
    ] {
        let _ = std::fs::remove_file(&file);
        if let Some(content) = &content {
            std::fs::write(&file, content).unwrap();
        }
        let (code, said) = run(&arguments, &environment, &temporary);
        assert_eq!(code, 1, "{said}");
        let expected = format!("bootstrap.token_file {named}: ");
        assert!(said.contains(&expected) && said.contains(why), "{said}");
        let content = content.unwrap_or_default();
        assert!(content.is_empty() || !said.contains(&content), "{said}");
    }
    // The value where the file's name belongs.
    let environment = [(TOKEN_FILE, value.clone())];
    let (code, said) = run(&arguments, &environment, &temporary);
    assert_eq!(code, 64, "{said}");
    assert!(
        said.contains("bootstrap.token_file: must be the name"),
        "{said}"
    );
    assert!(!said.contains(&value), "{said}");

    // None of that made an operator, so this does.
    std::fs::write(&file, format!("  {value}\r\n")).unwrap();
    let environment = [(TOKEN_FILE, named)];
    let mut program = Program::start_with(&arguments, temporary.path(), &environment);
    program.until("the operator's token was taken from a file");
    program.until("serving server.address=");
    program.terminate();
    assert_eq!(program.end().0, Some(0));
}

#[test]
fn a_value_is_minted_for_nobody_in_particular() {
    let temporary = tempfile::tempdir().unwrap();
    let (code, said) = run(&["bootstrap", "--mint", "--data", "data"], &[], &temporary);
    assert_eq!(code, 64, "{said}");
    let value: TokenValue = mint().parse().unwrap();
    assert_eq!(value.prefix().as_str(), "ta_");
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0);
}
