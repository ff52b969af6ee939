//! The platform: how agent states are read, and when a failed request is tried again.

pub(super) mod feed;
pub(super) mod retry;
pub(super) mod subscription;
