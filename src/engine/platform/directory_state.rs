//! What is known of the platform's directory of teams and agents.

use crate::domain::time::UtcMicros;

/// What is known of the directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DirectoryState {
    /// When it was last read.
    pub read_at: Option<UtcMicros>,
    /// The number of agents whom the platform hides from the daemon's user.
    pub hidden_agents: u64,
    /// The number of active teams whose codes were read.
    pub teams: usize,
}
