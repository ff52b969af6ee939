//! `[tenants.thresholds]`: when pages, lists and the API mark a time in a state or a service level.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::config::shared::diagnostic::ValueFault;
use crate::config::shared::kind::{self, Kind};
use crate::config::shared::reader::{Section, reloadable};
use crate::config::shared::tree::Node;
use crate::domain::live::thresholds::{DurationThresholds, Thresholds};
use crate::domain::time::duration_text;

/// The range of thresholds for the time in a state. Less than a second is too short to notice, and more than a day too
/// long to wait for.
const IN_STATE_RANGE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(24);

/// The range of waits within which platforms count a contact as answered in time.
const ANSWERED_WITHIN_RANGE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(1);

pub(in crate::config) fn read(section: &mut Section<'_, '_>) -> Thresholds {
    let defaults = Thresholds::default();
    let in_state = section.value(
        reloadable(
            "in_state",
            "From when on a time in a state is marked long (watch) and too long (act), as in { Paused = { watch = \"10m\", \
             act = \"20m\" }, Idle = {} }; a state that is not named keeps its own: AfterContactWork 3m and 6m, Idle 5m and \
             15m, OnContact 10m and 20m, NotReady and Paused 15m and 35m.",
        ),
        &kind::map(kind::state(), bounds()),
        BTreeMap::new(),
    );
    let per_cent = || kind::integer(1..=100);
    let good_percent = section.value(
        reloadable("service_level_good", "From this service level on a queue or skill is marked good, in percent."),
        &per_cent(),
        defaults.good_percent,
    );
    let warning_percent = section.value(
        reloadable(
            "service_level_warning",
            "From this one on it is marked as one to watch, below it as one to act on.",
        ),
        &per_cent(),
        defaults.warning_percent,
    );
    if warning_percent > good_percent {
        section.add_diagnostic("service_level_warning", ValueFault::new("must not be more than service_level_good"));
    }
    let skills_answered_within = section.optional(
        reloadable(
            "skills_answered_within",
            "Within which wait the platform counts a skill's contact as answered in time. Its answers do not say; as it is \
             set up there. Shown beside the service level.",
        ),
        &kind::duration(ANSWERED_WITHIN_RANGE),
    );
    let queues_answered_within = section.optional(
        reloadable("queues_answered_within", "The same of queues, which the platform counts by themselves."),
        &kind::duration(ANSWERED_WITHIN_RANGE),
    );
    let in_state = defaults.in_state.into_iter().chain(in_state).collect();
    Thresholds { in_state, good_percent, warning_percent, skills_answered_within, queues_answered_within }
}

fn bounds() -> Kind<DurationThresholds> {
    let duration = kind::duration(IN_STATE_RANGE);
    let parse = move |node: &Node| {
        let mut bounds = DurationThresholds::default();
        let mut faults = kind::read_entries(node, &["watch", "act"], |key, node| {
            let bound = match key {
                "watch" => &mut bounds.watch,
                "act" => &mut bounds.act,
                _ => return None,
            };
            Some((duration.parse)(node).map(|found| *bound = Some(found)))
        });
        if bounds.watch.zip(bounds.act).is_some_and(|(watch, act)| watch > act) {
            faults.push(ValueFault::new("watch must not be longer than act"));
        }
        if faults.is_empty() { Ok(bounds) } else { Err(faults) }
    };
    let show = |bounds: &DurationThresholds| {
        let pairs = [("watch", bounds.watch), ("act", bounds.act)].into_iter();
        let pairs = pairs.filter_map(|(name, bound)| Some((name.to_owned(), duration_text(bound?).into())));
        toml::Value::Table(pairs.collect()).to_string()
    };
    Kind::from_node("{ watch = duration, act = duration }", parse, show)
}
