//! Agents as they stand: a list that is narrowed and sorted, and one of them.

pub(in crate::http) mod course;
pub(in crate::http) mod erasures;
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
use crate::domain::words::nearest;
use crate::engine::agents::board::{AgentCard, Board};
use crate::http::ApiState;
use crate::http::auth::{Caller, Right};
use crate::http::extract::{Path, Query};
use crate::http::problem::{Code, Problem};

/// The most agents of one page.
const MOST: usize = 2000;

/// A page's length where nobody says.
const USUAL: usize = 100;

/// The most values that each filter may name.
const MOST_NAMES: usize = 100;

/// The query, as the document describes it; [`Wanted`] reads it, since some may come more than once.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it describes what `Wanted` reads")]
pub(in crate::http) struct AgentsQuery {
    /// Whose agents.
    tenant: String,
    /// Of this team; more than once for several, empty for agents without one.
    team: Option<Vec<String>>,
    /// In this state; more than once for several.
    state: Option<Vec<String>>,
    /// Whom the platform shows with this queue, or who has this skill; more than once for several.
    skill: Option<Vec<String>>,
    /// `in`, `out`, `neutral`, `unscheduled` or `unknown`; more than once for several.
    verdict: Option<Vec<String>>,
    /// A part of the id, the name or the team, in any case.
    search: Option<String>,
    /// `name`, `id`, `team`, `state`, `in_state` (longest first) or `worst` (out of adherence longest first); `-` before it turns it
    /// round.
    sort: Option<String>,
    /// How many; 100 without it, at most 2000.
    limit: Option<u32>,
    /// The `next` of the page before.
    cursor: Option<String>,
}

/// Agents.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct AgentPage {
    /// A page of them, sorted.
    agents: Vec<AgentCard>,
    /// The `cursor` of the next page; null on the last.
    next: Option<String>,
    /// How many the filters leave.
    matching: usize,
    /// How many there are within reach.
    total: usize,
    /// When it was so.
    at: UtcMicros,
    /// How fresh the oldest part of what the platform showed is; null until all was shown.
    seen_at: Option<UtcMicros>,
    /// How old that is, in milliseconds.
    age_ms: Option<u64>,
}

/// Agents as they stand
///
/// Narrowed and sorted; the picture is a second old at most, and `seen_at` says how fresh what it rests on is.
#[utoipa::path(
    get,
    path = "/api/v1/agents",
    tag = "agents",
    operation_id = "list_agents",
    params(AgentsQuery),
    responses((status = 200, description = "a page", body = AgentPage))
)]
pub(in crate::http) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Json<AgentPage>, Problem> {
    let wanted = Wanted::of(query.as_deref().unwrap_or_default())?;
    caller.check(&state, Right::Read, &wanted.tenant)?;
    let board = state.boards.look(&wanted.tenant).await?;
    let reach: Vec<&AgentCard> =
        board.agents.iter().filter(|card| within_reach(&caller, &wanted.tenant, card)).collect();
    if wanted.after.is_none() {
        wanted.check_states(&reach)?;
    }
    Ok(Json(wanted.page(&board, &reach)))
}

/// Whether the caller may know of the agent.
fn within_reach(caller: &Caller, tenant: &TenantId, card: &AgentCard) -> bool {
    caller.has_team(tenant, card.team.as_ref())
}

