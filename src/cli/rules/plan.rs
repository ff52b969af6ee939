//! `shiftkeeper plan`: what the rules would do now, and why. It only reads the store, with or without a running
//! daemon, and uses the daemon's own planner.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::sync::Arc;

use serde::Serialize;

use crate::app::{SettingsError, clock_for, tenant_settings};
use crate::cli::shared::config_args::ConfigArgs;
use crate::cli::shared::exit::{CommandFailure, Exit};
use crate::cli::shared::messages::print_message;
use crate::cli::shared::output::Output;
use crate::cli::shared::scope::{is_daemon_running, open_reader, selected_tenants};
use crate::config::{Config, Tenant};
use crate::domain::agents::roster::{AgentIndex, Roster};
use crate::domain::ids::{AgentId, TenantId};
use crate::domain::rules::planner::{Explanation, Guard, HeldIntent, Intent, RuleAction, decide, explain};
use crate::domain::rules::rule::catalog::CatalogEntry;
use crate::domain::rules::rule::compile::RuleSet;
use crate::domain::time::{UtcMicros, rough_duration_text};
use crate::domain::wording::count_with_noun;
use crate::engine::agents::stored_live_view::{StoredLiveView, apply_exceptions, read_live_view};
use crate::engine::analytics::anomalies::load_recent_anomalies;
use crate::engine::live::figures::load_last_figures;
use crate::engine::operations::settings::TenantSettings;
use crate::store::Reader;

/// Options of `plan`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Nothing is changed. The last stored state of each agent counts as observed now; a running daemon decides \
                  only on fresh observations. Times of day are those of the agent's own time zone.

Examples:
  shiftkeeper plan
  shiftkeeper plan --tenant acme --all
  shiftkeeper plan --agent u_0001
  shiftkeeper plan --output json"
)]
pub struct PlanArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// One tenant. The default is all tenants.
    #[arg(long, value_name = "ID")]
    pub tenant: Option<TenantId>,
    /// Show one agent and how every rule applies.
    #[arg(long, value_name = "AGENT")]
    pub agent: Option<AgentId>,
    /// Also show held changes, and why each is held.
    #[arg(long)]
    pub all: bool,
    /// The output format.
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Output,
}

/// What the rules would do for one tenant. Its JSON format is part of the command's interface.
#[derive(Serialize, Debug)]
struct TenantPlan {
    tenant: TenantId,
    /// The instant of the decision.
    at: UtcMicros,
    agents: usize,
    /// The number of agents with a shift in the days around that instant.
    planned_agents: usize,
    /// The start of the newest known state.
    newest_history: Option<UtcMicros>,
    /// Whether a daemon has the store, so that history continues.
    daemon_runs: bool,
    open_transitions: usize,
    intents: Vec<Intent>,
    #[serde(skip_serializing_if = "Option::is_none")]
    held: Option<Vec<HeldIntentRow>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    explanation: Option<Explanation>,
}

/// A held change and its guard.
#[derive(Serialize, Debug)]
struct HeldIntentRow {
    #[serde(flatten)]
    held: HeldIntent,
    wish: Option<RuleAction>,
    because: Option<String>,
}

/// Runs the command.
pub async fn run(args: PlanArgs) -> anyhow::Result<ExitCode> {
    let loaded = args.config.load_for_command()?;
    let config = &loaded.config;
    let selected = selected_tenants(config, args.tenant.as_ref())?;
    let reader = open_reader(config).await?;
    let is_running = is_daemon_running(&reader).await?;
    let mut plans = Vec::new();
    for tenant in selected {
        plans.push(plan_tenant(&reader, config, tenant, &args, is_running).await?);
    }
    reader.close().await;
    if let Some(agent) = &args.agent {
        plans.retain(|plan| plan.explanation.is_some());
        if plans.is_empty() {
            let known = "neither an imported schedule nor a tenant's `agents` names it";
            return Err(CommandFailure::with_exit(Exit::Failed, format!("there is no agent {agent}: {known}")));
        }
    }
    plans.iter().filter_map(TenantPlan::warning_note).for_each(print_message);
    args.output.print(&serde_json::json!({ "tenants": plans }), || {
        plans.iter().map(TenantPlan::text).collect::<Vec<_>>().join("\n\n")
    })?;
    Ok(Exit::Done.into())
}

async fn plan_tenant(
    reader: &Reader,
    config: &Config,
    tenant: &Tenant,
    args: &PlanArgs,
    daemon_runs: bool,
) -> anyhow::Result<TenantPlan> {
    let (settings, _) = rules_in_force(reader, config, tenant).await?;
    // Simulated time is the daemon's own; its last record tells how far it has come.
    let now = clock_for(config).await.now();
    let mut live_view = read_live_view(reader, &tenant.id, now, &settings.agents).await?;
    for agent in &live_view.finishing {
        live_view.roster.remove(agent.as_str());
    }
    mark_as_observed(&mut live_view.roster, now);
    apply_exceptions(reader, &mut live_view.roster, now).await?;
    // The store has the age of figures, so old figures are undecided here as in the daemon.
    live_view.roster.set_figures(Arc::new(load_last_figures(reader, &tenant.id, &settings.figures).await?));
    live_view.roster.set_anomalies(Arc::new(load_recent_anomalies(reader, &tenant.id, &settings.series, now).await?));
    live_view.roster.set_team_queues(Arc::new(tenant.team_queues.clone()));
    Ok(build_plan(&live_view, &settings, args, now, daemon_runs))
}

/// Returns the settings of a tenant with the store's rules, and all rules.
pub(super) async fn rules_in_force(
    reader: &Reader,
    config: &Config,
    tenant: &Tenant,
) -> anyhow::Result<(TenantSettings, Vec<CatalogEntry>)> {
    let editions = reader.rule_editions(&tenant.id).await?;
    let joined = tenant_settings(config, tenant)?.with_rules(&editions);
    joined.map_err(|complaints| SettingsError::Rules(complaints).into())
}

