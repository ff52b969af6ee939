//! Offers of changes of shifts, which agents accept or decline by a link.

use jiff::civil::Date;

use super::schedule_changes::{ChangedShift, LeftOutAgent, ScheduleChangeError};
use crate::clock::BoxFuture;
use crate::domain::ids::{AgentId, OfferId, TenantId};
use crate::domain::schedules::edit::ShiftEdit;
use crate::domain::schedules::offer::Offer;
use crate::domain::time::UtcMicros;
use crate::store::{CommitError, ReadError};

/// Makes offers and takes the answers of agents.
///
/// Defined here and implemented by `app`, because an accepted offer changes the schedule.
pub trait ScheduleOffers: Send + Sync + 'static {
    /// Makes an offer to the agents whose shifts it would change.
    fn make_offer(&self, new: NewOffer) -> BoxFuture<Result<MadeOffer, OfferError>>;

    /// Returns what the agent with a link sees.
    fn show_offer(&self, secret: String) -> BoxFuture<Result<OfferToAgent, OfferError>>;

    /// Accepts or declines an offer, if the agent can still do so. What the agent sees then tells what happened.
    fn answer_offer(&self, secret: String, accept: bool) -> BoxFuture<Result<OfferToAgent, OfferError>>;

    /// Makes an offer that a rule proposed, to the agents whose shifts it still changes.
    fn approve_offer(&self, tenant: TenantId, id: OfferId, actor: String) -> BoxFuture<Result<MadeOffer, OfferError>>;

    /// Withdraws an offer, or declines one that a rule proposed. What was accepted stays as it is.
    fn withdraw_offer(&self, tenant: TenantId, id: OfferId, actor: String) -> BoxFuture<Result<Offer, OfferError>>;
}

/// An offer to make.
#[derive(Clone, Debug)]
pub struct NewOffer {
    /// The tenant.
    pub tenant: TenantId,
    /// The agents.
    pub agents: Vec<AgentId>,
    /// The local day in each agent's zone.
    pub day: Date,
    /// The edit of the shifts that begin on the day.
    pub edit: ShiftEdit,
    /// How many agents can accept.
    pub places: u32,
    /// Until when agents can answer.
    pub expires_at: UtcMicros,
    /// Who makes it.
    pub actor: String,
}

/// An offer that was made.
#[derive(Debug)]
pub struct MadeOffer {
    /// The offer.
    pub offer: Offer,
    /// The path of each agent's page, such as `/offer/SECRET`.
    pub links: Vec<(AgentId, String)>,
    /// Agents to whom it was not made, and why.
    pub left_out: Vec<LeftOutAgent>,
}

/// An offer as its agent sees it.
#[derive(Debug)]
pub struct OfferToAgent {
    /// The offer.
    pub offer: Offer,
    /// The agent.
    pub agent: AgentId,
    /// The agent's time zone; UTC without one.
    pub zone: Option<String>,
    /// The shifts that acceptance would change, or why the offer does not fit the schedule in force.
    pub changes: Result<Vec<ChangedShift>, String>,
    /// The time of the answer.
    pub now: UtcMicros,
}

/// Why an offer was not made, shown or answered.
#[derive(Debug, thiserror::Error)]
pub enum OfferError {
    /// There is no such offer.
    #[error("there is no such offer")]
    NoOffer,
    /// It was approved or withdrawn already, or its time is over.
    #[error("the offer does not wait for approval: it was approved or withdrawn, or its time is over")]
    NotProposed,
    /// The offer would end before it begins, or after its day.
    #[error("`expires_at` has to be later than now and not later than the end of {0}")]
    BadExpiry(Date),
    /// It does not fit the schedule of any agent, or the schedule cannot be read or written.
    #[error(transparent)]
    Change(#[from] ScheduleChangeError),
    /// The offer could not be read.
    #[error("the offer could not be read")]
    Read(#[from] ReadError),
    /// The store did not accept it.
    #[error("the offer could not be stored; nothing was changed")]
    Store(#[source] CommitError),
}
