//! Previews of a small floor at noon: shift 09:00 to 17:00, mandatory lunch 12:30 to 13:00.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use uuid::Uuid;

use super::cost_estimate::{BudgetSlots, CallLoad, estimate_cost};
use super::*;
use crate::domain::adherence::{AdherenceSettings, Verdict};
use crate::domain::agents::agent::{Agent, ObservationSource, ObservedState};
use crate::domain::agents::roster::{AgentIndex, AgentRecord, Roster};
use crate::domain::agents::skill::Skill;
use crate::domain::changes::policy::UnscheduledPolicy;
use crate::domain::changes::priority::Priority;
use crate::domain::schedules::schedule::{Activity, AgentPlan, Coverage, Shift, ShiftActivity};
use crate::domain::time::UtcMicros;

fn at(time: &str) -> UtcMicros {
    format!("2026-11-23T{time}:00Z").parse().expect("a time of day")
}

fn observed_state(state: &AgentState) -> ObservedState {
    ObservedState::new(state.clone(), at("11:00"), ObservationSource::Snapshot)
}

fn plan() -> Arc<AgentPlan> {
    let lunch = ShiftActivity { activity: Activity::Lunch, start: at("12:30"), end: at("13:00"), mandatory: true };
    let shift = Shift { start: at("09:00"), end: at("17:00"), activities: vec![lunch] };
    Arc::new(AgentPlan::new(vec![shift], vec![Coverage { start: at("00:00"), end: at("23:00") }]))
}

/// A floor whose agents were all just seen.
struct PreviewFixture {
    roster: Roster,
    now: UtcMicros,
    leaving: Vec<AgentId>,
    waiting: Vec<(AgentId, Priority)>,
}

impl PreviewFixture {
    fn at(now: &str) -> Self {
        let roster = Roster::new(TenantId::new("acme"));
        Self { roster, now: at(now), leaving: Vec::new(), waiting: Vec::new() }
    }

    fn add(&mut self, id: &str, team: &str, state: &AgentState) -> AgentIndex {
        let agent =
            Agent { id: id.into(), name: Some(format!("Name of {id}").into()), team: Some(team.into()), zone: None };
        let index = self.roster.upsert(agent);
        self.roster.set_plan(index, plan());
        self.roster.record_observation(index, observed_state(state), self.now);
        index
    }

    fn set_skills(&mut self, index: AgentIndex, skills: &[(&str, Option<u32>)]) {
        let skill = |(id, floor): &(&str, Option<u32>)| Arc::new(Skill { id: (*id).into(), name: None, floor: *floor });
        self.roster.set_skills(index, skills.iter().map(skill).collect());
    }

    fn preview(&self, request: &ChangeSetRequest) -> Preview {
        let is_leaving = |slot: &AgentRecord| self.leaving.contains(slot.id());
        let waiting_change =
            |slot: &AgentRecord| self.waiting.iter().find(|(id, _)| id == slot.id()).map(|(_, class)| *class);
        let policy =
            PreviewPolicy { unscheduled_policy: UnscheduledPolicy::Ready, stale_after: Duration::from_secs(30) };
        let (roster, adherence, now) = (&self.roster, &AdherenceSettings::default(), self.now);
        preview(
            PreviewInput { roster, is_leaving: &is_leaving, waiting_change: &waiting_change, policy, adherence, now },
            request,
        )
    }
}

fn change_request(agents: &[&str], to: &AgentState) -> ChangeSetRequest {
    ChangeSetRequest {
        agents: agents.iter().map(|agent| AgentChange::new((*agent).into(), to.clone(), None)).collect(),
        on_contact: OnContact::After,
        urgent: false,
        even_if_in_state: false,
        below_floor_reason: None,
        teams: None,
    }
}

fn outcomes(preview: &Preview) -> Vec<PreviewOutcome> {
    preview.agents.iter().map(|agent| agent.outcome).collect()
}

