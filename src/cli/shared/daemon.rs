//! The client of the running daemon: finds it, sends requests with the configuration's token, and says what to do if
//! it does not answer or refuses.

use std::time::Duration;

use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use serde_json::Value;

use super::exit::{CommandFailure, Exit};
use super::scope::open_existing_reader;
use crate::clock::{Random as _, SystemRandom};
use crate::config::{Config, Right};
use crate::domain::ids::TenantId;
use crate::platform::client::{ClientSettings, build_client};
use crate::platform::trust::Trust;

/// How long an idle connection is kept; the daemon closes one after ten seconds.
const IDLE_TIMEOUT: Duration = Duration::from_secs(5);

/// The default time limit of an answer, in real time.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// The largest answer that is read, in bytes: many times the size of a refused import's list of a thousand faults.
const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// A client of the running daemon. Cheap to clone.
#[derive(Clone, Debug)]
pub struct DaemonClient {
    client: reqwest::Client,
    url: String,
}

/// The reason why the daemon did not carry out a request.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
pub enum DaemonError {
    /// No daemon answers; nothing was changed.
    #[error(
        "no daemon answers at {url} ({reason}): start one with `shiftkeeper run --config FILE`, or name its address in \
         [client] url"
    )]
    NotReachable {
        /// The URL.
        url: String,
        /// The error of the system.
        reason: String,
    },
    /// The connection broke or timed out after the request may have been sent; whether it was carried out is unknown.
    #[error(
        "the daemon at {url} did not answer ({reason}); the request may have been carried out: check before you repeat it"
    )]
    NoAnswer {
        /// The URL.
        url: String,
        /// The error of the system.
        reason: String,
    },
    /// The configuration has no token with the right.
    #[error(
        "no token of the configuration has the right {right}{}: set [client] token, or add {right:?} to `may` of one of \
         [[server.tokens]]",
        at(.tenant.as_ref())
    )]
    NoToken {
        /// The right needed.
        right: &'static str,
        /// The tenant; `None` if any tenant would do.
        tenant: Option<TenantId>,
    },
    /// This command cannot read the configuration's token.
    #[error(
        "the token with the right {right}{} is not available: set the environment variable that [client] token or [[server.tokens]] \
         names for it, or make its file readable",
        at(.tenant.as_ref())
    )]
    TokenUnreadable {
        /// The right needed.
        right: &'static str,
        /// The tenant; `None` if any tenant would do.
        tenant: Option<TenantId>,
    },
    /// The daemon refused the request.
    #[error("{detail}")]
    Refused {
        /// The HTTP status.
        status: StatusCode,
        /// The detail of the problem document.
        detail: String,
        /// The whole problem document.
        problem: Value,
    },
    /// Something other than this version of the daemon answers.
    #[error(
        "the server at {url} is not a Shiftkeeper of this version (HTTP {status}): check [client] url and [server] listen"
    )]
    NotShiftkeeper {
        /// The URL.
        url: String,
        /// The HTTP status.
        status: StatusCode,
    },
}

fn at(tenant: Option<&TenantId>) -> String {
    tenant.map_or_else(String::new, |tenant| format!(" for tenant {tenant}"))
}

impl DaemonError {
    /// Returns the exit code.
    pub fn exit(&self) -> Exit {
        match self {
            Self::NotReachable { .. } | Self::NoAnswer { .. } | Self::NotShiftkeeper { .. } => Exit::Unreachable,
            Self::NoToken { .. } | Self::TokenUnreadable { .. } => Exit::NotPermitted,
            Self::Refused { status, .. } => match *status {
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Exit::NotPermitted,
                StatusCode::REQUEST_TIMEOUT | StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                    Exit::TryLater
                }
                _ => Exit::Failed,
            },
        }
    }

    /// Returns whether the error may go away by itself.
    pub fn is_transient(&self) -> bool {
        matches!(self.exit(), Exit::Unreachable | Exit::TryLater)
    }
}

/// One request.
#[derive(Debug)]
pub struct DaemonRequest<'a> {
    /// The method.
    pub method: Method,
    /// The path from the root, such as `/api/v1/transitions`.
    pub path: &'a str,
    /// The right needed.
    pub right: Right,
    /// The tenant; `None` for all within reach.
    pub tenant: Option<&'a TenantId>,
    /// The query parameters.
    pub query: &'a [(&'a str, &'a str)],
}

