//! A whole daemon in one seed: the real workers, store and adapter against the simulator's rules, under simulated time, with
//! everything that can go wrong drawn from the seed. See `docs/testing.md`.

#![expect(clippy::expect_used, reason = "a world that cannot be built is a failed test")]

mod daemon;
mod disk;
mod environment;
mod failure_report;
mod host;
mod laws;
mod network;
mod people;
mod plan;
mod planted_faults;
mod runtime;
mod search;
mod simulation;
