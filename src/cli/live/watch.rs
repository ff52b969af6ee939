//! `shiftkeeper watch`: the live view in a terminal, as a table that is redrawn on changes, or line by line.
//!
//! It follows the daemon's event stream, and reconnects by itself after the last message received.

mod events;
mod live_view;

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use reqwest::{Method, Response};
use serde_json::Value;

use self::events::EventParser;
use self::live_view::{LiveView, message_line};
use crate::cli::shared::config_args::ConfigArgs;
use crate::cli::shared::daemon::{DaemonClient, DaemonError, DaemonRequest};
use crate::cli::shared::exit::Exit;
use crate::cli::shared::messages::print_message;
use crate::cli::shared::output::{Output, PipeStatus, pipe_status, poll_pipe_status, print_and_check};
use crate::cli::shared::scope;
use crate::clock::{RealTime, Stopwatch};
use crate::config::{Config, Right};
use crate::domain::ids::{TeamName, TenantId};
use crate::domain::time::span;
use crate::engine::live::HEARTBEAT_REAL;

/// The silence after which a connection counts as broken, in real time.
const READ_TIMEOUT_REAL: Duration = Duration::from_secs(3 * HEARTBEAT_REAL.as_secs());

/// The first pause before reconnecting, in real time.
const MIN_RECONNECT_PAUSE_REAL: Duration = Duration::from_millis(500);
const MAX_RECONNECT_PAUSE_REAL: Duration = Duration::from_secs(10);

/// The shortest interval between redraws of the table, in real time.
const REDRAW_INTERVAL_REAL: Duration = Duration::from_millis(250);

/// The time limit of an event stream, longer than anybody watches.
const STREAM_TIMEOUT: Duration = Duration::from_secs(365 * 24 * 3600);

/// Options of `watch`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "On a terminal, shows a table that updates; Ctrl-C ends it. In a pipe, prints one line per change, or with --output json
each message of the daemon as received (docs/api.md).

Exit codes: 0 at the end of --for or after Ctrl-C, 69 if no daemon answers at the start, 77 if the token is not permitted.

Examples:
  shiftkeeper watch
  shiftkeeper watch --tenant acme --team 'Team A' --team 'Team C'
  shiftkeeper watch --output json --for 10s"
)]
pub struct WatchArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The tenant. May be given more than once. The default is all that the token may access.
    #[arg(long, value_name = "ID")]
    tenant: Vec<TenantId>,
    /// Only agents of this team. May be given more than once.
    #[arg(long, value_name = "NAME")]
    team: Vec<TeamName>,
    /// Only this skill or queue, and the agents shown with it by the platform. May be given more than once.
    #[arg(long, value_name = "NAME")]
    skill: Vec<String>,
    /// Stop after this long, in real time.
    #[arg(long = "for", value_name = "SPAN", value_parser = span::parse)]
    for_span: Option<Duration>,
    /// The output format.
    #[arg(long, short, value_enum, default_value_t)]
    output: Output,
}

/// Runs the command.
pub async fn run(args: WatchArgs) -> anyhow::Result<ExitCode> {
    let config = args.config.load_for_command()?.config;
    for tenant in &args.tenant {
        scope::requested_tenant(&config, Some(tenant))?;
    }
    let mut display = Display::new(args.output);
    let watched = async { follow_stream(&args, &config, &mut display).await };
    let limit = async {
        match args.for_span {
            Some(span) => RealTime::sleep(span).await,
            None => std::future::pending().await,
        }
    };
    let ended = tokio::select! {
        ended = watched => ended,
        () = limit => Ok(()),
        interrupted = tokio::signal::ctrl_c() => Ok(interrupted?),
    };
    display.finish();
    ended.map(|()| Exit::Done.into())
}

/// Follows the daemon until nobody reads the output, or an error occurs that reconnecting cannot solve.
async fn follow_stream(args: &WatchArgs, config: &Config, display: &mut Display) -> anyhow::Result<()> {
    let mut last_id: Option<String> = None;
    let mut pause = MIN_RECONNECT_PAUSE_REAL;
    let mut was_connected = false;
    loop {
        // Look for the daemon each time, since a restarted one may have another address.
        let opened = match DaemonClient::find(config).await {
            Ok(daemon) => match open_stream(args, config, &daemon, last_id.as_deref()).await {
                Ok(response) => Some(response),
                Err(error) if was_connected && error.is_transient() => None,
                Err(error) => return Err(error.into()),
            },
            Err(_) if was_connected => None,
            Err(error) => return Err(error),
        };
        if let Some(response) = opened {
            if std::mem::replace(&mut was_connected, true) {
                print_message(format!("reconnected, from {}", last_id.as_deref().unwrap_or("a new snapshot")));
            }
            pause = MIN_RECONNECT_PAUSE_REAL;
            match read_stream(response, &mut last_id, display).await? {
                StreamEnd::ConnectionLost(why) => {
                    print_message(format!("the connection to the daemon was lost ({why}); reconnecting"));
                }
                StreamEnd::OutputClosed => return Ok(()),
            }
        }
        RealTime::sleep(pause).await;
        pause = (pause * 2).min(MAX_RECONNECT_PAUSE_REAL);
    }
}

