//! Everything that is tested from outside the modules, in one binary: a folder or file per capability.

#![expect(clippy::expect_used, reason = "a test that cannot go on must fail")]

mod adherence;
mod analytics;
mod audit_forgeries;
mod command_line;
mod console;
mod deploy;
mod faults;
mod fuzz_seeds;
mod harness;
mod import_profiles;
mod jobs;
mod operations;
mod outputs;
#[cfg(feature = "parquet")]
mod parquet;
mod processes;
mod published_services;
mod reports;
mod scenarios;
mod schedule_sources;
mod service_manager;
mod signature_verifiers;
mod status;