#[test]
fn every_agent_gets_what_would_happen_or_why_nothing_would() {
    use AgentState::{LoggedOut, NotReady, OnContact as Busy, Ready};
    let mut fixture = PreviewFixture::at("12:00");
    fixture.add("ready", "Blue", &Ready);
    fixture.add("there", "Blue", &NotReady);
    fixture.add("busy", "Blue", &Busy);
    fixture.add("away", "Blue", &LoggedOut);
    fixture.add("gone", "Blue", &AgentState::unobserved());
    fixture.roster.upsert(Agent { id: "never".into(), name: None, team: None, zone: None });
    let old = fixture.add("old", "Blue", &Ready);
    fixture.add("resting", "Blue", &Ready);
    fixture.waiting.push(("resting".into(), Priority::MandatoryBreak));
    fixture.add("hurried", "Blue", &Ready);
    fixture.waiting.push(("hurried".into(), Priority::Urgent));
    fixture.add("other", "Red", &Ready);
    // An older observation does not replace a newer one, so this agent is added again.
    let agent = fixture.roster.remove("old").expect("there").agent().clone();
    let _ = old;
    let old = fixture.roster.upsert(agent);
    fixture.roster.set_plan(old, plan());
    fixture.roster.record_observation(old, observed_state(&Ready), at("11:59"));
    let everybody = ["ready", "there", "busy", "away", "gone", "never", "old", "resting", "hurried", "other", "nobody"];
    let mut request = change_request(&everybody, &NotReady);
    request.teams = Some([TeamName::new("Blue")].into());
    let preview = fixture.preview(&request);
    let expected = [
        PreviewOutcome::Change,
        PreviewOutcome::AlreadyThere,
        PreviewOutcome::AfterContact,
        PreviewOutcome::LoggedOut,
        PreviewOutcome::Unseen,
        // Of no team.
        PreviewOutcome::UnknownAgent,
        PreviewOutcome::Stale,
        PreviewOutcome::BreakUnderWay,
        PreviewOutcome::UrgentUnderWay,
        PreviewOutcome::UnknownAgent,
        PreviewOutcome::UnknownAgent,
    ];
    assert_eq!(outcomes(&preview), expected);
    assert_eq!((preview.state_changes, preview.questions, preview.includes_teamless), (2, 0, false));
    assert_eq!(preview.agents[6].detail.as_deref(), Some("last seen 1m ago"));
    assert!(preview.agents[9].state.is_none(), "nothing is told of another team's agent");
    let preview_of_all = fixture.preview(&ChangeSetRequest { teams: None, ..request });
    assert_eq!(
        (preview_of_all.agents[5].outcome, preview_of_all.agents[9].outcome),
        (PreviewOutcome::Unseen, PreviewOutcome::Change)
    );
    assert!(preview_of_all.includes_teamless && preview_of_all.teams.len() == 2);
}

#[test]
fn what_is_planned_is_shown_with_how_the_wanted_state_agrees() {
    use AgentState::{NotReady, Ready};
    let comparison = |now: &str, id: &str, excused: bool, to: &AgentState| {
        let mut fixture = PreviewFixture::at(now);
        let index = fixture.add("a", "Blue", &AgentState::Paused);
        if excused {
            fixture.roster.set_exceptions(index, vec![Coverage { start: at("11:00"), end: at("14:00") }]);
        }
        let plan_comparison = fixture.preview(&change_request(&[id], to)).agents.remove(0).plan_comparison;
        plan_comparison.map(|shown| (shown.planned.to_string(), shown.until, shown.resulting_verdict))
    };
    let expected = |planned: &str, until: &str, verdict| Some((planned.to_owned(), Some(at(until)), verdict));
    assert_eq!(comparison("12:00", "a", false, &Ready), expected("work", "12:30", Verdict::In));
    assert_eq!(comparison("12:00", "a", false, &NotReady), expected("work", "12:30", Verdict::Out));
    assert_eq!(comparison("12:00", "a", true, &NotReady), expected("work", "12:30", Verdict::Neutral));
    assert_eq!(
        comparison("12:29", "a", false, &NotReady),
        expected("work", "12:30", Verdict::Out),
        "no tolerance is begun"
    );
    assert_eq!(comparison("12:30", "a", false, &NotReady), expected("lunch", "13:00", Verdict::In));
    assert_eq!(comparison("12:45", "a", false, &Ready), expected("lunch", "13:00", Verdict::Out));
    assert_eq!(comparison("08:00", "a", true, &Ready), expected("off", "09:00", Verdict::Unscheduled));
    assert_eq!(
        comparison("23:30", "a", false, &Ready).map(|(planned, _, verdict)| (planned, verdict)),
        Some(("uncovered".to_owned(), Verdict::Unknown))
    );
    assert_eq!(comparison("12:00", "nobody", false, &Ready), None);
}

