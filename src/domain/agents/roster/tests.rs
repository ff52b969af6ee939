//! The roster keeps what it derives in step with what it derives it from.

use std::time::Duration;

use super::*;
use crate::domain::agents::agent::ObservationSource;
use crate::domain::agents::state::AgentState;
use crate::domain::schedules::schedule::{Activity, Coverage, Shift, ShiftActivity};

fn at(minute: i64) -> UtcMicros {
    UtcMicros::from_micros(minute * 60_000_000)
}

fn agent(id: &str, team: Option<&str>, zone: Option<&str>) -> Agent {
    Agent { id: id.into(), name: None, team: team.map(TeamName::from), zone: zone.map(Arc::from) }
}

fn plan() -> Arc<AgentPlan> {
    let meeting = ShiftActivity { activity: Activity::Meeting, start: at(150), end: at(180), mandatory: false };
    let shift = Shift { start: at(100), end: at(500), activities: vec![meeting] };
    Arc::new(AgentPlan::new(vec![shift], vec![Coverage { start: at(0), end: at(1440) }]))
}

fn observed_state(state: AgentState, minute: i64) -> ObservedState {
    ObservedState::new(state, at(minute), ObservationSource::Snapshot)
}

fn roster() -> Roster {
    Roster::new(TenantId::new("acme"))
}

#[test]
fn agents_keep_their_places_until_one_is_removed() {
    let mut roster = roster();
    for id in ["a", "b", "c"] {
        roster.upsert(agent(id, Some("Blue"), None));
    }
    let b = roster.find("b").expect("there");
    roster.record_observation(b, observed_state(AgentState::Ready, 1), at(1));
    assert_eq!(roster.upsert(agent("b", Some("Red"), None)), b, "the same agent, another team");
    assert_eq!(
        roster.agent("b").and_then(AgentRecord::observed),
        Some(&observed_state(AgentState::Ready, 1)),
        "what is known stays"
    );
    assert_eq!(roster.agent("b").map(AgentRecord::team), roster.team(&"Red".into()));
    assert_eq!(roster.team_count(), 3);
    assert_eq!(roster.remove("a").map(|record| record.id().clone()), Some("a".into()));
    assert_eq!(roster.remove("a").map(|record| record.id().clone()), None);
    for id in ["b", "c"] {
        assert_eq!(roster.agent(id).map(|record| record.id().as_str()), Some(id));
    }
    assert_eq!(roster.len(), 2);
}

#[test]
fn the_place_in_the_plan_is_right_whether_or_not_the_roster_was_advanced() {
    let mut roster = roster();
    let a = roster.upsert(agent("a", None, None));
    roster.set_plan(a, plan());
    let plan = plan();
    for minute in [120, 99, 160, 700, 100, 1440, 0] {
        let lagging = roster.get(a).expect("there").plan_position(at(minute));
        roster.advance(at(minute));
        let advanced = roster.get(a).expect("there").plan_position(at(minute));
        assert_eq!((lagging, advanced), (PlanPosition::at(&plan, at(minute)), lagging), "minute {minute}");
    }
    roster.advance(at(120));
    roster.set_plan(a, Arc::new(AgentPlan::default()));
    assert_eq!(
        roster.get(a).expect("there").plan_position(at(120)).kind(),
        PlanKind::Uncovered,
        "a new plan counts at once"
    );
}

#[test]
fn a_long_absence_is_a_rest_and_a_meeting_is_not() {
    for (state, from, until, expected, case) in [
        (AgentState::NotReady, 110, 125, Some(at(125)), "a break"),
        (AgentState::Paused, 110, 115, Some(at(115)), "just long enough"),
        (AgentState::Paused, 110, 114, None, "too short"),
        (AgentState::NotReady, 155, 180, None, "the meeting"),
        (AgentState::OnContact, 110, 125, None, "not away"),
    ] {
        let mut roster = roster();
        let a = roster.upsert(agent("a", None, None));
        roster.set_plan(a, plan());
        roster.record_observation(a, observed_state(state, from), at(from));
        roster.record_observation(a, observed_state(AgentState::Ready, until), at(until));
        assert_eq!(roster.get(a).and_then(AgentRecord::last_rest_ended_at), expected, "{case}");
    }
}

#[test]
fn an_older_observation_does_not_replace_the_newest() {
    let mut roster = roster();
    let a = roster.upsert(agent("a", None, None));
    roster.record_observation(a, observed_state(AgentState::Ready, 5), at(9));
    roster.mark_observed(a, at(7));
    assert_eq!(roster.get(a).and_then(AgentRecord::last_observed_at), Some(at(9)));
    roster.mark_observed(a, at(11));
    assert_eq!(roster.get(a).and_then(AgentRecord::last_observed_at), Some(at(11)));
}

#[test]
fn the_platform_s_answers_count_until_they_are_too_old() {
    let mut roster = roster();
    let a = roster.upsert(agent("a", None, None));
    let facts = PlatformPlan { scheduled: Some(false), break_required: None };
    roster.set_platform_plan(a, Some(CachedPlatformPlan { plan: facts, valid_until: at(15) }));
    let record = roster.get(a).expect("there");
    assert_eq!(record.platform_plan(at(15).offset(-1)), facts);
    assert_eq!(record.platform_plan(at(15)), PlatformPlan::default());
}

#[test]
fn local_offsets_follow_the_clock_changes_and_unknown_zones_have_none() {
    let mut roster = roster();
    for (id, zone) in
        [("a", Some("Europe/Berlin")), ("b", Some("Mars/Base")), ("c", None), ("d", Some("Europe/Berlin"))]
    {
        roster.upsert(agent(id, None, zone));
    }
    let winter: UtcMicros = "2026-10-25T01:00:00Z".parse().expect("valid");
    for (now, expected) in [(winter - Duration::from_secs(1), 7200), (winter, 3600)] {
        let offsets = roster.utc_offsets(now);
        let actual: Vec<_> = roster.agents().iter().map(|record| Roster::utc_offset_of(record, &offsets)).collect();
        assert_eq!(actual, [Some(expected), None, None, Some(expected)]);
    }
}

#[test]
fn agents_in_a_shift_or_logged_in_are_at_work() {
    let mut roster = roster();
    let a = roster.upsert(agent("a", None, None));
    assert!(!roster.get(a).expect("there").is_at_work(PlanKind::Off));
    assert!(roster.get(a).expect("there").is_at_work(PlanKind::Lunch));
    for (state, expected) in [(AgentState::Ready, true), (AgentState::LoggedOut, false)] {
        roster.record_observation(a, observed_state(state, 1), at(1));
        assert_eq!(roster.get(a).expect("there").is_at_work(PlanKind::Off), expected);
    }
}
