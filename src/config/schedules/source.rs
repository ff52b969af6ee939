//! `[[tenants.schedule_sources]]`: addresses from which schedule files are fetched.

use std::time::Duration;

use jiff::tz::TimeZone;
use reqwest::Url;
use reqwest::header::HeaderValue;

use crate::config::shared::diagnostic::ValueFault;
use crate::config::shared::kind;
use crate::config::shared::reader::{Section, reloadable};
use crate::domain::access::secret::Secret;
use crate::domain::ids::{JobId, ScheduleSourceId};
use crate::domain::jobs::cron::Calendar;

/// The id of the source that is the tenant's folder.
pub const FOLDER_SOURCE: &str = "folder";

/// The shortest and the longest `max_age`.
const MAX_AGES: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(400 * 24 * 3600);

/// An address from which the files of a tenant's schedule are fetched.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ScheduleUrl {
    /// The id of the source.
    pub id: ScheduleSourceId,
    /// The address. Its query may hold a key, so it is never shown.
    pub url: Url,
    /// When the file is fetched.
    pub calendar: Calendar,
    /// The import profile of the file.
    pub profile: Option<String>,
    /// Whether the file is the complete schedule of its days.
    pub is_whole: bool,
    /// The value of the `Authorization` header.
    pub authorization: Option<Secret>,
    /// The age of the last good version above which the source is late.
    pub max_age: Option<Duration>,
}

impl ScheduleUrl {
    /// Returns the id of the job that fetches the file. Names of configured jobs contain no colon.
    pub fn job_id(&self) -> JobId {
        JobId::new(format!("schedule-source:{}", self.id))
    }
}

/// Reads `schedule_max_age`.
pub(in crate::config) fn read_folder_age(section: &mut Section<'_, '_>) -> Option<Duration> {
    let about = "The folder is late when no file was imported from it for this long.";
    section.optional(reloadable("schedule_max_age", about), &kind::duration(MAX_AGES))
}

/// Reads all sources of a tenant.
pub(in crate::config) fn read(section: &mut Section<'_, '_>) -> Vec<ScheduleUrl> {
    section.tables("schedule_sources", read_source)
}

fn read_source(section: &mut Section<'_, '_>) -> Option<ScheduleUrl> {
    let id: Option<ScheduleSourceId> = section
        .required(reloadable("id", "The name of the source. `folder` is the tenant's schedule_folder."), &kind::id());
    if id.as_ref().is_some_and(|id| id.as_str() == FOLDER_SOURCE) {
        section.add_diagnostic("id", ValueFault::new("is the name of the tenant's folder; choose another"));
    }
    let url = section.required(
        reloadable(
            "url",
            "The https:// address of the file; http:// is allowed for this machine only. The query is neither shown \
             nor logged.",
        ),
        &kind::url_with_query(),
    );
    if url.as_ref().is_some_and(|url| url.scheme() == "http" && !kind::is_loopback(url)) {
        let fault = ValueFault::new("would fetch the schedule unencrypted").with_suggestion("use https://");
        section.add_diagnostic("url", fault);
    }
    let cron = section.required(
        reloadable(
            "cron",
            "When the file is fetched, in the zone: minute, hour, day of month, month, day of week, as in \"*/15 * * \
             * *\".",
        ),
        &kind::cron(),
    );
    let zone = section.value(reloadable("zone", "The IANA time zone of cron."), &kind::zone(), "UTC".to_owned());
    let profile =
        section.optional(reloadable("profile", "The import profile by which the file is read."), &kind::text());
    let is_whole = section.value(
        reloadable("whole", "Whether the file is the complete schedule of its days, as with `import --whole`."),
        &kind::boolean(),
        false,
    );
    let authorization = read_authorization(section);
    let max_age = section.optional(
        reloadable("max_age", "The source is late when its last good version is older than this."),
        &kind::duration(MAX_AGES),
    );
    let calendar = Calendar::new(cron?, TimeZone::get(&zone).ok()?);
    Some(ScheduleUrl { id: id?, url: url?, calendar, profile, is_whole, authorization, max_age })
}

fn read_authorization(section: &mut Section<'_, '_>) -> Option<Secret> {
    let secret = section.optional_daemon_secret(reloadable(
        "authorization",
        "The value of the Authorization header, with its scheme, as in `Bearer …` or `Basic …`.",
    ));
    if secret.as_ref().is_some_and(|secret| HeaderValue::from_str(secret.expose()).is_err()) {
        let fault = ValueFault::new("must be one line of printable characters");
        section.add_diagnostic("authorization", fault.with_suggestion("as in \"Bearer …\" or \"Basic …\""));
    }
    secret
}
