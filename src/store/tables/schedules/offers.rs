//! Offers of changes of shifts, each with the agents to whom it was made and their answers.

use std::sync::Arc;

use sqlx::any::AnyRow;

use crate::domain::audit::Hash;
use crate::domain::ids::{AgentId, OfferId, TeamName, TenantId};
use crate::domain::schedules::offer::{Offer, OfferAnswer, OfferedAgent};
use crate::domain::time::UtcMicros;
use crate::store::batch::{self, ManyRows, Transaction, Values};
use crate::store::cells::Cells;
use crate::store::change::{Commit, OfferWrite};
use crate::store::error::{CommitError, ReadError};
use crate::store::reader::Reader;

pub(in crate::store) const ADD: ManyRows = ManyRows {
    head: "INSERT INTO schedule_offers (tenant, id, day, edit, places, expires_at, made_at, made_by, approved_at, approved_by) VALUES",
    width: 10,
    tail: "",
};
/// Rows: tenant, offer, agent.
pub(in crate::store) const ADD_AGENTS: ManyRows =
    ManyRows { head: "INSERT INTO schedule_offer_agents (tenant, offer, agent) VALUES", width: 3, tail: "" };
/// Rows: tenant, offer, agent, hash of the link.
pub(in crate::store) const SET_LINK: ManyRows = ManyRows {
    head: "UPDATE schedule_offer_agents SET link = v.column4 FROM (VALUES",
    width: 4,
    tail: ") AS v WHERE schedule_offer_agents.tenant = v.column1 AND schedule_offer_agents.offer = v.column2 \
           AND schedule_offer_agents.agent = v.column3",
};
/// Rows: tenant, offer, time, person.
pub(in crate::store) const APPROVE: ManyRows = ManyRows {
    head: "UPDATE schedule_offers SET approved_at = v.column3, approved_by = v.column4 FROM (VALUES",
    width: 4,
    tail: ") AS v WHERE schedule_offers.tenant = v.column1 AND schedule_offers.id = v.column2 \
           AND schedule_offers.approved_at IS NULL",
};
/// Rows: tenant, offer. Removes the agents to whom an approved offer is not made.
pub(in crate::store) const DELETE_WITHOUT_LINK: ManyRows = ManyRows {
    head: "DELETE FROM schedule_offer_agents WHERE link IS NULL AND (tenant, offer) IN (VALUES",
    width: 2,
    tail: ")",
};
/// Rows: tenant, offer, agent, answer, time, version or 0.
pub(in crate::store) const ANSWER: ManyRows = ManyRows {
    head: "UPDATE schedule_offer_agents SET answer = v.column4, answered_at = v.column5, version = NULLIF(v.column6, 0) \
           FROM (VALUES",
    width: 6,
    tail: ") AS v WHERE schedule_offer_agents.tenant = v.column1 AND schedule_offer_agents.offer = v.column2 \
           AND schedule_offer_agents.agent = v.column3 AND schedule_offer_agents.answer IS NULL",
};
/// Rows: tenant, offer, time, person.
pub(in crate::store) const WITHDRAW: ManyRows = ManyRows {
    head: "UPDATE schedule_offers SET withdrawn_at = v.column3, withdrawn_by = v.column4 FROM (VALUES",
    width: 4,
    tail: ") AS v WHERE schedule_offers.tenant = v.column1 AND schedule_offers.id = v.column2 \
           AND schedule_offers.withdrawn_at IS NULL",
};

macro_rules! selecting {
    ($rest:literal) => {
        concat!(
            "SELECT tenant, id, day, edit, places, expires_at, made_at, made_by, approved_at, approved_by, withdrawn_at, \
             withdrawn_by \
             FROM schedule_offers WHERE tenant = $1 AND ",
            $rest
        )
    };
}

