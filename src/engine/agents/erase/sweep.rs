//! Goes over everything that is stored of an agent, in slices, so that the writer's other work is never kept waiting long.
//!
//! The order matters where one row tells what another is about: notes go while the chain still says whose they are, and words about the
//! agent alone while the rows still say so. History goes oldest first: the row that says that the agent left the roster is the last.

use std::collections::{BTreeSet, HashSet};

use super::texts::{cleaned, without_words};
use crate::domain::agents::erasure::{ERASED, Outcome, Wiper};
use crate::domain::audit::{AuditBody, Hash};
use crate::domain::ids::{ChangeSetId, SubjectId};
use crate::engine::platform::link::Link;
use crate::store::{
    AuditFilter, ChangeSetRow, Commit, ErasingChange, KeyPart, Move, Moved, PAGE_LIMIT, SLICE_ROWS, Wiped, WipedRow,
    WipedWrite,
};

/// One going over.
pub(super) struct Sweep<'a> {
    pub(super) link: &'a Link,
    pub(super) wiper: &'a Wiper,
    /// The agent's name in the chain.
    pub(super) subject: SubjectId,
}

/// Bulk changes of the agent alone.
#[derive(Default)]
struct SetsAlone {
    /// Their rows, without what was typed.
    rows: Vec<WipedRow>,
    /// What was typed.
    words: HashSet<String>,
    /// Notes of them, by their hashes.
    notes: HashSet<[u8; 32]>,
}

