//! The arithmetic of staffing, by examples and by properties.

use proptest::prelude::*;

use super::*;
use crate::domain::schedules::schedule::{Coverage, Shift, ShiftActivity};

fn at(minute: i64) -> UtcMicros {
    UtcMicros::from_micros(minute * 60_000_000)
}

fn agents(thousandths: i64) -> AgentCount {
    AgentCount::from_thousandths(thousandths)
}

fn plan(start: i64, end: i64, pauses: &[(i64, i64)]) -> AgentPlan {
    let pause = |(start, end): &(i64, i64)| ShiftActivity {
        activity: Activity::Break,
        start: at(*start),
        end: at(*end),
        mandatory: false,
    };
    let shift = Shift { start: at(start), end: at(end), activities: pauses.iter().map(pause).collect() };
    AgentPlan::new(vec![shift], vec![Coverage { start: at(0), end: at(240) }])
}

fn state(state: AgentState, start: i64, end: i64) -> StateInterval {
    StateInterval { state, reason: None, start: at(start), end: at(end) }
}

fn required(start: i64, minutes: u16, thousandths: i64) -> RequiredStaffing {
    RequiredStaffing { start: at(start), minutes, queue: "Support".into(), agents: agents(thousandths) }
}

#[test]
fn whoever_takes_no_contacts_is_not_present() {
    let intervals = |of: AgentState| {
        let mut sums = StaffingSums::new((at(0), at(15)));
        sums.add_states(&[state(of, 0, 15)]);
        sums.intervals(at(15)).pop().map(|one| (one.present, one.unknown))
    };
    let counts = |present, unknown| Some((Some(agents(present)), Some(agents(unknown))));
    for at_work in [AgentState::Ready, AgentState::OnContact, AgentState::AfterContactWork] {
        assert_eq!(intervals(at_work.clone()), counts(1000, 0), "{at_work:?}");
    }
    for away in [AgentState::NotReady, AgentState::Paused, AgentState::Idle, AgentState::LoggedOut] {
        assert_eq!(intervals(away.clone()), counts(0, 0), "{away:?}");
    }
    assert_eq!(intervals(AgentState::unobserved()), counts(0, 1000));
}

#[test]
fn an_agent_counts_by_the_share_of_the_quarter_hour() {
    let mut sums = StaffingSums::new((at(0), at(60)));
    // On a break from 20 to 26, logged in at 5, on a contact from 10 to 18, and not observed from 33 on.
    sums.add_plan(&plan(0, 60, &[(20, 26)]));
    sums.add_plan(&plan(3, 60, &[]));
    sums.add_states(&[
        state(AgentState::LoggedOut, 0, 5),
        state(AgentState::Ready, 5, 10),
        state(AgentState::OnContact, 10, 18),
        state(AgentState::Ready, 18, 33),
    ]);
    for row in [required(0, 30, 1500), required(30, 15, 500), required(30, 15, 500)] {
        sums.add_required(&row);
    }
    let intervals = sums.intervals(at(36));
    let column = |pick: fn(&StaffingInterval) -> Option<AgentCount>| intervals.iter().map(pick).collect::<Vec<_>>();
    let all = |values: [i64; 4]| values.map(|value| Some(agents(value))).to_vec();
    assert_eq!(column(|one| one.planned), all([1800, 1600, 2000, 2000]));
    assert_eq!(column(|one| one.present)[..3], all([667, 1000, 500, 0])[..3], "the third so far: 3 of 6 minutes");
    assert_eq!(column(|one| one.on_contact)[..3], all([333, 200, 0, 0])[..3]);
    assert_eq!(column(|one| one.unknown)[..3], all([0, 0, 500, 0])[..3]);
    assert_eq!(column(|one| one.required), [Some(agents(1500)), Some(agents(1500)), Some(agents(1000)), None]);
    assert_eq!(column(|one| one.net), [Some(agents(-833)), Some(agents(-500)), None, None]);
    let last = &intervals[3];
    assert_eq!((last.present, last.unknown, last.status), (None, None, None), "the future");
    let statuses: Vec<_> = intervals[..3].iter().map(|one| one.status).collect();
    let short = Some(StaffingStatus::Short);
    assert_eq!(statuses, [short, short, Some(StaffingStatus::Unknown)], "the unknown agent may be there");
}

#[test]
fn the_future_is_compared_with_the_plan_and_a_time_without_a_schedule_is_unknown() {
    let mut sums = StaffingSums::new((at(0), at(300)));
    sums.add_plan(&plan(0, 60, &[]));
    for start in [0, 60, 240] {
        sums.add_required(&required(start, 15, 1000));
    }
    let intervals = sums.intervals(at(0));
    let of = |index: usize| (intervals[index].planned, intervals[index].net, intervals[index].status);
    assert_eq!(of(0), (Some(agents(1000)), Some(agents(0)), Some(StaffingStatus::Met)));
    assert_eq!(of(4), (Some(agents(0)), Some(agents(-1000)), Some(StaffingStatus::Short)), "everybody is off");
    assert_eq!(of(16), (None, None, Some(StaffingStatus::Unknown)), "no schedule covers it");
}

