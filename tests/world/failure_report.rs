//! A failing world as a short list: the fewest events that still break a law, with their instants.

use std::fmt::Write as _;
use std::time::Duration;

use crate::plan::Plan;
use crate::simulation::BrokenLaw;

/// How a world ended, as its process says it on one line.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum WorldOutcome {
    /// Every law was kept.
    Kept { hash: String, steps: u64, covered: std::collections::BTreeMap<String, u64> },
    /// One was broken.
    Broken { law: String, at_ms: u64, told: Vec<(u64, String)> },
}

impl From<BrokenLaw> for WorldOutcome {
    fn from(broken: BrokenLaw) -> Self {
        let ms = |at: Duration| u64::try_from(at.as_millis()).unwrap_or(u64::MAX);
        Self::Broken {
            law: broken.law,
            at_ms: ms(broken.at),
            told: broken.story.into_iter().map(|(at, what)| (ms(at), what)).collect(),
        }
    }
}

/// The fewest happenings that still break a law, by leaving out ever smaller parts.
pub fn shrink(
    plan: &Plan,
    broken: WorldOutcome,
    live: impl Fn(&[usize]) -> WorldOutcome,
) -> (Vec<usize>, WorldOutcome) {
    let mut kept: Vec<usize> = (0..plan.events.len()).collect();
    let mut last = broken;
    let mut part = kept.len().div_ceil(2).max(1);
    loop {
        let mut smaller = false;
        let mut from = 0;
        while from < kept.len() {
            let to = (from + part).min(kept.len());
            let fewer: Vec<usize> = kept[..from].iter().chain(&kept[to..]).copied().collect();
            match live(&fewer) {
                outcome @ WorldOutcome::Broken { .. } => (kept, last, smaller) = (fewer, outcome, true),
                WorldOutcome::Kept { .. } => from = to,
            }
        }
        if part == 1 && !smaller {
            return (kept, last);
        }
        part = (part / 2).max(1);
    }
}

/// The list for people.
pub fn failure_text(plan: &Plan, kept: &[usize], outcome: &WorldOutcome) -> String {
    let WorldOutcome::Broken { law, at_ms, told } = outcome else { return "every law was kept".to_owned() };
    let mut story = format!(
        "seed {}: {} agents, {} requests a minute, {}\n",
        plan.seed,
        plan.agents,
        plan.requests_per_minute,
        if plan.feed { "with the live feed" } else { "without a feed" }
    );
    for (at, what) in told {
        let _ = writeln!(story, "  {:>8.3} s  {what}", Duration::from_millis(*at).as_secs_f64());
    }
    let _ = writeln!(story, "  {:>8.3} s  BROKEN: {law}", Duration::from_millis(*at_ms).as_secs_f64());
    let list: Vec<String> = kept.iter().map(ToString::to_string).collect();
    let _ = write!(
        story,
        "again: SHIFTKEEPER_WORLD_SEED={} SHIFTKEEPER_WORLD_KEEP={} cargo nextest run --test world one_seed --no-capture",
        plan.seed,
        list.join(",")
    );
    story
}
