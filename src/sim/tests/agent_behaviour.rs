//! What agents do when nobody tells them, on a clock that only this test moves.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::domain::ids::AgentId;
use crate::sim::agent::BehaviourSettings;
use crate::sim::calendar::{Activity, Phase};
use crate::sim::roster::{PopulationOptions, build_population, build_skills};
use crate::sim::world::{AgentChange, World, WorldEvent};

const SAMPLE: &[u8] = include_bytes!("../../../config/samples/schedule-300.csv");

fn world(seed: u64, agents: usize, sample: bool, start: UtcMicros) -> World {
    let schedule = sample.then(|| crate::sim::shifts::parse(SAMPLE, start).expect("readable"));
    let options = PopulationOptions {
        agents,
        schedule: schedule.as_ref(),
        agent_ids: crate::sim::AgentIds::Text,
        skills: 5,
        autonomous_agents: true,
        special_users: true,
        break_duration: None,
        seed,
        start,
    };
    let tenant = "acme".into();
    World::new(
        build_population(&tenant, &options).profiles,
        build_skills(5, &[]),
        &tenant,
        seed,
        BehaviourSettings { reversal_share: 0.02, own_choice_wins: false },
        start,
    )
}

fn changes_of(world: &mut World) -> Vec<AgentChange> {
    let happened = world.take_events();
    happened
        .into_iter()
        .filter_map(|one| if let WorldEvent::Change(change) = one { Some(change) } else { None })
        .collect()
}

/// What an automation would act on for one agent at one instant, if anything.
fn automation_occasion(agent: &crate::sim::agent::Agent, now: UtcMicros) -> Option<&'static str> {
    let minutes = now.since(agent.since).as_secs() / 60;
    let span = agent.profile.calendar.span_at(now);
    let before = |ago: u64| agent.profile.calendar.span_at(now - Duration::from_secs(ago * 60)).phase;
    let resting = matches!(agent.state, SimState::Unavailable | SimState::Paused | SimState::Idle);
    match (span.phase, agent.state) {
        (Phase::In(Activity::Rest { .. }), SimState::Available) if before(2) == span.phase => Some("break not begun"),
        (Phase::Work, SimState::Acw) if minutes >= 4 => Some("wrap-up too long"),
        (Phase::Work, SimState::Paused) if minutes >= 8 => Some("paused too long"),
        (Phase::Work, _) if resting && before(2) == Phase::Work && before(5) == Phase::Off => {
            Some("not ready at start")
        }
        (Phase::Work, _) if resting && before(2) == Phase::Work && matches!(before(20), Phase::In(_)) => {
            Some("break overrun")
        }
        (Phase::Off, SimState::Available) if before(2) == Phase::Off => Some("ready after the shift"),
        _ => None,
    }
}

fn count_occasions_in_an_hour(world: &mut World, start: UtcMicros) -> BTreeMap<&'static str, usize> {
    let mut seen: BTreeSet<(AgentId, UtcMicros, &'static str)> = BTreeSet::new();
    for tick in 1..=360 {
        let now = start + Duration::from_secs(tick * 10);
        world.advance(now);
        for agent in world.agents().iter().filter(|agent| agent.profile.acts) {
            if let Some(what) = automation_occasion(agent, now) {
                seen.insert((agent.profile.id.clone(), agent.profile.calendar.span_at(now).until, what));
            }
        }
    }
    let mut counts = BTreeMap::new();
    for (_, _, what) in seen {
        *counts.entry(what).or_insert(0) += 1;
    }
    counts
}

#[test]
fn an_hour_of_the_sample_gives_an_automation_plenty_to_do() {
    let counts = count_occasions_in_an_hour(&mut world(1, 300, true, start()), start());
    assert!(counts.values().sum::<usize>() >= 150, "{counts:?}");
    assert!(counts.values().filter(|count| **count >= 8).count() >= 4, "{counts:?}");
}

#[test]
fn made_up_shifts_give_every_kind_of_occasion() {
    let counts = count_occasions_in_an_hour(&mut world(2, 300, false, start()), start());
    assert_eq!(counts.len(), 6, "{counts:?}");
    assert!(counts.values().sum::<usize>() >= 200, "{counts:?}");
}

fn history(world: &mut World, start: UtcMicros, steps: u64, step: Duration) -> Vec<AgentChange> {
    let mut changes = Vec::new();
    for at in 1..=steps {
        world.advance(start + step * u32::try_from(at).expect("few"));
        changes.extend(changes_of(world));
    }
    changes
}

#[test]
fn the_same_seed_lives_the_same_life_however_often_it_is_looked_at() {
    let minute = Duration::from_secs(60);
    let often = history(&mut world(7, 60, false, start()), start(), 720, minute / 6);
    let once = history(&mut world(7, 60, false, start()), start(), 1, minute * 120);
    let other = history(&mut world(8, 60, false, start()), start(), 1, minute * 120);
    assert!(often.len() > 1_000, "{}", often.len());
    assert_eq!(often, once);
    assert_ne!(once, other);
}

#[test]
fn a_change_of_one_agent_disturbs_no_other() {
    let (mut told, mut alone) = (world(7, 20, false, start()), world(7, 20, false, start()));
    told.request("u_0001", SimState::Paused, 1, Duration::ZERO).expect("accepted");
    let hour = Duration::from_secs(3600);
    let others = |world: &mut World| -> Vec<AgentChange> {
        let changes = history(world, start(), 1, hour);
        changes.into_iter().filter(|change| change.agent != AgentId::new("u_0001")).collect()
    };
    assert_eq!(others(&mut told), others(&mut alone));
}