/// What a list is to hold.
#[derive(PartialEq, Debug)]
struct Wanted {
    tenant: TenantId,
    teams: Vec<String>,
    states: Vec<String>,
    skills: Vec<String>,
    verdicts: Vec<Verdict>,
    search: Option<String>,
    sort: Sort,
    turned: bool,
    limit: usize,
    after: Option<Place>,
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

/// An agent's place in a sorted list: a rank, an instant, a word, and the id, which no two share.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
struct Place(u8, i64, String, String);

impl Sort {
    fn place(self, card: &AgentCard) -> Place {
        let folded = |text: &str| text.to_lowercase();
        let id = card.id.as_str().to_owned();
        let word =
            |word: Option<&str>| Place(u8::from(word.is_none()), 0, word.map(folded).unwrap_or_default(), id.clone());
        match self {
            Self::Name => word(Some(card.name.as_deref().unwrap_or(card.id.as_str()))),
            Self::Id => Place(0, 0, String::new(), id),
            Self::Team => word(card.team.as_ref().map(TeamName::as_str)),
            Self::State => word(card.state.as_ref().map(AgentState::name)),
            Self::InState => Place(u8::from(card.entered_at.is_none()), micros(card.entered_at), String::new(), id),
            Self::Worst => {
                let rank = match card.adherence.verdict {
                    Verdict::Out => 0,
                    Verdict::Neutral => 1,
                    Verdict::In => 2,
                    Verdict::Unknown => 3,
                    Verdict::Unscheduled => 4,
                };
                Place(rank, micros(card.adherence.since), String::new(), id)
            }
        }
    }
}

fn micros(instant: Option<UtcMicros>) -> i64 {
    instant.map_or(i64::MAX, UtcMicros::as_micros)
}

impl Wanted {
    fn of(query: &str) -> Result<Self, Problem> {
        let (mut tenant, mut wanted) = (None, Self::everything());
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
                "verdict" => wanted.verdicts.push(Verdict::from_name(&value).ok_or_else(|| not_a_verdict(&value))?),
                "search" => wanted.search = Some(value.to_lowercase()).filter(|text| !text.is_empty()),
                "sort" => (wanted.sort, wanted.turned) = sort_of(&value)?,
                "limit" => wanted.limit = limit_of(&value)?,
                "cursor" => cursor = Some(value),
                _ => {
                    let known = "tenant, team, state, skill, verdict, search, sort, limit and cursor";
                    return Err(Problem::bad_request(format!("{key}: there is {known}")));
                }
            }
        }
        let most = [wanted.teams.len(), wanted.states.len(), wanted.skills.len(), wanted.verdicts.len()];
        if most.into_iter().any(|count| count > MOST_NAMES) {
            return Err(Problem::bad_request(format!("at most {MOST_NAMES} values for a filter")));
        }
        wanted.tenant = tenant.ok_or_else(|| Problem::bad_request("tenant: name the tenant"))?;
        wanted.after = cursor.as_deref().map(Place::of_cursor).transpose()?;
        Ok(wanted)
    }

    fn everything() -> Self {
        Self {
            tenant: TenantId::new(""),
            teams: Vec::new(),
            states: Vec::new(),
            skills: Vec::new(),
            verdicts: Vec::new(),
            search: None,
            sort: Sort::Name,
            turned: false,
            limit: USUAL,
            after: None,
        }
    }

    /// Refuses a state that looks like one of ours misspelt. Other names pass: a platform may show states that no table knows, and a list
    /// that somebody asks for again and again is no less right while nobody is in one.
    fn check_states(&self, reach: &[&AgentCard]) -> Result<(), Problem> {
        let known = AgentState::KNOWN.each_ref().map(AgentState::name);
        let shown = |name: &str| reach.iter().filter_map(|card| card.state.as_ref()).any(|state| state.name() == name);
        for name in self.states.iter().filter(|name| !known.contains(&name.as_str()) && !shown(name)) {
            if let Some(near) = nearest(name, known) {
                let known = known.join(", ");
                let detail = format!("state: {name:?} is none of {known}, and nobody is in it; did you mean {near}?");
                return Err(Problem::bad_request(detail));
            }
        }
        Ok(())
    }

    fn takes(&self, card: &AgentCard) -> bool {
        let one_of = |names: &[String], name: Option<&str>| {
            names.is_empty() || names.iter().any(|wanted| wanted == name.unwrap_or_default())
        };
        let folded_has = |text: &str, part: &str| text.to_lowercase().contains(part);
        one_of(&self.teams, card.team.as_ref().map(TeamName::as_str))
            && one_of(&self.states, card.state.as_ref().map(AgentState::name))
            && (one_of(&self.skills, card.queue.as_deref())
                || self.skills.iter().any(|word| card.carried.iter().any(|skill| skill.is_called(word))))
            && (self.verdicts.is_empty() || self.verdicts.contains(&card.adherence.verdict))
            && self.search.as_deref().is_none_or(|part| {
                let texts = [Some(card.id.as_str()), card.name.as_deref(), card.team.as_ref().map(TeamName::as_str)];
                texts.into_iter().flatten().any(|text| folded_has(text, part))
            })
    }

    fn page(&self, board: &Board, reach: &[&AgentCard]) -> AgentPage {
        let mut sorted: Vec<(Place, &AgentCard)> =
            reach.iter().filter(|card| self.takes(card)).map(|card| (self.sort.place(card), *card)).collect();
        let matching = sorted.len();
        sorted.sort_unstable_by(|(left, _), (right, _)| self.order(left, right));
        let begin = self.after.as_ref().map_or(0, |after| {
            sorted.partition_point(|(place, _)| self.order(place, after) != std::cmp::Ordering::Greater)
        });
        let page = &sorted[begin..sorted.len().min(begin + self.limit)];
        let more = begin + page.len() < matching;
        AgentPage {
            agents: page.iter().map(|(_, card)| (*card).clone()).collect(),
            next: page.last().filter(|_| more).map(|(place, _)| place.cursor()),
            matching,
            total: reach.len(),
            at: board.at,
            seen_at: board.seen_at,
            age_ms: board.seen_at.map(|seen_at| age_ms(board.at, seen_at)),
        }
    }

    fn order(&self, left: &Place, right: &Place) -> std::cmp::Ordering {
        if self.turned { right.cmp(left) } else { left.cmp(right) }
    }
}

