//! The whole daemon against the simulator, over real HTTP, on a fast clock. Each ends by reckoning the daemon's store against
//! the simulator's log; `docs/testing.md` says how they are run and what the full-size ones took.

mod api;
mod approvals;
mod breaker;
mod budget;
mod change_sets;
mod clock;
mod database;
mod described;
mod dry_run;
mod feed;
mod figures;
mod hostile;
mod imports;
mod live_picture;
mod lost_answers;
mod outage;
mod outbox;
mod people;
mod reading;
mod relay;
mod reload;
mod repeats;
mod restart;
mod review;
mod rights;
mod rules;
mod sign_in;
mod stalled;
mod storm;
mod subscriptions;
mod tenants;
mod tls;
mod trouble;
mod webhooks;
mod window;
