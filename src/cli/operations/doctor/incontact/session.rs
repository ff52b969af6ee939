//! The calls of the checks of one tenant, within the free slots of the budget, and their findings.

use std::sync::Arc;

use crate::cli::shared::finding::FindingGroup;
use crate::clock::SharedClock;
use crate::config::Tenant;
use crate::platform::incontact::{IncontactPlatform, PublishedList};
use crate::platform::{Answer, CallError, ClockOffset, Failure};

/// What the checks of one tenant share.
pub(super) struct Session<'t> {
    pub(super) tenant: &'t Tenant,
    pub(super) platform: Arc<IncontactPlatform>,
    pub(super) clock: SharedClock,
    pub(super) group: FindingGroup,
    pub(super) offset: ClockOffset,
    free: usize,
    calls: usize,
}

/// A list, and what is off without it.
#[derive(Clone, Copy)]
pub(super) struct ListCheck<'a> {
    /// The id of the finding.
    pub(super) id: &'static str,
    /// The list.
    pub(super) list: PublishedList<'a>,
    /// What is off without the list.
    pub(super) without: &'static str,
    /// Whether the daemon is of no use without the list.
    pub(super) is_needed: bool,
}

impl<'t> Session<'t> {
    pub(super) fn new(
        tenant: &'t Tenant,
        platform: Arc<IncontactPlatform>,
        clock: SharedClock,
        group: FindingGroup,
        free: usize,
    ) -> Self {
        Self { tenant, platform, clock, group, offset: ClockOffset::default(), free, calls: 0 }
    }

    /// Returns the number of calls made.
    pub(super) const fn calls(&self) -> usize {
        self.calls
    }

    /// Returns the number of calls that may still be made.
    pub(super) const fn free(&self) -> usize {
        self.free
    }

    /// Makes a call, if a slot is free.
    pub(super) async fn call<T>(
        &mut self,
        call: impl Future<Output = Result<Answer<T>, CallError>>,
    ) -> Option<Result<Answer<T>, CallError>> {
        if self.free == 0 {
            return None;
        }
        self.spend(1);
        let result = call.await;
        if let Ok(answer) = &result {
            self.offset.observe(answer);
        }
        Some(result)
    }

    /// Returns the version in which a list is read.
    pub(super) fn version(&self, list: PublishedList<'_>) -> &str {
        self.platform.probe().version(list)
    }

    fn spend(&mut self, calls: usize) {
        self.free = self.free.saturating_sub(calls);
        self.calls += calls;
    }

    /// Reports that a list was not read, or why. For "not found", looks for a version that answers.
    pub(super) async fn report_unread(&mut self, check: ListCheck<'_>, result: Option<CallError>) {
        let ListCheck { id, list, without, is_needed } = check;
        let Some(error) = result else {
            return self.group.skipped(id, "not read: the budget of this minute is used up; try again in a minute");
        };
        let detail = format!("{error}; without it: {without}");
        let advice = match &error.failure {
            Failure::NotFound => self.version_advice(list).await,
            Failure::Forbidden { .. } => "give the role of the key's owner the right to read it".to_owned(),
            Failure::Unauthorized => {
                "the API does not accept the token: check incontact.token_kind and incontact.api_url".to_owned()
            }
            Failure::Throttled { .. } => "lower requests_per_minute if another client shares the tenant".to_owned(),
            _ => "see what the platform says".to_owned(),
        };
        if is_needed {
            self.group.wrong(id, detail, advice);
        } else {
            self.group.warning(id, detail, advice);
        }
    }

    async fn version_advice(&mut self, list: PublishedList<'_>) -> String {
        let (found, calls) = self.platform.probe().find_version(list, self.free).await;
        self.spend(calls);
        match found {
            Some(version) => format!(
                "v{} does not answer, v{version} does: set incontact.version = \"{version}\", or incontact.versions.{} = \
                 \"{version}\" if the other lists answer",
                self.version(list),
                list.endpoint().name()
            ),
            None => "no known version answers: the platform may not offer it; if other lists fail too, check incontact.api_url".to_owned(),
        }
    }
}
