//! The job that fetches a schedule file from an address and imports it.
//!
//! A file is imported once: what the server confirms as unchanged (status 304), and a file with the bytes of the last
//! good one, is not imported again, so that later imports and edits stay in force. What the server said of the last good
//! file is stored, so that a restart fetches nothing again. A refused file changes nothing and is fetched again.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use reqwest::header::{
    AUTHORIZATION, ETAG, HeaderName, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED, LOCATION,
};
use reqwest::{Method, StatusCode, Url};

use super::super::Importer;
use crate::clock::BoxFuture;
use crate::config::ScheduleUrl;
use crate::domain::audit::Hash;
use crate::domain::ids::TenantId;
use crate::domain::schedules::import::ImportDiagnostic;
use crate::domain::time::{UtcMicros, duration_text};
use crate::domain::wording::count_with_noun;
use crate::engine::jobs::Job;
use crate::http::{ImportError, ImportRequest};
use crate::platform::Failure;
use crate::platform::client::{ApiReply, ClientSettings, HttpCaller, Transport};
use crate::store::GoodVersion;

/// How long a connection may take, in real time.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a file may take to arrive, in real time.
const FETCH_TIMEOUT: Duration = Duration::from_secs(300);

/// How many redirects within the origin are followed.
const MAX_REDIRECTS: usize = 5;

/// How many faults of a refused file the result names.
const NAMED_FAULTS: usize = 5;

/// The longest validator that is kept, in bytes. A longer one is a mistake of the server.
const MAX_VALIDATOR_BYTES: usize = 1024;

/// The job. Cheap to clone.
#[derive(Clone)]
pub(super) struct ScheduleUrlJob {
    pub(super) tenant: TenantId,
    pub(super) source: ScheduleUrl,
    pub(super) importer: Importer,
    pub(super) transport: Option<Arc<dyn Transport>>,
}

impl Job for ScheduleUrlJob {
    fn run(&self, _due: UtcMicros, _failure: Option<String>) -> BoxFuture<anyhow::Result<String>> {
        let job = self.clone();
        Box::pin(async move { job.fetch_and_import().await })
    }
}

impl ScheduleUrlJob {
    async fn fetch_and_import(&self) -> anyhow::Result<String> {
        let settings = self.settings_hash();
        let stored = self.importer.reader.schedule_sources(&self.tenant).await?;
        let stored = stored.into_iter().find(|stored| stored.source == self.source.id);
        let known = stored.and_then(|stored| stored.good).map(|(_, good)| good);
        let known = known.filter(|good| good.settings == settings);
        let reply = self.fetch(known.as_ref()).await?;
        match (reply.status, known) {
            (StatusCode::NOT_MODIFIED, Some(good)) => {
                let message = format!("the file has not changed since version {}", good.version);
                self.record(good).await?;
                Ok(message)
            }
            (status, known) if status.is_success() => self.take(reply, known, settings).await,
            (status, _) => anyhow::bail!("{}", self.refusal_text(status)),
        }
    }

    /// Imports a file that arrived, unless it is the one that was imported last.
    async fn take(&self, reply: ApiReply, known: Option<GoodVersion>, settings: Hash) -> anyhow::Result<String> {
        anyhow::ensure!(
            reply.status == StatusCode::OK,
            "the server answered with status {}, and a file comes with 200",
            reply.status.as_u16()
        );
        anyhow::ensure!(
            !reply.is_html(),
            "the server answered with a web page instead of a file: check url and authorization"
        );
        let validator = |name| reply.header(&name).filter(|text| text.len() <= MAX_VALIDATOR_BYTES).map(str::to_owned);
        let content = Hash::of(&reply.body);
        let mut good = GoodVersion {
            version: 0,
            etag: validator(ETAG),
            last_modified: validator(LAST_MODIFIED),
            content,
            settings,
        };
        let message = if let Some(known) = known.filter(|known| known.content == content) {
            good.version = known.version;
            format!("the file is the same as that of version {}", known.version)
        } else {
            let (version, message) = self.import(reply.body).await?;
            good.version = version;
            message
        };
        self.record(good).await?;
        Ok(message)
    }