async fn open_stream(
    args: &WatchArgs,
    config: &Config,
    daemon: &DaemonClient,
    last_id: Option<&str>,
) -> Result<Response, DaemonError> {
    let mut query: Vec<(&str, &str)> = args.tenant.iter().map(|tenant| ("tenant", tenant.as_str())).collect();
    query.extend(args.team.iter().map(|team| ("team", team.as_str())));
    query.extend(args.skill.iter().map(|skill| ("skill", skill.as_str())));
    // Use the token for the first tenant requested.
    let tenant = args.tenant.first().or(config.tenants.first().map(|tenant| &tenant.id));
    let request =
        DaemonRequest { method: Method::GET, path: "/live/events", right: Right::Read, tenant, query: &query };
    daemon
        .open_stream(config, request, |request| {
            let request = request.timeout(STREAM_TIMEOUT);
            match last_id {
                Some(id) => request.header("Last-Event-ID", id),
                None => request,
            }
        })
        .await
}

/// How a connection ended.
enum StreamEnd {
    /// The connection broke for this reason.
    ConnectionLost(String),
    /// Nobody reads the output.
    OutputClosed,
}

/// Reads a connection to its end.
async fn read_stream(
    mut response: Response,
    last_id: &mut Option<String>,
    display: &mut Display,
) -> anyhow::Result<StreamEnd> {
    let mut parser = EventParser::default();
    loop {
        let chunk = tokio::select! {
            chunk = response.chunk() => chunk,
            () = RealTime::sleep(READ_TIMEOUT_REAL) => return Ok(StreamEnd::ConnectionLost("no data".to_owned())),
            () = display.redraw_due() => {
                if display.draw()? == PipeStatus::Closed {
                    return Ok(StreamEnd::OutputClosed);
                }
                continue;
            }
        };
        let chunk = match chunk {
            Ok(Some(chunk)) => chunk,
            Ok(None) => return Ok(StreamEnd::ConnectionLost("it ended".to_owned())),
            Err(error) => return Ok(StreamEnd::ConnectionLost(error.without_url().to_string())),
        };
        for event in parser.push(&chunk)? {
            if let Some(id) = event.id {
                *last_id = Some(id);
            }
            let Some(data) = event.data else { continue };
            let message: Value = serde_json::from_str(&data)?;
            if display.on_message(&data, &message)? == PipeStatus::Closed {
                return Ok(StreamEnd::OutputClosed);
            }
            if message["type"] == "end" {
                let why = message["reason"].as_str().unwrap_or("no reason was given").replace('_', " ");
                return Ok(StreamEnd::ConnectionLost(why));
            }
        }
    }
}

/// How messages are shown.
enum DisplayMode {
    /// Each message as it was received.
    Messages,
    /// One line per change.
    Lines,
    /// A table that is redrawn in place.
    Table,
}

struct Display {
    mode: DisplayMode,
    live_view: LiveView,
    /// Whether something changed since the table was drawn.
    dirty: bool,
    since_drawn: Option<Stopwatch>,
}

impl Display {
    fn new(output: Output) -> Self {
        let how = match output {
            Output::Json => DisplayMode::Messages,
            Output::Table if std::io::stdout().is_terminal() => DisplayMode::Table,
            Output::Table => DisplayMode::Lines,
        };
        Self { mode: how, live_view: LiveView::default(), dirty: false, since_drawn: None }
    }

    fn on_message(&mut self, data: &str, message: &Value) -> anyhow::Result<PipeStatus> {
        match self.mode {
            DisplayMode::Messages => return print_and_check(data),
            DisplayMode::Lines => {
                return match message_line(message) {
                    Some(line) => print_and_check(line),
                    None => Ok(poll_pipe_status()),
                };
            }
            DisplayMode::Table => {
                self.live_view.apply(message);
                self.dirty = true;
                if self.since_drawn.as_ref().is_none_or(|drawn| drawn.elapsed() >= REDRAW_INTERVAL_REAL) {
                    return self.draw();
                }
            }
        }
        Ok(PipeStatus::Open)
    }

    /// Waits until the table must be redrawn, if something changed.
    async fn redraw_due(&self) {
        match self.since_drawn.as_ref().filter(|_| self.dirty) {
            Some(drawn) => RealTime::sleep(REDRAW_INTERVAL_REAL.saturating_sub(drawn.elapsed())).await,
            None => std::future::pending().await,
        }
    }

    fn draw(&mut self) -> anyhow::Result<PipeStatus> {
        let size = terminal_size::terminal_size();
        let (width, height) = size.map_or((100, 40), |(width, height)| (width.0, usize::from(height.0)));
        let text = self.live_view.table(width, height.saturating_sub(1));
        // Move to the top, clear each line to its end, and clear what is below.
        let mut drawn = "\x1b[H".to_owned();
        for line in text.lines() {
            drawn.push_str(line);
            drawn.push_str("\x1b[K\r\n");
        }
        drawn.push_str("\x1b[J");
        let mut out = std::io::stdout().lock();
        let pipe = pipe_status(out.write_all(drawn.as_bytes()).and_then(|()| out.flush()))?;
        (self.dirty, self.since_drawn) = (false, Some(Stopwatch::start()));
        Ok(pipe)
    }

    fn finish(&mut self) {
        if matches!(self.mode, DisplayMode::Table) && self.dirty {
            // Draw the last view, if anybody still sees it.
            let _ = self.draw();
        }
    }
}
