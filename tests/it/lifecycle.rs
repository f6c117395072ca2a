//! The end of the program, and its beginning: what is told to whom, which calls are
//! answered, and what it exits with.

mod load;

use std::net::TcpListener;
use std::sync::Arc;

use h2::client::{ResponseFuture, SendRequest};
use prost::bytes::Bytes;
use token_authority::app::{App, World};
use token_authority::config::Config;
use token_authority::pb;
use token_authority::pb::self_service_client::SelfServiceClient;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_stream::StreamExt as _;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::support::{Backend, Installation, ManualClock, Program, SeededEntropy, both_backends};

const NO_DRAIN: (&str, &str) = ("TOKEN_AUTHORITY_SERVER__DRAIN_SECONDS", "0");
/// Longer than a test waits for the end.
const LONG_GRACE: (&str, &str) = ("TOKEN_AUTHORITY_SERVER__GRACE_SECONDS", "3600");
/// Who serves connections.
const RUNTIMES: [(&str, &str); 2] = [
    ("TOKEN_AUTHORITY_SERVER__RUNTIME", "per-core"),
    ("TOKEN_AUTHORITY_SERVER__RUNTIME", "shared"),
];
const SHORT_GRACE: (&str, &str) = ("TOKEN_AUTHORITY_SERVER__GRACE_SECONDS", "1");

/// A call whose message has not come yet.
struct Held {
    answer: ResponseFuture,
    body: h2::SendStream<Bytes>,
    _connection: SendRequest<Bytes>,
}

impl Held {
    /// Begins to ask who the caller is.
    async fn begin(address: &str, credential: &str) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let (send, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        let mut send = send.ready().await.unwrap();
        let request = |path: &str| {
            http::Request::post(format!("http://localhost{path}"))
                .header("content-type", "application/grpc")
                .header("te", "trailers")
                .header("authorization", format!("Bearer {credential}"))
                .body(())
                .unwrap()
        };
        let held = request("/tokenauthority.v1.SelfService/WhoAmI");
        let (answer, body) = send.send_request(held, false).unwrap();
        // Calls of one connection are begun in their order: this one's answer shows that
        // the first was begun.
        let mut send = send.ready().await.unwrap();
        let second = request("/nobody.Here/Nothing");
        let (second, _) = send.send_request(second, true).unwrap();
        second.await.unwrap();
        Self {
            answer,
            body,
            _connection: send,
        }
    }

    /// Sends the message; returns the status of the answer.
    async fn finish(mut self) -> String {
        let empty = Bytes::from_static(&[0; 5]);
        self.body.send_data(empty, true).unwrap();
        let mut body = self.answer.await.unwrap().into_body();
        while let Some(data) = body.data().await {
            let data = data.unwrap();
            body.flow_control().release_capacity(data.len()).unwrap();
        }
        let trailers = body.trailers().await.unwrap().unwrap();
        trailers["grpc-status"].to_str().unwrap().to_owned()
    }
}

pub(crate) async fn channel(address: &str) -> Channel {
    let channel = Channel::from_shared(format!("http://{address}")).unwrap();
    channel.connect().await.unwrap()
}

/// Waits for a line while this runtime goes on.
pub(crate) async fn until(mut program: Program, text: &'static str) -> Program {
    let waiting = tokio::task::spawn_blocking(move || {
        program.until(text);
        program
    });
    waiting.await.unwrap()
}

/// Waits until nobody can connect.
async fn closed(address: &str) {
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn either_signal_ends_it_well() {
    let installation = Installation::new(Backend::Sqlite).await;
    let signals = [("-TERM", "SIGTERM"), ("-INT", "SIGINT")];
    for ((signal, name), runtime) in signals.into_iter().zip(RUNTIMES) {
        let (program, _) = installation.start(&[NO_DRAIN, LONG_GRACE, runtime]);
        program.signal(signal);
        let (code, said) = program.ended().await;
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains(name) && said.contains("stopped"), "{said}");
    }
}

