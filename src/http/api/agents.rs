//! Agents and their current state: a list with filters and sorting, and single agents.

pub(in crate::http) mod erasures;
pub(in crate::http) mod history;
pub(in crate::http) mod skills;

use axum::Json;
use axum::extract::{RawQuery, State};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::domain::adherence::Verdict;
use crate::domain::agents::state::AgentState;
use crate::domain::ids::{AgentId, TeamName, TenantId};
use crate::domain::time::UtcMicros;
use crate::domain::wording::closest_name;
use crate::engine::agents::agent_list::{AgentList, AgentSummary};
use crate::http::auth::{Caller, Right};
use crate::http::problem::{Code, Problem};
use crate::http::request::extract::{Path, Query};
use crate::http::state::ApiState;

/// The maximum number of agents per page.
const MAX_PAGE_SIZE: usize = 2000;

/// The number of agents per page by default.
const DEFAULT_PAGE_SIZE: usize = 100;

/// The maximum number of values per filter.
const MAX_FILTER_VALUES: usize = 100;

/// The query as documented; [`AgentListQuery`] reads it, because some parameters may be repeated.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it describes what `AgentListQuery` reads")]
pub(in crate::http) struct AgentListParams {
    /// The id of the tenant.
    tenant: String,
    /// Only agents of this team; repeat it for several teams. An empty value selects agents without a team.
    team: Option<Vec<String>>,
    /// Only agents in this state; repeat it for several states.
    state: Option<Vec<String>>,
    /// Only agents with this skill (by id or name), or with whom the platform shows this queue; repeat it for several.
    skill: Option<Vec<String>>,
    /// Only agents with this verdict: `in`, `out`, `neutral`, `unscheduled` or `unknown`; repeat it for several.
    verdict: Option<Vec<String>>,
    /// Only agents whose id, name or team contains this text, ignoring case.
    search: Option<String>,
    /// The order: `name`, `id`, `team`, `state`, `in_state` (longest time in the state first) or `worst` (longest time
    /// out of adherence first). A leading `-` reverses it.
    sort: Option<String>,
    /// The maximum number of agents to return, 1 to 2000; 100 by default.
    limit: Option<u32>,
    /// The `next` of the previous page; omit it for the first page.
    cursor: Option<String>,
}

/// A page of agents.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct AgentPage {
    /// The agents, in the requested order.
    agents: Vec<AgentSummary>,
    /// The `cursor` of the next page; null on the last page.
    next: Option<String>,
    /// The number of agents that match the filters.
    matching: usize,
    /// The number of agents that the caller can access.
    total: usize,
    /// The time of the list.
    at: UtcMicros,
    /// When the oldest part of the live view was observed; null until every part has been observed.
    seen_at: Option<UtcMicros>,
    /// How long ago that was, in milliseconds; null until every part has been observed.
    age_ms: Option<u64>,
}

/// List agents
///
/// Returns agents with their current state, filtered and sorted. The list is at most one second old, and `seen_at` says
/// how old the observations in it are.
#[utoipa::path(
    get,
    path = "/api/v1/agents",
    tag = "agents",
    operation_id = "list_agents",
    params(AgentListParams),
    responses((status = 200, description = "A page of agents.", body = AgentPage))
)]
pub(in crate::http) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Json<AgentPage>, Problem> {
    let query = AgentListQuery::parse(query.as_deref().unwrap_or_default())?;
    caller.check(&state, Right::Read, &query.tenant)?;
    let board = state.boards.get(&query.tenant).await?;
    let reach: Vec<&AgentSummary> =
        board.agents.iter().filter(|card| is_accessible(&caller, &query.tenant, card)).collect();
    if query.after.is_none() {
        query.check_states(&reach)?;
    }
    Ok(Json(query.page(&board, &reach)))
}

/// Whether the caller can access the agent.
pub(super) fn is_accessible(caller: &Caller, tenant: &TenantId, card: &AgentSummary) -> bool {
    caller.has_team(tenant, card.team.as_ref())
}

