//! Files of reports that have an agent who is erased, or may have: they go, since a row cannot be taken out of a file without breaking what
//! its manifest vouches for. It is done between two reports, so that none is being made meanwhile.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tokio::sync::oneshot;

use super::ReportDesk;
use super::files::remove;
use crate::domain::agents::erasure::Wiper;
use crate::domain::ids::{ReportRunId, TenantId};
use crate::domain::reports::report_run::{Kind, ReportRun, RunFile};
use crate::report::manifest::Manifest;
use crate::report::request::Request;
use crate::store::{Commit, PAGE_LIMIT};

/// What the run of a file that went says.
const WHY: &str = "the file was removed when an agent was erased: ask for the report again";

/// The ending of a manifest's name.
const MANIFEST: &str = ".manifest.json";

/// Somebody whose files are to go, who waits for it.
pub(super) struct Wish {
    tenant: TenantId,
    wiper: Wiper,
    /// Folders beside the daemon's own.
    folders: Vec<PathBuf>,
    reply: oneshot::Sender<anyhow::Result<Vec<String>>>,
}

impl ReportDesk {
    /// Removes the files that have an agent in them, or may have; gives their paths.
    pub(in crate::app) async fn erase(
        &self,
        tenant: TenantId,
        wiper: Wiper,
        folders: Vec<PathBuf>,
    ) -> anyhow::Result<Vec<String>> {
        let (reply, answer) = oneshot::channel();
        self.queue().wishes.push(Wish { tenant, wiper, folders, reply });
        self.0.news.notify_one();
        answer.await.context("the reports are being started anew")?
    }

    /// Carries out what is asked; between two reports.
    pub(super) async fn erase_what_is_asked(&self) {
        let wishes = std::mem::take(&mut self.queue().wishes);
        for Wish { tenant, wiper, folders, reply } in wishes {
            self.clean_waiting(&tenant, &wiper);
            // Who asked may be gone.
            let _ = reply.send(self.erase_files(&tenant, &wiper, folders).await);
        }
    }

    /// What waits is made without the agent.
    fn clean_waiting(&self, tenant: &TenantId, wiper: &Wiper) {
        for run in self.queue().waiting.iter_mut().filter(|run| run.tenant == *tenant) {
            if let Some(request) = wiper.clean_json(&run.request) {
                run.request = request.into();
            }
        }
    }

    async fn erase_files(
        &self,
        tenant: &TenantId,
        wiper: &Wiper,
        folders: Vec<PathBuf>,
    ) -> anyhow::Result<Vec<String>> {
        let inner = &self.0;
        let (mut removed, mut before): (Vec<String>, Option<ReportRunId>) = (Vec::new(), None);
        loop {
            let page = inner.reader.report_runs(tenant, before, PAGE_LIMIT).await?;
            let Some(last) = page.last() else { break };
            before = Some(last.id);
            let mut gone = Vec::new();
            for run in page {
                let Some(file) = run.file.clone().filter(|file| file.there && may_have(&run.request, wiper)) else {
                    continue;
                };
                anyhow::ensure!(remove(Path::new(&*run.place)), cannot(&run.place));
                removed.push(run.place.to_string());
                let file = RunFile { there: false, ..file };
                gone.push(ReportRun { file: Some(file), error: Some(WHY.to_owned()), ..run });
            }
            if !gone.is_empty() {
                inner.writer.commit(Commit { report_runs: gone, ..Commit::default() }).await?;
            }
        }
        // Files whose runs retention has let go of.
        for folder in folders.into_iter().chain(inner.files.own(tenant)) {
            removed.extend(erase_in(&folder, tenant, wiper)?);
        }
        Ok(removed)
    }
}

fn cannot(place: &str) -> String {
    format!("the report {place} may name the agent and cannot be removed: make its folder writable for this user")
}

/// Files with a manifest of the tenant that have the agent, or may have.
fn erase_in(folder: &Path, tenant: &TenantId, wiper: &Wiper) -> anyhow::Result<Vec<String>> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.with_context(|| format!("the folder {} cannot be read", folder.display()))?,
    };
    let mut removed = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some(of_file) = name.strip_suffix(MANIFEST) else { continue };
        let text = std::fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
        // Another program's file is its own.
        let Ok(manifest) = Manifest::from_json(&text) else { continue };
        if manifest.request.tenant != *tenant || !is_or_may_be_of(&manifest.request, wiper) {
            continue;
        }
        let file = path.with_file_name(of_file);
        anyhow::ensure!(remove(&file), cannot(&file.display().to_string()));
        removed.push(file.display().to_string());
    }
    Ok(removed)
}

fn may_have(request: &str, wiper: &Wiper) -> bool {
    // What this version cannot read may be of anybody.
    serde_json::from_str(request).map_or(true, |request| is_or_may_be_of(&request, wiper))
}

/// Whether a report is of the agent, or may be: of one by teams nobody knows any more who was in which.
fn is_or_may_be_of(request: &Request, wiper: &Wiper) -> bool {
    let named = &request.filters.agents;
    match request.report {
        Kind::Trend => serde_json::to_string(request)
            .is_ok_and(|text| wiper.is_in(&text) || text.contains(wiper.stand_in().as_str())),
        Kind::Compliance | Kind::Adherence | Kind::Segments | Kind::NotReady | Kind::Breaks => {
            named.is_empty() || named.contains(wiper.agent()) || named.contains(wiper.stand_in())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::UtcMicros;
    use crate::report::request::Filters;

    #[test]
    fn a_report_of_named_others_stays_and_any_other_goes() {
        let wiper = Wiper::new("u_1".into(), None, "erased-1".into());
        let request = |report: Kind, filters: Filters| Request {
            filters,
            ..Request::whole(report, "acme".into(), UtcMicros::from_micros(1))
        };
        let agents =
            |named: &[&str]| Filters { agents: named.iter().map(|id| (*id).into()).collect(), ..Filters::default() };
        for (request, goes) in [
            (request(Kind::Segments, Filters::default()), true),
            (request(Kind::Segments, agents(&["u_1", "u_2"])), true),
            (request(Kind::Segments, agents(&["erased-1"])), true),
            (request(Kind::Segments, agents(&["u_2", "u_10"])), false),
            (request(Kind::Breaks, Filters { teams: vec!["Care".into()], ..Filters::default() }), true),
            (request(Kind::Trend, Filters { skill: Some("7".into()), ..Filters::default() }), false),
        ] {
            assert_eq!(is_or_may_be_of(&request, &wiper), goes, "{request:?}");
            let text = serde_json::to_string(&request).expect("JSON");
            assert_eq!(may_have(&text, &wiper), goes);
        }
        assert!(may_have("of another version", &wiper));
    }
}
