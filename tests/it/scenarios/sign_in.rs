//! Signing in with a browser: cookies, forms, links, other sites, guessing, and proxies that vouch for people.

use reqwest::header::{COOKIE, HeaderMap, LOCATION, SET_COOKIE};
use reqwest::{Method, Response, StatusCode};
use serde_json::json;
use shiftkeeper::domain::access::rights::{Role, ScopeRequest};
use shiftkeeper::domain::access::secret::Secret;
use shiftkeeper::engine::access::accounts::{AccountChanges, Accounts, Author, LINK_LIFETIME, NewAccount};

use crate::harness::{Scenario, Setup, WAIT_TIMEOUT, send, wait_until};

const PASSWORD: &str = "correct horse battery";

fn test_actor() -> Author {
    Author::command_line("scenario", None)
}

async fn add_account(accounts: &Accounts, id: &str) {
    let reach = ScopeRequest { everywhere: true, tenants: Vec::new() };
    let new = NewAccount {
        id: id.into(),
        name: "Ann".into(),
        role: Role::Viewer,
        scope: reach,
        password: Some(Secret::new(PASSWORD)),
    };
    accounts.add_account(new, &test_actor()).await.expect("made");
}

fn port(scenario: &Scenario) -> u16 {
    scenario.address().port()
}

/// The pair that a browser would send back.
fn cookie_of(headers: &HeaderMap) -> String {
    let set = headers[SET_COOKIE].to_str().expect("text");
    set.split(';').next().expect("a pair").to_owned()
}

async fn sign_in(scenario: &Scenario, password: &str) -> Response {
    let form = [("name", "ann"), ("password", password), ("next", "/agents?team=A")];
    scenario.anonymous(Method::POST, "/sign-in").form(&form).send().await.expect("answered")
}

