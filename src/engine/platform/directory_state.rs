//! What is known of the platform's directory of teams and agents.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::agents::unavailable_codes::UnavailableCode;
use crate::domain::ids::TeamName;
use crate::domain::time::UtcMicros;

/// What is known of the directory.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DirectoryState {
    /// When it was last read completely.
    pub read_at: Option<UtcMicros>,
    /// The number of active agents in it.
    pub agents: usize,
    /// The number of agents whom the platform hides from the daemon's user.
    pub hidden_agents: u64,
    /// The codes of each active team.
    pub teams: BTreeMap<TeamName, Arc<[UnavailableCode]>>,
}
