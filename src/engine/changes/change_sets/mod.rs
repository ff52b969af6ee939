//! Bulk changes by people: previewed, started, followed, called off, taken back. The desk between the API and the keepers.
//!
//! The keeper works a preview out of its own picture, and at the start looks at each agent again; what was not shown is not
//! changed. The set's row and its transitions are one commit. How a set goes is read from its transitions, never kept beside them.

pub mod body;
mod undo;
pub mod view;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use self::view::SetView;
use crate::domain::access::rights::{Asker, Teams};
use crate::domain::agents::state::AgentState;
use crate::domain::audit::Hash;
use crate::domain::changes::change_set::{MOST_AGENTS_PER_SET, Outcome, Previewed, Selection, WantedOf};
use crate::domain::changes::policy::OnContact;
use crate::domain::ids::{AgentId, ChangeSetId, ReasonCode, TenantId};
use crate::domain::time::UtcMicros;
use crate::domain::words::{count, names};
use crate::engine::changes::door::{Door, DoorError};
use crate::engine::message::Message;
use crate::store::{ChangeSetRow, ReadError, Reader};

/// A preview can be started for so long: the floor looks different after that, and a supervisor has read the list.
pub const PREVIEW_KEPT: Duration = Duration::from_secs(600);

/// Previews of a tenant that may wait for their start at once; each holds ten thousand rows at most.
pub const MOST_PREVIEWS: u64 = 50;

/// A set may be taken back for so long after its last change ended: later the agents' day has moved on.
pub const UNDO_WITHIN: Duration = Duration::from_secs(3600);

/// Which agents are meant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Select {
    /// These, in this order.
    Agents(Vec<AgentId>),
    /// Those that a filter takes, by id.
    Filter(Selection),
    /// Each with a wish of his own.
    Each(Vec<WantedOf>),
}

/// A wish for a set.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewSet {
    /// For whom.
    pub select: Select,
    /// The wanted state; none where each agent has one of his own.
    pub to: Option<AgentState>,
    /// With this reason; the state's default when none is named.
    pub reason: Option<ReasonCode>,
    /// What to do with those on a contact; the tenant's setting when it does not say.
    pub on_contact: Option<OnContact>,
    /// Ahead of what other people asked for.
    pub urgent: bool,
    /// Whoever is in the state already gets the named reason too.
    pub even_if_in_state: bool,
    /// Why skills may fall below their floors, where they may.
    pub below_floor: Option<String>,
    /// How long a change may wait before it leaves; else long enough for the finish that is shown.
    pub deadline: Option<Duration>,
    /// A person's words, kept apart from the audit chain.
    pub note: Option<String>,
    /// The set that is taken back.
    pub undoes: Option<ChangeSetId>,
    /// Who asks.
    pub asker: Asker,
    /// The asker's teams; others' agents are not known.
    pub teams: Teams,
}

/// A start, as the keeper gets it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StartSet {
    /// Which.
    pub id: ChangeSetId,
    /// The hash of what the asker was shown.
    pub hash: Hash,
    /// The agents who were shown as changed, with their places in the set.
    pub agents: Vec<(usize, Previewed)>,
    /// Where nobody was: those who were shown.
    pub hindered: Vec<Hindered>,
    /// Who asks.
    pub asker: Asker,
    /// The asker's teams.
    pub teams: Teams,
}

/// What a keeper is asked about sets. Each is answered after the commit.
#[derive(Debug)]
pub enum SetMessage {
    /// Work a preview out and keep it.
    Preview {
        /// What is wanted.
        wanted: Box<NewSet>,
        /// Its id.
        reply: oneshot::Sender<Result<ChangeSetId, SetError>>,
    },
    /// Start a set.
    Start {
        /// Which, by whom.
        start: Box<StartSet>,
        /// Started.
        reply: oneshot::Sender<Result<(), SetError>>,
    },
    /// Throw a preview away, or call off what has not left.
    Cancel {
        /// Which.
        id: ChangeSetId,
        /// Who asks.
        asker: Asker,
        /// Why, in the asker's words.
        note: Option<String>,
        /// Called off.
        reply: oneshot::Sender<Result<(), SetError>>,
    },
}

impl SetMessage {
    /// How many agents it is about.
    pub fn agents(&self) -> usize {
        match self {
            Self::Preview { wanted, .. } => match &wanted.select {
                Select::Agents(agents) => agents.len(),
                Select::Each(agents) => agents.len(),
                // Nobody knows yet; most filters take a team.
                Select::Filter(_) => 100,
            },
            Self::Start { start, .. } => start.agents.len(),
            Self::Cancel { .. } => 0,
        }
    }
}