#[tokio::test]
async fn a_call_in_flight_is_answered_after_nobody_can_connect_any_more() {
    let installation = Installation::new(Backend::Sqlite).await;
    for runtime in RUNTIMES {
        let (program, address) = installation.start(&[NO_DRAIN, LONG_GRACE, runtime]);
        // On every core.
        let operator = installation.operator();
        let (first, second) = (
            Held::begin(&address, &operator).await,
            Held::begin(&address, &operator).await,
        );
        program.terminate();
        closed(&address).await;
        assert_eq!(first.finish().await, "0");
        assert_eq!(second.finish().await, "0");
        let (code, said) = program.ended().await;
        assert_eq!(code, Some(0), "{said}");
    }
}

#[tokio::test]
async fn a_call_that_outlasts_the_grace_is_cut_and_the_exit_code_says_so() {
    let installation = Installation::new(Backend::Sqlite).await;
    for runtime in RUNTIMES {
        let (program, address) = installation.start(&[NO_DRAIN, SHORT_GRACE, runtime]);
        let held = Held::begin(&address, &installation.operator()).await;
        program.terminate();
        let (code, said) = program.ended().await;
        assert_eq!(code, Some(1), "{said}");
        assert!(
            said.contains("1 call(s) in flight outlasted the grace"),
            "{said}"
        );
        assert!(held.answer.await.is_err());
    }
}

#[tokio::test]
async fn a_second_signal_cuts_at_once() {
    let installation = Installation::new(Backend::Sqlite).await;
    let drain = ("TOKEN_AUTHORITY_SERVER__DRAIN_SECONDS", "600");
    // In the grace, and in the drain.
    for settings in [
        [NO_DRAIN, LONG_GRACE, RUNTIMES[0]],
        [drain, LONG_GRACE, RUNTIMES[1]],
    ] {
        let (program, address) = installation.start(&settings);
        let held = Held::begin(&address, &installation.operator()).await;
        program.terminate();
        let program = until(program, "health says not serving").await;
        program.terminate();
        let (code, said) = program.ended().await;
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("told to stop twice"), "{said}");
        assert!(held.answer.await.is_err());
    }
}

#[tokio::test]
async fn an_open_watch_of_health_does_not_hold_the_end() {
    let installation = Installation::new(Backend::Sqlite).await;
    let (program, address) = installation.start(&[NO_DRAIN, LONG_GRACE]);
    let mut client = HealthClient::new(channel(&address).await);
    let watch = client.watch(HealthCheckRequest::default()).await.unwrap();
    let mut watch = watch.into_inner();
    assert_eq!(watch.next().await.unwrap().unwrap().status, 1);
    program.terminate();
    let (code, said) = program.ended().await;
    assert_eq!(code, Some(0), "{said}");
    let mut last = 1;
    while let Some(Ok(told)) = watch.next().await {
        last = told.status;
    }
    assert_eq!(last, 2, "it was told before it ended");
}

#[test]
fn a_signal_ends_it_while_it_still_waits_for_its_database() {
    let temporary = tempfile::tempdir().unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://u:p@{}/d", silent.local_addr().unwrap());
    std::fs::write(temporary.path().join("url"), url).unwrap();
    let arguments = ["serve", "--database-url-file", "url", "--keyring", "keys"];
    let program = Program::start(&arguments, temporary.path());
    // It has begun to ask, and is not answered.
    let _asking = silent.accept().unwrap();
    program.terminate();
    let (code, said) = program.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("stopped before serving"), "{said}");
}

both_backends!(it_starts_on_a_schema_to_which_a_newer_one_added);

