//! Small servers on 127.0.0.1 for this room's tests: one that answers as a closure says, and one that treats its
//! connections badly. They end with their struct.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::Url;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request as HandshakeRequest, Response as HandshakeResponse};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct ReceivedRequest {
    pub method: String,
    pub path: String,
    /// As it stood in the request, without the question mark.
    pub query: String,
    pub headers: HeaderMap,
    pub body: String,
}

impl ReceivedRequest {
    /// A header's text, or nothing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().expect("text")).unwrap_or_default()
    }
}

/// A server that remembers what it saw.
pub struct Server {
    pub url: Url,
    received: Arc<Mutex<Vec<ReceivedRequest>>>,
    _task: JoinSet<()>,
}

impl Server {
    /// Answers with `answer`, each request after `delay` of real time.
    pub async fn start<R: IntoResponse>(
        delay: Duration,
        answer: impl Fn(&ReceivedRequest) -> R + Clone + Send + Sync + 'static,
    ) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let request_log = Arc::clone(&seen);
        let router = Router::new().fallback(move |request: Request<Body>| {
            let (answer, log) = (answer.clone(), Arc::clone(&request_log));
            async move {
                let (parts, body) = request.into_parts();
                let body = to_bytes(body, 1 << 20).await.expect("a body");
                let seen = ReceivedRequest {
                    method: parts.method.to_string(),
                    path: parts.uri.path().to_owned(),
                    query: parts.uri.query().unwrap_or_default().to_owned(),
                    headers: parts.headers,
                    body: String::from_utf8(body.to_vec()).expect("text"),
                };
                log.lock().expect("log").push(seen.clone());
                crate::clock::RealTime::sleep(delay).await;
                answer(&seen).into_response()
            }
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = url_for(listener.local_addr().expect("an address"));
        let mut task = JoinSet::new();
        task.spawn(async move { axum::serve(listener, router).await.expect("serving") });
        Self { url, received: seen, _task: task }
    }

    /// Every request so far.
    pub fn received_requests(&self) -> Vec<ReceivedRequest> {
        self.received.lock().expect("log").clone()
    }

    /// The paths of every request so far.
    pub fn paths(&self) -> Vec<String> {
        self.received_requests().into_iter().map(|seen| seen.path).collect()
    }
}

/// A server that reads a request, writes these bytes, and closes the connection; with no bytes it never answers.
pub struct RawServer {
    pub url: Url,
    _task: JoinSet<()>,
}

impl RawServer {
    pub async fn start(bytes: Option<&'static [u8]>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = url_for(listener.local_addr().expect("an address"));
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut silent = Vec::new();
            while let Ok((mut connection, _)) = listener.accept().await {
                let mut request = [0; 4096];
                let _ = connection.read(&mut request).await;
                if let Some(bytes) = bytes {
                    let _ = connection.write_all(bytes).await;
                } else {
                    silent.push(connection);
                }
            }
        });
        Self { url, _task: task }
    }
}

/// A `WebSocket` server, whose connections go to the test one by one.
pub struct FeedServer {
    pub url: Url,
    requested_paths: Arc<Mutex<Vec<String>>>,
    next_status: Arc<Mutex<Option<u16>>>,
    connections: mpsc::UnboundedReceiver<FeedConnection>,
    _task: JoinSet<()>,
}

impl FeedServer {
    /// Takes every connection (101), or answers each with another status.
    pub async fn start(status: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = url_for(listener.local_addr().expect("an address"));
        let (asked, next_status) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(None::<u16>)));
        let (line_in, lines) = mpsc::unbounded_channel();
        let (log, once, mut task) = (Arc::clone(&asked), Arc::clone(&next_status), JoinSet::new());
        task.spawn(async move {
            let mut refused = Vec::new();
            while let Ok((mut connection, _)) = listener.accept().await {
                let status = once.lock().expect("a lock").take().unwrap_or(status);
                if status != 101 {
                    let mut request = [0; 4096];
                    let length = connection.read(&mut request).await.expect("a request");
                    let request = String::from_utf8_lossy(&request[..length]);
                    log.lock().expect("log").push(request.split(' ').nth(1).expect("a path").to_owned());
                    let answer = format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
                    connection.write_all(answer.as_bytes()).await.expect("the client reads");
                    refused.push(connection);
                    continue;
                }
                let log = Arc::clone(&log);
                #[expect(clippy::result_large_err, reason = "the handshake's own type")]
                let take = move |request: &HandshakeRequest, answer: HandshakeResponse| {
                    log.lock().expect("log").push(request.uri().to_string());
                    Ok(answer)
                };
                if let Ok(socket) = accept_hdr_async(connection, take).await {
                    line_in.send(FeedConnection(socket)).expect("the test lasts");
                }
            }
        });
        Self { url, requested_paths: asked, next_status, connections: lines, _task: task }
    }

    /// The next connection gets this status.
    pub fn set_next_status(&self, status: u16) {
        *self.next_status.lock().expect("a lock") = Some(status);
    }

    /// Paths and queries so far.
    pub fn requested_paths(&self) -> Vec<String> {
        self.requested_paths.lock().expect("log").clone()
    }

    /// The next connection that was taken.
    pub async fn next_connection(&mut self) -> FeedConnection {
        self.connections.recv().await.expect("the server lasts")
    }
}

/// The server's side of a WebSocket.
pub struct FeedConnection(WebSocketStream<TcpStream>);

impl FeedConnection {
    pub async fn send(&mut self, message: Message) {
        self.0.send(message).await.expect("the client listens");
    }

    /// What the client says next; `closed` where it ends.
    pub async fn receive(&mut self) -> String {
        match self.0.next().await {
            Some(Ok(Message::Text(text))) => text.to_string(),
            Some(Ok(Message::Close(_))) | None => "closed".to_owned(),
            other => panic!("{other:?}"),
        }
    }

    /// Reads a ping, and with it answers it.
    pub async fn answer_ping(&mut self) {
        assert!(matches!(self.0.next().await, Some(Ok(Message::Ping(_)))));
        self.0.flush().await.expect("the client listens");
    }
}

/// A port of this host on which nobody listens.
pub async fn unused_url() -> Url {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    url_for(listener.local_addr().expect("an address"))
}

fn url_for(address: SocketAddr) -> Url {
    format!("http://{address}").parse().expect("a URL")
}

/// An answer of JSON.
pub fn json(status: u16, body: &serde_json::Value) -> Response {
    Response::builder()
        .status(status)
        .header("content-type", "application/json")
        .body(Body::from(body.to_string()))
        .expect("a response")
}
