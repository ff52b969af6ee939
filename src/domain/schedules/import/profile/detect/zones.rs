//! Whose time it is.

use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::TimeZone;
use toml::Value;

use super::agents::{Agents, KnownAgents};
use super::clock::Clock;
use super::proposal::Draft;
use super::table::Table;

/// Adds the keys about time zones. `column` is the one that names them, if there is one.
pub(super) fn propose(
    table: &Table<'_>,
    column: Option<usize>,
    agents: &Agents,
    known: &KnownAgents,
    clock: &Clock,
    draft: &mut Draft<'_>,
) {
    if clock.has_offsets && column.is_none() {
        let reason = "Every time is in UTC or states its offset. The agents' own zones come from the roster, or from the \
                      agents whom Shiftkeeper knows.";
        return draft.certain(&["time_zone"], "value", reason);
    }
    propose_at(table, column, agents, known, draft);
}

/// Adds the keys about the zone of a table whose times state no offset.
pub(super) fn propose_at(
    table: &Table<'_>,
    column: Option<usize>,
    agents: &Agents,
    known: &KnownAgents,
    draft: &mut Draft<'_>,
) {
    match column {
        Some(column) => of_column(table, column, agents, known, draft),
        None => unstated(table, agents, known, draft),
    }
}

/// Returns the known zones of the agents in the file.
fn agent_zones<'k>(table: &Table<'_>, agents: &Agents, known: &'k KnownAgents) -> BTreeSet<&'k str> {
    let Some(key) = agents.key else { return BTreeSet::new() };
    table.texts(&[agents.column]).into_keys().filter_map(|text| known.zone(key, text)).collect()
}

/// Asks for the zone, since nothing in the file says it.
fn unstated(table: &Table<'_>, agents: &Agents, known: &KnownAgents, draft: &mut Draft<'_>) {
    let zones = agent_zones(table, agents, known);
    let mut values: Vec<Value> = zones.iter().map(|zone| Value::from(*zone)).collect();
    let reason = if zones.is_empty() {
        values.push("Europe/Berlin".into());
        "nothing in the file says whose time it is: an IANA name such as the first one, each agent's own (\"roster\"), or UTC."
            .to_owned()
    } else {
        let names: Vec<_> = zones.iter().copied().collect();
        format!(
            "nothing in the file says whose time it is. Its agents are in {}. \"roster\" is each agent's own time.",
            names.join(", ")
        )
    };
    values.extend(["roster", "UTC"].map(Value::from));
    draft.undecided(&["time_zone"], values, reason);
    if let Some(stated) = draft.answer_text("time_zone")
        && stated != "roster"
        && zones.iter().any(|zone| *zone != stated)
    {
        let reason =
            format!("agents are known to be in other zones than {stated}, so that their days begin at other times.");
        draft.doubtful(&["agent_zone"], "roster", reason);
    } else if let Some(stated) = draft.answer_text("time_zone").filter(|zone| *zone == "UTC") {
        let reason = format!("the times are in {stated}. State the agents' own zone, unless it is the same.");
        draft.undecided(&["agent_zone"], vec!["roster".into(), "Europe/Berlin".into()], reason);
    }
}

/// Proposes the zones of a column.
fn of_column(table: &Table<'_>, column: usize, agents: &Agents, known: &KnownAgents, draft: &mut Draft<'_>) {
    let names = table.texts(&[column]);
    if names.keys().all(|name| name.starts_with("UTC+") || name.starts_with("UTC-")) {
        draft.certain(&["columns", "offset"], table.name(column), "All values are offsets from UTC.");
        draft.certain(&["offset"], "check", "The offset has to agree with the zone at the start of each shift.");
        return unstated(table, agents, known, draft);
    }
    let is_iana = |name: &&&str| (name.contains('/') || **name == "UTC") && TimeZone::get(name).is_ok();
    draft.certain(&["columns", "time_zone"], table.name(column), "Its values name time zones.");
    if names.keys().filter(is_iana).count() == names.len() {
        return draft.certain(&["time_zone"], "column", "All values are IANA names.");
    }
    let mut zones: BTreeMap<&str, BTreeSet<&str>> = names.keys().map(|name| (*name, BTreeSet::new())).collect();
    for row in &table.rows {
        let (name, agent) = (row.cell(column).text(), row.cell(agents.column).text());
        if let (Some(key), Some(found)) = (agents.key, zones.get_mut(&*name)) {
            found.extend(known.zone(key, &agent));
        }
    }
    let is_open =
        |name: &&str, zones: &BTreeSet<&str>| zones.len() != 1 && draft.answer(&["time_zones", name]).is_none();
    let open: Vec<&str> = zones.iter().filter(|(name, zones)| is_open(name, zones)).map(|(name, _)| *name).collect();
    if open.is_empty() {
        draft.certain(&["time_zone"], "column", "Each row names its zone.");
    } else {
        let reason = format!(
            "each row names its zone, but these are no IANA names: {}. First say below what they are.",
            open.join(", ")
        );
        draft.undecided(&["time_zone"], vec!["column".into()], reason);
    }
    for (name, zones) in zones {
        let path = ["time_zones", name];
        match zones.first() {
            Some(zone) if zones.len() == 1 => {
                draft.doubtful(&path, *zone, format!("all agents with {name} who are known are in this zone."));
            }
            Some(_) | None => {
                let values =
                    zones.iter().map(|zone| Value::from(*zone)).chain(zones.is_empty().then(|| "Europe/Berlin".into()));
                draft.undecided(&path, values.collect(), format!("{name} is no IANA name of a zone."));
            }
        }
    }
}