async fn it_starts_on_a_schema_to_which_a_newer_one_added(backend: Backend) {
    let installation = Installation::new(backend).await;
    let (program, _) = installation.start(&[]);
    program.terminate();
    assert_eq!(program.end().0, Some(0));
    // What the next release does to the schema.
    let success = match backend {
        Backend::Sqlite => "1",
        Backend::Postgres => "TRUE",
    };
    let checksum = match backend {
        Backend::Sqlite => "x'00'",
        Backend::Postgres => r"'\x00'",
    };
    let database = &installation.database;
    for statement in [
        "ALTER TABLE tokens ADD COLUMN of_tomorrow INTEGER".to_owned(),
        format!(
            "INSERT INTO _sqlx_migrations \
             (version, description, success, checksum, execution_time) \
             VALUES (9999, 'of tomorrow', {success}, {checksum}, 1)"
        ),
    ] {
        database.execute(&statement).await;
    }
    let (program, address) = installation.start(&[]);
    let channel = Channel::from_shared(format!("http://{address}")).unwrap();
    let mut me = SelfServiceClient::new(channel.connect().await.unwrap());
    let mut request = tonic::Request::new(pb::WhoAmIRequest {});
    let bearer = format!("Bearer {}", installation.operator());
    let metadata = request.metadata_mut();
    metadata.insert("authorization", bearer.parse().unwrap());
    me.who_am_i(request).await.unwrap();
    program.terminate();
    let (code, said) = program.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("newer than this program"), "{said}");
}

#[tokio::test]
async fn what_it_can_not_start_without_is_told_in_a_line() {
    let newer = Installation::new(Backend::Sqlite).await;
    newer
        .database
        .execute(
            "INSERT INTO _sqlx_migrations \
             (version, description, success, checksum, execution_time) \
             VALUES (9998, 'of tomorrow', 1, x'00', 1), (9999, 'contract since 9998 it', 1, x'00', 1)",
        )
        .await;
    let temporary = tempfile::tempdir().unwrap();
    let at = |name: &str| temporary.path().join(name);
    std::fs::write(at("url"), "postgres://u:hunter2@127.0.0.1:1/d").unwrap();
    std::fs::create_dir(at("keys")).unwrap();
    std::fs::write(at("keys/0001.key"), "hunter2").unwrap();
    std::fs::create_dir(at("none")).unwrap();
    let newer = newer.data.to_str().unwrap();
    let failures: [(&[&str], &str); 5] = [
        (
            &["--database-url-file", "url", "--keyring", "keys"],
            "database.url_file: can't open the database: the database is unavailable",
        ),
        (
            &["--database-url-file", "none", "--keyring", "keys"],
            "database.url_file none: not a regular file",
        ),
        (
            &["--data", newer],
            "the schema is newer than this program: migration 9999 took away what it uses; start",
        ),
        (
            &["--data", "a", "--keyring", "keys"],
            "keyring keys/0001.key: not 32 bytes in base64",
        ),
        (&["--data", "url"], "can't make url: File exists"),
    ];
    for (arguments, told) in failures {
        let arguments = [&["serve", "--address", "127.0.0.1:0"], arguments].concat();
        let (code, said) = Program::start(&arguments, temporary.path()).end();
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(told), "no {told:?} in {said}");
        assert!(!said.contains("hunter2"), "{said}");
        let lines = said
            .lines()
            .filter(|line| line.starts_with("token-authority: "));
        assert_eq!(lines.count(), 1, "{said}");
    }
}

#[tokio::test]
async fn a_task_that_dies_ends_the_server_in_good_order() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = Config::default();
    config.server.address.set_port(0);
    config.server.drain_seconds = 0;
    config.ops.address.set_port(0);
    config.hashing.cost = 4;
    config.database.directory = directory.path().join("data");
    let world = World {
        clock: Arc::new(ManualClock::new()),
        entropy: Arc::new(SeededEntropy::new(42)),
    };
    let mut app = App::build(&config, world).await.unwrap();
    let (die, dying) = oneshot::channel::<()>();
    app.depend_on("planted", async {
        let _ = dying.await;
        panic!("planted");
    });
    let address = app.address().unwrap().to_string();
    let serving = tokio::spawn(app.serve(CancellationToken::new()));
    let mut client = HealthClient::new(channel(&address).await);
    let watch = client.watch(HealthCheckRequest::default()).await.unwrap();
    let mut watch = watch.into_inner();
    assert_eq!(watch.next().await.unwrap().unwrap().status, 1);

    die.send(()).unwrap();
    // The program exits with 1 for any failure.
    let error = serving.await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "planted: a task that must last panicked");
    let mut last = 1;
    while let Some(Ok(told)) = watch.next().await {
        last = told.status;
    }
    assert_eq!(last, 2, "health says so first");
    assert!(TcpStream::connect(address).await.is_err());
}
