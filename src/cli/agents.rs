//! `shiftkeeper agents`: the state and adherence of agents, from the running daemon.

pub mod erase;

use std::process::ExitCode;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::shared::exit::Exit;
use super::shared::messages::print_message;
use super::shared::output::{Output, print, print_json, table_with_header};
use super::shared::tenant_client::{TenantArgs, TenantClient, path_part};
use crate::domain::ids::AgentId;
use crate::domain::time::{UtcMicros, rough_duration_text};
use crate::engine::agents::agent_list::AgentSummary;

/// The most agents in one answer of the daemon.
const PAGE_SIZE: usize = 2000;

/// Options of `agents`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Shows the daemon's live view, at most a second old. The last line says how old the data behind it is.

Examples:
  shiftkeeper agents
  shiftkeeper agents --verdict out --sort worst
  shiftkeeper agents --team 'Team A' --state Paused --state NotReady --output json
  shiftkeeper agents --search smith --output json | jq -r '.agents[].id'
  shiftkeeper agents u_0001"
)]
pub struct AgentsArgs {
    /// Show one agent in full.
    #[arg(value_name = "AGENT", conflicts_with_all = ["team", "state", "skill", "verdict", "search", "sort", "limit"])]
    pub agent: Option<AgentId>,
    #[command(flatten)]
    scope: TenantArgs,
    /// Agents of this team; may be given more than once.
    #[arg(long, value_name = "NAME")]
    pub team: Vec<String>,
    /// Agents in this state; may be given more than once.
    #[arg(long, value_name = "STATE")]
    pub state: Vec<String>,
    /// Agents with this skill, or shown with this queue by the platform. May be given more than once.
    #[arg(long, value_name = "SKILL")]
    pub skill: Vec<String>,
    /// Agents with this adherence: in, out, neutral, unscheduled or unknown; may be given more than once.
    #[arg(long, value_name = "VERDICT")]
    pub verdict: Vec<String>,
    /// Agents whose id, name or team contains this text, in any case.
    #[arg(long, value_name = "TEXT")]
    pub search: Option<String>,
    /// The order: name, id, team, state, `in_state` (longest first) or worst (out of adherence longest first); a
    /// leading `-` reverses it.
    #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
    pub sort: Option<String>,
    /// The maximum number of agents.
    #[arg(long, value_name = "COUNT")]
    pub limit: Option<usize>,
    /// The output format.
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Output,
}

/// Runs the command.
pub async fn run(args: AgentsArgs) -> anyhow::Result<ExitCode> {
    let client = args.scope.connect().await?;
    match &args.agent {
        Some(agent) => show_agent(&client, agent, args.output).await?,
        None => list(&client, &args).await?,
    }
    Ok(Exit::Done.into())
}

/// The relevant part of a page.
#[derive(Deserialize)]
struct Page {
    agents: Vec<AgentSummary>,
    next: Option<String>,
    matching: usize,
    total: usize,
    age_ms: Option<u64>,
}

async fn list(client: &TenantClient, args: &AgentsArgs) -> anyhow::Result<()> {
    let max_agents = args.limit.unwrap_or(usize::MAX);
    let (mut agents, mut cursor): (Vec<AgentSummary>, Option<String>) = (Vec::new(), None);
    let last = loop {
        let limit = PAGE_SIZE.min(max_agents - agents.len()).to_string();
        let mut query = vec![("limit", limit.as_str())];
        let several =
            [("team", &args.team), ("state", &args.state), ("skill", &args.skill), ("verdict", &args.verdict)];
        query.extend(
            several.into_iter().flat_map(|(key, values)| values.iter().map(move |value| (key, value.as_str()))),
        );
        query.extend(args.search.as_deref().map(|text| ("search", text)));
        query.extend(args.sort.as_deref().map(|key| ("sort", key)));
        query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let mut page: Page = client.get("/api/v1/agents", &query).await?;
        agents.append(&mut page.agents);
        let next = page.next.take().filter(|_| agents.len() < max_agents);
        if next.is_none() {
            break page;
        }
        cursor = next;
    };
    match args.output {
        Output::Json => print_json(&json!({
            "agents": agents, "matching": last.matching, "total": last.total, "age_ms": last.age_ms,
        }))?,
        Output::Table => {
            print(table(&agents))?;
            let age = last.age_ms.map_or_else(|| "not complete yet".to_owned(), |age| format!("{} old", age_text(age)));
            print_message(format!(
                "{} of {} agents of {}, {} shown; the live view is {age}",
                last.matching,
                last.total,
                client.tenant(),
                agents.len()
            ));
        }
    }
    Ok(())
}

async fn show_agent(client: &TenantClient, agent: &AgentId, output: Output) -> anyhow::Result<()> {
    let path = format!("/api/v1/agents/{}", path_part(agent.as_str()));
    let answer: Value = client.get(&path, &[]).await?;
    match output {
        Output::Json => print_json(&answer)?,
        Output::Table => print(describe(&serde_json::from_value(answer)?))?,
    }
    Ok(())
}