pub(in crate::store) const ONE: &str = selecting!("id = $2");
/// `$2` before this id, `$3` limit.
pub(in crate::store) const LIST: &str = selecting!("id < $2 ORDER BY id DESC LIMIT $3");
pub(in crate::store) const AGENTS_OF: &str = "SELECT o.tenant, o.agent, o.answer, o.answered_at, o.version, a.name, a.team \
     FROM schedule_offer_agents o LEFT JOIN agents a ON a.tenant = o.tenant AND a.id = o.agent \
     WHERE o.tenant = $1 AND o.offer = $2 ORDER BY o.agent";
pub(in crate::store) const BY_LINK: &str = "SELECT tenant, offer, agent FROM schedule_offer_agents WHERE link = $1";
pub(in crate::store) const DELETE_AGENTS: &str = "DELETE FROM schedule_offer_agents WHERE tenant = $1 AND offer IN (SELECT id FROM schedule_offers \
     WHERE tenant = $1 AND expires_at < $2 ORDER BY expires_at, id LIMIT 500)";
pub(in crate::store) const DELETE: &str = "DELETE FROM schedule_offers WHERE tenant = $1 AND id IN (SELECT id FROM schedule_offers \
     WHERE tenant = $1 AND expires_at < $2 ORDER BY expires_at, id LIMIT 500)";

pub(in crate::store) async fn write(transaction: &mut Transaction<'_>, commits: &[&Commit]) -> Result<(), CommitError> {
    let (mut made, mut agents, mut links, mut approvals) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut answers, mut withdrawals) = (Vec::new(), Vec::new());
    for write in commits.iter().flat_map(|commit| &commit.offers) {
        match write {
            OfferWrite::Make(offer) => {
                let edit = serde_json::to_string(&offer.edit).map_err(|error| CommitError::Refused(Arc::new(error)))?;
                made.push((offer, edit));
                agents.extend(offer.agents.iter().map(|agent| (offer, agent)));
            }
            OfferWrite::Approve { tenant, offer, at, by, links: new } => {
                approvals.push((tenant, offer, at, by));
                links.extend(new.iter().map(|(agent, link)| (tenant, offer, agent, link)));
            }
            OfferWrite::Answer { tenant, offer, agent, answer } => answers.push((tenant, offer, agent, answer)),
            OfferWrite::Withdraw { tenant, offer, at, by } => withdrawals.push((tenant, offer, at, by)),
        }
    }
    batch::run(transaction, &ADD, &made, |(offer, edit), values| {
        values
            .text(offer.tenant.as_str())
            .text(offer.id.to_string())
            .text(offer.day.to_string())
            .text(edit.as_str())
            .int(offer.places.into())
            .instant(offer.expires_at)
            .instant(offer.made_at)
            .text(&*offer.made_by)
            .instant_or_null(offer.approved.as_ref().map(|(at, _)| *at))
            .text_or_null(offer.approved.as_ref().map(|(_, by)| by.to_string()))
    })
    .await?;
    batch::run(transaction, &ADD_AGENTS, &agents, |(offer, offered), values| {
        values.text(offer.tenant.as_str()).text(offer.id.to_string()).text(offered.agent.as_str())
    })
    .await?;
    approve(transaction, &approvals, &links).await?;
    batch::run(transaction, &ANSWER, &answers, |(tenant, offer, agent, answer), values| {
        values
            .text(tenant.as_str())
            .text(offer.to_string())
            .text(agent.as_str())
            .text(answer.name())
            .instant(answer.at)
            .count(answer.accepted_as.unwrap_or(0))
    })
    .await?;
    batch::run(transaction, &WITHDRAW, &withdrawals, |(tenant, offer, at, by), values| {
        values.text(tenant.as_str()).text(offer.to_string()).instant(**at).text(by.as_str())
    })
    .await
}

