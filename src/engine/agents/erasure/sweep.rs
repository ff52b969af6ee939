//! The sweep over everything stored about an agent, in slices so that other writes never wait long.
//!
//! The order matters where one row tells what another is about. Notes are removed while the chain still says whose they
//! are, and texts about the agent alone while the rows still say so. History is swept oldest first, so that the row for
//! leaving the roster is the last.

use std::collections::{BTreeSet, HashSet};

use super::texts::{clean_change_set_body, clean_row};
use crate::domain::agents::erasure::{ERASED_TEXT, ErasureResult, TextEraser};
use crate::domain::audit::{AuditBody, Hash};
use crate::domain::ids::{ChangeSetId, SubjectId};
use crate::engine::platform::link::Link;
use crate::store::{
    AuditFilter, ChangeSetRow, Commit, ErasureChange, KeyPart, MovedTable, PAGE_LIMIT, SLICE_ROWS, StandInMove,
    WipedRow, WipedRowWrite, WipedTable,
};

/// One sweep.
pub(super) struct ErasureSweep<'a> {
    pub(super) link: &'a Link,
    pub(super) eraser: &'a TextEraser,
    /// The agent's subject id in the audit chain.
    pub(super) subject_id: SubjectId,
}

/// The bulk changes that concern only this agent.
#[derive(Default)]
struct SoleAgentChangeSets {
    /// Their rows, without the texts that people typed.
    rows: Vec<WipedRow>,
    /// The texts that people typed.
    texts: HashSet<String>,
    /// The hashes of their notes.
    notes: HashSet<[u8; 32]>,
}

