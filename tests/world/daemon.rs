//! The daemon of the world: the real one, on the world's clock, network and disk.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, header};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use shiftkeeper::app::{App, HeavyWork, Reload, RuntimeEnvironment};
use shiftkeeper::clock::{BoxFuture, Clock as _, SeededRandom};
use shiftkeeper::config::{Config, ConfigText, Environment, LoadedConfig};
use shiftkeeper::engine::webhooks::deliver::guard::{Dial, Socket, SystemResolver};
use shiftkeeper::engine::webhooks::deliver::send;
use shiftkeeper::platform::Failure;
use shiftkeeper::platform::client::{ClientSettings, Transport, install_tls_provider};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::disk::Disk;
use crate::host::Host;
use crate::network::{Network, Route};
use crate::runtime::SteppedRuntime;

/// The token of the API.
pub const OPERATOR: &str = "operator-token-of-the-world";

/// Signs deliveries.
pub const HOOK_KEY: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3";

/// What is kept when a daemon ends.
#[derive(Clone)]
pub struct DaemonHost {
    pub clock: Host,
    pub network: Network,
    pub disk: Disk,
    /// The configuration, and the environment that holds its secrets.
    pub texts: Vec<ConfigText>,
    pub environment: Vec<(String, String)>,
}

/// What became of a request.
#[derive(Debug, Clone)]
pub struct Response {
    pub status: u16,
    pub body: Value,
}

/// Where what a task finds is put.
pub type Slot<T> = Arc<Mutex<Option<T>>>;

pub struct Daemon {
    pub runtime: SteppedRuntime,
    api: Slot<axum::Router>,
    reload: Slot<Reload>,
    running: Arc<Mutex<LoadedConfig>>,
    shutdown: CancellationToken,
    ended: Slot<String>,
}

/// A person at the API: what they ask goes through the daemon's own routes.
#[derive(Clone)]
pub struct ApiClient(axum::Router);

/// What goes with a request beside its path.
#[derive(Default)]
pub struct RequestOptions<'a> {
    pub body: Option<Body>,
    pub content_type: Option<&'a str>,
    pub if_match: Option<&'a str>,
    pub idempotency_key: Option<&'a str>,
}

impl RequestOptions<'_> {
    pub fn json(body: &Value) -> Self {
        Self { body: Some(Body::from(body.to_string())), ..Self::default() }
    }
}

impl ApiClient {
    /// Sends a request and waits for the answer.
    pub async fn send(&self, method: Method, path: &str, with: RequestOptions<'_>) -> Response {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "127.0.0.1")
            .header(header::AUTHORIZATION, format!("Bearer {OPERATOR}"))
            .header(header::CONTENT_TYPE, with.content_type.unwrap_or("application/json"));
        if let Some(version) = with.if_match {
            request = request.header(header::IF_MATCH, format!("\"{version}\""));
        }
        if let Some(key) = with.idempotency_key {
            request = request.header("idempotency-key", key);
        }
        let request = request.body(with.body.unwrap_or_else(Body::empty)).expect("a request");
        let Ok(response) = self.0.clone().oneshot(request).await;
        let status = response.status().as_u16();
        let bytes = to_bytes(response.into_body(), 1 << 24).await.unwrap_or_default();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Response { status, body }
    }
}

impl Daemon {
    pub fn start(runtime: SteppedRuntime, ground: &DaemonHost, seed: u64) -> Self {
        let (api, ended, soft) = (Slot::default(), Slot::default(), CancellationToken::new());
        let environment: Environment = ground.environment.iter().cloned().collect();
        let running = load(&ground.texts, &environment);
        let config = running.config.clone();
        let surroundings = runtime_environment(ground, seed);
        let reload = Slot::default();
        let (shown, end, stop) = (Arc::clone(&api), Arc::clone(&ended), soft.clone());
        let reloading = Arc::clone(&reload);
        runtime.spawn(async move {
            let outcome = match App::start_with_environment(surroundings, config, stop).await {
                Ok(app) => {
                    *reloading.lock().expect("a lock") = Some(app.reload());
                    *shown.lock().expect("a lock") = Some(app.api());
                    format!("{:?}", app.run().await)
                }
                Err(error) => format!("it does not start: {error:#}"),
            };
            *end.lock().expect("a lock") = Some(outcome);
        });
        Self { runtime, api, reload, running: Arc::new(Mutex::new(running)), shutdown: soft, ended }
    }

    /// Puts another configuration in force, as a SIGHUP would.
    pub fn reload(&self, ground: &DaemonHost) {
        let environment: Environment = ground.environment.iter().cloned().collect();
        let newer = load(&ground.texts, &environment);
        let Some(reload) = self.reload.lock().expect("a lock").clone() else { return };
        let running = Arc::clone(&self.running);
        self.runtime.spawn(async move {
            // A refusal leaves everything as it was.
            let _ = reload.apply(&mut running.lock().expect("a lock"), newer);
        });
    }

    /// Someone who uses the API, once it is served.
    pub fn api_client(&self) -> Option<ApiClient> {
        let api = self.api.lock().expect("a lock").clone()?;
        self.serves().then_some(ApiClient(api))
    }

