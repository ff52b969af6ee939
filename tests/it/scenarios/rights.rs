//! Every route of the table, asked by everybody: each role, nobody, tokens that ended, and those who reach another tenant or team.

use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::header::COOKIE;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use shiftkeeper::clock::{Clock as _, SystemClock};
use shiftkeeper::domain::access::account::{Account, Session, StoredToken, TokenGrant};
use shiftkeeper::domain::access::rights::{Right, Role, ScopeRequest, TenantScopeRequest};
use shiftkeeper::domain::audit::Hash;
use shiftkeeper::engine::access::accounts::{Accounts, Author, NewToken};
use shiftkeeper::http::{AccessRequirement, RouteInfo, list_routes};
use shiftkeeper::sim::SimState;
use shiftkeeper::store::{AccessChange, Commit, ProcessIdentity, ProcessRole as Opens, Store};

use crate::harness::viewer::{TRANSPORTS, Viewer};
use crate::harness::{OPERATOR, Scenario, Setup, WAIT_TIMEOUT, send, wait_until};

fn test_actor() -> Author {
    Author::command_line("scenario", None)
}

fn reach(tenant: &str, teams: &[&str]) -> ScopeRequest {
    let teams = Some(teams.iter().map(|team| (*team).into()).collect());
    ScopeRequest { everywhere: false, tenants: vec![TenantScopeRequest { id: tenant.into(), teams }] }
}

/// A stored token; gives its text.
async fn stored_token(accounts: &Accounts, id: &str, role: Role, reach: ScopeRequest) -> String {
    let new = NewToken {
        id: id.into(),
        role: Some(role),
        rights: BTreeSet::new(),
        account: None,
        scope: reach,
        expires_in_days: None,
    };
    accounts.add_token(new, &test_actor()).await.expect("made").1.expose().to_owned()
}

/// What somebody who asks brings.
#[derive(Clone, Debug)]
enum RequestCredentials {
    Nothing,
    Token(String),
    /// The value of the cookie of a session.
    Cookie(String),
}

/// A route with everything filled in, as a request to the tenant `acme`.
fn route_request(scenario: &Scenario, route: &RouteInfo, brings: &RequestCredentials) -> reqwest::RequestBuilder {
    let method: Method = route.method.unwrap_or("GET").parse().expect("a method");
    let mut path = String::new();
    for part in route.path.split_inclusive(['{', '}']) {
        match part.strip_suffix('}') {
            Some(name) => path.push_str(path_value(&route.path, name)),
            None => path.push_str(part.trim_end_matches('{')),
        }
    }
    let is_page = route.method.is_none();
    if is_page || (route.path.starts_with("/api/v1/") && !WITHOUT_TENANT.contains(&route.path.as_str())) {
        path.push_str("?tenant=acme");
    }
    let request = match brings {
        RequestCredentials::Nothing => scenario.anonymous(method.clone(), &path),
        RequestCredentials::Token(token) => scenario.request_as(token, method.clone(), &path),
        RequestCredentials::Cookie(value) => {
            let cookie = format!("shiftkeeper-{}={value}", scenario.address().port());
            let request = scenario.anonymous(method.clone(), &path).header(COOKIE, cookie);
            request.header("sec-fetch-site", "same-origin")
        }
    };
    let request = request.timeout(WAIT_TIMEOUT);
    if method == Method::POST || method == Method::PUT {
        request.header("if-match", "*").json(&json!({ "tenant": "acme" }))
    } else {
        request
    }
}

/// A value for a part of a path: one that is there wherever that can be.
fn path_value(path: &str, name: &str) -> &'static str {
    match (path, name) {
        (path, "id") if path.contains("/agents/") => "u_0001",
        (path, "id") if path.contains("/jobs/") => "retention",
        (_, "day") => "2026-10-26",
        (_, "file") => "index.html",
        (_, "id") => "01a17867-8856-72c9-b800-1bbdb913b733",
        _ => "something",
    }
}

/// Routes that are no tenant's.
const WITHOUT_TENANT: &[&str] = &[
    "/api/v1/me",
    "/api/v1/me/sessions",
    "/api/v1/openapi.json",
    "/api/v1/tenants",
    "/api/v1/accounts",
    "/api/v1/tokens",
];

/// Whether an answer lasts, so that its end is not waited for.
fn is_endless(route: &RouteInfo) -> bool {
    route.path.starts_with("/live") || route.path.ends_with("/events")
}

