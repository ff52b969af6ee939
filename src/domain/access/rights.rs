//! Who may do what: roles, the rights that each has, and how far they reach.
//!
//! The table of roles is here and nowhere else. Who somebody is (token, session, proxy) is found out by the HTTP face.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::ids::{TeamName, TenantId};

/// One thing that somebody may be allowed to do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Right {
    /// Look at agents, plans, figures and what happened.
    Read,
    /// Ask for state changes, decide approvals.
    Change,
    /// Import and edit schedules, skills of agents.
    Import,
    /// Excuse agents for a span.
    Excuse,
    /// Write rules, switch them and try them.
    EditRules,
    /// Run and download reports.
    Report,
    /// Ask analytics queries of the platform, and read what came of them.
    Analytics,
    /// Read, verify and export the audit chain.
    Audit,
    /// Look after webhook endpoints and their deliveries.
    Webhooks,
    /// Start jobs of the calendar.
    RunJobs,
    /// Make and change accounts and tokens.
    Accounts,
    /// Erase agents, for good.
    Erase,
}

impl Right {
    /// All of them, in the order of the documentation.
    pub const ALL: [Self; 12] = [
        Self::Read,
        Self::Change,
        Self::Import,
        Self::Excuse,
        Self::EditRules,
        Self::Report,
        Self::Analytics,
        Self::Audit,
        Self::Webhooks,
        Self::RunJobs,
        Self::Accounts,
        Self::Erase,
    ];

    /// Its name in the configuration, the API and error messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Change => "change",
            Self::Import => "import",
            Self::Excuse => "excuse",
            Self::EditRules => "edit_rules",
            Self::Report => "report",
            Self::Analytics => "analytics",
            Self::Audit => "audit",
            Self::Webhooks => "webhooks",
            Self::RunJobs => "run_jobs",
            Self::Accounts => "accounts",
            Self::Erase => "erase",
        }
    }

    /// The right of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|right| right.name() == name)
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What somebody is: a set of rights with a name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Looks, a wallboard for instance.
    Viewer,
    /// Runs a floor: changes and excuses the agents of the named teams.
    Supervisor,
    /// Loads shifts and writes rules.
    Analyst,
    /// Checks what was done, and changes nothing.
    Auditor,
    /// May do everything.
    Admin,
}

impl Role {
    /// All of them, the least powerful first.
    pub const ALL: [Self; 5] = [Self::Viewer, Self::Supervisor, Self::Analyst, Self::Auditor, Self::Admin];

