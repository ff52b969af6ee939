//! What the activities of a file are.

use std::collections::{BTreeMap, BTreeSet};

use toml::Value;

use super::proposal::{Choice, Draft, list, table};
use super::table::rows_text;
use super::words::{self, Known};
use crate::domain::schedules::schedule::Activity;

/// Returns an activity as the value of a key. Nothing in a file says that an agent must not be set ready, but lunch is
/// usually meant so.
pub(super) fn value(activity: &Activity, is_mandatory: bool) -> Value {
    let name = ("activity", Value::from(activity.name()));
    if is_mandatory { table([name, ("mandatory", true.into())]) } else { table([name]) }
}

/// Adds the keys for the names of activities. `overlying` are those whose rows overlap others; `says_mandatory` is whether
/// the file has a column for that.
pub(super) fn propose(
    names: &BTreeMap<&str, usize>,
    overlying: &BTreeSet<&str>,
    says_mandatory: bool,
    draft: &mut Draft<'_>,
) {
    let of = |meaning: &Known| -> Vec<&str> {
        names.keys().filter(|name| words::known(name).as_ref() == Some(meaning)).copied().collect()
    };
    let (work, off) = (of(&Known::Work), of(&Known::Off));
    let rows = |list: &[&str]| rows_text(list.iter().filter_map(|name| names.get(name)).sum());
    if !work.is_empty() {
        draft.certain(&["work"], list(work.clone()), format!("{} have a known name of work.", rows(&work)));
    }
    if !off.is_empty() {
        draft.certain(
            &["off"],
            list(off.clone()),
            format!("{} have a known name of a day without a shift.", rows(&off)),
        );
    }
    let stated = |draft: &Draft<'_>, key: &str, name: &str| {
        draft
            .answer(&[key])
            .and_then(Value::as_array)
            .is_some_and(|list| list.iter().any(|one| one.as_str() == Some(name)))
    };
    for (name, count) in names {
        let is_listed = work.contains(name) || off.contains(name);
        if is_listed || ["work", "off", "ignore"].iter().any(|key| stated(draft, key, name)) {
            continue;
        }
        one(name, &rows_text(*count), overlying.contains(name), says_mandatory, draft);
    }
    let has_any = |path: &Vec<String>| path.first().is_some_and(|key| key == "activities");
    let decided = draft.proposal.entries.iter().any(|entry| has_any(&entry.path) && entry.value().is_some());
    if !decided && !draft.has_answer("activities") {
        let reason = "Without this, every name is accepted as it is. Remove it when you state an activity.";
        draft.certain(&["activities"], Value::Table(toml::Table::new()), reason);
    }
}

fn one(name: &str, count: &str, overlies: bool, says_mandatory: bool, draft: &mut Draft<'_>) {
    let path = ["activities", name];
    match (words::known(name), words::likely(name)) {
        (Some(Known::Activity(activity)), _) if activity == Activity::Lunch && !says_mandatory => {
            let reason =
                format!("{count}; a known name. The file does not say whether agents may be set ready during it.");
            draft.doubtful(&path, value(&activity, true), reason);
        }
        (Some(Known::Activity(activity)), _) => {
            draft.certain(&path, value(&activity, false), format!("{count}; a known name."));
        }
        (_, Some(activity)) => {
            let is_mandatory = activity == Activity::Lunch && !says_mandatory;
            let reason = format!("{count}; this is what the name often stands for.");
            draft.doubtful(&path, value(&activity, is_mandatory), reason);
        }
        (_, None) => {
            let key = if overlies { "ignore" } else { "work, off or ignore" };
            let mut reason = format!("{count}; not a known name. State what it is, or add it to {key}.");
            if overlies {
                reason.push_str(" Its rows overlap others.");
            }
            draft.push(&path, Choice::Undecided(vec![value(&Activity::from_name(name), false)]), reason);
        }
    }
}
