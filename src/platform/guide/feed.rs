//! The live feed of the guide dialect (guide 000): a WebSocket with the token in the URL's query.
//!
//! Since the URL contains the token, nothing here may show a URL: errors give the path alone. The guide does not give
//! the unit of `stateDuration`; every other duration in its answers is in seconds.

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

use super::GuidePlatform;
use crate::clock::RealTime;
use crate::domain::access::secret::Secret;
use crate::domain::agents::state::StateNames;
use crate::domain::ids::{AgentId, SkillId};
use crate::domain::time::UtcMicros;
use crate::platform::error::{CallError, CallSite, Failure, excerpt};
use crate::platform::text;
use crate::platform::url_path::join_path;
use crate::platform::{Answer, Feed, FeedCall, FeedCommand, FeedMessage};

/// The maximum size of one message, in bytes. Those in the guide have a few hundred.
const MAX_MESSAGE_BYTES: usize = 64 * 1024;

/// The number of bytes that are read from the connection at once.
const READ_BUFFER: usize = 16 * 1024;

/// The maximum plausible time in a state.
const MAX_STATE_DURATION: Duration = Duration::from_secs(10 * 366 * 24 * 3600);

impl GuidePlatform {
    /// Opens the feed, with a token that will last for a while.
    pub(super) async fn open_feed(&self) -> Result<Answer<Box<dyn Feed>>, CallError> {
        let site = CallSite { purpose: "open the feed", method: "GET", path: self.feed_path.clone() };
        let mut asked_at = None;
        let opened = self.try_open_feed(&mut asked_at).await;
        opened.map_err(|failure| CallError { site, failure, sent_at: asked_at })
    }

    async fn try_open_feed(&self, asked_at: &mut Option<UtcMicros>) -> Result<Answer<Box<dyn Feed>>, Failure> {
        let token = self.api.tokens.fresh().await?;
        let mut url = join_path(self.feed_base_url.as_ref().unwrap_or(token.base()), &self.feed_path, &[])?;
        url.query_pairs_mut().append_pair("access_token", token.text().expose());
        let key = generate_key();
        let request = self
            .api
            .caller
            .request(Method::GET, url)
            .header(CONNECTION, "Upgrade")
            .header(UPGRADE, "websocket")
            .header(SEC_WEBSOCKET_VERSION, "13")
            .header(SEC_WEBSOCKET_KEY, &key);
        *asked_at = Some(self.api.clock.now());
        let (reply, connection) = self.api.caller.upgrade(request, &self.api.clock).await?;
        let secrets = [token.text().expose(), self.api.tokens.secret().expose()];
        let Some(connection) = connection else {
            self.api.classify(&reply, &token, Some("Real-Time Reporting"), &secrets)?;
            return Err(reply.malformed("a switch to WebSocket", &secrets));
        };
        self.api.tokens.report_accepted(&token);
        if reply.header(&SEC_WEBSOCKET_ACCEPT) != Some(derive_accept_key(key.as_bytes()).as_str()) {
            return Err(reply.malformed("an answer to our WebSocket key", &secrets));
        }
        let limits = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .max_message_size(Some(MAX_MESSAGE_BYTES))
            .max_frame_size(Some(MAX_MESSAGE_BYTES));
        let feed: Box<dyn Feed> = Box::new(GuideFeed {
            socket: WebSocketStream::from_raw_socket(connection, Role::Client, Some(limits)).await,
            state_names: Arc::clone(&self.state_names),
            token: token.text().clone(),
            send_timeout: self.request_timeout,
        });
        Ok(reply.answer(feed))
    }
}

/// An open feed.
struct GuideFeed {
    socket: WebSocketStream<Upgraded>,
    state_names: Arc<StateNames>,
    /// The token, for removal from the platform's closing message.
    token: Secret,
    /// The time limit for sending a command, in real time.
    send_timeout: Duration,
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
            self.handle_frame(heard).map_err(|failure| CallError::without_request("read the feed", failure))
        })
    }

    fn send<'a>(&'a mut self, command: FeedCommand<'a>) -> FeedCall<'a, ()> {
        let message = match command {
            FeedCommand::Subscribe(skills) => Message::text(subscribe_message(skills)),
            FeedCommand::Pong => Message::text(json!({ "command": "pong" }).to_string()),
            FeedCommand::Ping => Message::Ping(Bytes::new()),
            FeedCommand::Close => Message::Close(None),
        };
        Box::pin(async move {
            let told = tokio::select! {
                told = self.socket.send(message) => told.map_err(|error| self.failure(&error)),
                () = RealTime::sleep(self.send_timeout) => Err(Failure::Timeout),
            };
            told.map_err(|failure| CallError::without_request("tell the feed", failure))
        })
    }
}

impl GuideFeed {
    fn handle_frame(&self, frame: Option<Result<Message, Error>>) -> Result<FeedMessage, Failure> {
        let broken = |reason: &str| Err(Failure::ConnectionBroken { reason: reason.to_owned() });
        match frame {
            Some(Ok(Message::Text(text))) => Ok(self.parse_message(&text)),
            Some(Ok(Message::Binary(bytes))) => {
                Ok(FeedMessage::Unreadable(format!("{} bytes that are no text", bytes.len())))
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Ok(FeedMessage::Activity),
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
            Error::Capacity(_) => Failure::TooLarge { limit: MAX_MESSAGE_BYTES },
            other => {
                Failure::ConnectionBroken { reason: excerpt(other.to_string().as_bytes(), &[self.token.expose()]) }
            }
        }
    }

    fn parse_message(&self, text: &str) -> FeedMessage {
        let text = text.trim_start();
        // Serde would also fill a struct from an array, field by field.
        let wire = text.starts_with('{').then(|| text::parse_lenient::<WireMessage>(text.as_bytes())).flatten();
        let Some(WireMessage { kind: Value::String(kind), agent_id, state, state_duration, skill_id }) = wire else {
            return FeedMessage::Unreadable(format!("{} bytes that are no JSON object with a type", text.len()));
        };
        let lacks = |field: &str| FeedMessage::Unreadable(format!("{kind} without a good {field}"));
        match kind.as_str() {
            "agentStateChange" => {
                let Some(agent) = id(&agent_id) else { return lacks("agentId") };
                let Some(state) = state.as_str().filter(|name| !name.is_empty()) else { return lacks("state") };
                let Some(lasted) = seconds(&state_duration) else { return lacks("stateDuration") };
                let state = self.state_names.state(&text::truncated(state));
                FeedMessage::AgentState { agent: AgentId::from(agent), state, elapsed: lasted }
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
                FeedMessage::Unreadable(format!("a message of the unknown type {name:?}"))
            }
        }
    }
}

/// The fields of a message that are read.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireMessage {
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

/// Returns an id, which may be a string or an integer.
fn id(value: &Value) -> Option<String> {
    text::id_of(value).filter(|_| !value.is_f64())
}

fn seconds(value: &Value) -> Option<Duration> {
    Duration::try_from_secs_f64(value.as_f64()?).ok().filter(|lasted| *lasted <= MAX_STATE_DURATION)
}

/// Builds the message that subscribes to skills. The guide's skills are numbers; an id that is not a number is sent as
/// a string.
fn subscribe_message(skills: &[SkillId]) -> String {
    let number = |skill: &SkillId| skill.as_str().parse::<u64>().ok().filter(|n| n.to_string() == skill.as_str());
    let ids: Vec<Value> = skills.iter().map(|skill| number(skill).map_or_else(|| json!(skill), |n| json!(n))).collect();
    json!({ "command": "subscribe", "skillIds": ids }).to_string()
}

#[cfg(test)]
mod tests;
