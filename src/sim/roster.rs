//! Who works for a tenant: agents with names, teams and calendars, from a schedule file or made up around the start.

use std::sync::Arc;
use std::time::Duration;

use super::agent::Person;
use super::calendar::{Activity, Calendar, Segment, Shift};
use super::contacts::{Skill, SkillAt};
use super::dice::Dice;
use super::shifts::FileSchedule;
use super::state::SimState;
use crate::domain::ids::{AgentId, TenantId};
use crate::domain::time::UtcMicros;

/// The fewest agents that a tenant may have: one to try things with, one that lives, and the two special users.
pub const FEWEST_AGENTS: usize = 4;
/// The most agents that a tenant may have.
pub const MOST_AGENTS: usize = 100_000;
/// Made-up agents are spread over this many teams.
const TEAMS: usize = 12;

/// The fewest and the most skills that a tenant may have.
pub const FEWEST_SKILLS: usize = 2;
/// The most skills that a tenant may have.
pub const MOST_SKILLS: usize = 1_000;
/// The number of the first skill.
const FIRST_SKILL: u32 = 1001;
const SKILLS: [&str; 4] = ["Billing", "Orders", "Returns", "Technical"];

const TENANTS: [&str; 12] =
    ["acme", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "juliet", "kilo", "lima"];
/// The most tenants that a simulator may have.
pub const MOST_TENANTS: usize = TENANTS.len();

const GIVEN: [&str; 16] = [
    "Alma", "Bela", "Ciro", "Dina", "Edda", "Faro", "Gwen", "Hugo", "Isla", "Jory", "Kaya", "Luca", "Mara", "Nilo",
    "Orla", "Pavo",
];
const FAMILY: [&str; 16] = [
    "Ahlberg", "Bonet", "Calder", "Dorn", "Eklund", "Ferro", "Grau", "Holt", "Ilves", "Jarvi", "Kessel", "Lund",
    "Moro", "Nyberg", "Orsini", "Pace",
];

/// What decides over a tenant's agents beside the seed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Casting<'a> {
    pub(super) agents: usize,
    pub(super) schedule: Option<&'a FileSchedule>,
    /// How many skills there are.
    pub(super) skills: usize,
    pub(super) lively: bool,
    /// Whether the last two agents become the two special users.
    pub(super) special_users: bool,
    /// How long the break of the break user lasts; for ever without it.
    pub(super) break_lasts: Option<Duration>,
    pub(super) seed: u64,
    pub(super) start: UtcMicros,
}

/// A tenant's people, and the two among them that stand for a policy each.
#[derive(Debug)]
pub(super) struct Cast {
    pub(super) people: Vec<Person>,
    /// In a mandatory break.
    pub(super) break_user: Option<AgentId>,
    /// Never scheduled, but logged in.
    pub(super) off_user: Option<AgentId>,
}

/// The ids of the first tenants, in order.
pub(super) fn tenant_ids(count: usize) -> impl Iterator<Item = TenantId> {
    TENANTS.into_iter().take(count).map(TenantId::from)
}

/// A tenant's skills, the same in every tenant. Nobody has the last one: it shows what an idle skill looks like.
/// `names` are those of the first.
pub(super) fn skills(count: usize, names: &[String]) -> Arc<[Skill]> {
    let made_up = |at: usize, id: u32| {
        SKILLS.get(at).filter(|_| at + 1 < count).map_or_else(|| format!("Line {id}"), |name| (*name).to_owned())
    };
    let named = |(at, id): (usize, u32)| {
        let name = names.get(at).cloned().unwrap_or_else(|| made_up(at, id));
        Skill { id, queue: format!("q_{id}"), name: name.into() }
    };
    (0..count).zip(FIRST_SKILL..).map(named).collect()
}

/// The skills of the agent at a place in the roster.
fn skills_of(at: usize, casting: &Casting<'_>) -> [SkillAt; 2] {
    let staffed = casting.skills.saturating_sub(1).max(1);
    [at % staffed, at / staffed % staffed].map(|skill| SkillAt::try_from(skill).unwrap_or(0))
}

/// Everyone of one tenant. Ids are the same in every tenant, so that a row that went astray shows.
pub(super) fn cast(tenant: &TenantId, casting: &Casting<'_>) -> Cast {
    let ids = ids(casting);
    let mut people: Vec<Person> = ids.iter().enumerate().map(|(at, id)| person(tenant, at, id, casting)).collect();
    let (mut break_user, mut off_user) = (None, None);
    if casting.special_users
        && let [.., on_break, off] = people.as_mut_slice()
    {
        let break_until = casting.break_lasts.map_or(UtcMicros::MAX, |lasts| casting.start + lasts);
        on_break.calendar = Calendar::Always { break_until };
        on_break.lives = false;
        on_break.begins = Some(SimState::Unavailable);
        off.calendar = Calendar::Never;
        off.lives = false;
        off.begins = Some(SimState::Unavailable);
        break_user = Some(on_break.id.clone());
        off_user = Some(off.id.clone());
    }
    Cast { people, break_user, off_user }
}

