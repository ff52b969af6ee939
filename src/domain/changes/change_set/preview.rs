//! The preview: one ruling per agent, and the floors over all of them together.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{AgainstPlan, FloorShown, Outcome, Previewed, Wanted, WantedOf};
use crate::domain::adherence::{AdherenceSettings, Verdict};
use crate::domain::agents::roster::{AgentSlot, Roster};
use crate::domain::agents::skill::{Skill, is_available, staffing};
use crate::domain::agents::state::AgentState;
use crate::domain::changes::policy::{OnContact, PolicyFacts, Ruling, UnscheduledForbids, rule_on};
use crate::domain::changes::priority::Priority;
use crate::domain::ids::{AgentId, SkillId, TeamName};
use crate::domain::schedules::schedule::Activity;
use crate::domain::time::{UtcMicros, rough_duration_text};

/// What a preview is worked out from.
#[derive(Clone, Copy)]
pub struct Picture<'a> {
    /// The tenant's agents.
    pub roster: &'a Roster,
    /// Whether an open change takes the agent out of work.
    pub leaves: &'a dyn Fn(&AgentSlot) -> bool,
    /// How urgent the agent's open change is that has not left yet and goes its way by itself.
    pub waiting: &'a dyn Fn(&AgentSlot) -> Option<Priority>,
    /// What policy forbids, and when a sight is too old.
    pub policy: Policy,
    /// Which states agree with what is planned.
    pub adherence: &'a AdherenceSettings,
    /// Now.
    pub now: UtcMicros,
}

/// The settings that a preview goes by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Policy {
    /// Targets forbidden to the unscheduled.
    pub unscheduled_forbids: UnscheduledForbids,
    /// A sight older than this does not tell what an agent is doing.
    pub stale_after: Duration,
}

/// What would happen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Preview {
    /// Each agent, in the order that was asked for.
    pub agents: Vec<Previewed>,
    /// The skills with floors that these agents carry, by id.
    pub floors: Vec<FloorShown>,
    /// State changes that are sent, those for the reason's sake included.
    pub posts: usize,
    /// Calls for agents who are in the state already, questions included.
    pub reason_calls: usize,
    /// Questions that the platform is asked before.
    pub questions: usize,
    /// The teams of the agents.
    pub teams: BTreeSet<TeamName>,
    /// Some agent has no team.
    pub teamless: bool,
}

/// Which agents are meant: all that are given must hold, and of each list one.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Selection {
    /// Teams by name.
    pub teams: Vec<TeamName>,
    /// States that the last sight showed.
    pub states: Vec<AgentState>,
    /// Skills by id or name, and queues by the platform's name.
    pub skills: Vec<String>,
    /// Verdicts of now.
    pub verdicts: Vec<Verdict>,
    /// A part of the id or the name, in any case of letters.
    pub search: Option<String>,
}

impl Selection {
    /// Whether an agent is meant.
    pub fn takes(&self, slot: &AgentSlot, verdict: impl FnOnce() -> Verdict) -> bool {
        let (agent, observed) = (slot.agent(), slot.observed());
        let team = self.teams.is_empty() || agent.team.as_ref().is_some_and(|team| self.teams.contains(team));
        let state = self.states.is_empty() || observed.is_some_and(|seen| self.states.contains(&seen.state));
        let queue = || observed.and_then(|seen| seen.queue.as_deref());
        let called = |word: &String| slot.skills().iter().any(|skill| skill.is_called(word)) || queue() == Some(word);
        let skill = self.skills.is_empty() || self.skills.iter().any(called);
        let found = self.search.as_deref().is_none_or(|part| {
            let part = part.trim().to_lowercase();
            let name = agent.name.as_deref().map(str::to_lowercase);
            agent.id.as_str().to_lowercase().contains(&part) || name.is_some_and(|name| name.contains(&part))
        });
        team && state && skill && found && (self.verdicts.is_empty() || self.verdicts.contains(&verdict()))
    }
}

/// Works out what would happen to each agent.
pub fn preview(picture: Picture<'_>, wanted: &Wanted) -> Preview {
    let mut floors = Floors::of(picture, wanted);
    let mut preview = Preview {
        agents: Vec::with_capacity(wanted.agents.len()),
        floors: Vec::new(),
        posts: 0,
        reason_calls: 0,
        questions: 0,
        teams: BTreeSet::new(),
        teamless: false,
    };
    for one in &wanted.agents {
        let known = picture.roster.agent(one.agent.as_str());
        let slot = known.filter(|slot| is_of_teams(slot, wanted.teams.as_ref()));
        let ruled = slot.map_or_else(Ruled::unknown, |slot| rule(picture, wanted, one, slot));
        if let Some(slot) = slot {
            match &slot.agent().team {
                Some(team) => {
                    preview.teams.insert(team.clone());
                }
                None => preview.teamless = true,
            }
        }
        let mut shown = Previewed {
            agent: one.agent.clone(),
            state: slot.and_then(AgentSlot::observed).map(|seen| seen.state.clone()),
            state_reason: slot.and_then(AgentSlot::observed).and_then(|seen| seen.reason.clone()),
            to: one.to.clone(),
            reason: one.reason.clone(),
            takes_back: one.takes_back,
            outcome: ruled.outcome,
            why: ruled.why,
            skills: Vec::new(),
            against: slot.map(|slot| against_plan(picture, slot, &one.to)),
        };
        if let Some(slot) = slot.filter(|_| shown.outcome.changes()) {
            floors.take(picture, wanted, slot, &mut shown);
        }
        if shown.outcome.changes() {
            preview.posts += 1;
            preview.questions += ruled.questions;
            if shown.outcome == Outcome::ChangeReason {
                preview.reason_calls += 1 + ruled.questions;
            }
        }
        preview.agents.push(shown);
    }
    preview.floors = floors.shown();
    preview
}

