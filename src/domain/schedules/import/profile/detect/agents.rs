//! Which column names the agents, and by which key.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use toml::Value;

use super::super::{AgentKey, AgentLookup, RosterAgent};
use super::proposal::Draft;
use super::table::Table;
use super::words::Role;

/// The agents who are known, by each of their keys.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct KnownAgents {
    keys: BTreeMap<AgentKey, HashMap<String, RosterAgent>>,
}

impl KnownAgents {
    /// Adds an agent under a key; an empty text is no key.
    pub fn add(&mut self, key: AgentKey, text: &str, agent: RosterAgent) {
        if !text.is_empty() {
            self.keys.entry(key).or_default().insert(text.to_owned(), agent);
        }
    }

    /// Parses all keys of a roster file. The error says what is missing.
    pub fn of_roster(bytes: &[u8]) -> Result<Self, String> {
        let mut known = Self::default();
        let bytes = super::super::super::strip_byte_order_mark(bytes);
        let mut reader = csv::Reader::from_reader(bytes);
        let header = reader.headers().map_err(|error| format!("the header cannot be read: {error}"))?.clone();
        let position = |name: &str| header.iter().position(|heading| heading.trim() == name);
        let id_column = position("id").ok_or("line 1: the column id is missing")?;
        let zone_column = position("time_zone");
        for record in reader.records() {
            let record = record.map_err(|error| error.to_string())?;
            let field = |column: usize| record.get(column).unwrap_or_default().trim();
            let zone = zone_column.map(field).unwrap_or_default().to_owned();
            for key in AgentKey::ALL {
                if let Some(column) = position(key.name()) {
                    known.add(key, field(column), RosterAgent { id: field(id_column).to_owned(), zone: zone.clone() });
                }
            }
        }
        Ok(known)
    }

    /// Whether all texts are the same key of known agents.
    pub(super) fn has_all(&self, texts: &BTreeSet<&str>) -> bool {
        !texts.is_empty() && AgentKey::ALL.into_iter().any(|key| self.count(key, texts) == texts.len())
    }

    /// Returns the lookup by a key. `accepts_ids` is whether an id that is not known is an agent all the same.
    pub fn lookup(&self, key: AgentKey, accepts_ids: bool) -> AgentLookup {
        let known = self.keys.get(&key).into_iter().flatten();
        let lookup = AgentLookup::new(known.map(|(text, agent)| (text.clone(), agent.clone())));
        if accepts_ids && key == AgentKey::Id { lookup.accepting_unknown_ids() } else { lookup }
    }

    fn count(&self, key: AgentKey, texts: &BTreeSet<&str>) -> usize {
        self.keys.get(&key).map_or(0, |known| texts.iter().filter(|text| known.contains_key(**text)).count())
    }

    /// Returns the time zone of the agent with this key.
    pub(super) fn zone(&self, key: AgentKey, text: &str) -> Option<&str> {
        let zone = self.keys.get(&key)?.get(text)?.zone.as_str();
        (!zone.is_empty()).then_some(zone)
    }
}

/// The agents of a table.
pub(super) struct Agents {
    pub(super) column: usize,
    /// The key, if it is known.
    pub(super) key: Option<AgentKey>,
}

/// Finds the columns about the agents, and adds the keys. `None` if there is no column that names them.
pub(super) fn find(table: &Table<'_>, known: &KnownAgents, draft: &mut Draft<'_>) -> Option<Agents> {
    let stated = draft.answer(&["columns", "agent"]).and_then(|value| column_named(table, value));
    let candidates = stated.map_or_else(|| table.columns_of(Role::Agent), |column| vec![column]);
    find_among(table, &candidates, known, draft)
}

/// Returns the column that a person stated.
fn column_named(table: &Table<'_>, value: &Value) -> Option<usize> {
    let number = value.as_integer().and_then(|number| usize::try_from(number - 1).ok());
    number.or_else(|| value.as_str().and_then(|name| table.header.iter().position(|cell| cell.text() == name)))
}