fn table(agents: &[AgentSummary]) -> String {
    let mut table = table_with_header([
        "AGENT",
        "NAME",
        "TEAM",
        "STATE",
        "REASON",
        "FOR",
        "PLANNED",
        "UNTIL",
        "ADHERENCE",
        "CHANGE",
    ]);
    for card in agents {
        table.add_row([
            printable(card.id.as_str()),
            printable(card.name.as_deref().unwrap_or_default()),
            printable(card.team.as_ref().map_or("", |team| team.as_str())),
            printable(card.state.as_ref().map_or("never observed", |state| state.name())),
            printable(card.reason.as_ref().map_or("", |reason| reason.as_str())),
            card.in_state_ms.map(age_text).unwrap_or_default(),
            printable(&card.planned.activity),
            card.planned.until.map(|until| until.to_string()).unwrap_or_default(),
            card.adherence.verdict.to_string(),
            card.open
                .as_ref()
                .map(|open| format!("{} {}", printable(open.target.name()), open.status))
                .unwrap_or_default(),
        ]);
    }
    table.trim_fmt()
}

fn describe(card: &AgentSummary) -> String {
    let since = |instant: Option<UtcMicros>| instant.map(|instant| format!(" since {instant}")).unwrap_or_default();
    let mut lines = vec![
        ("agent", printable(card.id.as_str())),
        ("name", printable(card.name.as_deref().unwrap_or("not known"))),
        ("team", printable(card.team.as_ref().map_or("not known", |team| team.as_str()))),
        ("zone", printable(card.zone.as_deref().unwrap_or("not known"))),
        ("state", {
            let state = printable(card.state.as_ref().map_or("never observed", |state| state.name()));
            let reason = card.reason.as_ref().map(|reason| format!(" ({})", printable(reason.as_str())));
            format!("{state}{}{}", reason.unwrap_or_default(), since(card.entered_at))
        }),
        ("planned", {
            let mandatory = if card.mandatory { ", mandatory" } else { "" };
            let until = card.planned.until.map(|until| format!(" until {until}")).unwrap_or_default();
            format!("{}{}{until}{mandatory}", printable(&card.planned.activity), since(card.planned.since))
        }),
        ("adherence", format!("{}{}", card.adherence.verdict, since(card.adherence.since))),
    ];
    if let Some(next) = &card.next {
        lines.push(("next", format!("{} from {} to {}", printable(&next.activity), next.start, next.end)));
    }
    if let Some(open) = &card.open {
        lines.push((
            "change",
            format!(
                "to {} by {}: {} ({})",
                printable(open.target.name()),
                printable(&open.actor),
                open.status,
                open.id
            ),
        ));
    }
    lines.push(("seen", card.age_ms.map_or_else(|| "never".to_owned(), |age| format!("{} ago", age_text(age)))));
    lines.into_iter().map(|(word, text)| format!("{word:<10} {text}")).collect::<Vec<_>>().join("\n")
}

fn age_text(millis: u64) -> String {
    rough_duration_text(Duration::from_millis(millis))
}

/// Makes text from the platform or a file safe for a terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card() -> AgentSummary {
        serde_json::from_value(json!({
            "id": "u_1", "name": "An\u{1b}[31mn", "team": "Care", "zone": "Europe/Berlin", "state": "Paused", "reason": "BREAK",
            "queue": null, "entered_at": "2026-10-26T13:30:00Z", "in_state_ms": 65_000, "source": "snapshot", "transition": null,
            "seen_at": "2026-10-26T13:31:00Z", "age_ms": 5_000,
            "adherence": {"verdict": "out", "since": "2026-10-26T13:30:00Z"},
            "planned": {"activity": "work", "since": null, "until": "2026-10-26T15:00:00Z"}, "mandatory": false,
            "next": {"activity": "lunch", "start": "2026-10-26T15:00:00Z", "end": "2026-10-26T15:30:00Z", "mandatory": true},
            "skills": [], "open": {"id": "01a17867-8856-72c9-b800-1bbdb913b733", "agent": "u_1", "team": "Care", "target": "Ready",
                "reason": "WORKING", "priority": "schedule", "actor": "rule:back-from-break", "status": "waiting", "why": "budget",
                "until": null, "open": true, "requested_at": "2026-10-26T13:32:13Z", "deadline": "2026-10-26T14:02:13Z",
                "attempts": 0, "violation": null}
        }))
        .expect("a card")
    }

    #[test]
    fn a_table_and_one_agent_say_what_a_person_asks_and_no_control_character() {
        let table = table(&[card()]);
        assert!(table.contains("Paused") && table.contains("1m5s") && table.contains("Ready waiting"), "{table}");
        let one = describe(&card());
        assert!(one.contains("adherence  out since 2026-10-26T13:30:00Z"), "{one}");
        assert!(one.contains("next       lunch from 2026-10-26T15:00:00Z"), "{one}");
        assert!(one.contains("state      Paused (BREAK) since"), "{one}");
        assert!(!table.contains('\u{1b}') && !one.contains('\u{1b}'), "{one}");
    }
}
