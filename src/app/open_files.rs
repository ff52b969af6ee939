//! The limit of open files: each viewer is one, and what systems allow without being asked is often 1,024.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Connections of the API, to the platform, to endpoints and to the store, and files.
const BESIDE_VIEWERS: usize = 2048;

/// Raises the limit so far that so many viewers find room, or as far as the system lets it.
pub(super) fn allow(viewers: usize) {
    let wanted = u64::try_from(viewers + BESIDE_VIEWERS).unwrap_or(u64::MAX);
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|now| now >= wanted) {
        return;
    }
    let raised = limit.maximum.map_or(wanted, |most| most.min(wanted));
    let error = setrlimit(Resource::Nofile, Rlimit { current: Some(raised), ..limit }).err();
    if raised < wanted || error.is_some() {
        tracing::warn!(
            open_files = raised,
            wanted,
            viewers,
            "fewer files may be open than server.viewers takes; raise the limit (LimitNOFILE) or lower server.viewers"
        );
    }
}