    async fn import(&self, bytes: Vec<u8>) -> anyhow::Result<(u64, String)> {
        let request = ImportRequest {
            tenant: self.tenant.clone(),
            name: self.file_name(),
            bytes: bytes.into(),
            profile: self.source.profile.clone(),
            move_weeks: 0,
            is_complete: self.source.is_whole,
            hash: None,
            actor: format!("job:{}", self.source.job_id()),
        };
        match self.importer.run(request).await {
            Ok(result) if result.changed => {
                let agents = count_with_noun(result.agents, "agent");
                let shifts = count_with_noun(result.shifts, "shift");
                Ok((result.version, format!("imported as version {}: {agents}, {shifts}", result.version)))
            }
            Ok(result) => Ok((result.version, format!("unchanged, in force already as version {}", result.version))),
            Err(ImportError::Refused { faults, diagnostics, .. }) => {
                anyhow::bail!("the file was refused, and nothing was changed: {}", faults_text(faults, &diagnostics))
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn record(&self, good: GoodVersion) -> anyhow::Result<()> {
        let recorded = self.importer.record_good_version(&self.tenant, self.source.id.clone(), good).await;
        recorded.context("the state of the source could not be stored")
    }

    /// Sends the request, and follows redirects within the origin.
    async fn fetch(&self, known: Option<&GoodVersion>) -> anyhow::Result<ApiReply> {
        let settings = ClientSettings {
            connect_timeout: CONNECT_TIMEOUT,
            request_timeout: FETCH_TIMEOUT,
            ..ClientSettings::default()
        };
        let caller = HttpCaller::new(settings, self.transport.clone())?;
        let limit = self.importer.options.borrow().max_bytes;
        let mut url = self.source.url.clone();
        for _ in 0..=MAX_REDIRECTS {
            let mut request = caller.request(Method::GET, url.clone());
            for (name, value) in self.headers(known)? {
                request = request.header(name, value);
            }
            let reply = caller.exchange(request, &self.importer.clock, limit).await;
            let reply = reply.map_err(|failure| anyhow::anyhow!("{}", failure_text(&failure)))?;
            let Some(target) = redirect_target(&reply, &url) else { return Ok(reply) };
            let target = target?;
            anyhow::ensure!(
                target.origin() == url.origin(),
                "the server redirects to another origin, {}: if that is meant, name it in url",
                target.origin().ascii_serialization()
            );
            url = target;
        }
        anyhow::bail!("the server redirects more than {MAX_REDIRECTS} times")
    }

    /// Returns the credentials, and what the server said of the last good file.
    fn headers(&self, known: Option<&GoodVersion>) -> anyhow::Result<Vec<(HeaderName, HeaderValue)>> {
        let mut headers = Vec::new();
        if let Some(secret) = &self.source.authorization {
            let value = HeaderValue::from_str(secret.expose());
            let mut value = value.map_err(|_| anyhow::anyhow!("authorization cannot be sent as a header"))?;
            value.set_sensitive(true);
            headers.push((AUTHORIZATION, value));
        }
        let etag = known.and_then(|good| good.etag.as_deref()).map(|text| (IF_NONE_MATCH, text));
        let date = known.and_then(|good| good.last_modified.as_deref()).map(|text| (IF_MODIFIED_SINCE, text));
        let validators = etag.into_iter().chain(date);
        headers.extend(validators.filter_map(|(name, text)| Some((name, HeaderValue::from_str(text).ok()?))));
        Ok(headers)
    }

    /// Returns the last segment of the address, whose ending says what kind of file it is.
    fn file_name(&self) -> String {
        let last = self.source.url.path_segments().and_then(Iterator::last).filter(|last| !last.is_empty());
        last.unwrap_or(self.source.id.as_str()).to_owned()
    }

    /// Returns the hash of what decides how a file is read. If it changes, the file is fetched and imported again.
    fn settings_hash(&self) -> Hash {
        let options = self.importer.options.borrow();
        let profile = self.source.profile.as_ref().map(|name| (name, options.profiles.get(name)));
        let read = (&options.columns, &options.delimiter, &options.default_zone, profile);
        Hash::of(format!("{} {} {read:?}", self.source.url, self.source.is_whole).as_bytes())
    }

    fn refusal_text(&self, status: StatusCode) -> String {
        let code = status.as_u16();
        match (status, &self.source.authorization) {
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, Some(_)) => {
                format!("the server refused the credentials ({code}): check authorization")
            }
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, None) => {
                format!("the server wants credentials ({code}): set authorization")
            }
            (StatusCode::NOT_FOUND, _) => format!("the server has no such file ({code}): check url"),
            _ => format!("the server answered with status {code}; it is tried again when the job is next due"),
        }
    }
}

/// Returns where an answer redirects to, if it does.
fn redirect_target(reply: &ApiReply, from: &Url) -> Option<anyhow::Result<Url>> {
    let redirects = [301, 302, 303, 307, 308];
    if !redirects.contains(&reply.status.as_u16()) {
        return None;
    }
    let target = reply.header(&LOCATION).and_then(|location| from.join(location).ok());
    Some(target.ok_or_else(|| anyhow::anyhow!("the server redirects without saying where to")))
}

/// Names the first faults. Values of the file are left out, since the result of a job is logged.
fn faults_text(faults: usize, diagnostics: &[ImportDiagnostic]) -> String {
    let first = diagnostics.iter().take(NAMED_FAULTS);
    let first: Vec<String> = first.map(|fault| ImportDiagnostic { value: None, ..fault.clone() }.to_string()).collect();
    let more = faults.saturating_sub(first.len());
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    format!("{}: {}{more}", count_with_noun(faults, "fault"), first.join("; "))
}

fn failure_text(failure: &Failure) -> String {
    match failure {
        Failure::NotSent { reason } => format!("no connection to the server ({reason})"),
        Failure::Timeout => format!("the file did not arrive within {}", duration_text(FETCH_TIMEOUT)),
        Failure::ConnectionBroken { reason } => format!("the connection broke before the file was complete ({reason})"),
        Failure::TooLarge { limit } => format!("the file has more than the {limit} bytes of import.max_bytes"),
        other => other.to_string(),
    }
}
