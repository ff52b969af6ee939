//! The configuration: TOML files, the environment and command-line options, read into plain structs and validated as a
//! whole.
//!
//! Every mistake is reported in one run. Later sources override earlier ones: defaults, files, environment, options.
//! This module starts nothing, connects to nothing and logs nothing. A diagnostic never contains a value, since the
//! value may be a secret in the wrong place.
//!
//! There is one module per section. In `shared`, `sources` overlays the sources to a tree of values, `reader` reads keys
//! from it, and `kind` defines the types of values.

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

pub use access::server_access::{ProxyRole, ServerProxy, ServerTls, Sessions};
pub use analytics::query::AnalyticsQuery;
pub use audit::Audit;
pub use changes::policy::Policy;
pub use jobs::{JobKind, JobSettings, ReportSpan, RetentionSettings, ScheduledReport};
pub use live::figures::{FigureSettings, ServiceLevelUnit};
pub use operations::log::{Log, LogFormat, LogLevel};
pub use operations::server::{ApiToken, Client, MetricsAccess, Server, TenantScope};
pub use operations::store::Store;
pub use operations::tenant::{Dialect, Mode, Tenant, TokenSettings, TokenStyle};
pub use operations::time::ClockSettings;
pub use platform::feed::Feed;
pub use platform::incontact::{Incontact, TokenKind};
pub use platform::retry::Retry;
pub use platform::subscription::Subscription;
pub use reports::Reports;
pub use rules::automation::{Automation, Enforce};
pub use schedules::source::{FOLDER_SOURCE, ScheduleUrl};
pub use shared::diagnostic::{ConfigError, Diagnostic, DiagnosticSubject, Origin};
pub use shared::environment::{Environment, Flag};
pub use shared::kind::{is_id, is_loopback};
pub use shared::settings::{ChangeEffect, Setting, SettingChange, SettingChanges, SettingValue, Settings};
pub use shared::sources::ConfigText;
pub use webhooks::Webhook;

pub use crate::domain::access::rights::Right;

use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use self::shared::diagnostic::ValueFault;
use self::shared::document;
use self::shared::environment::Overlay;
use self::shared::reader::{DescribedKey, ReadResults, Section};
use self::shared::sources::{Sources, keep_certain_diagnostics};
use crate::domain::access::rights::Scope;
use crate::domain::access::secret::Secret;
use crate::domain::ids::{RuleId, TenantId};
use crate::domain::rules::rule::{Mode as RuleMode, Rule};
use crate::domain::schedules::import::ImportOptions;

/// The whole configuration, valid as a whole.
#[derive(Clone, Debug)]
pub struct Config {
    /// The HTTP server.
    pub server: Server,
    /// How the command line reaches the daemon.
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
    /// The rules, in the order in which they are tried within a class. [`Config::rules_for`] adapts them to a tenant.
    pub rules: Vec<Rule>,
    /// The webhook endpoints.
    pub webhooks: Vec<Webhook>,
    /// The scheduled jobs.
    pub jobs: Vec<JobSettings>,
    /// How long data is kept.
    pub retention: RetentionSettings,
    /// Where report files go and how long they are kept.
    pub reports: Reports,
}

/// A valid configuration.
#[derive(Clone, Debug)]
pub struct LoadedConfig {
    /// The configuration.
    pub config: Config,
    /// Every key with its value and origin.
    pub settings: Settings,
    /// Warnings of what is allowed but probably not intended, as `FILE:LINE:COL: key: problem`.
    pub warnings: Vec<String>,
}

impl Config {
    /// Loads the files, each overriding the ones before, then the environment, then the options. Returns every mistake
    /// in them.
    pub fn load(files: &[PathBuf], environment: &Environment, flags: &[Flag]) -> Result<LoadedConfig, ConfigError> {
        Self::load_texts(&ConfigText::read_all(files)?, environment, flags)
    }

    /// As [`Config::load`], from texts that need not be files.
    pub fn load_texts(
        texts: &[ConfigText],
        environment: &Environment,
        flags: &[Flag],
    ) -> Result<LoadedConfig, ConfigError> {
        let mut sources = Sources::empty();
        let mut results = ReadResults::new(environment);
        for ConfigText { file, text } in texts {
            let (root, diagnostics) = sources.parse(file, text);
            results.diagnostics.extend(diagnostics);
            sources.root.overlay(root);
        }
        let overlays = environment.overlay().into_iter().chain(flags.iter().map(Flag::overlay));
        // The list of rules files must be known before a variable can change their rules.
        let (files, rest): (Vec<_>, Vec<_>) = overlays.partition(Overlay::names_rules_files);
        sources.apply(files, &mut results.diagnostics);
        rules::include_files(&mut sources, &mut results);
        sources.apply(rest, &mut results.diagnostics);
        let Sources { root, broken_lines } = sources;
        let syntax_errors = results.diagnostics.len();
        let mut section = Section::root(root, &mut results);
        let config = Self::read(&mut section);
        section.finish();
        let ReadResults { mut diagnostics, warnings, settings, .. } = results;
        if !broken_lines.is_empty() {
            keep_certain_diagnostics(&mut diagnostics, syntax_errors, &broken_lines);
        }
        if diagnostics.is_empty() {
            Ok(LoadedConfig { config, settings, warnings })
        } else {
            Err(ConfigError::new(diagnostics))
        }
    }

    /// Returns the tenant with this id.
    pub fn tenant(&self, id: &TenantId) -> Option<&Tenant> {
        self.tenants.iter().find(|tenant| tenant.id == *id)
    }

