//! `[[tenants]]`: one CXone business unit each, with its credentials, budget and agents. The settings for changes of
//! agents are in the tenant's sub-tables, one module each.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;

use crate::config::adherence;
use crate::config::analytics::query::{self, AnalyticsQuery};
use crate::config::analytics::series;
use crate::config::changes::policy::Policy;
use crate::config::live::figures::FigureSettings;
use crate::config::live::thresholds;
use crate::config::platform::feed::Feed;
use crate::config::platform::incontact::{Incontact, TokenKind};
use crate::config::platform::retry::Retry;
use crate::config::platform::subscription::Subscription;
use crate::config::rules::automation::Automation;
use crate::config::schedules::source::{self, ScheduleUrl};
use crate::config::schedules::staffing;
use crate::config::shared::diagnostic::ValueFault;
use crate::config::shared::kind::{self, Kind};
use crate::config::shared::reader::{Section, reloadable};
use crate::domain::access::secret::Secret;
use crate::domain::adherence::AdherenceSettings;
use crate::domain::agents::state::{AgentState, StateNames};
use crate::domain::analytics::anomaly::MonitoredSeries;
use crate::domain::ids::{AgentId, QueueId, SkillId, TenantId};
use crate::domain::live::thresholds::Thresholds;
use crate::domain::schedules::platform_schedule::ActivityTitles;
use crate::domain::schedules::staffing::TeamQueues;

/// The settings of one tenant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tenant {
    /// The tenant's id, which is the first part of every key in the store.
    pub id: TenantId,
    /// The platform's dialect.
    pub dialect: Dialect,
    /// The URL of token requests. The token answer may replace it for everything else.
    pub base_url: Url,
    /// The version in the paths of the guide dialect, as in `/api/v2/…`.
    pub api_version: String,
    /// The settings of the dialect of the published services.
    pub incontact: Incontact,
    /// The settings of token requests.
    pub token: TokenSettings,
    /// The client id of the credentials.
    pub client_id: String,
    /// The client secret of the credentials.
    pub client_secret: Secret,
    /// The maximum number of requests in any 60 s.
    pub requests_per_minute: u32,
    /// How many of these are reserved for mandatory breaks and people.
    pub urgent_reserve: u32,
    /// The time limit of an answer, in real time.
    pub request_timeout: Duration,
    /// Whether changes are sent to the platform.
    pub mode: Mode,
    /// Agents in addition to the imported ones.
    pub agents: Vec<AgentId>,
    /// The skills that the live feed is subscribed to and whose figures are read.
    pub skills: Vec<SkillId>,
    /// The queues whose figures are read.
    pub queues: Vec<QueueId>,
    /// The folder whose schedule files are imported, relative to the working directory.
    pub schedule_folder: Option<PathBuf>,
    /// The import profile of the files in that folder.
    pub schedule_profile: Option<String>,
    /// The age of the last good version from that folder above which it is late.
    pub schedule_max_age: Option<Duration>,
    /// The addresses from which schedule files are fetched.
    pub schedule_sources: Vec<ScheduleUrl>,
    /// The mapping between the platform's state names and the daemon's.
    pub states: StateNames,
    /// How agent states are read.
    pub subscription: Subscription,
    /// The settings of the live feed.
    pub feed: Feed,
    /// How figures of skills and queues are read.
    pub figures: FigureSettings,
    /// What every change must obey.
    pub policy: Policy,
    /// The settings of retries.
    pub retry: Retry,
    /// Which states are in adherence with which activity.
    pub adherence: AdherenceSettings,
    /// Limits that prevent flapping, and the rules that are enforced.
    pub automation: Automation,
    /// The thresholds above which values are marked.
    pub thresholds: Thresholds,
    /// The queues of each team, whose required staff is compared with the team's agents.
    pub team_queues: TeamQueues,
    /// Queries of the platform's analytics.
    pub analytics: Vec<AnalyticsQuery>,
    /// The series that are monitored for anomalies.
    pub series: Vec<MonitoredSeries>,
}

/// The services that a platform offers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dialect {
    /// The endpoints of the vendor's guides.
    Guide,
    /// The REST services that the vendor publishes.
    Incontact,
}

/// Whether changes are sent to the platform.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Changes are sent.
    Live,
    /// Changes are only recorded; the platform is only read.
    DryRun,
}

/// The settings of token requests.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TokenSettings {
    /// How the credentials are sent.
    pub style: TokenStyle,
    /// The path of the token endpoint below `base_url`.
    pub path: String,
    /// The requested scope.
    pub scope: Option<String>,
    /// The `tenant_id` of the request.
    pub tenant_id: Option<String>,
}

