//! The configuration: TOML files, the environment and command-line options, read into plain structs and validated whole, with
//! every mistake found in one run. Defaults < files < environment < options. It starts nothing, connects to nothing and logs
//! nothing; a complaint never holds a value, since the value may be a secret in the wrong place.
//!
//! One module per section. In `shared`, `tree` holds what the sources say, `reader` asks it for keys, `kind` knows what keys take.

mod access;
mod adherence;
mod analytics;
mod audit;
mod changes;
mod jobs;
mod live;
mod operations;
mod platform;
mod reports;
mod rules;
mod schedules;
mod shared;
#[cfg(test)]
mod tests;
mod webhooks;

pub use access::doorway::{ProxyRole, ServerProxy, ServerTls, Sessions};
pub use analytics::AnalyticsQuery;
pub use audit::Audit;
pub use changes::policy::Policy;
pub use jobs::{JobKind, JobSettings, ReportOrder, ReportSpan, RetentionSettings};
pub use live::figures::{FigureReads, ServiceLevelUnit};
pub use operations::log::{Log, LogFormat, LogLevel};
pub use operations::server::{ApiToken, Client, MetricsAccess, Server, TenantScope};
pub use operations::store::Store;
pub use operations::tenant::{Dialect, Mode, Tenant, TokenSettings, TokenStyle};
pub use operations::time::ClockSettings;
pub use platform::feed::Feed;
pub use platform::retry::Retry;
pub use platform::subscription::Subscription;
pub use reports::Reports;
pub use rules::automation::{Automation, Enforce};
pub use shared::complaint::{Complaint, Concern, ConfigRefused, Origin};
pub use shared::document::reference;
pub use shared::environment::{Environment, Flag};
pub use shared::load::{ConfigText, Loaded};
pub use shared::settings::{Change, ChangedKey, Changes, Setting, Settings, Shown};
pub use webhooks::Webhook;

pub use crate::domain::access::rights::Right;

use std::net::{Ipv4Addr, Ipv6Addr};

use self::shared::complaint::Fault;
use self::shared::reader::Section;
use self::webhooks::is_loopback;
use crate::domain::access::rights::Reach;
use crate::domain::access::secret::Secret;
use crate::domain::ids::{RuleId, TenantId};
use crate::domain::rules::rule::{Mode as RuleMode, Rule};
use crate::domain::schedules::import::ImportOptions;
use crate::domain::words::nearest;

/// The whole configuration, valid as a whole.
#[derive(Clone, Debug)]
pub struct Config {
    /// The HTTP face.
    pub server: Server,
    /// How the command line reaches it.
    pub client: Client,
    /// The daemon's clock.
    pub clock: ClockSettings,
    /// The database.
    pub store: Store,
    /// The signed heads of the audit chain.
    pub audit: Audit,
    /// The log.
    pub log: Log,
    /// How shift files are read.
    pub import: ImportOptions,
    /// The tenants, in file order.
    pub tenants: Vec<Tenant>,
    /// The rules, in the order in which they are tried within a class; [`Config::rules_for`] has them as a tenant wants them.
    pub rules: Vec<Rule>,
    /// The endpoints that are told what happens.
    pub webhooks: Vec<Webhook>,
    /// What the calendar asks for.
    pub jobs: Vec<JobSettings>,
    /// How long things are kept.
    pub retention: RetentionSettings,
    /// The files of reports.
    pub reports: Reports,
}

impl Config {
    /// One tenant.
    pub fn tenant(&self, id: &TenantId) -> Option<&Tenant> {
        self.tenants.iter().find(|tenant| tenant.id == *id)
    }

    /// This configuration with everything of `newer` that needs no restart: what the daemon has in force after a reload.
    #[must_use]
    pub fn reloaded(&self, newer: &Self) -> Self {
        let mut config = self.clone();
        config.server.tokens.clone_from(&newer.server.tokens);
        config.server.proxy.clone_from(&newer.server.proxy);
        config.server.sessions = newer.server.sessions;
        config.client = newer.client.clone();
        config.log.level = newer.log.level;
        config.import = newer.import.clone();
        config.rules.clone_from(&newer.rules);
        config.webhooks.clone_from(&newer.webhooks);
        config.tenants.clone_from(&newer.tenants);
        config.jobs.clone_from(&newer.jobs);
        config.retention = newer.retention;
        config
    }