/// Why something was not done with a set.
#[derive(Debug, thiserror::Error)]
pub enum SetError {
    /// The way to the keeper.
    #[error(transparent)]
    Door(#[from] DoorError),
    /// The store could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// No such set, or none within the asker's teams.
    #[error("there is no change set {0}")]
    NotFound(ChangeSetId),
    /// The choice takes nobody.
    #[error("the choice takes no agent; look at the filter, or name agents")]
    Nobody,
    /// Too many agents.
    #[error("{asked} agents in one set; at most {MOST_AGENTS_PER_SET} are taken")]
    TooMany {
        /// How many it would be.
        asked: usize,
    },
    /// Too many previews wait.
    #[error(
        "{waiting} previews wait for their start, and more are not kept; start or cancel one, or wait ten minutes until the \
         oldest have expired"
    )]
    TooManyPreviews {
        /// How many wait.
        waiting: u64,
    },
    /// Another hash.
    #[error("the hash is not that of this set's preview: start what you were shown, or make a new preview")]
    HashDiffers,
    /// The preview is too old.
    #[error("the preview expired at {at}: make a new one, since the floor may look different by now")]
    Expired {
        /// When.
        at: UtcMicros,
    },
    /// Started by somebody else.
    #[error("{by} started it at {at}")]
    StartedAlready {
        /// Who.
        by: Arc<str>,
        /// When.
        at: UtcMicros,
    },
    /// Thrown away.
    #[error("{by} called it off at {at}")]
    CancelledAlready {
        /// Who.
        by: Arc<str>,
        /// When.
        at: UtcMicros,
    },
    /// Nothing is left to call off.
    #[error("nothing of it waits any more: every change has left or ended")]
    TooLate,
    /// Nothing was done that could be taken back.
    #[error("it was never started, so there is nothing to undo")]
    NotStarted,
    /// Some of it has not left yet, or is on its way.
    #[error(
        "not answered yet: {} of it, for {}; cancel the set, or wait",
        count(.agents.len(), "change"),
        names(.agents)
    )]
    StillLeaving {
        /// For whom.
        agents: Vec<AgentId>,
    },
    /// Nobody would be changed by it.
    #[error("nobody would be changed, so nothing was started: {}; choose others, or plan anew when that has changed", names(.why))]
    NothingToChange {
        /// Each agent with what stands against changing him.
        why: Vec<Hindered>,
    },
    /// Too long ago.
    #[error("it ended at {ended}, more than an hour ago: choose the agents anew, the floor has moved on")]
    TooLateToUndo {
        /// When it ended.
        ended: UtcMicros,
    },
    /// Texts that are no JSON.
    #[error("what was shown cannot be written down: {0}")]
    NotWritable(String),
}

/// Somebody who is not changed, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hindered {
    agent: AgentId,
    outcome: Outcome,
    why: Option<String>,
}

impl From<&Previewed> for Hindered {
    fn from(shown: &Previewed) -> Self {
        Self { agent: shown.agent.clone(), outcome: shown.outcome, why: shown.why.clone() }
    }
}

impl fmt::Display for Hindered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}", self.agent, self.outcome.name().replace('_', " "))?;
        match &self.why {
            Some(why) => write!(f, ": {why})"),
            None => f.write_str(")"),
        }
    }
}

/// Who looks at sets or does something with them.
#[derive(Clone, Debug)]
pub struct Who {
    /// The person or system.
    pub asker: Asker,
    /// The teams that it is bound to.
    pub teams: Teams,
}

/// The way to sets. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ChangeSets {
    door: Door,
    reader: Reader,
}

impl ChangeSets {
    /// Over these keepers and this store.
    pub const fn new(door: Door, reader: Reader) -> Self {
        Self { door, reader }
    }

    /// Now, by the clock of the tenant's workers.
    fn now(&self, tenant: &TenantId) -> Result<UtcMicros, DoorError> {
        let link = self.door.tenants().link(tenant).ok_or_else(|| DoorError::NoTenant(tenant.clone()))?;
        Ok(link.clock.now())
    }

    /// Works out and keeps what would happen.
    pub async fn preview(&self, tenant: &TenantId, wanted: NewSet) -> Result<SetView, SetError> {
        let who = Who { asker: wanted.asker.clone(), teams: wanted.teams.clone() };
        let (reply, answer) = oneshot::channel();
        let message = SetMessage::Preview { wanted: Box::new(wanted), reply };
        let id = self.ask(tenant, message, answer).await?;
        self.show(tenant, id, &who, true).await
    }

