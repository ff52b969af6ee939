//! Agents as the rows of the Live page. The module `live.js` fills the same row from the stream.

use std::cmp::Reverse;
use std::time::Duration;

use crate::domain::adherence::Verdict;
use crate::domain::live::thresholds::Level;
use crate::domain::time::UtcMicros;
use crate::engine::agents::board::{AgentCard, OpenCard};
use crate::http::console::shared::times::{Span, Stamp, Times};
use crate::http::console::shared::words::{self, Chip};

/// A span that goes on: since when, and how long that is by now.
#[derive(Clone, Debug)]
pub(in crate::http::console) struct Lasting {
    /// Milliseconds since the epoch.
    pub(in crate::http::console) since_ms: i64,
    /// By now.
    pub(in crate::http::console) text: String,
    pub(in crate::http::console) span: Duration,
}

impl Lasting {
    fn of(since: UtcMicros, now: UtcMicros) -> Self {
        let span = now.since(since);
        Self { since_ms: since.as_micros().div_euclid(1000), text: Span(span).to_string(), span }
    }
}

/// One agent.
#[derive(Clone, Debug)]
pub(in crate::http::console) struct Row {
    pub(in crate::http::console) id: String,
    /// The name, or the id where none is known.
    pub(in crate::http::console) name: String,
    pub(in crate::http::console) team: String,
    pub(in crate::http::console) state: Chip,
    pub(in crate::http::console) reason: String,
    pub(in crate::http::console) in_state: Option<Lasting>,
    /// Empty, `watch` or `act`.
    pub(in crate::http::console) level: &'static str,
    pub(in crate::http::console) planned: String,
    pub(in crate::http::console) planned_class: &'static str,
    pub(in crate::http::console) until: Option<Stamp>,
    pub(in crate::http::console) verdict: Chip,
    /// How long the agent has been out of plan.
    pub(in crate::http::console) out_for: Option<Lasting>,
    pub(in crate::http::console) queue: String,
    /// What is being changed, in words.
    pub(in crate::http::console) change: String,
}

impl Row {
    /// An agent as the picture has him.
    pub(in crate::http::console) fn of(agent: &AgentCard, times: &Times, now: UtcMicros) -> Self {
        let in_state = agent.entered_at.map(|since| Lasting::of(since, now));
        let judged = agent.adherence;
        let out_since = judged.since.filter(|_| judged.verdict == Verdict::Out);
        Self {
            id: agent.id.to_string(),
            name: agent.name.as_deref().unwrap_or(agent.id.as_str()).to_owned(),
            team: agent.team.as_ref().map(ToString::to_string).unwrap_or_default(),
            state: agent.state.as_ref().map_or_else(words::no_state, words::state),
            reason: agent.reason.as_ref().map(ToString::to_string).unwrap_or_default(),
            level: agent.in_state_level.map_or("", Level::name),
            in_state,
            planned: words::activity_label(&agent.planned.activity).into_owned(),
            planned_class: words::activity_class(&agent.planned.activity),
            until: agent.planned.until.map(|until| times.clock(until, agent.zone.as_deref())),
            verdict: words::verdict(judged.verdict),
            out_for: out_since.map(|since| Lasting::of(since, now)),
            queue: agent.queue.as_deref().unwrap_or_default().to_owned(),
            change: agent.open.as_ref().map(change).unwrap_or_default(),
        }
    }

    /// The row that the module makes new ones of.
    pub(in crate::http::console) fn blank() -> Self {
        let lasting = || Some(Lasting { since_ms: 0, text: String::new(), span: Duration::ZERO });
        Self {
            id: String::new(),
            name: String::new(),
            team: String::new(),
            state: words::no_state(),
            reason: String::new(),
            in_state: lasting(),
            level: "",
            planned: String::new(),
            planned_class: "off",
            until: Some(Stamp { iso: String::new(), text: String::new(), full: String::new(), ms: 0 }),
            verdict: words::verdict(Verdict::Unknown),
            out_for: lasting(),
            queue: String::new(),
            change: String::new(),
        }
    }
}

/// A change under way, in words.
fn change(open: &OpenCard) -> String {
    let status = match open.status.name() {
        "in_doubt" => "in doubt",
        other => other,
    };
    format!("to {}: {status}", words::state_label(&open.target))
}

/// What rows are sorted by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::http::console) enum Sort {
    /// Out of plan longest first, then over a threshold, then the rest by name.
    Worst,
    Name,
    Team,
    State,
    Time,
    Plan,
    Verdict,
    Queue,
}

impl Sort {
    /// All, with their names in addresses.
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

    /// Of a name; the usual one for any other.
    pub(in crate::http::console) fn of(name: &str) -> Self {
        Self::ALL.into_iter().find(|(_, known)| *known == name).map_or(Self::Worst, |(sort, _)| sort)
    }

    /// Its name.
    pub(in crate::http::console) fn name(self) -> &'static str {
        Self::ALL.into_iter().find(|(sort, _)| *sort == self).map_or("worst", |(_, name)| name)
    }

    /// Sorts rows; ties by name, so that the order is always the same.
    pub(in crate::http::console) fn sort(self, rows: &mut [Row], reversed: bool) {
        let lasted = |lasting: &Option<Lasting>| lasting.as_ref().map_or(0, |lasting| lasting.span.as_millis());
        let rank = |row: &Row| match (row.verdict.class, row.level) {
            ("out", _) => 0,
            (_, "act") => 1,
            (_, "watch") => 2,
            _ => 3,
        };
        rows.sort_by_cached_key(|row| (row.name.to_lowercase(), row.id.clone()));
        match self {
            Self::Worst => rows.sort_by_key(|row| {
                let rank = rank(row);
                let span = if rank == 0 { lasted(&row.out_for) } else { lasted(&row.in_state) };
                (rank, Reverse(if rank < 3 { span } else { 0 }))
            }),
            Self::Name => {}
            Self::Team => rows.sort_by(|one, other| one.team.cmp(&other.team)),
            Self::State => rows.sort_by(|one, other| one.state.label.cmp(&other.state.label)),
            Self::Time => rows.sort_by_key(|row| Reverse(lasted(&row.in_state))),
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

    fn row(name: &str, verdict: Verdict, out_s: u64, level: &'static str, in_state_s: u64) -> Row {
        let lasting = |seconds| {
            let span = Duration::from_secs(seconds);
            Some(Lasting { since_ms: 0, text: String::new(), span })
        };
        Row {
            name: name.to_owned(),
            verdict: words::verdict(verdict),
            out_for: lasting(out_s),
            level,
            in_state: lasting(in_state_s),
            ..Row::blank()
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
        let names = |rows: &[Row]| rows.iter().map(|row| row.name.clone()).collect::<Vec<_>>();
        Sort::Worst.sort(&mut rows, false);
        assert_eq!(names(&rows), ["Cem", "Bob", "Eli", "Dee", "Ann", "zoe"]);
        Sort::Time.sort(&mut rows, false);
        assert_eq!(names(&rows)[0], "zoe");
        Sort::Name.sort(&mut rows, true);
        assert_eq!(names(&rows), ["zoe", "Eli", "Dee", "Cem", "Bob", "Ann"]);
    }

    #[test]
    fn a_name_that_is_no_order_gives_the_usual_one() {
        for (sort, name) in Sort::ALL {
            assert_eq!((Sort::of(name), sort.name()), (sort, name));
        }
        assert_eq!(Sort::of("<script>"), Sort::Worst);
    }
}
