//! `[tenants.staffing]`: the queues whose required staff is compared with the agents of a team.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::config::shared::diagnostic::ValueFault;
use crate::config::shared::kind;
use crate::config::shared::reader::{Section, reloadable};
use crate::domain::ids::TeamName;
use crate::domain::schedules::staffing::TeamQueues;

pub(in crate::config) fn read(section: &mut Section<'_, '_>) -> TeamQueues {
    let teams = section.value(
        reloadable(
            "team_queues",
            "The queues of each team, as imported files of required staff name them, as in { \"Team A\" = [\"Support\", \
             \"Sales\"] }. A queue belongs to one team at most. The required staff of a team that is not listed is not shown.",
        ),
        &kind::map(kind::text(), kind::list(kind::text())),
        BTreeMap::new(),
    );
    let mut known: BTreeMap<Arc<str>, TeamName> = BTreeMap::new();
    let mut team_queues = BTreeMap::new();
    for (team, queues) in teams {
        let team = TeamName::from(team);
        let queues: BTreeSet<Arc<str>> = queues.into_iter().map(Arc::from).collect();
        for queue in &queues {
            if let Some(other) = known.insert(queue.clone(), team.clone()) {
                let fault =
                    format!("the queue \"{queue}\" belongs to both {other} and {team}; name it for one of them");
                section.add_diagnostic("team_queues", ValueFault::new(fault));
            }
        }
        team_queues.insert(team, queues);
    }
    TeamQueues(team_queues)
}
