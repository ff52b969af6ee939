//! Tells viewers what a pass committed, and shows them the picture.
//!
//! Nothing is told before its commit, and nothing is worked out while nobody watches. What time alone brings about (a shift
//! begins, a tolerance is used up) is looked for once a second.

use std::sync::Arc;
use std::time::Duration;

use super::Keeper;
use crate::domain::adherence::{LiveVerdict, Verdict};
use crate::domain::agents::agent::Agent;
use crate::domain::agents::roster::{AgentIndex, AgentSlot};
use crate::domain::ids::AgentId;
use crate::domain::live::figures::Figures;
use crate::domain::rules::planner::verdict;
use crate::domain::time::UtcMicros;
use crate::engine::agents::board::{AgentCard, Board};
use crate::engine::live::frame::{Frame, Kind};
use crate::engine::live::message::{
    AdherenceBody, AgentBody, AgentShown, FiguresShown, Freshness, GoneBody, QueueBody, SkillBody, TransitionBody,
    TransitionShown, frame, place_of, planned, row_frame,
};
use crate::engine::live::narrow::{About, Place};
use crate::engine::live::snapshot::{List, Snapshot};
use crate::store::{Commit, HistoryRow, HistoryWrite};

/// Verdicts are looked at this often.
const JUDGE_EVERY: Duration = Duration::from_secs(1);

/// What viewers were told of an agent last, as far as it takes to tell what is new.
#[derive(Clone, Debug)]
struct Told {
    name: Option<Arc<str>>,
    place: Place,
    verdict: Verdict,
    /// The plan's next edge: another one means that something else is planned.
    until: UtcMicros,
}

impl Told {
    fn of(slot: &AgentSlot, judged: LiveVerdict, now: UtcMicros) -> Self {
        Self {
            name: slot.agent().name.clone(),
            place: place_of(slot),
            verdict: judged.verdict,
            until: slot.standing(now).until(),
        }
    }

    fn is_who(&self, agent: &Agent) -> bool {
        self.name == agent.name && self.place.team == agent.team
    }
}

/// What viewers were told; empty while nobody watches.
#[derive(Default, Debug)]
pub(super) struct Shown {
    /// By place in the roster.
    told: Vec<Option<Told>>,
    judged_at: UtcMicros,
    figures: Arc<Figures>,
}

/// What viewers will be told of a commit once it is made.
pub(super) struct Draft {
    /// A row for each step of history.
    rows: Vec<DraftRow>,
    transitions: Vec<(Frame, About)>,
}

struct DraftRow {
    agent: AgentId,
    at: UtcMicros,
    row: Option<HistoryRow>,
}

impl DraftRow {
    fn of(step: &HistoryWrite) -> Self {
        match step {
            HistoryWrite::Enter(row) => Self { agent: row.agent.clone(), at: row.entered_at, row: Some(row.clone()) },
            HistoryWrite::Retime { agent, to, .. } => Self { agent: agent.clone(), at: *to, row: None },
            HistoryWrite::Remove { agent, entered_at, .. } => Self { agent: agent.clone(), at: *entered_at, row: None },
        }
    }
}

impl Keeper {
    /// What there is to tell of a commit; `None` while nobody watches.
    pub(super) fn to_tell(&self, now: UtcMicros, commit: &Commit) -> Option<Draft> {
        if !self.link.live.is_watched() {
            return None;
        }
        let transitions = commit.transitions.iter().map(|transition| {
            let slot = self.roster.agent(transition.agent.as_str());
            let team = slot.and_then(|slot| slot.agent().team.as_ref());
            let body = TransitionBody { transition: TransitionShown::of(transition, team) };
            let about = About::agent(slot.map(place_of).unwrap_or_default());
            (frame(Kind::Transition, &self.link.tenant, None, now, body), about)
        });
        Some(Draft { rows: commit.history.iter().map(DraftRow::of).collect(), transitions: transitions.collect() })
    }

