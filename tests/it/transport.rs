//! What holds for every call, whatever it asks: ids, credentials, bounds, deadlines,
//! health and reflection. No database matters here, so one serves.

mod wire;

use prost::Message as _;
use token_authority::domain::bounds;
use token_authority::pb;
use tokio_stream::StreamExt as _;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::{v1, v1alpha};
use tonic_types::StatusExt as _;

use self::wire::Wire;
use crate::support::{Actor, Backend, TestServer, refusal, self_service};

const WHO_AM_I: &str = "/tokenauthority.v1.SelfService/WhoAmI";
const HEALTH: &str = "/grpc.health.v1.Health/Check";
const UNAUTHENTICATED: &str = "Unauthenticated CALLER_UNAUTHENTICATED";

async fn start() -> TestServer {
    TestServer::start(Backend::Sqlite).await
}

fn bearer(actor: &Actor) -> (&'static str, Vec<u8>) {
    let credential = format!("Bearer {}", actor.value());
    ("authorization", credential.into_bytes())
}

#[tokio::test]
async fn every_answer_bears_the_id_of_its_call() {
    let t = start().await;
    let mut wire = Wire::connect(t.address).await;
    let good = bearer(&t.operator());
    let paths = [
        (WHO_AM_I, vec![good.clone()], Code::Ok),
        (WHO_AM_I, vec![], Code::Unauthenticated),
        (
            "/tokenauthority.v1.SelfService/Nothing",
            vec![good],
            Code::Unimplemented,
        ),
        ("/nobody.Here/Nothing", vec![], Code::Unimplemented),
        (HEALTH, vec![], Code::Ok),
    ];
    let mut minted = Vec::new();
    for (path, headers, code) in paths {
        let mut with_id = headers.clone();
        with_id.push(("x-request-id", b"of-the-caller.1".to_vec()));
        let answer = wire.call(path, with_id).await;
        assert_eq!(answer.status.code(), code, "{path}");
        assert_eq!(answer.header("x-request-id"), "of-the-caller.1", "{path}");

        for bad in [b"".as_slice(), b"a b", &[b'a'; 65], b"\xff"] {
            let mut with_bad = headers.clone();
            with_bad.push(("x-request-id", bad.to_vec()));
            let answer = wire.call(path, with_bad).await;
            minted.push(answer.header("x-request-id").to_owned());
        }
        let answer = wire.call(path, headers).await;
        minted.push(answer.header("x-request-id").to_owned());
    }
    assert!(minted.iter().all(|id| id.len() == 22), "{minted:?}");
    let calls = minted.len();
    minted.sort();
    minted.dedup();
    assert_eq!(minted.len(), calls);
}

