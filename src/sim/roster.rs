//! The agents of a tenant with names, teams and calendars, from a schedule file or made up around the start.

use std::sync::Arc;
use std::time::Duration;

use super::agent::AgentProfile;
use super::calendar::{Activity, Calendar, Segment, Shift};
use super::contacts::{Skill, SkillIndex};
use super::options::AgentIds;
use super::random::RandomStream;
use super::shifts::FileSchedule;
use super::state::SimState;
use crate::domain::ids::{AgentId, TenantId};
use crate::domain::time::UtcMicros;

/// The fewest agents of a tenant: one for trying things out, one that acts, and the two special users.
pub const FEWEST_AGENTS: usize = 4;
/// The most agents of a tenant.
pub const MOST_AGENTS: usize = 100_000;
/// The number of teams of made-up agents.
const TEAMS: usize = 12;

/// The number before that of the first made-up agent.
const FIRST_NUMBER: u32 = 10_000;

/// The fewest skills of a tenant.
pub const FEWEST_SKILLS: usize = 2;
/// The most skills of a tenant.
pub const MOST_SKILLS: usize = 1_000;
/// The number of the first skill.
const FIRST_SKILL: u32 = 1001;
const SKILLS: [&str; 4] = ["Billing", "Orders", "Returns", "Technical"];

const TENANTS: [&str; 12] =
    ["acme", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "juliet", "kilo", "lima"];
/// The most tenants of a simulator.
pub const MOST_TENANTS: usize = TENANTS.len();

const GIVEN_NAMES: [&str; 16] = [
    "Alma", "Bela", "Ciro", "Dina", "Edda", "Faro", "Gwen", "Hugo", "Isla", "Jory", "Kaya", "Luca", "Mara", "Nilo",
    "Orla", "Pavo",
];
const FAMILY_NAMES: [&str; 16] = [
    "Ahlberg", "Bonet", "Calder", "Dorn", "Eklund", "Ferro", "Grau", "Holt", "Ilves", "Jarvi", "Kessel", "Lund",
    "Moro", "Nyberg", "Orsini", "Pace",
];

/// The inputs that, with the seed, determine a tenant's agents.
#[derive(Debug, Clone, Copy)]
pub(super) struct PopulationOptions<'a> {
    pub(super) agents: usize,
    pub(super) schedule: Option<&'a FileSchedule>,
    pub(super) agent_ids: AgentIds,
    /// The number of skills.
    pub(super) skills: usize,
    pub(super) autonomous_agents: bool,
    /// Whether the last two agents become the special users.
    pub(super) special_users: bool,
    /// How long the break user's break lasts; `None` for ever.
    pub(super) break_duration: Option<Duration>,
    pub(super) seed: u64,
    pub(super) start: UtcMicros,
}

/// A tenant's agents, and the two special users among them.
#[derive(Debug)]
pub(super) struct Population {
    pub(super) profiles: Vec<AgentProfile>,
    /// The agent in a mandatory break.
    pub(super) break_user: Option<AgentId>,
    /// The agent that is never scheduled, but logged in.
    pub(super) off_user: Option<AgentId>,
}

/// Returns the ids of the first tenants, in order.
pub(super) fn tenant_ids(count: usize) -> impl Iterator<Item = TenantId> {
    TENANTS.into_iter().take(count).map(TenantId::from)
}

/// Creates the skills, which are the same in every tenant. No agent has the last one, so that it shows an idle skill.
/// `names` are the names of the first skills.
pub(super) fn build_skills(count: usize, names: &[String]) -> Arc<[Skill]> {
    let made_up = |at: usize, id: u32| {
        SKILLS.get(at).filter(|_| at + 1 < count).map_or_else(|| format!("Line {id}"), |name| (*name).to_owned())
    };
    let named = |(at, id): (usize, u32)| {
        let name = names.get(at).cloned().unwrap_or_else(|| made_up(at, id));
        Skill { id, queue: format!("q_{id}"), name: name.into() }
    };
    (0..count).zip(FIRST_SKILL..).map(named).collect()
}

