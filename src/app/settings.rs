//! Converts the configuration to the settings of the workers.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::SharedClock;
use crate::config::{
    Config, Dialect, Mode, Server, ServiceLevelUnit, Tenant, TenantScope, TokenKind, TokenStyle as ConfiguredStyle,
};
use crate::domain::agents::kind_sets::StateSet;
use crate::domain::rules::planner::DecideSettings;
use crate::domain::rules::rule::RuleDiagnostic;
use crate::domain::rules::rule::check::Capabilities;
use crate::domain::rules::rule::compile::RuleSet;
use crate::engine::access::accounts::SessionLimits;
use crate::engine::operations::settings::{
    BudgetSettings, DirectorySettings, FeedSettings, FigureSettings, ObservationSettings, PolicySettings,
    RetrySettings, RuleText, TenantSettings,
};
use crate::http::{ConfiguredAccess, ConfiguredToken, GroupRole, TrustedProxy};
use crate::platform::client::{ClientError, ClientSettings, Transport};
use crate::platform::dry_run::DryRun;
use crate::platform::guide::{
    ANALYTICS_SCOPES, DEFAULT_SCOPE, GuidePlatform, GuideSettings, REPORTING_SCOPE, TokenStyle,
};
use crate::platform::incontact::{self, Endpoint, IncontactPlatform, IncontactSettings, Versions};
use crate::platform::retry::RetryBackoff;
use crate::platform::{Platform, ShareUnit};

/// The maximum number of a tenant's state POSTs in flight: enough to use a minute's budget within seconds at usual
/// latencies.
const PARALLEL_CALLS: usize = 32;

/// The age of a subscription without a successor at which people are notified (source: guide 004, at 18 hours).
const NEAR_EXPIRY_MARGIN: Duration = Duration::from_secs(18 * 3600);

/// The slots that are reserved for polls where these count: one poll, and a second page.
const INCONTACT_POLL_RESERVE: usize = 2;

/// A configuration that was parsed but cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The rules have errors.
    #[error("the rules have errors: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Rules(Vec<RuleDiagnostic>),
    /// An HTTP client cannot be created.
    #[error("the platform client of tenant {tenant} cannot be created")]
    Client {
        /// The tenant.
        tenant: String,
        /// The cause.
        #[source]
        source: ClientError,
    },
}

/// Returns the settings of a tenant's workers.
pub fn tenant_settings(config: &Config, tenant: &Tenant) -> Result<TenantSettings, SettingsError> {
    let rules = config.rules_for(tenant);
    let compiled = RuleSet::compile(&rules, capabilities(tenant)).map_err(SettingsError::Rules)?;
    let interval = tenant.subscription.interval;
    let automation = &tenant.automation;
    Ok(TenantSettings {
        tenant: tenant.id.clone(),
        agents: tenant.agents.clone(),
        skills: tenant.skills.clone(),
        budget: BudgetSettings {
            requests_per_minute: tenant.requests_per_minute as usize,
            urgent_reserve: tenant.urgent_reserve as usize,
            poll_reserve: poll_reserve(tenant.dialect),
            read_share_percent: tenant.policy.read_share_percent as usize,
            parallel_calls: PARALLEL_CALLS,
            request_timeout_real: tenant.request_timeout,
        },
        observation: ObservationSettings {
            interval,
            agents_per_subscription: agents_per_subscription(tenant),
            renew_after: tenant.subscription.renew_after,
            near_expiry_after: NEAR_EXPIRY_MARGIN,
            oversize_bytes: tenant.subscription.oversize_bytes,
        },
        directory: DirectorySettings { joins_roster: tenant.incontact.roster },
        feed: FeedSettings { enabled: tenant.feed.enabled, silent_after: tenant.feed.silent_after },
        figures: FigureSettings {
            skills: tenant.skills.clone(),
            queues: tenant.queues.clone(),
            interval: tenant.figures.interval,
            requests_per_minute: tenant.figures.requests_per_minute as usize,
        },
        policy: PolicySettings {
            unscheduled_forbids: tenant.policy.unscheduled_forbids,
            on_contact: tenant.policy.on_contact,
            deadline: tenant.policy.max_wait,
            answer_lifetime: tenant.policy.answer_retention,
        },
        retry: RetrySettings {
            attempts: tenant.retry.attempts,
            curve: RetryBackoff { first: tenant.retry.first_delay, cap: tenant.retry.max_delay },
            share_percent: tenant.retry.share_percent as usize,
            min_per_minute: tenant.retry.minimum_per_minute as usize,
        },
        rules: Arc::new(compiled),
        rule_texts: rules.iter().filter_map(RuleText::of).collect(),
        base_rules: rules.into(),
        capabilities: capabilities(tenant),
        max_backtest_span: Duration::from_secs(u64::from(automation.backtest_days) * 24 * 3600),
        decide: DecideSettings {
            stale_after: interval * automation.stale_intervals,
            changes_per_hour: automation.max_changes_per_agent_hour as usize,
            leave_alone_duration: automation.pause_after_reversal,
            unscheduled_forbids: tenant.policy.unscheduled_forbids,
            adherence: tenant.adherence.clone(),
            ..DecideSettings::default()
        },
        series: tenant.series.clone().into(),
    })
}

