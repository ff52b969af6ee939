//! The demo's live status lines, one for each tenant: what the store says, beside the simulator's count, and how old what the
//! daemon sees is.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use anyhow::Context as _;

use super::Demo;
use crate::cli::shared::output::Output;
use crate::cli::shared::talk::say;
use crate::domain::adherence::{AdherenceSettings, Verdict};
use crate::domain::agents::state::AgentState;
use crate::domain::ids::TenantId;
use crate::domain::time::rough_duration_text;
use crate::engine::agents::picture::read_picture;
use crate::engine::operations::status::{StatusDesk, TenantStatus};
use crate::store::{Reader, Store};

/// Draws the lines over themselves on a terminal, and prints them now and then where there is none.
pub(super) struct StatusLines {
    reader: Reader,
    desk: StatusDesk,
    terminal: bool,
    silent: bool,
    drawn: u32,
    last: Vec<TenantStatus>,
}

/// Without a terminal the lines are printed once for so many times.
const LINES_BETWEEN: u32 = 10;

impl StatusLines {
    pub(super) async fn open(demo: &Demo, desk: StatusDesk, output: Output) -> anyhow::Result<Self> {
        let reader = Store::read(&demo.store_url).await.context("the demo's store")?;
        let terminal = std::io::stderr().is_terminal();
        let silent = output == Output::Json && !terminal;
        Ok(Self { reader, desk, terminal, silent, drawn: 0, last: Vec::new() })
    }

    pub(super) async fn draw(&mut self, demo: &Demo) -> anyhow::Result<()> {
        self.last = self.desk.look(|_| true).await.status.tenants;
        self.drawn += 1;
        if self.silent || (!self.terminal && self.drawn % LINES_BETWEEN != 1) {
            return Ok(());
        }
        let mut lines = Vec::new();
        for tenant in &demo.tenants {
            lines.push(self.line(demo, tenant).await?);
        }
        if self.terminal {
            self.draw_over(&lines);
        } else {
            lines.iter().for_each(say);
        }
        Ok(())
    }

    fn draw_over(&self, lines: &[String]) {
        // A line that wraps could not be drawn over. Nobody watches when standard error is gone.
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

    async fn line(&self, demo: &Demo, tenant: &TenantId) -> anyhow::Result<String> {
        let now = demo.clock.now();
        let picture = read_picture(&self.reader, tenant, now, &[]).await?;
        let adherence = AdherenceSettings::default();
        let mut states: BTreeMap<&AgentState, usize> = BTreeMap::new();
        let (mut within, mut judged) = (0, 0);
        for slot in picture.roster.slots() {
            let Some(observed) = slot.observed() else { continue };
            *states.entry(&observed.state).or_default() += 1;
            let standing = slot.standing(now);
            match adherence.judge(standing.planned(slot.plan()), standing.since(), observed, now).verdict {
                Verdict::In | Verdict::Neutral => (within, judged) = (within + 1, judged + 1),
                Verdict::Out => judged += 1,
                Verdict::Unscheduled | Verdict::Unknown => {}
            }
        }
        let figures = self.reader.compliance(tenant, demo.start, now).await?;
        let count = |status: &str| figures.by_status.get(status).copied().unwrap_or(0);
        let sim = demo.simulator.counts(tenant);
        let mut line = format!("{} {tenant}", now.timestamp().strftime("%a %H:%M"));
        let _ = write!(line, " · in adherence {within}/{judged}");
        if let Some(status) = self.last.iter().find(|status| status.id == *tenant) {
            let _ = write!(line, " · {}", sight(status));
        }
        let _ = write!(line, " · transitions {} ({} confirmed)", figures.total, count("confirmed"));
        if sim.applied_changes > 0 {
            let per_change = super::summary::ratio(sim.calls, sim.applied_changes);
            let _ = write!(line, " · calls/change {per_change:.2}");
        }
        for (state, agents) in states {
            let _ = write!(line, " · {state} {agents}");
        }
        Ok(line)
    }

    /// Gives the last look at the tenants.
    pub(super) async fn close(self) -> Vec<TenantStatus> {
        if self.terminal && !self.silent {
            say("");
        }
        self.reader.close().await;
        self.last
    }
}

/// How old what the feed and the polls show is, by the demo's clock.
pub(super) fn sight(status: &TenantStatus) -> String {
    let old = |age: Option<u64>| age.map_or("none".to_owned(), |age| rough_duration_text(Duration::from_millis(age)));
    let polls = status.subscriptions.iter().map(|one| one.snapshot_age_ms).max();
    let feed =
        if status.feed.state == "live" { old(status.feed.last_message_age_ms) } else { status.feed.state.clone() };
    format!("feed {feed}, polls {}", old(polls))
}