    /// Its name in the configuration, the API and the console.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Supervisor => "supervisor",
            Self::Analyst => "analyst",
            Self::Auditor => "auditor",
            Self::Admin => "admin",
        }
    }

    /// The role of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }

    /// The table: whether the role has the right.
    pub const fn may(self, right: Right) -> bool {
        match self {
            Self::Viewer => matches!(right, Right::Read),
            Self::Supervisor => matches!(right, Right::Read | Right::Change | Right::Excuse | Right::Report),
            Self::Analyst => {
                matches!(
                    right,
                    Right::Read | Right::Import | Right::EditRules | Right::Excuse | Right::Report | Right::Analytics
                )
            }
            Self::Auditor => matches!(right, Right::Read | Right::Audit | Right::Report),
            Self::Admin => true,
        }
    }

    /// All rights of the role.
    pub fn rights(self) -> BTreeSet<Right> {
        Right::ALL.into_iter().filter(|right| self.may(*right)).collect()
    }

    /// Whether somebody of this role has to be given teams, all of them at least by name.
    pub const fn is_bound_to_teams(self) -> bool {
        matches!(self, Self::Supervisor)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The teams within reach at one tenant; `None` is all of them, also those to come.
pub type Teams = Option<BTreeSet<TeamName>>;

/// The tenants, and the teams of each, that somebody's rights reach. As JSON, `null` is everywhere and an object has the teams of
/// each tenant, `null` for all of them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(from = "Option<BTreeMap<TenantId, Teams>>", into = "Option<BTreeMap<TenantId, Teams>>")]
pub enum Reach {
    /// Every team of every tenant, also of those to come.
    Everywhere,
    /// The named tenants.
    Only(BTreeMap<TenantId, Teams>),
}

impl From<Option<BTreeMap<TenantId, Teams>>> for Reach {
    fn from(tenants: Option<BTreeMap<TenantId, Teams>>) -> Self {
        tenants.map_or(Self::Everywhere, Self::Only)
    }
}

impl From<Reach> for Option<BTreeMap<TenantId, Teams>> {
    fn from(reach: Reach) -> Self {
        match reach {
            Reach::Everywhere => None,
            Reach::Only(tenants) => Some(tenants),
        }
    }
}

impl Reach {
    /// Every team of these tenants.
    pub fn tenants(tenants: impl IntoIterator<Item = TenantId>) -> Self {
        Self::Only(tenants.into_iter().map(|tenant| (tenant, None)).collect())
    }

    /// Whether the tenant is within reach.
    pub fn has(&self, tenant: &TenantId) -> bool {
        match self {
            Self::Everywhere => true,
            Self::Only(tenants) => tenants.contains_key(tenant),
        }
    }

    /// The teams of the tenant that are within reach; `None` is all of them. A tenant out of reach has none, which
    /// [`has`](Self::has) says.
    pub fn teams(&self, tenant: &TenantId) -> Option<&BTreeSet<TeamName>> {
        match self {
            Self::Everywhere => None,
            Self::Only(tenants) => tenants.get(tenant).and_then(Option::as_ref),
        }
    }

    /// Whether an agent of this team is within reach; one without a team is where all teams are.
    pub fn has_team(&self, tenant: &TenantId, team: Option<&TeamName>) -> bool {
        self.has(tenant) && self.teams(tenant).is_none_or(|teams| team.is_some_and(|team| teams.contains(team)))
    }

    /// What both reach.
    #[must_use]
    pub fn meet(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::Everywhere, reach) | (reach, Self::Everywhere) => reach.clone(),
            (Self::Only(one), Self::Only(two)) => Self::Only(
                one.iter()
                    .filter_map(|(tenant, teams)| {
                        let both = match (teams, two.get(tenant)?) {
                            (None, teams) | (teams, None) => teams.clone(),
                            (Some(one), Some(two)) => Some(one.intersection(two).cloned().collect()),
                        };
                        Some((tenant.clone(), both))
                    })
                    .collect(),
            ),
        }
    }

    /// Whether whoever reaches `other` reaches nothing that this does not.
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Everywhere, _) => true,
            (Self::Only(_), Self::Everywhere) => false,
            (Self::Only(_), Self::Only(wanted)) => {
                wanted.iter().all(|(tenant, teams)| match (self.teams(tenant), teams) {
                    _ if !self.has(tenant) => false,
                    (None, _) => true,
                    (Some(_), None) => false,
                    (Some(reached), Some(teams)) => teams.is_subset(reached),
                })
            }
        }
    }
}

/// How far somebody is to reach, as people write it.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WantedReach {
    /// Every tenant, also those to come; `tenants` is empty then.
    #[serde(default)]
    pub everywhere: bool,
    /// The tenants.
    #[serde(default)]
    pub tenants: Vec<WantedTenant>,
}

/// A tenant within reach.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WantedTenant {
    /// Its id.
    pub id: TenantId,
    /// Its teams; `["*"]` is all of them, and so is nothing for a role that is not bound to teams.
    #[serde(default)]
    pub teams: Option<Vec<TeamName>>,
}

/// Why nobody can reach so far.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadReach {
    /// Nothing is named.
    #[error("no tenant is named: name some, or say that it is every one")]
    Nowhere,
    /// Both are named.
    #[error("every tenant and some tenants exclude each other")]
    Both,
    /// One is named twice.
    #[error("the tenant {0} is named twice")]
    Twice(TenantId),
    /// No team is named for a tenant, or too many.
    #[error("1 to {MOST_TEAMS} teams can be named for the tenant {0}, or \"*\" for all of them")]
    Teams(TenantId),
    /// A role that is bound to teams is given none.
    #[error("a supervisor is bound to teams: name them for the tenant {0}, or \"*\" for all of them")]
    Unbound(TenantId),
    /// The same everywhere.
    #[error("a supervisor is bound to teams: name the tenants, each with its teams or \"*\"")]
    UnboundEverywhere,
}

