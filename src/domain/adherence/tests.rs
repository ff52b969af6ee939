//! Boundaries of tolerance, states per activity, and what is no verdict.

use super::*;
use crate::domain::agents::agent::ObservationSource;
use crate::domain::schedules::schedule::Segment;

fn at(minute: i64) -> UtcMicros {
    UtcMicros::from_micros(minute * 60_000_000)
}

fn observed_state(state: AgentState, entered_at: UtcMicros) -> ObservedState {
    ObservedState::new(state, entered_at, ObservationSource::Snapshot)
}

/// The verdict on an agent who was just observed and for whom `activity` is planned since minute 60.
fn judge(
    settings: &AdherenceSettings,
    activity: &Activity,
    state: AgentState,
    entered: UtcMicros,
    now: UtcMicros,
) -> Verdict {
    let (start, end) = (at(60), at(120));
    let segment = Segment { activity: activity.clone(), start, end, mandatory: false, shift: 0 };
    settings.judge(PlanAt::In(&segment), Some(start), &observed_state(state, entered), now).verdict
}

#[test]
fn a_deviation_counts_once_it_has_lasted_longer_than_the_tolerance() {
    let settings = AdherenceSettings::default();
    // Entered within the activity, and before it: the tolerance starts with whichever was later.
    for (entered, edge) in [(at(70), at(72)), (at(10), at(62)), (at(60), at(62))] {
        for (micros, expected) in [(-1, Verdict::In), (0, Verdict::In), (1, Verdict::Out)] {
            let verdict = judge(&settings, &Activity::Work, AgentState::Paused, entered, edge.offset(micros));
            assert_eq!(verdict, expected, "entered {entered}, {micros} µs from the tolerance's end");
        }
    }
}

#[test]
fn every_activity_allows_its_states_and_no_others() {
    use AgentState::{AfterContactWork, Idle, LoggedOut, NotReady, OnContact, Paused, Ready};
    let settings = AdherenceSettings::default();
    let other = || Activity::Other("project".into());
    let (working, away) = (Verdict::In, Verdict::Out);
    for (state, at_work, at_rest, in_meeting) in [
        (Ready, working, away, away),
        (OnContact, working, Verdict::Neutral, Verdict::Neutral),
        (AfterContactWork, working, Verdict::Neutral, Verdict::Neutral),
        (NotReady, away, Verdict::In, Verdict::In),
        (Paused, away, Verdict::In, Verdict::In),
        (Idle, away, Verdict::In, Verdict::In),
        (LoggedOut, away, Verdict::In, away),
    ] {
        for (activity, expected) in [
            (Activity::Work, at_work),
            (Activity::Break, at_rest),
            (Activity::Lunch, at_rest),
            (Activity::Meeting, in_meeting),
            (Activity::Training, in_meeting),
            (other(), in_meeting),
        ] {
            let verdict = judge(&settings, &activity, state.clone(), at(50), at(100));
            assert_eq!(verdict, expected, "{state} during {activity}");
        }
    }
}

#[test]
fn without_shift_schedule_observation_or_known_state_there_is_no_in_or_out() {
    let settings = AdherenceSettings::default();
    let paused = observed_state(AgentState::Paused, at(10));
    let stale_after = Duration::from_secs(30);
    let judge = |kind, observed, observed_at| {
        let planned = CurrentPlan { kind, since: Some(at(60)), activity: || None };
        settings.judge_observation(planned, (observed, observed_at), stale_after, at(100))
    };
    let live = |verdict, since| CurrentVerdict { verdict, since };
    let fresh = Some(at(100) - stale_after);
    assert_eq!(judge(PlanKind::Off, Some(&paused), fresh), live(Verdict::Unscheduled, Some(at(60))));
    assert_eq!(judge(PlanKind::Uncovered, Some(&paused), fresh), live(Verdict::Unknown, Some(at(60))));
    assert_eq!(judge(PlanKind::Work, Some(&paused), fresh), live(Verdict::Out, Some(at(60))));
    assert_eq!(judge(PlanKind::Work, None, None), live(Verdict::Unknown, None));
    let stale = at(100).offset(-30_000_001);
    assert_eq!(judge(PlanKind::Work, Some(&paused), Some(stale)), live(Verdict::Unknown, Some(at(100).offset(-1))));
    let unknown_state = observed_state(AgentState::Unknown("coffee".into()), at(70));
    assert_eq!(judge(PlanKind::Work, Some(&unknown_state), fresh), live(Verdict::Unknown, Some(at(70))));
}

#[test]
fn a_centre_sets_its_own_states_and_tolerances() {
    let settings: AdherenceSettings = toml::from_str(
        r#"
        tolerance = "5m"
        [activities.lunch]
        allowed = ["LoggedOut"]
        tolerance = "1m"
        [activities.Project]
        allowed = ["Ready", "not_ready"]
        "#,
    )
    .expect("valid settings");
    assert_eq!(settings.allowance(&Activity::Work).tolerance, Duration::from_mins(5));
    assert_eq!(settings.allowance(&Activity::Lunch).tolerance, Duration::from_mins(1));
    assert_eq!(judge(&settings, &Activity::Lunch, AgentState::Paused, at(60), at(62)), Verdict::Out);
    let project = Activity::Other("project".into());
    assert_eq!(judge(&settings, &project, AgentState::Ready, at(60), at(100)), Verdict::In);
    assert_eq!(settings.allowance(&project).tolerance, Duration::from_mins(5));
    assert_eq!(settings.allowance(&Activity::Other("drill".into())), settings.allowance(&Activity::Other("x".into())));
}

#[test]
fn a_state_or_span_that_cannot_be_read_is_refused() {
    for (text, expected) in [
        ("tolerance = \"soon\"", "span of time"),
        ("[activities.work]\nallowed = [\"Reddy\"]", "not a state"),
        ("[activities.work]\ntolerance = \"-1m\"", "negative"),
        ("tolerances = \"1m\"", "unknown field"),
    ] {
        let message = toml::from_str::<AdherenceSettings>(text).expect_err(text).to_string();
        assert!(message.contains(expected), "{text}: {message}");
    }
}