#[test]
fn policy_and_the_treatment_of_contacts_decide_who_is_changed() {
    use AgentState::{AfterContactWork, NotReady, Paused, Ready};
    for (time, state, to, on_contact, urgent, expected) in [
        ("12:00", Paused, Ready, OnContact::After, false, PreviewOutcome::Change),
        ("12:40", Paused, Ready, OnContact::After, false, PreviewOutcome::MandatoryBreak),
        ("12:40", Ready, NotReady, OnContact::After, false, PreviewOutcome::Change),
        ("18:00", Paused, Ready, OnContact::After, true, PreviewOutcome::NotScheduled),
        ("18:00", Ready, NotReady, OnContact::After, false, PreviewOutcome::Change),
        ("12:00", AfterContactWork, NotReady, OnContact::Now, false, PreviewOutcome::Change),
        ("12:00", AfterContactWork, NotReady, OnContact::After, false, PreviewOutcome::AfterContact),
        ("12:00", AfterContactWork, NotReady, OnContact::Skip, false, PreviewOutcome::OnContact),
        // No schedule speaks at night: the platform is asked.
        ("23:30", Paused, Ready, OnContact::After, false, PreviewOutcome::Change),
    ] {
        let mut fixture = PreviewFixture::at(time);
        fixture.add("a", "Blue", &state);
        let preview = fixture.preview(&ChangeSetRequest { on_contact, urgent, ..change_request(&["a"], &to) });
        assert_eq!(outcomes(&preview), [expected], "{time} {state} to {to}, {on_contact:?}");
        assert_eq!(preview.questions, if time == "23:30" { 2 } else { 0 });
    }
}

#[test]
fn agents_already_in_the_state_are_left_alone_unless_the_reason_is_requested() {
    use AgentState::{NotReady, Ready};
    let mut fixture = PreviewFixture::at("12:00");
    let index = fixture.add("there", "Blue", &Ready);
    fixture.add("away", "Blue", &NotReady);
    let mut request = change_request(&["there", "away"], &Ready);
    request.agents.iter_mut().for_each(|agent| agent.reason = Some("WORKING".into()));
    let preview = fixture.preview(&request);
    assert_eq!(outcomes(&preview), [PreviewOutcome::AlreadyThere, PreviewOutcome::Change]);
    assert_eq!((preview.state_changes, preview.reason_calls), (1, 0));
    assert_eq!(preview.agents[0].detail.as_deref(), Some(ONLY_REASON_CHANGES));

    let all = ChangeSetRequest { even_if_in_state: true, ..request.clone() };
    let preview = fixture.preview(&all);
    assert_eq!(outcomes(&preview), [PreviewOutcome::ChangeReason, PreviewOutcome::Change]);
    assert_eq!((preview.state_changes, preview.reason_calls), (2, 1));

    let known = ObservedState { reason: Some("WORKING".into()), ..observed_state(&Ready) };
    fixture.roster.record_observation(index, known, fixture.now);
    for request in [&request, &all] {
        let preview = fixture.preview(request);
        assert_eq!(
            outcomes(&preview),
            [PreviewOutcome::AlreadyThere, PreviewOutcome::Change],
            "the reason is there too"
        );
        assert_eq!(preview.agents[0].detail, None);
    }
}

#[test]
fn questions_about_agents_in_the_state_already_are_calls_for_the_reason() {
    let mut fixture = PreviewFixture::at("23:30");
    fixture.add("there", "Blue", &AgentState::Ready);
    let mut request = ChangeSetRequest { even_if_in_state: true, ..change_request(&["there"], &AgentState::Ready) };
    request.agents[0].reason = Some("WORKING".into());
    let preview = fixture.preview(&request);
    assert_eq!(
        (outcomes(&preview), preview.state_changes, preview.questions),
        (vec![PreviewOutcome::ChangeReason], 1, 2)
    );
    assert_eq!(preview.reason_calls, 3);
}

#[test]
fn a_reason_change_is_undone_without_being_requested_again() {
    let mut fixture = PreviewFixture::at("12:00");
    let ours = TransitionId(Uuid::from_u128(7));
    let index = fixture.add("a", "Blue", &AgentState::NotReady);
    let changed_state = ObservedState {
        transition: Some(ours),
        reason: Some("MEETING".into()),
        ..observed_state(&AgentState::NotReady)
    };
    fixture.roster.record_observation(index, changed_state, fixture.now);
    let undo = AgentChange {
        undoes_transition: Some(ours),
        ..AgentChange::new("a".into(), AgentState::NotReady, Some("BREAK".into()))
    };
    let preview =
        fixture.preview(&ChangeSetRequest { agents: vec![undo], ..change_request(&[], &AgentState::NotReady) });
    assert_eq!((outcomes(&preview), preview.reason_calls), (vec![PreviewOutcome::ChangeReason], 1));
}

