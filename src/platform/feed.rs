//! The live feed in our words, whatever the dialect: what it says, and what it can be told.
//!
//! A feed is one connection. It has no memory and does not come back by itself; the engine opens the next one.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use crate::domain::agents::state::AgentState;
use crate::domain::ids::{AgentId, SkillId};

use super::error::CallError;

/// Something under way on a feed.
pub type FeedCall<'a, T> = Pin<Box<dyn Future<Output = Result<T, CallError>> + Send + 'a>>;

/// An open feed. Dropping it ends its connection; after a failure it is of no more use.
pub trait Feed: Send + fmt::Debug {
    /// Waits for the next thing that it says. Nothing is lost where the future is dropped.
    fn next(&mut self) -> FeedCall<'_, FeedMessage>;

    /// Tells it something, within the time limit of a request.
    fn tell<'a>(&'a mut self, command: Command<'a>) -> FeedCall<'a, ()>;
}

/// What a feed can be told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Command<'a> {
    /// Show what happens in these skills.
    Subscribe(&'a [SkillId]),
    /// The answer to a heartbeat.
    Pong,
    /// Is anybody there?
    Ping,
    /// This is the end.
    Close,
}

/// What a feed says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FeedMessage {
    /// An agent is in a state.
    AgentState {
        /// Who.
        agent: AgentId,
        /// The state; a name that no table knows is kept.
        state: AgentState,
        /// For how long by now, in the platform's time.
        lasted: Duration,
    },
    /// A contact began to wait.
    ContactQueued(SkillId),
    /// A contact waits no longer.
    ContactDequeued(SkillId),
    /// It lives, and wants to hear the same of us.
    Heartbeat,
    /// The connection lives, which says nothing of the feed.
    LineLives,
    /// Something that makes no sense, in words for the log: nobody's data is in them.
    Odd(String),
}