/// How the credentials of a token request are sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TokenStyle {
    /// In the form.
    Body,
    /// In the `Authorization` header.
    Basic,
    /// In the form; the answer gives the base of every later URL.
    Legacy,
}

impl TokenStyle {
    /// Returns the path of the token endpoint that the guides give for the style.
    pub const fn default_path(self) -> &'static str {
        match self {
            Self::Body => "/oauth2/token",
            Self::Basic => "/oauth/token",
            Self::Legacy => "/InContactAuthorizationServer/Token",
        }
    }
}

impl TokenSettings {
    fn read(section: &mut Section<'_, '_>) -> Self {
        let style = section.value(
            reloadable(
                "style",
                "How credentials are sent: in the form (`body`), as HTTP Basic authentication (`basic`), or in the \
                 legacy form whose answer contains the base URL (`legacy`).",
            ),
            &kind::choice(&[("body", TokenStyle::Body), ("basic", TokenStyle::Basic), ("legacy", TokenStyle::Legacy)]),
            TokenStyle::Body,
        );
        let path = section.value(
            reloadable(
                "path",
                "The path of the token endpoint below base_url. The default is /oauth2/token for body, /oauth/token \
                 for basic and /InContactAuthorizationServer/Token for legacy.",
            ),
            &kind::path(),
            style.default_path().to_owned(),
        );
        let scope =
            section.optional(reloadable("scope", "The scope to request, if the platform needs one."), &kind::text());
        let tenant_id = section
            .optional(reloadable("tenant_id", "The tenant_id to send, if the platform needs one."), &kind::text());
        Self { style, path, scope, tenant_id }
    }
}

/// The keys of a tenant's identity and platform.
struct TenantIdentity {
    id: Option<TenantId>,
    base_url: Option<Url>,
    dialect: Dialect,
    api_version: String,
    client_id: Option<String>,
    client_secret: Option<Secret>,
}

impl TenantIdentity {
    fn read(section: &mut Section<'_, '_>) -> Self {
        let id = section.required(
            reloadable("id", "The name of the tenant. A tenant with another id is another tenant with its own data."),
            &kind::id(),
        );
        let base_url = section.required(
            reloadable("base_url", "The base URL of the platform. The token answer may replace it."),
            &kind::url(),
        );
        let allow_plain_http = section.value(
            reloadable(
                "allow_plain_http",
                "Allows base_url to be http:// on another machine. Credentials are then sent unencrypted.",
            ),
            &kind::boolean(),
            false,
        );
        if base_url.as_ref().is_some_and(|url| url.scheme() == "http" && !allow_plain_http && !kind::is_loopback(url)) {
            let fault = ValueFault::new("would send credentials in clear")
                .with_suggestion("use https://, or set allow_plain_http = true");
            section.add_diagnostic("base_url", fault);
        }
        let dialect = section.value(
            reloadable("dialect", "The platform services to use: those of the vendor's guides, or the published ones."),
            &kind::choice(&[("guide", Dialect::Guide), ("incontact", Dialect::Incontact)]),
            Dialect::Guide,
        );
        let api_version = section.value(
            reloadable("api_version", "The version in the platform's paths, as in /api/v2/users."),
            &version(),
            "v2".to_owned(),
        );
        let client_id = section.required(reloadable("client_id", "The client id."), &kind::text());
        let client_secret = section.daemon_secret(reloadable("client_secret", "The client secret."));
        Self { id, base_url, dialect, api_version, client_id, client_secret }
    }
}

struct RequestBudget {
    requests_per_minute: u32,
    urgent_reserve: u32,
    request_timeout: Duration,
}

impl RequestBudget {
    fn read(section: &mut Section<'_, '_>) -> Self {
        let requests_per_minute = section.value(
            reloadable("requests_per_minute", "The maximum number of requests in any 60 seconds."),
            &kind::integer(1..=6_000),
            100,
        );
        let urgent_reserve = section.value(
            reloadable(
                "urgent_reserve",
                "How many of these requests are reserved for mandatory breaks and people's requests.",
            ),
            &kind::integer(0..=1_000),
            2,
        );
        if urgent_reserve >= requests_per_minute {
            section.add_diagnostic("urgent_reserve", ValueFault::new("must be less than requests_per_minute"));
        }
        let request_timeout = section.value(
            reloadable(
                "request_timeout",
                "How long to wait for an answer, in real time. After that, the request is in doubt.",
            ),
            &kind::duration(Duration::from_millis(100)..=Duration::from_secs(120)),
            Duration::from_secs(10),
        );
        Self { requests_per_minute, urgent_reserve, request_timeout }
    }
}

