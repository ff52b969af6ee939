//! What arrives at a keeper.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::agents::board::Board;
use super::agents::erase::EraseAsk;
use super::agents::skills::SkillMessage;
use super::changes::change_sets::SetMessage;
use super::changes::door::{ChangeRequest, DoorError, Taken};
use super::live::snapshot::Snapshot;
use super::rules::RulesAsk;
use super::rules::approvals::DecisionMessage;
use crate::domain::agents::merge::Fed;
use crate::domain::changes::transition::Transition;
use crate::domain::ids::{AgentId, TransitionId};
use crate::domain::time::UtcMicros;
use crate::platform::Sighting;

/// How many messages wait for a keeper at most; who sends more waits.
pub const INBOX: usize = 1024;

/// One thing that a keeper's next pass takes in.
#[derive(Debug)]
pub enum Message {
    /// A snapshot was read.
    Sight(Sight),
    /// The feed told of agents, in this order.
    Fed(Vec<(AgentId, Fed)>),
    /// Something about a subscription that people should know.
    SliceNotice(SliceNotice),
    /// A person or a system asks for changes.
    Request {
        /// What is asked.
        request: ChangeRequest,
        /// Answered after the commit.
        reply: oneshot::Sender<Result<Vec<Taken>, DoorError>>,
    },
    /// A person or a system calls a change off.
    Cancel {
        /// Which.
        id: TransitionId,
        /// Who.
        actor: Arc<str>,
        /// Answered after the commit.
        reply: oneshot::Sender<Option<Transition>>,
    },
    /// A person or a system asks for something about a bulk change.
    ChangeSet(SetMessage),
    /// A person decides on what a rule wants.
    Decision(DecisionMessage),
    /// Somebody sets skills or asks how they are staffed.
    Skills(SkillMessage),
    /// A schedule was imported.
    ScheduleChanged,
    /// Somebody asks about rules or exceptions, or changes them.
    Rules(Box<RulesAsk>),
    /// Somebody wants an agent erased.
    Erase(Box<EraseAsk>),
    /// Somebody wants to see the picture.
    Look {
        /// Answered after the commit.
        reply: oneshot::Sender<Snapshot>,
    },
    /// Somebody wants a list of the agents.
    Board {
        /// Answered after the commit.
        reply: oneshot::Sender<Board>,
    },
}

/// A snapshot as it came out of the reader, its own instant converted to our clock.
#[derive(Debug)]
pub struct Sight {
    /// The subscription's number among the tenant's.
    pub slice: u32,
    /// When the platform generated it.
    pub generated_at: UtcMicros,
    /// Microseconds to take from the platform's instants.
    pub offset_us: i64,
    /// Rows that differ from the snapshot before.
    pub changed: Vec<Sighting>,
    /// The agents of the subscription.
    pub agents: Arc<[AgentId]>,
    /// Those of them that the snapshot does not show.
    pub absent: Arc<[AgentId]>,
    /// Those of them whom it leaves out for sure.
    pub missing: Arc<[AgentId]>,
}

/// News of a subscription.
#[derive(Debug)]
pub enum SliceNotice {
    /// A snapshot was larger than the limit.
    Oversize {
        /// The subscription's number.
        slice: u32,
        /// Its size.
        bytes: usize,
    },
    /// It nears its end without a successor.
    NearExpiry {
        /// The subscription's number.
        slice: u32,
        /// Made when.
        created_at: UtcMicros,
    },
}
