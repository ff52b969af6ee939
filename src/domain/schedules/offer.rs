//! Offers of intraday changes: time off, overtime or a moved break, which agents accept or decline. Nobody is forced, and
//! the first to accept get the places.

use std::sync::Arc;

use jiff::civil::Date;

use super::edit::ShiftEdit;
use crate::domain::ids::{AgentId, OfferId, TeamName, TenantId};
use crate::domain::time::UtcMicros;
use crate::domain::wording::named_enum;

/// The largest number of agents to whom one offer can be made.
pub const MAX_OFFERED_AGENTS: usize = 500;

/// An edit of the shifts of one day that is offered to agents.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Offer {
    /// The id; sorts by the time of the offer.
    pub id: OfferId,
    /// The tenant of the agents.
    pub tenant: TenantId,
    /// The local day in each agent's zone.
    pub day: Date,
    /// The edit of the shifts that begin on the day.
    pub edit: ShiftEdit,
    /// How many agents can accept.
    pub places: u32,
    /// Until when agents can answer.
    pub expires_at: UtcMicros,
    /// When the offer was made, or proposed by a rule.
    pub made_at: UtcMicros,
    /// Who made it: a person, or the rule that proposed it.
    pub made_by: Arc<str>,
    /// When and by whom it was approved; `None` while it is only proposed. What a person offers is approved when it is
    /// made.
    pub approved: Option<(UtcMicros, Arc<str>)>,
    /// When and by whom it was withdrawn.
    pub withdrawn: Option<(UtcMicros, Arc<str>)>,
    /// The agents to whom it was made, by id.
    pub agents: Vec<OfferedAgent>,
}

/// An agent to whom an offer was made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OfferedAgent {
    /// The agent.
    pub agent: AgentId,
    /// The agent's present name.
    pub name: Option<Arc<str>>,
    /// The agent's present team.
    pub team: Option<TeamName>,
    /// The agent's answer.
    pub answer: Option<OfferAnswer>,
}

/// An agent's answer to an offer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OfferAnswer {
    /// When the agent answered.
    pub at: UtcMicros,
    /// The version of the schedule that the agent's acceptance made; `None` if the agent declined.
    pub accepted_as: Option<u64>,
}

impl OfferAnswer {
    /// Returns the name of the answer in the store and the API.
    pub const fn name(self) -> &'static str {
        match self.accepted_as {
            Some(_) => "accepted",
            None => "declined",
        }
    }
}

named_enum! {
    /// Whether an offer can be accepted.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub enum OfferStatus {
        /// A rule proposed it. It is not made before a person approves it.
        Proposed = "proposed",
        /// It can be accepted.
        Open = "open",
        /// All places are taken.
        Filled = "filled",
        /// The time to answer is over.
        Expired = "expired",
        /// It was withdrawn.
        Withdrawn = "withdrawn",
    }
}

impl Offer {
    /// Returns what the offer changes, such as `shift ends 60 min earlier on 2026-10-26`.
    pub fn change_text(&self) -> String {
        format!("{} on {}", self.edit, self.day)
    }

    /// Returns how many agents accepted.
    pub fn accepted(&self) -> usize {
        self.answers().filter(|answer| answer.accepted_as.is_some()).count()
    }

    /// Returns how many agents declined.
    pub fn declined(&self) -> usize {
        self.answers().filter(|answer| answer.accepted_as.is_none()).count()
    }

    fn answers(&self) -> impl Iterator<Item = OfferAnswer> {
        self.agents.iter().filter_map(|agent| agent.answer)
    }

    /// Returns the answer of an agent.
    pub fn answer_of(&self, agent: &AgentId) -> Option<OfferAnswer> {
        self.agents.iter().find(|offered| offered.agent == *agent)?.answer
    }

    /// Returns whether the offer can be accepted.
    pub fn status(&self, now: UtcMicros) -> OfferStatus {
        if self.withdrawn.is_some() {
            OfferStatus::Withdrawn
        } else if self.accepted() >= self.places.try_into().unwrap_or(usize::MAX) {
            OfferStatus::Filled
        } else if self.expires_at <= now {
            OfferStatus::Expired
        } else if self.approved.is_none() {
            OfferStatus::Proposed
        } else {
            OfferStatus::Open
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::schedules::schedule::Activity;

    fn at(seconds: i64) -> UtcMicros {
        UtcMicros::from_micros(seconds * 1_000_000)
    }

    fn offered(agent: &str, answer: Option<OfferAnswer>) -> OfferedAgent {
        OfferedAgent { agent: agent.into(), name: None, team: None, answer }
    }

    #[test]
    fn an_offer_is_open_until_its_places_are_taken_its_time_is_over_or_it_is_withdrawn() {
        let answer = |accepted_as| Some(OfferAnswer { at: at(5), accepted_as });
        let offer = Offer {
            id: OfferId(uuid::Uuid::nil()),
            tenant: "acme".into(),
            day: jiff::civil::date(2026, 10, 26),
            edit: ShiftEdit::Move { activity: Activity::Break, start: None, by_minutes: 30 },
            places: 2,
            expires_at: at(100),
            made_at: at(0),
            made_by: "person:floor".into(),
            approved: Some((at(0), "person:floor".into())),
            withdrawn: None,
            agents: vec![offered("u_1", answer(Some(7))), offered("u_2", answer(None)), offered("u_3", None)],
        };
        assert_eq!((offer.accepted(), offer.declined()), (1, 1));
        for (places, now, withdrawn, status) in [
            (2, 99, None, OfferStatus::Open),
            (2, 100, None, OfferStatus::Expired),
            (1, 99, None, OfferStatus::Filled),
            (1, 100, None, OfferStatus::Filled),
            (2, 99, Some((at(50), "person:floor".into())), OfferStatus::Withdrawn),
        ] {
            let offer = Offer { places, withdrawn, ..offer.clone() };
            assert_eq!(offer.status(at(now)), status, "{places} places at {now}");
            let proposed = Offer { approved: None, agents: vec![offered("u_3", None)], ..offer };
            let expected = match status {
                OfferStatus::Open | OfferStatus::Filled if now < 100 => OfferStatus::Proposed,
                OfferStatus::Filled => OfferStatus::Expired,
                other => other,
            };
            assert_eq!(proposed.status(at(now)), expected, "proposed, at {now}");
        }
        assert_eq!(offer.answer_of(&"u_1".into()).map(OfferAnswer::name), Some("accepted"));
        assert_eq!(offer.answer_of(&"u_2".into()).map(OfferAnswer::name), Some("declined"));
        assert_eq!(offer.answer_of(&"u_3".into()), None);
    }
}
