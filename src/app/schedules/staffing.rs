//! The import of required staff.

use serde_json::json;

use super::import::{Importer, refusal};
use crate::clock::BoxFuture;
use crate::domain::audit::{AuditDraft, Hash};
use crate::domain::schedules::import::{ImportDiagnostic, StaffingDraft, read_staffing};
use crate::domain::schedules::staffing::RequiredStaffing;
use crate::http::{ImportError, StaffingImportRequest, StaffingImportResult, StaffingImporter};
use crate::store::{Commit, RequiredStaffingChange};

impl StaffingImporter for Importer {
    fn import_staffing(
        &self,
        request: StaffingImportRequest,
    ) -> BoxFuture<Result<StaffingImportResult, ImportError>> {
        let importer = self.clone();
        Box::pin(async move { importer.run_staffing(request).await })
    }
}

impl Importer {
    async fn run_staffing(&self, request: StaffingImportRequest) -> Result<StaffingImportResult, ImportError> {
        let draft = self.read_staffing(&request).await?;
        let import_guard = self.import_lock.lock().await;
        let removed = self.replaced_staffing(&request, &draft).await?;
        let changed = removed != draft.rows;
        let result = StaffingImportResult {
            tenant: request.tenant.clone(),
            changed,
            queues: draft.days.len(),
            rows: draft.rows.len(),
            first_day: draft.first_day.to_string(),
            last_day: draft.last_day.to_string(),
            zone: draft.zone,
            warnings: draft.warnings.iter().map(ImportDiagnostic::to_string).collect(),
        };
        if changed {
            let facts = json!({
                "file": request.name, "content": Hash::of(&request.bytes).to_string(), "queues": result.queues,
                "rows": result.rows, "first_day": result.first_day, "last_day": result.last_day, "zone": result.zone,
            });
            let tenant = request.tenant.clone();
            let audit = AuditDraft::new(request.tenant, self.clock.now(), request.actor, "staffing.imported", facts);
            let required_staffing = vec![RequiredStaffingChange { tenant, removed, added: draft.rows }];
            let commit = Commit { required_staffing, audit: vec![audit], ..Commit::default() };
            self.writer.commit(commit).await.map_err(ImportError::Store)?;
        }
        drop(import_guard);
        Ok(result)
    }

    async fn read_staffing(&self, request: &StaffingImportRequest) -> Result<StaffingDraft, ImportError> {
        let options = self.options.borrow().clone();
        let zone = request.zone.clone().or_else(|| options.default_zone.clone());
        let bytes = request.bytes.clone();
        let parse = move || read_staffing(&bytes, zone.as_deref(), &options);
        match self.heavy_work.run(parse).await {
            Ok(read) => read.map_err(|refused| refusal(&request.name, refused)),
            Err(panicked) => {
                tracing::error!(error = %panicked, "reading a file of required staff panicked");
                let name = format!("{} (it could not be read; please report this file)", request.name);
                Err(ImportError::Refused { name, faults: 1, diagnostics: vec![] })
            }
        }
    }

    /// Returns the stored rows of the days and queues of a file, by queue and start.
    async fn replaced_staffing(
        &self,
        request: &StaffingImportRequest,
        draft: &StaffingDraft,
    ) -> Result<Vec<RequiredStaffing>, ImportError> {
        let days = || draft.days.values().flatten();
        let from = days().map(|(start, _)| *start).min().unwrap_or_default();
        let to = days().map(|(_, end)| *end).max().unwrap_or_default();
        let stored = self.reader.required_staffing(&request.tenant, (from, to)).await.map_err(ImportError::Read)?;
        let is_replaced = |row: &RequiredStaffing| {
            let days = draft.days.get(&row.queue).map(Vec::as_slice).unwrap_or_default();
            let after = days.partition_point(|(start, _)| *start <= row.start);
            days[..after].last().is_some_and(|(_, end)| row.start < *end)
        };
        Ok(stored.into_iter().filter(is_replaced).collect())
    }
}