    /// Where the command line finds the daemon: `client.url`, else `server.listen` on this machine; `None` where the port is left to
    /// the daemon.
    pub fn client_url(&self) -> Option<String> {
        if let Some(url) = &self.client.url {
            return Some(url.as_str().trim_end_matches('/').to_owned());
        }
        let mut address = self.server.listen;
        if address.ip().is_unspecified() {
            address.set_ip(if address.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
        }
        (address.port() != 0).then(|| format!("{}://{address}", self.server.scheme()))
    }

    /// The token of the command line: `client.token`, else the first of `server.tokens` that has the right, at the tenant where it is
    /// about one; those that can be read here first.
    pub fn client_token(&self, right: Right, tenant: Option<&TenantId>) -> Option<&Secret> {
        let reaches = |token: &ApiToken| tenant.is_none_or(|tenant| token.tenants.contains(tenant));
        let fits = |token: &&ApiToken| token.may.contains(&right) && reaches(token);
        let fitting = self.server.tokens.iter().filter(fits).map(|token| &token.token);
        self.client.token.as_ref().or_else(|| fitting.min_by_key(|token| token.is_elsewhere()))
    }

    /// The rules as they are for a tenant: those that its `automation.enforce` names act instead of watching, and those that do
    /// not say what to do with an agent on a contact do as its policy says.
    pub fn rules_for(&self, tenant: &Tenant) -> Vec<Rule> {
        let mut rules = self.rules.clone();
        for rule in &mut rules {
            if rule.mode == RuleMode::Watch && tenant.automation.enforce.contains(&rule.id) {
                rule.mode = RuleMode::Enforce;
            }
            if rule.then.set_state.is_some() || rule.then.log_out.is_some() {
                rule.then.on_contact.get_or_insert(tenant.policy.on_contact);
            }
        }
        rules
    }

    fn read(section: &mut Section<'_, '_>) -> Self {
        let server = section.table("server", Server::read);
        let client = section.table("client", Client::read);
        let clock = section.table("clock", ClockSettings::read);
        let store = section.table("store", Store::read);
        let audit = section.table("audit", Audit::read);
        let log = section.table("log", Log::read);
        let import = section.table("import", schedules::import::read);
        let tenants = section.tables("tenants", Tenant::read);
        let rules = rules::read(section, &tenants);
        let webhooks = section.tables("webhooks", Webhook::read);
        let jobs = jobs::read(section, &tenants);
        let retention = section.table("retention", RetentionSettings::read);
        let reports = section.table("reports", Reports::read);
        let config = Self {
            server,
            client,
            clock,
            store,
            audit,
            log,
            import,
            tenants,
            rules,
            webhooks,
            jobs,
            retention,
            reports,
        };
        config.check_enforced(section);
        config.check_clock(section);
        config.check_token_tenants(section);
        config.check_proxy_tenants(section);
        config.check_webhook_tenants(section);
        config
    }

    /// Simulated time beside a real platform, which would read its instants wrong and overrun its budget.
    pub fn mixes_times(&self) -> bool {
        let urls = self.tenants.iter().map(|tenant| &tenant.base_url).chain(self.webhooks.iter().map(|hook| &hook.url));
        let feeds = self.tenants.iter().filter_map(|tenant| tenant.feed.base_url.as_ref());
        self.clock.is_simulated() && urls.chain(&self.client.url).chain(feeds).any(|url| !is_loopback(url))
    }

    fn check_clock(&self, section: &mut Section<'_, '_>) {
        if self.mixes_times() {
            for key in ["clock.speed", "clock.start"] {
                let fault = Fault::new("simulated time needs every URL to be loopback");
                section.complain_where_set(key, fault.advise("remove it, or point base_url at the simulator"));
            }
        }
    }

    fn check_enforced(&self, section: &mut Section<'_, '_>) {
        for tenant in &self.tenants {
            let Enforce::Only(enforced) = &tenant.automation.enforce else { continue };
            let known = |id: &RuleId| self.rules.iter().any(|rule| rule.id == *id);
            for id in enforced.iter().filter(|id| !known(id)) {
                let fault = Fault::new("names a rule that does not exist");
                let near = nearest(id.as_str(), self.rules.iter().map(|rule| rule.id.as_str()));
                let fault = match near {
                    Some(near) => fault.advise(format!("did you mean \"{near}\"?")),
                    None => fault,
                };
                section.complain_where_set(&format!("tenants[{}].automation.enforce", tenant.id), fault);
            }
        }
    }

    fn check_webhook_tenants(&self, section: &mut Section<'_, '_>) {
        for webhook in &self.webhooks {
            if webhook.tenants.iter().any(|id| self.tenant(id).is_none()) {
                let known = self.tenants.iter().map(|tenant| tenant.id.as_str()).collect::<Vec<_>>().join(", ");
                let fault = Fault::new("names a tenant that is not configured").advise(format!("configured: {known}"));
                section.complain_where_set(&format!("webhooks[{}].tenants", webhook.id), fault);
            }
        }
    }

    fn check_proxy_tenants(&self, section: &mut Section<'_, '_>) {
        for role in &self.server.proxy.roles {
            let Reach::Only(tenants) = &role.reach else { continue };
            if tenants.keys().any(|id| self.tenant(id).is_none()) {
                let known = self.tenants.iter().map(|tenant| tenant.id.as_str()).collect::<Vec<_>>().join(", ");
                let fault = Fault::new("names a tenant that is not configured").advise(format!("configured: {known}"));
                section.complain_where_set(&format!("server.proxy.roles[{}].tenants", role.id), fault);
            }
        }
    }

    fn check_token_tenants(&self, section: &mut Section<'_, '_>) {
        for token in &self.server.tokens {
            let TenantScope::Only(tenants) = &token.tenants else { continue };
            if tenants.iter().any(|id| self.tenant(id).is_none()) {
                let known = self.tenants.iter().map(|tenant| tenant.id.as_str()).collect::<Vec<_>>().join(", ");
                let fault = Fault::new("names a tenant that is not configured").advise(format!("configured: {known}"));
                section.complain_where_set(&format!("server.tokens[{}].tenants", token.id), fault);
            }
        }
    }
}
