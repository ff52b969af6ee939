//! The platform's directory: its teams with their unavailable codes, and its agents.

use std::sync::Arc;

use crate::domain::ids::{AgentId, TeamName};

/// A page of a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListPage<T> {
    /// The rows that could be read.
    pub rows: Vec<T>,
    /// The number of rows that were received, which is how many more the next page skips.
    pub received: usize,
    /// The number of rows on all pages, if the platform says so.
    pub total: Option<usize>,
    /// The instant to ask from next time, in the platform's own words.
    pub polled_at: Option<String>,
    /// The number of agents whom the platform does not show to the daemon's user.
    pub hidden: u64,
}

impl<T> ListPage<T> {
    /// Returns how many rows to skip for the next page; `None` after the last one.
    pub fn next(&self, skipped: usize) -> Option<usize> {
        let seen = skipped + self.received;
        (self.received > 0 && self.total.is_some_and(|total| seen < total)).then_some(seen)
    }
}

/// A team of the platform.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListedTeam {
    /// The platform's number.
    pub id: String,
    /// The name.
    pub name: TeamName,
    /// Whether it is in use.
    pub is_active: bool,
}

/// An agent of the platform.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListedAgent {
    /// The id that states and changes use.
    pub id: AgentId,
    /// The id of the agent's user account (a UUID), by which schedules are exported.
    pub user_id: Option<Arc<str>>,
    /// The name with which the agent signs in.
    pub user_name: Option<Arc<str>>,
    /// The name that people see.
    pub name: Option<Arc<str>>,
    /// The team.
    pub team: Option<TeamName>,
    /// The IANA time zone. Other names of zones are left out.
    pub zone: Option<Arc<str>>,
    /// Whether the account is in use.
    pub is_active: bool,
}
