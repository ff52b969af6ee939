//! The options of a simulator.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::faults::FaultSpec;
use super::incontact::trap::Trap;

/// The content of a schedule file.
#[derive(Clone, Debug)]
pub struct ScheduleFile {
    /// The file's name, for messages.
    pub name: String,
    /// The file's bytes.
    pub bytes: Vec<u8>,
}

/// The kind of ids that agents have.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum AgentIds {
    /// Text, as in the vendor's guides.
    #[default]
    Text,
    /// Numbers, as in the published services.
    Numbers,
}

/// The options of a simulator. Durations are in the simulator's time.
#[derive(Clone, Debug)]
pub struct SimOptions {
    /// The address to listen on; loopback only. Port 0 takes a free port and keeps it over restarts.
    pub listen: SocketAddr,
    /// The number of agents of each tenant, at least [`super::FEWEST_AGENTS`].
    pub agents: usize,
    /// The number of tenants: `acme`, `bravo`, `charlie`, …
    pub tenants: usize,
    /// A file with the shifts, instead of made-up ones.
    pub schedule: Option<ScheduleFile>,
    /// The kind of ids of agents that no schedule file names.
    pub agent_ids: AgentIds,
    /// The seed of names, secrets, shifts and behaviour.
    pub seed: u64,
    /// The budget of each tenant for schedule, break, state and subscribe calls, per minute.
    pub requests_per_minute: u32,
    /// The budget of each tenant for figures of skills and queues, the list of queues and aggregation queries, per
    /// minute.
    pub reporting_per_minute: u32,
    /// The number of skills of each tenant, each with a queue; from [`super::FEWEST_SKILLS`] to
    /// [`super::MOST_SKILLS`].
    pub skills: usize,
    /// The names of the first skills in every tenant; the others get made-up names.
    pub skill_names: Vec<String>,
    /// How long a token is valid.
    pub token_lifetime: Duration,
    /// How long a subscription lives from its creation.
    pub subscription_lifetime: Duration,
    /// The shortest interval of a subscription.
    pub min_interval: Duration,
    /// How long an aggregation query takes.
    pub analytics_duration: Duration,
    /// The faults that are active from the start.
    pub faults: Vec<FaultSpec>,
    /// What the published services do differently from their documents.
    pub traps: Vec<Trap>,
    /// Whether agents act of their own accord.
    pub autonomous_agents: bool,
    /// The share of changes by the API that an agent reverts after a while, from 0 to 1.
    pub reversal_share: f64,
    /// Whether the last two agents are kept in a mandatory break and out of every shift, whatever the schedule says.
    pub special_users: bool,
    /// How long the break user's mandatory break lasts; `None` for ever.
    pub break_duration: Option<Duration>,
}

impl Default for SimOptions {
    /// Returns 300 autonomous agents of one tenant on a free loopback port, with the limits of the guides.
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            agents: 300,
            tenants: 1,
            schedule: None,
            agent_ids: AgentIds::Text,
            seed: 1,
            requests_per_minute: 100,
            reporting_per_minute: 10,
            skills: 5,
            skill_names: Vec::new(),
            token_lifetime: Duration::from_secs(3600),
            subscription_lifetime: Duration::from_secs(24 * 3600),
            min_interval: Duration::from_secs(10),
            analytics_duration: Duration::from_secs(4),
            faults: Vec::new(),
            traps: Vec::new(),
            autonomous_agents: true,
            reversal_share: 0.02,
            special_users: true,
            break_duration: None,
        }
    }
}
