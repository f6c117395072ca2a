//! The spans of a call, from its caller's down to each statement.

use token_authority::pb;
use tonic::Request;

use crate::support::tokens::{id, own_id, wanted};
use crate::support::traces::{Collector, Exported, Traces, tree};
use crate::support::{
    Actor, Backend, TestServer, both_backends, refused, self_service, without_memory,
};

both_backends!(
    a_read_is_traced_below_its_caller,
    a_mutation_is_traced_below_its_caller,
    a_batch_is_traced_below_its_caller,
    a_failure_is_told_by_its_reason,
    what_the_caller_does_not_sample_is_not_exported,
    introspections_are_sampled_once,
    what_is_no_call_is_not_traced,
    the_audit_log_names_the_trace_that_is_exported,
);

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// Puts a call below a caller's span.
fn traced<T>(mut request: Request<T>, sampled: bool) -> Request<T> {
    let parent = format!("00-{TRACE}-{PARENT}-0{}", u8::from(sampled));
    let metadata = request.metadata_mut();
    metadata.insert("traceparent", parent.parse().unwrap());
    request
}

/// Returns the spans of the caller's trace, once that of its call is there: it ends
/// after those below it.
async fn spans(collector: &Collector, traces: &Traces) -> Vec<Exported> {
    let of_caller = |span: &Exported| span.trace_id() == TRACE;
    let called = |spans: &[Exported]| {
        let mut spans = spans.iter();
        spans.any(|span| of_caller(span) && span.is_server())
    };
    let spans = traces.until(collector, called).await;
    spans.into_iter().filter(of_caller).collect()
}

/// Returns the one span of a call.
fn server(spans: &[Exported]) -> &Exported {
    let servers: Vec<_> = spans.iter().filter(|span| span.is_server()).collect();
    assert_eq!(servers.len(), 1, "{servers:#?}");
    servers[0]
}

fn introspect(value: &str) -> pb::IntrospectRequest {
    pb::IntrospectRequest {
        token: value.into(),
        tenant_id: "acme".into(),
        ..Default::default()
    }
}

