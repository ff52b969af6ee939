//! `[[tenants]]`: one CXone business unit each, with its credentials, budget and agents. What the daemon may do to the agents
//! stands in the tenant's sub-tables, one module each.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;

use crate::config::adherence;
use crate::config::analytics::series;
use crate::config::analytics::{self, AnalyticsQuery};
use crate::config::changes::policy::Policy;
use crate::config::live::figures::FigureReads;
use crate::config::live::thresholds;
use crate::config::platform::feed::Feed;
use crate::config::platform::retry::Retry;
use crate::config::platform::subscription::Subscription;
use crate::config::rules::automation::Automation;
use crate::config::shared::complaint::Fault;
use crate::config::shared::kind::{self, Kind};
use crate::config::shared::reader::{Section, reloads};
use crate::config::webhooks::is_loopback;
use crate::domain::access::secret::Secret;
use crate::domain::adherence::AdherenceSettings;
use crate::domain::agents::state::{AgentState, StateNames};
use crate::domain::analytics::anomaly::Watched;
use crate::domain::ids::{AgentId, QueueId, SkillId, TenantId};
use crate::domain::live::thresholds::Thresholds;

/// One tenant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tenant {
    /// Its id: the first part of every key in the store.
    pub id: TenantId,
    /// Which services the platform offers.
    pub dialect: Dialect,
    /// Where tokens are asked for; the token answer may replace it for the rest.
    pub base_url: Url,
    /// The version in the paths of the guide dialect, as in `/api/v2/…`.
    pub api_version: String,
    /// How a token is asked for.
    pub token: TokenSettings,
    /// The client id of the credentials.
    pub client_id: String,
    /// The client secret of the credentials.
    pub client_secret: Secret,
    /// Requests in any 60 s at most.
    pub requests_per_minute: u32,
    /// Of these, kept free for mandatory breaks and people.
    pub urgent_reserve: u32,
    /// How long an answer may take, in real time.
    pub request_timeout: Duration,
    /// Whether changes are sent.
    pub mode: Mode,
    /// Agents beside the imported ones.
    pub agents: Vec<AgentId>,
    /// The skills that the live feed is subscribed to and whose figures are read.
    pub skills: Vec<SkillId>,
    /// The queues whose figures are read.
    pub queues: Vec<QueueId>,
    /// Schedule files that are dropped here are imported; relative to the working directory.
    pub schedule_folder: Option<PathBuf>,
    /// The platform's state names and ours.
    pub states: StateNames,
    /// Reading agent states.
    pub subscription: Subscription,
    /// Hearing of changes as they happen.
    pub feed: Feed,
    /// Reading figures of skills and queues.
    pub figures: FigureReads,
    /// What a change must obey.
    pub policy: Policy,
    /// Trying again.
    pub retry: Retry,
    /// Which states are in adherence with which activity.
    pub adherence: AdherenceSettings,
    /// Limits against flapping, and which rules are enforced.
    pub automation: Automation,
    /// What asks for somebody.
    pub thresholds: Thresholds,
    /// Queries of the platform's analytics.
    pub analytics: Vec<AnalyticsQuery>,
    /// The series that are watched for anomalies.
    pub series: Vec<Watched>,
}

/// Which services the platform offers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dialect {
    /// The endpoints of the guides.
    Guide,
}

/// Whether changes are sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// They are.
    Live,
    /// They are recorded as if sent; the platform is only read.
    DryRun,
}

/// How a token is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TokenSettings {
    /// Where the credentials go.
    pub style: TokenStyle,
    /// The path of the token endpoint under `base_url`.
    pub path: String,
    /// The scope that is asked for.
    pub scope: Option<String>,
    /// The `tenant_id` that is sent along.
    pub tenant_id: Option<String>,
}

/// Where the credentials of a token request go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TokenStyle {
    /// Into the form.
    Body,
    /// Into the `Authorization` header.
    Basic,
    /// Into the form; the answer names the base of every later URL.
    Legacy,
}

