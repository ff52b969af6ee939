//! `shiftkeeper healthcheck`: tells a container's health check by its exit code whether the daemon answers.

use std::process::ExitCode;
use std::time::Duration;

use crate::cli::shared::config_args::ConfigArgs;
use crate::cli::shared::daemon::DaemonClient;
use crate::cli::shared::exit::Exit;
use crate::cli::shared::messages::print_message;

/// The time limit of the answer, in real time.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);

/// Sends a request to /healthz at the configured address. The exit code is 0 if the daemon answers, otherwise 1.
///
/// The result does not depend on the platform, since an outage of the platform is no reason to restart the daemon. Use
/// `shiftkeeper status` for that.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  shiftkeeper healthcheck --config config/shiftkeeper.toml
  HEALTHCHECK CMD [\"/shiftkeeper\", \"healthcheck\"]   in a Dockerfile with SHIFTKEEPER_CONFIG")]
pub struct HealthcheckArgs {
    #[command(flatten)]
    config: ConfigArgs,
}

/// Runs the command. Every error ends with 1, since health checks know no other code.
pub async fn run(args: HealthcheckArgs) -> ExitCode {
    match check_alive(&args).await {
        Ok(()) => Exit::Done.into(),
        Err(error) => {
            print_message(format!("error: {error:#}"));
            Exit::Failed.into()
        }
    }
}

async fn check_alive(args: &HealthcheckArgs) -> anyhow::Result<()> {
    let config = args.config.load_for_command()?.config;
    DaemonClient::check_alive(&config, ANSWER_TIMEOUT).await
}
