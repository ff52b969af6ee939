//! A platform that nobody asks.

use std::time::Duration;

use crate::domain::agents::state::AgentState;
use crate::domain::ids::{AgentId, ReasonCode, SubscriptionId};
use crate::platform::{
    Call, Capabilities, Feed, Platform, PlatformHealth, SnapshotBody, SnapshotReader, Subscription, SubscriptionRequest,
};

#[derive(Debug)]
pub(super) struct UnusedPlatform;

impl Platform for UnusedPlatform {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            settable: Vec::new(),
            can_log_out: false,
            reports_schedule: false,
            reports_breaks: false,
            min_interval: Duration::from_secs(1),
            subscription_lifetime: Some(Duration::from_secs(1)),
            polls_count: false,
            has_directory: false,
            exports_schedules: false,
            has_state_history: false,
            has_feed: false,
        }
    }

    fn status(&self) -> PlatformHealth {
        unreachable!("nobody asks")
    }

    fn feed(&self) -> Call<'_, Box<dyn Feed>> {
        unreachable!("nobody asks")
    }

    fn set_state<'a>(&'a self, _: &'a AgentId, _: &'a AgentState, _: &'a ReasonCode) -> Call<'a, ()> {
        unreachable!("nobody asks")
    }

    fn is_scheduled<'a>(&'a self, _: &'a AgentId) -> Call<'a, bool> {
        unreachable!("nobody asks")
    }

    fn break_required<'a>(&'a self, _: &'a AgentId) -> Call<'a, bool> {
        unreachable!("nobody asks")
    }

    fn subscribe<'a>(&'a self, _: SubscriptionRequest<'a>) -> Call<'a, Subscription> {
        unreachable!("nobody asks")
    }

    fn snapshot<'a>(&'a self, _: &'a SubscriptionId) -> Call<'a, SnapshotBody> {
        unreachable!("nobody asks")
    }

    fn reader(&self, _: &[AgentId]) -> Box<dyn SnapshotReader> {
        unreachable!("nobody asks")
    }
}