/// The filters, order and page of a list of agents.
#[derive(PartialEq, Debug)]
struct AgentListQuery {
    tenant: TenantId,
    teams: Vec<String>,
    states: Vec<String>,
    skills: Vec<String>,
    verdicts: Vec<Verdict>,
    search: Option<String>,
    sort: Sort,
    is_reversed: bool,
    limit: usize,
    after: Option<SortKey>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Sort {
    Name,
    Id,
    Team,
    State,
    InState,
    Worst,
}

const SORTS: [(&str, Sort); 6] = [
    ("name", Sort::Name),
    ("id", Sort::Id),
    ("team", Sort::Team),
    ("state", Sort::State),
    ("in_state", Sort::InState),
    ("worst", Sort::Worst),
];

/// An agent's position in a sorted list: a rank, an instant, a text, and the id, which is unique.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
struct SortKey(u8, i64, String, String);

impl Sort {
    fn sort_key(self, card: &AgentSummary) -> SortKey {
        let folded = |text: &str| text.to_lowercase();
        let id = card.id.as_str().to_owned();
        let text_key =
            |word: Option<&str>| SortKey(u8::from(word.is_none()), 0, word.map(folded).unwrap_or_default(), id.clone());
        match self {
            Self::Name => text_key(Some(card.name.as_deref().unwrap_or(card.id.as_str()))),
            Self::Id => SortKey(0, 0, String::new(), id),
            Self::Team => text_key(card.team.as_ref().map(TeamName::as_str)),
            Self::State => text_key(card.state.as_ref().map(AgentState::name)),
            Self::InState => {
                SortKey(u8::from(card.entered_at.is_none()), micros_or_max(card.entered_at), String::new(), id)
            }
            Self::Worst => {
                let rank = match card.adherence.verdict {
                    Verdict::Out => 0,
                    Verdict::Neutral => 1,
                    Verdict::In => 2,
                    Verdict::Unknown => 3,
                    Verdict::Unscheduled => 4,
                };
                SortKey(rank, micros_or_max(card.adherence.since), String::new(), id)
            }
        }
    }
}

fn micros_or_max(instant: Option<UtcMicros>) -> i64 {
    instant.map_or(i64::MAX, UtcMicros::as_micros)
}

impl AgentListQuery {
    fn parse(query: &str) -> Result<Self, Problem> {
        let (mut tenant, mut wanted) = (None, Self::unfiltered());
        let mut cursor = None;
        for (key, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let value = value.into_owned();
            match &*key {
                "tenant" => tenant = Some(TenantId::from(value)),
                "team" => wanted.teams.push(value),
                "state" => {
                    wanted.states.push(AgentState::from_name(&value).map_or(value, |state| state.name().to_owned()));
                }
                "skill" => wanted.skills.push(value),
                "verdict" => wanted.verdicts.push(Verdict::from_name(&value).ok_or_else(|| unknown_verdict(&value))?),
                "search" => wanted.search = Some(value.to_lowercase()).filter(|text| !text.is_empty()),
                "sort" => (wanted.sort, wanted.is_reversed) = parse_sort(&value)?,
                "limit" => wanted.limit = parse_limit(&value)?,
                "cursor" => cursor = Some(value),
                _ => {
                    let known = "tenant, team, state, skill, verdict, search, sort, limit and cursor";
                    return Err(Problem::bad_request(format!("{key}: unknown parameter; known are {known}")));
                }
            }
        }
        let counts = [wanted.teams.len(), wanted.states.len(), wanted.skills.len(), wanted.verdicts.len()];
        if counts.into_iter().any(|count| count > MAX_FILTER_VALUES) {
            return Err(Problem::bad_request(format!("at most {MAX_FILTER_VALUES} values for a filter")));
        }
        wanted.tenant = tenant.ok_or_else(|| Problem::bad_request("tenant: name the tenant"))?;
        wanted.after = cursor.as_deref().map(SortKey::from_cursor).transpose()?;
        Ok(wanted)
    }

