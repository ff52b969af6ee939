//! Adherence: exceptions that people approve.

pub(super) mod exceptions;
