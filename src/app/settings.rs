//! The configuration in the shapes that the workers take.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::SharedClock;
use crate::config::{
    Config, Dialect, Mode, Server, ServiceLevelUnit, Tenant, TenantScope, TokenStyle as ConfiguredStyle,
};
use crate::domain::agents::sets::StateSet;
use crate::domain::agents::state::AgentState;
use crate::domain::rules::planner::DecideSettings;
use crate::domain::rules::rule::RuleComplaint;
use crate::domain::rules::rule::check::Capabilities;
use crate::domain::rules::rule::compile::RuleSet;
use crate::engine::access::accounts::SessionLimits;
use crate::engine::operations::settings::{
    BudgetSettings, FeedSettings, FigureSettings, PolicySettings, RetrySettings, RuleText, SightSettings,
    TenantSettings,
};
use crate::http::{Access, GroupRole, Proxy, Tokens};
use crate::platform::client::{ClientError, ClientSettings, Transport};
use crate::platform::dry_run::DryRun;
use crate::platform::guide::{ANALYTICS_SCOPES, DEFAULT_SCOPE, Guide, GuideSettings, REPORTING_SCOPE, TokenStyle};
use crate::platform::retry::RetryCurve;
use crate::platform::{Platform, ShareUnit};

/// State POSTs of one tenant under way at once: enough to spend a minute's budget within seconds at usual latencies.
const PARALLEL_CALLS: usize = 32;

/// People are told of a subscription this old that has no successor (guide 004: at 18 hours).
const NEAR_EXPIRY: Duration = Duration::from_secs(18 * 3600);

/// A configuration that parsed and still cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The rules have mistakes.
    #[error("the rules have mistakes: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Rules(Vec<RuleComplaint>),
    /// No HTTP client can be made.
    #[error("no client for the platform of tenant {tenant} can be made")]
    Client {
        /// The tenant.
        tenant: String,
        /// What is wrong.
        #[source]
        source: ClientError,
    },
}

/// What the workers of a tenant go by.
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
            read_share_percent: tenant.policy.read_share_percent as usize,
            parallel_calls: PARALLEL_CALLS,
            request_timeout_real: tenant.request_timeout,
        },
        sight: SightSettings {
            interval,
            agents_per_subscription: tenant.subscription.agents_per_subscription,
            renew_after: tenant.subscription.renew_after,
            near_expiry_after: NEAR_EXPIRY,
            oversize_bytes: tenant.subscription.oversize_bytes,
        },
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
            deadline: tenant.policy.wait_at_most,
            answers_kept: tenant.policy.answers_kept,
        },
        retry: RetrySettings {
            attempts: tenant.retry.attempts,
            curve: RetryCurve { first: tenant.retry.first, cap: tenant.retry.max },
            share_percent: tenant.retry.share_percent as usize,
            at_least_per_minute: tenant.retry.at_least_per_minute as usize,
        },
        rules: Arc::new(compiled),
        rule_texts: rules.iter().filter_map(RuleText::of).collect(),
        base_rules: rules.into(),
        capabilities: capabilities(tenant),
        trial_span: Duration::from_secs(u64::from(automation.trial_days) * 24 * 3600),
        decide: DecideSettings {
            stale_after: interval * automation.stale_intervals,
            changes_per_hour: automation.max_changes_per_agent_hour as usize,
            left_alone_for: automation.leave_alone,
            unscheduled_forbids: tenant.policy.unscheduled_forbids,
            adherence: tenant.adherence.clone(),
            ..DecideSettings::default()
        },
        series: tenant.series.clone().into(),
    })
}

/// What the tenant's platform can be asked for, as far as it is known before it is asked.
fn capabilities(tenant: &Tenant) -> Capabilities {
    match tenant.dialect {
        Dialect::Guide => {
            let settable: Vec<AgentState> =
                AgentState::KNOWN.into_iter().filter(|state| tenant.states.platform_name(state).is_some()).collect();
            Capabilities { settable: StateSet::of(&settable), can_log_out: false }
        }
    }
}

/// The adapter of a tenant's platform.
pub fn platform_of(tenant: &Tenant, clock: SharedClock) -> Result<Arc<dyn Platform>, SettingsError> {
    platform_over(None, tenant, clock)
}

/// The same over `transport` in place of sockets, where there is one.
pub(super) fn platform_over(
    transport: Option<Arc<dyn Transport>>,
    tenant: &Tenant,
    clock: SharedClock,
) -> Result<Arc<dyn Platform>, SettingsError> {
    let style = match tenant.token.style {
        ConfiguredStyle::Body => TokenStyle::Body,
        ConfiguredStyle::Basic => TokenStyle::Basic,
        ConfiguredStyle::Legacy => TokenStyle::Legacy,
    };
    let usual = GuideSettings::new(tenant.base_url.clone(), style, &tenant.client_id, tenant.client_secret.clone());
    let settings = GuideSettings {
        token_path: Some(tenant.token.path.clone()),
        scope: tenant.token.scope.clone().unwrap_or_else(|| usual_scope(tenant)),
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
            ServiceLevelUnit::Share => ShareUnit::OfOne,
        },
        ..usual
    };
    let guide = Guide::over(transport, settings, clock.clone())
        .map_err(|source| SettingsError::Client { tenant: tenant.id.to_string(), source })?;
    let live: Arc<dyn Platform> = Arc::new(guide);
    Ok(match tenant.mode {
        Mode::Live => live,
        Mode::DryRun => Arc::new(DryRun::new(live, clock)),
    })
}

/// The scopes that the tenant's settings make use of. A client without the right to queue figures or analytics would get no token
/// at all if it asked for that scope.
fn usual_scope(tenant: &Tenant) -> String {
    let queues = (!tenant.queues.is_empty()).then_some(REPORTING_SCOPE);
    let analytics = (!tenant.analytics.is_empty()).then_some(ANALYTICS_SCOPES);
    [Some(DEFAULT_SCOPE), queues, analytics].into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// Who may use the HTTP face by the configuration alone.
pub(super) fn access(server: &Server) -> Tokens {
    let scope = |scope: &TenantScope| match scope {
        TenantScope::All => None,
        TenantScope::Only(tenants) => Some(tenants.clone()),
    };
    let tokens = server.tokens.iter().map(|token| Access {
        id: token.id.as_str().into(),
        token: token.token.clone(),
        tenants: scope(&token.tenants),
        rights: token.may.clone(),
    });
    Tokens::new(tokens.collect()).behind(proxy(server))
}

fn proxy(server: &Server) -> Proxy {
    let header = |name: &Option<String>| name.as_ref().and_then(|name| name.parse().ok());
    let proxy = &server.proxy;
    let roles = proxy.roles.iter().map(|role| GroupRole {
        group: role.group.clone(),
        role: role.role,
        reach: role.reach.clone(),
    });
    Proxy {
        peers: proxy.peers.clone(),
        user: header(&proxy.user_header),
        groups: header(&proxy.groups_header),
        separator: proxy.groups_separator,
        roles: roles.collect(),
    }
}

/// The ids that nobody else may have.
pub(super) fn taken_ids(server: &Server) -> Arc<[Arc<str>]> {
    server.tokens.iter().map(|token| Arc::from(token.id.as_str())).collect()
}

/// How long sign-ins last.
pub(super) fn session_limits(server: &Server) -> SessionLimits {
    SessionLimits { idle: server.sessions.idle, longest: server.sessions.longest }
}
