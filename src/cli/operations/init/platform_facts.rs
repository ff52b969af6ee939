//! What the platform tells about a tenant: where its API is, which version answers, its teams and their codes. Everything
//! here is a read.

use std::cell::RefCell;
use std::time::Duration;

use super::code_proposal::TeamCodes;
use crate::app::{guide_platform_for, incontact_platform_for};
use crate::cli::shared::exit::{CommandFailure, Exit};
use crate::cli::shared::messages::print_message;
use crate::clock::{RealTime, SharedClock, Stopwatch};
use crate::config::Tenant;
use crate::domain::time::duration_text;
use crate::platform::budget::{Budget, Urgency};
use crate::platform::incontact::{IncontactPlatform, PublishedList, TokenFacts};
use crate::platform::{Answer, CallError, Failure, Platform as _, read_pages};

/// The number of calls in any minute.
const CALLS_PER_MINUTE: usize = 90;
/// The waits after throttled reads, if the platform names none.
const THROTTLE_WAITS: [Duration; 3] = [Duration::from_secs(2), Duration::from_secs(6), Duration::from_secs(18)];
/// The longest wait that is granted to the platform.
const MAX_THROTTLE_WAIT: Duration = Duration::from_secs(60);
/// The most versions that are tried.
const MAX_VERSIONS: usize = 10;

/// What is known of a tenant.
#[derive(Debug)]
pub(super) struct PlatformFacts {
    pub(super) token: TokenFacts,
    /// The version to configure, if the default does not answer.
    pub(super) version: Option<&'static str>,
    /// The number of agents in the list of states.
    pub(super) agents: Option<usize>,
    pub(super) teams: Vec<TeamCodes>,
    /// What could not be read.
    pub(super) notes: Vec<String>,
}

/// Requests a token with the credentials of a tenant of the guide dialect.
pub(super) async fn check_guide(tenant: &Tenant, clock: SharedClock) -> anyhow::Result<()> {
    let platform = guide_platform_for(tenant, clock)?;
    platform
        .check_token()
        .await
        .map_err(|failure| token_error(&failure, "--base-url, --client-id, --secret and --token-style"))
}

/// Reads what the configuration of a tenant of the published services needs.
pub(super) async fn read(tenant: &Tenant, clock: SharedClock) -> anyhow::Result<PlatformFacts> {
    let mut platform = incontact_platform_for(tenant, clock.clone())?;
    let options = "--base-url, --area, --client-id and --secret";
    let token = platform.probe().token_facts().await.map_err(|failure| token_error(&failure, options))?;
    let (mut version, mut notes) = (None, Vec::new());
    let mut states = patiently(async || platform.probe().states_page(None, 0).await).await;
    if matches!(&states, Err(CallError { failure: Failure::NotFound, .. })) {
        (version, _) = platform.probe().find_version(PublishedList::States, MAX_VERSIONS).await;
        if let Some(version) = version {
            let mut tenant = tenant.clone();
            tenant.incontact.version = version.to_owned();
            platform = incontact_platform_for(&tenant, clock)?;
            states = patiently(async || platform.probe().states_page(None, 0).await).await;
        }
    }
    let agents = match states {
        Ok(answer) => Some(answer.value.total.unwrap_or(answer.value.rows)),
        Err(error) => {
            notes.push(format!("agent states cannot be read: {error}"));
            None
        }
    };
    let teams = match read_teams(&platform, &mut notes).await {
        Ok(teams) => teams,
        Err(error) => {
            notes.push(format!("no codes are proposed: {error}"));
            Vec::new()
        }
    };
    Ok(PlatformFacts { token, version, agents, teams, notes })
}

async fn read_teams(platform: &IncontactPlatform, notes: &mut Vec<String>) -> Result<Vec<TeamCodes>, CallError> {
    let pace = &Pace::start();
    let teams = read_pages(|skip| async move {
        pace.wait().await;
        patiently(async || platform.teams(skip).await).await.map(|answer| answer.value)
    });
    let teams = teams.await?.rows.into_iter().filter(|team| team.is_active);
    let mut read = Vec::new();
    for team in teams {
        pace.wait().await;
        match patiently(async || platform.unavailable_codes(&team).await).await {
            Ok(Answer { value: codes, .. }) => read.push(TeamCodes { team: team.name, codes }),
            Err(error) => notes.push(format!("the codes of the team {} cannot be read: {error}", team.name)),
        }
    }
    Ok(read)
}

/// Repeats a read that the platform throttles, after the wait that it asks for.
async fn patiently<T>(read: impl AsyncFn() -> Result<Answer<T>, CallError>) -> Result<Answer<T>, CallError> {
    for wait in THROTTLE_WAITS {
        let result = read().await;
        let Err(CallError { failure: Failure::Throttled { retry_after }, .. }) = &result else { return result };
        let wait = retry_after.unwrap_or(wait).min(MAX_THROTTLE_WAIT);
        print_message(format!("the platform limits requests; waiting {}", duration_text(wait)));
        RealTime::sleep(wait).await;
    }
    read().await
}

/// Keeps the calls within a cautious rate, since other clients share the tenant.
struct Pace {
    watch: Stopwatch,
    budget: RefCell<Budget>,
}

impl Pace {
    fn start() -> Self {
        let budget = Budget::new(CALLS_PER_MINUTE, Duration::from_secs(60), 0);
        Self { watch: Stopwatch::start(), budget: RefCell::new(budget) }
    }

    /// Waits until a call may be made.
    async fn wait(&self) {
        loop {
            let now = self.watch.elapsed();
            let taken = self.budget.borrow_mut().try_take(now, Urgency::Ordinary);
            match taken {
                Ok(slot) => return self.budget.borrow_mut().record_answer(slot, now),
                Err(next) => RealTime::sleep(next.at.map_or(Duration::from_secs(1), |at| at.saturating_sub(now))).await,
            }
        }
    }
}

fn token_error(failure: &Failure, options: &str) -> anyhow::Error {
    let (exit, advice) = match failure {
        Failure::TokenRefused { .. } => (Exit::NotPermitted, format!("check {options}")),
        Failure::NotSent { .. } | Failure::Timeout | Failure::TokenUnavailable { .. } => {
            (Exit::Unreachable, format!("check {options}, and whether this host reaches the platform"))
        }
        _ => (Exit::Failed, format!("check {options}")),
    };
    CommandFailure::with_exit(exit, format!("no token: {failure}; {advice}"))
}