impl DaemonClient {
    /// Creates a client of the daemon at an address. Its certificate must be one that the configuration trusts.
    pub fn at(config: &Config, url: impl Into<String>) -> anyhow::Result<Self> {
        Self::with_trust(select_trust(config)?, url.into())
    }

    fn with_trust(trust: Trust, url: String) -> anyhow::Result<Self> {
        let settings = ClientSettings {
            request_timeout: ANSWER_TIMEOUT,
            trust,
            pool_idle_timeout: IDLE_TIMEOUT,
            ..ClientSettings::default()
        };
        Ok(Self { client: build_client(&settings)?, url })
    }

    /// Finds the daemon of a configuration: by `[client] url`, or else `[server] listen`, or else, if the daemon
    /// chose its port, by what the store says of the process that has it.
    pub async fn find(config: &Config) -> anyhow::Result<Self> {
        Self::at(config, Self::address(config).await?)
    }

    async fn address(config: &Config) -> anyhow::Result<String> {
        if let Some(url) = config.client_url() {
            return Ok(url);
        }
        let mut row = None;
        if let Some(reader) = open_existing_reader(config).await? {
            row = reader.daemon().await?;
            reader.close().await;
        }
        match row.filter(|row| row.stopped_at.is_none()).and_then(|row| row.listen) {
            Some(listen) => Ok(format!("{}://{listen}", config.server.scheme())),
            None => Err(CommandFailure::with_exit(
                Exit::Unreachable,
                "no daemon runs on the configured store: start one with `shiftkeeper run --config FILE`",
            )),
        }
    }

    /// Returns the daemon's readiness, whether it is ready or not. This needs no token.
    pub async fn readiness(&self) -> Result<Value, DaemonError> {
        let result = self.client.get(format!("{}/readyz", self.url)).send().await;
        let response = result.map_err(|error| self.to_daemon_error(&error))?;
        let status = response.status();
        let answer = response.json::<Value>().await.ok().filter(|answer| answer.get("parts").is_some());
        answer.ok_or_else(|| DaemonError::NotShiftkeeper { url: self.url.clone(), status })
    }

    /// Checks that the daemon of a configuration answers within a limit. Any certificate is accepted, since nothing
    /// confidential is sent, and an expired certificate is no reason to restart a daemon that serves.
    pub async fn check_alive(config: &Config, limit: Duration) -> anyhow::Result<()> {
        let client = Self::with_trust(Trust::AnyCertificate, Self::address(config).await?)?;
        let result = client.client.get(format!("{}/healthz", client.url)).timeout(limit).send().await;
        let status = result.map_err(|error| client.to_daemon_error(&error))?.status();
        if status.is_success() { Ok(()) } else { Err(DaemonError::NotShiftkeeper { url: client.url, status }.into()) }
    }