/// Whether an agent is within the reach of somebody who is bound to teams.
fn is_of_teams(slot: &AgentSlot, teams: Option<&BTreeSet<TeamName>>) -> bool {
    teams.is_none_or(|teams| slot.agent().team.as_ref().is_some_and(|team| teams.contains(team)))
}

/// What is planned for the agent now, and how the wanted state would agree with it.
fn against_plan(picture: Picture<'_>, slot: &AgentSlot, to: &AgentState) -> AgainstPlan {
    let standing = slot.standing(picture.now);
    let activity = standing.activity(slot.plan());
    let verdict = picture.adherence.judge_lasting(standing.kind(), activity, to);
    let is_excused = matches!(verdict, Verdict::In | Verdict::Out) && slot.excused(picture.now).is_some();
    AgainstPlan {
        planned: activity.map_or_else(|| standing.kind().name(), Activity::name).into(),
        until: Some(standing.until()).filter(|until| *until != UtcMicros::MAX),
        would_be: if is_excused { Verdict::Neutral } else { verdict },
    }
}

/// What one agent's own facts say, before the floors.
struct Ruled {
    outcome: Outcome,
    why: Option<String>,
    questions: usize,
}

impl Ruled {
    const fn plain(outcome: Outcome) -> Self {
        Self { outcome, why: None, questions: 0 }
    }

    fn unknown() -> Self {
        Self::plain(Outcome::UnknownAgent)
    }

    fn because(outcome: Outcome, why: impl Into<String>) -> Self {
        Self { outcome, why: Some(why.into()), questions: 0 }
    }
}

fn rule(picture: Picture<'_>, wanted: &Wanted, one: &WantedOf, slot: &AgentSlot) -> Ruled {
    if let Some((outcome, why)) = &one.aside {
        return Ruled { outcome: *outcome, why: why.clone(), questions: 0 };
    }
    if let Some(ruled) = rule_on_sight(picture, wanted, one, slot) {
        return ruled;
    }
    match (picture.waiting)(slot) {
        Some(Priority::MandatoryBreak) => return Ruled::plain(Outcome::BreakUnderWay),
        Some(Priority::Urgent) if !wanted.urgent => return Ruled::plain(Outcome::UrgentUnderWay),
        Some(Priority::Housekeeping | Priority::Schedule | Priority::Person | Priority::Urgent) | None => {}
    }
    let ruled = rule_by_policy(picture, wanted.on_contact, one, slot);
    let in_state = slot.observed().is_some_and(|seen| seen.state == one.to);
    if in_state && ruled.outcome == Outcome::Change {
        return Ruled { outcome: Outcome::ChangeReason, ..ruled };
    }
    ruled
}

/// Why nothing is sent for an agent of whom only the reason would change.
pub const ONLY_THE_REASON: &str = "only the reason would change; even_if_in_state asks for that";

/// What can be told of the agent at all.
fn rule_on_sight(picture: Picture<'_>, wanted: &Wanted, one: &WantedOf, slot: &AgentSlot) -> Option<Ruled> {
    let seen = match (slot.observed(), slot.seen_at()) {
        (None, _) | (_, None) => return Some(Ruled::plain(Outcome::Unseen)),
        (Some(seen), Some(_)) if seen.state.is_out_of_sight() => return Some(Ruled::plain(Outcome::Unseen)),
        (Some(seen), Some(seen_at)) => {
            let age = picture.now.since(seen_at);
            if age > picture.policy.stale_after {
                return Some(Ruled::because(Outcome::Stale, format!("last seen {} ago", rough_duration_text(age))));
            }
            seen
        }
    };
    if one.takes_back.is_some() && seen.transition != one.takes_back {
        let reason = seen.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        return Some(Ruled::because(
            Outcome::MovedOn,
            format!("is {}{reason} since {:.0}", seen.state, seen.entered_at),
        ));
    }
    if seen.state == one.to {
        // No snapshot shows which reason a state has. A change back was asked for with the reason.
        let other_reason = one.reason.as_ref().is_some_and(|named| seen.reason.as_ref() != Some(named));
        return match (other_reason, wanted.even_if_in_state || one.takes_back.is_some()) {
            (false, _) => Some(Ruled::plain(Outcome::AlreadyThere)),
            (true, true) => None,
            (true, false) => Some(Ruled::because(Outcome::AlreadyThere, ONLY_THE_REASON)),
        };
    }
    (seen.state == AgentState::LoggedOut).then(|| Ruled::plain(Outcome::LoggedOut))
}

