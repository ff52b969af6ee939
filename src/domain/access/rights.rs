//! Authorisation: roles, the rights of each, and the tenants and teams that they extend to.
//!
//! The table of roles is defined only here. The HTTP layer finds out who a caller is (token, session, proxy).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::ids::{TeamName, TenantId};
use crate::domain::wording::named_enum;

named_enum! {
    /// A right that a role, an account or a token can have.
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, ToSchema)]
    #[serde(rename_all = "snake_case")]
    pub enum Right {
        /// Read agents, plans, figures and history.
        Read = "read",
        /// Open the schedule board by a link, and nothing else. This is the right of a link for a wall.
        ViewBoard = "view_board",
        /// Request state changes, and approve or deny changes of rules.
        Change = "change",
        /// Log agents out, with `change`.
        LogOut = "log_out",
        /// Import schedules, undo versions of the schedule, and set skills of agents.
        Import = "import",
        /// Edit the schedules of agents.
        EditSchedules = "edit_schedules",
        /// Create and end exceptions.
        Excuse = "excuse",
        /// Create, edit, enable, disable and backtest rules.
        EditRules = "edit_rules",
        /// Request and download reports.
        Report = "report",
        /// Run analytics queries on the platform, and read their results.
        Analytics = "analytics",
        /// Read, verify and export the audit chain.
        Audit = "audit",
        /// Manage webhook endpoints and their deliveries.
        Webhooks = "webhooks",
        /// Run scheduled jobs.
        RunJobs = "run_jobs",
        /// Create and change accounts and tokens.
        Accounts = "accounts",
        /// Erase agents permanently.
        Erase = "erase",
    }
}

named_enum! {
    /// A role, which is a named set of rights.
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, ToSchema)]
    #[serde(rename_all = "snake_case")]
    pub enum Role {
        /// Reads only, for instance for a wallboard.
        Viewer = "viewer",
        /// Leads teams: changes the states of their agents, edits their schedules and approves exceptions.
        Supervisor = "supervisor",
        /// Imports schedules, approves exceptions, writes rules, and runs reports and analytics.
        Analyst = "analyst",
        /// Reads agents, reports and the audit log, and changes nothing.
        Auditor = "auditor",
        /// Has every right.
        Admin = "admin",
    }
}

impl Role {
    /// Returns whether the role has the right. This is the table of roles.
    pub const fn has_right(self, right: Right) -> bool {
        match self {
            Self::Viewer => matches!(right, Right::Read),
            Self::Supervisor => {
                matches!(right, Right::Read | Right::Change | Right::EditSchedules | Right::Excuse | Right::Report)
            }
            Self::Analyst => {
                matches!(
                    right,
                    Right::Read
                        | Right::Import
                        | Right::EditSchedules
                        | Right::EditRules
                        | Right::Excuse
                        | Right::Report
                        | Right::Analytics
                )
            }
            Self::Auditor => matches!(right, Right::Read | Right::Audit | Right::Report),
            Self::Admin => true,
        }
    }

    /// Returns all rights of the role.
    pub fn rights(self) -> BTreeSet<Right> {
        Right::ALL.into_iter().filter(|right| self.has_right(*right)).collect()
    }

    /// Returns whether the role must be given teams, if only by naming all of them.
    pub const fn requires_teams(self) -> bool {
        matches!(self, Self::Supervisor)
    }
}

/// The accessible teams of one tenant; `None` means all teams, including future ones.
pub type TeamScope = Option<BTreeSet<TeamName>>;

/// The tenants, and the teams of each, that somebody's rights extend to. In JSON, `null` is everywhere, and an object
/// maps each tenant to its teams, with `null` for all of them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(from = "Option<BTreeMap<TenantId, TeamScope>>", into = "Option<BTreeMap<TenantId, TeamScope>>")]
pub enum Scope {
    /// Every team of every tenant, including future ones.
    Everywhere,
    /// Only the named tenants.
    Only(BTreeMap<TenantId, TeamScope>),
}

impl From<Option<BTreeMap<TenantId, TeamScope>>> for Scope {
    fn from(tenants: Option<BTreeMap<TenantId, TeamScope>>) -> Self {
        tenants.map_or(Self::Everywhere, Self::Only)
    }
}

impl From<Scope> for Option<BTreeMap<TenantId, TeamScope>> {
    fn from(scope: Scope) -> Self {
        match scope {
            Scope::Everywhere => None,
            Scope::Only(tenants) => Some(tenants),
        }
    }
}

