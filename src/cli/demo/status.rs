//! The demo's live status line: what the store says, beside the simulator's count.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};

use anyhow::Context as _;

use super::Demo;
use crate::cli::output::Output;
use crate::cli::talk::say;
use crate::domain::adherence::{AdherenceSettings, Verdict};
use crate::domain::state::AgentState;
use crate::engine::picture::read_picture;
use crate::store::{Reader, Store};

/// Draws one line over itself on a terminal, and a line now and then where there is none.
pub(super) struct StatusLine {
    reader: Reader,
    terminal: bool,
    silent: bool,
    drawn: u32,
}

/// Without a terminal one line is printed for so many.
const LINES_BETWEEN: u32 = 10;

impl StatusLine {
    pub(super) async fn open(demo: &Demo, output: Output) -> anyhow::Result<Self> {
        let reader = Store::read(&demo.store_url).await.context("the demo's store")?;
        let terminal = std::io::stderr().is_terminal();
        Ok(Self { reader, terminal, silent: output == Output::Json && !terminal, drawn: 0 })
    }

    pub(super) async fn draw(&mut self, demo: &Demo) -> anyhow::Result<()> {
        self.drawn += 1;
        if self.silent || (!self.terminal && self.drawn % LINES_BETWEEN != 1) {
            return Ok(());
        }
        let line = self.line(demo).await?;
        if self.terminal {
            // A line that wraps could not be drawn over. Nobody watches when standard error is gone.
            let width =
                terminal_size::terminal_size_of(std::io::stderr()).map_or(80, |(width, _)| usize::from(width.0));
            let line: String = line.chars().take(width.saturating_sub(1)).collect();
            let _ = write!(std::io::stderr(), "\r\x1b[2K{line}");
            let _ = std::io::stderr().flush();
        } else {
            say(line);
        }
        Ok(())
    }

    async fn line(&self, demo: &Demo) -> anyhow::Result<String> {
        let now = demo.clock.now();
        let picture = read_picture(&self.reader, &demo.tenant, now, &[]).await?;
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
        let figures = self.reader.compliance(&demo.tenant, demo.start, now).await?;
        let count = |status: &str| figures.by_status.get(status).copied().unwrap_or(0);
        let sim = demo.simulator.counts(&demo.tenant);
        let mut line = now.timestamp().strftime("%a %H:%M").to_string();
        let _ = write!(line, " · in adherence {within}/{judged}");
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

    pub(super) async fn close(self) {
        if self.terminal && !self.silent {
            say("");
        }
        self.reader.close().await;
    }
}
