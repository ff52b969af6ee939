//! Operations: the system page.

pub(super) mod system;
