//! What a simulator is started with.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::faults::FaultSpec;

/// A schedule file, read.
#[derive(Clone, Debug)]
pub struct ScheduleFile {
    /// Its name, for messages.
    pub name: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// What a simulator is started with. Spans are of the simulator's clock.
#[derive(Clone, Debug)]
pub struct SimOptions {
    /// Where to listen; loopback only. Port 0 takes a free one, and keeps it over restarts.
    pub listen: SocketAddr,
    /// Agents of each tenant, at least [`super::FEWEST_AGENTS`].
    pub agents: usize,
    /// Tenants: `acme`, `bravo`, `charlie`, …
    pub tenants: usize,
    /// Shifts from a file instead of made-up ones.
    pub schedule: Option<ScheduleFile>,
    /// Decides names, secrets, shifts and lives.
    pub seed: u64,
    /// The budget of each tenant over schedule, break, state and subscribe calls.
    pub requests_per_minute: u32,
    /// The budget of each tenant over figures of skills and queues, the list of queues, and aggregation queries.
    pub reporting_per_minute: u32,
    /// Skills of each tenant, each with a queue; from [`super::FEWEST_SKILLS`] to [`super::MOST_SKILLS`].
    pub skills: usize,
    /// What the first skills are called, in every tenant; the others have made-up names.
    pub skill_names: Vec<String>,
    /// How long a token is good.
    pub token_lifetime: Duration,
    /// How long a subscription lives, from its creation.
    pub subscription_lifetime: Duration,
    /// The shortest interval that a subscription may ask for.
    pub min_interval: Duration,
    /// How long an aggregation query takes.
    pub analytics_takes: Duration,
    /// What goes wrong from the start.
    pub faults: Vec<FaultSpec>,
    /// False: nobody does anything of their own accord.
    pub lively: bool,
    /// The share of changes by the API that an agent takes back after a while, 0 to 1.
    pub reversal: f64,
    /// Whether the last two agents are kept in a mandatory break and out of every shift, whatever the schedule says.
    pub special_users: bool,
    /// How long the mandatory break of the break user lasts; for ever without it.
    pub break_lasts: Option<Duration>,
}

impl Default for SimOptions {
    /// 300 lively agents of one tenant on a free port of loopback, with the limits that the guides name.
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            agents: 300,
            tenants: 1,
            schedule: None,
            seed: 1,
            requests_per_minute: 100,
            reporting_per_minute: 10,
            skills: 5,
            skill_names: Vec::new(),
            token_lifetime: Duration::from_secs(3600),
            subscription_lifetime: Duration::from_secs(24 * 3600),
            min_interval: Duration::from_secs(10),
            analytics_takes: Duration::from_secs(4),
            faults: Vec::new(),
            lively: true,
            reversal: 0.02,
            special_users: true,
            break_lasts: None,
        }
    }
}
