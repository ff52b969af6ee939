//! The agents required in the demo: a share of those on shift, for one queue of each team.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::Context as _;

use crate::domain::schedules::import::{ImportOptions, read_schedule};
use crate::domain::schedules::schedule::{AgentPlan, Shift};
use crate::domain::schedules::staffing::{AgentCount, StaffingSums};
use crate::domain::time::UtcMicros;

/// The number of agents required for a thousand on shift. The others are on a break or do something else, so there are
/// too few where the breaks of many coincide.
const REQUIRED_PER_THOUSAND: i64 = 850;

/// The name of the file.
pub(super) const NAME: &str = "required.csv";

/// Returns the configuration of the queues of each team.
pub(super) fn team_queues(schedule: &[u8]) -> anyhow::Result<String> {
    let teams = sums(schedule, (UtcMicros::EPOCH, UtcMicros::EPOCH))?;
    let queues: Vec<String> = teams.keys().map(|team| format!("{team:?} = [{:?}]", queue(team))).collect();
    Ok(format!("[tenants.staffing]\nteam_queues = {{ {} }}\n", queues.join(", ")))
}

/// Returns a file of the agents required on the days from one instant to another.
pub(super) fn required_agents(schedule: &[u8], span: (UtcMicros, UtcMicros)) -> anyhow::Result<String> {
    let mut csv = "start,minutes,queue,required\n".to_owned();
    for (team, on_shift) in sums(schedule, span)? {
        for interval in on_shift.intervals(span.0) {
            let on_shift = interval.planned.unwrap_or_default().thousandths();
            let required = AgentCount::from_thousandths(on_shift * REQUIRED_PER_THOUSAND / 1000);
            let _ = writeln!(csv, "{},15,{},{required:.1}", interval.start, queue(&team));
        }
    }
    Ok(csv)
}

/// Returns the name of a team's queue.
fn queue(team: &str) -> String {
    team.replace("Team", "Support")
}

/// Returns the agents on shift by team.
fn sums(schedule: &[u8], span: (UtcMicros, UtcMicros)) -> anyhow::Result<BTreeMap<String, StaffingSums>> {
    let draft = read_schedule("schedule.csv", schedule, &ImportOptions::default())
        .context("the sample schedule could not be read")?;
    let mut teams: BTreeMap<String, StaffingSums> = BTreeMap::new();
    for agent in draft.agents {
        let whole = |shift: &Shift| Shift { activities: Vec::new(), ..shift.clone() };
        let plan = AgentPlan::new(agent.shifts.iter().map(whole).collect(), vec![agent.coverage]);
        let team = teams.entry(agent.team.as_str().to_owned()).or_insert_with(|| StaffingSums::new(span));
        team.add_plan(&plan);
    }
    Ok(teams)
}
