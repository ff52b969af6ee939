//! The reports that a demo leaves behind: one of each kind, in each format, each with its manifest.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::Demo;
use crate::domain::ids::TenantId;
use crate::domain::reports::report_run::{Format, Kind};
use crate::report::export::{Wanted, export};
use crate::report::request::{Filters, Request};
use crate::report::tally::Progress;
use crate::store::{Reader, Store};

/// No file of an hour of 150 agents comes near it.
const MOST_BYTES: u64 = 1_000_000_000;

/// The figure that the trend is of.
const FIGURE: &str = "contacts_queued";

/// Writes them into a folder; gives how many there are. The daemon has stopped, so nothing goes on in the store.
pub(super) async fn leave(demo: &Demo, folder: &Path) -> anyhow::Result<usize> {
    std::fs::create_dir_all(folder).with_context(|| format!("the folder {} cannot be made", folder.display()))?;
    let reader = Store::read(&demo.store_url).await.context("the demo's store")?;
    let mut files = 0;
    // The second centre has the same agents and rules.
    for tenant in demo.tenants.iter().take(1) {
        for kind in Kind::ALL {
            let Some(request) = request(demo, &reader, tenant, kind).await? else { continue };
            for format in Format::ALL {
                let target = place(folder, kind, format);
                let name = target.display().to_string();
                let wanted = Wanted { request: request.clone(), format, section: None, target, most_bytes: MOST_BYTES };
                export(&reader, &wanted, demo.clock.now(), &Progress::default()).await.context(name)?;
                files += 1;
            }
        }
    }
    reader.close().await;
    Ok(files)
}

fn place(folder: &Path, kind: Kind, format: Format) -> PathBuf {
    folder.join(format!("{kind}.{format}"))
}

/// Of the time that the demo ran; none where there is nothing that it could be of.
async fn request(demo: &Demo, reader: &Reader, tenant: &TenantId, kind: Kind) -> anyhow::Result<Option<Request>> {
    let mut request = Request { from: Some(demo.start), ..Request::whole(kind, tenant.clone(), demo.clock.now()) };
    if kind == Kind::Trend {
        let figures = reader.latest_figures(tenant, std::time::Duration::ZERO).await.context("the demo's figures")?;
        let Some(skill) = figures.skills.first().map(|taken| taken.figures.id.clone()) else { return Ok(None) };
        request.filters = Filters { skill: Some(skill), figure: Some(FIGURE.to_owned()), ..Filters::default() };
    }
    Ok(Some(request))
}