fn rule_by_policy(picture: Picture<'_>, on_contact: OnContact, one: &WantedOf, slot: &AgentSlot) -> Ruled {
    let standing = slot.standing(picture.now);
    let state = slot.observed().map(|seen| &seen.state);
    let facts = PolicyFacts { planned: standing.planned(slot.plan()), platform: slot.platform(picture.now), state };
    let busy_with_contact = state.is_some_and(AgentState::is_on_contact);
    match rule_on(&one.to, facts, picture.policy.unscheduled_forbids, on_contact) {
        Ruling::Allow if busy_with_contact => Ruled::because(Outcome::Change, "on a contact; changed all the same"),
        Ruling::Allow => Ruled::plain(Outcome::Change),
        Ruling::HoldForContact => Ruled::plain(Outcome::AfterContact),
        Ruling::SkipOnContact => Ruled::plain(Outcome::OnContact),
        Ruling::HoldForBreak(until) => {
            Ruled { outcome: Outcome::MandatoryBreak, why: until.map(|until| format!("until {until}")), questions: 0 }
        }
        Ruling::Refuse(violation) => Ruled::because(Outcome::NotScheduled, violation.code()),
        Ruling::AskPlatform => {
            // The schedule, and for Ready the break too.
            let questions = if one.to == AgentState::Ready { 2 } else { 1 };
            let why = Some("no imported schedule speaks for now: the platform is asked first".to_owned());
            let outcome = match on_contact {
                OnContact::After if busy_with_contact => Outcome::AfterContact,
                OnContact::Skip if busy_with_contact => return Ruled::plain(Outcome::OnContact),
                OnContact::Now | OnContact::After | OnContact::Skip => Outcome::Change,
            };
            Ruled { outcome, why, questions }
        }
    }
}

/// What is left of each skill that has a floor, as the agents are gone through.
struct Floors(BTreeMap<SkillId, FloorShown>);

impl Floors {
    fn of(picture: Picture<'_>, wanted: &Wanted) -> Self {
        let mut shown: BTreeMap<SkillId, FloorShown> = BTreeMap::new();
        let mut add = |skill: &Skill| {
            if let Some(floor) = skill.floor {
                let new =
                    || FloorShown { skill: skill.id.clone(), name: skill.name.clone(), available: 0, after: 0, floor };
                shown.entry(skill.id.clone()).or_insert_with(new);
            }
        };
        for one in &wanted.agents {
            let known = picture.roster.agent(one.agent.as_str());
            if let Some(slot) = known.filter(|slot| is_of_teams(slot, wanted.teams.as_ref())) {
                slot.skills().iter().for_each(|skill| add(skill));
            }
        }
        if !shown.is_empty() {
            let staffed = staffing(picture.roster, picture.policy.stale_after, picture.now, picture.leaves);
            for (skill, floor) in &mut shown {
                let available = staffed.get(skill).map_or(0, |count| count.available);
                (floor.available, floor.after) = (available, available);
            }
        }
        Self(shown)
    }

    /// Takes an agent out of work, or says which skills that would bring below their floors.
    fn take(&mut self, picture: Picture<'_>, wanted: &Wanted, slot: &AgentSlot, shown: &mut Previewed) {
        let stays = shown.to.is_working();
        let counted = is_available(slot, picture.policy.stale_after, picture.now) && !(picture.leaves)(slot);
        if stays || !counted {
            return;
        }
        let below: Vec<SkillId> = slot
            .skills()
            .iter()
            .filter(|skill| self.0.get(&skill.id).is_some_and(|floor| floor.after <= floor.floor))
            .map(|skill| skill.id.clone())
            .collect();
        if !below.is_empty() && wanted.below_floor.is_none() {
            let floors: Vec<String> = below.iter().filter_map(|skill| self.0.get(skill)).map(in_words).collect();
            shown.outcome = Outcome::BelowFloor;
            shown.why = Some(floors.join(", "));
            shown.skills = below;
            return;
        }
        for skill in slot.skills().iter() {
            if let Some(floor) = self.0.get_mut(&skill.id) {
                floor.after = floor.after.saturating_sub(1);
            }
        }
    }

    fn shown(self) -> Vec<FloorShown> {
        self.0.into_values().collect()
    }
}

fn in_words(floor: &FloorShown) -> String {
    let name = floor.name.as_deref().unwrap_or(floor.skill.as_str());
    format!("{name} would have {} available, its floor is {}", floor.after.saturating_sub(1), floor.floor)
}

/// Agents of a selection, by id.
pub fn selected(
    roster: &Roster,
    teams: Option<&BTreeSet<TeamName>>,
    selection: &Selection,
    verdict: impl Fn(&AgentSlot) -> Verdict,
) -> Vec<AgentId> {
    let slots = roster.slots().iter().filter(|slot| is_of_teams(slot, teams));
    let mut agents: Vec<AgentId> =
        slots.filter(|slot| selection.takes(slot, || verdict(slot))).map(|slot| slot.id().clone()).collect();
    agents.sort();
    agents
}