    fn unfiltered() -> Self {
        Self {
            tenant: TenantId::new(""),
            teams: Vec::new(),
            states: Vec::new(),
            skills: Vec::new(),
            verdicts: Vec::new(),
            search: None,
            sort: Sort::Name,
            is_reversed: false,
            limit: DEFAULT_PAGE_SIZE,
            after: None,
        }
    }

    /// Returns an error for a state that looks like a misspelt known state.
    ///
    /// Other names are accepted: a platform may show states that are not known here, and a list that is requested
    /// repeatedly stays valid while no agent is in such a state.
    fn check_states(&self, reach: &[&AgentSummary]) -> Result<(), Problem> {
        let known = AgentState::KNOWN.each_ref().map(AgentState::name);
        let is_in_use =
            |name: &str| reach.iter().filter_map(|card| card.state.as_ref()).any(|state| state.name() == name);
        for name in self.states.iter().filter(|name| !known.contains(&name.as_str()) && !is_in_use(name)) {
            if let Some(near) = closest_name(name, known) {
                let known = known.join(", ");
                let detail =
                    format!("state: {name:?} is not one of {known}, and no agent is in it; did you mean {near}?");
                return Err(Problem::bad_request(detail));
            }
        }
        Ok(())
    }

    fn matches(&self, card: &AgentSummary) -> bool {
        let one_of = |names: &[String], name: Option<&str>| {
            names.is_empty() || names.iter().any(|wanted| wanted == name.unwrap_or_default())
        };
        let contains_folded = |text: &str, part: &str| text.to_lowercase().contains(part);
        one_of(&self.teams, card.team.as_ref().map(TeamName::as_str))
            && one_of(&self.states, card.state.as_ref().map(AgentState::name))
            && (one_of(&self.skills, card.queue.as_deref())
                || self.skills.iter().any(|word| card.skills_by_level.iter().any(|skill| skill.matches_name(word))))
            && (self.verdicts.is_empty() || self.verdicts.contains(&card.adherence.verdict))
            && self.search.as_deref().is_none_or(|part| {
                let texts = [Some(card.id.as_str()), card.name.as_deref(), card.team.as_ref().map(TeamName::as_str)];
                texts.into_iter().flatten().any(|text| contains_folded(text, part))
            })
    }

    fn page(&self, board: &AgentList, reach: &[&AgentSummary]) -> AgentPage {
        let mut sorted: Vec<(SortKey, &AgentSummary)> =
            reach.iter().filter(|card| self.matches(card)).map(|card| (self.sort.sort_key(card), *card)).collect();
        let matching = sorted.len();
        sorted.sort_unstable_by(|(left, _), (right, _)| self.order(left, right));
        let begin = self.after.as_ref().map_or(0, |after| {
            sorted.partition_point(|(place, _)| self.order(place, after) != std::cmp::Ordering::Greater)
        });
        let page = &sorted[begin..sorted.len().min(begin + self.limit)];
        let more = begin + page.len() < matching;
        AgentPage {
            agents: page.iter().map(|(_, card)| (*card).clone()).collect(),
            next: page.last().filter(|_| more).map(|(place, _)| place.to_cursor()),
            matching,
            total: reach.len(),
            at: board.at,
            seen_at: board.observed_at,
            age_ms: board.observed_at.map(|seen_at| age_ms(board.at, seen_at)),
        }
    }

    fn order(&self, left: &SortKey, right: &SortKey) -> std::cmp::Ordering {
        if self.is_reversed { right.cmp(left) } else { left.cmp(right) }
    }
}

fn age_ms(now: UtcMicros, seen_at: UtcMicros) -> u64 {
    u64::try_from(now.since(seen_at).as_millis()).unwrap_or(u64::MAX)
}

impl SortKey {
    fn to_cursor(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }

