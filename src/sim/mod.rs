//! The platform simulator: a small contact centre behind HTTP that speaks the guides' API, with its rules, limits and
//! errors, and with faults on demand. It is seeded, holds several tenants and runs at any speed; it serves the demo,
//! the tests, and trying out rules.
//!
//! It must not use the platform adapter, nor the adapter use it: both are written from the guides independently, so
//! that one mistake cannot hide behind the same mistake on the other side.
//!
//! | file | content |
//! |---|---|
//! | `world`, `agent`, `calendar` | agents living through their shifts; pure |
//! | `contacts`, `figures` | waiting contacts and the figures of skills and queues; pure |
//! | `analytics` | aggregation queries and their rows; pure |
//! | `roster`, `shifts` | who the agents are and when they work: made up, or from a file |
//! | `platform_state`, `rules` | tenants, and the platform's answers |
//! | `tokens`, `window`, `subscriptions` | the state behind the rules |
//! | `feed`, `feed_message` | open live feeds, their messages and events |
//! | `incontact` | the published services, which share agents and figures with the guides' |
//! | `faults`, `journal` | what goes wrong, and the log of everything |
//! | `wire`, `server` | bodies, paths, and faults on the wire |
//! | `receiver` | a webhook receiver that checks what it gets |
//! | `simulator`, `accept` | the socket and the tasks |

mod accept;
mod agent;
mod analytics;
mod calendar;
mod call;
mod contacts;
mod faults;
mod feed;
mod feed_message;
mod figures;
mod incontact;
mod journal;
mod options;
mod platform_state;
mod random;
mod receiver;
mod roster;
mod rules;
mod server;
mod shifts;
mod simulator;
mod state;
mod subscriptions;
#[cfg(test)]
mod tests;
mod tokens;
mod window;
mod wire;
mod world;

pub use agent::ChangeCause;
pub use faults::{Endpoint, FaultError, FaultKind, FaultScope, FaultSpec};
pub use feed_message::{FeedEndReason, FeedEvent, FeedMessage};
pub use incontact::codes::CodeScript;
pub use incontact::operations::Acceptance;
pub use incontact::trap::{Trap, UnknownTrap};
pub use journal::{ChangeEntry, FeedEntry, LogPage, RequestEntry};
pub use options::{AgentIds, ScheduleFile, SimOptions};
pub use platform_state::{AgentScript, AgentView, ScriptError, TenantCounts, WorldView};
pub use receiver::{ReceivedDelivery, Receiver, ReceiverCounts, ReceiverMode, ReceiverOptions};
pub use roster::{FEWEST_AGENTS, FEWEST_SKILLS, MOST_AGENTS, MOST_SKILLS, MOST_TENANTS};
pub use server::connection::ConnectionStream;
pub use shifts::ScheduleError;
pub use simulator::{
    CodeDescription, Description, Restart, SimError, Simulator, SkillDescription, TenantDescription, VirtualPort,
};
pub use state::SimState;
