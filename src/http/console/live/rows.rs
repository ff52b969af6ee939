//! Agents as rows of the live page. The module `live.js` updates the same rows from the stream.

use std::cmp::Reverse;
use std::time::Duration;

use crate::domain::adherence::Verdict;
use crate::domain::live::thresholds::Level;
use crate::domain::time::UtcMicros;
use crate::engine::agents::agent_list::{AgentSummary, OpenTransition};
use crate::http::console::shared::times::{DurationText, Stamp, TimeFormat};
use crate::http::console::shared::wording::{self, Chip};

/// A duration that continues: its start, and its length by now.
#[derive(Clone, Debug)]
pub(in crate::http::console) struct Elapsed {
    /// The start, in milliseconds since the Unix epoch.
    pub(in crate::http::console) since_ms: i64,
    /// The length by now, for people.
    pub(in crate::http::console) text: String,
    pub(in crate::http::console) span: Duration,
}

impl Elapsed {
    fn from_start(since: UtcMicros, now: UtcMicros) -> Self {
        let span = now.since(since);
        Self { since_ms: since.as_micros().div_euclid(1000), text: DurationText(span).to_string(), span }
    }
}

/// The row of an agent.
#[derive(Clone, Debug)]
pub(in crate::http::console) struct AgentRow {
    pub(in crate::http::console) id: String,
    /// The name, or the id if no name is known.
    pub(in crate::http::console) name: String,
    pub(in crate::http::console) team: String,
    pub(in crate::http::console) state: Chip,
    pub(in crate::http::console) reason: String,
    pub(in crate::http::console) in_state: Option<Elapsed>,
    /// Empty, `watch` or `act`.
    pub(in crate::http::console) level: &'static str,
    pub(in crate::http::console) planned: String,
    pub(in crate::http::console) planned_class: &'static str,
    pub(in crate::http::console) until: Option<Stamp>,
    pub(in crate::http::console) verdict: Chip,
    /// How long the agent has been out of adherence.
    pub(in crate::http::console) out_for: Option<Elapsed>,
    pub(in crate::http::console) queue: String,
    /// The change in progress, for people.
    pub(in crate::http::console) change: String,
}

impl AgentRow {
    /// Creates the row of an agent.
    pub(in crate::http::console) fn from_card(agent: &AgentSummary, times: &TimeFormat, now: UtcMicros) -> Self {
        let in_state = agent.entered_at.map(|since| Elapsed::from_start(since, now));
        let adherence = agent.adherence;
        let out_since = adherence.since.filter(|_| adherence.verdict == Verdict::Out);
        Self {
            id: agent.id.to_string(),
            name: agent.name.as_deref().unwrap_or(agent.id.as_str()).to_owned(),
            team: agent.team.as_ref().map(ToString::to_string).unwrap_or_default(),
            state: agent.state.as_ref().map_or_else(wording::no_state, wording::state),
            reason: agent.reason.as_ref().map(ToString::to_string).unwrap_or_default(),
            level: agent.in_state_level.map_or("", Level::name),
            in_state,
            planned: wording::activity_label(&agent.planned.activity).into_owned(),
            planned_class: wording::activity_class(&agent.planned.activity),
            until: agent.planned.until.map(|until| times.clock(until, agent.zone.as_deref())),
            verdict: wording::verdict(adherence.verdict),
            out_for: out_since.map(|since| Elapsed::from_start(since, now)),
            queue: agent.queue.as_deref().unwrap_or_default().to_owned(),
            change: agent.open.as_ref().map(change_text).unwrap_or_default(),
        }
    }

    /// Returns the row that the module copies for new rows.
    pub(in crate::http::console) fn template() -> Self {
        let lasting = || Some(Elapsed { since_ms: 0, text: String::new(), span: Duration::ZERO });
        Self {
            id: String::new(),
            name: String::new(),
            team: String::new(),
            state: wording::no_state(),
            reason: String::new(),
            in_state: lasting(),
            level: "",
            planned: String::new(),
            planned_class: "off",
            until: Some(Stamp { iso: String::new(), text: String::new(), full: String::new(), ms: 0 }),
            verdict: wording::verdict(Verdict::Unknown),
            out_for: lasting(),
            queue: String::new(),
            change: String::new(),
        }
    }
}

/// Describes a change in progress, for people.
fn change_text(open: &OpenTransition) -> String {
    let status = match open.status.name() {
        "in_doubt" => "in doubt",
        other => other,
    };
    format!("to {}: {status}", wording::state_label(&open.target))
}