impl Scope {
    /// Returns a scope with every team of the given tenants.
    pub fn for_tenants(tenants: impl IntoIterator<Item = TenantId>) -> Self {
        Self::Only(tenants.into_iter().map(|tenant| (tenant, None)).collect())
    }

    /// Returns whether the scope includes the tenant.
    pub fn covers_tenant(&self, tenant: &TenantId) -> bool {
        match self {
            Self::Everywhere => true,
            Self::Only(tenants) => tenants.contains_key(tenant),
        }
    }

    /// Returns the teams of the tenant that the scope is limited to; `None` means all. For a tenant outside the scope,
    /// use [`covers_tenant`](Self::covers_tenant) first.
    pub fn teams(&self, tenant: &TenantId) -> Option<&BTreeSet<TeamName>> {
        match self {
            Self::Everywhere => None,
            Self::Only(tenants) => tenants.get(tenant).and_then(Option::as_ref),
        }
    }

    /// Returns whether the scope includes an agent of this team. An agent without a team needs a scope with all teams.
    pub fn covers_team(&self, tenant: &TenantId, team: Option<&TeamName>) -> bool {
        self.covers_tenant(tenant)
            && self.teams(tenant).is_none_or(|teams| team.is_some_and(|team| teams.contains(team)))
    }

    /// Returns the intersection of both scopes.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::Everywhere, scope) | (scope, Self::Everywhere) => scope.clone(),
            (Self::Only(one), Self::Only(two)) => Self::Only(
                one.iter()
                    .filter_map(|(tenant, teams)| {
                        let shared_teams = match (teams, two.get(tenant)?) {
                            (None, teams) | (teams, None) => teams.clone(),
                            (Some(one), Some(two)) => Some(one.intersection(two).cloned().collect()),
                        };
                        Some((tenant.clone(), shared_teams))
                    })
                    .collect(),
            ),
        }
    }

    /// Returns whether this scope includes everything that `other` includes.
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Everywhere, _) => true,
            (Self::Only(_), Self::Everywhere) => false,
            (Self::Only(_), Self::Only(other_tenants)) => {
                other_tenants.iter().all(|(tenant, teams)| match (self.teams(tenant), teams) {
                    _ if !self.covers_tenant(tenant) => false,
                    (None, _) => true,
                    (Some(_), None) => false,
                    (Some(covered_teams), Some(teams)) => teams.is_subset(covered_teams),
                })
            }
        }
    }
}

/// The tenants and teams that an account or token is to access.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ScopeRequest {
    /// Whether all tenants are accessible, including future ones; `tenants` is empty then.
    #[serde(default)]
    pub everywhere: bool,
    /// The accessible tenants.
    #[serde(default)]
    pub tenants: Vec<TenantScopeRequest>,
}

/// An accessible tenant of a new account or token.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TenantScopeRequest {
    /// The id of the tenant.
    pub id: TenantId,
    /// The accessible teams. `["*"]` means all teams, as does leaving it out for a role that is not restricted to
    /// teams.
    #[serde(default)]
    pub teams: Option<Vec<TeamName>>,
}

/// The reason why a requested scope is invalid.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ScopeError {
    /// No tenant is named.
    #[error("no tenant is named: name some, or choose every tenant")]
    Empty,
    /// Both every tenant and some tenants are named.
    #[error("name either every tenant or some tenants, not both")]
    EverywhereAndTenants,
    /// A tenant is named twice.
    #[error("the tenant {0} is named twice")]
    DuplicateTenant(TenantId),
    /// No team or too many teams are named for a tenant.
    #[error("1 to {MAX_TEAMS} teams can be named for the tenant {0}, or \"*\" for all of them")]
    InvalidTeamCount(TenantId),
    /// A role that requires teams has none for a tenant.
    #[error("a supervisor needs teams: name them for the tenant {0}, or \"*\" for all of them")]
    TeamsRequired(TenantId),
    /// A role that requires teams was given every tenant.
    #[error("a supervisor needs teams: name the tenants, each with its teams or \"*\"")]
    TeamsRequiredEverywhere,
}

/// The largest number of teams that one account or token may name per tenant.
pub const MAX_TEAMS: usize = 500;

/// The name that stands for all teams, including future ones.
const ALL_TEAMS: &str = "*";