fn age_ms(now: UtcMicros, seen_at: UtcMicros) -> u64 {
    u64::try_from(now.since(seen_at).as_millis()).unwrap_or(u64::MAX)
}

impl Place {
    fn cursor(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }

    fn of_cursor(text: &str) -> Result<Self, Problem> {
        let read = BASE64_URL_SAFE_NO_PAD.decode(text).ok().and_then(|json| serde_json::from_slice(&json).ok());
        read.ok_or_else(|| Problem::bad_request("cursor: not the `next` of a page of agents"))
    }
}

fn not_a_verdict(value: &str) -> Problem {
    let known = Verdict::ALL.map(Verdict::name).join(", ");
    Problem::bad_request(format!("verdict: {value:?} is none of {known}"))
}

fn sort_of(value: &str) -> Result<(Sort, bool), Problem> {
    let (turned, name) = value.strip_prefix('-').map_or((false, value), |name| (true, name));
    let sort = SORTS.iter().find(|(known, _)| *known == name).map(|(_, sort)| *sort);
    sort.map(|sort| (sort, turned)).ok_or_else(|| {
        let known = SORTS.map(|(name, _)| name).join(", ");
        Problem::bad_request(format!("sort: one of {known}, with `-` in front to reverse the order"))
    })
}

fn limit_of(value: &str) -> Result<usize, Problem> {
    let limit: u32 = value.parse().map_err(|_| Problem::bad_request(format!("limit: a number up to {MOST}")))?;
    Ok(usize::try_from(limit).unwrap_or(MOST).clamp(1, MOST))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct OfTenant {
    /// Whose agent.
    pub(super) tenant: TenantId,
}

/// One agent.
#[derive(Serialize, ToSchema)]
#[schema(as = AgentOfTenant)]
pub(in crate::http) struct OneAgent {
    /// Whose.
    tenant: TenantId,
    /// When it was so.
    at: UtcMicros,
    #[serde(flatten)]
    agent: AgentCard,
}

/// Who an agent is.
#[derive(Serialize, ToSchema)]
#[schema(as = AgentName)]
pub(in crate::http) struct AgentName {
    /// The id on the platform.
    id: AgentId,
    /// The name, where one is known.
    name: Option<String>,
    /// The team, where it is known.
    team: Option<TeamName>,
    /// The IANA zone, where it is known.
    zone: Option<String>,
}

impl From<AgentCard> for AgentName {
    fn from(card: AgentCard) -> Self {
        let text = |text: std::sync::Arc<str>| text.to_string();
        Self { id: card.id, name: card.name.map(text), team: card.team, zone: card.zone.map(text) }
    }
}

/// One agent as he stands
///
/// State, reason and time in it, what is planned and what comes next, the verdict and since when, the age of what is known, and
/// the change that is under way.
#[utoipa::path(
    get,
    path = "/api/v1/agents/{id}",
    tag = "agents",
    operation_id = "show_agent",
    params(("id" = AgentId, Path, description = "The agent."), OfTenant),
    responses((status = 200, description = "the agent", body = OneAgent))
)]
pub(in crate::http) async fn show(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<AgentId>,
    Query(OfTenant { tenant }): Query<OfTenant>,
) -> Result<Json<OneAgent>, Problem> {
    let (board, agent) = known(&state, &caller, Right::Read, &tenant, &id).await?;
    Ok(Json(OneAgent { tenant, at: board.at, agent }))
}