/// The most teams that one account or token may name at a tenant.
pub const MOST_TEAMS: usize = 500;

/// All teams, also those to come.
const ALL_TEAMS: &str = "*";

impl WantedReach {
    /// What that comes to for somebody of this role, or for rights without one.
    pub fn reach(&self, role: Option<Role>) -> Result<Reach, BadReach> {
        let is_bound = role.is_some_and(Role::is_bound_to_teams);
        match (self.everywhere, self.tenants.is_empty()) {
            (true, false) => return Err(BadReach::Both),
            (false, true) => return Err(BadReach::Nowhere),
            (true, true) if is_bound => return Err(BadReach::UnboundEverywhere),
            (true, true) => return Ok(Reach::Everywhere),
            (false, false) => {}
        }
        let mut reach = BTreeMap::new();
        for WantedTenant { id, teams } in &self.tenants {
            let teams: Teams = match teams {
                None if is_bound => return Err(BadReach::Unbound(id.clone())),
                None => None,
                Some(teams) if !(1..=MOST_TEAMS).contains(&teams.len()) => return Err(BadReach::Teams(id.clone())),
                Some(teams) if teams.iter().any(|team| team.as_str() == ALL_TEAMS) => None,
                Some(teams) => Some(teams.iter().cloned().collect()),
            };
            if reach.insert(id.clone(), teams).is_some() {
                return Err(BadReach::Twice(id.clone()));
            }
        }
        Ok(Reach::Only(reach))
    }
}

/// Who asks for something, as audit entries tell it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Asker {
    /// The name of the token or the account.
    pub id: Arc<str>,
    /// The address that the request came from; none for what the command line does without a daemon.
    pub source: Option<IpAddr>,
}