#[test]
fn an_agent_in_a_newer_state_is_not_undone_and_earlier_exclusions_stay() {
    let mut fixture = PreviewFixture::at("12:00");
    let ours = TransitionId(Uuid::from_u128(7));
    let index = fixture.add("a", "Blue", &AgentState::NotReady);
    let undo = |transition| AgentChange {
        undoes_transition: Some(transition),
        ..AgentChange::new("a".into(), AgentState::Ready, Some("WORKING".into()))
    };
    let request_for =
        |agent_change| ChangeSetRequest { agents: vec![agent_change], ..change_request(&[], &AgentState::Ready) };
    assert_eq!(outcomes(&fixture.preview(&request_for(undo(ours)))), [PreviewOutcome::MovedOn]);
    let changed_state = ObservedState { transition: Some(ours), ..observed_state(&AgentState::NotReady) };
    fixture.roster.record_observation(index, changed_state, fixture.now);
    assert_eq!(outcomes(&fixture.preview(&request_for(undo(ours)))), [PreviewOutcome::Change]);
    let predetermined =
        AgentChange { excluded: Some((PreviewOutcome::NotChanged, Some("refused".into()))), ..undo(ours) };
    let preview = fixture.preview(&request_for(predetermined));
    assert_eq!(
        (outcomes(&preview), preview.agents[0].detail.as_deref()),
        (vec![PreviewOutcome::NotChanged], Some("refused"))
    );
}

#[test]
fn a_skill_does_not_fall_below_its_floor_unless_somebody_says_why() {
    let mut fixture = PreviewFixture::at("12:00");
    for id in ["a", "b", "c", "d"] {
        let index = fixture.add(id, "Blue", &AgentState::Ready);
        fixture.set_skills(index, &[("voice", Some(2)), ("mail", None)]);
    }
    let away = fixture.add("e", "Blue", &AgentState::Paused);
    fixture.set_skills(away, &[("voice", Some(2))]);
    // On the way out already: not available, and no loss.
    fixture.leaving.push("d".into());
    let everybody = ["a", "b", "c", "d", "e"];
    let preview = fixture.preview(&change_request(&everybody, &AgentState::NotReady));
    let expected = [
        PreviewOutcome::Change,
        PreviewOutcome::BelowFloor,
        PreviewOutcome::BelowFloor,
        PreviewOutcome::Change,
        PreviewOutcome::Change,
    ];
    assert_eq!(outcomes(&preview), expected);
    let voice = FloorImpact { skill: "voice".into(), name: None, available: 3, after: 2, floor: 2 };
    assert_eq!(preview.floors, std::slice::from_ref(&voice));
    assert_eq!(preview.agents[1].skills, ["voice".into()]);
    assert_eq!(preview.agents[1].detail.as_deref(), Some("voice would have 1 available, its floor is 2"));
    let anyway = ChangeSetRequest {
        below_floor_reason: Some("fire drill".into()),
        ..change_request(&everybody, &AgentState::NotReady)
    };
    let preview = fixture.preview(&anyway);
    assert!(outcomes(&preview).iter().all(|outcome| outcome.is_change()));
    assert_eq!(preview.floors, [FloorImpact { after: 0, ..voice }]);
}

#[test]
fn the_hash_covers_exactly_what_was_shown() {
    let mut fixture = PreviewFixture::at("12:00");
    fixture.add("a", "Blue", &AgentState::Ready);
    let hash = |fixture: &PreviewFixture, to: &AgentState, urgent: bool| {
        let preview = fixture.preview(&change_request(&["a"], to));
        let tenant = TenantId::new("acme");
        let agents = preview.agents.iter().map(HashedAgent::from).collect();
        let (on_contact, floors) = (OnContact::After, &*preview.floors);
        let hashed = HashedPreview {
            tenant: &tenant,
            to: Some(to),
            reason: None,
            on_contact,
            urgent,
            even_if_in_state: false,
            below_floor: None,
            undoes: None,
            floors,
            agents,
        };
        hashed.hash().expect("plain data")
    };
    let first = hash(&fixture, &AgentState::NotReady, false);
    let mut later = PreviewFixture::at("12:01");
    later.add("a", "Blue", &AgentState::Ready);
    assert_eq!(hash(&later, &AgentState::NotReady, false), first, "a minute later the same is shown");
    assert_ne!(hash(&fixture, &AgentState::NotReady, true), first);
    assert_ne!(hash(&fixture, &AgentState::Paused, false), first);
    fixture.add("a", "Blue", &AgentState::OnContact);
    assert_ne!(hash(&fixture, &AgentState::NotReady, false), first, "the agent took a contact");
}