    fn from_cursor(text: &str) -> Result<Self, Problem> {
        let read = BASE64_URL_SAFE_NO_PAD.decode(text).ok().and_then(|json| serde_json::from_slice(&json).ok());
        read.ok_or_else(|| Problem::bad_request("cursor: not the `next` of a page of agents"))
    }
}

fn unknown_verdict(value: &str) -> Problem {
    let known = Verdict::ALL.map(Verdict::name).join(", ");
    Problem::bad_request(format!("verdict: {value:?} is none of {known}"))
}

fn parse_sort(value: &str) -> Result<(Sort, bool), Problem> {
    let (is_reversed, name) = value.strip_prefix('-').map_or((false, value), |name| (true, name));
    let sort = SORTS.iter().find(|(known, _)| *known == name).map(|(_, sort)| *sort);
    sort.map(|sort| (sort, is_reversed)).ok_or_else(|| {
        let known = SORTS.map(|(name, _)| name).join(", ");
        Problem::bad_request(format!("sort: one of {known}, with `-` in front to reverse the order"))
    })
}

fn parse_limit(value: &str) -> Result<usize, Problem> {
    let limit: u32 =
        value.parse().map_err(|_| Problem::bad_request(format!("limit: a number up to {MAX_PAGE_SIZE}")))?;
    Ok(usize::try_from(limit).unwrap_or(MAX_PAGE_SIZE).clamp(1, MAX_PAGE_SIZE))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct TenantQuery {
    /// The id of the tenant.
    pub(super) tenant: TenantId,
}

/// An agent.
#[derive(Serialize, ToSchema)]
#[schema(as = AgentOfTenant)]
pub(in crate::http) struct AgentResponse {
    /// The id of the tenant.
    tenant: TenantId,
    /// The time of the response.
    at: UtcMicros,
    #[serde(flatten)]
    agent: AgentSummary,
}

/// Identifies an agent.
#[derive(Serialize, ToSchema)]
#[schema(as = AgentName)]
pub(in crate::http) struct AgentName {
    /// The agent's id on the platform.
    id: AgentId,
    /// The name of the agent; null if unknown.
    name: Option<String>,
    /// The team of the agent; null if unknown.
    team: Option<TeamName>,
    /// The IANA time zone of the agent; null if unknown.
    zone: Option<String>,
}

impl From<AgentSummary> for AgentName {
    fn from(card: AgentSummary) -> Self {
        let text = |text: std::sync::Arc<str>| text.to_string();
        Self { id: card.id, name: card.name.map(text), team: card.team, zone: card.zone.map(text) }
    }
}

/// Retrieve an agent
///
/// Returns the agent's state with its reason code and duration, the current and the next planned activity, the
/// adherence verdict, the age of the observation, and the open state change.
#[utoipa::path(
    get,
    path = "/api/v1/agents/{id}",
    tag = "agents",
    operation_id = "show_agent",
    params(("id" = AgentId, Path, description = "The id of the agent."), TenantQuery),
    responses((status = 200, description = "The agent.", body = AgentResponse))
)]
pub(in crate::http) async fn show(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<AgentId>,
    Query(TenantQuery { tenant }): Query<TenantQuery>,
) -> Result<Json<AgentResponse>, Problem> {
    let (board, agent) = find_agent(&state, &caller, Right::Read, &tenant, &id).await?;
    Ok(Json(AgentResponse { tenant, at: board.at, agent }))
}

