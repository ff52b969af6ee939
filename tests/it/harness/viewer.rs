//! A viewer of the live view, over an event stream or a WebSocket, that records its messages.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use reqwest::Method;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use super::{Scenario, wait_until};

/// How the messages come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transport {
    Events,
    Socket,
}

pub const TRANSPORTS: [Transport; 2] = [Transport::Events, Transport::Socket];

/// The messages so far.
#[derive(Default)]
struct Received {
    messages: Vec<Value>,
    /// The last id as an event stream has it.
    last_event_id: Option<String>,
    /// The reason that a WebSocket was closed with.
    closed: Option<String>,
    ended: bool,
}

/// A viewer.
pub struct Viewer {
    transport: Transport,
    received: Arc<Mutex<Received>>,
    _reading: JoinSet<()>,
}

impl Viewer {
    /// Opens the line. `query` is the address's, such as `?tenant=acme`.
    pub async fn open(scenario: &Scenario, way: Transport, token: &str, query: &str) -> Self {
        let told = Arc::new(Mutex::new(Received::default()));
        let mut reading = JoinSet::new();
        match way {
            Transport::Events => {
                let request = scenario.request_as(token, Method::GET, &format!("/live/events{query}"));
                let response = request.timeout(Duration::from_secs(3600)).send().await.expect("answered");
                assert_eq!(response.status(), 200, "{:?}", response.text().await);
                assert_eq!(response.headers()["content-type"], "text/event-stream");
                reading.spawn(read_events(response, told.clone()));
            }
            Transport::Socket => {
                let address = scenario.address();
                let stream = TcpStream::connect(address).await.expect("connects");
                let mut request = format!("ws://{address}/live{query}").into_client_request().expect("a request");
                request.headers_mut().insert("authorization", format!("Bearer {token}").parse().expect("a header"));
                let (socket, _) = tokio_tungstenite::client_async(request, stream).await.expect("upgraded");
                reading.spawn(read_socket(socket, told.clone()));
            }
        }
        Self { transport: way, received: told, _reading: reading }
    }

    /// All messages so far.
    pub fn messages(&self) -> Vec<Value> {
        self.received().messages.clone()
    }

    /// The messages of a kind.
    pub fn of_kind(&self, kind: &str) -> Vec<Value> {
        self.received().messages.iter().filter(|message| message["type"] == kind).cloned().collect()
    }

    /// Where to go on: what a client of this way would name.
    pub fn last_id(&self) -> String {
        let told = self.received();
        match self.transport {
            Transport::Events => told.last_event_id.clone().expect("an id"),
            Transport::Socket => {
                let id = told.messages.iter().rev().find_map(|message| message["id"].as_u64());
                id.expect("an id").to_string()
            }
        }
    }

    /// The reason that the line ended with, where it did.
    pub fn end_reason(&self) -> Option<String> {
        let told = self.received();
        let last = told.messages.iter().rev().find(|message| message["type"] == "end");
        let reason = last.and_then(|message| message["reason"].as_str()).map(str::to_owned);
        if self.transport == Transport::Socket && reason.is_some() && told.ended {
            assert_eq!(told.closed, reason, "the close frame says the same");
        }
        reason.filter(|_| told.ended)
    }

    /// Waits until a message fits.
    pub async fn wait_for_message(&self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        wait_until(&format!("{:?}: {what}", self.transport), super::WAIT_TIMEOUT, || async {
            let told = self.received();
            told.messages.iter().find(|message| fits(message)).cloned().ok_or_else(|| format!("{:?}", told.messages))
        })
        .await
    }

    /// Waits for the first whole snapshot of the live view; returns its agents.
    pub async fn wait_for_snapshot(&self) -> Vec<Value> {
        self.wait_for_message("the picture is whole", |message| {
            message["type"] == "snapshot" && message["part"] == message["parts"]
        })
        .await;
        let parts = self.of_kind("snapshot");
        parts.iter().flat_map(|part| part["agents"].as_array().expect("agents").clone()).collect()
    }

    fn received(&self) -> MutexGuard<'_, Received> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn read_events(mut response: reqwest::Response, told: Arc<Mutex<Received>>) {
    let mut text = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        text.extend_from_slice(&chunk);
        while let Some(end) = text.windows(2).position(|pair| pair == b"\n\n") {
            let event: Vec<u8> = text.drain(..end + 2).collect();
            let event = String::from_utf8(event).expect("UTF-8");
            let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::trim_start);
            let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(id) = field("id:") {
                told.last_event_id = Some(id.to_owned());
            }
            if let Some(data) = field("data:") {
                let message: Value = serde_json::from_str(data).expect("JSON");
                assert_eq!(Some(message["type"].as_str().expect("a type")), field("event:"), "{message}");
                told.messages.push(message);
            }
        }
    }
    told.lock().unwrap_or_else(PoisonError::into_inner).ended = true;
}

async fn read_socket(mut socket: tokio_tungstenite::WebSocketStream<TcpStream>, told: Arc<Mutex<Received>>) {
    while let Some(Ok(message)) = socket.next().await {
        let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
        match message {
            Message::Text(text) => told.messages.push(serde_json::from_str(&text).expect("JSON")),
            Message::Close(frame) => told.closed = frame.map(|frame| frame.reason.to_string()),
            Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
        }
    }
    told.lock().unwrap_or_else(PoisonError::into_inner).ended = true;
}

impl Scenario {
    /// Where the daemon listens.
    pub fn address(&self) -> SocketAddr {
        self.daemon().base.trim_start_matches("http://").parse().expect("an address")
    }
}
