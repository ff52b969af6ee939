//! The live feed of the guide dialect (guide 000): a WebSocket that is opened with the token in its query.
//!
//! The token is in the URL, so nothing here may show one: errors name the path alone. The guide does not say in which unit
//! `stateDuration` is; every other duration of its answers is in seconds.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use reqwest::{Method, Upgraded};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};

use super::Guide;
use crate::clock::RealTime;
use crate::domain::access::secret::Secret;
use crate::domain::agents::state::StateNames;
use crate::domain::ids::{AgentId, SkillId};
use crate::domain::time::UtcMicros;
use crate::platform::address::below;
use crate::platform::error::{CallError, CallSite, Failure, excerpt};
use crate::platform::text;
use crate::platform::{Answer, Command, Feed, FeedCall, FeedMessage};

/// The most of one message, in bytes; the guide's have some hundred.
const MESSAGE_LIMIT: usize = 64 * 1024;

/// What is read from the connection at once, in bytes.
const READ_BUFFER: usize = 16 * 1024;

/// No agent is in a state for longer.
const LONGEST_STAY: Duration = Duration::from_secs(10 * 366 * 24 * 3600);

impl Guide {
    /// Opens the feed with a token that lives for a while.
    pub(super) async fn open_feed(&self) -> Result<Answer<Box<dyn Feed>>, CallError> {
        let site = CallSite { purpose: "open the feed", method: "GET", path: self.feed_path.clone() };
        let mut asked_at = None;
        let opened = self.try_open_feed(&mut asked_at).await;
        opened.map_err(|failure| CallError { site, failure, asked_at })
    }

    async fn try_open_feed(&self, asked_at: &mut Option<UtcMicros>) -> Result<Answer<Box<dyn Feed>>, Failure> {
        let token = self.tokens.fresh().await?;
        let mut url = below(self.feed_base_url.as_ref().unwrap_or(token.base()), &self.feed_path, &[])?;
        url.query_pairs_mut().append_pair("access_token", token.text().expose());
        let key = generate_key();
        let request = self
            .caller
            .request(Method::GET, url)
            .header(CONNECTION, "Upgrade")
            .header(UPGRADE, "websocket")
            .header(SEC_WEBSOCKET_VERSION, "13")
            .header(SEC_WEBSOCKET_KEY, &key);
        *asked_at = Some(self.clock.now());
        let (reply, connection) = self.caller.switch(request, &self.clock).await?;
        let secrets = [token.text().expose(), self.tokens.client_secret().expose()];
        let Some(connection) = connection else {
            self.judge(&reply, &token, Some("Real-Time Reporting"), &secrets)?;
            return Err(reply.nonsense("a switch to WebSocket", &secrets));
        };
        self.tokens.accepted(&token);
        if reply.header(&SEC_WEBSOCKET_ACCEPT) != Some(derive_accept_key(key.as_bytes()).as_str()) {
            return Err(reply.nonsense("an answer to our WebSocket key", &secrets));
        }
        let limits = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .max_message_size(Some(MESSAGE_LIMIT))
            .max_frame_size(Some(MESSAGE_LIMIT));
        let feed: Box<dyn Feed> = Box::new(GuideFeed {
            socket: WebSocketStream::from_raw_socket(connection, Role::Client, Some(limits)).await,
            state_names: Arc::clone(&self.state_names),
            token: token.text().clone(),
            limit: self.request_timeout,
        });
        Ok(Answer {
            value: feed,
            latency: reply.latency,
            asked_at: reply.asked_at,
            answered_at: reply.answered_at,
            platform_now: reply.date(),
        })
    }
}

/// An open feed.
struct GuideFeed {
    socket: WebSocketStream<Upgraded>,
    state_names: Arc<StateNames>,
    /// To keep it out of what the platform says at the end.
    token: Secret,
    /// How long the other side may take to take a command, in real time.
    limit: Duration,
}

impl fmt::Debug for GuideFeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuideFeed").finish_non_exhaustive()
    }
}

impl Feed for GuideFeed {
    fn next(&mut self) -> FeedCall<'_, FeedMessage> {
        Box::pin(async move {
            let heard = self.socket.next().await;
            self.heard(heard).map_err(|failure| error("read the feed", failure))
        })
    }

    fn tell<'a>(&'a mut self, command: Command<'a>) -> FeedCall<'a, ()> {
        let message = match command {
            Command::Subscribe(skills) => Message::text(subscription(skills)),
            Command::Pong => Message::text(json!({ "command": "pong" }).to_string()),
            Command::Ping => Message::Ping(Bytes::new()),
            Command::Close => Message::Close(None),
        };
        Box::pin(async move {
            let told = tokio::select! {
                told = self.socket.send(message) => told.map_err(|error| self.failure(&error)),
                () = RealTime::sleep(self.limit) => Err(Failure::Timeout),
            };
            told.map_err(|failure| error("tell the feed", failure))
        })
    }
}