/// Finds an agent that the caller can access, and the agent list that contains it.
pub(super) async fn find_agent(
    state: &ApiState,
    caller: &Caller,
    right: Right,
    tenant: &TenantId,
    id: &AgentId,
) -> Result<(std::sync::Arc<AgentList>, AgentSummary), Problem> {
    caller.check(state, right, tenant)?;
    let board = state.boards.get(tenant).await?;
    let card = board.agent(id).filter(|card| is_accessible(caller, tenant, card)).cloned();
    let card = card.ok_or_else(|| {
        Problem::from_code(Code::NoSuchAgent, format!("tenant {tenant} has no agent {id} in its roster"))
    })?;
    Ok((board, card))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::agents::skill::Skills;
    use crate::domain::rules::planner::DecideSettings;
    use crate::engine::agents::agent_list::{AdherenceSummary, PlannedActivity};

    fn card(id: &str, name: &str, team: Option<&str>, verdict: Verdict, since: i64) -> AgentSummary {
        let at = UtcMicros::from_micros(since);
        AgentSummary {
            id: id.into(),
            name: Some(name.into()),
            team: team.map(TeamName::from),
            zone: None,
            state: Some(AgentState::Ready),
            reason: None,
            queue: None,
            entered_at: Some(at),
            in_state_ms: Some(0),
            in_state_level: None,
            source: None,
            transition: None,
            seen_at: Some(at),
            age_ms: Some(0),
            adherence: AdherenceSummary { verdict, since: Some(at) },
            planned: PlannedActivity { activity: "work".into(), since: None, until: None },
            mandatory: false,
            next: None,
            open: None,
            skills: Vec::new(),
            skills_by_level: Skills::default(),
        }
    }

    fn board() -> AgentList {
        let agents = vec![
            card("u_3", "ann", Some("Care"), Verdict::In, 5),
            card("u_1", "Zoë", Some("Billing"), Verdict::Out, 9),
            card("u_2", "Bob", None, Verdict::Out, 2),
            card("u_4", "Ann", Some("Care"), Verdict::Unscheduled, 1),
        ];
        AgentList::new(UtcMicros::from_micros(10), None, &DecideSettings::default(), agents)
    }

    fn ids(query: &str) -> (Vec<String>, Option<String>, usize) {
        let board = board();
        let reach: Vec<_> = board.agents.iter().collect();
        let page = AgentListQuery::parse(&format!("tenant=acme&{query}")).expect("sound").page(&board, &reach);
        assert_eq!(page.total, 4);
        (page.agents.iter().map(|card| card.id.to_string()).collect(), page.next, page.matching)
    }

    #[test]
    fn agents_are_narrowed_and_sorted() {
        for (query, expected) in [
            ("", &["u_3", "u_4", "u_2", "u_1"][..]),
            ("sort=-name", &["u_1", "u_2", "u_4", "u_3"]),
            ("sort=id", &["u_1", "u_2", "u_3", "u_4"]),
            ("sort=team", &["u_1", "u_3", "u_4", "u_2"]),
            ("sort=in_state", &["u_4", "u_2", "u_3", "u_1"]),
            ("sort=worst", &["u_2", "u_1", "u_3", "u_4"]),
            ("team=Care&sort=id", &["u_3", "u_4"]),
            ("team=Care&team=&sort=id", &["u_2", "u_3", "u_4"]),
            ("verdict=out&verdict=in&sort=id", &["u_1", "u_2", "u_3"]),
            ("search=ZO%C3%8B", &["u_1"]),
            ("search=care&sort=id", &["u_3", "u_4"]),
            ("state=Paused", &[]),
        ] {
            assert_eq!(ids(query).0, expected, "{query}");
        }
        for wrong in ["sort=age", "verdict=late", "limit=many", "limit=-1", "cursor=x", "colour=red"] {
            assert!(AgentListQuery::parse(&format!("tenant=acme&{wrong}")).is_err(), "{wrong}");
        }
        assert!(AgentListQuery::parse("team=Care").is_err(), "no tenant");
        assert!(AgentListQuery::parse(&format!("tenant=acme{}", "&team=x".repeat(MAX_FILTER_VALUES + 1))).is_err());
    }

    #[test]
    fn pages_follow_each_other_in_either_order() {
        for sort in ["name", "-name", "worst", "-in_state"] {
            let (all, none, matching) = ids(&format!("sort={sort}"));
            assert_eq!((none, matching), (None, 4));
            let (mut collected, mut cursor) = (Vec::new(), String::new());
            loop {
                let (page, next, _) = ids(&format!("sort={sort}&limit=1{cursor}"));
                assert!(page.len() <= 1);
                collected.extend(page);
                let Some(next) = next else { break };
                cursor = format!("&cursor={next}");
            }
            assert_eq!(collected, all, "{sort}");
        }
    }
}
