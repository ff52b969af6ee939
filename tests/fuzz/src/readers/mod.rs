//! Everything of the product that reads bytes from outside, each reader with what must hold whatever the bytes are.
//!
//! The fuzzer (`tests/fuzz/run`) and the usual tests (`tests/it/fuzz_seeds.rs`, with the seeds alone) feed the same functions. A
//! function that returns has found nothing; a panic is a finding.

pub mod answers;
pub mod audit;
pub mod config;
pub mod cron;
pub mod feed;
pub mod imports;
pub mod rules;
pub mod signatures;
pub mod snapshots;
pub mod tokens;
pub mod webhooks;
pub mod wire;

/// The name of a target's folder of seeds and of its program, and what reads the bytes.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [Target; 11] = [
    ("answers", answers::read),
    ("audit", audit::read),
    ("config", config::read),
    ("cron", cron::read),
    ("feed", feed::read),
    ("imports", imports::read),
    ("rules", rules::read),
    ("signatures", signatures::read),
    ("snapshots", snapshots::read),
    ("tokens", tokens::read),
    ("webhooks", webhooks::read),
];
