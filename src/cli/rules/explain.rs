//! `rules explain`: how every rule applies to an agent now, as the running daemon decides it.

use std::fmt::Write as _;
use std::process::ExitCode;

use serde::Deserialize;
use serde_json::Value;

use crate::cli::shared::exit::Exit;
use crate::cli::shared::output::{Output, print, print_json};
use crate::cli::shared::tenant_client::{TenantArgs, path_part};
use crate::domain::ids::{AgentId, RuleId, TenantId};
use crate::domain::rules::rule::Mode;
use crate::domain::time::UtcMicros;

/// Options of `rules explain`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Needs a running daemon and shows what it decides on. `shiftkeeper plan --agent` shows the same from the store alone.

Examples:
  shiftkeeper rules explain u_0001
  shiftkeeper rules explain u_0001 --tenant acme --output json"
)]
pub struct ExplainArgs {
    /// The agent's id.
    #[arg(value_name = "AGENT")]
    pub agent: AgentId,
    #[command(flatten)]
    scope: TenantArgs,
    /// The output format.
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Output,
}

/// The relevant part of the daemon's answer.
#[derive(Deserialize)]
struct ExplanationResponse {
    agent: AgentId,
    at: UtcMicros,
    left_alone_until: Option<UtcMicros>,
    excused_until: Option<UtcMicros>,
    rules: Vec<RuleExplanation>,
}

#[derive(Deserialize)]
struct RuleExplanation {
    rule: RuleId,
    mode: Mode,
    wants: String,
    outcome: RuleOutcome,
    why: Option<String>,
    because: String,
    conditions: Vec<ConditionResult>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum RuleOutcome {
    NoMatch,
    Held,
    Taken,
    Decided,
}

#[derive(Deserialize)]
struct ConditionResult {
    condition: String,
    wanted: String,
    actual: String,
    held: bool,
}

/// Runs the command.
pub(super) async fn run(args: ExplainArgs) -> anyhow::Result<ExitCode> {
    let client = args.scope.connect().await?;
    let path = format!("/api/v1/agents/{}/rules", path_part(args.agent.as_str()));
    let answer: Value = client.get(&path, &[]).await?;
    match args.output {
        Output::Json => print_json(&answer)?,
        Output::Table => print(explanation_text(client.tenant(), &serde_json::from_value(answer)?))?,
    }
    Ok(Exit::Done.into())
}

fn explanation_text(tenant: &TenantId, explained: &ExplanationResponse) -> String {
    let mut text = format!("{tenant} at {:.0}", explained.at);
    let until = [("left alone", explained.left_alone_until), ("has an approved exception", explained.excused_until)];
    for (how, until) in until.into_iter().filter_map(|(how, until)| Some((how, until?))) {
        let _ = write!(text, "\n{}: {how} until {until:.0}", explained.agent);
    }
    for rule in &explained.rules {
        let _ = write!(text, "\n{}: {}", explained.agent, rule.summary_line());
    }
    text
}

impl RuleExplanation {
    fn summary_line(&self) -> String {
        let Self { rule, wants, because, .. } = self;
        let why = self.why.as_deref().unwrap_or_default();
        match self.outcome {
            RuleOutcome::Decided => format!("{rule} {} {wants}: {because}", self.mode.verb()),
            RuleOutcome::Held => format!("{rule} wants to {wants} and is held, {why}: {because}"),
            RuleOutcome::Taken => format!("{rule} wants to {wants}, but {why}: {because}"),
            RuleOutcome::NoMatch => {
                let missed = self.conditions.iter().filter(|found| !found.held);
                let missed: Vec<String> = missed
                    .map(|ConditionResult { condition, wanted, actual, .. }| {
                        format!("{condition} is {actual} (wanted {wanted})")
                    })
                    .collect();
                format!("{rule} does not match: {}", missed.join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_rule_is_a_line_that_says_what_it_does_and_why() {
        let rule = |outcome: &str, why: Value| {
            json!({"rule": "back", "hash": "x", "mode": "enforce", "wants": "set Ready", "outcome": outcome, "guard": null, "why": why,
                   "because": "planned work since 09:00", "unless": [], "conditions": [
                       {"condition": "for", "wanted": "at least 10m", "actual": "5m", "held": false},
                       {"condition": "planned", "wanted": "work", "actual": "work", "held": true}]})
        };
        let answer = json!({
            "tenant": "acme", "agent": "u_1", "at": "2026-10-26T10:00:00Z", "left_alone_until": "2026-10-26T10:30:00Z",
            "excused_until": null, "rules": [
                rule("no_match", Value::Null), rule("held", json!("its cooldown runs")), rule("taken", json!("rest has the agent")),
                rule("decided", Value::Null)],
        });
        let text = explanation_text(&"acme".into(), &serde_json::from_value(answer).expect("the API's own shape"));
        let expected = "acme at 2026-10-26T10:00:00Z
u_1: left alone until 2026-10-26T10:30:00Z
u_1: back does not match: for is 5m (wanted at least 10m)
u_1: back wants to set Ready and is held, its cooldown runs: planned work since 09:00
u_1: back wants to set Ready, but rest has the agent: planned work since 09:00
u_1: back will set Ready: planned work since 09:00";
        assert_eq!(text, expected);
    }
}
