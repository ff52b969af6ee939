//! `[tenants.adherence]`: which states are in adherence with which activity, and what is tolerated.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize as _;

use super::shared::diagnostic::ValueFault;
use super::shared::kind::{self, Kind};
use super::shared::reader::{Section, reloadable};
use super::shared::tree::Node;
use crate::domain::adherence::{AdherenceSettings, DEFAULT_TOLERANCE};
use crate::domain::time::duration_text;

/// The longest tolerance; a longer one would make adherence meaningless.
const MAX_TOLERANCE: Duration = Duration::from_secs(3_600);

pub(super) fn read(section: &mut Section<'_, '_>) -> AdherenceSettings {
    let tolerance = section.value(
        reloadable("tolerance", "How long another state is tolerated before it is a deviation."),
        &kind::duration(Duration::ZERO..=MAX_TOLERANCE),
        DEFAULT_TOLERANCE,
    );
    let activities = section.value(
        reloadable(
            "activities",
            "Allowed states and tolerance for individual activities, as in { lunch = { allowed = [\"Paused\"], \
             tolerance = \"5m\" } }.",
        ),
        &kind::map(kind::text(), overrides()),
        BTreeMap::new(),
    );
    let mut table = toml::Table::new();
    table.insert("tolerance".to_owned(), duration_text(tolerance).into());
    table.insert("activities".to_owned(), activities.into_iter().collect::<toml::Table>().into());
    AdherenceSettings::deserialize(toml::Value::Table(table)).unwrap_or_else(|error| {
        section.add_diagnostic("activities", ValueFault::new(error.message().trim().to_owned()));
        AdherenceSettings::default()
    })
}

/// The settings of one activity that differ from the default, as the domain reads them.
fn overrides() -> Kind<toml::Value> {
    let (states, tolerance) = (kind::list(kind::state()), kind::duration(Duration::ZERO..=MAX_TOLERANCE));
    let parse = move |node: &Node| {
        let mut own = toml::Table::new();
        let faults = kind::read_entries(node, &["allowed", "tolerance"], |key, node| {
            let value = match key {
                "allowed" => (states.parse)(node).map(|states| {
                    let names = states.iter().map(|state| toml::Value::from(state.name())).collect();
                    toml::Value::Array(names)
                }),
                "tolerance" => (tolerance.parse)(node).map(|tolerance| duration_text(tolerance).into()),
                _ => return None,
            };
            Some(value.map(|value| drop(own.insert(key.to_owned(), value))))
        });
        if faults.is_empty() { Ok(toml::Value::Table(own)) } else { Err(faults) }
    };
    Kind::from_node("{ allowed = [states], tolerance = duration }", parse, toml::Value::to_string)
}