/// Marks every known state as observed now, since observation times are not stored and nothing is decided on old
/// observations.
fn mark_as_observed(roster: &mut Roster, now: UtcMicros) {
    let known: Vec<AgentIndex> =
        roster.iter().filter(|(_, slot)| slot.observed().is_some()).map(|(index, _)| index).collect();
    for index in known {
        roster.mark_observed(index, now);
    }
    roster.advance(now);
}

fn build_plan(
    live_view: &StoredLiveView,
    settings: &TenantSettings,
    args: &PlanArgs,
    now: UtcMicros,
    daemon_runs: bool,
) -> TenantPlan {
    let (roster, rules) = (&live_view.roster, &*settings.rules);
    let decisions = decide(roster, rules, &settings.decide, now);
    let about = |agent: &AgentId| args.agent.as_ref().is_none_or(|wanted| wanted == agent);
    let held = |held: HeldIntent| HeldIntentRow {
        wish: intent_action(rules, &held),
        because: held.facts(roster, rules, &settings.decide, now).map(|facts| facts.to_string()),
        held,
    };
    TenantPlan {
        tenant: roster.tenant().clone(),
        at: now,
        agents: roster.len(),
        planned_agents: roster.agents().iter().filter(|slot| !slot.plan().segments().is_empty()).count(),
        newest_history: live_view.newest_observation,
        daemon_runs,
        open_transitions: live_view.open.len(),
        intents: decisions.intents.into_iter().filter(|intent| about(&intent.agent)).collect(),
        held: args.all.then(|| decisions.held.into_iter().filter(|held| about(&held.agent)).map(held).collect()),
        explanation: args
            .agent
            .as_ref()
            .and_then(|agent| explain(roster, agent.as_str(), rules, &settings.decide, now)),
    }
}

fn intent_action(rules: &RuleSet, held: &HeldIntent) -> Option<RuleAction> {
    rules.rules().iter().find(|rule| rule.id == held.rule).map(|rule| rule.action.clone())
}

impl TenantPlan {
    /// Returns a caveat for the reader, if there is one.
    fn warning_note(&self) -> Option<String> {
        let tenant = &self.tenant;
        if self.agents == 0 {
            return Some(format!(
                "note: {tenant} has no agents: import a schedule, or list them in the tenant's `agents`"
            ));
        }
        let Some(newest) = self.newest_history else {
            return Some(format!("note: no agent of {tenant} has been observed yet, so nothing is decided"));
        };
        if self.planned_agents == 0 {
            return Some(format!(
                "note: no agent of {tenant} has a shift in this period, so rules about the plan match no agent: import a schedule"
            ));
        }
        let age = rough_duration_text(self.at.since(newest));
        (!self.daemon_runs).then(|| {
            format!("note: no daemon runs; the newest state of {tenant} is {age} old and counts as observed now")
        })
    }

    fn text(&self) -> String {
        let (agents, intents) = (count_with_noun(self.agents, "agent"), count_with_noun(self.intents.len(), "intent"));
        let mut text = format!("{} at {:.0}: {agents}, {intents}", self.tenant, self.at);
        if let Some(held) = &self.held {
            let _ = write!(text, ", {} held", held.len());
        }
        if self.open_transitions > 0 {
            let _ = write!(text, ", {} open already", count_with_noun(self.open_transitions, "transition"));
        }
        if let Some(explanation) = &self.explanation {
            let _ = write!(text, "\n{explanation}");
        } else {
            for intent in &self.intents {
                let _ = write!(text, "\n{intent}");
            }
        }
        for held in self.held.iter().flatten() {
            let _ = write!(text, "\n{}", held.summary_line());
        }
        text
    }
}

impl HeldIntentRow {
    fn summary_line(&self) -> String {
        let HeldIntent { agent, rule, guard, .. } = &self.held;
        let action = self.wish.as_ref().map(ToString::to_string).unwrap_or_default();
        let because = self.because.as_deref().unwrap_or_default();
        format!("{agent}: {rule} wants to {action} and is held, {}: {because}", guard_text(*guard))
    }
}

/// Describes the guard that holds a change.
fn guard_text(guard: Guard) -> String {
    match guard {
        Guard::Unless => "its `unless` holds".to_owned(),
        Guard::Excused => "the agent has an approved exception".to_owned(),
        Guard::NeverSeen => "the agent has not been observed yet".to_owned(),
        Guard::StaleSight => "the last observation is too old".to_owned(),
        Guard::UnknownState => "no table knows the agent's state".to_owned(),
        Guard::AsWanted => "the agent is in that state already".to_owned(),
        Guard::LoggedOut => "the agent is logged out".to_owned(),
        Guard::Policy(violation) => format!("policy forbids it: {violation}"),
        Guard::OnContact => "the agent is with a contact".to_owned(),
        Guard::OpenTransition => "a transition is open".to_owned(),
        Guard::SetByPerson => "a person set the state that the agent is in".to_owned(),
        Guard::LeftAlone => "the agent reverted a change and is left alone".to_owned(),
        Guard::Flapping => "the agent had as many automatic changes in the last hour as are allowed".to_owned(),
        Guard::NoShift => "the agent has no shift now, and none is known to come".to_owned(),
        Guard::SaidAlready => "the same was sent or proposed already".to_owned(),
        Guard::Cooldown => "its cooldown runs".to_owned(),
        Guard::PerMinute => "its limit a minute is reached".to_owned(),
        Guard::ShareOfTeam => "its limit for the team is reached".to_owned(),
    }
}

#[cfg(test)]
mod tests;
