//! The agents whom a file can name, by the key that the profile states.

use std::collections::HashMap;

use super::AgentKey;

/// An agent whom a file can name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RosterAgent {
    /// The id on the platform.
    pub id: String,
    /// The IANA name of the agent's time zone; empty if it is not known.
    pub zone: String,
}

/// The agents by key.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AgentLookup {
    agents: HashMap<String, RosterAgent>,
    /// Whether an id that is not in the list is an agent all the same.
    accepts_unknown_ids: bool,
}

impl AgentLookup {
    /// Creates a lookup of agents by their keys, without agents who have none.
    pub fn new(agents: impl IntoIterator<Item = (String, RosterAgent)>) -> Self {
        let agents = agents.into_iter().filter(|(key, _)| !key.is_empty()).collect();
        Self { agents, accepts_unknown_ids: false }
    }

    /// Returns a lookup that takes every other key for the id of a new agent.
    #[must_use]
    pub fn accepting_unknown_ids(self) -> Self {
        Self { accepts_unknown_ids: true, ..self }
    }

    /// Returns the id and the zone of the agent with this key; the zone is empty if it is not known.
    pub(super) fn find<'a>(&'a self, key: &'a str) -> Option<(&'a str, &'a str)> {
        let known = self.agents.get(key).map(|agent| (agent.id.as_str(), agent.zone.as_str()));
        known.or_else(|| self.accepts_unknown_ids.then_some((key, "")))
    }
}

/// Parses a roster file: a CSV table with a header that names `id`, the key of the profile and perhaps `time_zone`; other
/// columns are ignored. The error says the line.
pub fn parse_roster(bytes: &[u8], key: AgentKey) -> Result<AgentLookup, String> {
    let bytes = super::super::strip_byte_order_mark(bytes);
    let mut reader = csv::Reader::from_reader(bytes);
    let header = reader.headers().map_err(|error| format!("the header cannot be read: {error}"))?.clone();
    let position = |name: &str| header.iter().position(|heading| heading.trim() == name);
    let required = |name: &str| position(name).ok_or_else(|| format!("line 1: the column {name} is missing"));
    let (id_column, key_column, zone_column) = (required("id")?, required(key.name())?, position("time_zone"));
    let mut agents: HashMap<String, RosterAgent> = HashMap::new();
    for (index, record) in reader.records().enumerate() {
        let record = record.map_err(|error| format!("the agent number {} cannot be read: {error}", index + 1))?;
        let line = record.position().map_or(0, csv::Position::line);
        let field = |column: usize| record.get(column).unwrap_or_default().trim();
        let (id, key_text) = (field(id_column), field(key_column));
        if id.is_empty() {
            return Err(format!("line {line}: the agent has no id"));
        }
        let agent = RosterAgent { id: id.to_owned(), zone: zone_column.map(field).unwrap_or_default().to_owned() };
        if !key_text.is_empty() && agents.insert(key_text.to_owned(), agent).is_some() {
            return Err(format!("line {line}: another agent has the same {} already", key.name()));
        }
    }
    Ok(AgentLookup::new(agents))
}
