//! Tokens by access key, by application and by refresh token.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::*;

impl Bench {
    fn form(&self, pairs: &[(&str, &str)]) -> reqwest::RequestBuilder {
        self.http.post(format!("{}/auth/token", self.base)).form(pairs)
    }

    async fn refresh(&self, token: &Value) -> (StatusCode, Value) {
        send(self.http.post(format!("{}/public/user/refresh", self.base)).json(&json!({ "token": token }))).await
    }

    async fn serves(&self, token: &Value) -> bool {
        self.read("/server-time", token.as_str().expect("a token")).await.0 == 200
    }
}

#[tokio::test]
async fn a_key_token_is_refreshed_under_other_names() {
    let bench = Bench::new(published_options()).await;
    let first = bench.key_token(0).await;
    assert_eq!((&first["expires_in"], &first["refresh_token_expires_in"]), (&json!(3600), &json!(10_800)));
    let claims = first["id_token"].as_str().and_then(|token| token.split('.').nth(1)).expect("an id token");
    let claims: Value = serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(claims).expect("base64")).expect("JSON");
    let states = bench.list("/agents/states", first["access_token"].as_str().expect("a token")).await;
    assert_eq!((&claims["tenantId"], &claims["icBUId"]), (&json!("acme"), &states["agentStates"][0]["businessUnitId"]));

    bench.clock.advance(Duration::from_secs(3600));
    assert!(!bench.serves(&first["access_token"]).await);
    let (status, second) = bench.refresh(&first["refresh_token"]).await;
    assert_eq!((status.as_u16(), &second["tokenExpirationTimeSec"]), (200, &json!(3600)), "{second}");
    assert!(bench.serves(&second["token"]).await && second.get("id_token").is_none());
    assert_eq!(bench.refresh(&first["refresh_token"]).await.0, 401, "it is used up");
    bench.simulator.add_fault("revoke_tokens".parse().expect("a fault")).expect("sound");
    assert!(!bench.serves(&second["token"]).await);
    let (_, third) = bench.refresh(&second["refreshToken"]).await;
    assert!(bench.serves(&third["token"]).await);
    bench.clock.advance(Duration::from_secs(10_800));
    assert_eq!(bench.refresh(&third["refreshToken"]).await.0, 401, "it has expired");
    assert_eq!(send(bench.http.post(format!("{}/public/user/refresh", bench.base)).body("{}")).await.0, 400);
}

#[tokio::test]
async fn an_application_gets_its_token_and_its_refusals_as_400() {
    let bench = Bench::new(SimOptions { tenants: 2, ..published_options() }).await;
    let TenantDescription { client_id, client_secret, app_id, app_secret, .. } = bench.tenants[0].clone();
    let key = [("grant_type", "password"), ("username", client_id.as_str()), ("password", client_secret.as_str())];
    let (status, by_basic) = send(bench.form(&key).basic_auth(&app_id, Some(&app_secret))).await;
    assert_eq!(status, 200, "{by_basic}");
    assert!(bench.serves(&by_basic["access_token"]).await && by_basic["id_token"].is_string());
    let with = |more: &[(&'static str, &str)]| {
        let pairs: Vec<(&str, &str)> = key.iter().copied().chain(more.iter().copied()).collect();
        bench.form(&pairs)
    };
    assert_eq!(send(with(&[("client_id", &app_id)])).await.0, 200, "an application without a secret");
    assert_eq!(send(with(&[("client_id", &app_id), ("client_secret", &app_secret)])).await.0, 200);

    let refresh = by_basic["refresh_token"].as_str().expect("a token");
    let pairs = [("grant_type", "refresh_token"), ("refresh_token", refresh), ("client_id", app_id.as_str())];
    let (status, again) = send(bench.form(&pairs)).await;
    assert_eq!(status, 200, "{again}");
    assert!(bench.serves(&again["access_token"]).await && again["id_token"].is_string());

    let wrong_key = [("grant_type", "password"), ("username", client_id.as_str()), ("password", "wrong")];
    let credentials = [("grant_type", "client_credentials")];
    for (request, error) in [
        (bench.form(&pairs), "invalid_grant"),
        (bench.form(&wrong_key).basic_auth(&app_id, Some(&app_secret)), "invalid_grant"),
        (bench.form(&key), "invalid_client"),
        (bench.form(&key).basic_auth(&app_id, Some("wrong")), "invalid_client"),
        (bench.form(&key).basic_auth(&bench.tenants[1].app_id, Some(&bench.tenants[1].app_secret)), "invalid_client"),
        (bench.form(&credentials).basic_auth(&app_id, Some(&app_secret)), "unsupported_grant_type"),
    ] {
        let (status, refused) = send(request).await;
        assert_eq!((status.as_u16(), &refused["error"]), (400, &json!(error)), "{refused}");
        assert!(refused["error_description"].is_string());
    }
    let wrong = json!({ "accessKeyId": client_id, "accessKeySecret": "wrong" });
    let hub = bench.http.post(format!("{}/authentication/v1/token/access-key", bench.base)).json(&wrong);
    assert_eq!(send(hub).await.0, 401);
}

#[tokio::test]
async fn id_tokens_and_refreshes_can_be_missing() {
    let bench = Bench::new(trapped(&[Trap::NoIdToken, Trap::NoRefresh])).await;
    let first = bench.key_token(0).await;
    assert!(first.get("id_token").is_none(), "{first}");
    let (status, refused) = bench.refresh(&first["refresh_token"]).await;
    assert_eq!((status.as_u16(), &refused["error"]), (401, &json!("invalid_grant")));
}

#[tokio::test]
async fn discovery_names_the_origins_of_a_tenant() {
    let bench = Bench::new(published_options()).await;
    let discover = async |tenant: &str| {
        let path = format!("{}/.well-known/cxone-configuration?tenantId={tenant}", bench.base);
        send(bench.http.get(path)).await
    };
    let (status, found) = discover("acme").await;
    assert_eq!((status.as_u16(), &found["api_endpoint"]), (200, &json!(bench.base)));
    assert_eq!(discover("nobody").await.0, 404);
}
