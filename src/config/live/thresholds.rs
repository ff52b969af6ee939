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
            "The times in a state after which it is marked as long (`watch`) and too long (`act`), as in { Paused = \
             { watch = \"10m\", act = \"20m\" }, Idle = {} }. States that are not listed keep their defaults: \
             AfterContactWork 3m and 6m, Idle 5m and 15m, OnContact 10m and 20m, NotReady and Paused 15m and 35m.",
        ),
        &kind::map(kind::state(), bounds()),
        BTreeMap::new(),
    );
    let per_cent = || kind::integer(1..=100);
    let good_percent = section.value(
        reloadable(
            "service_level_good",
            "A queue or skill with at least this service level, in percent, is marked as good.",
        ),
        &per_cent(),
        defaults.good_percent,
    );
    let warning_percent = section.value(
        reloadable(
            "service_level_warning",
            "A queue or skill with at least this service level, in percent, is marked as a warning, and below it as \
             critical.",
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
            "The wait within which the platform counts a contact of a skill as answered in time. The platform does \
             not report it, so enter what is set up there. Shown beside the service level.",
        ),
        &kind::duration(ANSWERED_WITHIN_RANGE),
    );
    let queues_answered_within = section.optional(
        reloadable("queues_answered_within", "The same for queues, which the platform counts separately."),
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
