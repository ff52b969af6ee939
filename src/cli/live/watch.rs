//! `shiftkeeper watch`: the live picture in a terminal, as a table that is drawn anew when something changed, or line by line.
//!
//! It follows the daemon's event stream, and comes back by itself where the line broke, from the last message on that it has.

mod events;
mod picture;

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use reqwest::{Method, Response};
use serde_json::Value;

use self::events::Events;
use self::picture::{Picture, change_line};
use crate::cli::shared::config_args::ConfigArgs;
use crate::cli::shared::daemon::{Ask, Daemon, DaemonError};
use crate::cli::shared::exit::Exit;
use crate::cli::shared::output::{Audience, Output, audience, look_for_audience, print_on};
use crate::cli::shared::scope;
use crate::cli::shared::talk::say;
use crate::clock::{RealTime, Stopwatch};
use crate::config::{Config, Right};
use crate::domain::ids::{TeamName, TenantId};
use crate::domain::time::span;
use crate::engine::live::HEARTBEAT_REAL;

/// A line that says nothing for so long is broken, in real time.
const SILENT_REAL: Duration = Duration::from_secs(3 * HEARTBEAT_REAL.as_secs());

/// The pause before the daemon is tried again, in real time: the first one, and the longest.
const FIRST_PAUSE_REAL: Duration = Duration::from_millis(500);
const LONGEST_PAUSE_REAL: Duration = Duration::from_secs(10);

/// The table is drawn anew this often at most, in real time.
const DRAW_EVERY_REAL: Duration = Duration::from_millis(250);

/// An event stream lasts; this only has to be longer than anybody watches.
const LONGEST_LINE: Duration = Duration::from_secs(365 * 24 * 3600);

/// Options of `watch`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "On a terminal, shows a table that updates; Ctrl-C ends it. In a pipe, prints each change as a line, or with
--output json each message of the daemon as received (docs/api.md).

Ends with 0 at the end of --for or at Ctrl-C, with 69 when no daemon answers at the start, with 77 when the token is not permitted.

Examples:
  shiftkeeper watch
  shiftkeeper watch --tenant acme --team 'Team A' --team 'Team C'
  shiftkeeper watch --output json --for 10s"
)]
pub struct WatchArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The tenant; all that the token reaches by default. May be given more than once.
    #[arg(long, value_name = "ID")]
    tenant: Vec<TenantId>,
    /// Only agents of this team. May be given more than once.
    #[arg(long, value_name = "NAME")]
    team: Vec<TeamName>,
    /// Only this skill or queue, and the agents shown with it by the platform. May be given more than once.
    #[arg(long, value_name = "NAME")]
    skill: Vec<String>,
    /// End after this long, in real time.
    #[arg(long = "for", value_name = "SPAN", value_parser = span::parse)]
    for_span: Option<Duration>,
    /// How to print.
    #[arg(long, short, value_enum, default_value_t)]
    output: Output,
}

/// Runs the command.
pub async fn run(args: WatchArgs) -> anyhow::Result<ExitCode> {
    let config = args.config.load_for_command()?.config;
    for tenant in &args.tenant {
        scope::tenant_asked(&config, Some(tenant))?;
    }
    let mut shown = Shown::new(args.output);
    let watched = async { follow(&args, &config, &mut shown).await };
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
    shown.leave();
    ended.map(|()| Exit::Done.into())
}

/// Follows the daemon until nobody reads what is shown, or something goes wrong that no return mends.
async fn follow(args: &WatchArgs, config: &Config, shown: &mut Shown) -> anyhow::Result<()> {
    let mut last_id: Option<String> = None;
    let mut pause = FIRST_PAUSE_REAL;
    let mut ever = false;
    loop {
        // Looked for each time: a daemon that was started anew may have another address.
        let opened = match Daemon::find(config).await {
            Ok(daemon) => match open(args, config, &daemon, last_id.as_deref()).await {
                Ok(response) => Some(response),
                Err(error) if ever && error.may_pass() => None,
                Err(error) => return Err(error.into_failure()),
            },
            Err(_) if ever => None,
            Err(error) => return Err(error),
        };
        if let Some(response) = opened {
            if std::mem::replace(&mut ever, true) {
                say(format!("reconnected, from {}", last_id.as_deref().unwrap_or("a new snapshot")));
            }
            pause = FIRST_PAUSE_REAL;
            match read(response, &mut last_id, shown).await? {
                Ended::Broken(why) => say(format!("the connection to the daemon was lost ({why}); reconnecting")),
                Ended::NobodyReads => return Ok(()),
            }
        }
        RealTime::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE_REAL);
    }
}

