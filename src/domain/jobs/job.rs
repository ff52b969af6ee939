//! Jobs of the calendar: what names one, how a run ends, and what is to be done about due instants that have passed.
//!
//! Pure: the daemon's clock and what the store remembers are arguments.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use super::cron::Calendar;
use crate::domain::ids::{JobId, TenantId};
use crate::domain::time::UtcMicros;

/// The most missed due instants that are counted one by one; beyond, people are told "more than".
const COUNTED: u32 = 1000;

/// A job that was handled this far ahead of the clock: the clock was wrong then, or is wrong now, and nobody knows by how much.
/// A shorter step back only waits until the clock has caught up, since those instants were dealt with.
pub const CLOCK_WAS_WRONG: Duration = Duration::from_secs(48 * 3600);

/// Names a job: the daemon's own have no tenant.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct JobKey {
    /// Whose.
    pub tenant: Option<TenantId>,
    /// Which.
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

/// What becomes of due instants that passed while the daemon was down, the host suspended or the job still running.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum CatchUp {
    /// However many passed, it runs once.
    #[default]
    Once,
    /// They are left out, and that is recorded.
    Skip,
}

/// How a run ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobOutcome {
    /// Well.
    Done,
    /// With an error.
    Failed,
    /// By a defect.
    Panicked,
    /// It took longer than it may.
    TimedOut,
    /// The daemon ended while it ran.
    CutOff,
    /// It did not run: its time had passed.
    Skipped,
}

impl JobOutcome {
    /// Every outcome.
    pub const ALL: [Self; 6] = [Self::Done, Self::Failed, Self::Panicked, Self::TimedOut, Self::CutOff, Self::Skipped];

    /// The name in the store and the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Panicked => "panicked",
            Self::TimedOut => "timed_out",
            Self::CutOff => "cut_off",
            Self::Skipped => "skipped",
        }
    }

    /// The outcome of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.name() == name)
    }

    /// People have to be told.
    pub const fn is_failure(self) -> bool {
        match self {
            Self::Failed | Self::Panicked | Self::TimedOut => true,
            Self::Done | Self::CutOff | Self::Skipped => false,
        }
    }
}

/// What a job's calendar asks for now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Due {
    /// Nothing before this instant.
    NotBefore(UtcMicros),
    /// A run for this due instant, which stands for so many before it too.
    Run {
        /// The last due instant that has passed.
        due: UtcMicros,
        /// Those before it.
        missed: u32,
    },
    /// So many due instants up to this one have passed and are left out.
    Skip {
        /// The last of them.
        through: UtcMicros,
        /// How many.
        missed: u32,
    },
    /// What was handled lies so far ahead of the clock that it says nothing: start afresh from now.
    StartAfresh,
}

/// Looks at what has come due since `handled_through`. A due instant no older than `on_time` is in time.
pub fn due(
    calendar: &Calendar,
    catch_up: CatchUp,
    handled_through: UtcMicros,
    now: UtcMicros,
    on_time: Duration,
) -> Due {
    if handled_through.since(now) > CLOCK_WAS_WRONG {
        return Due::StartAfresh;
    }
    let Some(last) = calendar.last_due(handled_through, now) else {
        return Due::NotBefore(calendar.next_after(handled_through.max(now)).unwrap_or(UtcMicros::MAX));
    };
    let missed = calendar.count_due(handled_through, last - Duration::from_micros(1), COUNTED);
    match catch_up {
        CatchUp::Once => Due::Run { due: last, missed },
        CatchUp::Skip if now.since(last) <= on_time => Due::Run { due: last, missed },
        CatchUp::Skip => Due::Skip { through: last, missed: missed + 1 },
    }
}

/// `3 missed`, or `more than 1000 missed`.
pub fn missed_text(missed: u32) -> String {
    if missed >= COUNTED { format!("more than {COUNTED}") } else { missed.to_string() }
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
        let look = |catch_up, handled, now| due(&hourly, catch_up, at(handled), at(now), minute);
        let eight = "2026-11-22T08:00:00Z";
        for (catch_up, now, wanted) in [
            (CatchUp::Once, "2026-11-22T08:59:59Z", Due::NotBefore(at("2026-11-22T09:00:00Z"))),
            (CatchUp::Once, "2026-11-22T09:00:00Z", Due::Run { due: at("2026-11-22T09:00:00Z"), missed: 0 }),
            (CatchUp::Once, "2026-11-22T16:20:00Z", Due::Run { due: at("2026-11-22T16:00:00Z"), missed: 7 }),
            (CatchUp::Skip, "2026-11-22T09:01:00Z", Due::Run { due: at("2026-11-22T09:00:00Z"), missed: 0 }),
            (CatchUp::Skip, "2026-11-22T16:20:00Z", Due::Skip { through: at("2026-11-22T16:00:00Z"), missed: 8 }),
            (CatchUp::Skip, "2026-11-22T16:00:30Z", Due::Run { due: at("2026-11-22T16:00:00Z"), missed: 7 }),
            // The clock was set back: what was handled is not handled again, and nothing is due before that.
            (CatchUp::Once, "2026-11-21T10:30:00Z", Due::NotBefore(at("2026-11-22T09:00:00Z"))),
            (CatchUp::Once, "2026-11-19T10:30:00Z", Due::StartAfresh),
        ] {
            assert_eq!(look(catch_up, eight, now), wanted, "{catch_up:?} at {now}");
        }
    }

    #[test]
    fn outcomes_have_names_that_are_found_again() {
        for outcome in JobOutcome::ALL {
            assert_eq!(JobOutcome::from_name(outcome.name()), Some(outcome));
        }
    }
}
