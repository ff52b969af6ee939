//! `shiftkeeper webhooks`: the endpoints that are told what happens. Looking reads the store; the rest is asked of the daemon.

mod ask;
mod events;
mod look;
mod rotate;

use std::process::ExitCode;

pub(super) use look::serves;

/// What to do about webhooks.
#[derive(clap::Subcommand, Debug)]
pub enum WebhooksCommand {
    /// How every endpoint is, and what waits.
    List(look::ListArgs),
    /// The deliveries of one endpoint, or one of them with its attempts.
    Show(look::ShowArgs),
    /// What events there are: their fields, and an example of each.
    Events(events::EventsArgs),
    /// Send one event again.
    Retry(ask::RetryArgs),
    /// Try again what was given up, and enable an endpoint that was disabled.
    Recover(ask::RecoverArgs),
    /// Send a test event to one endpoint and say how that ended.
    Test(ask::TestArgs),
    /// Give an endpoint a new signing key; the old one signs beside it for 24 hours.
    Rotate(rotate::RotateArgs),
}

/// Does it.
pub async fn run(command: WebhooksCommand) -> anyhow::Result<ExitCode> {
    match command {
        WebhooksCommand::List(args) => look::list(args).await,
        WebhooksCommand::Show(args) => look::show(args).await,
        WebhooksCommand::Events(args) => events::run(&args),
        WebhooksCommand::Retry(args) => ask::retry(args).await,
        WebhooksCommand::Recover(args) => ask::recover(args).await,
        WebhooksCommand::Test(args) => ask::test(args).await,
        WebhooksCommand::Rotate(args) => rotate::run(args).await,
    }
}
