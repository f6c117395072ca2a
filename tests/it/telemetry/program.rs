//! The program itself: what it exports and logs until its very end.

use token_authority::pb;
use tonic::transport::Channel;

use crate::support::tokens::{id, question, rotate, rotation, service};
use crate::support::traces::{Collector, tree};
use crate::support::{Actor, Issued, Program, refusal};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn serve(temporary: &std::path::Path, environment: &[(&str, String)]) -> (Program, String) {
    let arguments = ["serve", "--address", "127.0.0.1:0"];
    let mut program = Program::start_with(&arguments, temporary, environment);
    let url = format!("http://{}", program.address());
    (program, url)
}

/// Calls the program, below a caller's span, and tells it to stop.
async fn call_and_stop(program: Program, url: String, temporary: &std::path::Path) -> String {
    let channel = Channel::from_shared(url).unwrap().connect().await.unwrap();
    let value = std::fs::read_to_string(temporary.join("data/operator-token")).unwrap();
    let operator = Actor::new(channel, Some(value.trim()), Issued::default());
    let mut call = operator.call(pb::CreateTenantRequest {
        tenant_id: "acme".into(),
        token_prefix: "acme_".into(),
        ..Default::default()
    });
    let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let metadata = call.metadata_mut();
    metadata.insert("traceparent", parent.parse().unwrap());
    metadata.insert("x-request-id", "r-7".parse().unwrap());
    operator.tenants().create_tenant(call).await.unwrap();
    drop(operator);
    program.terminate();
    let (code, said) = program.ended().await;
    assert_eq!(code, Some(0), "{said}");
    said
}

#[tokio::test]
async fn the_last_spans_are_sent_at_the_end() {
    let temporary = tempfile::tempdir().unwrap();
    let collector = Collector::start();
    let environment = [
        ("TOKEN_AUTHORITY_TELEMETRY__OTLP_ENDPOINT", collector.url()),
        ("TOKEN_AUTHORITY_TELEMETRY__SAMPLE_RATIO", "0.0".to_owned()),
        ("TOKEN_AUTHORITY_COHERENCE__MEMORY_MIB", "0".to_owned()),
    ];
    let (program, url) = serve(temporary.path(), &environment);
    call_and_stop(program, url, temporary.path()).await;
    let spans = collector.spans();
    let created = spans
        .iter()
        .find(|span| span.0.name == "tokenauthority.v1.TenantService/CreateTenant");
    let created = created.unwrap();
    assert!(created.is_server());
    assert_eq!(created.trace_id(), TRACE);
    assert_eq!(created.parent(), "00f067aa0ba902b7");
    let tree = tree(&spans, created);
    for line in [
        "  authority.authenticate",
        "    store.find_record_by_lookup",
        "  authority.create_tenant",
        "    store.insert_tenant",
        "    store.commit",
    ] {
        assert!(tree.lines().any(|below| below == line), "{line}:\n{tree}");
    }
}

#[tokio::test]
async fn a_line_in_json_is_flat_and_names_the_callers_trace() {
    let temporary = tempfile::tempdir().unwrap();
    let environment = [("TOKEN_AUTHORITY_TELEMETRY__LOG_FORMAT", "json".to_owned())];
    let (program, url) = serve(temporary.path(), &environment);
    let said = call_and_stop(program, url, temporary.path()).await;
    let lines: Vec<serde_json::Value> = said
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let done = lines
        .iter()
        .filter(|line| line["message"] == "the call was done");
    let done: Vec<_> = done.collect();
    assert_eq!(done.len(), 1, "{said}");
    let line = done[0].as_object().unwrap();
    let names: Vec<&str> = line.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "caller.tenant.id",
            "caller.token.id",
            "duration_ms",
            "level",
            "message",
            "request.id",
            "rpc.method",
            "target",
            "tenant.id",
            "timestamp",
            "trace_id",
        ]
    );
    assert_eq!(line["trace_id"], TRACE);
    assert_eq!(line["request.id"], "r-7");
    assert_eq!(line["tenant.id"], "acme");
}

#[tokio::test]
async fn what_an_introspection_has_to_tell_names_the_call_and_its_trace() {
    let temporary = tempfile::tempdir().unwrap();
    let (program, url) = serve(temporary.path(), &[]);
    let channel = Channel::from_shared(url).unwrap().connect().await.unwrap();
    let value = std::fs::read_to_string(temporary.path().join("data/operator-token")).unwrap();
    let operator = Actor::new(channel.clone(), Some(value.trim()), Issued::default());
    let nobody = Actor::new(channel, None, Issued::default());
    let created = operator.create(service("authority", "worker", &[])).await;
    let rotation = rotation(&id(&created), 0);
    rotate(&operator, rotation).await.unwrap();

    let introspect = async |actor: &Actor, request_id: &str, value: &str| {
        let mut call = actor.call(question("authority", value));
        let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
        let metadata = call.metadata_mut();
        metadata.insert("traceparent", parent.parse().unwrap());
        metadata.insert("x-request-id", request_id.parse().unwrap());
        actor.introspection().introspect(call).await
    };
    let answer = introspect(&operator, "r-1", operator.value()).await;
    assert!(answer.unwrap().into_inner().active);
    let answer = introspect(&operator, "r-2", &created.value).await;
    assert!(!answer.unwrap().into_inner().active);
    let status = introspect(&nobody, "r-3", operator.value()).await;
    let refused = refusal(&status.unwrap_err());
    assert_eq!(refused, "Unauthenticated CALLER_UNAUTHENTICATED");
    drop((operator, nobody));
    program.terminate();
    let (code, said) = program.ended().await;
    assert_eq!(code, Some(0), "{said}");

    assert!(!said.contains("r-1"), "{said}");
    for (words, request_id) in [
        ("a value was used after its end", "r-2"),
        ("the call failed", "r-3"),
    ] {
        let line = said.lines().find(|line| line.contains(words)).unwrap();
        for part in [
            "rpc{rpc.method=\"tokenauthority.v1.IntrospectionService/Introspect\"",
            &format!("request.id=\"{request_id}\""),
            TRACE,
        ] {
            assert!(line.contains(part), "{part} is not in {line}");
        }
    }
}

#[tokio::test]
async fn a_collector_that_is_away_is_told_of_once() {
    let temporary = tempfile::tempdir().unwrap();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", closed.local_addr().unwrap());
    drop(closed);
    let environment = [("TOKEN_AUTHORITY_TELEMETRY__OTLP_ENDPOINT", url)];
    let (program, url) = serve(temporary.path(), &environment);
    let said = call_and_stop(program, url, temporary.path()).await;
    assert_eq!(said.matches("traces can't be sent").count(), 1, "{said}");
}