impl ScopeRequest {
    /// Returns the scope for a role, or for a set of rights without a role.
    pub fn to_scope(&self, role: Option<Role>) -> Result<Scope, ScopeError> {
        let teams_required = role.is_some_and(Role::requires_teams);
        match (self.everywhere, self.tenants.is_empty()) {
            (true, false) => return Err(ScopeError::EverywhereAndTenants),
            (false, true) => return Err(ScopeError::Empty),
            (true, true) if teams_required => return Err(ScopeError::TeamsRequiredEverywhere),
            (true, true) => return Ok(Scope::Everywhere),
            (false, false) => {}
        }
        let mut tenants = BTreeMap::new();
        for TenantScopeRequest { id, teams } in &self.tenants {
            let teams: TeamScope = match teams {
                None if teams_required => return Err(ScopeError::TeamsRequired(id.clone())),
                None => None,
                Some(teams) if !(1..=MAX_TEAMS).contains(&teams.len()) => {
                    return Err(ScopeError::InvalidTeamCount(id.clone()));
                }
                Some(teams) if teams.iter().any(|team| team.as_str() == ALL_TEAMS) => None,
                Some(teams) => Some(teams.iter().cloned().collect()),
            };
            if tenants.insert(id.clone(), teams).is_some() {
                return Err(ScopeError::DuplicateTenant(id.clone()));
            }
        }
        Ok(Scope::Only(tenants))
    }
}

/// The caller of a request, as recorded in audit entries.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Requester {
    /// The id of the token or the account.
    pub id: Arc<str>,
    /// The address of the request; `None` for commands that run without a daemon.
    pub source: Option<IpAddr>,
}

