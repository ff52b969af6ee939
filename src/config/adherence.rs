//! `[tenants.adherence]`: which states are in adherence with which activity, and what is tolerated.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize as _;

use super::shared::diagnostic::ValueFault;
use super::shared::kind::{self, Kind};
use super::shared::reader::{Section, reloadable};
use super::shared::tree::{Node, Value};
use crate::domain::adherence::{AdherenceSettings, DEFAULT_TOLERANCE};
use crate::domain::agents::state::AgentState;
use crate::domain::time::duration_text;

/// The longest tolerance; a longer one would make adherence meaningless.
const MAX_TOLERANCE: Duration = Duration::from_secs(3_600);

/// The settings of one activity that differ from the default.
#[derive(Clone, PartialEq, Eq, Debug)]
struct ActivityOverrides {
    allowed: Option<Vec<AgentState>>,
    tolerance: Option<Duration>,
}

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
    let activities = activities.iter().map(|(activity, own)| (activity.clone(), own.to_toml()));
    let mut table = toml::Table::new();
    table.insert("tolerance".to_owned(), duration_text(tolerance).into());
    table.insert("activities".to_owned(), activities.collect::<toml::Table>().into());
    AdherenceSettings::deserialize(toml::Value::Table(table)).unwrap_or_else(|error| {
        section.add_diagnostic("activities", ValueFault::new(error.message().trim().to_owned()));
        AdherenceSettings::default()
    })
}

impl ActivityOverrides {
    fn to_toml(&self) -> toml::Value {
        let allowed = self.allowed.as_ref().map(|states| {
            let names = states.iter().map(|state| toml::Value::from(state.name())).collect();
            ("allowed".to_owned(), toml::Value::Array(names))
        });
        let tolerance = self.tolerance.map(|tolerance| ("tolerance".to_owned(), duration_text(tolerance).into()));
        toml::Value::Table(allowed.into_iter().chain(tolerance).collect())
    }
}

fn overrides() -> Kind<ActivityOverrides> {
    let (states, tolerance) = (kind::list(kind::state()), kind::duration(Duration::ZERO..=MAX_TOLERANCE));
    let parse = move |node: &Node| {
        let Value::Table(table) = &node.value else { return Err(vec![kind::type_fault("a table", node)]) };
        let mut own = ActivityOverrides { allowed: None, tolerance: None };
        let mut faults = Vec::new();
        for (key, entry) in table {
            let found = match key.as_str() {
                "allowed" => (states.parse)(&entry.node).map(|states| own.allowed = Some(states)),
                "tolerance" => (tolerance.parse)(&entry.node).map(|tolerance| own.tolerance = Some(tolerance)),
                unknown => Err(vec![ValueFault::unknown_key(unknown, &["allowed", "tolerance"])]),
            };
            let placed =
                |fault: ValueFault| ValueFault { origin: fault.origin.or_else(|| Some(entry.origin.clone())), ..fault };
            faults.extend(found.err().into_iter().flatten().map(placed));
        }
        if faults.is_empty() { Ok(own) } else { Err(faults) }
    };
    Kind::from_node("{ allowed = [states], tolerance = duration }", parse, |own| own.to_toml().to_string())
}
