//! Takes in that somebody wants an agent erased: the wish is recorded, and the agent leaves the roster as everybody does whom nothing names.
//! What is stored of the agent goes afterwards ([`crate::engine::agents::erase`]).

use serde_json::json;

use crate::domain::agents::erasure::{Erasure, Outcome, stand_in};
use crate::domain::audit::AuditDraft;
use crate::domain::changes::transition::Actor;
use crate::domain::ids::ErasureId;
use crate::engine::agents::erase::{EraseAsk, EraseRefused};
use crate::engine::keeper::Keeper;
use crate::engine::keeper::record::Pass;
use crate::engine::message::Message;
use crate::store::ErasureMark;

impl Keeper {
    pub(in crate::engine::keeper) async fn take_erasure(
        &mut self,
        pass: &mut Pass,
        ask: EraseAsk,
    ) -> anyhow::Result<()> {
        let taken = self.begin_erasure(pass, &ask).await?;
        if taken.is_ok() {
            let link = self.link.clone();
            pass.replies.push(Box::new(move || {
                // A full inbox is read in a moment, and the worker tells the keeper again.
                let _ = link.inbox.try_send(Message::ScheduleChanged);
                link.erasures.notify_one();
            }));
        }
        pass.answer(ask.reply, taken);
        Ok(())
    }

    async fn begin_erasure(
        &mut self,
        pass: &mut Pass,
        ask: &EraseAsk,
    ) -> anyhow::Result<Result<Erasure, EraseRefused>> {
        let (link, tenant) = (&self.link, &self.link.tenant);
        if self.settings.agents.contains(&ask.agent) {
            return Ok(Err(EraseRefused::Listed { agent: ask.agent.clone(), tenant: tenant.clone() }));
        }
        let stored = link.reader.agent(tenant, &ask.agent).await?.filter(|stored| !stored.is_stand_in);
        let Some(stored) = stored else { return Ok(Err(EraseRefused::NoAgent(ask.agent.clone()))) };
        let open = link.reader.open_erasures(tenant).await?;
        let known =
            open.iter().chain(&pass.commit.erasing.erasures).find(|open| open.agent.as_ref() == Some(&ask.agent));
        if let Some(known) = known {
            return Ok(Ok(known.clone()));
        }
        let by = Actor::Person { id: ask.asker.id.clone() }.label();
        let erasure = Erasure {
            id: ErasureId(link.random.id_at(pass.now)),
            tenant: tenant.clone(),
            agent: Some(ask.agent.clone()),
            stand_in: stand_in(link.random.opaque_id()),
            asked_at: pass.now,
            asked_by: by.as_str().into(),
            reason: ask.reason.as_str().into(),
            done_at: None,
            outcome: Outcome::default(),
        };
        let facts = crate::engine::keeper::changes::sets::with_source(json!({"erasure": erasure.id}), &ask.asker);
        pass.commit.audit.push(AuditDraft {
            subject: Some(stored.subject),
            ..AuditDraft::new(tenant.clone(), pass.now, by, "agent.erasure_asked", facts)
        });
        let mark = ErasureMark { tenant: tenant.clone(), agent: ask.agent.clone(), at: pass.now, is_stand_in: false };
        pass.commit.erasing.marks.push(mark);
        pass.commit.erasing.erasures.push(erasure.clone());
        Ok(Ok(erasure))
    }
}
