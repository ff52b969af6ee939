//! The demo's live status lines, one for each tenant: the store's figures, the simulator's count, and the age of the
//! daemon's observations.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use anyhow::Context as _;

use super::running::Demo;
use crate::cli::shared::messages::print_message;
use crate::cli::shared::output::Output;
use crate::domain::adherence::{AdherenceSettings, Verdict};
use crate::domain::agents::state::AgentState;
use crate::domain::ids::TenantId;
use crate::domain::time::rough_duration_text;
use crate::engine::agents::stored_live_view::read_live_view;
use crate::engine::operations::status::{StatusService, TenantStatus};
use crate::store::{Reader, Store};

/// Status lines that are redrawn in place on a terminal, and printed now and then elsewhere.
pub(super) struct StatusLines {
    reader: Reader,
    status_source: StatusService,
    terminal: bool,
    silent: bool,
    drawn: u32,
    last: Vec<TenantStatus>,
}

/// Without a terminal, lines are printed at every n-th draw.
const DRAWS_PER_PRINT: u32 = 10;

impl StatusLines {
    pub(super) async fn open(demo: &Demo, status_source: StatusService, output: Output) -> anyhow::Result<Self> {
        let reader = Store::read(&demo.store_url).await.context("the demo's store could not be read")?;
        let terminal = std::io::stderr().is_terminal();
        let silent = output == Output::Json && !terminal;
        Ok(Self { reader, status_source, terminal, silent, drawn: 0, last: Vec::new() })
    }

    pub(super) async fn draw(&mut self, demo: &Demo) -> anyhow::Result<()> {
        self.last = self.status_source.collect(|_| true).await.status.tenants;
        self.drawn += 1;
        if self.silent || (!self.terminal && self.drawn % DRAWS_PER_PRINT != 1) {
            return Ok(());
        }
        let mut lines = Vec::new();
        for tenant in &demo.tenants {
            lines.push(self.status_line(demo, tenant).await?);
        }
        if self.terminal {
            self.draw_over(&lines);
        } else {
            lines.iter().for_each(print_message);
        }
        Ok(())
    }

    fn draw_over(&self, lines: &[String]) {
        // A wrapped line could not be redrawn. Nobody watches if standard error is closed.
        let width = terminal_size::terminal_size_of(std::io::stderr()).map_or(80, |(width, _)| usize::from(width.0));
        let mut drawn = String::new();
        if self.drawn > 1 && lines.len() > 1 {
            let _ = write!(drawn, "\x1b[{}A", lines.len() - 1);
        }
        for (number, line) in lines.iter().enumerate() {
            let end = if number + 1 < lines.len() { "\n" } else { "" };
            let line: String = line.chars().take(width.saturating_sub(1)).collect();
            let _ = write!(drawn, "\r\x1b[2K{line}{end}");
        }
        let _ = write!(std::io::stderr(), "{drawn}");
        let _ = std::io::stderr().flush();
    }

    async fn status_line(&self, demo: &Demo, tenant: &TenantId) -> anyhow::Result<String> {
        let now = demo.clock.now();
        let live_view = read_live_view(&self.reader, tenant, now, &[]).await?;
        let adherence = AdherenceSettings::default();
        let mut states: BTreeMap<&AgentState, usize> = BTreeMap::new();
        let (mut within, mut judged) = (0, 0);
        for slot in live_view.roster.agents() {
            let Some(observed) = slot.observed() else { continue };
            *states.entry(&observed.state).or_default() += 1;
            let standing = slot.plan_position(now);
            match adherence.judge(standing.planned(slot.plan()), standing.since(), observed, now).verdict {
                Verdict::In | Verdict::Neutral => (within, judged) = (within + 1, judged + 1),
                Verdict::Out => judged += 1,
                Verdict::Unscheduled | Verdict::Unknown => {}
            }
        }
        let figures = self.reader.compliance_figures(tenant, demo.start, now).await?;
        let count = |status: &str| figures.by_status.get(status).copied().unwrap_or(0);
        let sim = demo.simulator.counts(tenant);
        let mut line = format!("{} {tenant}", now.timestamp().strftime("%a %H:%M"));
        let _ = write!(line, " · in adherence {within}/{judged}");
        if let Some(status) = self.last.iter().find(|status| status.id == *tenant) {
            let _ = write!(line, " · {}", observation_age_text(status));
        }
        let _ = write!(line, " · transitions {} ({} confirmed)", figures.total, count("confirmed"));
        if sim.applied_changes > 0 {
            let per_change = calls_per_change(sim.calls, sim.applied_changes);
            let _ = write!(line, " · calls/change {per_change:.2}");
        }
        for (state, agents) in states {
            let _ = write!(line, " · {state} {agents}");
        }
        Ok(line)
    }

    /// Returns the last status of the tenants.
    pub(super) async fn close(self) -> Vec<TenantStatus> {
        if self.terminal && !self.silent {
            print_message("");
        }
        self.reader.close().await;
        self.last
    }
}

/// Formats the age of observations from the feed and the polls, by the demo's clock.
pub(super) fn observation_age_text(status: &TenantStatus) -> String {
    let old = |age: Option<u64>| age.map_or("none".to_owned(), |age| rough_duration_text(Duration::from_millis(age)));
    let polls = status.subscriptions.iter().map(|one| one.snapshot_age_ms).max();
    let feed =
        if status.feed.state == "live" { old(status.feed.last_message_age_ms) } else { status.feed.state.clone() };
    format!("feed {feed}, polls {}", old(polls))
}

/// Returns the calls of the platform for each applied change, rounded to four decimals.
pub(super) fn calls_per_change(calls: u64, changes: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a demo's counts are far below 2^52")]
    let ratio = calls as f64 / changes.max(1) as f64;
    (ratio * 10_000.0).round() / 10_000.0
}