/// The agents, skills and queues of a tenant.
struct TenantSubjects {
    agents: Vec<AgentId>,
    skills: Vec<SkillId>,
    queues: Vec<QueueId>,
    schedule_folder: Option<PathBuf>,
    schedule_profile: Option<String>,
    schedule_max_age: Option<Duration>,
    schedule_sources: Vec<ScheduleUrl>,
}

impl TenantSubjects {
    fn read(section: &mut Section<'_, '_>) -> Self {
        let agents = section.value(
            reloadable("agents", "Platform ids of agents in addition to the imported ones."),
            &kind::list(agent_id()),
            Vec::new(),
        );
        let skills = section.value(
            reloadable(
                "skills",
                "Platform ids of the skills whose figures are read and that the live feed subscribes to.",
            ),
            &kind::list(kind::id::<SkillId>()),
            Vec::new(),
        );
        let queues = section.value(
            reloadable(
                "queues",
                "Platform ids of the queues whose figures are read. The client needs the scope reporting:queue:view.",
            ),
            &kind::list(kind::id::<QueueId>()),
            Vec::new(),
        );
        let schedule_folder = section.optional(
            reloadable(
                "schedule_folder",
                "Schedule files in this folder are imported. Relative to the working directory.",
            ),
            &kind::text(),
        );
        let schedule_profile = section.optional(
            reloadable("schedule_profile", "The import profile by which the files in `schedule_folder` are read."),
            &kind::text(),
        );
        let schedule_max_age = source::read_folder_age(section);
        if schedule_max_age.is_some() && schedule_folder.is_none() {
            let fault = ValueFault::new("goes with schedule_folder");
            section.add_diagnostic("schedule_max_age", fault.with_suggestion("set schedule_folder, or remove it"));
        }
        let schedule_sources = source::read(section);
        let schedule_folder = schedule_folder.map(PathBuf::from);
        Self { agents, skills, queues, schedule_folder, schedule_profile, schedule_max_age, schedule_sources }
    }
}

impl Tenant {
    pub(in crate::config) fn read(section: &mut Section<'_, '_>) -> Option<Self> {
        let identity = TenantIdentity::read(section);
        let token = section.table("token", TokenSettings::read);
        let incontact = read_incontact(section, &identity);
        let budget = RequestBudget::read(section);
        let mode = section.value(
            reloadable("mode", "`live` sends state changes; `dry_run` only records what would have been sent."),
            &kind::choice(&[("live", Mode::Live), ("dry_run", Mode::DryRun)]),
            Mode::Live,
        );
        let subjects = TenantSubjects::read(section);
        let states = section.table("states", read_state_names);
        let subscription = section.table("subscription", Subscription::read);
        let feed = section.table("feed", Feed::read);
        let figures = section.table("figures", FigureSettings::read);
        let policy = section.table("policy", Policy::read);
        let retry = section.table("retry", Retry::read);
        let adherence = section.table("adherence", adherence::read);
        let automation = section.table("automation", Automation::read);
        let thresholds = section.table("thresholds", thresholds::read);
        let team_queues = section.table("staffing", staffing::read);
        let analytics = query::read(section);
        let configured =
            series::ConfiguredSources { skills: &subjects.skills, queues: &subjects.queues, queries: &analytics };
        let series = series::read(section, &configured);
        Some(Self {
            id: identity.id?,
            dialect: identity.dialect,
            base_url: identity.base_url?,
            api_version: identity.api_version,
            token,
            incontact,
            client_id: identity.client_id?,
            client_secret: identity.client_secret?,
            requests_per_minute: budget.requests_per_minute,
            urgent_reserve: budget.urgent_reserve,
            request_timeout: budget.request_timeout,
            mode,
            agents: subjects.agents,
            skills: subjects.skills,
            queues: subjects.queues,
            schedule_folder: subjects.schedule_folder,
            schedule_profile: subjects.schedule_profile,
            schedule_max_age: subjects.schedule_max_age,
            schedule_sources: subjects.schedule_sources,
            states,
            subscription,
            feed,
            figures,
            policy,
            retry,
            adherence,
            automation,
            thresholds,
            team_queues,
            analytics,
            series,
        })
    }

    /// Returns the states that the platform can be asked to set.
    pub fn settable_states(&self) -> Vec<AgentState> {
        match self.dialect {
            Dialect::Guide => {
                let is_named = |state: &AgentState| self.states.platform_name(state).is_some();
                AgentState::KNOWN.into_iter().filter(is_named).collect()
            }
            Dialect::Incontact => std::iter::once(AgentState::Ready)
                .chain(self.incontact.codes.states())
                .chain(self.incontact.log_out.then_some(AgentState::LoggedOut))
                .collect(),
        }
    }

