//! Previews of a small floor at noon: shift 09:00 to 17:00, mandatory lunch 12:30 to 13:00.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use uuid::Uuid;

use super::finish::{Load, Slots, cost};
use super::*;
use crate::domain::adherence::{AdherenceSettings, Verdict};
use crate::domain::agents::agent::{Agent, Observed, Source};
use crate::domain::agents::roster::{AgentIndex, AgentSlot, Roster};
use crate::domain::agents::skill::Skill;
use crate::domain::changes::policy::UnscheduledForbids;
use crate::domain::changes::priority::Priority;
use crate::domain::schedules::schedule::{Activity, AgentPlan, Coverage, Shift, ShiftActivity};
use crate::domain::time::UtcMicros;

fn at(time: &str) -> UtcMicros {
    format!("2026-11-23T{time}:00Z").parse().expect("a time of day")
}

fn seen(state: &AgentState) -> Observed {
    Observed {
        state: state.clone(),
        reason: None,
        queue: None,
        entered_at: at("11:00"),
        platform_at: None,
        row_at: at("11:00"),
        source: Source::Snapshot,
        transition: None,
        by_person: false,
    }
}

fn plan() -> Arc<AgentPlan> {
    let lunch = ShiftActivity { activity: Activity::Lunch, start: at("12:30"), end: at("13:00"), mandatory: true };
    let shift = Shift { start: at("09:00"), end: at("17:00"), activities: vec![lunch] };
    Arc::new(AgentPlan::new(vec![shift], vec![Coverage { start: at("00:00"), end: at("23:00") }]))
}

/// A floor whose agents were all just seen.
struct Floor {
    roster: Roster,
    now: UtcMicros,
    leaves: Vec<AgentId>,
    waiting: Vec<(AgentId, Priority)>,
}

impl Floor {
    fn at(now: &str) -> Self {
        let roster = Roster::new(TenantId::new("acme"));
        Self { roster, now: at(now), leaves: Vec::new(), waiting: Vec::new() }
    }

    fn add(&mut self, id: &str, team: &str, state: &AgentState) -> AgentIndex {
        let agent =
            Agent { id: id.into(), name: Some(format!("Name of {id}").into()), team: Some(team.into()), zone: None };
        let index = self.roster.upsert(agent);
        self.roster.set_plan(index, plan());
        self.roster.observe(index, seen(state), self.now);
        index
    }

    fn skills(&mut self, index: AgentIndex, skills: &[(&str, Option<u32>)]) {
        let skill = |(id, floor): &(&str, Option<u32>)| Arc::new(Skill { id: (*id).into(), name: None, floor: *floor });
        self.roster.set_skills(index, skills.iter().map(skill).collect());
    }

    fn preview(&self, wanted: &Wanted) -> Preview {
        let leaves = |slot: &AgentSlot| self.leaves.contains(slot.id());
        let waiting = |slot: &AgentSlot| self.waiting.iter().find(|(id, _)| id == slot.id()).map(|(_, class)| *class);
        let policy = Policy { unscheduled_forbids: UnscheduledForbids::Ready, stale_after: Duration::from_secs(30) };
        let (roster, adherence, now) = (&self.roster, &AdherenceSettings::default(), self.now);
        preview(Picture { roster, leaves: &leaves, waiting: &waiting, policy, adherence, now }, wanted)
    }
}

fn wish(agents: &[&str], to: &AgentState) -> Wanted {
    Wanted {
        agents: agents.iter().map(|agent| WantedOf::plain((*agent).into(), to.clone(), None)).collect(),
        on_contact: OnContact::After,
        urgent: false,
        even_if_in_state: false,
        below_floor: None,
        teams: None,
    }
}

fn outcomes(preview: &Preview) -> Vec<Outcome> {
    preview.agents.iter().map(|agent| agent.outcome).collect()
}

