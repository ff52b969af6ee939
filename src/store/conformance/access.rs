//! Accounts, tokens and sessions: kept as they were written, and gone when they ended.

use std::sync::Arc;

use super::{TestDatabase, at, on_each_engine};
use crate::domain::access::account::{Account, Session, StoredToken, TokenGrant};
use crate::domain::access::rights::{Right, Role, Scope};
use crate::domain::access::secret::Secret;
use crate::domain::audit::Hash;
use crate::store::{AccessChange, Commit, Store};

on_each_engine!(
    accounts_are_kept_as_they_were_last_written,
    tokens_are_kept_whatever_they_give_and_forgotten_by_id,
    sessions_end_by_their_hash,
);

fn account(id: &str) -> Account {
    Account {
        id: id.into(),
        name: "Ida Ö'Neil".into(),
        password_hash: Some(Secret::new("$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaA")),
        role: Role::Supervisor,
        scope: Scope::Only(
            [("acme".into(), Some(["Care".into(), "Sales, West".into()].into())), ("beta".into(), None)].into(),
        ),
        disabled: false,
        created_at: at(1),
        created_by: "person:ops".into(),
        changed_at: at(2),
        version: 1,
    }
}

fn token(id: &str, byte: u8, grant: TokenGrant) -> StoredToken {
    StoredToken {
        id: id.into(),
        hash: Hash([byte; 32]),
        grant,
        scope: Scope::Everywhere,
        created_at: at(1),
        created_by: "person:ops".into(),
        expires_at: Some(at(9)),
        revoked_at: None,
        revoked_by: None,
        last_used_at: None,
    }
}

async fn commit_access(store: &Store, access: AccessChange) {
    store.writer().commit(Commit { access, ..Commit::default() }).await.expect("commits");
}

async fn accounts_are_kept_as_they_were_last_written(place: TestDatabase) {
    let store = place.open().await;
    commit_access(&store, AccessChange { accounts: vec![account("ida"), account("bob")], ..AccessChange::default() })
        .await;
    let changed = Account {
        role: Role::Admin,
        scope: Scope::Everywhere,
        password_hash: None,
        disabled: true,
        changed_at: at(3),
        version: 2,
        ..account("ida")
    };
    commit_access(&store, AccessChange { accounts: vec![changed.clone()], ..AccessChange::default() }).await;
    assert_eq!(store.reader().accounts().await.expect("reads"), [account("bob"), changed]);
    store.close().await;
}

async fn tokens_are_kept_whatever_they_give_and_forgotten_by_id(place: TestDatabase) {
    let store = place.open().await;
    let tokens = vec![
        token("by-account", 1, TokenGrant::Account("ida".into())),
        token("by-right", 2, TokenGrant::Rights([Right::Read, Right::EditRules].into())),
        token("by-role", 3, TokenGrant::Role(Role::Auditor)),
    ];
    commit_access(&store, AccessChange { tokens: tokens.clone(), ..AccessChange::default() }).await;
    assert_eq!(store.reader().api_tokens().await.expect("reads"), tokens);
    let revoked = StoredToken {
        revoked_at: Some(at(5)),
        revoked_by: Some("person:bob".into()),
        last_used_at: Some(at(4)),
        ..tokens[0].clone()
    };
    let forgotten_tokens: Vec<Arc<str>> = vec!["by-role".into(), "never-there".into()];
    let change =
        AccessChange { tokens: vec![revoked.clone()], deleted_tokens: forgotten_tokens, ..AccessChange::default() };
    commit_access(&store, change).await;
    assert_eq!(store.reader().api_tokens().await.expect("reads"), [revoked, tokens[1].clone()]);
    let same_secret = token("another", 2, TokenGrant::Role(Role::Viewer));
    let commit =
        Commit { access: AccessChange { tokens: vec![same_secret], ..AccessChange::default() }, ..Commit::default() };
    assert!(store.writer().commit(commit).await.is_err(), "a secret belongs to one token");
    store.close().await;
}

async fn sessions_end_by_their_hash(place: TestDatabase) {
    let store = place.open().await;
    let session = |byte: u8, seconds: i64| Session {
        hash: Hash([byte; 32]),
        account: "ida".into(),
        created_at: at(seconds),
        last_used_at: at(seconds),
        source_address: (byte > 1).then(|| "2001:db8::7".parse().expect("an address")),
    };
    let sessions = vec![session(1, 1), session(2, 2), session(3, 3)];
    commit_access(&store, AccessChange { sessions, ..AccessChange::default() }).await;
    let used = Session { last_used_at: at(70), ..session(2, 2) };
    let change = AccessChange {
        sessions: vec![used.clone()],
        ended_sessions: vec![Hash([1; 32]), Hash([9; 32])],
        ..AccessChange::default()
    };
    commit_access(&store, change).await;
    assert_eq!(store.reader().sessions().await.expect("reads"), [used, session(3, 3)]);
    store.close().await;
}
