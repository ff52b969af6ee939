//! The compliance report as a document: the log row by row, and the figures that are summed as the rows pass.
//!
//! Both come from one read, so they agree with each other even while changes go on.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;

use super::{ComplianceSpan, TransitionLog, TransitionLogLine, error_message, rounded_mean};
use crate::domain::changes::transition::Actor;
use crate::report::agent_filter::AgentFilter;
use crate::report::document::{
    Cell, CellKind, Chart, ChartKind, Definition, Differences, Recount, ReportError, Section, Sink, column,
};
use crate::report::format::exact_text;
use crate::report::request::Request;
use crate::store::{Reader, StoredTransition};

const LATENCIES: &str =
    "real milliseconds from the send of the last attempt to its answer, over those that were answered";

const FIGURES: Section = Section {
    name: "figures",
    title: "Figures",
    columns: &[
        column(
            "totalTransitions",
            "State changes",
            CellKind::Count,
            "state changes requested within the time range, by rules and people, including open ones: the count of the log's rows",
        ),
        column(
            "violations",
            "Refused or held",
            CellKind::Count,
            "those that policy refused or held; a change counts once",
        ),
        column(
            "violationFrequency",
            "Share refused or held",
            CellKind::Share,
            "violations divided by totalTransitions",
        ),
        column(
            "averageLatencyMs",
            "Answer, mean (ms)",
            CellKind::Count,
            "the sum of the log's latencyMs divided by their count, rounded half up to whole milliseconds",
        ),
        column(
            "p50LatencyMs",
            "Answer, median (ms)",
            CellKind::Count,
            "the smallest latencyMs that half of those answered do not exceed",
        ),
        column(
            "p95LatencyMs",
            "Answer, 95 % (ms)",
            CellKind::Count,
            "the smallest latencyMs that 95 % of those answered do not exceed",
        ),
        column(
            "p99LatencyMs",
            "Answer, 99 % (ms)",
            CellKind::Count,
            "the smallest latencyMs that 99 % of those answered do not exceed",
        ),
    ],
    written: None,
    chart: None,
};

const VIOLATIONS: Section = Section {
    name: "violations",
    title: "Refused or held, by policy",
    columns: &[
        column("policyViolation", "Policy", CellKind::Text, "the policy that refused or held a change"),
        column("transitions", "State changes", CellKind::Count, "how many it refused or held"),
        column("share", "Share of all", CellKind::Share, "transitions divided by totalTransitions"),
    ],
    written: None,
    chart: Some(Chart { kind: ChartKind::Bars, labels: &[0], values: &[1], mark: None }),
};

const OUTCOMES: Section = Section {
    name: "outcomes",
    title: "Status by cause",
    columns: &[
        column(
            "cause",
            "Cause",
            CellKind::Text,
            "the class of the request: mandatory_break, urgent, person, schedule, housekeeping",
        ),
        column("status", "Status", CellKind::Text, "the status of the changes"),
        column(
            "transitions",
            "State changes",
            CellKind::Count,
            "the number of changes of the cause with this status; they add up to totalTransitions",
        ),
        column("p50LatencyMs", "Answer, median (ms)", CellKind::Count, LATENCIES),
        column("p95LatencyMs", "Answer, 95 % (ms)", CellKind::Count, LATENCIES),
        column("p99LatencyMs", "Answer, 99 % (ms)", CellKind::Count, LATENCIES),
    ],
    written: None,
    chart: None,
};

const RULES: Section = Section {
    name: "rules",
    title: "What each rule did",
    columns: &[
        column("rule", "Rule", CellKind::Text, "the rule that requested the changes"),
        column("status", "Status", CellKind::Text, "the status of the changes"),
        column(
            "transitions",
            "State changes",
            CellKind::Count,
            "the number of changes of the rule with this status; people's changes are not included",
        ),
    ],
    written: None,
    chart: None,
};

/// The column of [`LOGS`] with the instant at which the change ended.
const FINAL_STATUSES: usize = 10;

