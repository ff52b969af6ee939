//! Shiftkeeper keeps a contact centre's agents in the state that their shifts, breaks and rules call for, and can prove
//! afterwards what it did and why.
//!
//! This is the map. What each room may import is checked by `tests/architecture.rs`; the reasons stand in
//! `docs/architecture.md`.
//!
//! | room | holds | may import |
//! |---|---|---|
//! | [`domain`] | the words and laws, pure | nothing of ours |
//! | [`clock`] | instants, sleeps, randomness | domain's instant type |
//! | `config` | the configuration, validated whole | domain |
//! | `platform` | the trait, budget, token, retry, breaker, the adapters | domain, clock |
//! | `store` | all SQL | domain, clock |
//! | `report` | figures and their writers | domain, store |
//! | `engine` | the workers | domain, clock, platform, store |
//! | `http` | the API | domain, clock, store, report, engine |
//! | `sim` | the stand-in platform | domain's ids, clock |
//! | `app`, `cli` | putting it together | all |

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