/// Writes approvals (tenant, offer, time, person) and links (tenant, offer, agent, hash).
async fn approve(
    transaction: &mut Transaction<'_>,
    approvals: &[(&TenantId, &OfferId, &UtcMicros, &String)],
    links: &[(&TenantId, &OfferId, &AgentId, &Hash)],
) -> Result<(), CommitError> {
    batch::run(transaction, &SET_LINK, links, |(tenant, offer, agent, link), values| {
        values.text(tenant.as_str()).text(offer.to_string()).text(agent.as_str()).bytes(&link.0)
    })
    .await?;
    batch::run(transaction, &DELETE_WITHOUT_LINK, approvals, |(tenant, offer, ..), values| {
        values.text(tenant.as_str()).text(offer.to_string())
    })
    .await?;
    batch::run(transaction, &APPROVE, approvals, |(tenant, offer, at, by), values| {
        values.text(tenant.as_str()).text(offer.to_string()).instant(**at).text(by.as_str())
    })
    .await
}

impl Reader {
    /// Returns one offer.
    pub async fn offer(&self, tenant: &TenantId, id: OfferId) -> Result<Option<Offer>, ReadError> {
        match self.read_row(ONE, Values::of(tenant).text(id.to_string()), offer).await? {
            None => Ok(None),
            Some(found) => self.with_offered_agents(found).await.map(Some),
        }
    }

    /// Returns a page of at most `limit` offers (capped at [`crate::store::PAGE_LIMIT`]), newest first.
    pub async fn offers(
        &self,
        tenant: &TenantId,
        before: Option<OfferId>,
        limit: u32,
    ) -> Result<Vec<Offer>, ReadError> {
        let mut page = Vec::new();
        for found in self.read_rows(LIST, Values::of(tenant).before(before).page(limit), offer).await? {
            page.push(self.with_offered_agents(found).await?);
        }
        Ok(page)
    }

    /// Returns the offer and the agent of the link with this hash.
    pub async fn offer_of_link(&self, link: &Hash) -> Result<Option<(Offer, AgentId)>, ReadError> {
        let read = |row: &AnyRow| {
            let cells = Cells::new("schedule_offer_agents", row);
            Ok((TenantId::new(cells.text("tenant")?), cells.parsed("offer")?, AgentId::new(cells.text("agent")?)))
        };
        match self.read_row(BY_LINK, Values::default().bytes(&link.0), read).await? {
            None => Ok(None),
            Some((tenant, id, agent)) => Ok(self.offer(&tenant, id).await?.map(|offer| (offer, agent))),
        }
    }

    async fn with_offered_agents(&self, found: Offer) -> Result<Offer, ReadError> {
        let values = Values::of(&found.tenant).text(found.id.to_string());
        Ok(Offer { agents: self.read_rows(AGENTS_OF, values, offered_agent).await?, ..found })
    }
}

fn offer(row: &AnyRow) -> Result<Offer, ReadError> {
    let cells = Cells::new("schedule_offers", row);
    let approved = cells.instant_or_null("approved_at")?.zip(cells.text_or_null("approved_by")?);
    let withdrawn = cells.instant_or_null("withdrawn_at")?.zip(cells.text_or_null("withdrawn_by")?);
    Ok(Offer {
        id: cells.parsed("id")?,
        tenant: TenantId::new(cells.text("tenant")?),
        day: cells.parsed("day")?,
        edit: cells.json("edit")?,
        places: cells.number("places")?,
        expires_at: cells.instant("expires_at")?,
        made_at: cells.instant("made_at")?,
        made_by: cells.text("made_by")?.into(),
        approved: approved.map(|(at, by)| (at, by.into())),
        withdrawn: withdrawn.map(|(at, by)| (at, by.into())),
        agents: Vec::new(),
    })
}

fn offered_agent(row: &AnyRow) -> Result<OfferedAgent, ReadError> {
    let cells = Cells::new("schedule_offer_agents", row);
    let accepted_as = cells.number_or_null("version")?;
    Ok(OfferedAgent {
        agent: AgentId::new(cells.text("agent")?),
        name: cells.text_or_null("name")?.map(Into::into),
        team: cells.text_or_null("team")?.map(TeamName::new),
        answer: cells.instant_or_null("answered_at")?.map(|at| OfferAnswer { at, accepted_as }),
    })
}