/// Returns the most agents that one read of states shows. A dialect without subscriptions shows all of them.
fn agents_per_subscription(tenant: &Tenant) -> usize {
    match tenant.dialect {
        Dialect::Guide => tenant.subscription.agents_per_subscription,
        Dialect::Incontact => usize::MAX,
    }
}

/// Returns how many slots of the budget are reserved for polls.
const fn poll_reserve(dialect: Dialect) -> usize {
    match dialect {
        Dialect::Guide => 0,
        Dialect::Incontact => INCONTACT_POLL_RESERVE,
    }
}

/// Returns the capabilities of the tenant's platform, as far as the configuration tells.
fn capabilities(tenant: &Tenant) -> Capabilities {
    Capabilities { settable: StateSet::from_states(&tenant.settable_states()), can_log_out: tenant.can_log_out() }
}

/// Creates the adapter of a tenant's platform.
pub fn platform_for(tenant: &Tenant, clock: SharedClock) -> Result<Arc<dyn Platform>, SettingsError> {
    platform_with_transport(None, tenant, clock)
}

/// As [`platform_for`], but over `transport` if it is `Some`.
pub(super) fn platform_with_transport(
    transport: Option<Arc<dyn Transport>>,
    tenant: &Tenant,
    clock: SharedClock,
) -> Result<Arc<dyn Platform>, SettingsError> {
    let live: Arc<dyn Platform> = match tenant.dialect {
        Dialect::Guide => Arc::new(guide_platform(transport, tenant, clock.clone())?),
        Dialect::Incontact => Arc::new(incontact_platform(transport, tenant, clock.clone())?),
    };
    Ok(match tenant.mode {
        Mode::Live => live,
        Mode::DryRun => Arc::new(DryRun::new(live, clock)),
    })
}

/// Creates the adapter of a tenant of the guide dialect, without a dry run, to check its credentials.
pub fn guide_platform_for(tenant: &Tenant, clock: SharedClock) -> Result<GuidePlatform, SettingsError> {
    guide_platform(None, tenant, clock)
}

/// Creates the adapter of a tenant of the published services, without a dry run, for checks that only this dialect has.
pub fn incontact_platform_for(tenant: &Tenant, clock: SharedClock) -> Result<IncontactPlatform, SettingsError> {
    incontact_platform(None, tenant, clock)
}

fn guide_platform(
    transport: Option<Arc<dyn Transport>>,
    tenant: &Tenant,
    clock: SharedClock,
) -> Result<GuidePlatform, SettingsError> {
    let style = match tenant.token.style {
        ConfiguredStyle::Body => TokenStyle::Body,
        ConfiguredStyle::Basic => TokenStyle::Basic,
        ConfiguredStyle::Legacy => TokenStyle::Legacy,
    };
    let defaults = GuideSettings::new(tenant.base_url.clone(), style, &tenant.client_id, tenant.client_secret.clone());
    let settings = GuideSettings {
        token_path: Some(tenant.token.path.clone()),
        scope: tenant.token.scope.clone().unwrap_or_else(|| default_scope(tenant)),
        tenant_id: tenant.token.tenant_id.clone(),
        api_path: format!("/api/{}", tenant.api_version),
        feed_base_url: tenant.feed.base_url.clone(),
        feed_path: tenant.feed.path.clone(),
        state_names: tenant.states.clone(),
        client: ClientSettings { request_timeout: tenant.request_timeout, ..ClientSettings::default() },
        snapshot_limit: tenant.subscription.max_body_bytes,
        skill_figures_path: tenant.figures.skill_path.clone(),
        queue_service_level: match tenant.figures.queue_service_level {
            ServiceLevelUnit::Percent => ShareUnit::Percent,
            ServiceLevelUnit::Share => ShareUnit::Fraction,
        },
        ..defaults
    };
    GuidePlatform::with_transport(transport, settings, clock)
        .map_err(|source| SettingsError::Client { tenant: tenant.id.to_string(), source })
}

