//! Shiftkeeper keeps a contact centre's agents in the state that their shifts, breaks and rules call for, and can prove
//! afterwards what it did and why.
//!
//! Each module may import only the modules listed in the last column, and no files import each other in a circle, as
//! checked by `tests/architecture`. The reasons are in `docs/architecture.md`.
//!
//! | module | contents | may import |
//! |---|---|---|
//! | [`domain`] | types and rules of the domain, without I/O | no other module |
//! | [`clock`] | instants, sleeps, randomness | domain's instant type |
//! | `config` | the configuration and its validation | domain |
//! | `platform` | the platform trait, budget, token, retry, breaker, the adapters | domain, clock |
//! | `store` | all SQL | domain, clock |
//! | `report` | figures and their writers | domain, store |
//! | `engine` | the workers | domain, clock, platform, store |
//! | `http` | the API | domain, clock, store, report, engine |
//! | `sim` | the simulated platform | domain's ids, clock |
//! | `app`, `cli` | start-up and commands | all |

pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod domain;
pub mod engine;
pub mod http;
pub mod platform;
pub mod report;
pub mod sim;
pub mod store;
