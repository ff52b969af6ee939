//! Changes of agent states: the policy that every change must obey.

pub(super) mod policy;
