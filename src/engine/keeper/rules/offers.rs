//! Proposes the offers of rules, which are made when a person approves them.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::civil::Date;
use serde_json::json;

use super::{NewFinding, intent_explanation};
use crate::domain::changes::transition::Actor;
use crate::domain::ids::{OfferId, RuleId};
use crate::domain::rules::planner::{Intent, RuleAction};
use crate::domain::schedules::edit::ShiftEdit;
use crate::domain::schedules::offer::{MAX_OFFERED_AGENTS, Offer, OfferedAgent};
use crate::domain::webhooks::event::OfferProposed;
use crate::engine::keeper::pass::Pass;
use crate::engine::keeper::state::Keeper;
use crate::store::{FindingKind, OfferWrite};

/// The offers that the rules propose in one pass, by rule and day. A rule whose agents have several local days proposes
/// one for each.
#[derive(Default)]
pub(super) struct ProposedOffers<'d>(BTreeMap<(RuleId, Date), ProposedOffer<'d>>);

struct ProposedOffer<'d> {
    edit: &'d ShiftEdit,
    places: u32,
    open_minutes: u32,
    intents: Vec<&'d Intent>,
}

impl Keeper {
    /// Adds the agent of an intent to the offer of its rule. If the offer is for as many agents as it may be, the rule
    /// finds the agent again in a later pass.
    pub(super) fn add_to_offer<'d>(&self, pass: &Pass, offers: &mut ProposedOffers<'d>, intent: &'d Intent) {
        let RuleAction::Offer { edit, places, open_minutes } = &intent.action else { return };
        let slot = self.roster.get(intent.index);
        let shift_start = slot.and_then(|slot| slot.plan_position(pass.now).current_or_next_shift_start());
        let tracking = self.agent_tracking.get(intent.index.position());
        let Some((start, tracking)) = shift_start.zip(tracking) else { return };
        let key = (intent.rule.clone(), tracking.local_day(start));
        let offer = offers.0.entry(key).or_insert_with(|| ProposedOffer {
            edit,
            places: *places,
            open_minutes: *open_minutes,
            intents: Vec::new(),
        });
        if offer.intents.len() < MAX_OFFERED_AGENTS {
            offer.intents.push(intent);
        }
    }

    /// Records the proposed offers, with what led to them for each agent.
    pub(super) fn propose_offers(&mut self, pass: &mut Pass, offers: ProposedOffers<'_>) {
        for ((rule, day), proposed) in offers.0 {
            let ProposedOffer { edit, places, open_minutes, intents } = proposed;
            let id = OfferId(self.link.random.time_ordered_id(pass.now));
            let mut agents = Vec::new();
            for intent in &intents {
                let actor = Actor::Rule { id: rule.clone(), version: intent.rule_version.clone() };
                let mut details = intent_explanation(intent);
                details["offer"] = json!(id);
                self.audit_agent(pass, intent.index, &actor, "offer.proposed", details);
                self.record_finding(pass, &NewFinding::from_intent(FindingKind::Notified, intent));
                self.record_action(pass, intent);
                agents.push(OfferedAgent { agent: intent.agent.clone(), name: None, team: None, answer: None });
            }
            agents.sort_by(|one, other| one.agent.cmp(&other.agent));
            let offer = Offer {
                id,
                tenant: self.link.tenant.clone(),
                day,
                edit: edit.clone(),
                places,
                expires_at: pass.now + Duration::from_mins(open_minutes.into()),
                made_at: pass.now,
                made_by: format!("rule:{rule}").into(),
                approved: None,
                withdrawn: None,
                agents,
            };
            let event = OfferProposed {
                offer_id: id,
                rule_id: rule,
                change: offer.change_text(),
                agents: offer.agents.len(),
                places,
                expires_at: offer.expires_at,
            };
            self.record_event(pass, event);
            pass.commit.offers.push(OfferWrite::Make(offer));
        }
    }
}
