//! Collectors: what they are sent, and how little it matters when they are not there.

use std::net::TcpListener;

use token_authority::config::Telemetry;
use token_authority::telemetry::Export;

use crate::support::traces::{Collector, Traces};
use crate::support::{Backend, TestServer, both_backends};

both_backends!(
    a_collector_that_is_not_there_costs_spans_alone,
    a_collector_that_never_answers_holds_up_neither_calls_nor_the_end,
);

async fn a_collector_that_is_not_there_costs_spans_alone(backend: Backend) {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", closed.local_addr().unwrap());
    drop(closed);
    let traces = Traces::to(&url, |_| {});
    let t = TestServer::start(backend).await;
    let created = t.resource_server().await;
    assert!(
        created
            .introspect("authority", created.value())
            .await
            .active
    );
    traces.export.flush().await;
    assert!(traces.export.dropped() > 0);
}

async fn a_collector_that_never_answers_holds_up_neither_calls_nor_the_end(backend: Backend) {
    // The system takes connections for it, and nobody reads them.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let traces = Traces::to(&url, |settings| settings.otlp_queue = 512);
    let t = TestServer::start(backend).await;
    let created = t.resource_server().await;
    while traces.export.dropped() == 0 {
        assert!(
            created
                .introspect("authority", created.value())
                .await
                .active
        );
    }
    // This would not end.
    drop(traces);
}

#[tokio::test]
async fn headers_are_sent_along_and_the_service_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("headers");
    std::fs::write(&file, "authorization: Bearer of-the-collector\n").unwrap();
    let collector = Collector::start();
    let traces = Traces::to(&collector.url(), |settings| {
        settings.otlp_headers_file = Some(file);
        settings.service_name = "authority of the test".into();
        settings.service_instance = Some("pod-7".into());
    });
    let t = TestServer::start(Backend::Sqlite).await;
    t.resource_server().await;
    traces.export.flush().await;
    let headers = collector.headers().unwrap();
    let sent = headers.get("authorization").unwrap().to_str();
    assert_eq!(sent.unwrap(), "Bearer of-the-collector");
    let text = collector.text();
    assert!(text.contains("authority of the test") && text.contains("pod-7"));
    assert!(!t.logs.text().contains("of-the-collector"));
}

#[test]
fn what_is_wrong_with_a_collector_is_said_without_its_secrets() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("headers");
    std::fs::write(&file, "good: yes\nhunter2\n").unwrap();
    let wrong = |url: &str, settings: &Telemetry| {
        let problem = Export::start(url, settings).unwrap_err().to_string();
        assert!(!problem.contains("hunter2"), "{problem}");
        problem
    };
    let problem = wrong("http://me:hunter2@localhost", &Telemetry::default());
    assert!(
        problem.starts_with("telemetry.otlp_endpoint: "),
        "{problem}"
    );
    let settings = Telemetry {
        otlp_headers_file: Some(file),
        ..Telemetry::default()
    };
    let problem = wrong("http://localhost:4317", &settings);
    assert!(problem.contains("line 2"), "{problem}");
}