#[test]
fn a_change_is_followed_and_waits_for_the_end_of_a_contact() {
    let mut world = world(3, 100, false, start());
    let find = |world: &World, state| {
        world
            .agents()
            .iter()
            .find(|agent| agent.state == state && agent.profile.acts)
            .map(|agent| agent.profile.id.clone())
    };
    let talking = find(&world, SimState::OnContact).expect("somebody is on a contact");
    let waiting = find(&world, SimState::Available).expect("somebody waits");
    for (seq, id) in [(1, &talking), (2, &waiting)] {
        world.request(id.as_str(), SimState::Unavailable, seq, Duration::ZERO).expect("accepted");
    }
    let by_api = |world: &mut World| -> Vec<(AgentId, SimState, Option<u64>)> {
        let changes = changes_of(world).into_iter().filter(|change| change.state_change.cause == ChangeCause::Api);
        changes.map(|change| (change.agent, change.state_change.from, change.state_change.request_seq)).collect()
    };
    assert_eq!(by_api(&mut world), [(waiting.clone(), SimState::Available, Some(2))]);
    world.advance(start() + Duration::from_secs(1200));
    assert_eq!(by_api(&mut world), [(talking, SimState::OnContact, Some(1))]);
}

#[test]
fn an_agent_that_takes_a_change_back_does_so_by_itself() {
    let options = PopulationOptions {
        agents: 40,
        schedule: None,
        agent_ids: crate::sim::AgentIds::Text,
        skills: 5,
        autonomous_agents: true,
        special_users: true,
        break_duration: None,
        seed: 1,
        start: start(),
    };
    let tenant = "acme".into();
    let mut world = World::new(
        build_population(&tenant, &options).profiles,
        build_skills(5, &[]),
        &tenant,
        1,
        BehaviourSettings { reversal_share: 1.0, own_choice_wins: false },
        start(),
    );
    let ready = |agent: &&crate::sim::agent::Agent| agent.state == SimState::Available && agent.profile.acts;
    let id = world.agents().iter().find(ready).map(|agent| agent.profile.id.clone()).expect("somebody waits");
    world.request(id.as_str(), SimState::Paused, 1, Duration::ZERO).expect("accepted");
    world.advance(start() + Duration::from_secs(150));
    let steps: Vec<_> = changes_of(&mut world)
        .into_iter()
        .filter(|change| change.agent == id)
        .map(|change| change.state_change)
        .collect();
    assert_eq!((steps[0].to, steps[0].cause), (SimState::Paused, ChangeCause::Api));
    assert_eq!((steps[1].to, steps[1].cause), (SimState::Available, ChangeCause::Agent));
}

#[test]
fn ten_thousand_agents_live_a_busy_hour() {
    let mut world = world(1, 10_000, false, start());
    let changes = history(&mut world, start(), 60, Duration::from_secs(60));
    assert!(changes.len() > 100_000, "{}", changes.len());
    let times: Vec<_> = changes.iter().map(|change| change.state_change.at).collect();
    assert!(times.is_sorted());
}

#[test]
fn an_automation_that_acts_is_obeyed() {
    let mut world = world(1, 300, true, start());
    let (mut asked, mut applied) = (BTreeMap::new(), 0);
    for tick in 1..=360 {
        let now = start() + Duration::from_secs(tick * 10);
        world.advance(now);
        let due: Vec<_> = world
            .agents()
            .iter()
            .filter(|agent| agent.profile.acts)
            .filter_map(|agent| Some((agent.profile.id.clone(), automation_occasion(agent, now)?)))
            .collect();
        for (id, what) in due {
            let state = match what {
                "break not begun" | "ready after the shift" => SimState::Unavailable,
                _ => SimState::Available,
            };
            world.request(id.as_str(), state, tick, Duration::ZERO).expect("nothing forbids it");
            *asked.entry(what).or_insert(0_u32) += 1;
        }
        applied += changes_of(&mut world).iter().filter(|change| change.state_change.cause == ChangeCause::Api).count();
    }
    assert!(applied >= 150, "{applied} of {asked:?}");
    assert!(asked.len() >= 5, "{asked:?}");
}

/// Lines, agents and figures tell one story: whoever takes a contact takes it out of its line, and what waits is what came and did
/// not leave.
#[test]
fn contacts_lines_and_agents_agree() {
    let mut world = world(5, 120, false, start());
    let (mut waiting, mut served, mut most) = (BTreeMap::<u16, i64>::new(), 0, 0);
    for minute in 1..=240 {
        world.advance(start() + Duration::from_secs(minute * 60));
        for happening in world.take_events() {
            match happening {
                WorldEvent::Move(one) => *waiting.entry(one.skill).or_default() += if one.arrived { 1 } else { -1 },
                WorldEvent::Change(change) => {
                    served += usize::from(change.state_change.to == SimState::OnContact);
                }
            }
            assert!(waiting.values().all(|count| *count >= 0), "{waiting:?}");
        }
        let figures = world.figures();
        for (skill, figures) in (0..).zip(&figures) {
            assert_eq!(i64::try_from(figures.queue.waiting).expect("few"), waiting.get(&skill).copied().unwrap_or(0));
            assert_eq!(figures.queue.waiting == 0, figures.queue.longest.is_zero());
            assert!((0.0..=1.0).contains(&figures.queue.service_level));
            most = most.max(figures.queue.waiting);
        }
        let in_state = |state| world.agents().iter().filter(|agent| agent.state == state).count();
        assert_eq!(figures.iter().map(|figures| figures.on_contact).sum::<usize>(), in_state(SimState::OnContact));
        assert_eq!(figures.iter().map(|figures| figures.wrapping_up).sum::<usize>(), in_state(SimState::Acw));
        assert!(figures.last().expect("the idle skill").is_idle());
    }
    assert!(served > 1_000 && most > 2, "{served} contacts, {most} waiting at most");
}