#[test]
fn every_agent_gets_what_would_happen_or_why_nothing_would() {
    use AgentState::{LoggedOut, NotReady, OnContact as Busy, Ready};
    let mut floor = Floor::at("12:00");
    floor.add("ready", "Blue", &Ready);
    floor.add("there", "Blue", &NotReady);
    floor.add("busy", "Blue", &Busy);
    floor.add("away", "Blue", &LoggedOut);
    floor.add("gone", "Blue", &AgentState::unseen());
    floor.roster.upsert(Agent { id: "never".into(), name: None, team: None, zone: None });
    let old = floor.add("old", "Blue", &Ready);
    floor.add("resting", "Blue", &Ready);
    floor.waiting.push(("resting".into(), Priority::MandatoryBreak));
    floor.add("hurried", "Blue", &Ready);
    floor.waiting.push(("hurried".into(), Priority::Urgent));
    floor.add("other", "Red", &Ready);
    // A sight never makes an earlier one later: this agent comes anew.
    let agent = floor.roster.remove("old").expect("there").agent().clone();
    let _ = old;
    let old = floor.roster.upsert(agent);
    floor.roster.set_plan(old, plan());
    floor.roster.observe(old, seen(&Ready), at("11:59"));
    let everybody = ["ready", "there", "busy", "away", "gone", "never", "old", "resting", "hurried", "other", "nobody"];
    let mut wanted = wish(&everybody, &NotReady);
    wanted.teams = Some([TeamName::new("Blue")].into());
    let shown = floor.preview(&wanted);
    let expected = [
        Outcome::Change,
        Outcome::AlreadyThere,
        Outcome::AfterContact,
        Outcome::LoggedOut,
        Outcome::Unseen,
        // Of no team.
        Outcome::UnknownAgent,
        Outcome::Stale,
        Outcome::BreakUnderWay,
        Outcome::UrgentUnderWay,
        Outcome::UnknownAgent,
        Outcome::UnknownAgent,
    ];
    assert_eq!(outcomes(&shown), expected);
    assert_eq!((shown.posts, shown.questions, shown.teamless), (2, 0, false));
    assert_eq!(shown.agents[6].why.as_deref(), Some("last seen 1m ago"));
    assert!(shown.agents[9].state.is_none(), "nothing is told of another team's agent");
    let of_all = floor.preview(&Wanted { teams: None, ..wanted });
    assert_eq!((of_all.agents[5].outcome, of_all.agents[9].outcome), (Outcome::Unseen, Outcome::Change));
    assert!(of_all.teamless && of_all.teams.len() == 2);
}

#[test]
fn what_is_planned_is_shown_with_how_the_wanted_state_agrees() {
    use AgentState::{NotReady, Ready};
    let against = |now: &str, id: &str, excused: bool, to: &AgentState| {
        let mut floor = Floor::at(now);
        let index = floor.add("a", "Blue", &AgentState::Paused);
        if excused {
            floor.roster.set_excused(index, vec![Coverage { start: at("11:00"), end: at("14:00") }]);
        }
        let shown = floor.preview(&wish(&[id], to)).agents.remove(0).against;
        shown.map(|shown| (shown.planned.to_string(), shown.until, shown.would_be))
    };
    let shown = |planned: &str, until: &str, verdict| Some((planned.to_owned(), Some(at(until)), verdict));
    assert_eq!(against("12:00", "a", false, &Ready), shown("work", "12:30", Verdict::In));
    assert_eq!(against("12:00", "a", false, &NotReady), shown("work", "12:30", Verdict::Out));
    assert_eq!(against("12:00", "a", true, &NotReady), shown("work", "12:30", Verdict::Neutral));
    assert_eq!(against("12:29", "a", false, &NotReady), shown("work", "12:30", Verdict::Out), "no tolerance is begun");
    assert_eq!(against("12:30", "a", false, &NotReady), shown("lunch", "13:00", Verdict::In));
    assert_eq!(against("12:45", "a", false, &Ready), shown("lunch", "13:00", Verdict::Out));
    assert_eq!(against("08:00", "a", true, &Ready), shown("off", "09:00", Verdict::Unscheduled));
    assert_eq!(
        against("23:30", "a", false, &Ready).map(|(planned, _, verdict)| (planned, verdict)),
        Some(("uncovered".to_owned(), Verdict::Unknown))
    );
    assert_eq!(against("12:00", "nobody", false, &Ready), None);
}

