//! `shiftkeeper webhooks`: the endpoints that are told what happens.

mod rotate;

use std::process::ExitCode;

/// What to do about webhooks.
#[derive(clap::Subcommand, Debug)]
pub enum WebhooksCommand {
    /// Give an endpoint a new signing key; the old one signs beside it for 24 hours.
    Rotate(rotate::RotateArgs),
}

/// Does it.
pub async fn run(command: WebhooksCommand) -> anyhow::Result<ExitCode> {
    match command {
        WebhooksCommand::Rotate(args) => rotate::run(args).await,
    }
}
