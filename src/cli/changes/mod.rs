//! Changes of agent states: `change` and its subcommands.

pub mod change;
