//! `[tenants.incontact]`: what the dialect of the published services needs beside the other settings of a tenant.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::Url;

use crate::config::shared::diagnostic::ValueFault;
use crate::config::shared::kind::{self, Kind};
use crate::config::shared::reader::{Section, reloadable};
use crate::domain::access::secret::Secret;
use crate::domain::agents::state::AgentState;
use crate::domain::agents::unavailable_codes::{CodeMap, CodeRule};
use crate::domain::ids::{ReasonCode, TeamName};
use crate::domain::schedules::platform_schedule::{ActivityTitles, TitledActivity};
use crate::domain::schedules::schedule::Activity;

/// How tokens are requested.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TokenKind {
    /// With an access key alone.
    AccessKey,
    /// With an access key and a registered application.
    App,
}

/// The settings of the dialect.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Incontact {
    /// How tokens are requested.
    pub token_kind: TokenKind,
    /// The client id of the registered application.
    pub app_id: Option<String>,
    /// Its client secret.
    pub app_secret: Option<Secret>,
    /// The tenant's area, such as `na1`.
    pub area: Option<String>,
    /// The origin of the user hub.
    pub user_hub_url: Option<Url>,
    /// The origin of the API.
    pub api_url: Option<Url>,
    /// The version in the API's paths.
    pub version: String,
    /// Versions of single endpoints, by the names listed in the configuration reference.
    pub versions: BTreeMap<&'static str, String>,
    /// The codes that stand for states.
    pub codes: CodeMap,
    /// Whether agents of the platform's directory join the roster.
    pub roster: bool,
    /// What the titles of activities in exported schedules stand for.
    pub activities: ActivityTitles,
    /// Whether the arguments of a state request are in a JSON body.
    pub state_in_body: bool,
    /// Whether agents may be logged out.
    pub log_out: bool,
    /// The state of an agent in a dialer campaign.
    pub dialer_state: AgentState,
    /// How much earlier than the last poll's instant the next poll begins.
    pub overlap: Duration,
    /// The time between two reads of all agents.
    pub full_read_every: Duration,
    /// The number of rows of a page.
    pub page_rows: usize,
}

/// The names of endpoints that can have a version of their own.
pub const ENDPOINTS: [&str; 7] = ["agents", "teams", "codes", "states", "state_history", "changes", "skills"];

/// The keys of tokens and origins.
struct Tokens {
    kind: TokenKind,
    app_id: Option<String>,
    app_secret: Option<Secret>,
    area: Option<String>,
    user_hub_url: Option<Url>,
    api_url: Option<Url>,
}

impl Tokens {
    fn read(section: &mut Section<'_, '_>) -> Self {
        let kind = section.value(
            reloadable(
                "token_kind",
                "How tokens are requested: with an access key, or with an access key and a registered application.",
            ),
            &kind::choice(&[("access_key", TokenKind::AccessKey), ("app", TokenKind::App)]),
            TokenKind::AccessKey,
        );
        let app_id =
            section.optional(reloadable("app_id", "The client id of the registered application."), &kind::text());
        let app_secret =
            section.optional_secret(reloadable("app_secret", "The client secret of the registered application."));
        let area = section.optional(
            reloadable("area", "The area of the tenant, such as `na1`. It gives the default of `user_hub_url`."),
            &kind::text(),
        );
        let user_hub_url = section.optional(
            reloadable(
                "user_hub_url",
                "The origin of access-key tokens. The default is https://AREA.nice-incontact.com.",
            ),
            &kind::url(),
        );
        let api_url = section.optional(
            reloadable("api_url", "The origin of the API. The default is the one that discovery names."),
            &kind::url(),
        );
        Self { kind, app_id, app_secret, area, user_hub_url, api_url }
    }
}

/// The keys that are on or off.
struct Switches {
    roster: bool,
    state_in_body: bool,
    log_out: bool,
}

impl Switches {
    fn read(section: &mut Section<'_, '_>) -> Self {
        Self {
            roster: section.value(
                reloadable(
                    "roster",
                    "Whether all active agents whom the platform lists are observed. Otherwise only those of schedules \
                     and `agents` are.",
                ),
                &kind::boolean(),
                true,
            ),
            state_in_body: section.value(
                reloadable(
                    "state_in_body",
                    "Whether the arguments of a state request are sent as a JSON body instead of in the query.",
                ),
                &kind::boolean(),
                false,
            ),
            log_out: section.value(
                reloadable(
                    "log_out",
                    "Whether people with the right log_out, and rules with then = { log_out = true }, may log agents out.",
                ),
                &kind::boolean(),
                false,
            ),
        }
    }
}

/// A state, or a state and a reason as in `NotReady:TRAINING`.
type CodeKey = (AgentState, Option<ReasonCode>);

impl Incontact {
    pub(in crate::config) fn read(section: &mut Section<'_, '_>) -> Self {
        let (tokens, switches) = (Tokens::read(section), Switches::read(section));
        let (version, versions) = read_versions(section);
        Self {
            codes: read_codes(section),
            roster: switches.roster,
            activities: read_activities(section),
            state_in_body: switches.state_in_body,
            log_out: switches.log_out,
            dialer_state: section.value(
                reloadable("dialer_state", "The state of an agent in a dialer campaign."),
                &kind::state(),
                AgentState::OnContact,
            ),
            overlap: section.value(
                reloadable("overlap", "How far each poll reaches back before the instant of the last one."),
                &kind::duration(Duration::ZERO..=Duration::from_secs(60)),
                Duration::from_secs(2),
            ),
            full_read_every: section.value(
                reloadable(
                    "full_read_every",
                    "The time between two reads of all agents. Other polls read changes only.",
                ),
                &kind::duration(Duration::from_secs(10)..=Duration::from_secs(3600)),
                Duration::from_secs(300),
            ),
            page_rows: section.value(
                reloadable("page_rows", "The number of rows to request in one page."),
                &kind::integer(1..=10_000),
                10_000,
            ),
            token_kind: tokens.kind,
            app_id: tokens.app_id,
            app_secret: tokens.app_secret,
            area: tokens.area,
            user_hub_url: tokens.user_hub_url,
            api_url: tokens.api_url,
            version,
            versions,
        }
    }

