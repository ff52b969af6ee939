//! Handles requests to erase an agent: the request is recorded, and the agent leaves the roster like any agent that
//! nothing names. The stored data is removed afterwards ([`crate::engine::agents::erasure`]).

use serde_json::json;

use crate::domain::agents::erasure::{Erasure, ErasureResult, stand_in};
use crate::domain::audit::AuditDraft;
use crate::domain::changes::transition::Actor;
use crate::domain::ids::ErasureId;
use crate::engine::agents::erasure::{ErasureError, ErasureRequest};
use crate::engine::keeper::pass::Pass;
use crate::engine::keeper::state::Keeper;
use crate::engine::keeper_message::KeeperMessage;
use crate::store::ErasureMark;

impl Keeper {
    pub(in crate::engine::keeper) async fn handle_erasure_request(
        &mut self,
        pass: &mut Pass,
        request: ErasureRequest,
    ) -> anyhow::Result<()> {
        let result = self.start_erasure(pass, &request).await?;
        if result.is_ok() {
            let link = self.link.clone();
            pass.replies.push(Box::new(move || {
                // If the inbox is full, the worker sends this message again.
                let _ = link.inbox.try_send(KeeperMessage::ScheduleChanged);
                link.erasures.notify_one();
            }));
        }
        pass.reply_after_commit(request.reply, result);
        Ok(())
    }

    async fn start_erasure(
        &mut self,
        pass: &mut Pass,
        request: &ErasureRequest,
    ) -> anyhow::Result<Result<Erasure, ErasureError>> {
        let (link, tenant) = (&self.link, &self.link.tenant);
        if self.settings.agents.contains(&request.agent) {
            return Ok(Err(ErasureError::InConfiguration { agent: request.agent.clone(), tenant: tenant.clone() }));
        }
        let stored = link.reader.agent(tenant, &request.agent).await?.filter(|stored| !stored.is_stand_in);
        let Some(stored) = stored else { return Ok(Err(ErasureError::NoAgent(request.agent.clone()))) };
        let open = link.reader.open_erasures(tenant).await?;
        let existing =
            open.iter().chain(&pass.commit.erasure.erasures).find(|open| open.agent.as_ref() == Some(&request.agent));
        if let Some(existing) = existing {
            return Ok(Ok(existing.clone()));
        }
        let by = Actor::Person { id: request.requester.id.clone() }.label();
        let erasure = Erasure {
            id: ErasureId(link.random.time_ordered_id(pass.now)),
            tenant: tenant.clone(),
            agent: Some(request.agent.clone()),
            stand_in: stand_in(link.random.random_id()),
            requested_at: pass.now,
            requested_by: by.as_str().into(),
            reason: request.reason.as_str().into(),
            completed_at: None,
            result: ErasureResult::default(),
        };
        let details = crate::engine::keeper::changes::change_sets::with_source(
            json!({"erasure": erasure.id}),
            &request.requester,
        );
        pass.commit.audit.push(AuditDraft {
            subject: Some(stored.subject),
            ..AuditDraft::new(tenant.clone(), pass.now, by, "agent.erasure_asked", details)
        });
        let mark =
            ErasureMark { tenant: tenant.clone(), agent: request.agent.clone(), at: pass.now, is_stand_in: false };
        pass.commit.erasure.marks.push(mark);
        pass.commit.erasure.erasures.push(erasure.clone());
        Ok(Ok(erasure))
    }
}
