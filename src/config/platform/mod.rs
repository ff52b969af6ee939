//! The platform: how agent states are read, and when a failed request is retried.

pub(super) mod feed;
pub(super) mod incontact;
pub(super) mod retry;
pub(super) mod subscription;
