//! The platform: calls under the budget, subscriptions, the live feed and past states.

pub mod calls;
pub mod directory;
pub mod directory_state;
pub mod feed;
pub mod link;
pub mod observation;
pub mod observation_gap;
pub mod past_states;
pub mod probe;
