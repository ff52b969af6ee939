//! The reports of a demo: one of each kind in each format, each with its manifest.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::running::Demo;
use crate::domain::ids::TenantId;
use crate::domain::reports::report_run::{ReportFormat, ReportKind};
use crate::report::export::{ExportRequest, export};
use crate::report::request::{Filters, Request};
use crate::report::tally::Progress;
use crate::store::{Reader, Store};

/// The largest file, in bytes; no file of an hour of 150 agents comes near it.
const MAX_BYTES: u64 = 1_000_000_000;

/// The figure of the trend.
const TREND_FIGURE: &str = "contacts_queued";

/// Writes the reports into a folder and returns their number. The daemon has stopped, so the store no longer changes.
pub(super) async fn write_reports(demo: &Demo, folder: &Path) -> anyhow::Result<usize> {
    std::fs::create_dir_all(folder).with_context(|| format!("the folder {} cannot be created", folder.display()))?;
    let reader = Store::read(&demo.store_url).await.context("the demo's store could not be read")?;
    let mut files = 0;
    // The second centre has the same agents and rules.
    for tenant in demo.tenants.iter().take(1) {
        for kind in ReportKind::ALL {
            let Some(request) = build_request(demo, &reader, tenant, kind).await? else { continue };
            for format in ReportFormat::ALL {
                let target = report_path(folder, kind, format);
                let name = target.display().to_string();
                let export_request =
                    ExportRequest { request: request.clone(), format, section: None, target, max_bytes: MAX_BYTES };
                export(&reader, &export_request, demo.clock.now(), &Progress::default()).await.context(name)?;
                files += 1;
            }
        }
    }
    reader.close().await;
    Ok(files)
}

fn report_path(folder: &Path, kind: ReportKind, format: ReportFormat) -> PathBuf {
    folder.join(format!("{kind}.{format}"))
}

/// Builds a request for the time that the demo ran, or `None` if there is no data for it.
async fn build_request(
    demo: &Demo,
    reader: &Reader,
    tenant: &TenantId,
    kind: ReportKind,
) -> anyhow::Result<Option<Request>> {
    let mut request =
        Request { from: Some(demo.start), ..Request::whole_tenant(kind, tenant.clone(), demo.clock.now()) };
    if kind == ReportKind::Trend {
        let figures = reader
            .latest_figures(tenant, std::time::Duration::ZERO)
            .await
            .context("the demo's figures could not be read")?;
        let Some(skill) = figures.skills.first().map(|taken| taken.figures.id.clone()) else { return Ok(None) };
        request.filters = Filters { skill: Some(skill), figure: Some(TREND_FIGURE.to_owned()), ..Filters::default() };
    }
    Ok(Some(request))
}
