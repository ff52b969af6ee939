//! The live view as put together from messages, and its display in a terminal.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use comfy_table::ContentArrangement;
use serde_json::Value;

use crate::cli::shared::output::table_with_header;

/// The agents by tenant and id, and the age of the data by the last heartbeat or snapshot.
#[derive(Default)]
pub(super) struct LiveView {
    agents: BTreeMap<(String, String), Value>,
    at: String,
    ages: BTreeMap<String, Option<u64>>,
}

impl LiveView {
    /// Applies a message.
    pub(super) fn apply(&mut self, message: &Value) {
        let tenant = text(&message["tenant"]);
        if let Some(at) = message["at"].as_str() {
            at.clone_into(&mut self.at);
        }
        match message["type"].as_str() {
            Some("snapshot") => {
                if message["part"] == 1 {
                    self.agents.retain(|(of, _), _| *of != tenant);
                }
                self.ages.insert(tenant.clone(), message["age_ms"].as_u64());
                for agent in message["agents"].as_array().into_iter().flatten() {
                    self.agents.insert((tenant.clone(), text(&agent["id"])), agent.clone());
                }
            }
            Some("agent") => self.apply_agent(tenant, &message["agent"]),
            Some("gone") => {
                self.agents.remove(&(tenant, text(&message["agent"])));
            }
            Some("adherence") => {
                if let Some(agent) = self.agents.get_mut(&(tenant, text(&message["agent"]))) {
                    agent["adherence"] = message["adherence"].clone();
                    agent["planned"] = message["planned"].clone();
                }
            }
            Some("transition") => {
                let change = &message["transition"];
                let Some(agent) = self.agents.get_mut(&(tenant, text(&change["agent"]))) else { return };
                if change["open"] == true {
                    agent["open"] = change.clone();
                } else if agent["open"]["id"] == change["id"] {
                    agent["open"] = Value::Null;
                }
            }
            Some("heartbeat") => {
                for age in message["tenants"].as_array().into_iter().flatten() {
                    self.ages.insert(text(&age["tenant"]), age["age_ms"].as_u64());
                }
            }
            _ => {}
        }
    }

    /// Applies an agent's row. A row for a missed change has the state only.
    fn apply_agent(&mut self, tenant: String, agent: &Value) {
        let known = self.agents.entry((tenant, text(&agent["id"]))).or_default();
        match (known.as_object_mut(), agent.as_object()) {
            (Some(known), Some(agent)) => known.extend(agent.clone()),
            _ => *known = agent.clone(),
        }
    }

    /// Formats a table of at most this many columns and lines, with agents out of adherence first.
    pub(super) fn table(&self, width: u16, height: usize) -> String {
        let ages: Vec<_> = self
            .ages
            .iter()
            .map(|(tenant, age)| match age {
                Some(age) => format!("{tenant} {}", seconds_text(*age)),
                None => format!("{tenant} never observed"),
            })
            .collect();
        let out = self.agents.values().filter(|agent| agent["adherence"]["verdict"] == "out").count();
        let head = format!("{} · {} agents, {out} out · age: {}", self.at, self.agents.len(), ages.join(", "));
        let mut table = table_with_header([
            "TENANT",
            "AGENT",
            "NAME",
            "TEAM",
            "STATE",
            "SINCE",
            "QUEUE",
            "PLANNED",
            "ADHERENCE",
            "CHANGE",
        ]);
        table.set_content_arrangement(ContentArrangement::Disabled);
        let mut rows: Vec<_> = self.agents.iter().collect();
        rows.sort_by_key(|(_, agent)| agent["adherence"]["verdict"] != "out");
        // One line is for the head, one for the table's header, and one for the number of rows that do not fit.
        let row_limit = height.saturating_sub(3);
        for ((tenant, id), agent) in rows.iter().take(row_limit) {
            table.add_row([
                tenant.clone(),
                id.clone(),
                text(&agent["name"]),
                text(&agent["team"]),
                text(&agent["state"]),
                time_of_day(&agent["entered_at"]),
                text(&agent["queue"]),
                text(&agent["planned"]["activity"]),
                text(&agent["adherence"]["verdict"]),
                change_text(&agent["open"]),
            ]);
        }
        let mut text = format!("{head}\n{table}\n");
        if rows.len() > row_limit {
            // Writing to a String cannot fail.
            let _ = write!(text, "… and {} more", rows.len() - row_limit);
        }
        text.lines().map(|line| line.chars().take(usize::from(width)).collect::<String>() + "\n").collect()
    }
}

/// Formats a message as a line for people, if it has something to tell.
pub(super) fn message_line(message: &Value) -> Option<String> {
    let (at, tenant) = (text(&message["at"]), text(&message["tenant"]));
    let description = match message["type"].as_str()? {
        "snapshot" => {
            let agents = message["agents"].as_array().map_or(0, Vec::len);
            format!("snapshot {}/{}: {agents} agents", message["part"], message["parts"])
        }
        "agent" => {
            let agent = &message["agent"];
            let mut description =
                format!("{} {} since {}", text(&agent["id"]), text(&agent["state"]), text(&agent["entered_at"]));
            for (name, value) in [
                ("reason", &agent["reason"]),
                ("queue", &agent["queue"]),
                ("planned", &agent["planned"]["activity"]),
                ("adherence", &agent["adherence"]["verdict"]),
            ] {
                if let Some(value) = value.as_str() {
                    let _ = write!(description, ", {name} {value}");
                }
            }
            description
        }
        "gone" => format!("{} left the roster", text(&message["agent"])),
        "adherence" => format!(
            "{} adherence {}, planned {}",
            text(&message["agent"]),
            text(&message["adherence"]["verdict"]),
            text(&message["planned"]["activity"])
        ),
        "transition" => {
            let transition = &message["transition"];
            format!(
                "{} to {}: {} ({}, {})",
                text(&transition["agent"]),
                text(&transition["target"]),
                text(&transition["status"]),
                text(&transition["actor"]),
                text(&transition["id"])
            )
        }
        "skill" | "queue" => figures_text(message),
        "reset" => format!("restarts: {}", text(&message["reason"]).replace('_', " ")),
        _ => return None,
    };
    Some(format!("{at} {tenant} {description}"))
}

