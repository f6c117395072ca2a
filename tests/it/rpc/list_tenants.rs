//! `TenantService/ListTenants`.

use std::time::Duration;

use token_authority::pb;

use crate::support::{
    Actor, Backend, TestServer, both_backends, message, pages, refused, self_service,
};

both_backends!(
    each_tenant_is_listed_once_newest_first,
    a_page_has_fifty_unless_asked_otherwise,
    a_page_token_is_of_this_list,
    only_operators_list_tenants,
);

async fn create(operator: &Actor, tenant_id: &str) {
    let request = message!(CreateTenantRequest {
        tenant_id: tenant_id,
        token_prefix: format!("{}_", tenant_id.replace('-', "q")),
    });
    operator.create_tenant(request).await.unwrap();
}

async fn list(actor: &Actor, page_size: i32, page_token: String) -> (Vec<String>, String) {
    let request = pb::ListTenantsRequest {
        page_size,
        page_token,
    };
    let page = actor.list_tenants(request).await.unwrap();
    let ids = page.tenants.into_iter().map(|tenant| tenant.tenant_id);
    (ids.collect(), page.next_page_token)
}

async fn each_tenant_is_listed_once_newest_first(backend: Backend) {
    let t = TestServer::start(backend).await;
    let operator = t.operator();
    t.advance(Duration::from_millis(1));
    // In one instant; ids are compared by their bytes, on either database.
    for tenant_id in ["a-b", "a0b", "ab", "abc", "a-z"].map(|id| format!("{id}x")) {
        create(&operator, &tenant_id).await;
    }
    create(&operator, "gone").await;
    let delete = message!(DeleteTenantRequest { tenant_id: "gone" });
    operator.delete_tenant(delete).await.unwrap();
    t.advance(Duration::from_millis(1));
    create(&operator, "last").await;
    let suspend = message!(SuspendTenantRequest { tenant_id: "last" });
    operator.suspend_tenant(suspend).await.unwrap();

    let all = ["last", "abx", "abcx", "a0bx", "a-zx", "a-bx", "authority"];
    for size in [1, 2, 3, 7, 1000, i32::MAX] {
        let pages = pages(async |token| list(&operator, size, token).await).await;
        assert_eq!(pages.concat(), all);
        let size = usize::try_from(size).unwrap();
        assert!(
            pages
                .iter()
                .all(|page| page.len() == size || Some(page) == pages.last())
        );
        assert_eq!(pages.len(), all.len().div_ceil(size));
    }

    // What comes and goes meanwhile disturbs nobody's place.
    let (_, next) = list(&operator, 2, String::new()).await;
    create(&operator, "newer").await;
    let delete = message!(DeleteTenantRequest { tenant_id: "abx" });
    operator.delete_tenant(delete).await.unwrap();
    let (rest, next) = list(&operator, 100, next).await;
    assert_eq!(
        (rest.as_slice(), next.as_str()),
        (&all.map(str::to_owned)[2..], "")
    );
}

async fn a_page_has_fifty_unless_asked_otherwise(backend: Backend) {
    let t = TestServer::start(backend).await;
    let operator = t.operator();
    for at in 0..50 {
        create(&operator, &format!("acme-{at}")).await;
    }
    let pages = pages(async |token| list(&operator, 0, token).await).await;
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [50, 1]);
}

async fn a_page_token_is_of_this_list(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    t.member(&acme, "alice", &[]).await;
    let operator = t.operator();
    let request = message!(ListUsersRequest {
        tenant_id: "acme",
        page_size: 1
    });
    let other = operator.list_users(request).await.unwrap().next_page_token;
    let (_, good) = list(&operator, 1, String::new()).await;
    let damaged = format!("B{}", &good[1..]);
    assert!(!other.is_empty());
    for page_token in [other, damaged, "x".repeat(1000), "é".to_owned()] {
        let request = pb::ListTenantsRequest {
            page_size: -1,
            page_token,
        };
        assert_eq!(
            refused(operator.list_tenants(request).await),
            "InvalidArgument OUT_OF_RANGE\n  page_size: OUT_OF_RANGE\n  page_token: INVALID_PAGE_TOKEN"
        );
    }
}

async fn only_operators_list_tenants(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let denied = "PermissionDenied PERMISSION_DENIED";
    let cases = [
        (t.nobody(), "Unauthenticated CALLER_UNAUTHENTICATED"),
        (t.resource_server().await, denied),
        (acme.admin, denied),
    ];
    for (caller, expected) in cases {
        let request = message!(ListTenantsRequest { page_size: -1 });
        assert_eq!(refused(caller.list_tenants(request).await), expected);
    }
}