    /// Asks it to end in order.
    pub fn stop(&self) {
        self.shutdown.cancel();
    }

    /// How it ended, once it has.
    pub fn ended(&self) -> Option<String> {
        self.ended.lock().expect("a lock").clone()
    }

    /// Whether requests are answered.
    pub fn serves(&self) -> bool {
        self.api.lock().expect("a lock").is_some() && self.ended().is_none()
    }

    /// Sends a request to the API; the answer arrives in the slot as the world continues.
    pub fn send_request(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        if_match: Option<&str>,
    ) -> Slot<Response> {
        let answer = Slot::default();
        let Some(api) = self.api.lock().expect("a lock").clone() else { return answer };
        let body = body.map(|body| Body::from(body.to_string()));
        let (path, if_match, slot) = (path.to_owned(), if_match.map(str::to_owned), Arc::clone(&answer));
        self.runtime.spawn(async move {
            let with = RequestOptions { body, if_match: if_match.as_deref(), ..RequestOptions::default() };
            let said = ApiClient(api).send(method, &path, with).await;
            *slot.lock().expect("a lock") = Some(said);
        });
        answer
    }
}

fn load(texts: &[ConfigText], environment: &Environment) -> LoadedConfig {
    Config::load_texts(texts, environment, &[])
        .unwrap_or_else(|refused| panic!("the world's configuration:\n{refused}"))
}

fn runtime_environment(ground: &DaemonHost, seed: u64) -> RuntimeEnvironment {
    install_tls_provider();
    let wire = SimulatedTransport { clock: ground.clock.clone(), network: ground.network.clone() };
    let no_certificates =
        rustls::ClientConfig::builder().with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth();
    RuntimeEnvironment {
        clock: Arc::new(ground.clock.clone()),
        random: Arc::new(SeededRandom::new(seed)),
        transport: Some(Arc::new(wire.clone())),
        webhooks: Some(send::Network::new(Arc::new(SystemResolver), Arc::new(wire), no_certificates)),
        interceptor: Some(Arc::new(ground.disk.clone())),
        log: None,
        heavy_work: HeavyWork::Inline,
    }
}

/// Carries the daemon's requests over the world's network, by the real HTTP on both sides.
#[derive(Clone, Debug)]
struct SimulatedTransport {
    clock: Host,
    network: Network,
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Network")
    }
}

impl SimulatedTransport {
    async fn within<T>(&self, limit: Duration, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            done = work => Some(done),
            () = self.clock.sleep(limit) => None,
        }
    }

    async fn connect(&self, route: Route, limit: Duration) -> io::Result<crate::network::Endpoint> {
        let way = self.network.draw_connect_time(route);
        let made = async {
            self.clock.sleep(way).await;
            self.network.connect(route)
        };
        self.within(limit, made).await.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))
    }

    async fn exchange(
        &self,
        end: crate::network::Endpoint,
        request: reqwest::Request,
    ) -> Result<reqwest::Response, Failure> {
        let broken = |error: hyper::Error| Failure::ConnectionBroken { reason: error.to_string() };
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(end)).await.map_err(broken)?;
        #[expect(clippy::disallowed_methods, reason = "the other half of a connection of the world's own")]
        tokio::spawn(async move {
            // Its end shows in the answer.
            let _ = connection.with_upgrades().await;
        });
        let host = request.url().authority().to_owned();
        let path = request.url()[url::Position::BeforePath..].to_owned();
        let mut request: axum::http::Request<reqwest::Body> =
            request.try_into().map_err(|_| Failure::NotSent { reason: "no request".to_owned() })?;
        *request.uri_mut() = path.parse().map_err(|_| Failure::NotSent { reason: "no path".to_owned() })?;
        request.headers_mut().insert(header::HOST, host.parse().expect("a host"));
        let answer = sender.send_request(request).await.map_err(broken)?;
        Ok(answer.map(reqwest::Body::wrap).into())
    }
}

impl Transport for SimulatedTransport {
    fn send(
        &self,
        request: reqwest::Request,
        settings: &ClientSettings,
    ) -> BoxFuture<Result<reqwest::Response, Failure>> {
        let (wire, connect, whole) = (self.clone(), settings.connect_timeout, settings.request_timeout);
        Box::pin(async move {
            let connected = wire.connect(Route::Platform, connect.min(whole)).await;
            let end = connected.map_err(|error| Failure::NotSent { reason: error.kind().to_string() })?;
            wire.within(whole, wire.exchange(end, request)).await.unwrap_or(Err(Failure::Timeout))
        })
    }
}

impl Dial for SimulatedTransport {
    fn dial(&self, _: SocketAddr) -> BoxFuture<io::Result<Socket>> {
        let wire = self.clone();
        Box::pin(async move {
            let end = wire.connect(Route::Receiver, Duration::from_secs(30)).await?;
            Ok(Box::new(end) as Socket)
        })
    }
}

/// Where a configuration text is said to stand.
pub fn config_text(name: &str, text: String) -> ConfigText {
    ConfigText { file: PathBuf::from(name), text }
}
