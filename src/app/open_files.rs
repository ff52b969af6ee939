//! The limit of open files. Each viewer needs one, and the systems' default limit is often 1,024.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The number of other open files: connections of the API, to the platform, to webhook endpoints and to the store, and
/// regular files.
const FILES_BESIDE_VIEWERS: usize = 2048;

/// Raises the limit to hold `viewers`, or as far as the system allows.
pub(super) fn raise_limit(viewers: usize) {
    let required = u64::try_from(viewers + FILES_BESIDE_VIEWERS).unwrap_or(u64::MAX);
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|now| now >= required) {
        return;
    }
    let raised = limit.maximum.map_or(required, |most| most.min(required));
    let error = setrlimit(Resource::Nofile, Rlimit { current: Some(raised), ..limit }).err();
    if raised < required || error.is_some() {
        tracing::warn!(
            open_files = raised,
            required,
            viewers,
            "fewer files may be open than server.viewers takes; raise the limit (LimitNOFILE) or lower server.viewers"
        );
    }
}