impl Sweep<'_> {
    /// Everything but the deliveries, whose workers have agents in memory.
    pub(super) async fn go_over(&self, outcome: &mut Outcome) -> anyhow::Result<()> {
        let sets = self.sets_of_agent_alone().await?;
        self.forget_notes(&sets, outcome).await?;
        self.write(Wiped::ChangeSets, sets.rows, outcome).await?;
        self.wipe_exceptions_of_agent_alone(outcome).await?;
        for table in Wiped::ALL.into_iter().filter(|table| !Wiped::OUTBOX.contains(table)) {
            self.wipe(table, outcome).await?;
        }
        for table in Moved::ALL {
            self.move_rows(table, outcome).await?;
        }
        Ok(())
    }

    /// Deliveries and their attempts.
    pub(super) async fn go_over_deliveries(&self, outcome: &mut Outcome) -> anyhow::Result<()> {
        for table in Wiped::OUTBOX {
            self.wipe(table, outcome).await?;
        }
        Ok(())
    }

    async fn move_rows(&self, table: Moved, outcome: &mut Outcome) -> anyhow::Result<()> {
        let (link, tenant) = (self.link, &self.link.tenant);
        loop {
            let left = link.reader.left_to_move(tenant, self.wiper.agent(), table).await?;
            if left == 0 {
                return Ok(());
            }
            let (agent, stand_in) = (self.wiper.agent().clone(), self.wiper.stand_in().clone());
            let moves = vec![Move { tenant: tenant.clone(), agent, stand_in, table }];
            self.commit(ErasingChange { moves, ..ErasingChange::default() }).await?;
            outcome.rows += left;
        }
    }

    async fn wipe(&self, table: Wiped, outcome: &mut Outcome) -> anyhow::Result<()> {
        let mut after: Option<Vec<KeyPart>> = None;
        loop {
            let page = self.link.reader.page_to_wipe(&self.link.tenant, table, after.as_deref(), self.wiper).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.key.clone());
            let changed: Vec<WipedRow> = page.iter().filter_map(|row| cleaned(self.wiper, table, row)).collect();
            self.write(table, changed, outcome).await?;
        }
    }

    async fn write(&self, table: Wiped, rows: Vec<WipedRow>, outcome: &mut Outcome) -> anyhow::Result<()> {
        let most = usize::try_from(SLICE_ROWS).unwrap_or(usize::MAX);
        for slice in rows.chunks(most) {
            let write = |row: &WipedRow| WipedWrite { tenant: self.link.tenant.clone(), table, row: row.clone() };
            let wiped = slice.iter().map(write).collect();
            self.commit(ErasingChange { wiped, ..ErasingChange::default() }).await?;
            outcome.rows += slice.len() as u64;
        }
        Ok(())
    }

    /// Bulk changes of this agent alone, without what was typed with them.
    async fn sets_of_agent_alone(&self) -> anyhow::Result<SetsAlone> {
        let (reader, tenant) = (&self.link.reader, &self.link.tenant);
        let (mut sets, mut after): (BTreeSet<ChangeSetId>, Option<Vec<KeyPart>>) = (BTreeSet::new(), None);
        loop {
            let page = reader.page_to_wipe(tenant, Wiped::ChangeSetAgents, after.as_deref(), self.wiper).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.key.clone());
            for row in page.iter().filter(|row| row.agent.as_ref() == Some(self.wiper.agent())) {
                if let Some(KeyPart::Text(id)) = row.key.first() {
                    sets.insert(id.parse()?);
                }
            }
        }
        let mut alone = SetsAlone::default();
        for id in sets {
            if reader.change_set_agents(tenant, id).await?.len() > 1 {
                continue;
            }
            let Some(set) = reader.change_set(tenant, id).await? else { continue };
            alone.words.extend(typed_words(&set.body));
            alone.notes.extend(self.note_of_cancellation(&set).await?.map(|hash| hash.0));
            if let Some(body) = without_words(&set.body) {
                let key = vec![KeyPart::Text(id.to_string())];
                alone.rows.push(WipedRow { key, hit: true, agent: None, texts: [Some(body), None, None] });
            }
        }
        Ok(alone)
    }

    /// What was typed when a bulk change was called off stands in the notes alone.
    async fn note_of_cancellation(&self, set: &ChangeSetRow) -> anyhow::Result<Option<Hash>> {
        let Some((at, _)) = set.cancelled else { return Ok(None) };
        let (from, to, action) = (Some(at), Some(at.offset(1)), Some("change_set.cancelled".to_owned()));
        let filter = AuditFilter { action, from, to, ..AuditFilter::default() };
        let page = self.link.reader.audit_page(&set.tenant, &filter, PAGE_LIMIT).await?;
        let entries = page.entries.iter().filter_map(|entry| serde_json::from_str::<AuditBody>(&entry.body).ok());
        let id = set.id.to_string();
        let mut about = entries.filter(|entry| entry.why["change_set"] == *id);
        Ok(about.find_map(|entry| entry.note.as_deref().and_then(Hash::from_hex)))
    }

    async fn wipe_exceptions_of_agent_alone(&self, outcome: &mut Outcome) -> anyhow::Result<()> {
        let (reader, tenant) = (&self.link.reader, &self.link.tenant);
        let mut rows = Vec::new();
        for id in reader.exceptions_of_agent_alone(tenant, self.wiper.agent()).await? {
            let Some(exception) = reader.exception(tenant, id).await? else { continue };
            let why = exception.ended.as_ref().and_then(|ended| ended.why.as_deref());
            if &*exception.reason == ERASED && why.is_none_or(|why| why == ERASED) {
                continue;
            }
            let texts = [Some(ERASED.to_owned()), why.map(|_| ERASED.to_owned()), None];
            rows.push(WipedRow { key: vec![KeyPart::Text(id.to_string())], hit: true, agent: None, texts });
        }
        self.write(Wiped::Exceptions, rows, outcome).await
    }

    /// Notes that entries about the agent name, that have id or name in them, or that were typed with these sets.
    async fn forget_notes(&self, sets: &SetsAlone, outcome: &mut Outcome) -> anyhow::Result<()> {
        let (reader, tenant) = (&self.link.reader, &self.link.tenant);
        let mut named = self.notes_of_entries(outcome).await?;
        named.extend(&sets.notes);
        let (mut after, mut gone) = (None, Vec::new());
        loop {
            let page = reader.notes_after(tenant, after).await?;
            let Some((last, _)) = page.last() else { break };
            after = Some(*last);
            let goes = |(hash, text): &(Hash, String)| {
                let goes = named.contains(&hash.0) || sets.words.contains(text) || self.wiper.is_in(text);
                goes.then(|| (tenant.clone(), *hash))
            };
            gone.extend(page.iter().filter_map(goes));
        }
        outcome.notes += gone.len() as u64;
        let most = usize::try_from(SLICE_ROWS).unwrap_or(usize::MAX);
        for slice in gone.chunks(most) {
            self.commit(ErasingChange { notes: slice.to_vec(), ..ErasingChange::default() }).await?;
        }
        Ok(())
    }

    /// The hashes of notes in the entries about the agent. Entries that have id or name in them are noted: they stay.
    async fn notes_of_entries(&self, outcome: &mut Outcome) -> anyhow::Result<HashSet<[u8; 32]>> {
        let (reader, tenant) = (&self.link.reader, &self.link.tenant);
        let (mut after, mut named) = (0, HashSet::new());
        loop {
            let page = reader.entries_to_wipe(tenant, after, self.subject, self.wiper).await?;
            let Some(WipedRow { key, .. }) = page.last() else { return Ok(named) };
            after = number_of(key);
            for row in page.iter().filter(|row| row.hit) {
                let body = row.texts[0].as_deref().unwrap_or_default();
                if self.wiper.is_in(body) {
                    Outcome::list(&mut outcome.audit_entries, number_of(&row.key));
                }
                let Ok(entry) = serde_json::from_str::<AuditBody>(body) else { continue };
                let note = entry.note.as_deref().and_then(Hash::from_hex);
                if entry.subject == Some(self.subject) {
                    named.extend(note.map(|hash| hash.0));
                }
            }
        }
    }

    async fn commit(&self, erasing: ErasingChange) -> anyhow::Result<()> {
        self.link.writer.commit(Commit { erasing, ..Commit::default() }).await?;
        Ok(())
    }
}

fn number_of(key: &[KeyPart]) -> u64 {
    match key.first() {
        Some(KeyPart::Number(number)) => number.unsigned_abs(),
        Some(KeyPart::Text(_)) | None => 0,
    }
}

/// What people typed with a bulk change.
fn typed_words(body: &str) -> Vec<String> {
    let body: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    ["note", "below_floor"].into_iter().filter_map(|field| body[field].as_str().map(str::to_owned)).collect()
}
