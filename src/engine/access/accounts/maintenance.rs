//! Ends expired sessions, removes tokens that ended long ago, and stores when sessions and tokens were last used.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Accounts, MAX_UNSAVED_USE, locked};
use crate::clock::RealTime;
use crate::domain::access::account::StoredToken;
use crate::domain::time::UtcMicros;
use crate::store::{AccessChange, Commit};

/// How often to check for expiry, in real time. Streams that an expired credential holds open end then.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// How many checks pass between two saves of last uses.
const SAVE_EVERY_CHECKS: u32 = 30;

/// How long a token stays listed after its end.
const KEEP_AFTER_END: Duration = Duration::from_secs(90 * 86_400);

/// Runs until `shutdown` is cancelled.
pub async fn run(accounts: Accounts, shutdown: CancellationToken) -> anyhow::Result<()> {
    let mut checked_at = accounts.0.services.real_clock.now();
    let mut check_count = 0_u32;
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            () = RealTime::sleep(CHECK_INTERVAL) => {}
        }
        checked_at = accounts.end_expired(checked_at);
        check_count = check_count.wrapping_add(1);
        if check_count.is_multiple_of(SAVE_EVERY_CHECKS) {
            accounts.save_uses(MAX_UNSAVED_USE).await;
        }
    }
    // Otherwise recently used sessions might seem idle after a restart.
    accounts.save_uses(Duration::ZERO).await;
    Ok(())
}

impl Accounts {
    /// Ends what has expired since the previous check, and returns the time of this one.
    pub(super) fn end_expired(&self, since: UtcMicros) -> UtcMicros {
        let now = self.0.services.real_clock.now();
        let mut directory = self.directory_mut();
        let ended = directory.ended_sessions(self.limits(), now);
        for hash in &ended {
            directory.sessions.remove(hash);
        }
        let expired =
            directory.tokens.values().any(|entry| entry.token.is_valid_at(since) && !entry.token.is_valid_at(now));
        drop(directory);
        let has_changed = !ended.is_empty() || expired;
        locked(&self.0.ended_sessions).extend(ended);
        if has_changed {
            self.notify_update();
        }
        now
    }

    /// Stores last uses that are out of date by more than `tolerance`. What cannot be stored is tried again next time.
    pub(super) async fn save_uses(&self, tolerance: Duration) {
        let _guard = self.0.change_lock.lock().await;
        let (sessions, tokens) = self.directory().unsaved_uses(tolerance);
        let ended_sessions = std::mem::take(&mut *locked(&self.0.ended_sessions));
        let long_ago = self.0.services.real_clock.now() - KEEP_AFTER_END;
        let ended_at = |token: &StoredToken| token.revoked_at.or(token.expires_at);
        let old = |token: &StoredToken| ended_at(token).is_some_and(|ended| ended < long_ago);
        let deleted_tokens: Vec<_> = self
            .directory()
            .tokens
            .values()
            .filter(|entry| old(&entry.token))
            .map(|entry| entry.token.id.clone())
            .collect();
        let access = AccessChange { tokens, deleted_tokens, sessions, ended_sessions, ..AccessChange::default() };
        if access.is_empty() {
            return;
        }
        if let Err(error) = self.0.services.writer.commit(Commit { access: access.clone(), ..Commit::default() }).await
        {
            tracing::warn!(%error, "the last uses of sessions and tokens could not be stored");
            locked(&self.0.ended_sessions).extend(access.ended_sessions);
            return;
        }
        let mut directory = self.directory_mut();
        for session in access.sessions {
            if directory.sessions.contains_key(&session.hash) {
                directory.put_session(session);
            }
        }
        for token in access.tokens {
            directory.put_token(token);
        }
        for id in &access.deleted_tokens {
            directory.remove_token(id);
        }
    }
}
