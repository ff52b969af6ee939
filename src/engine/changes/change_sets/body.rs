//! What the store keeps of a set as one text: what was asked for and what it costs. Its agents are rows of their own.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::agents::state::AgentState;
use crate::domain::changes::change_set::FloorShown;
use crate::domain::changes::change_set::finish::Cost;
use crate::domain::changes::policy::OnContact;
use crate::domain::ids::ReasonCode;

/// What was asked for, and what it costs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SetBody {
    /// The wanted state; none where each agent has one of his own.
    pub to: Option<AgentState>,
    /// The reason that was named.
    pub reason: Option<ReasonCode>,
    /// What is done with those on a contact.
    pub on_contact: OnContact,
    /// Ahead of what other people asked for.
    pub urgent: bool,
    /// Whoever is in the state already gets the reason too.
    #[serde(default)]
    pub even_if_in_state: bool,
    /// Why skills may fall below their floors, where they may.
    pub below_floor: Option<String>,
    /// A person's words.
    pub note: Option<String>,
    /// How long a change may wait before it leaves, from the start on.
    pub deadline_s: u64,
    /// What it costs and when it is done.
    pub cost: Cost,
    /// Of its calls those for agents who are in the state already.
    #[serde(default)]
    pub reason_calls: usize,
    /// The budget when it was shown.
    pub slots: SlotsShown,
    /// Automation was halted when it was shown: nobody knows when it is done.
    pub halted: bool,
    /// Skills with floors.
    pub floors: Vec<FloorShown>,
}

/// A budget at an instant.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct SlotsShown {
    /// Calls in any minute.
    pub per_minute: usize,
    /// Of these, how many can leave at once.
    pub free: usize,
}