async fn open(
    args: &WatchArgs,
    config: &Config,
    daemon: &Daemon,
    last_id: Option<&str>,
) -> Result<Response, DaemonError> {
    let mut query: Vec<(&str, &str)> = args.tenant.iter().map(|tenant| ("tenant", tenant.as_str())).collect();
    query.extend(args.team.iter().map(|team| ("team", team.as_str())));
    query.extend(args.skill.iter().map(|skill| ("skill", skill.as_str())));
    // The token is one for the first tenant that it is asked for.
    let tenant = args.tenant.first().or(config.tenants.first().map(|tenant| &tenant.id));
    let ask = Ask { method: Method::GET, path: "/live/events", right: Right::Read, tenant, query: &query };
    daemon
        .open(config, ask, |request| {
            let request = request.timeout(LONGEST_LINE);
            match last_id {
                Some(id) => request.header("Last-Event-ID", id),
                None => request,
            }
        })
        .await
}

/// How the following of a line ended.
enum Ended {
    /// It broke, for this reason.
    Broken(String),
    /// Nobody reads what is shown.
    NobodyReads,
}

/// Reads a line to its end.
async fn read(mut response: Response, last_id: &mut Option<String>, shown: &mut Shown) -> anyhow::Result<Ended> {
    let mut events = Events::default();
    loop {
        let chunk = tokio::select! {
            chunk = response.chunk() => chunk,
            () = RealTime::sleep(SILENT_REAL) => return Ok(Ended::Broken("no data".to_owned())),
            () = shown.due() => {
                if shown.draw()? == Audience::Gone {
                    return Ok(Ended::NobodyReads);
                }
                continue;
            }
        };
        let chunk = match chunk {
            Ok(Some(chunk)) => chunk,
            Ok(None) => return Ok(Ended::Broken("it ended".to_owned())),
            Err(error) => return Ok(Ended::Broken(error.without_url().to_string())),
        };
        for event in events.take(&chunk)? {
            if let Some(id) = event.id {
                *last_id = Some(id);
            }
            let Some(data) = event.data else { continue };
            let message: Value = serde_json::from_str(&data)?;
            if shown.take(&data, &message)? == Audience::Gone {
                return Ok(Ended::NobodyReads);
            }
            if message["type"] == "end" {
                let why = message["reason"].as_str().unwrap_or("no reason was given").replace('_', " ");
                return Ok(Ended::Broken(why));
            }
        }
    }
}

/// How what comes is shown.
enum How {
    /// Each message as it came.
    Messages,
    /// Each change as a line.
    Lines,
    /// A table that is drawn over itself.
    Table,
}

struct Shown {
    how: How,
    picture: Picture,
    /// Something changed since the table was drawn.
    dirty: bool,
    drawn: Option<Stopwatch>,
}

impl Shown {
    fn new(output: Output) -> Self {
        let how = match output {
            Output::Json => How::Messages,
            Output::Table if std::io::stdout().is_terminal() => How::Table,
            Output::Table => How::Lines,
        };
        Self { how, picture: Picture::default(), dirty: false, drawn: None }
    }

    fn take(&mut self, data: &str, message: &Value) -> anyhow::Result<Audience> {
        match self.how {
            How::Messages => return print_on(data),
            How::Lines => {
                return match change_line(message) {
                    Some(line) => print_on(line),
                    None => Ok(look_for_audience()),
                };
            }
            How::Table => {
                self.picture.take(message);
                self.dirty = true;
                if self.drawn.as_ref().is_none_or(|drawn| drawn.elapsed() >= DRAW_EVERY_REAL) {
                    return self.draw();
                }
            }
        }
        Ok(Audience::Reads)
    }

    /// When the table is to be drawn, where something changed since it was.
    async fn due(&self) {
        match self.drawn.as_ref().filter(|_| self.dirty) {
            Some(drawn) => RealTime::sleep(DRAW_EVERY_REAL.saturating_sub(drawn.elapsed())).await,
            None => std::future::pending().await,
        }
    }

    fn draw(&mut self) -> anyhow::Result<Audience> {
        let size = terminal_size::terminal_size();
        let (width, height) = size.map_or((100, 40), |(width, height)| (width.0, usize::from(height.0)));
        let text = self.picture.table(width, height.saturating_sub(1));
        // Home, each line cleared to its end, and what is below.
        let mut drawn = "\x1b[H".to_owned();
        for line in text.lines() {
            drawn.push_str(line);
            drawn.push_str("\x1b[K\r\n");
        }
        drawn.push_str("\x1b[J");
        let mut out = std::io::stdout().lock();
        let audience = audience(out.write_all(drawn.as_bytes()).and_then(|()| out.flush()))?;
        (self.dirty, self.drawn) = (false, Some(Stopwatch::start()));
        Ok(audience)
    }

    fn leave(&mut self) {
        if matches!(self.how, How::Table) && self.dirty {
            // The last picture, where there is still somebody to see it.
            let _ = self.draw();
        }
    }
}
