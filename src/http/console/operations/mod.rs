//! Operations: the page System.

pub(super) mod system;
