//! Confirmation by the person at the terminal, before something that cannot be undone.

use std::io::IsTerminal as _;

use anyhow::Context as _;

use super::messages::print_message;
use super::scope::usage_error;

/// Prints what will happen and reads a line, which must be `expected`. `otherwise` is the error after any other line.
pub fn require_typed(announcement: String, expected: &str, otherwise: &str) -> anyhow::Result<()> {
    if !std::io::stdin().is_terminal() {
        return Err(usage_error("cannot ask for confirmation: use --yes".to_owned()));
    }
    print_message(announcement);
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).context("standard input cannot be read")?;
    if line.trim() == expected { Ok(()) } else { Err(usage_error(otherwise.to_owned())) }
}