async fn a_read_is_traced_below_its_caller(backend: Backend) {
    let collector = Collector::start();
    let traces = Traces::to(&collector.url(), |_| {});
    let t = TestServer::start_with(backend, without_memory).await;
    let acme = t.tenant("acme", self_service()).await;
    let resources = t.resource_server().await;
    let call = traced(resources.call(introspect(acme.admin.value())), true);
    resources.introspection().introspect(call).await.unwrap();

    let spans = spans(&collector, &traces).await;
    let server = server(&spans);
    assert_eq!(server.parent(), PARENT);
    insta::allow_duplicates! {
        insta::assert_snapshot!(tree(&spans, server), @r"
        tokenauthority.v1.IntrospectionService/Introspect
          authority.authenticate
            store.find_record_by_lookup
          authority.introspect
            store.find_record_by_lookup
        ");
    }
    let told = |key| server.attribute(key);
    assert_eq!(told("rpc.system").as_deref(), Some("grpc"));
    let service = "tokenauthority.v1.IntrospectionService";
    assert_eq!(told("rpc.service").as_deref(), Some(service));
    assert_eq!(told("rpc.method").as_deref(), Some("Introspect"));
    assert_eq!(told("rpc.grpc.status_code").as_deref(), Some("0"));
    assert_eq!(told("caller.token.id"), Some(own_id(&resources).await));
    assert_eq!(told("caller.tenant.id").as_deref(), Some("authority"));
    assert_eq!(told("error.type"), None);
    assert!(!server.is_error());
    let statement = spans.iter().find(|span| span.0.name.starts_with("store."));
    let system = statement.unwrap().attribute("db.system.name");
    let expected = match backend {
        Backend::Sqlite => "sqlite",
        Backend::Postgres => "postgresql",
    };
    assert_eq!(system.as_deref(), Some(expected));
}

async fn a_mutation_is_traced_below_its_caller(backend: Backend) {
    let collector = Collector::start();
    let traces = Traces::to(&collector.url(), |_| {});
    let t = TestServer::start_with(backend, without_memory).await;
    let acme = t.tenant("acme", self_service()).await;
    let call = traced(acme.admin.call(wanted("laptop", &["read"])), true);
    acme.admin.tokens().create_token(call).await.unwrap();

    let spans = spans(&collector, &traces).await;
    let server = server(&spans);
    assert_eq!(server.parent(), PARENT);
    assert_eq!(server.attribute("tenant.id").as_deref(), Some("acme"));
    let tree = tree(&spans, server);
    let lines: Vec<_> = tree.lines().collect();
    assert_eq!(lines.len(), spans.len(), "{tree}");
    assert_eq!(lines[0], "tokenauthority.v1.TokenService/CreateToken");
    for line in [
        "  authority.create_token",
        "    store.begin",
        "    store.lock_tenant",
        "    store.insert_token",
        "    store.insert_secret",
        "    store.insert_audit_event",
        "    store.commit",
    ] {
        assert!(lines.contains(&line), "{line:?} is not in\n{tree}");
    }
}

async fn a_batch_is_traced_below_its_caller(backend: Backend) {
    let collector = Collector::start();
    let traces = Traces::to(&collector.url(), |_| {});
    let t = TestServer::start_with(backend, without_memory).await;
    let acme = t.tenant("acme", self_service()).await;
    let resources = t.resource_server().await;
    let good = introspect(acme.admin.value());
    let bad = pb::IntrospectRequest {
        tenant_id: "no such thing".into(),
        ..good.clone()
    };
    let batch = pb::BatchIntrospectRequest {
        requests: vec![good.clone(), bad, good],
    };
    let call = traced(resources.call(batch), true);
    let answer = resources.introspection().batch_introspect(call).await;
    assert_eq!(answer.unwrap().into_inner().results.len(), 3);

    let spans = spans(&collector, &traces).await;
    let server = server(&spans);
    insta::allow_duplicates! {
        insta::assert_snapshot!(tree(&spans, server), @r"
        tokenauthority.v1.IntrospectionService/BatchIntrospect
          authority.authenticate
            store.find_record_by_lookup
          authority.batch_introspect
            store.find_record_by_lookup
            store.find_record_by_lookup
        ");
    }
    // The call as a whole went well.
    let told = server.attribute("rpc.grpc.status_code");
    assert_eq!(told.as_deref(), Some("0"));
    let reason = server.attribute("error.type");
    assert_eq!(reason.as_deref(), Some("INVALID_TENANT_ID"));
    assert!(!server.is_error());
}

async fn a_failure_is_told_by_its_reason(backend: Backend) {
    let collector = Collector::start();
    let traces = Traces::to(&collector.url(), |_| {});
    let mut t = TestServer::start_with(backend, without_memory).await;
    t.expect_alarms();
    let acme = t.tenant("acme", self_service()).await;
    let get = async |token_id: &str| {
        let request = pb::GetTokenRequest {
            tenant_id: "acme".into(),
            token_id: token_id.into(),
            ..Default::default()
        };
        let call = traced(acme.admin.call(request), true);
        refused(acme.admin.tokens().get_token(call).await)
    };
    let elsewhere = own_id(&t.operator()).await;
    assert_eq!(get(&elsewhere).await, "NotFound TOKEN_NOT_FOUND");
    t.database
        .execute("ALTER TABLE catalogs RENAME TO lost_catalogs")
        .await;
    assert_eq!(get(&elsewhere).await, "Internal INTERNAL");
    let method = format!("/tokenauthority.v1.TokenService/{elsewhere}");
    assert!(acme.admin.raw(&method, Vec::new()).await.is_err());

    let reasons = ["TOKEN_NOT_FOUND", "INTERNAL"];
    let is =
        |span: &Exported, reason: &str| span.attribute("error.type").as_deref() == Some(reason);
    let all = |spans: &[Exported]| {
        let mut reasons = reasons.iter();
        let unknown = spans.iter().any(|span| span.0.name == "unknown");
        unknown && reasons.all(|reason| spans.iter().any(|span| is(span, reason)))
    };
    let spans = traces.until(&collector, all).await;
    let told = |reason: &str| {
        let span = spans.iter().find(|span| is(span, reason)).unwrap();
        let code = span.attribute("rpc.grpc.status_code").unwrap();
        (code, span.is_error())
    };
    // That something is not there is an answer.
    assert_eq!(told("TOKEN_NOT_FOUND"), ("5".into(), false));
    assert_eq!(told("INTERNAL"), ("13".into(), true));
    let unknown = spans.iter().find(|span| span.0.name == "unknown").unwrap();
    assert!(unknown.is_error(), "{unknown:?}");
    let code = unknown.attribute("rpc.grpc.status_code");
    assert_eq!(code.as_deref(), Some("12"));
    assert!(!collector.text().contains("lost_catalogs"));
}

async fn what_the_caller_does_not_sample_is_not_exported(backend: Backend) {
    let call = async |who: &Actor, sampled| {
        let call = traced(who.call(pb::WhoAmIRequest {}), sampled);
        who.me().who_am_i(call).await.unwrap();
    };
    let collector = Collector::start();
    let all = Traces::to(&collector.url(), |_| {});
    let mut t = TestServer::start_with(backend, without_memory).await;
    call(&t.operator(), false).await;
    // What was to come of it has come when what began later is there.
    let call_of_another = t.operator().call(pb::WhoAmIRequest {});
    t.operator().me().who_am_i(call_of_another).await.unwrap();
    let spans_of_both = all.until(&collector, |spans| spans.iter().any(Exported::is_server));
    let spans_of_both = spans_of_both.await;
    assert!(spans_of_both.iter().all(|span| span.trace_id() != TRACE));
    call(&t.operator(), true).await;
    assert!(!spans(&collector, &all).await.is_empty());
    t.stop().await;
    drop((t, all));

    let collector = Collector::start();
    let none = Traces::to(&collector.url(), |settings| settings.sample_ratio = 0.0);
    let t = TestServer::start_with(backend, without_memory).await;
    let operator = t.operator();
    let untraced = operator.call(pb::WhoAmIRequest {});
    operator.me().who_am_i(untraced).await.unwrap();
    call(&operator, false).await;
    call(&operator, true).await;
    let spans = spans(&collector, &none).await;
    assert_eq!(collector.spans().len(), spans.len());
    assert_eq!(server(&spans).parent(), PARENT);
}

async fn introspections_are_sampled_once(backend: Backend) {
    const CALLS: usize = 400;
    for from_memory in [true, false] {
        let collector = Collector::start();
        let half = Traces::to(&collector.url(), |settings| settings.sample_ratio = 0.5);
        let t = TestServer::start_with(backend, |settings| {
            settings.coherence.single_process = settings.database.url.is_some();
            if !from_memory {
                without_memory(settings);
            }
        });
        let mut t = t.await;
        let acme = t.tenant("acme", self_service()).await;
        let token = acme.admin.create(wanted("laptop", &["read"])).await;
        let operator = t.operator();
        for _ in 0..CALLS {
            let call = operator.call(introspect(&token.value));
            let answer = operator.introspection().introspect(call).await.unwrap();
            assert!(answer.into_inner().active);
        }
        // As the caller says, whatever would be drawn; also of one that has something to tell.
        for sampled in [true, false] {
            for asked in [introspect(&token.value), pb::IntrospectRequest::default()] {
                let call = traced(operator.call(asked), sampled);
                let _ = operator.introspection().introspect(call).await;
            }
        }
        t.stop().await;
        half.export.flush().await;
        let all = collector.spans();
        let of_introspection = |span: &&Exported| {
            span.is_server() && span.0.name.ends_with("IntrospectionService/Introspect")
        };
        let (of_caller, drawn): (Vec<_>, Vec<_>) = all
            .iter()
            .filter(of_introspection)
            .partition(|span| span.trace_id() == TRACE);
        assert_eq!(of_caller.len(), 2, "{of_caller:#?}");
        // Drawn twice, it would be a quarter, or three. Ten standard deviations make 100.
        let drawn = drawn.len();
        assert!(drawn.abs_diff(CALLS / 2) < 70, "{drawn} of {CALLS}");
    }
}

async fn what_is_no_call_is_not_traced(backend: Backend) {
    use tonic_health::pb::HealthCheckRequest;
    use tonic_health::pb::health_client::HealthClient;
    let collector = Collector::start();
    let traces = Traces::to(&collector.url(), |_| {});
    let mut t = TestServer::start_with(backend, without_memory).await;
    let mut health = HealthClient::new(t.operator().channel());
    let check = traced(Request::new(HealthCheckRequest::default()), true);
    health.check(check).await.unwrap();
    t.authority.ready().await.unwrap();
    t.authority.flush_usage().await.unwrap();
    t.stop().await;
    traces.export.flush().await;
    assert_eq!(collector.spans().len(), 0, "{:#?}", collector.spans());
}

async fn the_audit_log_names_the_trace_that_is_exported(backend: Backend) {
    let collector = Collector::start();
    let traces = Traces::to(&collector.url(), |_| {});
    let t = TestServer::start_with(backend, without_memory).await;
    let acme = t.tenant("acme", self_service()).await;
    let created = acme.admin.create(wanted("laptop", &["read"])).await;
    let request = pb::ListAuditEventsRequest {
        tenant_id: "acme".into(),
        ..Default::default()
    };
    let call = acme.admin.call(request);
    let events = acme.admin.audit().list_audit_events(call).await;
    let events = events.unwrap().into_inner().events;
    let token_id = Some(id(&created));
    let of = |event: &&pb::AuditEvent| {
        let subject = event.subject.as_ref();
        subject.map(|subject| subject.token_id.clone()) == token_id
    };
    let event = events.iter().find(of).unwrap();
    let named = |spans: &[Exported]| {
        let mut calls = spans
            .iter()
            .filter(|span| span.0.name == "tokenauthority.v1.TokenService/CreateToken");
        calls.any(|span| span.trace_id() == event.trace_id)
    };
    traces.until(&collector, named).await;
}