    /// After the commit: tells it. `ids` are those of its steps of history.
    pub(super) fn publish(&mut self, now: UtcMicros, draft: Option<Draft>, committed: bool, ids: &[Option<u64>]) {
        let seen_at = self.sight_ages(now).map(|(_, newest, _)| newest).min().flatten();
        self.link.live.set_freshness(Freshness { seen_at, feed_heard_at: self.link.feed().last_message_at });
        let Some(draft) = draft else {
            // What time alone brought about went untold as well.
            if committed || !self.shown.told.is_empty() {
                self.link.live.skip(ids.iter().flatten().max().copied());
            }
            self.shown.told = Vec::new();
            return;
        };
        let mut messages = Vec::with_capacity(draft.rows.len() + draft.transitions.len());
        for (row, id) in draft.rows.iter().zip(ids) {
            messages.extend(id.and_then(|id| self.tell_row(row, id, now)));
        }
        messages.extend(draft.transitions);
        self.tell_figures(now, &mut messages);
        if self.shown.judged_at > now || now.since(self.shown.judged_at) >= JUDGE_EVERY {
            self.judge(now, &mut messages);
        }
        self.link.live.publish(messages);
    }

    /// A row as it was committed: as the agent is now, where it is the agent's latest.
    fn tell_row(&mut self, drafted: &DraftRow, id: u64, now: UtcMicros) -> Option<(Frame, About)> {
        let index = self.roster.find(drafted.agent.as_str());
        let slot = index.and_then(|index| self.roster.get(index));
        let is_latest = slot.and_then(AgentSlot::observed).is_some_and(|observed| observed.row_at == drafted.at);
        if let Some(index) = index.filter(|_| is_latest) {
            return self.tell_agent(index, Some(id), now);
        }
        let (row, agent) = (drafted.row.as_ref()?, slot.map(AgentSlot::agent));
        let place = Place {
            team: agent.and_then(|agent| agent.team.clone()),
            queue: row.queue.clone(),
            skills: slot.map(|slot| slot.skills().clone()).unwrap_or_default(),
        };
        Some((row_frame(id, row, agent, now), About::agent(place)))
    }

    fn tell_agent(&mut self, index: AgentIndex, id: Option<u64>, now: UtcMicros) -> Option<(Frame, About)> {
        let slot = self.roster.get(index)?;
        let judged = verdict(slot, &self.settings.decide, now);
        let body = AgentBody { agent: self.shown_agent(slot, judged, now) };
        let frame = frame(Kind::Agent, &self.link.tenant, id, now, body);
        let told = Told::of(slot, judged, now);
        let place = told.place.clone();
        let before = self.shown.told.get_mut(index.position()).and_then(|known| known.replace(told));
        Some((frame, before.map_or(About::agent(place.clone()), |before| About::moved(place, before.place))))
    }

    fn shown_agent<'a>(&'a self, slot: &'a AgentSlot, judged: LiveVerdict, now: UtcMicros) -> AgentShown<'a> {
        let open = self.book.of_agent(slot.id()).map(|open| &open.transition).next();
        AgentShown::of(slot, judged, open, now)
    }

