//! The keys of rules, held to the types that they are read into and to docs/rules.md.

use std::collections::BTreeSet;
use std::fmt::Debug;

use serde::de::DeserializeOwned;

use super::*;
use crate::domain::adherence::Verdict;
use crate::domain::live::figures::{QUEUE_MEASURES, SKILL_MEASURES};
use crate::domain::rules::rule::check::{Capabilities, check};
use crate::domain::rules::rule::condition::BreakCondition;
use crate::domain::rules::rule::{AnomalyConditions, LocalTime, StaffingConditions};

const PAGE: &str = include_str!("../../../../../docs/rules.md");

/// The keys that a type reads, as its own refusal of an unknown one lists them.
fn keys_of<T: DeserializeOwned + Debug>() -> BTreeSet<String> {
    let error = toml::from_str::<T>("no_such_key = 1").expect_err("an unknown key").to_string();
    let (_, key_list) = error.split_once("expected one of").or_else(|| error.split_once("expected")).expect("a list");
    key_list.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn set(keys: &[&str]) -> BTreeSet<String> {
    keys.iter().map(|key| (*key).to_owned()).collect()
}

#[test]
fn the_keys_that_are_known_are_those_that_are_read() {
    assert_eq!(set(RULE_KEYS), keys_of::<Rule>());
    assert_eq!(set(Conditions::KEYS), keys_of::<Conditions>());
    assert_eq!(set(ShiftConditions::KEYS), keys_of::<ShiftConditions>());
    assert_eq!(set(LOCAL_TIME_KEYS), keys_of::<LocalTime>());
    assert_eq!(set(ANOMALY_KEYS), keys_of::<AnomalyConditions>());
    assert_eq!(set(STAFFING_KEYS), keys_of::<StaffingConditions>());
    assert_eq!(set(ActionDefinition::KEYS), keys_of::<ActionDefinition>());
    assert_eq!(set(Limit::KEYS), keys_of::<Limit>());
}

#[test]
fn the_documentation_names_every_key() {
    let plain = [RULE_KEYS, Conditions::KEYS, LOCAL_TIME_KEYS, ANOMALY_KEYS, STAFFING_KEYS, ActionDefinition::KEYS]
        .concat()
        .into_iter()
        .filter(|key| *key != "shift");
    let of_shift = ShiftConditions::KEYS.iter().map(|key| format!("shift.{key}"));
    let values = Verdict::ALL.map(Verdict::name).into_iter().chain(BreakCondition::ALL.map(BreakCondition::name));
    let measures = SKILL_MEASURES.iter().chain(&QUEUE_MEASURES).map(|measure| measure.name);
    let names = plain.chain(values).chain(measures).map(str::to_owned).chain(of_shift);
    let missing: Vec<_> = names.filter(|name| !PAGE.contains(&format!("`{name}`"))).collect();
    assert_eq!(missing, Vec::<String>::new());
    for key in Limit::KEYS {
        assert!(PAGE.contains(key), "{key}");
    }
}

#[test]
fn the_examples_of_the_documentation_are_sound() {
    let examples: Vec<_> = PAGE.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(examples.len(), 6);
    let (rules, complaints) = parse_rules(&examples.concat()).expect("TOML");
    assert_eq!(complaints, []);
    assert_eq!(check(&rules, Capabilities::guide()), []);
    assert_eq!(rules.len(), 8);
}