    /// Returns whether rules, and people with the right, may log agents out.
    pub const fn can_log_out(&self) -> bool {
        matches!(self.dialect, Dialect::Incontact) && self.incontact.log_out
    }

    /// Returns what the titles of activities in exported schedules stand for.
    pub const fn activity_titles(&self) -> &ActivityTitles {
        &self.incontact.activities
    }

    /// Returns whether the platform exports schedules.
    pub const fn exports_schedules(&self) -> bool {
        matches!(self.dialect, Dialect::Incontact)
    }

    /// Returns whether the running workers can continue with `newer`. Keys that workers take over while they run may
    /// differ; a change of any other key needs new workers.
    pub fn is_same_tenant(&self, newer: &Self) -> bool {
        let continued = Self {
            agents: newer.agents.clone(),
            skills: newer.skills.clone(),
            feed: self.feed.with_reloadable_from(&newer.feed),
            figures: self.figures.with_reloadable_from(&newer.figures),
            schedule_folder: newer.schedule_folder.clone(),
            schedule_profile: newer.schedule_profile.clone(),
            schedule_max_age: newer.schedule_max_age,
            schedule_sources: newer.schedule_sources.clone(),
            policy: newer.policy,
            retry: newer.retry,
            adherence: newer.adherence.clone(),
            automation: newer.automation.clone(),
            thresholds: newer.thresholds.clone(),
            team_queues: newer.team_queues.clone(),
            // The first query changes the scope of the token.
            analytics: if self.analytics.is_empty() { Vec::new() } else { newer.analytics.clone() },
            series: newer.series.clone(),
            ..self.clone()
        };
        continued == *newer
    }
}

/// Reads the settings of the dialect of the published services, and reports what is missing if it is used.
fn read_incontact(section: &mut Section<'_, '_>, identity: &TenantIdentity) -> Incontact {
    let mut incontact = section.table("incontact", Incontact::read);
    if incontact.user_hub().is_none() {
        incontact.user_hub_url = identity.base_url.clone().filter(kind::is_loopback);
    }
    let missing = match (identity.dialect, incontact.token_kind) {
        (Dialect::Incontact, TokenKind::AccessKey) if incontact.user_hub().is_none() => {
            Some(("has neither area nor user_hub_url", "set incontact.area"))
        }
        (Dialect::Incontact, TokenKind::App) if incontact.app_id.is_none() => {
            Some(("has no app_id for token_kind \"app\"", "set incontact.app_id and incontact.app_secret"))
        }
        (Dialect::Guide | Dialect::Incontact, TokenKind::AccessKey | TokenKind::App) => None,
    };
    if let Some((fault, suggestion)) = missing {
        section.add_diagnostic("incontact", ValueFault::new(fault).with_suggestion(suggestion));
    }
    incontact
}

fn read_state_names(section: &mut Section<'_, '_>) -> StateNames {
    let incoming: BTreeMap<String, AgentState> = section.value(
        reloadable(
            "incoming",
            "State names of the platform, in any case, and the states they stand for, as in { mittag = \"Paused\" }.",
        ),
        &kind::map(kind::text(), kind::state()),
        BTreeMap::new(),
    );
    let outgoing: BTreeMap<AgentState, String> = section.value(
        reloadable("outgoing", "The state names that the platform expects in requests, as in { Paused = \"BREAK\" }."),
        &kind::map(kind::state(), kind::text()),
        BTreeMap::new(),
    );
    StateNames::default().with_names(
        incoming.iter().map(|(name, state)| (name.as_str(), state.clone())),
        outgoing.iter().map(|(state, name)| (state.clone(), name.as_str())),
    )
}

fn agent_id() -> Kind<AgentId> {
    let convert = |text: &str| {
        let sound = (1..=128).contains(&text.len()) && !text.contains(|c: char| c.is_whitespace() || c.is_control());
        if sound {
            Ok(AgentId::new(text))
        } else {
            Err(ValueFault::new("must be an agent's id: up to 128 characters, no blanks"))
        }
    };
    Kind::from_text("agent id", convert, |id| format!("{id:?}"))
}

fn version() -> Kind<String> {
    let convert = |text: &str| {
        let digits = text.strip_prefix('v').unwrap_or_default();
        let sound = (1..=3).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
        if sound { Ok(text.to_owned()) } else { Err(ValueFault::new("must be a version such as \"v2\"")) }
    };
    Kind::from_text("version", convert, |version| format!("{version:?}"))
}