#[test]
fn policy_and_the_choice_for_contacts_decide_who_goes() {
    use AgentState::{AfterContactWork, NotReady, Paused, Ready};
    for (time, state, to, on_contact, urgent, expected) in [
        ("12:00", Paused, Ready, OnContact::After, false, Outcome::Change),
        ("12:40", Paused, Ready, OnContact::After, false, Outcome::MandatoryBreak),
        ("12:40", Ready, NotReady, OnContact::After, false, Outcome::Change),
        ("18:00", Paused, Ready, OnContact::After, true, Outcome::NotScheduled),
        ("18:00", Ready, NotReady, OnContact::After, false, Outcome::Change),
        ("12:00", AfterContactWork, NotReady, OnContact::Now, false, Outcome::Change),
        ("12:00", AfterContactWork, NotReady, OnContact::After, false, Outcome::AfterContact),
        ("12:00", AfterContactWork, NotReady, OnContact::Skip, false, Outcome::OnContact),
        // No schedule speaks at night: the platform is asked.
        ("23:30", Paused, Ready, OnContact::After, false, Outcome::Change),
    ] {
        let mut floor = Floor::at(time);
        floor.add("a", "Blue", &state);
        let shown = floor.preview(&Wanted { on_contact, urgent, ..wish(&["a"], &to) });
        assert_eq!(outcomes(&shown), [expected], "{time} {state} to {to}, {on_contact:?}");
        assert_eq!(shown.questions, if time == "23:30" { 2 } else { 0 });
    }
}

#[test]
fn whoever_is_in_the_state_already_is_left_alone_unless_the_reason_is_asked_for() {
    use AgentState::{NotReady, Ready};
    let mut floor = Floor::at("12:00");
    let index = floor.add("there", "Blue", &Ready);
    floor.add("away", "Blue", &NotReady);
    let mut wanted = wish(&["there", "away"], &Ready);
    wanted.agents.iter_mut().for_each(|one| one.reason = Some("WORKING".into()));
    let shown = floor.preview(&wanted);
    assert_eq!(outcomes(&shown), [Outcome::AlreadyThere, Outcome::Change]);
    assert_eq!((shown.posts, shown.reason_calls), (1, 0));
    assert_eq!(shown.agents[0].why.as_deref(), Some(ONLY_THE_REASON));

    let all = Wanted { even_if_in_state: true, ..wanted.clone() };
    let shown = floor.preview(&all);
    assert_eq!(outcomes(&shown), [Outcome::ChangeReason, Outcome::Change]);
    assert_eq!((shown.posts, shown.reason_calls), (2, 1));

    let known = Observed { reason: Some("WORKING".into()), ..seen(&Ready) };
    floor.roster.observe(index, known, floor.now);
    for wanted in [&wanted, &all] {
        let shown = floor.preview(wanted);
        assert_eq!(outcomes(&shown), [Outcome::AlreadyThere, Outcome::Change], "the reason is there too");
        assert_eq!(shown.agents[0].why, None);
    }
}

#[test]
fn questions_about_agents_in_the_state_already_are_calls_for_the_reason() {
    let mut floor = Floor::at("23:30");
    floor.add("there", "Blue", &AgentState::Ready);
    let mut wanted = Wanted { even_if_in_state: true, ..wish(&["there"], &AgentState::Ready) };
    wanted.agents[0].reason = Some("WORKING".into());
    let shown = floor.preview(&wanted);
    assert_eq!((outcomes(&shown), shown.posts, shown.questions), (vec![Outcome::ChangeReason], 1, 2));
    assert_eq!(shown.reason_calls, 3);
}

