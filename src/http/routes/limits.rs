//! Limits on the size and the time of requests.

use std::time::Duration;

use crate::domain::schedules::import::MAX_FILE_BYTES;

/// The largest request body in bytes, except for imports.
pub(in crate::http) const BODY_LIMIT: usize = 1024 * 1024;

/// How long a request may take before it ends with status 408.
const ORDINARY_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a slow request may take, such as importing a large schedule or verifying a long audit chain.
pub const LONG_TIMEOUT: Duration = Duration::from_secs(300);

/// The limits on the size and the time of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RouteKind {
    /// 1 MiB, 60 s.
    Ordinary,
    /// 1 MiB, 300 s.
    Long,
    /// A file: 64 MiB, 300 s.
    Import,
    /// A stream without an end; `live_stream` and `stall` limit it.
    Streaming,
}

impl RouteKind {
    /// Returns the limits in bytes and time, or `None` for a stream.
    pub(super) const fn limits(self) -> Option<(usize, Duration)> {
        match self {
            Self::Ordinary => Some((BODY_LIMIT, ORDINARY_TIMEOUT)),
            Self::Long => Some((BODY_LIMIT, LONG_TIMEOUT)),
            Self::Import => Some((MAX_FILE_BYTES, LONG_TIMEOUT)),
            Self::Streaming => None,
        }
    }
}