const LOGS: Section = Section {
    name: "logs",
    title: "The log",
    columns: &[
        column("id", "Transition", CellKind::Text, "the state change's id"),
        column("timestamp", "Requested", CellKind::Instant, "when it was requested"),
        column("userId", "Agent", CellKind::Text, "whose state was to be changed"),
        column("newState", "Wanted state", CellKind::Text, "to which state"),
        column(
            "success",
            "Success",
            CellKind::Text,
            "true if the platform accepted it and nothing has contradicted it since; empty until that is known",
        ),
        column(
            "latencyMs",
            "Answer (ms)",
            CellKind::Count,
            "real milliseconds from the send of its last attempt to the answer",
        ),
        column("policyViolation", "Policy", CellKind::Text, "the policy that refused or held it"),
        column("errorMessage", "What went wrong", CellKind::Text, "what went wrong, or what it waits for"),
        column("status", "Status", CellKind::Text, "the status of the change"),
        column("cause", "Cause", CellKind::Text, "the class of the request"),
        column("endedAt", "Ended", CellKind::Instant, "when it ended; it does not change afterwards"),
        column("rule", "Rule", CellKind::Text, "the rule that requested it"),
    ],
    written: Some(FINAL_STATUSES),
    chart: None,
};

/// The report's tables.
pub const SECTIONS: &[Section] = &[FIGURES, VIOLATIONS, OUTCOMES, RULES, LOGS];

/// The source of the formulas.
const GUIDE: &str = "guide 003";

/// Returns the definitions of its figures.
pub fn definitions(_request: &Request) -> Vec<Definition> {
    let guides = ["totalTransitions", "violationFrequency", "averageLatencyMs"];
    FIGURES
        .columns
        .iter()
        .map(|column| Definition {
            name: column.name.into(),
            formula: column.definition.into(),
            source: if guides.contains(&column.name) { GUIDE } else { "" }.into(),
        })
        .collect()
}