/// An agent of the roster within the caller's reach, and the board that has him.
pub(super) async fn known(
    state: &ApiState,
    caller: &Caller,
    right: Right,
    tenant: &TenantId,
    id: &AgentId,
) -> Result<(std::sync::Arc<Board>, AgentCard), Problem> {
    caller.check(state, right, tenant)?;
    let board = state.boards.look(tenant).await?;
    let card = board.agent(id).filter(|card| within_reach(caller, tenant, card)).cloned();
    let card =
        card.ok_or_else(|| Problem::of(Code::NoSuchAgent, format!("tenant {tenant} has no agent {id} in its roster")))?;
    Ok((board, card))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::agents::skill::Skills;
    use crate::domain::rules::planner::DecideSettings;
    use crate::engine::agents::board::{PlannedCard, VerdictCard};

    fn card(id: &str, name: &str, team: Option<&str>, verdict: Verdict, since: i64) -> AgentCard {
        let at = UtcMicros::from_micros(since);
        AgentCard {
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
            adherence: VerdictCard { verdict, since: Some(at) },
            planned: PlannedCard { activity: "work".into(), since: None, until: None },
            mandatory: false,
            next: None,
            open: None,
            skills: Vec::new(),
            carried: Skills::default(),
        }
    }

    fn board() -> Board {
        let agents = vec![
            card("u_3", "ann", Some("Care"), Verdict::In, 5),
            card("u_1", "Zoë", Some("Billing"), Verdict::Out, 9),
            card("u_2", "Bob", None, Verdict::Out, 2),
            card("u_4", "Ann", Some("Care"), Verdict::Unscheduled, 1),
        ];
        Board::new(UtcMicros::from_micros(10), None, &DecideSettings::default(), agents)
    }

    fn ids(query: &str) -> (Vec<String>, Option<String>, usize) {
        let board = board();
        let reach: Vec<_> = board.agents.iter().collect();
        let page = Wanted::of(&format!("tenant=acme&{query}")).expect("sound").page(&board, &reach);
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
            assert!(Wanted::of(&format!("tenant=acme&{wrong}")).is_err(), "{wrong}");
        }
        assert!(Wanted::of("team=Care").is_err(), "no tenant");
        assert!(Wanted::of(&format!("tenant=acme{}", "&team=x".repeat(MOST_NAMES + 1))).is_err());
    }

    #[test]
    fn pages_follow_each_other_in_either_order() {
        for sort in ["name", "-name", "worst", "-in_state"] {
            let (all, none, matching) = ids(&format!("sort={sort}"));
            assert_eq!((none, matching), (None, 4));
            let (mut told, mut cursor) = (Vec::new(), String::new());
            loop {
                let (page, next, _) = ids(&format!("sort={sort}&limit=1{cursor}"));
                assert!(page.len() <= 1);
                told.extend(page);
                let Some(next) = next else { break };
                cursor = format!("&cursor={next}");
            }
            assert_eq!(told, all, "{sort}");
        }
    }
}