#[tokio::test]
async fn calls_from_browsers_are_refused() {
    let t = start().await;
    let mut wire = Wire::connect(t.address).await;
    for path in [WHO_AM_I, HEALTH, "/nobody.Here/Nothing"] {
        let origin = ("origin", b"https://evil.example".to_vec());
        let answer = wire.call(path, vec![bearer(&t.operator()), origin]).await;
        assert_eq!(
            refusal(&answer.status),
            "PermissionDenied BROWSER_ORIGIN",
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_caller_has_exactly_one_credential() {
    let t = start().await;
    let acme = t.tenant("acme", self_service()).await;
    let mut wire = Wire::connect(t.address).await;
    let value = acme.admin.value().to_owned();
    let credential = |text: String| vec![("authorization", text.into_bytes())];
    for good in [
        format!("Bearer {value}"),
        format!("bearer {value}"),
        format!("BEARER   {value}  "),
        value.clone(),
    ] {
        let answer = wire.call(WHO_AM_I, credential(good)).await;
        assert_eq!(answer.status.code(), Code::Ok, "{:?}", answer.status);
    }
    let mut twice = credential(value.clone());
    twice.extend(credential(value.clone()));
    let mut other = credential(format!("Bearer {value}"));
    other.extend(credential(t.operator().value().to_owned()));
    for bad in [
        vec![],
        twice,
        other,
        credential(String::new()),
        credential("Bearer".into()),
        credential(format!("Basic {value}")),
        credential(format!("Bearer Bearer {value}")),
        credential(format!("Bearer {value},{value}")),
        credential(format!("Bearer {value}é")),
        credential(format!("Bearer {}", "x".repeat(9000))),
        vec![("x-authorization", value.clone().into_bytes())],
        vec![("authorization", b"Bearer \xff\xfe".to_vec())],
    ] {
        let answer = wire.call(WHO_AM_I, bad).await;
        assert_eq!(refusal(&answer.status), UNAUTHENTICATED);
    }
}

#[tokio::test]
async fn metadata_past_its_bound_is_refused_and_the_connection_unharmed() {
    let t = start().await;
    let mut wire = Wire::connect(t.address).await;
    let large = |bytes: usize| {
        let filler = ("x-filler", vec![b'x'; bytes]);
        vec![bearer(&t.operator()), filler]
    };
    for bytes in [17 * 1024, 60 * 1024] {
        let answer = wire.call(WHO_AM_I, large(bytes)).await;
        // The transport's own answer, before there is a call.
        assert_eq!(answer.http, 431, "{bytes}");
        let answer = wire.call(WHO_AM_I, large(15 * 1024)).await;
        assert_eq!(answer.status.code(), Code::Ok, "{:?}", answer.status);
    }
}

#[tokio::test]
async fn a_connection_is_told_how_many_calls_it_may_make_at_once() {
    let t = start().await;
    let mut wire = Wire::connect(t.address).await;
    wire.call(HEALTH, vec![]).await;
    let most = usize::try_from(bounds::STREAMS).unwrap();
    assert_eq!(wire.streams(), most);
}

#[tokio::test]
async fn messages_are_bounded_and_batches_may_be_larger() {
    let t = start().await;
    let server = t.resource_server().await;
    let refused = |status: tonic::Status| {
        // The transport's own status.
        assert_eq!(status.code(), Code::OutOfRange, "{status:?}");
        assert!(status.get_error_details().error_info().is_none());
    };
    let request = |bytes: usize| pb::RevokeExposedTokenRequest {
        value: "x".repeat(bytes),
    };
    let expose = "/tokenauthority.v1.SelfService/RevokeExposedToken";
    let operator = t.operator();
    let small = request(bounds::MESSAGE_BYTES - 100).encode_to_vec();
    operator.raw(expose, small).await.unwrap();
    let large = request(bounds::MESSAGE_BYTES).encode_to_vec();
    refused(operator.raw(expose, large).await.unwrap_err());

    let batch = |bytes: usize| pb::BatchIntrospectRequest {
        requests: vec![
            pb::IntrospectRequest {
                token: "x".repeat(bytes / 8),
                tenant_id: "acme".into(),
                ..Default::default()
            };
            8
        ],
    };
    let path = "/tokenauthority.v1.IntrospectionService/BatchIntrospect";
    let small = batch(bounds::BATCH_MESSAGE_BYTES - 1000).encode_to_vec();
    let answer = server.raw(path, small).await.unwrap();
    let answer = pb::BatchIntrospectResponse::decode(answer.as_slice()).unwrap();
    assert_eq!(answer.results.len(), 8);
    let large = batch(bounds::BATCH_MESSAGE_BYTES).encode_to_vec();
    refused(server.raw(path, large).await.unwrap_err());
}

#[tokio::test]
async fn limits_may_be_tightened() {
    let mut t = TestServer::start_with(Backend::Sqlite, |config| {
        config.limits.connections = 2;
        config.limits.streams_per_connection = 3;
        config.limits.message_bytes = 65_536;
        config.limits.metadata_bytes = 4096;
    })
    .await;
    t.expect_alarms();
    let expose = "/tokenauthority.v1.SelfService/RevokeExposedToken";
    let request = pb::RevokeExposedTokenRequest {
        value: "x".repeat(65_536),
    };
    let answer = t.operator().raw(expose, request.encode_to_vec()).await;
    assert_eq!(answer.unwrap_err().code(), Code::OutOfRange);

    let mut wire = Wire::connect(t.address).await;
    let filler = ("x-filler", vec![b'x'; 4096]);
    assert_eq!(wire.call(HEALTH, vec![filler]).await.http, 431);
    assert_eq!(wire.streams(), 3);
    // The operator's connection is the first.
    let mut third = tokio::net::TcpStream::connect(t.address).await.unwrap();
    let read = tokio::io::AsyncReadExt::read(&mut third, &mut [0]).await;
    assert_eq!(read.unwrap_or(0), 0);
}

#[tokio::test]
async fn a_call_past_its_deadline_is_not_begun() {
    let t = start().await;
    let acme = t.tenant("acme", self_service()).await;
    let mut wire = Wire::connect(t.address).await;
    let late = || vec![bearer(&acme.admin), ("grpc-timeout", b"1n".to_vec())];
    let answer = wire.call(WHO_AM_I, late()).await;
    assert_eq!(
        refusal(&answer.status),
        "DeadlineExceeded DEADLINE_EXCEEDED"
    );
    let create = pb::CreateTokenRequest {
        tenant_id: "acme".into(),
        name: "late".into(),
        ..Default::default()
    };
    let path = "/tokenauthority.v1.TokenService/CreateToken";
    let answer = wire.send(path, late(), &create).await;
    assert_eq!(
        refusal(&answer.status),
        "DeadlineExceeded DEADLINE_EXCEEDED"
    );
    let names = t.database.texts("SELECT name FROM tokens").await;
    assert!(!names.contains(&"late".to_owned()), "{names:?}");
    // With time enough it is.
    let timely = vec![bearer(&acme.admin), ("grpc-timeout", b"20S".to_vec())];
    let answer = wire.send(path, timely, &create).await;
    assert_eq!(answer.status.code(), Code::Ok);
}

#[tokio::test]
async fn health_is_said_of_each_service_to_anybody() {
    let t = start().await;
    let mut client = HealthClient::new(t.nobody().channel());
    for service in std::iter::once("").chain(token_authority::rpc::SERVICES) {
        let request = HealthCheckRequest {
            service: service.into(),
        };
        let answer = client.check(request.clone()).await.unwrap();
        assert_eq!(answer.into_inner().status, 1, "{service}");
        let mut watch = client.watch(request).await.unwrap().into_inner();
        assert_eq!(watch.next().await.unwrap().unwrap().status, 1);
    }
    let request = HealthCheckRequest {
        service: "nobody".into(),
    };
    let status = client.check(request).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
}

#[tokio::test]
async fn health_turns_before_a_server_that_stops_is_gone() {
    let mut t = start().await;
    let mut client = HealthClient::new(t.nobody().channel());
    let request = HealthCheckRequest::default();
    let mut watch = client.watch(request).await.unwrap().into_inner();
    assert_eq!(watch.next().await.unwrap().unwrap().status, 1);
    let seen = async {
        // Said twice at the start, as nobody waits for what is known.
        while watch.next().await.unwrap().unwrap().status == 1 {}
        drop((watch, client));
    };
    tokio::join!(seen, t.stop());
}

/// Returns the services that reflection lists, in either version.
macro_rules! listed {
    ($t:expr, $version:ident) => {{
        use $version::server_reflection_client::ServerReflectionClient;
        use $version::server_reflection_request::MessageRequest;
        use $version::server_reflection_response::MessageResponse;
        let mut client = ServerReflectionClient::new($t.nobody().channel());
        let request = $version::ServerReflectionRequest {
            message_request: Some(MessageRequest::ListServices(String::new())),
            ..Default::default()
        };
        match client
            .server_reflection_info(tokio_stream::once(request))
            .await
        {
            Ok(answers) => {
                let answer = answers.into_inner().next().await.unwrap().unwrap();
                let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response
                else {
                    panic!("{answer:?}");
                };
                Ok(list
                    .service
                    .into_iter()
                    .map(|service| service.name)
                    .collect::<Vec<_>>())
            }
            Err(status) => Err(status.code()),
        }
    }};
}

#[tokio::test]
async fn reflection_lists_the_services_in_both_versions() {
    let t = start().await;
    for listed in [listed!(t, v1), listed!(t, v1alpha)] {
        let listed = listed.unwrap();
        for service in token_authority::rpc::SERVICES {
            assert!(listed.iter().any(|name| name == service), "{listed:?}");
        }
        assert!(listed.contains(&"grpc.health.v1.Health".to_owned()));
    }
}

#[tokio::test]
async fn reflection_may_be_switched_off() {
    let t =
        TestServer::start_with(Backend::Sqlite, |config| config.server.reflection = false).await;
    assert_eq!(listed!(t, v1), Err(Code::Unimplemented));
    assert_eq!(listed!(t, v1alpha), Err(Code::Unimplemented));
}