/// Finds the column of the agents among some.
pub(super) fn find_among(
    table: &Table<'_>,
    candidates: &[usize],
    known: &KnownAgents,
    draft: &mut Draft<'_>,
) -> Option<Agents> {
    let texts = |column: usize| table.texts(&[column]).into_keys().collect::<BTreeSet<&str>>();
    let stated =
        draft.answer_text("agent_key").and_then(|name| AgentKey::ALL.into_iter().find(|key| key.name() == name));
    for column in candidates {
        let found = texts(*column);
        for key in stated.map_or(AgentKey::ALL.to_vec(), |key| vec![key]) {
            if !found.is_empty() && known.count(key, &found) == found.len() {
                draft.certain(&["columns", "agent"], table.name(*column), "Its values name the agents.");
                let reason = format!("All {} values are the {} of an agent who is known.", found.len(), spoken(key));
                draft.certain(&["agent_key"], key.name(), reason);
                names(table, *column, draft);
                return Some(Agents { column: *column, key: Some(key) });
            }
        }
    }
    let column = *candidates.first()?;
    if candidates.len() > 1 {
        let others = candidates.iter().map(|column| table.name(*column).to_string()).collect::<Vec<_>>().join(", ");
        draft.doubtful(
            &["columns", "agent"],
            table.name(column),
            format!("these columns may name the agents: {others}."),
        );
    } else {
        draft.certain(&["columns", "agent"], table.name(column), "No other heading is known to name agents.");
    }
    let key = propose_key(&texts(column), known, draft).or(stated);
    names(table, column, draft);
    Some(Agents { column, key })
}

const fn spoken(key: AgentKey) -> &'static str {
    match key {
        AgentKey::Id => "id",
        AgentKey::UserName => "user name",
        AgentKey::Uuid => "user account id",
        AgentKey::EmployeeNumber => "employee number",
        AgentKey::Login => "login",
    }
}

fn propose_key(texts: &BTreeSet<&str>, known: &KnownAgents, draft: &mut Draft<'_>) -> Option<AgentKey> {
    let best = AgentKey::ALL.into_iter().map(|key| (known.count(key, texts), key)).max_by_key(|(count, _)| *count);
    if let Some((count, key)) = best.filter(|(count, _)| *count > 0) {
        let reason = format!("{count} of {} values are the {} of an agent who is known.", texts.len(), spoken(key));
        draft.doubtful(&["agent_key"], key.name(), reason);
        return Some(key);
    }
    let is_uuid = |text: &&str| text.len() == 36 && uuid::Uuid::try_parse(text).is_ok();
    if texts.iter().all(is_uuid) {
        draft.certain(&["agent_key"], "uuid", "All values are UUIDs.");
        return Some(AgentKey::Uuid);
    }
    if texts.iter().all(|text| text.contains('@')) {
        draft.doubtful(&["agent_key"], "user_name", "all values are e-mail addresses. Do agents sign in with them?");
        return Some(AgentKey::UserName);
    }
    let values = ["employee_no", "login", "id"].map(Value::from).to_vec();
    let reason = "nothing shows what names the agents. An employee number or a login needs a roster: a CSV file with the \
                  columns id and employee_no or login. State it, and the values are looked up in it.";
    draft.undecided(&["agent_key"], values, reason);
    None
}

/// Adds the columns of the name and the team.
fn names(table: &Table<'_>, agent: usize, draft: &mut Draft<'_>) {
    let parts: Vec<usize> =
        [Role::FirstName, Role::LastName].into_iter().filter_map(|role| table.column_of(role)).collect();
    let name = table.columns_of(Role::Name).into_iter().find(|column| *column != agent);
    if parts.len() == 2 {
        let value = Value::Array(parts.iter().map(|column| table.name(*column)).collect());
        draft.certain(&["columns", "name"], value, "These headings are known.");
    } else if let Some(column) = name {
        draft.certain(&["columns", "name"], table.name(column), "This heading is known.");
    }
    if let Some(column) = table.column_of(Role::Team) {
        draft.certain(&["columns", "team"], table.name(column), "This heading is known.");
    }
    team_from_sheet(table, agent, draft);
}

/// Proposes that sheets are teams if no agent is on two of them.
fn team_from_sheet(table: &Table<'_>, agent: usize, draft: &mut Draft<'_>) {
    if table.sheets.len() < 2 || table.column_of(Role::Team).is_some() {
        return;
    }
    let mut seen = BTreeSet::new();
    for (_, rows) in &table.sheets {
        let agents: BTreeSet<_> = rows.iter().map(|row| row.cell(agent).text().into_owned()).collect();
        if !seen.is_disjoint(&agents) {
            return;
        }
        seen.extend(agents);
    }
    draft.doubtful(&["team_from"], "sheet", "no agent is on two sheets, and no column has a team.");
}