impl Requester {
    /// Returns a caller with this id and no address.
    pub fn without_source(id: impl AsRef<str>) -> Self {
        Self { id: Arc::from(id.as_ref()), source: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_has_the_rights_of_the_table() {
        // In the order of `Right::ALL`.
        let table = [
            (Role::Viewer, "x.............."),
            (Role::Supervisor, "x.x..xx.x......"),
            (Role::Analyst, "x...xxxxxx....."),
            (Role::Auditor, "x.......x.x...."),
            (Role::Admin, "xxxxxxxxxxxxxxx"),
        ];
        assert_eq!(table.map(|(role, _)| role), Role::ALL);
        for (role, row) in table {
            let rights: String =
                Right::ALL.iter().map(|right| if role.has_right(*right) { 'x' } else { '.' }).collect();
            assert_eq!(rights, row, "{role}");
            assert_eq!(role.rights().len(), row.matches('x').count(), "{role}");
        }
    }

    #[test]
    fn names_are_read_back_and_are_those_of_the_json() {
        for right in Right::ALL {
            assert_eq!(Right::from_name(right.name()), Some(right));
            assert_eq!(serde_json::to_value(right).ok(), Some(right.name().into()));
        }
        for role in Role::ALL {
            assert_eq!(Role::from_name(role.name()), Some(role));
            assert_eq!(serde_json::to_value(role).ok(), Some(role.name().into()));
        }
        assert_eq!(Right::from_name("Read"), None);
        assert_eq!(Role::from_name(""), None);
    }

    #[expect(clippy::unnecessary_wraps, reason = "it stands beside `None`")]
    fn team_scope(teams: &[&str]) -> TeamScope {
        Some(teams.iter().copied().map(TeamName::from).collect())
    }

    #[test]
    fn reach_is_by_tenant_and_by_team() {
        let (acme, beta, other) = (TenantId::from("acme"), TenantId::from("beta"), TenantId::from("other"));
        let scope = Scope::Only([(acme.clone(), team_scope(&["Care"])), (beta.clone(), None)].into());
        let (care, sales) = (TeamName::from("Care"), TeamName::from("Sales"));
        let table = [
            (&acme, Some(&care), true),
            (&acme, Some(&sales), false),
            (&acme, None, false),
            (&beta, Some(&sales), true),
            (&beta, None, true),
            (&other, Some(&care), false),
        ];
        for (tenant, team, within) in table {
            assert_eq!(scope.covers_team(tenant, team), within, "{tenant} {team:?}");
            assert!(Scope::Everywhere.covers_team(tenant, team));
        }
        assert_eq!(scope.teams(&acme), team_scope(&["Care"]).as_ref());
        assert_eq!(scope.teams(&beta), None);
    }

    #[test]
    fn a_supervisor_is_bound_to_teams_and_others_may_be() {
        let parse_request = |text: &str| serde_json::from_str::<ScopeRequest>(text).expect("a reach");
        let acme = TenantId::from("acme");
        let only = |teams: TeamScope| Ok(Scope::Only([(acme.clone(), teams)].into()));
        for (text, supervisor, viewer) in [
            (r#"{"everywhere":true}"#, Err(ScopeError::TeamsRequiredEverywhere), Ok(Scope::Everywhere)),
            ("{}", Err(ScopeError::Empty), Err(ScopeError::Empty)),
            (
                r#"{"everywhere":true,"tenants":[{"id":"acme"}]}"#,
                Err(ScopeError::EverywhereAndTenants),
                Err(ScopeError::EverywhereAndTenants),
            ),
            (r#"{"tenants":[{"id":"acme"}]}"#, Err(ScopeError::TeamsRequired(acme.clone())), only(None)),
            (r#"{"tenants":[{"id":"acme","teams":["*"]}]}"#, only(None), only(None)),
            (
                r#"{"tenants":[{"id":"acme","teams":["Care"]}]}"#,
                only(team_scope(&["Care"])),
                only(team_scope(&["Care"])),
            ),
            (
                r#"{"tenants":[{"id":"acme","teams":[]}]}"#,
                Err(ScopeError::InvalidTeamCount(acme.clone())),
                Err(ScopeError::InvalidTeamCount(acme.clone())),
            ),
            (
                r#"{"tenants":[{"id":"acme","teams":["*"]},{"id":"acme","teams":["*"]}]}"#,
                Err(ScopeError::DuplicateTenant(acme.clone())),
                Err(ScopeError::DuplicateTenant(acme.clone())),
            ),
        ] {
            assert_eq!(parse_request(text).to_scope(Some(Role::Supervisor)), supervisor, "{text}");
            assert_eq!(parse_request(text).to_scope(Some(Role::Viewer)), viewer, "{text}");
            assert_eq!(parse_request(text).to_scope(None), viewer, "{text}");
        }
    }

    #[test]
    fn two_reaches_meet_in_what_both_have() {
        let only = |tenants: &[(&str, TeamScope)]| {
            Scope::Only(tenants.iter().map(|(tenant, teams)| (TenantId::from(*tenant), teams.clone())).collect())
        };
        let one = only(&[("acme", team_scope(&["Care", "Sales"])), ("beta", None), ("gone", None)]);
        let two = only(&[("acme", team_scope(&["Care", "Mail"])), ("beta", team_scope(&["Care"])), ("other", None)]);
        let both = only(&[("acme", team_scope(&["Care"])), ("beta", team_scope(&["Care"]))]);
        assert_eq!((one.intersection(&two), two.intersection(&one)), (both.clone(), both));
        assert_eq!((one.intersection(&Scope::Everywhere), Scope::Everywhere.intersection(&one)), (one.clone(), one));
    }

    #[test]
    fn a_scope_survives_json() {
        for (scope, json) in [
            (Scope::Everywhere, "null"),
            (Scope::Only(BTreeMap::new()), "{}"),
            (
                Scope::Only([(TenantId::from("acme"), team_scope(&["Care"])), (TenantId::from("beta"), None)].into()),
                r#"{"acme":["Care"],"beta":null}"#,
            ),
        ] {
            assert_eq!(serde_json::to_string(&scope).expect("JSON"), json);
            assert_eq!(serde_json::from_str::<Scope>(json).expect("a reach"), scope);
        }
    }

    #[test]
    fn nobody_gives_away_more_than_there_is() {
        let only = |teams: TeamScope| Scope::Only([(TenantId::from("acme"), teams)].into());
        let table = [
            (Scope::Everywhere, Scope::Everywhere, true),
            (Scope::Everywhere, only(None), true),
            (only(None), Scope::Everywhere, false),
            (only(None), only(None), true),
            (only(None), only(team_scope(&["Care"])), true),
            (only(team_scope(&["Care"])), only(None), false),
            (only(team_scope(&["Care", "Sales"])), only(team_scope(&["Care"])), true),
            (only(team_scope(&["Care"])), only(team_scope(&["Care", "Sales"])), false),
            (Scope::for_tenants([TenantId::from("beta")]), only(None), false),
        ];
        for (scope, requested, covered) in table {
            assert_eq!(scope.covers(&requested), covered, "{scope:?} {requested:?}");
        }
    }
}
