//! The checked content of a shift file, ready to replace shifts in the store.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use sha2::{Digest, Sha256};

use super::diagnostic::ImportDiagnostic;
use crate::domain::ids::{AgentId, SkillId, TeamName};
use crate::domain::schedules::schedule::{Coverage, Shift};
use crate::domain::time::UtcMicros;

/// One agent of a file, with the shifts in order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DraftAgent {
    /// The agent's id on the platform.
    pub id: AgentId,
    /// The name; empty if the file does not give it.
    pub name: String,
    /// The team; empty if the file does not give it.
    pub team: TeamName,
    /// The IANA name of the time zone, which is known to exist.
    pub zone: String,
    /// The shifts by start, each with its activities by start. Plain work is not listed.
    pub shifts: Vec<Shift>,
    /// The period that the file covers in the agent's zone: from the start of its first day to the end of its last day.
    pub coverage: Coverage,
    /// The skills by id; `None` if the file does not give them.
    pub skills: Option<Vec<SkillId>>,
}

/// The content of a file, checked as a whole and ready to replace those shifts of its agents that start in their
/// coverage.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ScheduleDraft {
    /// The agents, by id.
    pub agents: Vec<DraftAgent>,
    /// The earliest local date on which a shift starts.
    pub first_day: Date,
    /// The latest local date on which a shift starts.
    pub last_day: Date,
    /// The SHA-256 of the content, which does not depend on the order of rows or on notation.
    pub content_hash: [u8; 32],
    /// The number of rows or occurrences read, including repeated ones.
    pub rows: usize,
    /// The number of shifts.
    pub shifts: usize,
    /// Warnings about things that were imported nevertheless, by line.
    pub warnings: Vec<ImportDiagnostic>,
}

impl ScheduleDraft {
    /// Returns the period of the file's days in a zone; `None` if the zone is unknown.
    pub fn days_in(&self, zone: &str) -> Option<Coverage> {
        let zone = TimeZone::get(zone).ok()?;
        let midnight = |day: Date| day.to_zoned(zone.clone()).ok().map(|start| UtcMicros::from(start.timestamp()));
        Some(Coverage { start: midnight(self.first_day)?, end: midnight(self.last_day.tomorrow().ok()?)? })
    }

    /// Returns the hash of the content together with the agents that it leaves out on purpose; without any, this is the
    /// hash of the content.
    pub fn hash_with<'a>(&self, omitted_agents: impl Iterator<Item = &'a AgentId>) -> [u8; 32] {
        let mut left_out: Vec<&AgentId> = omitted_agents.collect();
        if left_out.is_empty() {
            return self.content_hash;
        }
        left_out.sort();
        let mut hash = Sha256::new();
        hash.update(self.content_hash);
        for agent in left_out {
            hash.update((agent.as_str().len() as u64).to_be_bytes());
            hash.update(agent.as_str());
        }
        hash.finalize().into()
    }
}