/// Reads the log, newest first, and sums the figures.
pub async fn write(request: &Request, reader: &Reader, sink: &mut (dyn Sink + '_)) -> Result<(), ReportError> {
    let agent_filter = AgentFilter::read(request, reader).await?;
    let mut log =
        TransitionLog::new(reader, &request.tenant, ComplianceSpan { from: request.from, to: Some(request.to) });
    let mut sums = ComplianceSums::default();
    sink.section(&LOGS)?;
    loop {
        let page = log.next_stored_page().await?;
        if page.is_empty() {
            break;
        }
        for stored in page.iter().filter(|stored| agent_filter.matches(&stored.transition.agent)) {
            sums.add(stored);
            sink.row(&row(stored))?;
        }
    }
    sink.end()?;
    sums.write(sink)
}

fn row(stored: &StoredTransition) -> [Cell; LOGS.columns.len()] {
    let transition = &stored.transition;
    let line = TransitionLogLine::from(stored);
    [
        Cell::text(transition.id.to_string()),
        Cell::Instant(transition.requested_at),
        Cell::text(transition.agent.as_str().to_owned()),
        Cell::text(line.new_state),
        line.success.map_or(Cell::Empty("it is still open"), |success| Cell::text(success.to_string())),
        transition.latency_ms.map_or(Cell::Empty("never answered"), Cell::count),
        transition.violation.map_or(Cell::Empty("policy allowed it"), |violation| Cell::text(violation.code())),
        error_message(transition).map_or(Cell::Empty("nothing did"), Cell::text),
        Cell::text(transition.status.name()),
        Cell::text(transition.priority.name()),
        stored.finished_at.map_or(Cell::Empty("it is still open"), Cell::Instant),
        match &transition.actor {
            Actor::Rule { id, .. } => Cell::text(id.as_str().to_owned()),
            Actor::Person { .. } => Cell::Empty("a person wanted it"),
            Actor::Daemon => Cell::Empty("the daemon wanted it"),
        },
    ]
}

/// The number of latencies by milliseconds. Requests have time limits, so there are only a few thousand values.
#[derive(Default)]
struct Latencies {
    by_ms: BTreeMap<u64, u64>,
    count: u64,
    sum_ms: u64,
}

impl Latencies {
    fn add(&mut self, ms: Option<u64>) {
        let Some(ms) = ms else { return };
        *self.by_ms.entry(ms).or_default() += 1;
        self.count += 1;
        self.sum_ms += ms;
    }

    /// Returns a percentile by nearest rank: the smallest value that at least this share of values does not exceed.
    fn percentile(&self, hundredths: u64) -> Cell {
        let rank = (self.count * hundredths).div_ceil(100).max(1);
        let mut counted = 0;
        for (ms, count) in &self.by_ms {
            counted += count;
            if counted >= rank {
                return Cell::count(*ms);
            }
        }
        Cell::Empty(NONE_ANSWERED)
    }
}

const NONE_ANSWERED: &str = "none of them was answered";
const NONE_REQUESTED: &str = "no change was requested";

/// The sums of the log.
#[derive(Default)]
struct ComplianceSums {
    total: u64,
    violations: BTreeMap<&'static str, u64>,
    latencies: Latencies,
    outcomes: BTreeMap<(&'static str, &'static str), (u64, Latencies)>,
    rules: BTreeMap<(String, &'static str), u64>,
}

impl ComplianceSums {
    fn add(&mut self, stored: &StoredTransition) {
        let transition = &stored.transition;
        self.total += 1;
        self.latencies.add(transition.latency_ms);
        if let Some(violation) = transition.violation {
            *self.violations.entry(violation.code()).or_default() += 1;
        }
        let (count, latencies) =
            self.outcomes.entry((transition.priority.name(), transition.status.name())).or_default();
        *count += 1;
        latencies.add(transition.latency_ms);
        if let Actor::Rule { id, .. } = &transition.actor {
            *self.rules.entry((id.as_str().to_owned(), transition.status.name())).or_default() += 1;
        }
    }

    fn figures(&self) -> [Cell; FIGURES.columns.len()] {
        let violations = self.violations.values().sum::<u64>();
        let mean = match self.latencies.count {
            0 => Cell::Empty(NONE_ANSWERED),
            count => Cell::count(rounded_mean(self.latencies.sum_ms, count)),
        };
        [
            Cell::count(self.total),
            Cell::count(violations),
            share(violations, self.total),
            mean,
            self.latencies.percentile(50),
            self.latencies.percentile(95),
            self.latencies.percentile(99),
        ]
    }

    fn write(&self, sink: &mut (dyn Sink + '_)) -> Result<(), ReportError> {
        sink.section(&FIGURES)?;
        sink.row(&self.figures())?;
        sink.end()?;
        sink.section(&VIOLATIONS)?;
        for (violation, count) in &self.violations {
            sink.row(&[Cell::text(*violation), Cell::count(*count), share(*count, self.total)])?;
        }
        sink.end()?;
        sink.section(&OUTCOMES)?;
        for ((cause, status), (count, latencies)) in &self.outcomes {
            let [p50, p95, p99] = [50, 95, 99].map(|hundredths| latencies.percentile(hundredths));
            sink.row(&[Cell::text(*cause), Cell::text(*status), Cell::count(*count), p50, p95, p99])?;
        }
        sink.end()?;
        sink.section(&RULES)?;
        for ((rule, status), count) in &self.rules {
            sink.row(&[Cell::text(rule.clone()), Cell::text(*status), Cell::count(*count)])?;
        }
        Ok(sink.end()?)
    }
}

fn share(part: u64, whole: u64) -> Cell {
    let whole_number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    Cell::share(whole_number(part), whole_number(whole), NONE_REQUESTED)
}

/// Returns the exact text of a figure.
fn figure_text(cell: &Cell) -> String {
    if let Cell::Empty(_) = cell { "nothing".to_owned() } else { exact_text(cell, &TimeZone::UTC) }
}

/// Counts the figures again from the rows of a file.
#[derive(Default)]
pub struct ComplianceRecount {
    latencies: Vec<i64>,
    total: i64,
    violations: i64,
    reported_figures: Vec<(&'static str, Cell)>,
    by_policy: BTreeMap<String, i64>,
    by_outcome: BTreeMap<String, i64>,
    by_rule: BTreeMap<String, i64>,
}

impl Recount for ComplianceRecount {
    fn row(&mut self, section: &'static Section, cells: &[Cell]) {
        if section.name == LOGS.name {
            self.count_log_row(cells);
        } else if section.name == FIGURES.name {
            self.reported_figures.extend(FIGURES.columns.iter().map(|column| column.name).zip(cells.iter().cloned()));
        } else if section.name == VIOLATIONS.name {
            *self.by_policy.entry(cells[0].label().to_owned()).or_default() -= cells[1].from_count();
        } else if section.name == OUTCOMES.name {
            let key = format!("{} {}", cells[0].label(), cells[1].label());
            *self.by_outcome.entry(key).or_default() -= cells[2].from_count();
        } else if section.name == RULES.name {
            let key = format!("{} {}", cells[0].label(), cells[1].label());
            *self.by_rule.entry(key).or_default() -= cells[2].from_count();
        }
    }

    fn end(&mut self) -> Vec<String> {
        let mut mismatches = Differences::default();
        let counted = self.counted_figures();
        for (name, said) in &self.reported_figures {
            let Some(counted) = counted.iter().find(|(figure, _)| figure == name).map(|(_, cell)| cell) else {
                continue;
            };
            let same = match (said, counted) {
                (Cell::Empty(_), Cell::Empty(_)) => true,
                (said, counted) => said == counted,
            };
            if !same {
                mismatches
                    .add(|| format!("{name} says {}, the log's rows give {}", figure_text(said), figure_text(counted)));
            }
        }
        for (section, counts) in
            [(&VIOLATIONS, &self.by_policy), (&OUTCOMES, &self.by_outcome), (&RULES, &self.by_rule)]
        {
            for (key, difference) in counts.iter().filter(|(_, difference)| **difference != 0) {
                mismatches.add(|| format!("{}: {key} differs by {difference} from the log's rows", section.name));
            }
        }
        mismatches.take_lines()
    }
}

impl ComplianceRecount {
    fn count_log_row(&mut self, cells: &[Cell]) {
        self.total += 1;
        if let Cell::Count(ms) = cells[5] {
            self.latencies.push(ms);
        }
        if !cells[6].label().is_empty() {
            self.violations += 1;
            *self.by_policy.entry(cells[6].label().to_owned()).or_default() += 1;
        }
        *self.by_outcome.entry(format!("{} {}", cells[9].label(), cells[8].label())).or_default() += 1;
        if !cells[11].label().is_empty() {
            *self.by_rule.entry(format!("{} {}", cells[11].label(), cells[8].label())).or_default() += 1;
        }
    }

    /// Computes the figures in another way than the report does: by sorting and taking the value by its position.
    fn counted_figures(&mut self) -> Vec<(&'static str, Cell)> {
        self.latencies.sort_unstable();
        let count = self.latencies.len();
        let percentile = |hundredths: usize| match count {
            0 => Cell::Empty(NONE_ANSWERED),
            count => Cell::Count(self.latencies[(count * hundredths).div_ceil(100).max(1) - 1]),
        };
        let mean = match i64::try_from(count) {
            Ok(0) | Err(_) => Cell::Empty(NONE_ANSWERED),
            Ok(count) => Cell::Count((2 * self.latencies.iter().sum::<i64>() + count) / (2 * count)),
        };
        vec![
            ("totalTransitions", Cell::Count(self.total)),
            ("violations", Cell::Count(self.violations)),
            ("violationFrequency", Cell::share(self.violations, self.total, NONE_REQUESTED)),
            ("averageLatencyMs", mean),
            ("p50LatencyMs", percentile(50)),
            ("p95LatencyMs", percentile(95)),
            ("p99LatencyMs", percentile(99)),
        ]
    }
}
