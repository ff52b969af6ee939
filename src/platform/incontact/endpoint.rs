//! The endpoints of the published services, and the version in the path of each.

use std::collections::BTreeMap;

use crate::domain::time::UtcMicros;

/// An endpoint that has a version of its own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Endpoint {
    /// The list of agents.
    Agents,
    /// The list of teams.
    Teams,
    /// The unavailable codes of a team.
    Codes,
    /// The states of all agents.
    States,
    /// The states of the past.
    StateHistory,
    /// Changes of an agent's state, and log-outs.
    Changes,
    /// The activity of skills.
    Skills,
}

impl Endpoint {
    /// All endpoints.
    pub const ALL: [Self; 7] =
        [Self::Agents, Self::Teams, Self::Codes, Self::States, Self::StateHistory, Self::Changes, Self::Skills];

    /// Returns its name in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Agents => "agents",
            Self::Teams => "teams",
            Self::Codes => "codes",
            Self::States => "states",
            Self::StateHistory => "state_history",
            Self::Changes => "changes",
            Self::Skills => "skills",
        }
    }
}

/// The versions of the endpoints, such as `31.0`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Versions {
    default: String,
    others: BTreeMap<Endpoint, String>,
    paths: BTreeMap<Endpoint, String>,
}

impl Versions {
    /// Returns `default` for all endpoints that are not in `others`.
    pub fn new(default: String, others: BTreeMap<Endpoint, String>) -> Self {
        let version_of = |endpoint| others.get(&endpoint).unwrap_or(&default);
        let paths = Endpoint::ALL.into_iter().map(|endpoint| (endpoint, api_path(version_of(endpoint)))).collect();
        Self { default, others, paths }
    }

    /// Returns the version of an endpoint.
    pub fn of(&self, endpoint: Endpoint) -> &str {
        self.others.get(&endpoint).unwrap_or(&self.default)
    }

    /// Returns the path below which an endpoint lies.
    pub(super) fn path(&self, endpoint: Endpoint) -> Option<&str> {
        self.paths.get(&endpoint).map(String::as_str)
    }

    /// Returns the path of the endpoints without a version of their own.
    pub(super) fn default_path(&self) -> String {
        api_path(&self.default)
    }
}

/// A list of the published services.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PublishedList<'a> {
    /// The agents' states.
    States,
    /// The states of the past.
    StateHistory,
    /// The agents.
    Agents,
    /// The teams.
    Teams,
    /// The unavailable codes of the team with this number.
    Codes(&'a str),
    /// The activity of skills.
    Skills,
}

impl<'a> PublishedList<'a> {
    /// Returns the endpoint that serves it.
    pub const fn endpoint(self) -> Endpoint {
        match self {
            Self::States => Endpoint::States,
            Self::StateHistory => Endpoint::StateHistory,
            Self::Agents => Endpoint::Agents,
            Self::Teams => Endpoint::Teams,
            Self::Codes(_) => Endpoint::Codes,
            Self::Skills => Endpoint::Skills,
        }
    }

    /// Returns its path below the version.
    pub(super) fn segments(self) -> Vec<&'a str> {
        match self {
            Self::States => vec!["agents", "states"],
            Self::StateHistory => vec!["agents", "state-history"],
            Self::Agents => vec!["agents"],
            Self::Teams => vec!["teams"],
            Self::Codes(team) => vec!["teams", team, "unavailable-codes"],
            Self::Skills => vec!["skills", "activity"],
        }
    }
}

/// Returns the path of the API in a version.
pub(super) fn api_path(version: &str) -> String {
    format!("/incontactapi/services/v{version}")
}

/// Returns the query of a page of past states, from one instant until another and in that order.
pub(super) fn history_query((from, to): (UtcMicros, UtcMicros), rows: usize, skip: usize) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("startDate", &from.to_string()).append_pair("endDate", &to.to_string());
    query.append_pair("top", &rows.to_string()).append_pair("skip", &skip.to_string());
    query.append_pair("orderBy", "startDate");
    query.finish()
}

/// Returns the query of a page: an instant under the name that the list has for it, if only changes are wanted, and the
/// rows.
pub(super) fn page_query(since: Option<(&str, &str)>, rows: usize, skip: usize) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(since);
    query.append_pair("top", &rows.to_string()).append_pair("skip", &skip.to_string());
    query.finish()
}