impl TokenStyle {
    /// The endpoint that the guides give for the style.
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
            reloads(
                "style",
                "Where the credentials go: into the form (body), into Basic, or the legacy form whose answer names the \
                 base URL.",
            ),
            &kind::choice(&[("body", TokenStyle::Body), ("basic", TokenStyle::Basic), ("legacy", TokenStyle::Legacy)]),
            TokenStyle::Body,
        );
        let path = section.value(
            reloads(
                "path",
                "The token endpoint under base_url; by default /oauth2/token for body, /oauth/token for basic, \
                 /InContactAuthorizationServer/Token for legacy.",
            ),
            &path(),
            style.default_path().to_owned(),
        );
        let scope =
            section.optional(reloads("scope", "The scope to ask for, where the platform wants one."), &kind::text());
        let tenant_id = section
            .optional(reloads("tenant_id", "The tenant_id to send, where the platform wants one."), &kind::text());
        Self { style, path, scope, tenant_id }
    }
}

/// The keys that say who and where.
struct Identity {
    id: Option<TenantId>,
    base_url: Option<Url>,
    client_id: Option<String>,
    client_secret: Option<Secret>,
}

impl Identity {
    fn read(section: &mut Section<'_, '_>) -> Self {
        let id = section.required(
            reloads("id", "Names the tenant everywhere; another id is another tenant, with data of its own."),
            &kind::id(),
        );
        let base_url = section.required(
            reloads("base_url", "Where the platform is reached; the token answer may replace it."),
            &kind::url(),
        );
        let plain = section.value(
            reloads(
                "allow_plain_http",
                "Lets base_url be http:// on another machine; credentials then travel in clear.",
            ),
            &kind::boolean(),
            false,
        );
        if base_url.as_ref().is_some_and(|url| url.scheme() == "http" && !plain && !is_loopback(url)) {
            let fault =
                Fault::new("would send credentials in clear").advise("use https://, or set allow_plain_http = true");
            section.complain("base_url", fault);
        }
        let client_id = section.required(reloads("client_id", "The client id of the credentials."), &kind::text());
        let client_secret = section.daemon_secret(reloads("client_secret", "The client secret of the credentials."));
        Self { id, base_url, client_id, client_secret }
    }
}

struct Budget {
    requests_per_minute: u32,
    urgent_reserve: u32,
    request_timeout: Duration,
}

impl Budget {
    fn read(section: &mut Section<'_, '_>) -> Self {
        let requests_per_minute = section.value(
            reloads("requests_per_minute", "Requests in any 60 s at most, exact over every such window."),
            &kind::integer(1..=6_000),
            100,
        );
        let urgent_reserve = section.value(
            reloads("urgent_reserve", "Of these, kept free for mandatory breaks and people's requests."),
            &kind::integer(0..=1_000),
            2,
        );
        if urgent_reserve >= requests_per_minute {
            section.complain("urgent_reserve", Fault::new("must be less than requests_per_minute"));
        }
        let request_timeout = section.value(
            reloads("request_timeout", "How long an answer may take, in real time, before the request is in doubt."),
            &kind::duration(Duration::from_millis(100)..=Duration::from_secs(120)),
            Duration::from_secs(10),
        );
        Self { requests_per_minute, urgent_reserve, request_timeout }
    }
}

/// Whom and what it is about.
struct Scope {
    agents: Vec<AgentId>,
    skills: Vec<SkillId>,
    queues: Vec<QueueId>,
    schedule_folder: Option<PathBuf>,
}

impl Scope {
    fn read(section: &mut Section<'_, '_>) -> Self {
        let agents = section.value(
            reloads("agents", "Platform ids of agents beside the imported ones."),
            &kind::list(agent_id()),
            Vec::new(),
        );
        let skills = section.value(
            reloads(
                "skills",
                "Platform ids of the skills that the live feed is subscribed to and whose figures are read.",
            ),
            &kind::list(kind::id::<SkillId>()),
            Vec::new(),
        );
        let queues = section.value(
            reloads(
                "queues",
                "Platform ids of the queues whose figures are read; the client then needs reporting:queue:view.",
            ),
            &kind::list(kind::id::<QueueId>()),
            Vec::new(),
        );
        let schedule_folder = section.optional(
            reloads(
                "schedule_folder",
                "Schedule files that are dropped into this folder are imported; relative to the working directory.",
            ),
            &kind::text(),
        );
        Self { agents, skills, queues, schedule_folder: schedule_folder.map(PathBuf::from) }
    }
}