impl Asker {
    /// Somebody of this name, from no address.
    pub fn named(id: impl AsRef<str>) -> Self {
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
            (Role::Viewer, "x..........."),
            (Role::Supervisor, "xx.x.x......"),
            (Role::Analyst, "x.xxxxx....."),
            (Role::Auditor, "x....x.x...."),
            (Role::Admin, "xxxxxxxxxxxx"),
        ];
        assert_eq!(table.map(|(role, _)| role), Role::ALL);
        for (role, row) in table {
            let rights: String = Right::ALL.iter().map(|right| if role.may(*right) { 'x' } else { '.' }).collect();
            assert_eq!(rights, row, "{role}");
            assert_eq!(role.rights().len(), row.matches('x').count(), "{role}");
        }
    }

    #[test]
    fn names_are_read_back_and_are_those_of_the_json() {
        for right in Right::ALL {
            assert_eq!(Right::named(right.name()), Some(right));
            assert_eq!(serde_json::to_value(right).ok(), Some(right.name().into()));
        }
        for role in Role::ALL {
            assert_eq!(Role::named(role.name()), Some(role));
            assert_eq!(serde_json::to_value(role).ok(), Some(role.name().into()));
        }
        assert_eq!(Right::named("Read"), None);
        assert_eq!(Role::named(""), None);
    }

    #[expect(clippy::unnecessary_wraps, reason = "it stands beside `None`")]
    fn some(teams: &[&str]) -> Teams {
        Some(teams.iter().copied().map(TeamName::from).collect())
    }

    #[test]
    fn reach_is_by_tenant_and_by_team() {
        let (acme, beta, other) = (TenantId::from("acme"), TenantId::from("beta"), TenantId::from("other"));
        let reach = Reach::Only([(acme.clone(), some(&["Care"])), (beta.clone(), None)].into());
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
            assert_eq!(reach.has_team(tenant, team), within, "{tenant} {team:?}");
            assert!(Reach::Everywhere.has_team(tenant, team));
        }
        assert_eq!(reach.teams(&acme), some(&["Care"]).as_ref());
        assert_eq!(reach.teams(&beta), None);
    }

    #[test]
    fn a_supervisor_is_bound_to_teams_and_others_may_be() {
        let wanted = |text: &str| serde_json::from_str::<WantedReach>(text).expect("a reach");
        let acme = TenantId::from("acme");
        let only = |teams: Teams| Ok(Reach::Only([(acme.clone(), teams)].into()));
        for (text, supervisor, viewer) in [
            (r#"{"everywhere":true}"#, Err(BadReach::UnboundEverywhere), Ok(Reach::Everywhere)),
            ("{}", Err(BadReach::Nowhere), Err(BadReach::Nowhere)),
            (r#"{"everywhere":true,"tenants":[{"id":"acme"}]}"#, Err(BadReach::Both), Err(BadReach::Both)),
            (r#"{"tenants":[{"id":"acme"}]}"#, Err(BadReach::Unbound(acme.clone())), only(None)),
            (r#"{"tenants":[{"id":"acme","teams":["*"]}]}"#, only(None), only(None)),
            (r#"{"tenants":[{"id":"acme","teams":["Care"]}]}"#, only(some(&["Care"])), only(some(&["Care"]))),
            (
                r#"{"tenants":[{"id":"acme","teams":[]}]}"#,
                Err(BadReach::Teams(acme.clone())),
                Err(BadReach::Teams(acme.clone())),
            ),
            (
                r#"{"tenants":[{"id":"acme","teams":["*"]},{"id":"acme","teams":["*"]}]}"#,
                Err(BadReach::Twice(acme.clone())),
                Err(BadReach::Twice(acme.clone())),
            ),
        ] {
            assert_eq!(wanted(text).reach(Some(Role::Supervisor)), supervisor, "{text}");
            assert_eq!(wanted(text).reach(Some(Role::Viewer)), viewer, "{text}");
            assert_eq!(wanted(text).reach(None), viewer, "{text}");
        }
    }

    #[test]
    fn two_reaches_meet_in_what_both_have() {
        let only = |tenants: &[(&str, Teams)]| {
            Reach::Only(tenants.iter().map(|(tenant, teams)| (TenantId::from(*tenant), teams.clone())).collect())
        };
        let one = only(&[("acme", some(&["Care", "Sales"])), ("beta", None), ("gone", None)]);
        let two = only(&[("acme", some(&["Care", "Mail"])), ("beta", some(&["Care"])), ("other", None)]);
        let both = only(&[("acme", some(&["Care"])), ("beta", some(&["Care"]))]);
        assert_eq!((one.meet(&two), two.meet(&one)), (both.clone(), both));
        assert_eq!((one.meet(&Reach::Everywhere), Reach::Everywhere.meet(&one)), (one.clone(), one));
    }

    #[test]
    fn a_reach_goes_through_json() {
        for (reach, json) in [
            (Reach::Everywhere, "null"),
            (Reach::Only(BTreeMap::new()), "{}"),
            (
                Reach::Only([(TenantId::from("acme"), some(&["Care"])), (TenantId::from("beta"), None)].into()),
                r#"{"acme":["Care"],"beta":null}"#,
            ),
        ] {
            assert_eq!(serde_json::to_string(&reach).expect("JSON"), json);
            assert_eq!(serde_json::from_str::<Reach>(json).expect("a reach"), reach);
        }
    }

    #[test]
    fn nobody_gives_away_more_than_there_is() {
        let only = |teams: Teams| Reach::Only([(TenantId::from("acme"), teams)].into());
        let table = [
            (Reach::Everywhere, Reach::Everywhere, true),
            (Reach::Everywhere, only(None), true),
            (only(None), Reach::Everywhere, false),
            (only(None), only(None), true),
            (only(None), only(some(&["Care"])), true),
            (only(some(&["Care"])), only(None), false),
            (only(some(&["Care", "Sales"])), only(some(&["Care"])), true),
            (only(some(&["Care"])), only(some(&["Care", "Sales"])), false),
            (Reach::tenants([TenantId::from("beta")]), only(None), false),
        ];
        for (reach, wanted, covered) in table {
            assert_eq!(reach.covers(&wanted), covered, "{reach:?} {wanted:?}");
        }
    }
}