impl ErasureSweep<'_> {
    /// Sweeps everything except deliveries, whose workers hold agents in memory.
    pub(super) async fn sweep(&self, outcome: &mut ErasureResult) -> anyhow::Result<()> {
        let sets = self.sole_agent_change_sets().await?;
        self.remove_notes(&sets, outcome).await?;
        self.write(WipedTable::ChangeSets, sets.rows, outcome).await?;
        self.wipe_sole_agent_exceptions(outcome).await?;
        for table in WipedTable::ALL.into_iter().filter(|table| !WipedTable::OUTBOX.contains(table)) {
            self.wipe(table, outcome).await?;
        }
        for table in MovedTable::ALL {
            self.move_rows(table, outcome).await?;
        }
        Ok(())
    }

    /// Sweeps deliveries and their attempts.
    pub(super) async fn sweep_deliveries(&self, outcome: &mut ErasureResult) -> anyhow::Result<()> {
        for table in WipedTable::OUTBOX {
            self.wipe(table, outcome).await?;
        }
        Ok(())
    }

    async fn move_rows(&self, table: MovedTable, outcome: &mut ErasureResult) -> anyhow::Result<()> {
        let (link, tenant) = (self.link, &self.link.tenant);
        loop {
            let remaining = link.reader.rows_left_to_move(tenant, self.eraser.agent(), table).await?;
            if remaining == 0 {
                return Ok(());
            }
            let (agent, stand_in) = (self.eraser.agent().clone(), self.eraser.stand_in().clone());
            let moves = vec![StandInMove { tenant: tenant.clone(), agent, stand_in, table }];
            self.commit(ErasureChange { moves, ..ErasureChange::default() }).await?;
            outcome.rows += remaining;
        }
    }

    async fn wipe(&self, table: WipedTable, outcome: &mut ErasureResult) -> anyhow::Result<()> {
        let mut after: Option<Vec<KeyPart>> = None;
        loop {
            let page = self.link.reader.page_to_wipe(&self.link.tenant, table, after.as_deref(), self.eraser).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.key.clone());
            let changed: Vec<WipedRow> = page.iter().filter_map(|row| clean_row(self.eraser, table, row)).collect();
            self.write(table, changed, outcome).await?;
        }
    }

    async fn write(&self, table: WipedTable, rows: Vec<WipedRow>, outcome: &mut ErasureResult) -> anyhow::Result<()> {
        let max_rows = usize::try_from(SLICE_ROWS).unwrap_or(usize::MAX);
        for slice in rows.chunks(max_rows) {
            let write = |row: &WipedRow| WipedRowWrite { tenant: self.link.tenant.clone(), table, row: row.clone() };
            let wiped = slice.iter().map(write).collect();
            self.commit(ErasureChange { wiped_rows: wiped, ..ErasureChange::default() }).await?;
            outcome.rows += slice.len() as u64;
        }
        Ok(())
    }

    /// Returns the bulk changes of this agent alone, without the texts that people typed.
    async fn sole_agent_change_sets(&self) -> anyhow::Result<SoleAgentChangeSets> {
        let (reader, tenant) = (&self.link.reader, &self.link.tenant);
        let (mut sets, mut after): (BTreeSet<ChangeSetId>, Option<Vec<KeyPart>>) = (BTreeSet::new(), None);
        loop {
            let page = reader.page_to_wipe(tenant, WipedTable::ChangeSetAgents, after.as_deref(), self.eraser).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.key.clone());
            for row in page.iter().filter(|row| row.agent.as_ref() == Some(self.eraser.agent())) {
                if let Some(KeyPart::Text(id)) = row.key.first() {
                    sets.insert(id.parse()?);
                }
            }
        }
        let mut sole_sets = SoleAgentChangeSets::default();
        for id in sets {
            if reader.change_set_agents(tenant, id).await?.len() > 1 {
                continue;
            }
            let Some(set) = reader.change_set(tenant, id).await? else { continue };
            sole_sets.texts.extend(typed_texts(&set.body));
            sole_sets.notes.extend(self.cancellation_note_hash(&set).await?.map(|hash| hash.0));
            if let Some(body) = clean_change_set_body(&set.body) {
                let key = vec![KeyPart::Text(id.to_string())];
                sole_sets.rows.push(WipedRow {
                    key,
                    may_name_agent: true,
                    agent: None,
                    texts: [Some(body), None, None],
                });
            }
        }
        Ok(sole_sets)
    }

    /// Returns the hash of the note typed when a bulk change was cancelled, which is in the notes only.
    async fn cancellation_note_hash(&self, set: &ChangeSetRow) -> anyhow::Result<Option<Hash>> {
        let Some((at, _)) = set.cancelled else { return Ok(None) };
        let (from, to, action) = (Some(at), Some(at.offset(1)), Some("change_set.cancelled".to_owned()));
        let filter = AuditFilter { action, from, to, ..AuditFilter::default() };
        let page = self.link.reader.audit_page(&set.tenant, &filter, PAGE_LIMIT).await?;
        let entries = page.entries.iter().filter_map(|entry| serde_json::from_str::<AuditBody>(&entry.body).ok());
        let id = set.id.to_string();
        let mut of_this_set = entries.filter(|entry| entry.why["change_set"] == *id);
        Ok(of_this_set.find_map(|entry| entry.note.as_deref().and_then(Hash::from_hex)))
    }

    async fn wipe_sole_agent_exceptions(&self, outcome: &mut ErasureResult) -> anyhow::Result<()> {
        let (reader, tenant) = (&self.link.reader, &self.link.tenant);
        let mut rows = Vec::new();
        for id in reader.exceptions_naming_only(tenant, self.eraser.agent()).await? {
            let Some(exception) = reader.exception(tenant, id).await? else { continue };
            let reason = exception.early_end.as_ref().and_then(|ended| ended.reason.as_deref());
            if &*exception.reason == ERASED_TEXT && reason.is_none_or(|why| why == ERASED_TEXT) {
                continue;
            }
            let texts = [Some(ERASED_TEXT.to_owned()), reason.map(|_| ERASED_TEXT.to_owned()), None];
            rows.push(WipedRow { key: vec![KeyPart::Text(id.to_string())], may_name_agent: true, agent: None, texts });
        }
        self.write(WipedTable::Exceptions, rows, outcome).await
    }

    /// Removes notes that entries about the agent refer to, that contain its id or name, or that belong to `sets`.
    async fn remove_notes(&self, sets: &SoleAgentChangeSets, outcome: &mut ErasureResult) -> anyhow::Result<()> {
        let (reader, tenant) = (&self.link.reader, &self.link.tenant);
        let mut note_hashes = self.audit_entry_note_hashes(outcome).await?;
        note_hashes.extend(&sets.notes);
        let (mut after, mut to_delete) = (None, Vec::new());
        loop {
            let page = reader.notes_after(tenant, after).await?;
            let Some((last, _)) = page.last() else { break };
            after = Some(*last);
            let deletion = |(hash, text): &(Hash, String)| {
                let is_affected =
                    note_hashes.contains(&hash.0) || sets.texts.contains(text) || self.eraser.occurs_in(text);
                is_affected.then(|| (tenant.clone(), *hash))
            };
            to_delete.extend(page.iter().filter_map(deletion));
        }
        outcome.notes += to_delete.len() as u64;
        let max_notes = usize::try_from(SLICE_ROWS).unwrap_or(usize::MAX);
        for slice in to_delete.chunks(max_notes) {
            self.commit(ErasureChange { notes: slice.to_vec(), ..ErasureChange::default() }).await?;
        }
        Ok(())
    }

    /// Returns the note hashes in entries about the agent. Entries that contain its id or name stay, and are listed in
    /// the result.
    async fn audit_entry_note_hashes(&self, outcome: &mut ErasureResult) -> anyhow::Result<HashSet<[u8; 32]>> {
        let (reader, tenant) = (&self.link.reader, &self.link.tenant);
        let (mut after, mut note_hashes) = (0, HashSet::new());
        loop {
            let page = reader.entries_to_wipe(tenant, after, self.subject_id, self.eraser).await?;
            let Some(WipedRow { key, .. }) = page.last() else { return Ok(note_hashes) };
            after = parse_number(key);
            for row in page.iter().filter(|row| row.may_name_agent) {
                let body = row.texts[0].as_deref().unwrap_or_default();
                if self.eraser.occurs_in(body) {
                    ErasureResult::push_unique_listed(&mut outcome.audit_entries, parse_number(&row.key));
                }
                let Ok(entry) = serde_json::from_str::<AuditBody>(body) else { continue };
                let note = entry.note.as_deref().and_then(Hash::from_hex);
                if entry.subject == Some(self.subject_id) {
                    note_hashes.extend(note.map(|hash| hash.0));
                }
            }
        }
    }

    async fn commit(&self, erasing: ErasureChange) -> anyhow::Result<()> {
        self.link.writer.commit(Commit { erasure: erasing, ..Commit::default() }).await?;
        Ok(())
    }
}

fn parse_number(key: &[KeyPart]) -> u64 {
    match key.first() {
        Some(KeyPart::Number(number)) => number.unsigned_abs(),
        Some(KeyPart::Text(_)) | None => 0,
    }
}

/// Returns the texts that people typed for a bulk change.
fn typed_texts(body: &str) -> Vec<String> {
    let body: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    ["note", "below_floor"].into_iter().filter_map(|field| body[field].as_str().map(str::to_owned)).collect()
}
