//! The live feed independent of the dialect: its messages and commands.
//!
//! A feed is one connection. It keeps no state and does not reconnect by itself; the engine opens the next one.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use crate::domain::agents::state::AgentState;
use crate::domain::ids::{AgentId, SkillId};

use super::error::CallError;

/// The future of an operation on a feed.
pub type FeedCall<'a, T> = Pin<Box<dyn Future<Output = Result<T, CallError>> + Send + 'a>>;

/// An open feed. Dropping it closes the connection. After a failure it cannot be used any more.
pub trait Feed: Send + fmt::Debug {
    /// Waits for the next message. Cancel-safe: nothing is lost if the future is dropped.
    fn next(&mut self) -> FeedCall<'_, FeedMessage>;

    /// Sends a command, within the time limit of a request.
    fn send<'a>(&'a mut self, command: FeedCommand<'a>) -> FeedCall<'a, ()>;
}

/// A command to a feed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FeedCommand<'a> {
    /// Subscribe to the events of these skills.
    Subscribe(&'a [SkillId]),
    /// Answer a heartbeat.
    Pong,
    /// Ask for a sign of life.
    Ping,
    /// Close the feed.
    Close,
}

/// A message from a feed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FeedMessage {
    /// An agent is in a state.
    AgentState {
        /// The agent.
        agent: AgentId,
        /// The state. A name without a mapping is kept.
        state: AgentState,
        /// How long the agent has been in the state, in the platform's time.
        elapsed: Duration,
    },
    /// A contact was queued for this skill.
    ContactQueued(SkillId),
    /// A contact left the queue of this skill.
    ContactDequeued(SkillId),
    /// The feed is alive and expects [`FeedCommand::Pong`].
    Heartbeat,
    /// The connection is alive, which says nothing about the feed.
    Activity,
    /// A message that makes no sense, described for the log without personal data.
    Unreadable(String),
}
