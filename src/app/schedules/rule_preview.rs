//! What the rules would do differently under a new schedule.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::check::{Comparison, MAX_LISTED, replaced_and_resulting_shifts};
use super::import::Importer;
use crate::domain::adherence::exception::exception_spans;
use crate::domain::adherence::timeline::Span;
use crate::domain::agents::state::AgentState;
use crate::domain::ids::{AgentId, TenantId};
use crate::domain::rules::replay::{ChangedAction, ProjectedAgent, Projection};
use crate::domain::schedules::schedule::{AgentPlan, Coverage, PLAN_LOOKAHEAD, PLAN_LOOKBACK};
use crate::engine::agents::stored_live_view::observation_of;
use crate::engine::rules::backtests::{BacktestInput, BacktestRequest};
use crate::http::{RuleActionChange, RulePreview};
use crate::store::{AgentSchedule, ReadError, StoredAgent, StoredPlan};

/// The longest time range of a preview.
const MAX_SPAN: Duration = Duration::from_hours(24);

/// How long after a shift that changes rules may still act on it.
const AFTER_SHIFT: Duration = Duration::from_hours(1);

/// The plans in force, and both plans of the agents whose schedule changes.
type Plans = (HashMap<AgentId, Arc<AgentPlan>>, HashMap<AgentId, [Arc<AgentPlan>; 2]>);

impl Importer {
    /// Returns what the rules would do differently; `None` if nothing changes from now on, or if no daemon runs the
    /// rules.
    pub(super) async fn rule_preview(
        &self,
        tenant: &TenantId,
        comparison: &Comparison,
        schedules: &[AgentSchedule],
        stored: &[StoredAgent],
    ) -> Result<Option<RulePreview>, ReadError> {
        let Some(span) = preview_span(comparison) else { return Ok(None) };
        // Without a keeper, as in a command without a daemon, nobody knows which rules are in force.
        let prepared = self.keeper_client.prepare_backtest(tenant, BacktestRequest::AllRules).await;
        let Ok(Ok(input)) = prepared else { return Ok(None) };
        if input.replayed.rules().is_empty() {
            return Ok(Some(RulePreview::new(span, Vec::new(), 0, false)));
        }
        let uses_figures = input.uses_figures();
        let (common, changed) = self.plans(tenant, span, comparison, schedules).await?;
        let projection = self.projection(tenant, span, input, comparison, stored).await?;
        let compare = move || {
            let changes = projection.compare(&common, &changed);
            (projection, changes)
        };
        let Ok((projection, changes)) = self.heavy_work.run(compare).await else { return Ok(None) };
        let more = changes.len().saturating_sub(MAX_LISTED);
        let names: HashMap<&AgentId, Option<&str>> =
            stored.iter().map(|stored| (&stored.agent.id, stored.agent.name.as_deref())).collect();
        let listed = changes.into_iter().take(MAX_LISTED).map(|change| {
            let ChangedAction { rule, agent, action, before, after } = change;
            let name = names.get(&agent).copied().flatten().map(str::to_owned);
            let mode = projection.mode_of(&rule).unwrap_or_default();
            RuleActionChange { rule, mode, agent, name, action, before, after }
        });
        Ok(Some(RulePreview::new(span, listed.collect(), more, uses_figures)))
    }

    /// Reads the plans that rules can see in a time range.
    async fn plans(
        &self,
        tenant: &TenantId,
        (from, to): Span,
        comparison: &Comparison,
        schedules: &[AgentSchedule],
    ) -> Result<Plans, ReadError> {
        let stored = self.reader.plans(tenant, (from - PLAN_LOOKBACK, to + PLAN_LOOKAHEAD), None).await?;
        let in_force: HashMap<&AgentId, &StoredPlan> = stored.iter().map(|plan| (&plan.agent, plan)).collect();
        let is_changed: HashSet<&AgentId> =
            comparison.agents.iter().filter(|agent| !agent.changes.is_empty()).map(|agent| &agent.agent).collect();
        let changed = schedules.iter().filter(|new| is_changed.contains(&new.agent.id)).map(|new| {
            let plan = in_force.get(&new.agent.id).copied();
            let (shifts, coverage) = plan.map(|plan| (plan.shifts.clone(), plan.coverage.clone())).unwrap_or_default();
            let before = AgentPlan::new(shifts, coverage.clone());
            let after = AgentPlan::new(replaced_and_resulting_shifts(plan, new).1, new_coverage(coverage, new));
            (new.agent.id.clone(), [Arc::new(before), Arc::new(after)])
        });
        let changed: HashMap<_, _> = changed.collect();
        let common = stored.into_iter().filter(|plan| !changed.contains_key(&plan.agent));
        let common = common.map(|plan| (plan.agent, Arc::new(AgentPlan::new(plan.shifts, plan.coverage))));
        Ok((common.collect(), changed))
    }

    /// Returns the agents as they are now, with the rules in force.
    async fn projection(
        &self,
        tenant: &TenantId,
        span: Span,
        input: BacktestInput,
        comparison: &Comparison,
        stored: &[StoredAgent],
    ) -> Result<Projection, ReadError> {
        let exceptions = self.reader.exceptions_touching(tenant, span).await?;
        let mut states = HashMap::new();
        // Later than now, nobody knows what agents will be doing.
        if span.0 == comparison.now {
            for state in self.reader.latest_states(tenant).await? {
                states.insert(state.row.agent.clone(), observation_of(state.row));
            }
        }
        let is_known = |state: &AgentState| !state.is_unobserved() && *state != AgentState::off_roster();
        let agents = stored.iter().filter(|stored| stored.is_on_roster()).map(|stored| ProjectedAgent {
            observed: states.remove(&stored.agent.id).filter(|observed| is_known(&observed.state)),
            exceptions: exception_spans(&exceptions, &stored.agent.id, stored.agent.team.as_ref()),
            agent: stored.agent.clone(),
        });
        let agents = agents.collect();
        Ok(Projection { tenant: tenant.clone(), agents, rules: input.replayed, settings: input.decide, span })
    }
}

impl RulePreview {
    const fn new((from, to): Span, changes: Vec<RuleActionChange>, more_changes: usize, uses_figures: bool) -> Self {
        Self { from, to, changes, more_changes, uses_figures }
    }
}

/// Returns the time range in which the schedules differ, from now on.
fn preview_span(comparison: &Comparison) -> Option<Span> {
    let (from, to) = comparison.changed_span()?;
    let from = from.max(comparison.now);
    let to = (to + AFTER_SHIFT).min(from + MAX_SPAN);
    (from < to).then_some((from, to))
}

/// Returns the coverage after a new schedule took effect.
fn new_coverage(mut coverage: Vec<Coverage>, new: &AgentSchedule) -> Vec<Coverage> {
    if new.is_covered {
        coverage.push(new.coverage);
    } else {
        coverage.retain(|span| span.start < new.coverage.start || new.coverage.end < span.end);
    }
    coverage
}
