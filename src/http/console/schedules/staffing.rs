//! The strip below the schedule board: planned or present agents against required ones, quarter hour by quarter hour.

use crate::domain::schedules::staffing::{AgentCount, StaffingInterval, StaffingStatus};
use crate::http::api::schedules::staffing::StaffingResponse;
use crate::http::console::agents::timeline::TimeAxis;
use crate::http::console::shared::times::TimeFormat;

/// The height of the drawing, in pixels.
const HEIGHT: i64 = 56;

/// The staffing of a day, as drawn and as a table.
pub(super) struct StaffingStrip {
    pub(super) height: i64,
    /// What the agents are compared with, or why they are not compared.
    pub(super) note: String,
    /// The largest number of agents.
    pub(super) most: String,
    /// The quarter hours with agents or required staff.
    pub(super) quarters: Vec<StaffingQuarter>,
}

/// A quarter hour.
pub(super) struct StaffingQuarter {
    pub(super) x: String,
    pub(super) width: String,
    /// `planned` or `present`.
    pub(super) class: &'static str,
    /// The agents: the upper edge and the height of the bar, in pixels.
    pub(super) bar: (i64, i64),
    /// Where the line of the required staff is.
    pub(super) required_y: Option<i64>,
    /// The agents who are missing: upper edge and height; only if they are certainly missing.
    pub(super) gap: Option<(i64, i64)>,
    pub(super) is_short: bool,
    pub(super) label: String,
    pub(super) time: String,
    /// Planned, present, on a contact, unknown and required.
    pub(super) figures: [String; 5],
    pub(super) net: String,
}

impl StaffingStrip {
    pub(super) const HEADINGS: [&'static str; 5] = ["Planned", "Present", "On contact", "Unknown", "Required"];

    pub(super) fn new(staffing: &StaffingResponse, axis: &TimeAxis<'_>) -> Self {
        let all = staffing.intervals.iter();
        let counts = all.flat_map(|one| [one.planned, one.present, one.required]).flatten();
        let most = counts.max().filter(|most| *most > AgentCount::ZERO).unwrap_or(AgentCount::from_thousandths(1000));
        let is_shown = |one: &&StaffingInterval| {
            [one.required, one.planned, one.present].into_iter().flatten().any(|count| count > AgentCount::ZERO)
        };
        let note = match (&staffing.not_compared, staffing.queues.as_slice()) {
            (Some(why), _) => format!("Not compared with required staff: {why}."),
            (None, []) => "No required staff was imported for this day.".to_owned(),
            (None, queues) => format!("Required for {}.", queues.join(", ")),
        };
        let quarters = staffing.intervals.iter().filter(is_shown).map(|one| quarter(one, axis, most)).collect();
        Self { height: HEIGHT, note, most: number(most), quarters }
    }

    /// Returns whether there is nothing to draw.
    pub(super) fn is_empty(&self) -> bool {
        self.quarters.is_empty()
    }
}

fn quarter(one: &StaffingInterval, axis: &TimeAxis<'_>, most: AgentCount) -> StaffingQuarter {
    let y = |count: AgentCount| HEIGHT - count.thousandths() * (HEIGHT - 4) / most.thousandths();
    let staffed = one.present.or(one.planned).unwrap_or_default();
    let (x, width) = axis.extent(one.start, one.end);
    let is_short = one.status == Some(StaffingStatus::Short);
    let clock_text = |at| TimeFormat::in_zone(at, axis.zone).text;
    let time = format!("{} to {}", clock_text(one.start), clock_text(one.end));
    let figures = [one.planned, one.present, one.on_contact, one.unknown, one.required];
    let words = figures.into_iter().zip(StaffingStrip::HEADINGS);
    let words =
        words.filter_map(|(count, name)| count.map(|count| format!("{} {}", name.to_lowercase(), number(count))));
    let net = one.net.map(signed).unwrap_or_default();
    let last = one.status.map(|status| match status {
        StaffingStatus::Met => format!("net {net}"),
        StaffingStatus::Short => format!("net {net}, fewer than required"),
        StaffingStatus::Unknown => "net unknown".to_owned(),
    });
    let all: Vec<String> = words.chain(last).collect();
    StaffingQuarter {
        x,
        width,
        class: if one.present.is_some() { "present" } else { "planned" },
        bar: (y(staffed), HEIGHT - y(staffed)),
        required_y: one.required.map(|required| y(required) - 1),
        gap: one.required.filter(|_| is_short).map(|required| (y(required), y(staffed) - y(required))),
        is_short,
        label: format!("Staffing, {time}: {}", all.join(", ")),
        time,
        figures: figures.map(|count| count.map(number).unwrap_or_default()),
        net,
    }
}

/// Returns a number of agents with one decimal.
fn number(count: AgentCount) -> String {
    format!("{count:.1}")
}

/// Returns a difference with its sign, such as `+0.5` or `−1.0`.
fn signed(count: AgentCount) -> String {
    let text = number(count);
    match text.strip_prefix('-') {
        Some("0.0") => "0.0".to_owned(),
        Some(rest) => format!("−{rest}"),
        None if text == "0.0" => text,
        None => format!("+{text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_has_a_sign_unless_it_is_none() {
        for (thousandths, expected) in [(0, "0.0"), (-20, "0.0"), (20, "0.0"), (500, "+0.5"), (-1250, "−1.2")] {
            assert_eq!(signed(AgentCount::from_thousandths(thousandths)), expected, "{thousandths}");
        }
    }
}