#[test]
fn a_reason_alone_is_taken_back_without_being_asked_for_again() {
    let mut floor = Floor::at("12:00");
    let ours = TransitionId(Uuid::from_u128(7));
    let index = floor.add("a", "Blue", &AgentState::NotReady);
    let set = Observed { transition: Some(ours), reason: Some("MEETING".into()), ..seen(&AgentState::NotReady) };
    floor.roster.observe(index, set, floor.now);
    let back =
        WantedOf { takes_back: Some(ours), ..WantedOf::plain("a".into(), AgentState::NotReady, Some("BREAK".into())) };
    let shown = floor.preview(&Wanted { agents: vec![back], ..wish(&[], &AgentState::NotReady) });
    assert_eq!((outcomes(&shown), shown.reason_calls), (vec![Outcome::ChangeReason], 1));
}

#[test]
fn who_was_moved_on_is_not_taken_back_and_what_was_settled_before_stays_so() {
    let mut floor = Floor::at("12:00");
    let ours = TransitionId(Uuid::from_u128(7));
    let index = floor.add("a", "Blue", &AgentState::NotReady);
    let back = |still| WantedOf {
        takes_back: Some(still),
        ..WantedOf::plain("a".into(), AgentState::Ready, Some("WORKING".into()))
    };
    let wanted = |one| Wanted { agents: vec![one], ..wish(&[], &AgentState::Ready) };
    assert_eq!(outcomes(&floor.preview(&wanted(back(ours)))), [Outcome::MovedOn]);
    let set = Observed { transition: Some(ours), ..seen(&AgentState::NotReady) };
    floor.roster.observe(index, set, floor.now);
    assert_eq!(outcomes(&floor.preview(&wanted(back(ours)))), [Outcome::Change]);
    let aside = WantedOf { aside: Some((Outcome::NotChanged, Some("refused".into()))), ..back(ours) };
    let shown = floor.preview(&wanted(aside));
    assert_eq!((outcomes(&shown), shown.agents[0].why.as_deref()), (vec![Outcome::NotChanged], Some("refused")));
}

#[test]
fn a_skill_does_not_fall_below_its_floor_unless_somebody_says_why() {
    let mut floor = Floor::at("12:00");
    for id in ["a", "b", "c", "d"] {
        let index = floor.add(id, "Blue", &AgentState::Ready);
        floor.skills(index, &[("voice", Some(2)), ("mail", None)]);
    }
    let away = floor.add("e", "Blue", &AgentState::Paused);
    floor.skills(away, &[("voice", Some(2))]);
    // On the way out already: not available, and no loss.
    floor.leaves.push("d".into());
    let everybody = ["a", "b", "c", "d", "e"];
    let shown = floor.preview(&wish(&everybody, &AgentState::NotReady));
    let expected = [Outcome::Change, Outcome::BelowFloor, Outcome::BelowFloor, Outcome::Change, Outcome::Change];
    assert_eq!(outcomes(&shown), expected);
    let voice = FloorShown { skill: "voice".into(), name: None, available: 3, after: 2, floor: 2 };
    assert_eq!(shown.floors, std::slice::from_ref(&voice));
    assert_eq!(shown.agents[1].skills, ["voice".into()]);
    assert_eq!(shown.agents[1].why.as_deref(), Some("voice would have 1 available, its floor is 2"));
    let anyway = Wanted { below_floor: Some("fire drill".into()), ..wish(&everybody, &AgentState::NotReady) };
    let shown = floor.preview(&anyway);
    assert!(outcomes(&shown).iter().all(|outcome| outcome.changes()));
    assert_eq!(shown.floors, [FloorShown { after: 0, ..voice }]);
}

