//! `shiftkeeper run`: the daemon, until it is told to stop.

use std::process::ExitCode;

use anyhow::Context as _;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::log;
use crate::app::{App, Reload, ServiceManager, Surroundings, clock_of};
use crate::cli::shared::config_args::ConfigArgs;
use crate::cli::shared::exit::Exit;
use crate::cli::shared::output::print_json;
use crate::cli::shared::talk::say;
use crate::config::{Environment, Loaded};
use crate::engine::operations::supervisor::Ended;

/// Runs the daemon. Prints one line of JSON on standard output when it serves: {"ready": true, "listen": "IP:PORT"}.
///
/// SIGTERM and Ctrl-C stop it in order; SIGHUP reloads the configuration.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  shiftkeeper run --config config/shiftkeeper.toml
  shiftkeeper run --set tenants.acme.mode=dry_run")]
pub struct RunArgs {
    /// Where the configuration comes from.
    #[command(flatten)]
    pub config: ConfigArgs,
}

/// Runs until a signal comes or a task fails for good.
pub async fn run(args: RunArgs) -> anyhow::Result<ExitCode> {
    let mut loaded = args.config.load()?;
    let log = log::start(loaded.config.log);
    for warning in &loaded.warnings {
        say(format!("warning: {warning}"));
    }
    let soft = CancellationToken::new();
    // Asked for before anything runs, so that a stop that comes early is not lost.
    let mut signals = Signals::new()?;
    let clock = clock_of(&loaded.config).await;
    let surroundings = Surroundings { log: Some(log.log.clone()), ..Surroundings::system(clock) };
    let mut app = App::start_in(surroundings, loaded.config.clone(), soft.clone()).await?;
    let manager = ServiceManager::of(&Environment::of_process(), app.listen);
    manager.ready();
    app.tell(manager);
    if let Err(error) = print_json(&json!({"ready": true, "listen": app.listen.to_string()})) {
        tracing::warn!("the line that says that the daemon serves is lost, and it serves all the same: {error:#}");
    }
    tracing::info!(listen = %app.listen, version = env!("CARGO_PKG_VERSION"), "serving");
    let (reload, wanted) = (app.reload(), app.reload_wanted());
    let daemon = app.run();
    tokio::pin!(daemon);
    let ended = loop {
        tokio::select! {
            ended = &mut daemon => break ended,
            signal = signals.next_or(&wanted) => match signal {
                Signal::Stop => {
                    manager.stopping();
                    soft.cancel();
                }
                Signal::Reload => {
                    manager.reloading();
                    reload_configuration(&args.config, &mut loaded, &reload);
                    log.set_level(loaded.config.log.level);
                    manager.ready();
                }
            },
        }
    };
    match ended {
        Ended::Asked => {
            tracing::info!("stopped");
            Ok(Exit::Done.into())
        }
        Ended::TaskFailed(task) => {
            say(format!("error: {task} failed for good; see the log"));
            Ok(Exit::Failed.into())
        }
    }
}

enum Signal {
    Stop,
    Reload,
}

struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("signals cannot be listened to");
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    /// The next signal; who asked the daemon for what takes a reload is as good as one.
    async fn next_or(&mut self, reload_wanted: &Notify) -> Signal {
        tokio::select! {
            () = reload_wanted.notified() => Signal::Reload,
            _ = self.terminate.recv() => Signal::Stop,
            _ = self.interrupt.recv() => Signal::Stop,
            _ = self.hangup.recv() => Signal::Reload,
        }
    }
}

/// A configuration with mistakes leaves the running one in force.
fn reload_configuration(args: &ConfigArgs, running: &mut Loaded, reload: &Reload) {
    let applied = match args.load() {
        Ok(newer) => reload.apply(running, newer).map_err(|error| error.to_string()),
        Err(refused) => Err(refused.to_string()),
    };
    if let Err(error) = &applied {
        tracing::error!("the configuration was not reloaded: {error}");
    }
    reload.note(applied.is_ok());
}
