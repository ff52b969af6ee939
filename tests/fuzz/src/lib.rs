//! The product's modules that read bytes from outside, by their paths, and what feeds them.

#![allow(dead_code, reason = "these modules serve the rest of the product too")]

extern crate self as shiftkeeper;

#[path = "../../../src/clock.rs"]
pub mod clock;
#[path = "../../../src/config/mod.rs"]
pub mod config;
#[path = "../../../src/domain/mod.rs"]
pub mod domain;
pub mod engine;
#[path = "../../../src/platform/mod.rs"]
pub mod platform;
pub mod readers;
