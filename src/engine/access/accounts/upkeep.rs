//! Ends sessions whose time is over, lets go of tokens that ended long ago, and tells the store when things were last used.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Accounts, TOLD_WITHIN, locked};
use crate::clock::RealTime;
use crate::domain::access::account::StoredToken;
use crate::domain::time::UtcMicros;
use crate::store::{AccessChange, Commit};

/// What expires is found within this, in real time: a stream that it holds open ends then.
const LOOKS_EVERY: Duration = Duration::from_secs(2);

/// The store is told once in so many looks.
const TELLS_ONCE_IN: u32 = 30;

/// A token is listed for so long after its end.
const LISTED_AFTER_END: Duration = Duration::from_secs(90 * 86_400);

/// Looks after them until `soft` is cancelled.
pub async fn run(accounts: Accounts, soft: CancellationToken) -> anyhow::Result<()> {
    let mut looked_at = accounts.0.parts.real.now();
    let mut looks = 0_u32;
    loop {
        tokio::select! {
            () = soft.cancelled() => break,
            () = RealTime::sleep(LOOKS_EVERY) => {}
        }
        looked_at = accounts.look(looked_at);
        looks = looks.wrapping_add(1);
        if looks.is_multiple_of(TELLS_ONCE_IN) {
            accounts.tell_store(TOLD_WITHIN).await;
        }
    }
    // Whoever signed in a minute ago is not to be taken for one who was idle since.
    accounts.tell_store(Duration::ZERO).await;
    Ok(())
}

impl Accounts {
    /// Ends what has expired since the last look; gives the instant of this one.
    pub(super) fn look(&self, since: UtcMicros) -> UtcMicros {
        let now = self.0.parts.real.now();
        let mut book = self.book_to_write();
        let over = book.ended_sessions(self.limits(), now);
        for hash in &over {
            book.sessions.remove(hash);
        }
        let expired = book.tokens.values().any(|entry| entry.token.counts_at(since) && !entry.token.counts_at(now));
        drop(book);
        let any = !over.is_empty() || expired;
        locked(&self.0.over).extend(over);
        if any {
            self.tell_news();
        }
        now
    }

    /// Tells the store what it has wrong by more than `by`. What it does not take is told the next time.
    pub(super) async fn tell_store(&self, by: Duration) {
        let _turn = self.0.turn.lock().await;
        let (sessions, tokens) = self.book().seen_since(by);
        let ended_sessions = std::mem::take(&mut *locked(&self.0.over));
        let long_ago = self.0.parts.real.now() - LISTED_AFTER_END;
        let ended_at = |token: &StoredToken| token.revoked_at.or(token.expires_at);
        let old = |token: &StoredToken| ended_at(token).is_some_and(|ended| ended < long_ago);
        let forgotten_tokens: Vec<_> =
            self.book().tokens.values().filter(|entry| old(&entry.token)).map(|entry| entry.token.id.clone()).collect();
        let access = AccessChange { tokens, forgotten_tokens, sessions, ended_sessions, ..AccessChange::default() };
        if access.is_empty() {
            return;
        }
        if let Err(error) = self.0.parts.writer.commit(Commit { access: access.clone(), ..Commit::default() }).await {
            tracing::warn!(%error, "the store could not be told which sessions and tokens were used");
            locked(&self.0.over).extend(access.ended_sessions);
            return;
        }
        let mut book = self.book_to_write();
        for session in access.sessions {
            if book.sessions.contains_key(&session.hash) {
                book.put_session(session);
            }
        }
        for token in access.tokens {
            book.put_token(token);
        }
        for id in &access.forgotten_tokens {
            book.forget_token(id);
        }
    }
}