#[test]
fn a_shortfall_is_a_quarter_hour_that_gets_worse_and_lacks_agents() {
    let of = |plans: &[AgentPlan]| {
        let mut sums = StaffingSums::new((at(0), at(60)));
        for plan in plans {
            sums.add_plan(plan);
        }
        for (start, thousandths) in [(0, 1000), (15, 2000), (30, 2000)] {
            sums.add_required(&required(start, 15, thousandths));
        }
        sums.intervals(at(-60))
    };
    let before = of(&[plan(0, 60, &[(30, 45)]), plan(0, 60, &[])]);
    let after = of(&[plan(0, 60, &[(0, 30)]), plan(0, 60, &[])]);
    let found: Vec<_> = shortfalls(&before, &after, None, None).collect();
    let expected = StaffingShortfall {
        start: at(15),
        end: at(30),
        team: None,
        skill: None,
        required: agents(2000),
        before: agents(0),
        after: agents(-1000),
    };
    assert_eq!(found, [expected], "at 0 one agent is enough, and from 30 on it gets better");
}

#[test]
fn a_number_of_agents_is_a_decimal_number() {
    for (thousandths, text) in [(12_000, "12.0"), (12_500, "12.5"), (-250, "-0.25"), (1, "0.001")] {
        let count = agents(thousandths);
        assert_eq!(serde_json::to_string(&count).expect("a number"), text);
        assert_eq!(serde_json::from_str::<AgentCount>(text).expect("a number"), count);
        assert_eq!(count.to_string(), text.trim_end_matches(".0"));
    }
    assert_eq!(format!("{:.1}", agents(1234)), "1.2");
}

prop_compose! {
    fn edges()(cuts in prop::collection::btree_set(-30_i64..200, 2..14)) -> Vec<i64> {
        cuts.into_iter().collect()
    }
}

proptest! {
    #[test]
    fn no_minute_of_a_plan_is_lost_or_counted_twice(plans in prop::collection::vec(edges(), 1..6)) {
        let mut sums = StaffingSums::new((at(0), at(180)));
        let mut minutes = 0;
        for edges in &plans {
            let (first, last) = (edges[0], edges[edges.len() - 1]);
            let pauses: Vec<_> = edges[1..edges.len() - 1].chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
            sums.add_plan(&plan(first, last, &pauses));
            let is_work = |minute: &i64| !pauses.iter().any(|(start, end)| start <= minute && minute < end);
            minutes += (first.max(0)..last.min(180)).filter(is_work).count();
        }
        let planned: i64 = sums.intervals(at(0)).iter().filter_map(|one| one.planned).map(AgentCount::thousandths).sum();
        // Each of twelve quarter hours is rounded to a thousandth.
        let exact = i64::try_from(minutes).expect("small") * 1000 / 15;
        prop_assert!((planned - exact).abs() <= 12, "{planned} {exact}");
    }

    #[test]
    fn every_agent_is_present_logged_out_or_unknown(
        agents_edges in prop::collection::vec(edges(), 1..6),
        now in 1_i64..180,
        thousandths in 0_i64..6000,
    ) {
        let states = [AgentState::Ready, AgentState::LoggedOut, AgentState::OnContact, AgentState::unobserved()];
        let mut sums = StaffingSums::new((at(0), at(180)));
        sums.add_required(&required(0, 60, thousandths));
        for edges in &agents_edges {
            let known = edges.windows(2).zip(states.iter().cycle()).filter(|(pair, _)| pair[0] < now);
            let intervals: Vec<_> =
                known.map(|(pair, kind)| state(kind.clone(), pair[0], pair[1].min(now))).collect();
            sums.add_states(&intervals);
        }
        let most = i64::try_from(agents_edges.len()).expect("small") * 1000;
        for interval in sums.intervals(at(now)) {
            let is_past = interval.start < at(now);
            prop_assert_eq!(interval.present.is_some(), is_past);
            let of = |count: Option<AgentCount>| count.unwrap_or_default().thousandths();
            let (present, unknown) = (of(interval.present), of(interval.unknown));
            prop_assert!(0 <= of(interval.on_contact) && of(interval.on_contact) <= present);
            prop_assert!(0 <= unknown && present + unknown <= most + 1, "{present} {unknown}");
            if let (true, Some(required)) = (is_past, interval.required) {
                let expected = if present >= required.thousandths() { StaffingStatus::Met }
                    else if present + unknown < required.thousandths() { StaffingStatus::Short }
                    else { StaffingStatus::Unknown };
                prop_assert_eq!(interval.status, Some(expected));
                let net = (expected != StaffingStatus::Unknown).then(|| agents(present - required.thousandths()));
                prop_assert_eq!(interval.net, net);
            }
        }
    }

    #[test]
    fn required_agents_add_up_over_queues_whatever_the_length_of_their_intervals(
        rows in prop::collection::vec((0_usize..12, prop::sample::select(vec![15_u16, 30, 60]), 0_i64..50_000), 0..20),
    ) {
        let mut sums = StaffingSums::new((at(0), at(180)));
        let mut expected = [None::<i64>; 12];
        for (quarter, minutes, thousandths) in rows {
            sums.add_required(&required(i64::try_from(quarter).expect("small") * 15, minutes, thousandths));
            for one in expected.iter_mut().skip(quarter).take(usize::from(minutes / 15)) {
                *one = Some(one.unwrap_or_default() + thousandths);
            }
        }
        let found: Vec<_> = sums.intervals(at(0)).iter().map(|one| one.required.map(AgentCount::thousandths)).collect();
        prop_assert_eq!(found, expected);
    }
}