fn incontact_platform(
    transport: Option<Arc<dyn Transport>>,
    tenant: &Tenant,
    clock: SharedClock,
) -> Result<IncontactPlatform, SettingsError> {
    let configured = &tenant.incontact;
    let kind = match (configured.token_kind, &configured.app_id) {
        (TokenKind::App, Some(client_id)) => {
            incontact::TokenKind::App { client_id: client_id.clone(), client_secret: configured.app_secret.clone() }
        }
        (TokenKind::AccessKey | TokenKind::App, _) => incontact::TokenKind::AccessKey,
    };
    let settings = IncontactSettings {
        token: incontact::TokenSettings {
            kind,
            auth_url: tenant.base_url.clone(),
            user_hub_url: configured.user_hub().unwrap_or_else(|| tenant.base_url.clone()),
            api_url: configured.api_url.clone(),
            key_id: tenant.client_id.clone(),
            key_secret: tenant.client_secret.clone(),
        },
        versions: Versions::new(
            configured.version.clone(),
            Endpoint::ALL
                .into_iter()
                .filter_map(|endpoint| Some((endpoint, configured.versions.get(endpoint.name())?.clone())))
                .collect(),
        ),
        codes: configured.codes.clone(),
        dialer: configured.dialer_state.clone(),
        state_in_body: configured.state_in_body,
        can_log_out: configured.log_out,
        overlap: configured.overlap,
        full_read_every: configured.full_read_every,
        page_rows: configured.page_rows,
        page_limit: tenant.subscription.max_body_bytes,
        client: ClientSettings { request_timeout: tenant.request_timeout, ..ClientSettings::default() },
    };
    IncontactPlatform::new(transport, settings, clock)
        .map_err(|source| SettingsError::Client { tenant: tenant.id.to_string(), source })
}

/// Returns the scopes that the tenant's settings need. A client without the right to queue figures or analytics would
/// get no token at all if it requested their scopes.
fn default_scope(tenant: &Tenant) -> String {
    let queues = (!tenant.queues.is_empty()).then_some(REPORTING_SCOPE);
    let analytics = (!tenant.analytics.is_empty()).then_some(ANALYTICS_SCOPES);
    [Some(DEFAULT_SCOPE), queues, analytics].into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// Returns the access that the configuration alone grants.
pub(super) fn configured_tokens(server: &Server) -> ConfiguredAccess {
    let scope = |scope: &TenantScope| match scope {
        TenantScope::All => None,
        TenantScope::Only(tenants) => Some(tenants.clone()),
    };
    let tokens = server.tokens.iter().map(|token| ConfiguredToken {
        id: token.id.as_str().into(),
        token: token.token.clone(),
        tenants: scope(&token.tenants),
        rights: token.rights.clone(),
    });
    ConfiguredAccess::new(tokens.collect()).with_proxy(proxy_settings(server))
}

fn proxy_settings(server: &Server) -> TrustedProxy {
    let header = |name: &Option<String>| name.as_ref().and_then(|name| name.parse().ok());
    let proxy = &server.proxy;
    let roles = proxy.roles.iter().map(|role| GroupRole {
        group: role.group.clone(),
        role: role.role,
        reach: role.scope.clone(),
    });
    TrustedProxy {
        peers: proxy.peers.clone(),
        user: header(&proxy.user_header),
        groups: header(&proxy.groups_header),
        separator: proxy.groups_separator,
        roles: roles.collect(),
    }
}

/// Returns the ids that accounts may not use.
pub(super) fn reserved_ids(server: &Server) -> Arc<[Arc<str>]> {
    server.tokens.iter().map(|token| Arc::from(token.id.as_str())).collect()
}

/// Returns how long sign-ins last.
pub(super) fn session_limits(server: &Server) -> SessionLimits {
    SessionLimits { idle: server.sessions.idle_timeout, absolute: server.sessions.max_lifetime }
}