fn location(response: &Response) -> &str {
    response.headers()[LOCATION].to_str().expect("text")
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_signs_in_with_a_form_and_out_again() {
    let scenario = Scenario::start(Setup::default()).await;
    add_account(&scenario.accounts(), "ann").await;
    let page = scenario.anonymous(Method::GET, "/sign-in?next=%2Fagents").send().await.expect("answered");
    assert_eq!(page.status(), StatusCode::OK);
    let policy = page.headers()["content-security-policy"].to_str().expect("text").to_owned();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(page.headers()["x-content-type-options"], "nosniff");
    let text = page.text().await.expect("a page");
    assert!(text.contains("action=\"/sign-in\"") && text.contains("value=\"/agents\""), "{text}");
    assert!(!text.contains("<script>") && !text.contains("style="), "{text}");

    let wrong = sign_in(&scenario, "correct horse batterz").await;
    assert_eq!(
        (wrong.status(), location(&wrong)),
        (StatusCode::SEE_OTHER, "/sign-in?problem=wrong&next=%2Fagents%3Fteam%3DA")
    );
    assert!(wrong.headers().get(SET_COOKIE).is_none());
    let page = scenario.anonymous(Method::GET, "/sign-in?problem=wrong").send().await.expect("answered");
    assert_eq!(page.status(), StatusCode::UNAUTHORIZED);

    let signed_in = sign_in(&scenario, PASSWORD).await;
    assert_eq!((signed_in.status(), location(&signed_in)), (StatusCode::SEE_OTHER, "/agents?team=A"));
    let set = signed_in.headers()[SET_COOKIE].to_str().expect("text");
    let name = format!("shiftkeeper-{}=", port(&scenario));
    assert!(set.starts_with(&name) && set.ends_with("; Path=/; Max-Age=43200; HttpOnly; SameSite=Lax"), "{set}");
    let cookie = cookie_of(signed_in.headers());
    let me = || send(scenario.anonymous(Method::GET, "/api/v1/me").header(COOKIE, &cookie));
    let (status, body) = me().await;
    assert_eq!((status, &body["id"], &body["kind"]), (StatusCode::OK, &json!("ann"), &json!("account")), "{body}");
    assert!(body["session"]["expires_at"].is_string(), "{body}");
    let origin = format!("http://{}", scenario.address());
    let out = scenario.anonymous(Method::POST, "/sign-out").header(COOKIE, &cookie).header("origin", &origin);
    let out = out.header("accept", "text/html").send().await.expect("answered");
    assert_eq!((out.status(), location(&out)), (StatusCode::SEE_OTHER, "/sign-in"));
    assert!(out.headers()[SET_COOKIE].to_str().expect("text").contains("Max-Age=0"));
    assert_eq!(me().await.0, StatusCode::UNAUTHORIZED);
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changing_the_password_ends_the_other_sessions() {
    let scenario = Scenario::start(Setup::default()).await;
    add_account(&scenario.accounts(), "ann").await;
    let (here, there, third) = (
        cookie_of(sign_in(&scenario, PASSWORD).await.headers()),
        cookie_of(sign_in(&scenario, PASSWORD).await.headers()),
        cookie_of(sign_in(&scenario, PASSWORD).await.headers()),
    );
    let ask = |cookie: &str, method: Method, path: &str| {
        scenario.anonymous(method, path).header(COOKIE, cookie).header("sec-fetch-site", "same-origin")
    };
    let get = |cookie: &str, path: &str| send(ask(cookie, Method::GET, path));
    assert_eq!(get(&here, "/api/v1/me").await.1["has_password"], true);
    let (status, list) = get(&there, "/api/v1/me/sessions").await;
    let sessions = list["sessions"].as_array().expect("a list");
    assert_eq!((status, sessions.len()), (StatusCode::OK, 3), "{list}");
    let own: Vec<_> = sessions.iter().filter(|one| one["this"] == true).collect();
    assert_eq!((own.len(), &own[0]["source"]), (1, &json!("127.0.0.1")), "{list}");
    let end = format!("/api/v1/me/sessions/{}/end", own[0]["id"].as_str().expect("an id"));
    let (status, left) = send(ask(&here, Method::POST, &end)).await;
    assert_eq!((status, left["sessions"].as_array().map(Vec::len)), (StatusCode::OK, Some(2)), "{left}");
    assert_eq!(get(&there, "/api/v1/me").await.0, StatusCode::UNAUTHORIZED);
    let (status, gone) = send(ask(&here, Method::POST, &end)).await;
    assert_eq!((status, &gone["code"]), (StatusCode::NOT_FOUND, &json!("no_such_session")), "{gone}");

    let change = |old: &str, new: &str| {
        send(ask(&here, Method::POST, "/api/v1/me/password").json(&json!({"old": old, "new": new})))
    };
    for (old, new, status, code) in [
        ("correct horse batterz", "another horse battery", StatusCode::FORBIDDEN, "password_wrong"),
        (PASSWORD, "short", StatusCode::UNPROCESSABLE_ENTITY, "account_refused"),
    ] {
        let (found, body) = change(old, new).await;
        assert_eq!((found, &body["code"]), (status, &json!(code)), "{body}");
    }
    let (status, left) = change(PASSWORD, "another horse battery").await;
    assert_eq!((status, left["sessions"].as_array().map(Vec::len)), (StatusCode::OK, Some(1)), "{left}");
    assert_eq!(get(&third, "/api/v1/me").await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(get(&here, "/api/v1/me").await.0, StatusCode::OK);
    assert_eq!(location(&sign_in(&scenario, PASSWORD).await), "/sign-in?problem=wrong&next=%2Fagents%3Fteam%3DA");
    assert!(sign_in(&scenario, "another horse battery").await.headers().contains_key(SET_COOKIE));
    // A token has neither.
    let (status, refused) = send(
        scenario
            .request(Method::POST, "/api/v1/me/password")
            .json(&json!({"old": PASSWORD, "new": "another horse battery"})),
    )
    .await;
    assert_eq!((status, &refused["code"]), (StatusCode::FORBIDDEN, &json!("session_needed")), "{refused}");
    assert_eq!(scenario.get("/api/v1/me/sessions").await.1, json!({"sessions": []}));
    let actions: Vec<_> =
        scenario.audit(&scenario.reader().await).await.into_iter().map(|entry| entry.action).collect();
    for action in ["account.session_ended", "account.password_set"] {
        assert!(actions.iter().any(|one| one == action), "{actions:?}");
    }
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_signs_in_with_json_and_a_link_lets_in_once() {
    let scenario = Scenario::start(Setup::default()).await;
    let accounts = scenario.accounts();
    add_account(&accounts, "ann").await;
    let json_in = |password: &str| {
        scenario.anonymous(Method::POST, "/sign-in").json(&json!({"name": "Ann", "password": password}))
    };
    let (status, body) = send(json_in("correct horse batterz")).await;
    assert_eq!((status, &body["code"]), (StatusCode::UNAUTHORIZED, &json!("sign_in_wrong")), "{body}");
    let (status, body) = send(json_in(PASSWORD)).await;
    assert_eq!((status, body), (StatusCode::OK, json!({"id": "ann", "role": "viewer"})));

    let code = accounts.create_link("ann", LINK_LIFETIME, &test_actor()).await.expect("a link");
    let path = format!("/sign-in/once/{}", code.expose());
    for _ in 0..2 {
        let page = scenario.anonymous(Method::GET, &path).send().await.expect("answered");
        assert_eq!(page.status(), StatusCode::OK, "a look uses nothing up");
        assert!(page.text().await.expect("a page").contains(&format!("action=\"{path}\"")));
    }
    let signed_in = scenario.anonymous(Method::POST, &path).send().await.expect("answered");
    assert_eq!((signed_in.status(), location(&signed_in)), (StatusCode::SEE_OTHER, "/"));
    let cookie = cookie_of(signed_in.headers());
    let (status, _) = send(scenario.anonymous(Method::GET, "/api/v1/me").header(COOKIE, cookie)).await;
    assert_eq!(status, StatusCode::OK);
    let again = scenario.anonymous(Method::POST, &path).send().await.expect("answered");
    assert_eq!(location(&again), "/sign-in?problem=link");
    assert!(again.headers().get(SET_COOKIE).is_none());
    let page = scenario.anonymous(Method::GET, &path).send().await.expect("answered");
    assert_eq!(page.status(), StatusCode::GONE);
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_site_does_nothing_in_somebodys_name() {
    let scenario = Scenario::start(Setup::default()).await;
    let accounts = scenario.accounts();
    let reach = ScopeRequest { everywhere: true, tenants: Vec::new() };
    let boss = NewAccount {
        id: "ann".into(),
        name: String::new(),
        role: Role::Admin,
        scope: reach,
        password: Some(Secret::new(PASSWORD)),
    };
    accounts.add_account(boss, &test_actor()).await.expect("made");
    let cookie = cookie_of(sign_in(&scenario, PASSWORD).await.headers());
    let own = format!("http://{}", scenario.address());
    let change = json!({"tenant": "acme", "agents": ["u_0001"], "to": "Paused"});
    for (name, value, status) in [
        ("sec-fetch-site", "cross-site", StatusCode::FORBIDDEN),
        ("sec-fetch-site", "same-site", StatusCode::FORBIDDEN),
        ("origin", "https://evil.example", StatusCode::FORBIDDEN),
        ("origin", "null", StatusCode::FORBIDDEN),
        ("x-nothing", "at-all", StatusCode::FORBIDDEN),
        ("sec-fetch-site", "same-origin", StatusCode::ACCEPTED),
        ("origin", &own, StatusCode::ACCEPTED),
    ] {
        let request =
            scenario.anonymous(Method::POST, "/api/v1/transitions").header(COOKIE, &cookie).header(name, value);
        let (found, body) = send(request.json(&change)).await;
        assert_eq!(found, status, "{name}: {value}: {body}");
        if status == StatusCode::FORBIDDEN {
            assert_eq!(body["code"], "cross_site");
        }
    }
    // A WebSocket has no other guard than this.
    for (origin, status) in [("https://evil.example", StatusCode::FORBIDDEN), (&*own, StatusCode::SWITCHING_PROTOCOLS)]
    {
        let upgrade = scenario
            .anonymous(Method::GET, "/live?tenant=acme")
            .header(COOKIE, &cookie)
            .header("origin", origin)
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(upgrade.send().await.expect("answered").status(), status, "{origin}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_is_held_up_and_locks_nobody_out() {
    let setup = Setup { webhooks: "[server.proxy]\npeers = [\"127.0.0.1\"]\n".to_owned(), ..Setup::default() };
    let scenario = Scenario::start(setup).await;
    add_account(&scenario.accounts(), "ann").await;
    let from = |address: &str, password: &str| {
        let request = scenario.anonymous(Method::POST, "/sign-in").header("x-forwarded-for", address);
        let request = request.header("x-forwarded-proto", "https");
        request.json(&json!({"name": "ann", "password": password})).send()
    };
    let mut slow = 0;
    for _ in 0..10 {
        let response = from("203.0.113.9", "correct horse batterz").await.expect("answered");
        if response.status() == StatusCode::TOO_MANY_REQUESTS {
            slow += 1;
            let wait: u64 = response.headers()["retry-after"].to_str().expect("text").parse().expect("seconds");
            assert!((1..=61).contains(&wait), "{wait}");
        }
    }
    assert_eq!(slow, 5);
    assert_eq!(from("203.0.113.9", PASSWORD).await.expect("answered").status(), StatusCode::TOO_MANY_REQUESTS);
    let ann = from("198.51.100.1", PASSWORD).await.expect("answered");
    assert_eq!(ann.status(), StatusCode::OK, "{:?}", ann.text().await);
    let set = ann.headers()[SET_COOKIE].to_str().expect("text");
    assert!(set.starts_with("__Host-shiftkeeper=") && set.ends_with("; HttpOnly; SameSite=Lax; Secure"), "{set}");
    let audit = scenario.audit(&scenario.reader().await).await;
    let signed_in = audit.iter().find(|entry| entry.action == "account.signed_in").expect("an entry");
    assert_eq!(signed_in.why["source"], "198.51.100.1");
}

const PROXY: &str = "[server.proxy]\npeers = [\"127.0.0.1\"]\nuser_header = \"X-User\"\ngroups_header = \"X-Groups\"\n\
    [[server.proxy.roles]]\nid = \"floor\"\ngroup = \"cc-floor\"\nrole = \"supervisor\"\ntenants = [\"acme\"]\nteams = [\"acme/Team 0\"]\n\
    [[server.proxy.roles]]\nid = \"all\"\ngroup = \"everybody\"\nrole = \"viewer\"\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_names_users_and_its_groups_give_roles() {
    let scenario = Scenario::start(Setup { webhooks: PROXY.to_owned(), ..Setup::default() }).await;
    let me = |user: &str, groups: &str| {
        send(scenario.anonymous(Method::GET, "/api/v1/me").header("x-user", user).header("x-groups", groups))
    };
    let (status, body) = me("Bea@Example.com", "cc-floor,everybody").await;
    assert_eq!(
        (status, &body["id"], &body["kind"]),
        (StatusCode::OK, &json!("bea@example.com"), &json!("proxy")),
        "{body}"
    );
    assert_eq!((&body["role"], &body["tenants"][0]["teams"]), (&json!("supervisor"), &json!(["Team 0"])), "{body}");
    assert_eq!(me("bea@example.com", "everybody").await.1["role"], "viewer");
    let (status, body) = me("bea@example.com", "unknown").await;
    assert_eq!((status, &body["code"]), (StatusCode::FORBIDDEN, &json!("not_permitted")), "{body}");
    // An account of the same name goes before the groups.
    add_account(&scenario.accounts(), "bea@example.com").await;
    assert_eq!(me("bea@example.com", "cc-floor").await.1["role"], "viewer");
    let disabled =
        AccountChanges { name: String::new(), role: Role::Viewer, scope: None, disabled: true, version: None };
    scenario.accounts().change_account("bea@example.com", disabled, &test_actor()).await.expect("disabled");
    assert_eq!(me("bea@example.com", "cc-floor").await.0, StatusCode::FORBIDDEN);
    // What a browser adds by itself is guarded here too.
    let run =
        scenario.anonymous(Method::POST, "/api/v1/transitions").header("x-user", "kim").header("x-groups", "cc-floor");
    let (status, body) = send(run.json(&json!({"tenant": "acme", "agents": ["u_0001"], "to": "Paused"}))).await;
    assert_eq!((status, &body["code"]), (StatusCode::FORBIDDEN, &json!("cross_site")), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_untrusted_peer_cannot_name_users_and_a_reload_can_remove_trust() {
    let strange = PROXY.replace("127.0.0.1", "10.0.0.0/8");
    let mut scenario = Scenario::start(Setup { webhooks: PROXY.to_owned(), ..Setup::default() }).await;
    let ask = |scenario: &Scenario| {
        send(scenario.anonymous(Method::GET, "/api/v1/me").header("x-user", "root").header("x-groups", "everybody"))
    };
    assert_eq!(ask(&scenario).await.0, StatusCode::OK);
    scenario.setup.webhooks = strange;
    scenario.reload();
    let (status, body) = ask(&scenario).await;
    assert_eq!((status, &body["code"]), (StatusCode::FORBIDDEN, &json!("not_a_proxy")), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_signs_in_where_anybody_can_listen() {
    let scenario = Scenario::start(Setup::default()).await;
    add_account(&scenario.accounts(), "ann").await;
    let elsewhere = |method: Method, path: &str| scenario.anonymous(method, path).header("host", "keeper.example");
    let request = elsewhere(Method::POST, "/sign-in").json(&json!({"name": "ann", "password": PASSWORD}));
    let (status, body) = send(request).await;
    assert_eq!((status, &body["code"]), (StatusCode::FORBIDDEN, &json!("sign_in_refused")), "{body}");
    assert!(body["detail"].as_str().is_some_and(|detail| detail.contains("[server.proxy] peers")), "{body}");
    let page = elsewhere(Method::GET, "/sign-in").send().await.expect("answered").text().await.expect("a page");
    assert!(page.contains("Nobody can sign in here") && !page.contains("<form"), "{page}");
    let cookie = cookie_of(sign_in(&scenario, PASSWORD).await.headers());
    let (status, _) = send(elsewhere(Method::GET, "/api/v1/me").header(COOKIE, &cookie)).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "nor is a cookie taken there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_lasts_over_a_restart_and_ends_the_stream_when_the_account_is_disabled() {
    let mut scenario = Scenario::start_team(Setup::team(4)).await;
    add_account(&scenario.accounts(), "ann").await;
    let value = cookie_of(sign_in(&scenario, PASSWORD).await.headers());
    let value = value.split_once('=').expect("a pair").1.to_owned();
    scenario.stop_daemon().await;
    scenario.start_daemon().await;
    // The port is another one, and with it the cookie's name.
    let cookie = format!("shiftkeeper-{}={value}", port(&scenario));
    let mut stream = scenario
        .anonymous(Method::GET, "/live/events")
        .header(COOKIE, &cookie)
        .timeout(WAIT_TIMEOUT)
        .send()
        .await
        .expect("answered");
    assert_eq!(stream.status(), StatusCode::OK);
    stream.chunk().await.expect("told").expect("something");
    let disabled =
        AccountChanges { name: "Ann".into(), role: Role::Viewer, scope: None, disabled: true, version: None };
    scenario.accounts().change_account("ann", disabled, &test_actor()).await.expect("disabled");
    let read = async {
        let mut told = Vec::new();
        while let Some(chunk) = stream.chunk().await.expect("told") {
            told.extend_from_slice(&chunk);
        }
        String::from_utf8(told).expect("UTF-8")
    };
    let told = tokio::time::timeout(std::time::Duration::from_secs(5), read).await.expect("the stream ends within 5 s");
    assert!(told.contains("\"reason\":\"not_permitted\""), "{told}");
    wait_until("the session is gone", WAIT_TIMEOUT, || async {
        let (status, body) = send(scenario.anonymous(Method::GET, "/api/v1/me").header(COOKIE, &cookie)).await;
        if status == StatusCode::UNAUTHORIZED { Ok(()) } else { Err(body.to_string()) }
    })
    .await;
    let reader = scenario.reader().await;
    assert!(reader.sessions().await.expect("readable").is_empty());
    scenario.assert_nothing_left_over().await;
}