/// The file's agents first, then as many made-up ids as are wanting.
fn ids(casting: &Casting<'_>) -> Vec<AgentId> {
    let mut ids: Vec<AgentId> = casting
        .schedule
        .map(|schedule| schedule.agents.keys().take(casting.agents).cloned().collect())
        .unwrap_or_default();
    let taken: std::collections::HashSet<AgentId> = ids.iter().cloned().collect();
    let made_up = (1..).map(|number: u32| AgentId::from(format!("u_{number:04}"))).filter(|id| !taken.contains(id));
    ids.extend(made_up.take(casting.agents.saturating_sub(taken.len())));
    ids
}

fn person(tenant: &TenantId, at: usize, id: &AgentId, casting: &Casting<'_>) -> Person {
    let made_up = |calendar, lives, begins| Person {
        id: id.clone(),
        name: name(tenant, id, casting),
        team: team(at),
        skills: skills_of(at, casting),
        calendar,
        lives,
        begins,
    };
    match casting.schedule.map(|schedule| schedule.agents.get(id)) {
        Some(Some(agent)) => Person {
            id: id.clone(),
            name: agent.name.clone(),
            team: agent.team.clone(),
            skills: skills_of(at, casting),
            calendar: Calendar::Listed(agent.shifts.clone()),
            lives: casting.lively,
            begins: None,
        },
        Some(None) => made_up(Calendar::Never, casting.lively, None),
        // The agent to try things with: always at work, not yet available, and it stays where it is put.
        None if at == 0 => made_up(Calendar::Always { break_until: casting.start }, false, Some(SimState::Unavailable)),
        None => made_up(rolling(tenant, id, casting), casting.lively, None),
    }
}

fn name(tenant: &TenantId, id: &AgentId, casting: &Casting<'_>) -> Arc<str> {
    let dice = Dice::of(casting.seed, &["name", tenant.as_str(), id.as_str()]);
    let pick = |names: &[&'static str]| dice.pick(names).copied().unwrap_or("Nobody");
    format!("{} {}", pick(&GIVEN), pick(&FAMILY)).into()
}

fn team(at: usize) -> Arc<str> {
    let letter = char::from_u32(u32::try_from(at % TEAMS).unwrap_or(0) + u32::from('A')).unwrap_or('A');
    format!("Team {letter}").into()
}

/// Shifts of about eight hours with about three hours between them, anchored at the epoch and not at the start, so that a
/// simulator started again later has the same shifts.
fn rolling(tenant: &TenantId, id: &AgentId, casting: &Casting<'_>) -> Calendar {
    let dice = Dice::of(casting.seed, &["shift", tenant.as_str(), id.as_str()]);
    let quarters = |from: u32, to: u32| {
        let seconds = dice.seconds(from * 900, to * 900 + 899).as_secs();
        UtcMicros::EPOCH + Duration::from_secs(seconds / 900 * 900)
    };
    let segment = |start: UtcMicros, minutes: u64, mandatory: bool| Segment {
        start,
        end: start + Duration::from_secs(minutes * 60),
        activity: Activity::Rest { mandatory },
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

    fn casting(agents: usize, seed: u64) -> Casting<'static> {
        let start = UtcMicros::from_micros(1_790_000_000_000_000);
        Casting { agents, schedule: None, skills: 5, lively: true, special_users: true, break_lasts: None, seed, start }
    }

    #[test]
    fn most_made_up_agents_are_on_shift_at_any_hour() {
        let casting = casting(200, 5);
        let cast = cast(&"acme".into(), &casting);
        for hour in 0..48 {
            let now = casting.start + Duration::from_secs(hour * 3600);
            let on_shift = cast.people.iter().filter(|person| person.calendar.span_at(now).phase != Phase::Off).count();
            assert!(on_shift > 110, "only {on_shift} of 200 in hour {hour}");
        }
    }

    #[test]
    fn the_special_users_are_the_last_two_and_the_first_is_at_work() {
        let casting = casting(4, 5);
        let cast = cast(&"acme".into(), &casting);
        assert_eq!(cast.break_user, Some("u_0003".into()));
        assert_eq!(cast.off_user, Some("u_0004".into()));
        let phase = |at: usize| cast.people[at].calendar.span_at(casting.start).phase;
        assert_eq!((phase(0), phase(3)), (Phase::Work, Phase::Off));
        assert_eq!(phase(2), Phase::In(Activity::Rest { mandatory: true }));
    }

    #[test]
    fn tenants_share_ids_and_not_people() {
        let casting = casting(50, 5);
        let (acme, bravo) = (cast(&"acme".into(), &casting), cast(&"bravo".into(), &casting));
        let ids = |cast: &Cast| cast.people.iter().map(|person| person.id.clone()).collect::<Vec<_>>();
        let names = |cast: &Cast| cast.people.iter().map(|person| person.name.clone()).collect::<Vec<_>>();
        assert_eq!(ids(&acme), ids(&bravo));
        assert_ne!(names(&acme), names(&bravo));
    }
}
