//! What a world is made of, and the usual ones.

use std::time::Duration;

use shiftkeeper::sim::SimOptions;

use super::{Binary, agent_ids, schedule};

/// The dialect that the daemon and the platform speak.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dialect {
    Guide,
    Incontact,
}

impl Dialect {
    /// The keys of a tenant of this dialect.
    pub(super) const fn keys(self) -> &'static str {
        match self {
            Self::Guide => "",
            Self::Incontact => "dialect = \"incontact\"",
        }
    }

    /// The tables of a tenant of this dialect. Agents are those of the scenario, as with the guides.
    pub(super) const fn tables(self) -> &'static str {
        match self {
            Self::Guide => "",
            Self::Incontact => {
                "[tenants.incontact]\nroster = false\ncodes = { NotReady = 11, Paused = 12, Idle = 13 }\n"
            }
        }
    }
}

/// Makes a test for each dialect of functions that run a scenario on one.
macro_rules! on_both_dialects {
    ($($scenario:ident),+ $(,)?) => {
        $(mod $scenario {
            #[tokio::test(flavor = "multi_thread")]
            async fn guide() {
                super::$scenario(crate::harness::Dialect::Guide).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn incontact() {
                super::$scenario(crate::harness::Dialect::Incontact).await;
            }
        })+
    };
}
pub(crate) use on_both_dialects;

/// What a world is made of.
#[derive(Clone)]
pub struct Setup {
    /// The dialect of all tenants.
    pub dialect: Dialect,
    /// How many times faster than real time.
    pub speed: u32,
    /// The platform.
    pub sim: SimOptions,
    /// Whether the tenants' own lists name every agent of the simulator.
    pub lists_all_agents: bool,
    /// Agents that the lists leave out all the same.
    pub unlisted: &'static [&'static str],
    /// A schedule for the platform and, by [`Scenario::import`], for the daemon.
    pub schedule: Option<String>,
    /// How long the platform may take to answer, in real time.
    pub request_timeout: Duration,
    /// Tenants of the simulator that the configuration leaves out.
    pub unconfigured_tenants: &'static [&'static str],
    /// More keys of every `[[tenants]]`.
    pub tenant_keys: &'static str,
    /// More keys of single ones.
    pub keys_by_tenant: &'static [(&'static str, &'static str)],
    /// More tables of every tenant.
    pub tenant_tables: &'static str,
    /// The port that the daemon listens on; any that is free without one.
    pub listen_port: Option<u16>,
    /// What the token [`super::VIEWER`] may do.
    pub viewer_may: &'static str,
    /// The rules.
    pub rules: &'static str,
    /// The daemon as a process of its own.
    pub binary: Option<Binary>,
    /// `[[webhooks]]`, signed with [`HOOK_KEY`] from the environment's `HOOK`.
    pub webhooks: String,
}

impl Default for Setup {
    /// Eight agents who do nothing by themselves, a hundred times as fast, no rules.
    fn default() -> Self {
        Self {
            dialect: Dialect::Guide,
            speed: 100,
            sim: SimOptions { agents: 8, autonomous_agents: false, reversal_share: 0.0, ..SimOptions::default() },
            lists_all_agents: true,
            unlisted: &[],
            schedule: None,
            request_timeout: Duration::from_secs(1),
            unconfigured_tenants: &[],
            tenant_keys: "",
            keys_by_tenant: &[],
            tenant_tables: "[tenants.policy]\nwait_at_most = \"12h\"\nanswers_kept = \"1m\"\n\
                            [tenants.automation]\nstale_intervals = 30\n",
            listen_port: None,
            viewer_may: "read",
            rules: "",
            binary: None,
            webhooks: String::new(),
        }
    }
}

impl Setup {
    /// This number of agents, all on shift the whole day, by a schedule that the platform has.
    pub fn team(count: usize) -> Self {
        let usual = Self::default();
        Self {
            sim: SimOptions { agents: count, special_users: false, ..usual.sim },
            schedule: Some(schedule(agent_ids(count), &[])),
            ..usual
        }
    }

    /// The same world on a dialect.
    pub fn on(self, dialect: Dialect) -> Self {
        Self { dialect, ..self }
    }
}