#[test]
fn the_hash_is_of_what_was_shown_and_of_nothing_else() {
    let mut floor = Floor::at("12:00");
    floor.add("a", "Blue", &AgentState::Ready);
    let hash = |floor: &Floor, to: &AgentState, urgent: bool| {
        let shown = floor.preview(&wish(&["a"], to));
        let tenant = TenantId::new("acme");
        let agents = shown.agents.iter().map(ShownAgent::from).collect();
        let (on_contact, floors) = (OnContact::After, &*shown.floors);
        let shown = Shown {
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
        shown.hash().expect("plain data")
    };
    let first = hash(&floor, &AgentState::NotReady, false);
    let mut later = Floor::at("12:01");
    later.add("a", "Blue", &AgentState::Ready);
    assert_eq!(hash(&later, &AgentState::NotReady, false), first, "a minute later the same is shown");
    assert_ne!(hash(&floor, &AgentState::NotReady, true), first);
    assert_ne!(hash(&floor, &AgentState::Paused, false), first);
    floor.add("a", "Blue", &AgentState::OnContact);
    assert_ne!(hash(&floor, &AgentState::NotReady, false), first, "the agent took a contact");
}

#[test]
fn a_filter_takes_those_who_meet_every_part_of_it() {
    let mut floor = Floor::at("12:00");
    for (id, team, state) in
        [("u_1", "Blue", AgentState::Ready), ("u_2", "Blue", AgentState::Paused), ("u_3", "Red", AgentState::Ready)]
    {
        let index = floor.add(id, team, &state);
        floor.skills(index, if id == "u_3" { &[("voice", None)] } else { &[] });
    }
    let take = |selection: &Selection, teams: Option<&BTreeSet<TeamName>>| {
        let judged = |slot: &AgentSlot| if slot.id().as_str() == "u_2" { Verdict::Out } else { Verdict::In };
        selected(&floor.roster, teams, selection, judged).iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let all = Selection::default();
    let blue = [TeamName::new("Blue")].into();
    assert_eq!(take(&all, None), ["u_1", "u_2", "u_3"]);
    assert_eq!(take(&all, Some(&blue)), ["u_1", "u_2"]);
    assert_eq!(take(&Selection { states: vec![AgentState::Ready], ..all.clone() }, None), ["u_1", "u_3"]);
    let both = Selection { states: vec![AgentState::Ready], teams: vec!["Blue".into()], ..all.clone() };
    assert_eq!(take(&both, None), ["u_1"]);
    assert_eq!(take(&Selection { skills: vec!["voice".into()], ..all.clone() }, None), ["u_3"]);
    assert_eq!(take(&Selection { verdicts: vec![Verdict::Out], ..all.clone() }, None), ["u_2"]);
    assert_eq!(take(&Selection { search: Some("OF U_2".into()), ..all }, None), ["u_2"]);
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
        let mut floor = Floor::at("12:00");
        let mut ids = Vec::new();
        for (number, (state, skills)) in agents.iter().enumerate() {
            let id = format!("u_{number}");
            let index = floor.add(&id, "Blue", state);
            let mut skills = skills.clone();
            skills.sort_unstable();
            skills.dedup();
            let names: Vec<(String, Option<u32>)> =
                skills.iter().map(|skill| (format!("s_{skill}"), floors[*skill])).collect();
            let named: Vec<(&str, Option<u32>)> = names.iter().map(|(name, floor)| (&**name, *floor)).collect();
            floor.skills(index, &named);
            ids.push(id);
        }
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let below_floor = anyway.then(|| "why".to_owned());
        let shown = floor.preview(&Wanted { below_floor, ..wish(&ids, &to) });
        prop_assert_eq!(shown.agents.len(), ids.len());
        prop_assert_eq!(shown.posts, shown.agents.iter().filter(|agent| agent.outcome.changes()).count());
        let mut left: BTreeMap<SkillId, u32> = BTreeMap::new();
        for agent in &shown.agents {
            let slot = floor.roster.agent(agent.agent.as_str()).expect("known");
            let leaves = agent.outcome.changes() && !to.is_working();
            if slot.observed().is_some_and(|seen| seen.state.is_working()) && !leaves {
                for skill in slot.skills().iter() {
                    *left.entry(skill.id.clone()).or_default() += 1;
                }
            }
        }
        for shown in &shown.floors {
            prop_assert_eq!(shown.after, left.get(&shown.skill).copied().unwrap_or_default());
            prop_assert!(anyway || shown.after >= shown.floor.min(shown.available));
        }
        if anyway || to.is_working() {
            prop_assert!(shown.agents.iter().all(|agent| agent.outcome != Outcome::BelowFloor));
        }
    }

    #[test]
    fn more_calls_and_fewer_slots_never_finish_earlier(
        free in prop::collection::vec(0_u64..60, 1..30),
        calls in 1_usize..300,
        reserve in 0_usize..4,
        parallel in 1_usize..40,
    ) {
        let mut free_in: Vec<Duration> = free.into_iter().map(Duration::from_secs).collect();
        free_in.sort_unstable();
        let limit = free_in.len();
        let slots = Slots {
            free_in,
            window: Duration::from_secs(60),
            reserve,
            patience: Duration::from_secs(2),
            answer_in: Duration::from_millis(200),
            parallel,
        };
        let ends = slots.last_answer(calls).expect("some calls");
        prop_assert!(slots.last_answer(calls + 1).expect("some calls") >= ends);
        // No window holds more than its limit.
        let windows = (calls.saturating_sub(1) / limit) as u64;
        prop_assert!(ends >= Duration::from_secs(60 * windows), "{ends:?} for {calls} calls of {limit}");
        let fewer = Slots { free_in: slots.free_in[..limit - limit / 2].to_vec(), ..slots.clone() };
        if fewer.reserve < fewer.free_in.len() && reserve < limit {
            let later = Slots { free_in: slots.free_in[limit / 2..].to_vec(), ..slots };
            prop_assert!(later.last_answer(calls).expect("some calls") >= ends);
        }
    }
}

#[test]
fn a_set_of_two_thousand_takes_twenty_windows_and_what_waits_goes_first() {
    let slots = Slots {
        free_in: vec![Duration::ZERO; 100],
        window: Duration::from_secs(60),
        reserve: 2,
        patience: Duration::from_secs(2),
        answer_in: Duration::from_millis(100),
        parallel: 24,
    };
    let load = Load {
        posts: 2000,
        questions: 0,
        questions_per_minute: 20,
        ahead: 0,
        breaks: Vec::new(),
        retry_percent: 20,
        retries_at_least: 10,
    };
    let now = at("12:00");
    let took = |load: &Load| cost(&slots, load, now).finish_at.expect("something is sent").since(now).as_secs();
    assert!((1200..1230).contains(&took(&load)), "{}", took(&load));
    assert!(took(&Load { ahead: 500, ..load.clone() }) >= took(&load) + 300);
    let break_soon = Load { breaks: vec![now + Duration::from_secs(60); 200], ..load.clone() };
    assert!(took(&break_soon) >= took(&load) + 120, "two hundred breaks go first");
    let break_later = Load { breaks: vec![at("14:00"); 200], ..load.clone() };
    assert_eq!(took(&break_later), took(&load));
    let reckoned = cost(&slots, &load, now);
    let latest = reckoned.finish_at_latest.expect("something is sent");
    assert!(latest.since(now).as_secs() >= took(&load) + 240, "a fifth may be retried");
    let nothing = cost(&slots, &Load { posts: 0, ..load.clone() }, now);
    assert_eq!((nothing.calls, nothing.finish_at), (0, None));
    let asked = cost(&slots, &Load { posts: 50, questions: 100, ..load }, now);
    assert_eq!((asked.calls, asked.questions), (150, 100));
    assert!(asked.finish_at.expect("some").since(now) >= Duration::from_secs(240), "twenty questions a minute");
}
