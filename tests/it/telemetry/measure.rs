//! What telemetry costs an introspection where nothing is exported: instructions, by
//! valgrind, of a server as it is and of one in which spans and events are compiled out.

use std::path::Path;
use std::process::Command;

use tonic::transport::Channel;

use crate::support::{Actor, Issued, Program};

/// How many introspections are counted, beside as many that are not.
const COUNTED: u64 = 2000;

#[tokio::test]
#[ignore = "it measures; run `make measure-telemetry`"]
async fn measure() {
    let with = introspection(&binary("TELEMETRY_WITH")).await;
    let without = introspection(&binary("TELEMETRY_WITHOUT")).await;
    let more = (with / without - 1.0) * 100.0;
    println!(
        "instructions per introspection (SQLite, nothing exported, log = info): {with:.0} with \
         telemetry, {without:.0} without; {more:+.2} %"
    );
}

#[expect(
    clippy::disallowed_methods,
    reason = "not configuration: which programs to compare"
)]
fn binary(name: &str) -> String {
    std::env::var(name).expect("run `make measure-telemetry`")
}

/// Returns the instructions of an introspection: what so many more of them cost a
/// server, so that its start and its end don't count.
async fn introspection(binary: &str) -> f64 {
    let few = run(binary, COUNTED).await;
    let many = run(binary, 2 * COUNTED).await;
    f64::from(u32::try_from((many - few) / COUNTED).unwrap())
}

/// Returns the instructions of a server's whole life, with so many introspections.
async fn run(binary: &str, introspections: u64) -> u64 {
    let temporary = tempfile::tempdir().unwrap();
    let report = temporary.path().join("callgrind.out");
    let mut command = Command::new("valgrind");
    command
        .args(["--tool=callgrind", "--fair-sched=yes"])
        .arg(format!("--callgrind-out-file={}", report.display()))
        .args([binary, "serve"]);
    // Where events are compiled out, no line says where it serves.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = port.local_addr().unwrap().to_string();
    drop(port);
    command.args(["--address", &address]);
    // How several threads meet differs from run to run.
    let environment = [("TOKIO_WORKER_THREADS", "1".to_owned())];
    let program = Program::start_command(command, temporary.path(), &environment);
    let channel = connect(&address).await;
    let value = operator_token(&temporary.path().join("data/operator-token")).await;
    let operator = Actor::new(channel, Some(value.trim()), Issued::default());
    for _ in 0..introspections {
        let answer = operator.introspect("authority", operator.value()).await;
        assert!(answer.active);
    }
    drop(operator);
    program.terminate();
    let (code, said) = program.ended().await;
    assert_eq!(code, Some(0), "{said}");
    counted(&report)
}

/// Returns the operator's token once it is written: somebody listens before.
async fn operator_token(file: &Path) -> String {
    loop {
        match std::fs::read_to_string(file) {
            Ok(value) if value.ends_with('\n') => return value,
            _ => tokio::task::yield_now().await,
        }
    }
}

/// Connects once somebody listens.
async fn connect(address: &str) -> Channel {
    let endpoint = Channel::from_shared(format!("http://{address}")).unwrap();
    loop {
        match endpoint.connect().await {
            Ok(channel) => return channel,
            Err(_) => tokio::task::yield_now().await,
        }
    }
}

/// Returns the sum that a report ends with.
fn counted(report: &Path) -> u64 {
    let text = std::fs::read_to_string(report).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("totals: "));
    line.unwrap().trim().parse().unwrap()
}

#[test]
fn the_sum_of_a_report_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let report = directory.path().join("report");
    std::fs::write(&report, "events: Ir\nfn=a\n1 2\ntotals: 1234\n").unwrap();
    assert_eq!(counted(&report), 1234);
}