/// Formats `skill 7 Voice: contacts_queued 3, …`, without the time at which the platform gave the figures.
fn figures_text(message: &Value) -> String {
    let kind = text(&message["type"]);
    let figures = &message[kind.as_str()];
    let mut description = format!("{kind} {} {}:", text(&figures["id"]), text(&figures["name"]));
    let known = figures.as_object().into_iter().flatten();
    for (name, value) in known.filter(|(name, value)| value.is_number() && *name != "age_ms") {
        let _ = write!(description, " {name} {value}");
    }
    description
}

/// Returns the text of a value, or an empty text if it is not one.
fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Returns the time of day of an instant.
fn time_of_day(instant: &Value) -> String {
    let text = instant.as_str().unwrap_or_default();
    text.get(11..19).unwrap_or_default().to_owned()
}

fn change_text(open: &Value) -> String {
    match open["target"].as_str() {
        Some(target) => format!("{target}: {}", text(&open["status"])),
        None => String::new(),
    }
}

fn seconds_text(age_ms: u64) -> String {
    format!("{}.{} s", age_ms / 1000, age_ms % 1000 / 100)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn agent(id: &str, state: &str, verdict: &str) -> Value {
        json!({
            "id": id, "name": "Ann", "team": "Billing", "state": state, "reason": null, "queue": null,
            "entered_at": "2026-10-26T13:30:05Z", "planned": {"activity": "work"}, "adherence": {"verdict": verdict},
            "open": null,
        })
    }

    fn message(kind: &str, body: &Value) -> Value {
        let mut message = json!({"type": kind, "tenant": "acme", "at": "2026-10-26T13:31:00Z"});
        for (key, value) in body.as_object().expect("an object") {
            message[key] = value.clone();
        }
        message
    }

    #[test]
    fn messages_form_a_table_with_agents_out_of_adherence_first() {
        let mut live_view = LiveView::default();
        let agents = json!([agent("u_1", "Ready", "in"), agent("u_2", "Ready", "in"), agent("u_3", "Idle", "in")]);
        live_view.apply(&message("snapshot", &json!({"part": 1, "parts": 1, "age_ms": 2300, "agents": agents})));
        live_view
            .apply(&message("agent", &json!({"id": 7, "agent": {"id": "u_1", "state": "Paused"}, "replayed": true})));
        let adherence = json!({"agent": "u_2", "adherence": {"verdict": "out"}, "planned": {"activity": "break"}});
        live_view.apply(&message("adherence", &adherence));
        let open = json!({"id": "t", "agent": "u_1", "target": "Ready", "status": "waiting", "open": true});
        live_view.apply(&message("transition", &json!({"transition": open})));
        live_view.apply(&message("gone", &json!({"agent": "u_3"})));
        let table = live_view.table(200, 10);
        let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(table.lines().next(), Some("2026-10-26T13:31:00Z · 2 agents, 1 out · age: acme 2.3 s"));
        assert_eq!(lines[2], ["acme", "u_2", "Ann", "Billing", "Ready", "13:30:05", "break", "out"]);
        let first = ["acme", "u_1", "Ann", "Billing", "Paused", "13:30:05", "work", "in", "Ready:", "waiting"];
        assert_eq!(lines[3], first, "what a missed row does not say stays as it was");
        assert_eq!(lines.len(), 4);
        let done = json!({"id": "t", "agent": "u_1", "target": "Ready", "status": "confirmed", "open": false});
        live_view.apply(&message("transition", &json!({"transition": done})));
        assert!(!live_view.table(200, 10).contains("waiting"));
    }

    #[test]
    fn a_table_fits_its_terminal_and_says_what_does_not() {
        let mut live_view = LiveView::default();
        let agents: Vec<_> = (0..50).map(|number| agent(&format!("u_{number}"), "Ready", "in")).collect();
        live_view.apply(&message("snapshot", &json!({"part": 1, "parts": 1, "age_ms": 0, "agents": agents})));
        let table = live_view.table(40, 10);
        assert_eq!(table.lines().count(), 10);
        assert!(table.lines().all(|line| line.chars().count() <= 40), "{table}");
        assert_eq!(table.lines().last(), Some("… and 43 more"));
    }

    #[test]
    fn a_change_is_a_line_and_a_heartbeat_is_none() {
        let line = message_line(&message("agent", &json!({"agent": agent("u_1", "Ready", "in")})));
        let expected = "2026-10-26T13:31:00Z acme u_1 Ready since 2026-10-26T13:30:05Z, planned work, adherence in";
        assert_eq!(line.as_deref(), Some(expected));
        assert_eq!(message_line(&message("heartbeat", &json!({}))), None);
    }
}