impl Tenant {
    pub(in crate::config) fn read(section: &mut Section<'_, '_>) -> Option<Self> {
        let identity = Identity::read(section);
        let dialect = section.value(
            reloads("dialect", "Which services the platform offers."),
            &kind::choice(&[("guide", Dialect::Guide)]),
            Dialect::Guide,
        );
        let api_version = section.value(
            reloads("api_version", "The version in the platform's paths, as in /api/v2/users."),
            &version(),
            "v2".to_owned(),
        );
        let token = section.table("token", TokenSettings::read);
        let budget = Budget::read(section);
        let mode = section.value(
            reloads("mode", "Whether state changes are sent (live), or only recorded as if they were (dry_run)."),
            &kind::choice(&[("live", Mode::Live), ("dry_run", Mode::DryRun)]),
            Mode::Live,
        );
        let scope = Scope::read(section);
        let states = section.table("states", read_state_names);
        let subscription = section.table("subscription", Subscription::read);
        let feed = section.table("feed", Feed::read);
        let figures = section.table("figures", FigureReads::read);
        let policy = section.table("policy", Policy::read);
        let retry = section.table("retry", Retry::read);
        let adherence = section.table("adherence", adherence::read);
        let automation = section.table("automation", Automation::read);
        let thresholds = section.table("thresholds", thresholds::read);
        let analytics = analytics::read(section);
        let known = series::Known { skills: &scope.skills, queues: &scope.queues, queries: &analytics };
        let series = series::read(section, &known);
        Some(Self {
            id: identity.id?,
            dialect,
            base_url: identity.base_url?,
            api_version,
            token,
            client_id: identity.client_id?,
            client_secret: identity.client_secret?,
            requests_per_minute: budget.requests_per_minute,
            urgent_reserve: budget.urgent_reserve,
            request_timeout: budget.request_timeout,
            mode,
            agents: scope.agents,
            skills: scope.skills,
            queues: scope.queues,
            schedule_folder: scope.schedule_folder,
            states,
            subscription,
            feed,
            figures,
            policy,
            retry,
            adherence,
            automation,
            thresholds,
            analytics,
            series,
        })
    }
}

impl Tenant {
    /// Whether its workers can go on with `newer`: they take these keys over as they run. All others take new workers.
    pub fn goes_on_as(&self, newer: &Self) -> bool {
        let taken_over = Self {
            agents: newer.agents.clone(),
            skills: newer.skills.clone(),
            feed: self.feed.taking_over(&newer.feed),
            figures: self.figures.taking_over(&newer.figures),
            schedule_folder: newer.schedule_folder.clone(),
            policy: newer.policy,
            retry: newer.retry,
            adherence: newer.adherence.clone(),
            automation: newer.automation.clone(),
            thresholds: newer.thresholds.clone(),
            // The first query changes what the token is asked for.
            analytics: if self.analytics.is_empty() { Vec::new() } else { newer.analytics.clone() },
            series: newer.series.clone(),
            ..self.clone()
        };
        taken_over == *newer
    }
}

fn read_state_names(section: &mut Section<'_, '_>) -> StateNames {
    let incoming: BTreeMap<String, AgentState> = section.value(
        reloads(
            "incoming",
            "The platform's own state names, in any case, and what they mean here, as in { mittag = \"Paused\" }.",
        ),
        &kind::map(kind::text(), kind::state()),
        BTreeMap::new(),
    );
    let outgoing: BTreeMap<AgentState, String> = section.value(
        reloads("outgoing", "The names that the platform's state request takes, as in { Paused = \"BREAK\" }."),
        &kind::map(kind::state(), kind::text()),
        BTreeMap::new(),
    );
    StateNames::default().extended(
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
            Err(Fault::new("must be an agent's id: up to 128 characters, no blanks"))
        }
    };
    Kind::from_text("agent id", convert, |id| format!("{id:?}"))
}

pub(in crate::config) fn path() -> Kind<String> {
    let convert = |text: &str| {
        let sound = text.starts_with('/') && !text.contains(|c: char| c.is_whitespace() || matches!(c, '?' | '#'));
        if sound { Ok(text.to_owned()) } else { Err(Fault::new("must be a path that begins with /, without query")) }
    };
    Kind::from_text("path", convert, |path| format!("{path:?}"))
}

fn version() -> Kind<String> {
    let convert = |text: &str| {
        let digits = text.strip_prefix('v').unwrap_or_default();
        let sound = (1..=3).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
        if sound { Ok(text.to_owned()) } else { Err(Fault::new("must be a version such as \"v2\"")) }
    };
    Kind::from_text("version", convert, |version| format!("{version:?}"))
}