/// The order of rows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::http::console) enum RowSort {
    /// Longest out of adherence first, then those over a threshold, then the rest by name.
    Worst,
    Name,
    Team,
    State,
    Time,
    Plan,
    Verdict,
    Queue,
}

impl RowSort {
    /// All orders, with their names in addresses.
    pub(in crate::http::console) const ALL: [(Self, &'static str); 8] = [
        (Self::Worst, "worst"),
        (Self::Name, "name"),
        (Self::Team, "team"),
        (Self::State, "state"),
        (Self::Time, "time"),
        (Self::Plan, "plan"),
        (Self::Verdict, "verdict"),
        (Self::Queue, "queue"),
    ];

    /// Returns the order of a name; an unknown name gives the default.
    pub(in crate::http::console) fn from_name(name: &str) -> Self {
        Self::ALL.into_iter().find(|(_, known)| *known == name).map_or(Self::Worst, |(sort, _)| sort)
    }

    /// Returns the name of the order.
    pub(in crate::http::console) fn name(self) -> &'static str {
        Self::ALL.into_iter().find(|(sort, _)| *sort == self).map_or("worst", |(_, name)| name)
    }

    /// Sorts rows. Equal rows are sorted by name, so that the order is always the same.
    pub(in crate::http::console) fn sort(self, rows: &mut [AgentRow], reversed: bool) {
        let elapsed_ms = |lasting: &Option<Elapsed>| lasting.as_ref().map_or(0, |lasting| lasting.span.as_millis());
        let rank = |row: &AgentRow| match (row.verdict.class, row.level) {
            ("out", _) => 0,
            (_, "act") => 1,
            (_, "watch") => 2,
            _ => 3,
        };
        rows.sort_by_cached_key(|row| (row.name.to_lowercase(), row.id.clone()));
        match self {
            Self::Worst => rows.sort_by_key(|row| {
                let rank = rank(row);
                let span = if rank == 0 { elapsed_ms(&row.out_for) } else { elapsed_ms(&row.in_state) };
                (rank, Reverse(if rank < 3 { span } else { 0 }))
            }),
            Self::Name => {}
            Self::Team => rows.sort_by(|one, other| one.team.cmp(&other.team)),
            Self::State => rows.sort_by(|one, other| one.state.label.cmp(&other.state.label)),
            Self::Time => rows.sort_by_key(|row| Reverse(elapsed_ms(&row.in_state))),
            Self::Plan => rows.sort_by(|one, other| one.planned.cmp(&other.planned)),
            Self::Verdict => rows.sort_by(|one, other| one.verdict.label.cmp(&other.verdict.label)),
            Self::Queue => rows
                .sort_by(|one, other| (one.queue.is_empty(), &one.queue).cmp(&(other.queue.is_empty(), &other.queue))),
        }
        if reversed {
            rows.reverse();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, verdict: Verdict, out_s: u64, level: &'static str, in_state_s: u64) -> AgentRow {
        let lasting = |seconds| {
            let span = Duration::from_secs(seconds);
            Some(Elapsed { since_ms: 0, text: String::new(), span })
        };
        AgentRow {
            name: name.to_owned(),
            verdict: wording::verdict(verdict),
            out_for: lasting(out_s),
            level,
            in_state: lasting(in_state_s),
            ..AgentRow::template()
        }
    }

    #[test]
    fn the_worst_come_first_and_the_rest_by_name() {
        let mut rows = [
            row("zoe", Verdict::In, 0, "", 9000),
            row("Ann", Verdict::In, 0, "", 1),
            row("Bob", Verdict::Out, 60, "", 1),
            row("Cem", Verdict::Out, 600, "", 1),
            row("Dee", Verdict::In, 0, "watch", 500),
            row("Eli", Verdict::In, 0, "act", 5),
        ];
        let names = |rows: &[AgentRow]| rows.iter().map(|row| row.name.clone()).collect::<Vec<_>>();
        RowSort::Worst.sort(&mut rows, false);
        assert_eq!(names(&rows), ["Cem", "Bob", "Eli", "Dee", "Ann", "zoe"]);
        RowSort::Time.sort(&mut rows, false);
        assert_eq!(names(&rows)[0], "zoe");
        RowSort::Name.sort(&mut rows, true);
        assert_eq!(names(&rows), ["zoe", "Eli", "Dee", "Cem", "Bob", "Ann"]);
    }

    #[test]
    fn a_name_that_is_no_order_gives_the_usual_one() {
        for (sort, name) in RowSort::ALL {
            assert_eq!((RowSort::from_name(name), sort.name()), (sort, name));
        }
        assert_eq!(RowSort::from_name("<script>"), RowSort::Worst);
    }
}
