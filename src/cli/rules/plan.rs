//! `shiftkeeper plan`: what the rules would do now, and why. Reads the store alone, beside a running daemon or without one, and
//! decides with the planner that the daemon decides with.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::sync::Arc;

use serde::Serialize;

use crate::app::{SettingsError, clock_of, tenant_settings};
use crate::cli::shared::config_args::ConfigArgs;
use crate::cli::shared::exit::Exit;
use crate::cli::shared::output::{Output, print, print_json};
use crate::cli::shared::scope::{daemon_runs, open_reader, tenants};
use crate::cli::shared::talk::{Failure, say};
use crate::config::{Config, Tenant};
use crate::domain::agents::roster::{AgentIndex, Roster};
use crate::domain::ids::{AgentId, TenantId};
use crate::domain::rules::planner::{Explanation, Guard, Held, Intent, Wanted, decide, explain};
use crate::domain::rules::rule::compile::RuleSet;
use crate::domain::rules::rule::shelf::Listed;
use crate::domain::time::{UtcMicros, rough_duration_text};
use crate::domain::words::count;
use crate::engine::agents::picture::{Picture, mark_excused, read_picture};
use crate::engine::analytics::anomalies::last_found;
use crate::engine::live::figures::last_stored;
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
    /// Where the configuration comes from.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// One tenant; all of them without it.
    #[arg(long, value_name = "ID")]
    pub tenant: Option<TenantId>,
    /// One agent, with how every rule applies to it.
    #[arg(long, value_name = "AGENT")]
    pub agent: Option<AgentId>,
    /// Also show held changes, and what holds each.
    #[arg(long)]
    pub all: bool,
    /// How to print.
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Output,
}

/// What the rules would do for one tenant; its JSON shape is part of the command's interface.
#[derive(Serialize, Debug)]
struct TenantPlan {
    tenant: TenantId,
    /// The instant that was decided for.
    at: UtcMicros,
    agents: usize,
    /// Those with a shift in the days around that instant.
    planned_agents: usize,
    /// When the newest known state began.
    newest_history: Option<UtcMicros>,
    /// Whether a daemon has the store, so that history goes on.
    daemon_runs: bool,
    open_transitions: usize,
    intents: Vec<Intent>,
    #[serde(skip_serializing_if = "Option::is_none")]
    held: Option<Vec<HeldWish>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    explanation: Option<Explanation>,
}

/// A wish that is held, with what it is.
#[derive(Serialize, Debug)]
struct HeldWish {
    #[serde(flatten)]
    held: Held,
    wish: Option<Wanted>,
    because: Option<String>,
}

/// Decides and prints.
pub async fn run(args: PlanArgs) -> anyhow::Result<ExitCode> {
    let loaded = args.config.load_for_command()?;
    let config = &loaded.config;
    let wanted = tenants(config, args.tenant.as_ref())?;
    let reader = open_reader(config).await?;
    let runs = daemon_runs(&reader).await?;
    let mut plans = Vec::new();
    for tenant in wanted {
        plans.push(plan(&reader, config, tenant, &args, runs).await?);
    }
    reader.close().await;
    if let Some(agent) = &args.agent {
        plans.retain(|plan| plan.explanation.is_some());
        if plans.is_empty() {
            let known = "neither an imported schedule nor a tenant's `agents` names it";
            return Err(Failure::because(Exit::Failed, format!("there is no agent {agent}: {known}")));
        }
    }
    plans.iter().filter_map(TenantPlan::caution).for_each(say);
    match args.output {
        Output::Json => print_json(&serde_json::json!({ "tenants": plans }))?,
        Output::Table => print(plans.iter().map(TenantPlan::text).collect::<Vec<_>>().join("\n\n"))?,
    }
    Ok(Exit::Done.into())
}

async fn plan(
    reader: &Reader,
    config: &Config,
    tenant: &Tenant,
    args: &PlanArgs,
    daemon_runs: bool,
) -> anyhow::Result<TenantPlan> {
    let (settings, _) = rules_in_force(reader, config, tenant).await?;
    // Simulated time is the daemon's own; what it recorded last tells how far it has come.
    let now = clock_of(config).await.now();
    let mut picture = read_picture(reader, &tenant.id, now, &settings.agents).await?;
    for agent in &picture.leaving {
        picture.roster.remove(agent.as_str());
    }
    count_as_seen(&mut picture.roster, now);
    mark_excused(reader, &mut picture.roster, now).await?;
    // Figures have their age in the store: old ones are undecided here as in the daemon.
    picture.roster.set_figures(Arc::new(last_stored(reader, &tenant.id, &settings.figures).await?));
    picture.roster.set_anomalies(Arc::new(last_found(reader, &tenant.id, &settings.series, now).await?));
    Ok(decided(&picture, &settings, args, now, daemon_runs))
}

/// The settings of a tenant with the store's rules, and every rule that there is.
pub(super) async fn rules_in_force(
    reader: &Reader,
    config: &Config,
    tenant: &Tenant,
) -> anyhow::Result<(TenantSettings, Vec<Listed>)> {
    let editions = reader.rule_editions(&tenant.id).await?;
    let joined = tenant_settings(config, tenant)?.with_rules(&editions);
    joined.map_err(|complaints| SettingsError::Rules(complaints).into())
}