/// Returns the skills of the agent at a position in the roster.
fn agent_skills(at: usize, options: &PopulationOptions<'_>) -> [SkillIndex; 2] {
    let staffed = options.skills.saturating_sub(1).max(1);
    [at % staffed, at / staffed % staffed].map(|skill| SkillIndex::try_from(skill).unwrap_or(0))
}

/// Creates the agents of one tenant. Ids are the same in every tenant, so that a misdirected row is noticed.
pub(super) fn build_population(tenant: &TenantId, options: &PopulationOptions<'_>) -> Population {
    let ids = agent_ids(options);
    let mut profiles: Vec<AgentProfile> =
        ids.iter().enumerate().map(|(at, id)| agent_profile(tenant, at, id, options)).collect();
    let (mut break_user, mut off_user) = (None, None);
    if options.special_users
        && let [.., on_break, off] = profiles.as_mut_slice()
    {
        let break_until = options.break_duration.map_or(UtcMicros::MAX, |lasts| options.start + lasts);
        on_break.calendar = Calendar::Always { break_until };
        on_break.acts = false;
        on_break.initial_state = Some(SimState::Unavailable);
        off.calendar = Calendar::Never;
        off.acts = false;
        off.initial_state = Some(SimState::Unavailable);
        break_user = Some(on_break.id.clone());
        off_user = Some(off.id.clone());
    }
    Population { profiles, break_user, off_user }
}

/// Returns the ids of the file's agents, and then as many made-up ids as are missing.
fn agent_ids(options: &PopulationOptions<'_>) -> Vec<AgentId> {
    let mut ids: Vec<AgentId> = options
        .schedule
        .map(|schedule| schedule.agents.keys().take(options.agents).cloned().collect())
        .unwrap_or_default();
    let scheduled_ids: std::collections::HashSet<AgentId> = ids.iter().cloned().collect();
    let id_of = |number: u32| match options.agent_ids {
        AgentIds::Text => AgentId::from(format!("u_{number:04}")),
        AgentIds::Numbers => AgentId::from((FIRST_NUMBER + number).to_string()),
    };
    let made_up = (1..).map(id_of).filter(|id| !scheduled_ids.contains(id));
    ids.extend(made_up.take(options.agents.saturating_sub(scheduled_ids.len())));
    ids
}

fn agent_profile(tenant: &TenantId, at: usize, id: &AgentId, options: &PopulationOptions<'_>) -> AgentProfile {
    let made_up = |calendar, lives, begins| AgentProfile {
        id: id.clone(),
        name: agent_name(tenant, id, options),
        team: team_name(at),
        skills: agent_skills(at, options),
        calendar,
        acts: lives,
        initial_state: begins,
    };
    match options.schedule.map(|schedule| schedule.agents.get(id)) {
        Some(Some(agent)) => AgentProfile {
            id: id.clone(),
            name: agent.name.clone(),
            team: agent.team.clone(),
            skills: agent_skills(at, options),
            calendar: Calendar::Listed(agent.shifts.clone()),
            acts: options.autonomous_agents,
            initial_state: None,
        },
        Some(None) => made_up(Calendar::Never, options.autonomous_agents, None),
        // The agent for trying things out: always at work, not yet available, and stays in the state it is put into.
        None if at == 0 => made_up(Calendar::Always { break_until: options.start }, false, Some(SimState::Unavailable)),
        None => made_up(rolling_shifts(tenant, id, options), options.autonomous_agents, None),
    }
}