    /// Returns the origin of the user hub, if it is known.
    pub fn user_hub(&self) -> Option<Url> {
        let by_area = || Url::parse(&format!("https://{}.nice-incontact.com", self.area.as_ref()?)).ok();
        self.user_hub_url.clone().or_else(by_area)
    }
}

/// Reads the version, and those of single endpoints.
fn read_versions(section: &mut Section<'_, '_>) -> (String, BTreeMap<&'static str, String>) {
    let default = section.value(
        reloadable("version", "The version in the API's paths, as in /incontactapi/services/v31.0."),
        &version(),
        "31.0".to_owned(),
    );
    let versions = section.value(
        reloadable(
            "versions",
            "Versions of single endpoints, as in { codes = \"23.0\" }. The endpoints are agents, teams, codes, states, \
             state_history, changes and skills.",
        ),
        &kind::map(kind::choice(&ENDPOINTS.map(|name| (name, name))), version()),
        BTreeMap::new(),
    );
    (default, versions)
}

fn read_activities(section: &mut Section<'_, '_>) -> ActivityTitles {
    let titles: BTreeMap<String, String> = section.value(
        reloadable(
            "activities",
            "What the titles of activities in exported schedules stand for, as in { \"Lunch Break\" = \"lunch\" }. Titles \
             that are neither here nor names of activities are listed, and rules for known activities ignore them.",
        ),
        &kind::map(kind::text(), kind::text()),
        BTreeMap::new(),
    );
    let mandatory: Vec<String> = section.value(
        reloadable("mandatory_activities", "The titles of mandatory breaks, in which an agent is not set Ready."),
        &kind::list(kind::text()),
        Vec::new(),
    );
    let is_mandatory = |title: &str| mandatory.iter().any(|other| other.trim().eq_ignore_ascii_case(title.trim()));
    let named = titles.into_iter().map(|(title, name)| {
        let mandatory = is_mandatory(&title);
        (title, TitledActivity { activity: Activity::from_name(&name), mandatory })
    });
    let named: Vec<_> = named.collect();
    let unnamed = mandatory.iter().filter(|title| !named.iter().any(|(known, _)| known.eq_ignore_ascii_case(title)));
    let unnamed: Vec<_> = unnamed
        .map(|title| (title.clone(), TitledActivity { activity: Activity::from_name(title), mandatory: true }))
        .collect();
    ActivityTitles::new(named.into_iter().chain(unnamed))
}

fn read_codes(section: &mut Section<'_, '_>) -> CodeMap {
    let for_all: BTreeMap<CodeKey, i64> = section.value(
        reloadable(
            "codes",
            "The unavailable codes that stand for states, as in { Paused = 12, \"NotReady:TRAINING\" = 14 }. A state \
             without a code is not set.",
        ),
        &codes(),
        BTreeMap::new(),
    );
    let for_teams: BTreeMap<String, BTreeMap<CodeKey, i64>> = section.value(
        reloadable("team_codes", "Codes of single teams, by the team's name, as in { Care = { Paused = 112 } }."),
        &kind::map(kind::text(), codes()),
        BTreeMap::new(),
    );
    let teams = for_teams.into_iter().map(|(team, codes)| (Some(TeamName::new(team)), codes));
    let lines = teams.chain([(None, for_all)]).flat_map(|(team, codes)| {
        codes.into_iter().map(move |((state, reason), code)| CodeRule { team: team.clone(), state, reason, code })
    });
    CodeMap(lines.collect())
}

fn codes() -> Kind<BTreeMap<CodeKey, i64>> {
    kind::map(code_key(), kind::integer(1..=i64::from(i32::MAX)))
}

fn code_key() -> Kind<CodeKey> {
    let convert = |text: &str| {
        let (name, reason) = match text.split_once(':') {
            Some((name, reason)) => (name, Some(ReasonCode::new(reason))),
            None => (text, None),
        };
        let settable = [AgentState::NotReady, AgentState::Paused, AgentState::Idle];
        match AgentState::from_name(name).filter(|state| settable.contains(state)) {
            Some(state) => Ok((state, reason)),
            None => Err(ValueFault::new("must begin with NotReady, Paused or Idle, as in \"NotReady:TRAINING\"")),
        }
    };
    Kind::from_text("state or state:reason", convert, |(state, reason)| match reason {
        Some(reason) => format!("{:?}", format!("{state}:{reason}")),
        None => state.to_string(),
    })
}

fn version() -> Kind<String> {
    let convert = |text: &str| {
        let sound = text.split('.').count() == 2 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let sound = sound && !text.starts_with('.') && !text.ends_with('.');
        if sound { Ok(text.to_owned()) } else { Err(ValueFault::new("must be a version such as \"31.0\"")) }
    };
    Kind::from_text("version", convert, |version| format!("{version:?}"))
}