/// When a sight was generated is not stored, and on old sight nothing is decided: every known state counts as seen now.
fn count_as_seen(roster: &mut Roster, now: UtcMicros) {
    let known: Vec<AgentIndex> =
        roster.iter().filter(|(_, slot)| slot.observed().is_some()).map(|(index, _)| index).collect();
    for index in known {
        roster.seen(index, now);
    }
    roster.advance(now);
}

fn decided(
    picture: &Picture,
    settings: &TenantSettings,
    args: &PlanArgs,
    now: UtcMicros,
    daemon_runs: bool,
) -> TenantPlan {
    let (roster, rules) = (&picture.roster, &*settings.rules);
    let decisions = decide(roster, rules, &settings.decide, now);
    let about = |agent: &AgentId| args.agent.as_ref().is_none_or(|wanted| wanted == agent);
    let held = |held: Held| HeldWish {
        wish: wish_of(rules, &held),
        because: held.facts(roster, rules, &settings.decide, now).map(|facts| facts.to_string()),
        held,
    };
    TenantPlan {
        tenant: roster.tenant().clone(),
        at: now,
        agents: roster.len(),
        planned_agents: roster.slots().iter().filter(|slot| !slot.plan().segments().is_empty()).count(),
        newest_history: picture.newest,
        daemon_runs,
        open_transitions: picture.open.len(),
        intents: decisions.intents.into_iter().filter(|intent| about(&intent.agent)).collect(),
        held: args.all.then(|| decisions.held.into_iter().filter(|held| about(&held.agent)).map(held).collect()),
        explanation: args
            .agent
            .as_ref()
            .and_then(|agent| explain(roster, agent.as_str(), rules, &settings.decide, now)),
    }
}

fn wish_of(rules: &RuleSet, held: &Held) -> Option<Wanted> {
    rules.rules().iter().find(|rule| rule.id == held.rule).map(|rule| rule.action.clone())
}

impl TenantPlan {
    /// What to bear in mind when reading it.
    fn caution(&self) -> Option<String> {
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
                "note: no agent of {tenant} has a shift in this period, so rules about the plan match nobody: import a schedule"
            ));
        }
        let age = rough_duration_text(self.at.since(newest));
        (!self.daemon_runs).then(|| {
            format!("note: no daemon runs; the newest state of {tenant} is {age} old and counts as observed now")
        })
    }

    fn text(&self) -> String {
        let (agents, intents) = (count(self.agents, "agent"), count(self.intents.len(), "intent"));
        let mut text = format!("{} at {:.0}: {agents}, {intents}", self.tenant, self.at);
        if let Some(held) = &self.held {
            let _ = write!(text, ", {} held", held.len());
        }
        if self.open_transitions > 0 {
            let _ = write!(text, ", {} open already", count(self.open_transitions, "transition"));
        }
        if let Some(explanation) = &self.explanation {
            let _ = write!(text, "\n{explanation}");
        } else {
            for intent in &self.intents {
                let _ = write!(text, "\n{intent}");
            }
        }
        for held in self.held.iter().flatten() {
            let _ = write!(text, "\n{}", held.line());
        }
        text
    }
}

impl HeldWish {
    fn line(&self) -> String {
        let Held { agent, rule, guard, .. } = &self.held;
        let wish = self.wish.as_ref().map(ToString::to_string).unwrap_or_default();
        let because = self.because.as_deref().unwrap_or_default();
        format!("{agent}: {rule} wants to {wish} and is held, {}: {because}", by(*guard))
    }
}

/// A guard as what holds a wish back.
fn by(guard: Guard) -> String {
    match guard {
        Guard::Unless => "its `unless` holds".to_owned(),
        Guard::Excused => "the agent has an approved exception".to_owned(),
        Guard::NeverSeen => "the agent has not been observed yet".to_owned(),
        Guard::StaleSight => "the last observation is too old".to_owned(),
        Guard::UnknownState => "no table knows the agent's state".to_owned(),
        Guard::AsWanted => "the agent is in that state already".to_owned(),
        Guard::Policy(violation) => format!("policy forbids it: {violation}"),
        Guard::OnContact => "the agent is with a contact".to_owned(),
        Guard::OpenTransition => "a transition is open".to_owned(),
        Guard::SetByPerson => "a person set the state that the agent is in".to_owned(),
        Guard::LeftAlone => "the agent reverted a change and is left alone".to_owned(),
        Guard::Flapping => "the agent had as many automatic changes in the last hour as are allowed".to_owned(),
        Guard::SaidAlready => "the notification was sent already".to_owned(),
        Guard::Cooldown => "its cooldown runs".to_owned(),
        Guard::PerMinute => "its limit a minute is reached".to_owned(),
        Guard::ShareOfTeam => "its limit for the team is reached".to_owned(),
    }
}

#[cfg(test)]
mod tests;
