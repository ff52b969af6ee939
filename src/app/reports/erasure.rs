//! Removes the report files that contain an erased agent, or may. Whole files are removed, since taking a row out would
//! invalidate the manifest. This happens between two reports, so that none is being made at the time.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::files::{Files, remove};
use crate::domain::agents::erasure::TextEraser;
use crate::domain::ids::{ReportRunId, TenantId};
use crate::domain::reports::report_run::{ReportKind, ReportRun, RunFile};
use crate::report::manifest::Manifest;
use crate::report::request::Request;
use crate::store::{Commit, PAGE_LIMIT, Reader, Writer};

/// The reason recorded for a run whose file was removed.
const REMOVED_REASON: &str = "the file was removed when an agent was erased: ask for the report again";

/// The ending of a manifest's name.
const MANIFEST: &str = ".manifest.json";

/// Removes the files of a tenant's runs, and of runs that retention removed, that contain an agent, or may. Returns their
/// paths.
pub(super) async fn erase_files(
    (reader, writer): (&Reader, &Writer),
    files: &Files,
    tenant: &TenantId,
    eraser: &TextEraser,
    folders: Vec<PathBuf>,
) -> anyhow::Result<Vec<String>> {
    let (mut removed, mut before): (Vec<String>, Option<ReportRunId>) = (Vec::new(), None);
    loop {
        let page = reader.report_runs(tenant, before, PAGE_LIMIT).await?;
        let Some(last) = page.last() else { break };
        before = Some(last.id);
        let mut removed_runs = Vec::new();
        for run in page {
            let Some(file) = run.file.clone().filter(|file| file.exists && may_contain(&run.request, eraser)) else {
                continue;
            };
            anyhow::ensure!(remove(Path::new(&*run.path)), file_error(&run.path));
            removed.push(run.path.to_string());
            let file = RunFile { exists: false, ..file };
            removed_runs.push(ReportRun { file: Some(file), error: Some(REMOVED_REASON.to_owned()), ..run });
        }
        if !removed_runs.is_empty() {
            writer.commit(Commit { report_runs: removed_runs, ..Commit::default() }).await?;
        }
    }
    // Files whose runs were removed by retention.
    for folder in folders.into_iter().chain(files.own_folder(tenant)) {
        removed.extend(erase_in_folder(&folder, tenant, eraser)?);
    }
    Ok(removed)
}

fn file_error(place: &str) -> String {
    format!("the report {place} may name the agent and cannot be removed: make its folder writable for this user")
}

/// Removes the files with a manifest of the tenant that contain the agent, or may.
fn erase_in_folder(folder: &Path, tenant: &TenantId, eraser: &TextEraser) -> anyhow::Result<Vec<String>> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.with_context(|| format!("the folder {} cannot be read", folder.display()))?,
    };
    let mut removed = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some(report_name) = name.strip_suffix(MANIFEST) else { continue };
        let text = std::fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
        // Files of other programs are left alone.
        let Ok(manifest) = Manifest::from_json(&text) else { continue };
        if manifest.request.tenant != *tenant || !may_belong_to(&manifest.request, eraser) {
            continue;
        }
        let file = path.with_file_name(report_name);
        anyhow::ensure!(remove(&file), file_error(&file.display().to_string()));
        removed.push(file.display().to_string());
    }
    Ok(removed)
}

fn may_contain(request: &str, eraser: &TextEraser) -> bool {
    // A request that this version cannot read may concern any agent.
    serde_json::from_str(request).map_or(true, |request| may_belong_to(&request, eraser))
}

/// Returns whether a report contains the agent, or may. That includes reports by team, since former team membership is
/// unknown.
fn may_belong_to(request: &Request, eraser: &TextEraser) -> bool {
    let named = &request.filters.agents;
    match request.report {
        ReportKind::Trend => serde_json::to_string(request)
            .is_ok_and(|text| eraser.occurs_in(&text) || text.contains(eraser.stand_in().as_str())),
        ReportKind::Compliance
        | ReportKind::Adherence
        | ReportKind::Segments
        | ReportKind::NotReady
        | ReportKind::Breaks => named.is_empty() || named.contains(eraser.agent()) || named.contains(eraser.stand_in()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::UtcMicros;
    use crate::report::request::Filters;

    #[test]
    fn a_report_about_other_named_agents_is_kept_and_any_other_is_removed() {
        let eraser = TextEraser::new("u_1".into(), None, "erased-1".into());
        let request = |report: ReportKind, filters: Filters| Request {
            filters,
            ..Request::whole_tenant(report, "acme".into(), UtcMicros::from_micros(1))
        };
        let agents =
            |named: &[&str]| Filters { agents: named.iter().map(|id| (*id).into()).collect(), ..Filters::default() };
        for (request, goes) in [
            (request(ReportKind::Segments, Filters::default()), true),
            (request(ReportKind::Segments, agents(&["u_1", "u_2"])), true),
            (request(ReportKind::Segments, agents(&["erased-1"])), true),
            (request(ReportKind::Segments, agents(&["u_2", "u_10"])), false),
            (request(ReportKind::Breaks, Filters { teams: vec!["Care".into()], ..Filters::default() }), true),
            (request(ReportKind::Trend, Filters { skill: Some("7".into()), ..Filters::default() }), false),
        ] {
            assert_eq!(may_belong_to(&request, &eraser), goes, "{request:?}");
            let text = serde_json::to_string(&request).expect("JSON");
            assert_eq!(may_contain(&text, &eraser), goes);
        }
        assert!(may_contain("of another version", &eraser));
    }
}