#[test]
fn a_filter_selects_agents_that_match_all_its_parts() {
    let mut fixture = PreviewFixture::at("12:00");
    for (id, team, state) in
        [("u_1", "Blue", AgentState::Ready), ("u_2", "Blue", AgentState::Paused), ("u_3", "Red", AgentState::Ready)]
    {
        let index = fixture.add(id, team, &state);
        fixture.set_skills(index, if id == "u_3" { &[("voice", None)] } else { &[] });
    }
    let selected_ids = |selection: &SelectionCriteria, teams: Option<&BTreeSet<TeamName>>| {
        let verdict_of = |record: &AgentRecord| if record.id().as_str() == "u_2" { Verdict::Out } else { Verdict::In };
        select_agents(&fixture.roster, teams, selection, verdict_of).iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let all = SelectionCriteria::default();
    let blue = [TeamName::new("Blue")].into();
    assert_eq!(selected_ids(&all, None), ["u_1", "u_2", "u_3"]);
    assert_eq!(selected_ids(&all, Some(&blue)), ["u_1", "u_2"]);
    assert_eq!(
        selected_ids(&SelectionCriteria { states: vec![AgentState::Ready], ..all.clone() }, None),
        ["u_1", "u_3"]
    );
    let both = SelectionCriteria { states: vec![AgentState::Ready], teams: vec!["Blue".into()], ..all.clone() };
    assert_eq!(selected_ids(&both, None), ["u_1"]);
    assert_eq!(selected_ids(&SelectionCriteria { skills: vec!["voice".into()], ..all.clone() }, None), ["u_3"]);
    assert_eq!(selected_ids(&SelectionCriteria { verdicts: vec![Verdict::Out], ..all.clone() }, None), ["u_2"]);
    assert_eq!(selected_ids(&SelectionCriteria { search: Some("OF U_2".into()), ..all }, None), ["u_2"]);
}

fn states() -> impl Strategy<Value = AgentState> {
    prop::sample::select(AgentState::KNOWN.to_vec())
}

proptest! {
    #[test]
    fn floors_hold_and_every_agent_has_one_outcome(
        agents in prop::collection::vec((states(), prop::collection::vec(0_usize..3, 0..3)), 1..40),
        floors in prop::collection::vec(prop::option::of(0_u32..12), 3),
        to in states(),
        anyway in any::<bool>(),
    ) {
        let mut fixture = PreviewFixture::at("12:00");
        let mut ids = Vec::new();
        for (number, (state, skills)) in agents.iter().enumerate() {
            let id = format!("u_{number}");
            let index = fixture.add(&id, "Blue", state);
            let mut skills = skills.clone();
            skills.sort_unstable();
            skills.dedup();
            let names: Vec<(String, Option<u32>)> =
                skills.iter().map(|skill| (format!("s_{skill}"), floors[*skill])).collect();
            let named: Vec<(&str, Option<u32>)> = names.iter().map(|(name, floor)| (&**name, *floor)).collect();
            fixture.set_skills(index, &named);
            ids.push(id);
        }
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let below_floor = anyway.then(|| "why".to_owned());
        let preview = fixture.preview(&ChangeSetRequest { below_floor_reason: below_floor, ..change_request(&ids, &to) });
        prop_assert_eq!(preview.agents.len(), ids.len());
        prop_assert_eq!(preview.state_changes, preview.agents.iter().filter(|agent| agent.outcome.is_change()).count());
        let mut remaining: BTreeMap<SkillId, u32> = BTreeMap::new();
        for agent in &preview.agents {
            let record = fixture.roster.agent(agent.agent.as_str()).expect("known");
            let leaves = agent.outcome.is_change() && !to.is_working();
            if record.observed().is_some_and(|seen| seen.state.is_working()) && !leaves {
                for skill in record.skills().iter() {
                    *remaining.entry(skill.id.clone()).or_default() += 1;
                }
            }
        }
        for floor_impact in &preview.floors {
            prop_assert_eq!(floor_impact.after, remaining.get(&floor_impact.skill).copied().unwrap_or_default());
            prop_assert!(anyway || floor_impact.after >= floor_impact.floor.min(floor_impact.available));
        }
        if anyway || to.is_working() {
            prop_assert!(preview.agents.iter().all(|agent| agent.outcome != PreviewOutcome::BelowFloor));
        }
    }

    #[test]
    fn more_calls_and_fewer_slots_never_finish_earlier(
        free in prop::collection::vec(0_u64..60, 1..30),
        calls in 1_usize..300,
        reserve in 0_usize..4,
        parallel in 1_usize..40,
        polls in prop::option::of(1_u64..60),
    ) {
        let mut free_after: Vec<Duration> = free.into_iter().map(Duration::from_secs).collect();
        free_after.sort_unstable();
        let limit = free_after.len();
        let slots = BudgetSlots {
            free_after,
            window: Duration::from_secs(60),
            reserve,
            reserve_free_within: Duration::from_secs(2),
            response_time: Duration::from_millis(200),
            max_parallel: parallel,
            poll_every: polls.map(Duration::from_secs),
        };
        let finish_after = slots.last_answer_after(calls).expect("some calls");
        prop_assert!(slots.last_answer_after(calls + 1).expect("some calls") >= finish_after);
        // No window holds more than its limit.
        let windows = (calls.saturating_sub(1) / limit) as u64;
        prop_assert!(finish_after >= Duration::from_secs(60 * windows), "{finish_after:?} for {calls} calls of {limit}");
        let fewer = BudgetSlots { free_after: slots.free_after[..limit - limit / 2].to_vec(), ..slots.clone() };
        if fewer.reserve < fewer.free_after.len() && reserve < limit {
            let later = BudgetSlots { free_after: slots.free_after[limit / 2..].to_vec(), ..slots };
            prop_assert!(later.last_answer_after(calls).expect("some calls") >= finish_after);
        }
    }
}

#[test]
fn a_set_of_two_thousand_takes_twenty_windows_after_earlier_changes() {
    let slots = BudgetSlots {
        free_after: vec![Duration::ZERO; 100],
        window: Duration::from_secs(60),
        reserve: 2,
        reserve_free_within: Duration::from_secs(2),
        response_time: Duration::from_millis(100),
        max_parallel: 24,
        poll_every: None,
    };
    let load = CallLoad {
        state_changes: 2000,
        questions: 0,
        questions_per_minute: 20,
        calls_ahead: 0,
        breaks: Vec::new(),
        retry_percent: 20,
        min_retries_per_minute: 10,
    };
    let now = at("12:00");
    let seconds_to_finish =
        |load: &CallLoad| estimate_cost(&slots, load, now).finish_at.expect("something is sent").since(now).as_secs();
    assert!((1200..1230).contains(&seconds_to_finish(&load)), "{}", seconds_to_finish(&load));
    assert!(seconds_to_finish(&CallLoad { calls_ahead: 500, ..load.clone() }) >= seconds_to_finish(&load) + 300);
    let break_soon = CallLoad { breaks: vec![now + Duration::from_secs(60); 200], ..load.clone() };
    assert!(seconds_to_finish(&break_soon) >= seconds_to_finish(&load) + 120, "two hundred breaks go first");
    let break_later = CallLoad { breaks: vec![at("14:00"); 200], ..load.clone() };
    assert_eq!(seconds_to_finish(&break_later), seconds_to_finish(&load));
    let estimate = estimate_cost(&slots, &load, now);
    let latest = estimate.finish_at_latest.expect("something is sent");
    assert!(latest.since(now).as_secs() >= seconds_to_finish(&load) + 240, "a fifth may be retried");
    let polled = BudgetSlots { poll_every: Some(Duration::from_secs(6)), ..slots.clone() };
    let beside_polls = estimate_cost(&polled, &load, now).finish_at.expect("something is sent").since(now).as_secs();
    assert!((1320..1340).contains(&beside_polls), "ninety of a hundred calls a minute are left: {beside_polls}");
    let nothing = estimate_cost(&slots, &CallLoad { state_changes: 0, ..load.clone() }, now);
    assert_eq!((nothing.calls, nothing.finish_at), (0, None));
    let with_questions = estimate_cost(&slots, &CallLoad { state_changes: 50, questions: 100, ..load }, now);
    assert_eq!((with_questions.calls, with_questions.questions), (150, 100));
    assert!(
        with_questions.finish_at.expect("some").since(now) >= Duration::from_secs(240),
        "twenty questions a minute"
    );
}
