//! The part of a change set that the store keeps as one text. Its agents are stored as rows of their own.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::agents::state::AgentState;
use crate::domain::changes::change_set::FloorImpact;
use crate::domain::changes::change_set::cost_estimate::CostEstimate;
use crate::domain::changes::policy::OnContact;
use crate::domain::ids::ReasonCode;

/// What was requested, and what it costs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ChangeSetBody {
    /// The wanted state; `None` if each agent has a target of its own.
    pub to: Option<AgentState>,
    /// The requested reason code.
    pub reason: Option<ReasonCode>,
    /// What to do with agents on a contact.
    pub on_contact: OnContact,
    /// Whether the set goes ahead of other people's requests.
    pub urgent: bool,
    /// Whether agents that are already in the state get the reason too.
    #[serde(default)]
    pub even_if_in_state: bool,
    /// Why skills may fall below their staffing floors; `None` if they may not.
    pub below_floor: Option<String>,
    /// The requester's note.
    pub note: Option<String>,
    /// How many seconds after the start a change may wait to be sent.
    pub deadline_s: u64,
    /// The number of calls and the expected finish.
    pub cost: CostEstimate,
    /// How many of the calls are for agents that are already in the state.
    #[serde(default)]
    pub reason_calls: usize,
    /// The budget at the time of the preview.
    pub slots: PreviewSlots,
    /// Whether automation was halted at the time of the preview, so that the finish is unknown.
    pub halted: bool,
    /// The effect on skills with staffing floors.
    pub floors: Vec<FloorImpact>,
}

/// The request budget at the time of a preview.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct PreviewSlots {
    /// The number of calls allowed in any minute.
    pub per_minute: usize,
    /// How many of them are available at once.
    pub free: usize,
}
