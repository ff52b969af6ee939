//! The platform: whether it answers.

pub(in crate::http) mod platform_checks;
