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
    /// List endpoints with their status and waiting deliveries.
    List(look::ListArgs),
    /// Show the deliveries of one endpoint, or one delivery with its attempts.
    Show(look::ShowArgs),
    /// List the event types with their fields and an example of each.
    Events(events::EventsArgs),
    /// Resend one event.
    Retry(ask::RetryArgs),
    /// Resend failed deliveries, and enable a disabled endpoint.
    Recover(ask::RecoverArgs),
    /// Send a test event to one endpoint and show the result.
    Test(ask::TestArgs),
    /// Rotate the signing key of an endpoint; the old key also signs for 24 hours.
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
