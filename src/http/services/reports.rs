//! Report files: request and cancel.

use crate::clock::BoxFuture;
use crate::domain::ids::{ReportRunId, TenantId};
use crate::domain::reports::report_run::{ReportFormat, ReportRun};
use crate::report::request::Request;
use crate::store::{CommitError, ReadError};

/// Makes report files.
///
/// Defined here and implemented by `app`, because a request handler should not deal with files and folders.
pub trait ReportService: Send + Sync {
    /// Queues a report; it is made when its turn comes.
    fn request_report(&self, request: ReportRequest) -> BoxFuture<Result<ReportRun, ReportRequestError>>;

    /// Cancels a report and returns it. A report that has ended is returned unchanged. Returns `None` if there is no
    /// such report.
    fn cancel_report(
        &self,
        tenant: TenantId,
        id: ReportRunId,
    ) -> BoxFuture<Result<Option<ReportRun>, ReportRequestError>>;

    /// Returns the number of rows that a running report has so far, or `None` if it is not running.
    fn rows_so_far(&self, id: ReportRunId) -> Option<u64>;
}

/// A request for a report file.
#[derive(Clone, PartialEq, Debug)]
pub struct ReportRequest {
    /// What to report, for which tenant and agents, and over which time.
    pub request: Request,
    /// The format of the file.
    pub format: ReportFormat,
    /// The section to write if the format holds only one; the main section if `None`.
    pub section: Option<String>,
    /// Who makes the request, as the audit log names them.
    pub actor: String,
}

/// Why a report was not queued.
#[derive(Debug, thiserror::Error)]
pub enum ReportRequestError {
    /// The request is not valid; the text says why and what to do.
    #[error("{0}")]
    InvalidRequest(String),
    /// The maximum number of reports of the tenant is already queued or running.
    #[error("{0} reports of this tenant wait or run, which is the limit: cancel one, or wait for one to end")]
    TooMany(usize),
    /// The daemon has no folder for report files.
    #[error("the daemon has no folder for reports: set [reports] folder, or write the file with `shiftkeeper report`")]
    NoFolder,
    /// The existing reports could not be read.
    #[error("the reports could not be read")]
    Read(#[source] ReadError),
    /// The store did not accept the report.
    #[error("the report could not be recorded; nothing was changed")]
    Store(#[source] CommitError),
}
