//! Jobs: their identity, the outcomes of their runs, and the handling of due instants that have passed.
//!
//! This module reads no clock and no store; both are arguments.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use super::cron::Calendar;
use crate::domain::ids::{JobId, TenantId};
use crate::domain::time::UtcMicros;
use crate::domain::wording::named_enum;

/// Limit up to which missed due instants are counted; above it, messages say "more than".
const MAX_COUNTED_MISSED: u32 = 1000;

/// How far ahead of the clock the last handled instant may be before the clock is taken to be wrong.
///
/// When the clock was set back by less, the job only waits until the clock has caught up, because the instants up to
/// there have been handled.
pub const CLOCK_ERROR_THRESHOLD: Duration = Duration::from_secs(48 * 3600);

/// The identity of a job.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct JobKey {
    /// The tenant; `None` for the daemon's own jobs.
    pub tenant: Option<TenantId>,
    /// The id of the job.
    pub job: JobId,
}

impl fmt::Display for JobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.tenant {
            Some(tenant) => write!(f, "{} of {tenant}", self.job),
            None => self.job.fmt(f),
        }
    }
}

/// The handling of due instants that passed while the daemon was down, the host suspended or the job still running.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum CatchUp {
    /// Run once, however many due instants have passed.
    #[default]
    Once,
    /// Leave them out, and record that.
    Skip,
}

named_enum! {
    /// How a run of a job ended.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, ToSchema)]
    #[serde(rename_all = "snake_case")]
    pub enum JobOutcome {
        /// The run succeeded.
        Done = "done",
        /// The run failed with an error.
        Failed = "failed",
        /// The run failed because of a defect in the daemon.
        Panicked = "panicked",
        /// The run took longer than allowed and was stopped.
        TimedOut = "timed_out",
        /// The daemon stopped during the run.
        CutOff = "cut_off",
        /// The run was skipped because its time had passed.
        Skipped = "skipped",
    }
}

impl JobOutcome {
    /// Whether the outcome is a failure that people are notified of.
    pub const fn is_failure(self) -> bool {
        match self {
            Self::Failed | Self::Panicked | Self::TimedOut => true,
            Self::Done | Self::CutOff | Self::Skipped => false,
        }
    }
}

/// What a job has to do now, according to its calendar.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DueAction {
    /// Nothing before this instant.
    NotBefore(UtcMicros),
    /// Run for this due instant, which also stands for the missed ones before it.
    Run {
        /// The latest due instant that has passed.
        due: UtcMicros,
        /// The number of earlier due instants that were missed.
        missed: u32,
    },
    /// Leave out the due instants up to this one.
    Skip {
        /// The last of them.
        through: UtcMicros,
        /// How many there are.
        missed: u32,
    },
    /// The last handled instant is too far ahead of the clock to be meaningful: begin again from now.
    Restart,
}

/// Returns what has to be done about the due instants since `handled_through`. A due instant is on time if it is no
/// older than `on_time_tolerance`.
pub fn due_action(
    calendar: &Calendar,
    catch_up: CatchUp,
    handled_through: UtcMicros,
    now: UtcMicros,
    on_time_tolerance: Duration,
) -> DueAction {
    if handled_through.since(now) > CLOCK_ERROR_THRESHOLD {
        return DueAction::Restart;
    }
    let Some(last) = calendar.last_due(handled_through, now) else {
        return DueAction::NotBefore(calendar.next_after(handled_through.max(now)).unwrap_or(UtcMicros::MAX));
    };
    let missed = calendar.count_due(handled_through, last - Duration::from_micros(1), MAX_COUNTED_MISSED);
    match catch_up {
        CatchUp::Once => DueAction::Run { due: last, missed },
        CatchUp::Skip if now.since(last) <= on_time_tolerance => DueAction::Run { due: last, missed },
        CatchUp::Skip => DueAction::Skip { through: last, missed: missed + 1 },
    }
}

/// Returns the number of missed due instants, such as `3`, or `more than 1000`.
pub fn missed_text(missed: u32) -> String {
    if missed >= MAX_COUNTED_MISSED { format!("more than {MAX_COUNTED_MISSED}") } else { missed.to_string() }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::domain::jobs::cron::Pattern;

    fn at(text: &str) -> UtcMicros {
        text.parse().expect("an instant")
    }

    #[test]
    fn what_has_passed_is_caught_up_once_or_left_out() {
        let hourly = Calendar::new(Pattern::parse("0 * * * *").expect("a pattern"), TimeZone::UTC);
        let minute = Duration::from_secs(60);
        let check = |catch_up, handled, now| due_action(&hourly, catch_up, at(handled), at(now), minute);
        let eight = "2026-11-22T08:00:00Z";
        for (catch_up, now, expected) in [
            (CatchUp::Once, "2026-11-22T08:59:59Z", DueAction::NotBefore(at("2026-11-22T09:00:00Z"))),
            (CatchUp::Once, "2026-11-22T09:00:00Z", DueAction::Run { due: at("2026-11-22T09:00:00Z"), missed: 0 }),
            (CatchUp::Once, "2026-11-22T16:20:00Z", DueAction::Run { due: at("2026-11-22T16:00:00Z"), missed: 7 }),
            (CatchUp::Skip, "2026-11-22T09:01:00Z", DueAction::Run { due: at("2026-11-22T09:00:00Z"), missed: 0 }),
            (CatchUp::Skip, "2026-11-22T16:20:00Z", DueAction::Skip { through: at("2026-11-22T16:00:00Z"), missed: 8 }),
            (CatchUp::Skip, "2026-11-22T16:00:30Z", DueAction::Run { due: at("2026-11-22T16:00:00Z"), missed: 7 }),
            // The clock was set back: what was handled is not handled again, and nothing is due before that.
            (CatchUp::Once, "2026-11-21T10:30:00Z", DueAction::NotBefore(at("2026-11-22T09:00:00Z"))),
            (CatchUp::Once, "2026-11-19T10:30:00Z", DueAction::Restart),
        ] {
            assert_eq!(check(catch_up, eight, now), expected, "{catch_up:?} at {now}");
        }
    }

    #[test]
    fn outcomes_have_names_that_are_found_again() {
        for outcome in JobOutcome::ALL {
            assert_eq!(JobOutcome::from_name(outcome.name()), Some(outcome));
        }
    }
}