    /// Starts what was shown. Who started it and asks again gets it as it is.
    pub async fn start(&self, tenant: &TenantId, id: ChangeSetId, hash: Hash, who: Who) -> Result<SetView, SetError> {
        let set = self.find(tenant, id, &who).await?;
        if set.started.as_ref().is_some_and(|(_, by)| *by == who.asker.id && set.hash == hash) {
            return self.show(tenant, id, &who, true).await;
        }
        let shown: Vec<Previewed> =
            self.reader.change_set_agents(tenant, id).await?.into_iter().map(|agent| agent.shown).collect();
        let nobody = !shown.iter().any(|agent| agent.outcome.changes());
        let hindered = if nobody { shown.iter().map(Hindered::from).collect() } else { Vec::new() };
        let agents = shown.into_iter().enumerate().filter(|(_, shown)| shown.outcome.changes()).collect();
        let (reply, answer) = oneshot::channel();
        let start = StartSet { id, hash, agents, hindered, asker: who.asker.clone(), teams: who.teams.clone() };
        self.ask(tenant, SetMessage::Start { start: Box::new(start), reply }, answer).await?;
        self.show(tenant, id, &who, true).await
    }

    /// Throws a preview away, or calls off what has not left.
    pub async fn cancel(
        &self,
        tenant: &TenantId,
        id: ChangeSetId,
        note: Option<String>,
        who: Who,
    ) -> Result<SetView, SetError> {
        self.find(tenant, id, &who).await?;
        let (reply, answer) = oneshot::channel();
        self.ask(tenant, SetMessage::Cancel { id, asker: who.asker.clone(), note, reply }, answer).await?;
        self.show(tenant, id, &who, true).await
    }

    /// Previews the way back to each agent's state before.
    pub async fn undo(
        &self,
        tenant: &TenantId,
        id: ChangeSetId,
        options: UndoOptions,
        who: Who,
    ) -> Result<SetView, SetError> {
        let set = self.find(tenant, id, &who).await?;
        let wanted = undo::wanted(&self.reader, &set, options, who, self.now(tenant)?).await?;
        self.preview(tenant, wanted).await
    }

    /// One set as it stands.
    pub async fn show(&self, tenant: &TenantId, id: ChangeSetId, who: &Who, agents: bool) -> Result<SetView, SetError> {
        let set = self.find(tenant, id, who).await?;
        let mut view = view::of(&self.reader, &set, self.now(tenant)?).await?;
        if agents {
            // After the counts, so that a set that is done has nobody who is under way.
            view.agents = view::agents(&self.reader, &set).await?;
        }
        Ok(view)
    }

    /// Sets, newest first, without their agents; at most `limit`. The second is where the next page begins.
    pub async fn list(
        &self,
        tenant: &TenantId,
        who: &Who,
        before: Option<ChangeSetId>,
        limit: u32,
    ) -> Result<(Vec<SetView>, Option<ChangeSetId>), SetError> {
        let now = self.now(tenant)?;
        let rows = self.reader.change_sets(tenant, &who.asker.id, now, before, limit).await?;
        let next = rows.last().filter(|_| rows.len() >= limit as usize).map(|row| row.id);
        let mut views = Vec::with_capacity(rows.len());
        for row in rows.iter().filter(|row| may_see(row, &who.teams)) {
            views.push(view::of(&self.reader, row, now).await?);
        }
        Ok((views, next))
    }

    async fn find(&self, tenant: &TenantId, id: ChangeSetId, who: &Who) -> Result<ChangeSetRow, SetError> {
        let set = self.reader.change_set(tenant, id).await?;
        set.filter(|set| may_see(set, &who.teams)).ok_or(SetError::NotFound(id))
    }

    async fn ask<T>(
        &self,
        tenant: &TenantId,
        message: SetMessage,
        answer: oneshot::Receiver<Result<T, SetError>>,
    ) -> Result<T, SetError> {
        self.door.tell(tenant, Message::ChangeSet(message)).await?;
        answer.await.unwrap_or(Err(SetError::Door(DoorError::Unavailable)))
    }
}

/// Somebody who is bound to teams sees the sets all of whose agents are of these.
fn may_see(set: &ChangeSetRow, teams: &Teams) -> bool {
    let Some(mine) = teams else { return true };
    set.teams.iter().all(|team| team.as_ref().is_some_and(|team| mine.contains(team)))
}

/// How a set is to be taken back.
#[derive(Clone, Default, Debug)]
pub struct UndoOptions {
    /// What to do with those on a contact; as the set that is taken back when it does not say.
    pub on_contact: Option<OnContact>,
    /// Ahead of what other people asked for.
    pub urgent: bool,
    /// Why skills may fall below their floors, where they may.
    pub below_floor: Option<String>,
    /// A person's words.
    pub note: Option<String>,
}
