//! What an import removes: nothing of agents that it does not name, unless it is the complete schedule of its days.

use shiftkeeper::domain::schedules::schedule::{AgentPlan, PlanAt};
use shiftkeeper::domain::time::UtcMicros;
use shiftkeeper::store::Reader;

use crate::harness::{Scenario, Setup, agent_ids, schedule};

/// Who has a shift on the afternoon of the start, who is off, and whom no schedule covers.
async fn planned_agents(scenario: &Scenario, reader: &Reader) -> Vec<(String, &'static str)> {
    let at: UtcMicros = "2026-10-26T15:00:00Z".parse().expect("an instant");
    let plans = reader.plans(&scenario.tenant, (at, at.offset(1)), None).await.expect("readable");
    let of = |plan: shiftkeeper::store::StoredPlan| {
        let agent = plan.agent.to_string();
        let planned = match AgentPlan::new(plan.shifts, plan.coverage).at(at) {
            PlanAt::In(_) => "in",
            PlanAt::Off => "off",
            PlanAt::NotCovered => "uncovered",
        };
        (agent, planned)
    };
    plans.into_iter().map(of).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_complete_schedule_removes_the_shifts_of_agents_that_it_omits() {
    let scenario = Scenario::start_team(Setup::team(4)).await;
    let reader = scenario.reader().await;
    let three_and = |last| {
        let planned = agent_ids(4).into_iter().zip(["in", "in", "in", last]);
        planned.collect::<Vec<_>>()
    };
    let (three, four) = (schedule(agent_ids(3), &[]), schedule(agent_ids(4), &[]));

    let part = scenario.import(&three).await;
    assert!(part.changed && part.others_off == 0, "{part:?}");
    assert_eq!(planned_agents(&scenario, &reader).await, three_and("in"));

    let whole = scenario.import_as(&three, true).await;
    assert!(whole.changed, "the same content, and more is meant by it: {whole:?}");
    assert_eq!(whole.others_off, 1);
    assert_eq!(planned_agents(&scenario, &reader).await, three_and("off"));
    let again = scenario.import_as(&three, true).await;
    assert_eq!((again.changed, again.version), (false, whole.version), "{again:?}");

    // Agents that no schedule covers on these days do not count as left out.
    let moved = four.replace("2026-10-26", "2026-11-26");
    let later = scenario.import_as(&moved, true).await;
    assert_eq!(later.others_off, 0);
    assert_eq!(planned_agents(&scenario, &reader).await, three_and("off"));
    reader.close().await;
    scenario.assert_nothing_left_over().await;
}
