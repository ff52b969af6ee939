//! The stand-in platform: a small contact centre behind HTTP that speaks the guide dialect, with its rules, limits and errors,
//! and with faults on demand. Seeded, several tenants, at any speed; for the demo, for tests, and for trying rules at a desk.
//!
//! It must not use anything of the platform adapter, nor the adapter anything of it: both are written from the contract, so
//! that one mistake cannot hide behind the same mistake on the other side.
//!
//! | file | holds |
//! |---|---|
//! | `world`, `agent`, `calendar` | agents living through their shifts; pure |
//! | `contacts`, `figures` | what waits in which line, and what is said of it; pure |
//! | `analytics` | aggregation queries and their rows; pure |
//! | `roster`, `shifts` | who they are and when they work: made up, or from a file |
//! | `stage`, `rules` | tenants and what the platform answers |
//! | `tokens`, `window`, `subscriptions` | what the rules remember |
//! | `feed`, `news` | open live feeds, and what they say |
//! | `faults`, `journal` | what goes wrong, and the account of everything |
//! | `wire`, `face` | bodies, paths, and faults on the wire |
//! | `receiver` | a webhook receiver that judges what it gets |
//! | `simulator` | the socket and the tasks |

mod agent;
mod analytics;
mod calendar;
mod contacts;
mod dice;
mod face;
mod faults;
mod feed;
mod figures;
mod journal;
mod news;
mod options;
mod receiver;
mod roster;
mod rules;
mod shifts;
mod simulator;
mod stage;
mod state;
mod subscriptions;
#[cfg(test)]
mod tests;
mod tokens;
mod window;
mod wire;
mod world;

pub use agent::Cause;
pub use face::line::Stream;
pub use faults::{Endpoint, FaultError, FaultSpec, Kind, On};
pub use feed::{FeedEnd, FeedEvent};
pub use journal::{ChangeEntry, FeedEntry, LogPage, RequestEntry};
pub use news::News;
pub use options::{ScheduleFile, SimOptions};
pub use receiver::{Conduct, Receipt, Receiver, ReceiverCounts, ReceiverOptions};
pub use roster::{FEWEST_AGENTS, FEWEST_SKILLS, MOST_AGENTS, MOST_SKILLS, MOST_TENANTS};
pub use shifts::ScheduleError;
pub use simulator::{Description, Port, Restart, SimError, Simulator, SkillDescription, TenantDescription};
pub use stage::{AgentScript, AgentView, Counts, ScriptError, WorldView};
pub use state::SimState;