impl GuideFeed {
    fn heard(&self, heard: Option<Result<Message, Error>>) -> Result<FeedMessage, Failure> {
        let broken = |reason: &str| Err(Failure::Broken { reason: reason.to_owned() });
        match heard {
            Some(Ok(Message::Text(text))) => Ok(self.read(&text)),
            Some(Ok(Message::Binary(bytes))) => Ok(FeedMessage::Odd(format!("{} bytes that are no text", bytes.len()))),
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Ok(FeedMessage::LineLives),
            Some(Ok(Message::Close(Some(CloseFrame { code, reason })))) => {
                let reason = excerpt(reason.as_bytes(), &[self.token.expose()]);
                broken(&format!("the platform closed it: {code} {reason}"))
            }
            Some(Ok(Message::Close(None))) => broken("the platform closed it"),
            Some(Err(error)) => Err(self.failure(&error)),
            None => broken("it is closed"),
        }
    }

    fn failure(&self, error: &Error) -> Failure {
        match error {
            Error::Capacity(_) => Failure::TooLarge { limit: MESSAGE_LIMIT },
            other => Failure::Broken { reason: excerpt(other.to_string().as_bytes(), &[self.token.expose()]) },
        }
    }

    fn read(&self, text: &str) -> FeedMessage {
        let text = text.trim_start();
        // Serde would fill a struct from an array as well, field by field.
        let wire = text.starts_with('{').then(|| text::read::<Wire>(text.as_bytes())).flatten();
        let Some(Wire { kind: Value::String(kind), agent_id, state, state_duration, skill_id }) = wire else {
            return FeedMessage::Odd(format!("{} bytes that are no JSON object with a type", text.len()));
        };
        let lacks = |field: &str| FeedMessage::Odd(format!("{kind} without a good {field}"));
        match kind.as_str() {
            "agentStateChange" => {
                let Some(agent) = id(&agent_id) else { return lacks("agentId") };
                let Some(state) = state.as_str().filter(|name| !name.is_empty()) else { return lacks("state") };
                let Some(lasted) = seconds(&state_duration) else { return lacks("stateDuration") };
                let state = self.state_names.state(&text::kept(state));
                FeedMessage::AgentState { agent: AgentId::from(agent), state, lasted }
            }
            "contactQueued" => {
                id(&skill_id).map_or_else(|| lacks("skillId"), |id| FeedMessage::ContactQueued(id.into()))
            }
            "contactDequeued" => {
                id(&skill_id).map_or_else(|| lacks("skillId"), |id| FeedMessage::ContactDequeued(id.into()))
            }
            "heartbeat" => FeedMessage::Heartbeat,
            other => {
                let name = excerpt(other.as_bytes(), &[self.token.expose()]);
                FeedMessage::Odd(format!("a message of the unknown type {name:?}"))
            }
        }
    }
}

/// A message, as far as it is read.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    #[serde(rename = "type")]
    kind: Value,
    #[serde(default)]
    agent_id: Value,
    #[serde(default)]
    state: Value,
    #[serde(default)]
    state_duration: Value,
    #[serde(default)]
    skill_id: Value,
}

/// An id, which is text or a whole number.
fn id(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if text::is_id(text) => Some(text.clone()),
        Value::Number(number) if !number.is_f64() => Some(number.to_string()),
        Value::String(_) | Value::Number(_) | Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn seconds(value: &Value) -> Option<Duration> {
    Duration::try_from_secs_f64(value.as_f64()?).ok().filter(|lasted| *lasted <= LONGEST_STAY)
}

/// The guide's skills are numbers; what is none is sent as it is.
fn subscription(skills: &[SkillId]) -> String {
    let number = |skill: &SkillId| skill.as_str().parse::<u64>().ok().filter(|n| n.to_string() == skill.as_str());
    let ids: Vec<Value> = skills.iter().map(|skill| number(skill).map_or_else(|| json!(skill), |n| json!(n))).collect();
    json!({ "command": "subscribe", "skillIds": ids }).to_string()
}

fn error(purpose: &'static str, failure: Failure) -> CallError {
    CallError { site: CallSite { purpose, method: "", path: String::new() }, failure, asked_at: None }
}

#[cfg(test)]
mod tests;