    /// Returns this configuration with every setting of `newer` that needs no restart, which is the configuration in
    /// effect after a reload.
    #[must_use]
    pub fn with_reloadable_from(&self, newer: &Self) -> Self {
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

    /// Returns the URL under which the command line reaches the daemon: `client.url`, or else `server.listen` on this
    /// machine. `None` if the daemon chooses the port.
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

    /// Returns the token that the command line uses: `client.token`, or else the first of `server.tokens` that has the
    /// right, and for `tenant` if there is one. Tokens that this process can read come first.
    pub fn client_token(&self, right: Right, tenant: Option<&TenantId>) -> Option<&Secret> {
        let reaches = |token: &ApiToken| tenant.is_none_or(|tenant| token.tenants.contains(tenant));
        let fits = |token: &&ApiToken| token.rights.contains(&right) && reaches(token);
        let fitting = self.server.tokens.iter().filter(fits).map(|token| &token.token);
        self.client.token.as_ref().or_else(|| fitting.min_by_key(|token| token.is_stored_elsewhere()))
    }

    /// Returns the rules as they apply to a tenant.
    ///
    /// Rules that its `automation.enforce` names enforce instead of monitoring. Rules that do not say what to do with
    /// an agent on a contact follow the tenant's policy.
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
        config.check_enforced_rules(section);
        config.check_clock(section);
        config.check_tenants(section);
        config.check_profiles(section);
        config
    }

    /// Reports import profiles that tenants name and that do not exist.
    fn check_profiles(&self, section: &mut Section<'_, '_>) {
        let profiles = &self.import.profiles;
        let named = self.tenants.iter().flat_map(|tenant| {
            let folder = (format!("tenants[{}].schedule_profile", tenant.id), &tenant.schedule_profile);
            let path = |id| format!("tenants[{}].schedule_sources[{id}].profile", tenant.id);
            let sources = tenant.schedule_sources.iter().map(move |source| (path(&source.id), &source.profile));
            std::iter::once(folder).chain(sources)
        });
        for (path, name) in named {
            let Some(name) = name.as_ref().filter(|name| !profiles.contains_key(*name)) else { continue };
            let fault = ValueFault::new("names an import profile that does not exist")
                .with_suggestion("add it as [import.profiles.NAME]")
                .with_closest(name, profiles.keys().map(String::as_str));
            section.add_diagnostic_at_value(&path, fault);
        }
    }

    /// Returns whether simulated time is configured together with a URL that is not loopback. A real platform would
    /// misread simulated instants, and its budget would be exceeded.
    pub fn mixes_real_and_simulated_time(&self) -> bool {
        let urls = self.tenants.iter().map(|tenant| &tenant.base_url).chain(self.webhooks.iter().map(|hook| &hook.url));
        let feeds = self.tenants.iter().filter_map(|tenant| tenant.feed.base_url.as_ref());
        let schedules = self.tenants.iter().flat_map(|tenant| tenant.schedule_sources.iter().map(|source| &source.url));
        let mut urls = urls.chain(&self.client.url).chain(feeds).chain(schedules);
        self.clock.is_simulated() && urls.any(|url| !is_loopback(url))
    }

    fn check_clock(&self, section: &mut Section<'_, '_>) {
        if self.mixes_real_and_simulated_time() {
            for key in ["clock.speed", "clock.start"] {
                let fault = ValueFault::new("simulated time needs every URL to be loopback");
                let suggestion = "remove it, or point base_url at the simulator";
                section.add_diagnostic_at_value(key, fault.with_suggestion(suggestion));
            }
        }
    }

    fn check_enforced_rules(&self, section: &mut Section<'_, '_>) {
        for tenant in &self.tenants {
            let Enforce::Only(enforced) = &tenant.automation.enforce else { continue };
            let known = |id: &RuleId| self.rules.iter().any(|rule| rule.id == *id);
            for id in enforced.iter().filter(|id| !known(id)) {
                let fault = ValueFault::new("names a rule that does not exist")
                    .with_closest(id.as_str(), self.rules.iter().map(|rule| rule.id.as_str()));
                section.add_diagnostic_at_value(&format!("tenants[{}].automation.enforce", tenant.id), fault);
            }
        }
    }

    /// Checks the tenants that tokens, proxies' roles and webhooks name.
    fn check_tenants(&self, section: &mut Section<'_, '_>) {
        let is_unknown = |id: &TenantId| self.tenant(id).is_none();
        let mut check = |list: String, has_unknown: bool| {
            if has_unknown {
                let known = self.tenants.iter().map(|tenant| tenant.id.as_str()).collect::<Vec<_>>().join(", ");
                let fault = ValueFault::new("names a tenant that is not configured");
                section.add_diagnostic_at_value(&list, fault.with_suggestion(format!("configured: {known}")));
            }
        };
        for token in &self.server.tokens {
            if let TenantScope::Only(tenants) = &token.tenants {
                check(format!("server.tokens[{}].tenants", token.id), tenants.iter().any(is_unknown));
            }
        }
        for role in &self.server.proxy.roles {
            if let Scope::Only(tenants) = &role.scope {
                check(format!("server.proxy.roles[{}].tenants", role.id), tenants.keys().any(is_unknown));
            }
        }
        for webhook in &self.webhooks {
            check(format!("webhooks[{}].tenants", webhook.id), webhook.tenants.iter().any(is_unknown));
        }
    }
}

/// Returns the text of `docs/configuration.md`.
pub fn reference() -> String {
    document::reference(&described_keys())
}

/// Returns every key of the configuration.
fn described_keys() -> Vec<DescribedKey> {
    document::described_keys(|section| {
        Config::read(section);
    })
}
