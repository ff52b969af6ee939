//! Which agents are available for the staffing floors of their skills, and how many each skill has.

use std::collections::BTreeMap;
use std::time::Duration;

use super::roster::{AgentRecord, Roster};
use crate::domain::ids::SkillId;
use crate::domain::time::UtcMicros;

/// The staffing of a skill.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct StaffingCount {
    /// The number of agents with the skill.
    pub agents: u32,
    /// The number of them at work by a recent observation: ready, on contact or in wrap-up.
    pub available: u32,
}

/// Returns whether an agent counts for the floors of its skills: at work, by an observation not older than
/// `stale_after`.
pub fn is_available(record: &AgentRecord, stale_after: Duration, now: UtcMicros) -> bool {
    let is_fresh = record.last_observed_at().is_some_and(|observed_at| now.since(observed_at) <= stale_after);
    is_fresh && record.observed().is_some_and(|observed| observed.state.is_working())
}

/// Returns the staffing of every skill that some agent has. Agents about to leave work (`is_leaving`) do not count as
/// available.
pub fn staffing_by_skill(
    roster: &Roster,
    stale_after: Duration,
    now: UtcMicros,
    is_leaving: impl Fn(&AgentRecord) -> bool,
) -> BTreeMap<SkillId, StaffingCount> {
    let mut staffing: BTreeMap<SkillId, StaffingCount> = BTreeMap::new();
    for record in roster.agents().iter().filter(|record| !record.skills().is_empty()) {
        let available = is_available(record, stale_after, now) && !is_leaving(record);
        for skill in record.skills().iter() {
            let count = staffing.entry(skill.id.clone()).or_default();
            count.agents += 1;
            count.available += u32::from(available);
        }
    }
    staffing
}