    /// Looks at all agents for what nobody was told of: other verdicts, other plans, other names, new agents. The first look
    /// after nobody watched tells nothing: who comes gets the picture.
    fn judge(&mut self, now: UtcMicros, messages: &mut Vec<(Frame, About)>) {
        self.shown.judged_at = now;
        let first = self.shown.told.is_empty();
        self.shown.told.resize(self.roster.len(), None);
        let mut news = Vec::new();
        for (index, slot) in self.roster.iter() {
            let judged = verdict(slot, &self.settings.decide, now);
            let known = &mut self.shown.told[index.position()];
            if first {
                *known = Some(Told::of(slot, judged, now));
                continue;
            }
            let until = slot.standing(now).until();
            match known.as_mut().filter(|known| known.is_who(slot.agent())) {
                None => news.push(index),
                Some(known) if (known.verdict, known.until) != (judged.verdict, until) => {
                    (known.verdict, known.until) = (judged.verdict, until);
                    let (agent, team) = (slot.id(), slot.agent().team.as_ref());
                    let body = AdherenceBody { agent, team, adherence: judged.into(), planned: planned(slot, now) };
                    let frame = frame(Kind::Adherence, &self.link.tenant, None, now, body);
                    messages.push((frame, About::agent(place_of(slot))));
                }
                Some(_) => {}
            }
        }
        for index in news {
            messages.extend(self.tell_agent(index, None, now));
        }
    }

    /// Figures that were read since viewers were told of them last.
    fn tell_figures(&mut self, now: UtcMicros, messages: &mut Vec<(Frame, About)>) {
        let newest = self.link.figures.borrow().clone();
        if Arc::ptr_eq(&newest, &self.shown.figures) {
            return;
        }
        let told = std::mem::replace(&mut self.shown.figures, newest.clone());
        let tenant = &self.link.tenant;
        for skill in newest.skills.iter().filter(|taken| told.skill(taken.figures.id.as_str()) != Some(*taken)) {
            let shown = FiguresShown::of_skill(skill, now);
            messages.push((frame(Kind::Skill, tenant, None, now, SkillBody { skill: &shown }), shown.about()));
        }
        for queue in newest.queues.iter().filter(|taken| told.queue(taken.figures.id.as_str()) != Some(*taken)) {
            let shown = FiguresShown::of_queue(queue, now);
            messages.push((frame(Kind::Queue, tenant, None, now, QueueBody { queue: &shown }), shown.about()));
        }
    }

    /// The picture as it is, for viewers.
    pub(super) fn show(&mut self, now: UtcMicros) -> Snapshot {
        let mut messages = Vec::new();
        self.judge(now, &mut messages);
        self.tell_figures(now, &mut messages);
        self.link.live.publish(messages);
        let mut snapshot = self.link.live.begin_snapshot(now);
        for slot in self.roster.slots() {
            let judged = verdict(slot, &self.settings.decide, now);
            snapshot.push(List::Agents, About::agent(place_of(slot)), &self.shown_agent(slot, judged, now));
        }
        for shown in self.shown.figures.skills.iter().map(|skill| FiguresShown::of_skill(skill, now)) {
            snapshot.push(List::Skills, shown.about(), &shown);
        }
        for shown in self.shown.figures.queues.iter().map(|queue| FiguresShown::of_queue(queue, now)) {
            snapshot.push(List::Queues, shown.about(), &shown);
        }
        snapshot
    }

    /// The agents as they stand, for lists.
    pub(super) fn board(&self, now: UtcMicros) -> Board {
        let thresholds = self.link.thresholds.borrow().clone();
        let card = |slot: &AgentSlot| {
            let open = self.book.of_agent(slot.id()).map(|open| &open.transition).next();
            AgentCard::of(slot, verdict(slot, &self.settings.decide, now), open, &thresholds, now)
        };
        let seen_at = self.link.live.freshness().seen_at;
        Board::new(now, seen_at, &self.settings.decide, self.roster.slots().iter().map(card).collect())
    }

    /// An agent has left the roster, and the last one took the free place.
    pub(super) fn tell_gone(&mut self, agent: &AgentId, free: AgentIndex, now: UtcMicros) {
        if self.shown.told.is_empty() {
            return;
        }
        self.shown.told.resize(self.roster.len() + 1, None);
        let told = self.shown.told.swap_remove(free.position());
        let about = About::agent(told.map(|told| told.place).unwrap_or_default());
        let gone = frame(Kind::Gone, &self.link.tenant, None, now, GoneBody { agent });
        self.link.live.publish([(gone, about)]);
    }
}