    /// Returns the daemon's URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Sends a request with the configuration's token and returns the answer's JSON.
    pub async fn call(
        &self,
        config: &Config,
        daemon_request: DaemonRequest<'_>,
        configure: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Result<Value, DaemonError> {
        let response = self.send(config, daemon_request, configure).await?;
        self.read(response).await
    }

    /// Opens a stream with the configuration's token.
    pub async fn open_stream(
        &self,
        config: &Config,
        daemon_request: DaemonRequest<'_>,
        configure: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Result<Response, DaemonError> {
        let response = self.send(config, daemon_request, configure).await?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        Err(self.read(response).await.err().unwrap_or(DaemonError::NotShiftkeeper { url: self.url.clone(), status }))
    }

    async fn send(
        &self,
        config: &Config,
        daemon_request: DaemonRequest<'_>,
        configure: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Result<Response, DaemonError> {
        let Some(token) = config.client_token(daemon_request.right, daemon_request.tenant) else {
            return Err(DaemonError::NoToken {
                right: daemon_request.right.name(),
                tenant: daemon_request.tenant.cloned(),
            });
        };
        if token.is_stored_elsewhere() {
            return Err(DaemonError::TokenUnreadable {
                right: daemon_request.right.name(),
                tenant: daemon_request.tenant.cloned(),
            });
        }
        let mut url = Url::parse(&format!("{}{}", self.url, daemon_request.path))
            .map_err(|error| DaemonError::NotReachable { url: self.url.clone(), reason: error.to_string() })?;
        if !daemon_request.query.is_empty() {
            url.query_pairs_mut().extend_pairs(daemon_request.query);
        }
        let mut request = self.client.request(daemon_request.method.clone(), url).bearer_auth(token.expose());
        if daemon_request.method == Method::POST {
            // An intermediary may repeat a request, but it must take effect only once.
            request = request.header("Idempotency-Key", SystemRandom.random_id().to_string());
        }
        configure(request).send().await.map_err(|error| self.to_daemon_error(&error))
    }

    async fn read(&self, mut response: Response) -> Result<Value, DaemonError> {
        let status = response.status();
        let foreign = || DaemonError::NotShiftkeeper { url: self.url.clone(), status };
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.to_daemon_error(&error))? {
            if body.len() + chunk.len() > MAX_ANSWER_BYTES {
                return Err(foreign());
            }
            body.extend_from_slice(&chunk);
        }
        let answer: Value = serde_json::from_slice(&body).map_err(|_| foreign())?;
        if status.is_success() {
            return Ok(answer);
        }
        match (answer.get("code"), answer.get("detail").and_then(Value::as_str)) {
            (Some(_), Some(detail)) => {
                Err(DaemonError::Refused { status, detail: detail.to_owned(), problem: answer.clone() })
            }
            _ => Err(foreign()),
        }
    }

    fn to_daemon_error(&self, error: &reqwest::Error) -> DaemonError {
        let (url, reason) = (self.url.clone(), reason_text(error));
        if error.is_connect() || error.is_builder() {
            DaemonError::NotReachable { url, reason }
        } else {
            DaemonError::NoAnswer { url, reason }
        }
    }
}

/// Selects the trusted certificates: those of `[client] ca`, the daemon's own if it is the one of this configuration,
/// or those that the system trusts.
fn select_trust(config: &Config) -> anyhow::Result<Trust> {
    let own = config.server.tls.as_ref().filter(|_| config.client.url.is_none()).map(|tls| &tls.certificate);
    match config.client.ca.as_ref().or(own) {
        None => Ok(Trust::System),
        Some(file) => Trust::from_file(file).map_err(|error| {
            CommandFailure::with_exit(Exit::BadConfiguration, format!("{error}, or name another in [client] ca"))
        }),
    }
}

fn reason_text(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "not in time".to_owned();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::http::{HeaderMap, Uri};
    use serde_json::json;
    use tokio::net::TcpListener;
    use tokio::task::JoinSet;

    use super::*;
    use crate::config::{ConfigText, Environment};

    fn config(more: &str) -> Config {
        config_in(&[("SOME_SECRET", "0123456789abcdef")], more)
    }

    fn config_in(variables: &[(&str, &str)], more: &str) -> Config {
        let text = format!(
            "[[tenants]]\nid = \"acme\"\nbase_url = \"http://127.0.0.1:9\"\nclient_id = \"x\"\n\
             client_secret = {{ env = \"SOME_SECRET\" }}\n{more}"
        );
        let environment: Environment =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let texts = [ConfigText { file: "c.toml".into(), text }];
        Config::load_texts(&texts, &environment.for_command(), &[]).expect("sound").config
    }

    const TOKEN: &str = "[[server.tokens]]\nid = \"ops\"\ntoken = { env = \"SOME_SECRET\" }\nmay = [\"read\"]\n";

    async fn request_daemon(config: &Config, url: &str) -> Result<Value, DaemonError> {
        let tenant = TenantId::from("acme");
        let query = [("tenant", "acme"), ("name", "a&b c")];
        let request = DaemonRequest {
            method: Method::GET,
            path: "/api/x",
            right: Right::Read,
            tenant: Some(&tenant),
            query: &query,
        };
        DaemonClient::at(config, url).expect("a client").call(config, request, |request| request).await
    }

    #[tokio::test]
    async fn each_post_has_a_key_of_its_own_and_a_read_has_none() {
        let answer = |headers: HeaderMap| async move {
            let key = headers.get("idempotency-key").and_then(|key| key.to_str().ok());
            axum::Json(json!({ "key": key }))
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let mut task = JoinSet::new();
        task.spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await.expect("serves") });
        let (config, tenant) = (config(TOKEN), TenantId::from("acme"));
        let daemon = DaemonClient::at(&config, url).expect("a client");
        let mut keys = Vec::new();
        for method in [Method::POST, Method::POST, Method::GET] {
            let request =
                DaemonRequest { method, path: "/api/x", right: Right::Read, tenant: Some(&tenant), query: &[] };
            keys.push(daemon.call(&config, request, |request| request).await.expect("answered")["key"].clone());
        }
        assert!(keys[0].is_string() && keys[1].is_string() && keys[0] != keys[1], "{keys:?}");
        assert_eq!(keys[2], Value::Null);
    }

    /// A server that gives one answer, and what it answers to: the query and the token.
    async fn serve(status: StatusCode, body: &'static str) -> (String, JoinSet<()>) {
        let answer = move |uri: Uri, headers: HeaderMap| async move {
            assert_eq!(uri.query(), Some("tenant=acme&name=a%26b+c"));
            assert_eq!(headers["authorization"], "Bearer 0123456789abcdef");
            (status, body)
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let mut task = JoinSet::new();
        task.spawn(async move {
            axum::serve(listener, Router::new().fallback(answer)).await.expect("serves");
        });
        (url, task)
    }

    #[tokio::test]
    async fn an_answer_is_its_json() {
        let (url, _task) = serve(StatusCode::OK, "{\"a\":1}").await;
        assert_eq!(request_daemon(&config(TOKEN), &url).await, Ok(json!({"a": 1})));
    }

    #[tokio::test]
    async fn refusals_have_the_daemons_text_and_an_exit_code_of_their_own() {
        let problem = "{\"code\":\"x\",\"detail\":\"the token ops may not change\"}";
        for (status, exit) in [
            (401, Exit::NotPermitted),
            (403, Exit::NotPermitted),
            (408, Exit::TryLater),
            (503, Exit::TryLater),
            (422, Exit::Failed),
        ] {
            let (url, _task) = serve(StatusCode::from_u16(status).expect("a status"), problem).await;
            let error = request_daemon(&config(TOKEN), &url).await.expect_err("refused");
            assert_eq!((error.to_string().as_str(), error.exit()), ("the token ops may not change", exit));
        }
    }

    #[tokio::test]
    async fn another_server_at_the_address_is_not_taken_for_the_daemon() {
        for (status, body) in [(200, "<html>"), (404, "<html>"), (404, "{\"error\":\"no\"}")] {
            let (url, _task) = serve(StatusCode::from_u16(status).expect("a status"), body).await;
            let error = request_daemon(&config(TOKEN), &url).await.expect_err("foreign");
            assert!(matches!(error, DaemonError::NotShiftkeeper { .. }), "{status} {body}: {error:?}");
        }
    }

    #[tokio::test]
    async fn nobody_there_names_the_address_and_the_way_out() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        drop(listener);
        let error = request_daemon(&config(TOKEN), &url).await.expect_err("nobody");
        assert_eq!(error.exit(), Exit::Unreachable);
        assert!(error.to_string().starts_with(&format!("no daemon answers at {url} (")), "{error}");
        assert!(error.to_string().contains("shiftkeeper run"), "{error}");
    }

    #[tokio::test]
    async fn without_a_token_that_may_nothing_is_asked() {
        let error = request_daemon(&config(""), "http://127.0.0.1:9").await.expect_err("no token");
        assert_eq!(
            (error.exit(), error),
            (Exit::NotPermitted, DaemonError::NoToken { right: "read", tenant: Some("acme".into()) })
        );
        let error =
            request_daemon(&config_in(&[], TOKEN), "http://127.0.0.1:9").await.expect_err("its secret is not here");
        assert_eq!(
            (error.exit(), error),
            (Exit::NotPermitted, DaemonError::TokenUnreadable { right: "read", tenant: Some("acme".into()) })
        );
    }
}
