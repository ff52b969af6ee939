//! The platform: calls under the budget, subscriptions and the live feed.

pub mod calls;
pub mod directory;
pub mod directory_state;
pub mod feed;
pub mod link;
pub mod observation;
pub mod probe;