async fn status_and_code(route: &RouteInfo, request: reqwest::RequestBuilder) -> (StatusCode, String, String) {
    let response = request.send().await.expect("answered");
    let status = response.status();
    if status.is_success() && is_endless(route) {
        return (status, String::new(), String::new());
    }
    let text = response.text().await.expect("a body");
    let code = serde_json::from_str::<Value>(&text).ok().and_then(|body| Some(body["code"].as_str()?.to_owned()));
    (status, code.unwrap_or_default(), text)
}

async fn two_tenants() -> Scenario {
    let mut setup = Setup::team(8);
    setup.sim.tenants = 2;
    Scenario::start_team(setup).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_role_may_use_what_the_table_says_and_nothing_else() {
    let scenario = two_tenants().await;
    let accounts = scenario.accounts();
    let mut tokens = Vec::new();
    for role in Role::ALL {
        let token = stored_token(&accounts, &format!("role-{role}"), role, reach("acme", &["*"])).await;
        tokens.push((role, RequestCredentials::Token(token)));
    }
    let mut allowed = 0;
    for route in list_routes() {
        for (role, token) in &tokens {
            let (status, code, text) = status_and_code(&route, route_request(&scenario, &route, token)).await;
            let may = match route.access {
                AccessRequirement::Public | AccessRequirement::SignedIn => true,
                AccessRequirement::Right(right) => role.has_right(right),
            };
            let refused = status == StatusCode::FORBIDDEN && code == "not_permitted";
            // A setting says what /metrics needs, and the handler looks.
            if route.path == "/metrics" {
                assert_eq!(refused, !role.has_right(Right::Read), "{role} {route:?}: {status} {text}");
                continue;
            }
            // The daemon's own jobs take the right at every tenant.
            assert_eq!(refused, !may, "{role} {route:?}: {status} {text}");
            assert_ne!(status, StatusCode::UNAUTHORIZED, "{role} {route:?}: {text}");
            assert!(
                status.as_u16() < 500 || status == StatusCode::SERVICE_UNAVAILABLE,
                "{role} {route:?}: {status} {text}"
            );
            allowed += u32::from(may);
        }
    }
    assert!(allowed > 50, "{allowed}");
    scenario.assert_nothing_left_over().await;
}

const DAY: Duration = Duration::from_secs(86_400);

/// Tokens and sessions of every role that have expired, and a session that has not: expiry goes by real time, which no scenario waits
/// for, so they are in the store when the daemon starts.
async fn store_expired_credentials(scenario: &Scenario) -> (Vec<RequestCredentials>, RequestCredentials) {
    let now = SystemClock::real().now();
    let (mut access, mut expired) = (AccessChange::default(), Vec::new());
    let session_of = |account: &str, made_at| {
        let cookie = format!("cookie-of-{account}");
        let hash = Hash::of(cookie.as_bytes());
        let session =
            Session { hash, account: account.into(), created_at: made_at, last_used_at: made_at, source_address: None };
        (session, RequestCredentials::Cookie(cookie))
    };
    let reach = reach("acme", &["*"]);
    for (role, id, made_at) in Role::ALL
        .map(|role| (role, format!("late-{role}"), now - DAY * 100))
        .into_iter()
        .chain([(Role::Viewer, "in-time".into(), now)])
    {
        let (session, cookie) = session_of(&id, made_at);
        access.sessions.push(session);
        let text = format!("skt_{id}");
        let reach = reach.to_scope(Some(role)).expect("a reach");
        access.accounts.push(Account {
            id: (*id).into(),
            name: String::new(),
            password_hash: None,
            role,
            scope: reach.clone(),
            disabled: false,
            created_at: made_at,
            created_by: "person:ops".into(),
            changed_at: made_at,
            version: 1,
        });
        if id == "in-time" {
            continue;
        }
        expired.push(cookie);
        access.tokens.push(StoredToken {
            id: format!("token-{id}").into(),
            hash: Hash::of(text.as_bytes()),
            grant: TokenGrant::Role(role),
            scope: reach,
            created_at: made_at,
            created_by: "person:ops".into(),
            expires_at: Some(now - Duration::from_secs(1)),
            revoked_at: None,
            revoked_by: None,
            last_used_at: None,
        });
        expired.push(RequestCredentials::Token(text));
    }
    let identity = ProcessIdentity { host: "scenario".into(), pid: 1, version: "test".into() };
    let store = Store::open(&scenario.store_url(), Opens::Import, scenario.clock.clone(), &identity).await;
    let store = store.expect("a store");
    store.writer().commit(Commit { access, ..Commit::default() }).await.expect("commits");
    store.close().await;
    (expired, RequestCredentials::Cookie("cookie-of-in-time".into()))
}

#[tokio::test(flavor = "multi_thread")]
async fn without_valid_credentials_only_public_routes_are_allowed() {
    let mut setup = Setup::team(8);
    setup.sim.tenants = 2;
    let mut scenario = Scenario::without_daemon(setup).await;
    let (mut lost, in_time) = store_expired_credentials(&scenario).await;
    scenario.start_daemon().await;
    let accounts = scenario.accounts();
    for role in Role::ALL {
        let id = format!("revoked-{role}");
        lost.push(RequestCredentials::Token(stored_token(&accounts, &id, role, reach("acme", &["*"])).await));
        accounts.revoke_token(&id, &test_actor()).await.expect("revoked");
    }
    let unknown = "skt_0000000000000000000000000000000000000000000".to_owned();
    lost.extend([
        RequestCredentials::Nothing,
        RequestCredentials::Token(unknown),
        RequestCredentials::Token(String::new()),
        RequestCredentials::Cookie("made-up".into()),
    ]);
    let me = list_routes().into_iter().find(|route| route.path == "/api/v1/me").expect("a route");
    let (status, _, text) = status_and_code(&me, route_request(&scenario, &me, &in_time)).await;
    assert!(status == StatusCode::OK && text.contains("in-time"), "a session whose time is not over: {status} {text}");
    for route in list_routes() {
        let is_page = route.method.is_none();
        for brings in &lost {
            let (status, code, text) = status_and_code(&route, route_request(&scenario, &route, brings)).await;
            let has_token = matches!(brings, RequestCredentials::Token(token) if !token.is_empty());
            match route.access {
                AccessRequirement::Public if route.path == "/metrics" => {
                    assert_eq!(status, StatusCode::UNAUTHORIZED, "{text}");
                }
                // Some of these say that something else is wrong with the request.
                AccessRequirement::Public => assert_ne!(code, "unauthorized", "{route:?}: {text}"),
                AccessRequirement::Right(_) | AccessRequirement::SignedIn if is_page && !has_token => {
                    assert_eq!(status, StatusCode::SEE_OTHER, "{brings:?} {route:?}: {text}");
                }
                AccessRequirement::Right(_) | AccessRequirement::SignedIn => {
                    let refused = (status, &*code);
                    assert_eq!(refused, (StatusCode::UNAUTHORIZED, "unauthorized"), "{brings:?} {route:?}: {text}");
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_of_another_tenant_or_team_see_no_agent() {
    let scenario = two_tenants().await;
    let accounts = scenario.accounts();
    // A transition of everybody, so that there is something to see.
    let everybody: Vec<String> = crate::harness::agent_ids(8);
    let taken = scenario.request_change(&everybody, "Ready").await;
    scenario.wait_for_all(&taken, "confirmed").await;
    let (mut elsewhere, mut other_team) = (Vec::new(), Vec::new());
    for role in Role::ALL {
        elsewhere.push(stored_token(&accounts, &format!("elsewhere-{role}"), role, reach("bravo", &["*"])).await);
        other_team.push(stored_token(&accounts, &format!("other-team-{role}"), role, reach("acme", &["Nobody"])).await);
    }
    let mut not_found = 0;
    for route in list_routes() {
        let names_tenant = route.path.starts_with("/api/v1/") && !WITHOUT_TENANT.contains(&route.path.as_str());
        let about_access = ["/accounts", "/tokens"].iter().any(|part| route.path.contains(part));
        for (token, is_elsewhere) in
            elsewhere.iter().map(|token| (token, true)).chain(other_team.iter().map(|token| (token, false)))
        {
            let (status, code, text) =
                status_and_code(&route, route_request(&scenario, &route, &RequestCredentials::Token(token.clone())))
                    .await;
            if status.is_success() && !is_endless(&route) && route.path != "/metrics" {
                assert!(!text.contains("u_0001"), "{route:?} tells of an agent out of reach: {text}");
            }
            if is_elsewhere && names_tenant && matches!(route.access, AccessRequirement::Right(_)) {
                assert!(!status.is_success() || about_access, "{route:?}: {status} {text}");
                not_found += u32::from(code == "no_such_tenant");
            }
        }
    }
    assert!(not_found >= 40, "{not_found}");
    for id in taken.iter().map(|one| one["id"].as_str().expect("an id")) {
        let path = format!("/api/v1/transitions/{id}?tenant=acme");
        for token in elsewhere.iter().chain(&other_team) {
            let (status, body) = send(scenario.request_as(token, Method::GET, &path)).await;
            assert_eq!(status, StatusCode::NOT_FOUND, "{body}");
        }
    }
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_supervisor_approves_no_exception_for_another_team() {
    let scenario = Scenario::start_team(Setup::team(8)).await;
    let mine = stored_token(&scenario.accounts(), "floor", Role::Supervisor, reach("acme", &["Team 0"])).await;
    let post = |token: &str, path: &str, body: Value| send(scenario.request_as(token, Method::POST, path).json(&body));
    let (from, to) = ("2026-10-26T13:00:00Z", "2026-10-26T15:00:00Z");
    let excuse = |whom: Value| {
        let mut body = json!({"tenant": "acme", "from": from, "to": to, "reason": "a course"});
        body.as_object_mut().expect("an object").extend(whom.as_object().expect("an object").clone());
        body
    };
    let path = "/api/v1/exceptions";
    for (whom, status, code) in [
        (json!({"agents": ["u_0002"]}), StatusCode::NOT_FOUND, "no_such_agent"),
        (json!({"agents": ["u_0001", "u_0002"]}), StatusCode::NOT_FOUND, "no_such_agent"),
        (json!({"team": "Team 1"}), StatusCode::NOT_FOUND, "no_such_team"),
        (json!({"everyone": true}), StatusCode::FORBIDDEN, "not_permitted"),
    ] {
        let (found, body) = post(&mine, path, excuse(whom.clone())).await;
        assert_eq!((found, &body["code"]), (status, &json!(code)), "{whom}: {body}");
    }
    for (whom, code) in [(json!({"team": "Team 1"}), "no_such_exception"), (json!({"everyone": true}), "not_permitted")]
    {
        let (status, made) = post(OPERATOR, path, excuse(whom)).await;
        assert_eq!(status, StatusCode::CREATED, "{made}");
        let end = format!("{path}/{}/end", made["id"].as_str().expect("an id"));
        assert_eq!(post(&mine, &end, json!({"tenant": "acme"})).await.1["code"], code);
    }
    let (status, body) = post(&mine, path, excuse(json!({"agents": ["u_0001", "u_0005"]}))).await;
    assert_eq!(status, StatusCode::CREATED, "{body}");

    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_supervisor_takes_up_no_change_set_with_agents_of_another_team() {
    let scenario = Scenario::start_team(Setup::team(8)).await;
    let mine = stored_token(&scenario.accounts(), "floor", Role::Supervisor, reach("acme", &["Team 0"])).await;
    let post = |token: &str, path: &str, body: Value| send(scenario.request_as(token, Method::POST, path).json(&body));
    let sets = "/api/v1/change-sets";
    // One of the other team alone, and one that has agents of both.
    for agents in [&["u_0002"][..], &["u_0001", "u_0002"]] {
        let wanted = json!({"tenant": "acme", "select": {"agents": agents}, "to": "Paused"});
        let (status, set) = post(OPERATOR, sets, wanted).await;
        assert_eq!(status, StatusCode::CREATED, "{set}");
        let one = format!("{sets}/{}", set["id"].as_str().expect("an id"));
        let start = json!({"tenant": "acme", "hash": set["hash"]});
        let hidden = async |when: &str| {
            let (status, body) = send(scenario.request_as(&mine, Method::GET, &format!("{one}?tenant=acme"))).await;
            assert_eq!(
                (status, &body["code"]),
                (StatusCode::NOT_FOUND, &json!("no_such_change_set")),
                "{when}: {body}"
            );
            for (what, body) in
                [("start", &start), ("cancel", &json!({"tenant": "acme"})), ("undo", &json!({"tenant": "acme"}))]
            {
                let (status, body) = post(&mine, &format!("{one}/{what}"), body.clone()).await;
                assert_eq!(
                    (status, &body["code"]),
                    (StatusCode::NOT_FOUND, &json!("no_such_change_set")),
                    "{when} {what}: {body}"
                );
            }
        };
        hidden("shown").await;
        assert_eq!(post(OPERATOR, &format!("{one}/start"), start.clone()).await.0, StatusCode::ACCEPTED);
        hidden("running").await;
        scenario
            .wait_until("it is done", || async {
                let (_, now) = scenario.get(&format!("{one}?tenant=acme")).await;
                if now["status"] == "done" { Ok(()) } else { Err(now["counts"].to_string()) }
            })
            .await;
        hidden("done").await;
    }
    let (_, list) = send(scenario.request_as(&mine, Method::GET, &format!("{sets}?tenant=acme"))).await;
    assert_eq!(list["change_sets"], json!([]), "{list}");
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_supervisor_sees_and_changes_only_agents_of_their_teams() {
    let scenario = Scenario::start_team(Setup::team(8)).await;
    let token = stored_token(&scenario.accounts(), "floor", Role::Supervisor, reach("acme", &["Team 0"])).await;
    let change = |agents: &[&str]| {
        let body = json!({"tenant": "acme", "agents": agents, "to": "Ready"});
        send(scenario.request_as(&token, Method::POST, "/api/v1/transitions").json(&body))
    };
    for agents in [&["u_0002"][..], &["u_0001", "u_0002"], &["u_9999"]] {
        let (status, body) = change(agents).await;
        assert_eq!((status, &body["code"]), (StatusCode::NOT_FOUND, &json!("no_such_agent")), "{body}");
    }
    let (status, body) = change(&["u_0001", "u_0005"]).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{body}");
    let mine = body["transitions"].as_array().expect("entries").clone();
    scenario.wait_for_all(&mine, "confirmed").await;
    let others = scenario.request_change(&["u_0002"], "Ready").await;
    scenario.wait_for_all(&others, "confirmed").await;
    let (_, list) = send(scenario.request_as(&token, Method::GET, "/api/v1/transitions?tenant=acme")).await;
    let seen: BTreeSet<&str> =
        list["transitions"].as_array().expect("a list").iter().filter_map(|one| one["agent"].as_str()).collect();
    assert_eq!(seen, BTreeSet::from(["u_0001", "u_0005"]));
    let cancel = format!("/api/v1/transitions/{}/cancel?tenant=acme", others[0]["id"].as_str().expect("an id"));
    let (status, body) = send(scenario.request_as(&token, Method::POST, &cancel)).await;
    assert_eq!((status, &body["code"]), (StatusCode::NOT_FOUND, &json!("no_such_transition")), "{body}");
    for way in TRANSPORTS {
        let watcher = Viewer::open(&scenario, way, &token, "").await;
        let picture = watcher.wait_for_snapshot().await;
        let seen: BTreeSet<&str> = picture.iter().filter_map(|agent| agent["id"].as_str()).collect();
        assert_eq!(seen, BTreeSet::from(["u_0001", "u_0005"]), "{way:?}");
        let asks = Viewer::open(&scenario, way, &token, "?tenant=acme&team=Team%201").await;
        assert_eq!(asks.wait_for_snapshot().await, Vec::<Value>::new(), "{way:?}");
        scenario.set_agent_state("u_0002", SimState::Paused);
        scenario.set_agent_state("u_0005", SimState::Idle);
        watcher.wait_for_message("his own", |message| message["agent"]["id"] == "u_0005").await;
        assert!(!watcher.messages().iter().any(|message| message.to_string().contains("u_0002")), "{way:?}");
        scenario.set_agent_state("u_0002", SimState::Available);
        scenario.set_agent_state("u_0005", SimState::Available);
    }
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_ends_the_streams_that_it_opened_within_five_seconds() {
    let scenario = Scenario::start_team(Setup::team(4)).await;
    let accounts = scenario.accounts();
    let (gone, stays) = (
        stored_token(&accounts, "gone", Role::Viewer, reach("acme", &["*"])).await,
        stored_token(&accounts, "stays", Role::Viewer, reach("acme", &["*"])).await,
    );
    let mut watchers = Vec::new();
    for way in TRANSPORTS {
        let pair = (Viewer::open(&scenario, way, &gone, "").await, Viewer::open(&scenario, way, &stays, "").await);
        pair.0.wait_for_snapshot().await;
        pair.1.wait_for_snapshot().await;
        watchers.push(pair);
    }
    accounts.revoke_token("gone", &test_actor()).await.expect("revoked");
    let within = std::time::Duration::from_secs(5);
    for (watcher, _) in &watchers {
        wait_until("the line ends", within, || async {
            watcher
                .end_reason()
                .filter(|reason| reason == "not_permitted")
                .ok_or_else(|| format!("{:?}", watcher.end_reason()))
        })
        .await;
    }
    scenario.set_agent_state("u_0001", SimState::Paused);
    for (_, watcher) in &watchers {
        watcher.wait_for_message("the other goes on", |message| message["agent"]["state"] == "Paused").await;
        assert_eq!(watcher.end_reason(), None);
    }
    let (status, _) = send(scenario.request_as(&gone, Method::GET, "/api/v1/me")).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_and_tokens_are_made_changed_and_ended_through_the_api() {
    let scenario = Scenario::start(Setup::default()).await;
    let admin =
        stored_token(&scenario.accounts(), "admin", Role::Admin, ScopeRequest { everywhere: true, tenants: vec![] })
            .await;
    let ask = |method: Method, path: &str| scenario.request_as(&admin, method, path);
    let made = json!({"id": "ann", "name": "Ann", "role": "supervisor", "tenants": [{"id": "acme", "teams": ["Care"]}],
                      "password": "correct horse battery", "reason": "new here"});
    let (status, body) = send(ask(Method::POST, "/api/v1/accounts").header("idempotency-key", "a1").json(&made)).await;
    assert_eq!(
        (status, &body["version"], &body["has_password"]),
        (StatusCode::CREATED, &json!(1), &json!(true)),
        "{body}"
    );
    let (status, again) = send(ask(Method::POST, "/api/v1/accounts").header("idempotency-key", "a1").json(&made)).await;
    assert_eq!((status, &again), (StatusCode::CREATED, &body), "a repetition has the same answer");
    let (status, body) = send(ask(Method::POST, "/api/v1/accounts").json(&made)).await;
    assert_eq!((status, &body["code"]), (StatusCode::CONFLICT, &json!("id_taken")), "{body}");
    let shown = ask(Method::GET, "/api/v1/accounts/ann").send().await.expect("answered");
    assert_eq!(shown.headers()["etag"], "\"1\"");
    let change = json!({"name": "Ann", "role": "viewer", "tenants": [{"id": "acme"}], "disabled": false});
    let put = |tag: &'static str| send(ask(Method::PUT, "/api/v1/accounts/ann").header("if-match", tag).json(&change));
    assert_eq!(put("\"1\"").await.0, StatusCode::OK);
    assert_eq!(put("\"1\"").await.0, StatusCode::PRECONDITION_FAILED);
    let (status, _) = send(ask(Method::PUT, "/api/v1/accounts/ann").json(&change)).await;
    assert_eq!(status, StatusCode::PRECONDITION_REQUIRED);

    let wanted = json!({"id": "loader", "may": ["read", "import"], "tenants": [{"id": "acme"}], "expires_in_days": 30});
    let (status, made) = send(ask(Method::POST, "/api/v1/tokens").header("idempotency-key", "t1").json(&wanted)).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    let text = made["token"].as_str().expect("the token").to_owned();
    let (status, me) = send(scenario.request_as(&text, Method::GET, "/api/v1/me")).await;
    assert_eq!(
        (status, &me["id"], &me["rights"]),
        (StatusCode::OK, &json!("loader"), &json!(["read", "import"])),
        "{me}"
    );
    let (_, list) = send(ask(Method::GET, "/api/v1/tokens")).await;
    assert!(list["tokens"].as_array().is_some_and(|all| all.len() == 2) && !list.to_string().contains(&text), "{list}");
    let (status, body) = send(ask(Method::POST, "/api/v1/tokens/loader/revoke")).await;
    assert_eq!((status, &body["revoked_by"]), (StatusCode::OK, &json!("person:admin")), "{body}");
    let (status, _) = send(scenario.request_as(&text, Method::GET, "/api/v1/me")).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let reader = scenario.reader().await;
    let kept = reader.idempotency_row(None, "token/admin", "t1").await.expect("readable");
    assert_eq!(kept, None, "an answer with a secret in it is not stored");
    let entries = scenario.audit(&reader).await;
    let actions: Vec<&str> = entries.iter().map(|entry| entry.action.as_str()).collect();
    for action in ["account.added", "account.changed", "token.created", "token.revoked"] {
        assert!(actions.contains(&action), "{actions:?}");
    }
    let added = entries.iter().find(|entry| entry.action == "account.added").expect("an entry");
    assert_eq!((added.why["source"].as_str(), added.note.is_some()), (Some("127.0.0.1"), true), "{added:?}");
    scenario.assert_nothing_left_over().await;
}
