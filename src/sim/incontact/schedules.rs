//! The export of schedules: one agent, by UUID, and at most 7 days.

use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::domain::time::UtcMicros;
use crate::sim::calendar::{Segment, Shift};
use crate::sim::call::Call;
use crate::sim::platform_state::Tenant;
use crate::sim::wire::{self, Problem};

use super::operations::PublishedReply;

/// The most days of one request.
const MAX_DAYS: i32 = 7;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExportBody {
    start_date: Date,
    end_date: Date,
    #[serde(rename = "userID")]
    user_id: String,
}

/// Returns midnight at the start of a day. The simulator's agents live in UTC.
fn midnight(day: Date) -> Result<UtcMicros, Problem> {
    let zoned = day.to_zoned(TimeZone::UTC).map_err(|error| Problem::bad(error.to_string()))?;
    Ok(zoned.timestamp().into())
}

impl Tenant {
    /// Answers `POST /schedules/export` with the shifts that overlap the days.
    pub(super) fn export_schedule(&mut self, call: &Call, skew_ms: i64) -> Result<PublishedReply, Problem> {
        let asked: ExportBody = serde_json::from_slice(&call.body).map_err(|error| Problem::bad(error.to_string()))?;
        let days = asked.start_date.until(asked.end_date).map_or(i32::MAX, |span| span.get_days()) + 1;
        if !(1..=MAX_DAYS).contains(&days) {
            return Err(Problem::bad(format!("from startDate to endDate there may be 1 to {MAX_DAYS} days")));
        }
        let place = self.published.place_of_user(&asked.user_id);
        let place = place.ok_or_else(|| Problem::bad("userID is no user's UUID"))?;
        if self.published.is_hidden(place) {
            return Err(Problem::new(403, "Forbidden", "no view on this user"));
        }
        let (from, to) = (midnight(asked.start_date)?, midnight(asked.end_date)? + Duration::from_secs(86_400));
        let agent = self.world.agents().get(place).ok_or_else(|| Problem::bad("userID is no user's UUID"))?;
        let shifts = agent.profile.calendar.shifts_between(from, to);
        let shifts: Vec<Value> = shifts.iter().map(|shift| shift_row(shift, skew_ms)).collect();
        Ok(PublishedReply::json(json!({
            "start": asked.start_date.to_string(),
            "end": asked.end_date.to_string(),
            "agentSchedules": [{ "userId": asked.user_id, "shifts": shifts }],
        })))
    }
}

fn shift_row(shift: &Shift, skew_ms: i64) -> Value {
    let interval = |(at, segment): (usize, &Segment)| {
        let category =
            if segment.title.as_ref() == "Break" || segment.title.as_ref() == "Lunch" { "Break" } else { "Away" };
        json!({
            "activityCode": { "id": at + 1, "title": segment.title, "activityCodeCategory": category },
            "start": wire::instant_text(segment.start, skew_ms),
            "end": wire::instant_text(segment.end, skew_ms),
            "activityNotes": "",
        })
    };
    json!({
        "start": wire::instant_text(shift.start, skew_ms),
        "end": wire::instant_text(shift.end, skew_ms),
        "shiftNotes": "",
        "baseActivityCode": { "open": true, "work": true, "overTime": false },
        "activityIntervals": shift.segments.iter().enumerate().map(interval).collect::<Vec<_>>(),
    })
}