fn agent_name(tenant: &TenantId, id: &AgentId, options: &PopulationOptions<'_>) -> Arc<str> {
    let random = RandomStream::for_path(options.seed, &["name", tenant.as_str(), id.as_str()]);
    let pick = |names: &[&'static str]| random.pick(names).copied().unwrap_or("Nobody");
    format!("{} {}", pick(&GIVEN_NAMES), pick(&FAMILY_NAMES)).into()
}

fn team_name(at: usize) -> Arc<str> {
    let letter = char::from_u32(u32::try_from(at % TEAMS).unwrap_or(0) + u32::from('A')).unwrap_or('A');
    format!("Team {letter}").into()
}

/// Creates shifts of about eight hours with about three hours between them. They are anchored at the epoch and not at
/// the start, so that a simulator started later has the same shifts.
fn rolling_shifts(tenant: &TenantId, id: &AgentId, options: &PopulationOptions<'_>) -> Calendar {
    let random = RandomStream::for_path(options.seed, &["shift", tenant.as_str(), id.as_str()]);
    let quarters = |from: u32, to: u32| {
        let seconds = random.seconds(from * 900, to * 900 + 899).as_secs();
        UtcMicros::EPOCH + Duration::from_secs(seconds / 900 * 900)
    };
    let segment = |start: UtcMicros, minutes: u64, mandatory: bool| Segment {
        start,
        end: start + Duration::from_secs(minutes * 60),
        activity: Activity::Rest { mandatory },
        title: if mandatory { "Lunch" } else { "Break" }.into(),
    };
    let shift = Shift {
        start: UtcMicros::EPOCH,
        end: quarters(31, 35),
        segments: vec![
            segment(quarters(6, 9), 15, false),
            segment(quarters(14, 18), 30, true),
            segment(quarters(24, 27), 15, false),
        ],
    };
    let period = shift.end.since(UtcMicros::EPOCH) + Duration::from_secs(3 * 3600);
    Calendar::Rolling { anchor: quarters(0, 47), period, shift }
}

#[cfg(test)]
mod tests {
    use super::super::calendar::Phase;
    use super::*;

    fn test_options(agents: usize, seed: u64) -> PopulationOptions<'static> {
        let start = UtcMicros::from_micros(1_790_000_000_000_000);
        PopulationOptions {
            agents,
            schedule: None,
            agent_ids: AgentIds::Text,
            skills: 5,
            autonomous_agents: true,
            special_users: true,
            break_duration: None,
            seed,
            start,
        }
    }

    #[test]
    fn most_made_up_agents_are_on_shift_at_any_hour() {
        let options = test_options(200, 5);
        let population = build_population(&"acme".into(), &options);
        for hour in 0..48 {
            let now = options.start + Duration::from_secs(hour * 3600);
            let on_shift =
                population.profiles.iter().filter(|person| person.calendar.span_at(now).phase != Phase::Off).count();
            assert!(on_shift > 110, "only {on_shift} of 200 in hour {hour}");
        }
    }

    #[test]
    fn the_special_users_are_the_last_two_and_the_first_is_at_work() {
        let options = test_options(4, 5);
        let population = build_population(&"acme".into(), &options);
        assert_eq!(population.break_user, Some("u_0003".into()));
        assert_eq!(population.off_user, Some("u_0004".into()));
        let phase = |at: usize| population.profiles[at].calendar.span_at(options.start).phase;
        assert_eq!((phase(0), phase(3)), (Phase::Work, Phase::Off));
        assert_eq!(phase(2), Phase::In(Activity::Rest { mandatory: true }));
    }

    #[test]
    fn tenants_share_ids_and_not_people() {
        let options = test_options(50, 5);
        let (acme, bravo) = (build_population(&"acme".into(), &options), build_population(&"bravo".into(), &options));
        let ids = |cast: &Population| cast.profiles.iter().map(|person| person.id.clone()).collect::<Vec<_>>();
        let names = |cast: &Population| cast.profiles.iter().map(|person| person.name.clone()).collect::<Vec<_>>();
        assert_eq!(ids(&acme), ids(&bravo));
        assert_ne!(names(&acme), names(&bravo));
    }
}
