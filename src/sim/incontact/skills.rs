//! The activity of skills: the simulator's figures of queues under the names of the published services.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::sim::call::Call;
use crate::sim::contacts::{SERVICE_THRESHOLD, Skill};
use crate::sim::faults::FaultKind;
use crate::sim::figures::SkillFigures;
use crate::sim::platform_state::Tenant;
use crate::sim::wire::{self, Problem};

use super::operations::PublishedReply;
use super::page::{ListQuery, flag_in_query, instant_in_query};
use super::trap::Trap;

/// The media type of the simulator's contacts: calls.
const PHONE: &str = "4";
/// The share of contacts to answer in time, in percent.
const SERVICE_GOAL_PERCENT: u32 = 80;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Search {
    fields: Option<String>,
    top: Option<usize>,
    skip: Option<usize>,
    #[serde(default)]
    filter: Filter,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Filter {
    skill_ids: Option<Vec<u32>>,
}

impl Tenant {
    fn skill_row(&self, skill: &Skill, figures: &SkillFigures, skew_ms: i64) -> Value {
        let now = self.world.current_time();
        let queue = &figures.queue;
        json!({
            "skillId": skill.id,
            "skillName": &*skill.name,
            "isActive": true,
            "isOutbound": false,
            "mediaTypeId": 4,
            "agentsAvailable": figures.available,
            "agentsUnavailable": figures.unavailable,
            "agentsIdle": figures.available,
            "agentsWorking": figures.on_contact,
            "agentsACW": figures.wrapping_up,
            "agentsLoggedIn": figures.staffed,
            "queueCount": queue.waiting,
            "skillQueueCount": queue.waiting,
            "personalQueueCount": 0,
            "parkedCount": 0,
            "contactsActive": queue.waiting + figures.on_contact,
            "earliestQueueTime": (queue.waiting > 0).then(|| wire::instant_text(now - queue.longest, skew_ms)),
            "inSLA": queue.in_time,
            "outSLA": queue.late,
            "serviceLevel": queue.service_level * 100.0,
            "serviceLevelGoal": SERVICE_GOAL_PERCENT,
            "serviceLevelThreshold": SERVICE_THRESHOLD.as_secs(),
            "serverTime": wire::instant_text(now, skew_ms),
        })
    }

    fn skill_rows(&self, only: Option<&[u32]>, skew_ms: i64, fault: Option<FaultKind>) -> Vec<Value> {
        let figures = self.world.figures();
        let listed = self.world.skills().iter().zip(&figures);
        let listed = listed.filter(|(skill, _)| only.is_none_or(|only| only.contains(&skill.id)));
        let rows = listed.map(|(skill, figures)| self.skill_row(skill, figures, skew_ms)).collect();
        wire::with_garbled_values(rows, fault, "skillId", "queueCount")
    }

    /// Answers `GET /skills/activity`. All skills take inbound calls, and their figures change all the time.
    pub(super) fn skill_activity(
        &mut self,
        call: &Call,
        skew_ms: i64,
        fault: Option<FaultKind>,
    ) -> Result<PublishedReply, Problem> {
        instant_in_query(call, "updatedSince")?;
        let is_listed = call.query.get("mediaTypeId").is_none_or(|media| media == PHONE)
            && flag_in_query(call, "IsOutbound")? != Some(true);
        let rows = if is_listed { self.skill_rows(None, skew_ms, fault) } else { Vec::new() };
        let poll_time = self.poll_time(skew_ms);
        self.page(call, "skillActivity", rows, poll_time)
    }

    /// Answers `POST /skills/activity/search`, whose document misspells two fields and lacks two.
    pub(super) fn skill_search(
        &mut self,
        call: &Call,
        skew_ms: i64,
        fault: Option<FaultKind>,
    ) -> Result<PublishedReply, Problem> {
        let search: Search = serde_json::from_slice(&call.body).map_err(|error| Problem::bad(error.to_string()))?;
        let mut rows = self.skill_rows(search.filter.skill_ids.as_deref(), skew_ms, fault);
        for fields in rows.iter_mut().filter_map(Value::as_object_mut) {
            fields.retain(|name, _| name != "inSLA" && name != "outSLA");
            for (right, wrong) in [("agentsAvailable", "agentsAvaliable"), ("agentsUnavailable", "agentsUnavaliable")] {
                if let Some(value) = fields.remove(right) {
                    fields.insert(wrong.to_owned(), value);
                }
            }
        }
        if self.has(Trap::BareObject)
            && let [_] = rows.as_slice()
        {
            return Ok(PublishedReply::json(self.spelled(rows.remove(0))));
        }
        let usual = ListQuery::of_call(call)?;
        let query = ListQuery {
            top: search.top.unwrap_or(usual.top),
            skip: search.skip.unwrap_or(usual.skip),
            fields: search.fields,
        };
        let poll_time = self.poll_time(skew_ms);
        Ok(self.page_by(call, &query, "skillActivity", rows, poll_time))
    }
}
