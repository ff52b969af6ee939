//! Accounts, tokens and sessions over a store: what is recorded, what ends when, and what a restart keeps.

use std::collections::BTreeSet;

use super::*;
use crate::clock::{Clock as _, ManualClock, SeededRandom};
use crate::domain::access::rights::{Right, Role, ScopeRequest, TenantScopeRequest};
use crate::domain::access::secret::Secret;
use crate::domain::audit::AuditBody;
use crate::store::{ProcessIdentity, ProcessRole as Opens, Store};

const PASSWORD: &str = "correct horse battery";
const LIMITS: SessionLimits =
    SessionLimits { idle: Duration::from_secs(3600), absolute: Duration::from_secs(12 * 3600) };

struct AccountsFixture {
    _folder: tempfile::TempDir,
    url: String,
    real: ManualClock,
}

impl AccountsFixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite://{}", folder.path().join("s.db").display());
        Self { _folder: folder, url, real: ManualClock::at(UtcMicros::from_micros(1_790_000_000_000_000)) }
    }

    async fn open(&self) -> (Store, Accounts) {
        let identity = ProcessIdentity { host: "test".into(), pid: 1, version: "test".into() };
        let clock: SharedClock = Arc::new(self.real.clone());
        let store = Store::open(&self.url, Opens::Daemon, clock.clone(), &identity).await.expect("a store");
        let services = AccountServices {
            writer: store.writer().clone(),
            clock,
            real_clock: Arc::new(self.real.clone()),
            random: Arc::new(SeededRandom::new(7)),
            tenants: Tenants::from_ids(["acme", "beta"].map(TenantId::from)),
            limits: watch::channel(LIMITS).1,
            reserved_ids: watch::channel(Arc::from([Arc::from("ops")])).1,
        };
        let accounts = Accounts::load(services, store.reader()).await.expect("reads");
        (store, accounts)
    }
}

fn ops_author() -> Author {
    Author::command_line("account", None)
}

fn acme_scope(teams: &[&str]) -> ScopeRequest {
    let teams = (!teams.is_empty()).then(|| teams.iter().map(|team| (*team).into()).collect());
    ScopeRequest { everywhere: false, tenants: vec![TenantScopeRequest { id: "acme".into(), teams }] }
}

fn everywhere_scope() -> ScopeRequest {
    ScopeRequest { everywhere: true, tenants: Vec::new() }
}

fn new_account(id: &str, role: Role, scope: ScopeRequest) -> NewAccount {
    NewAccount { id: id.into(), name: String::new(), role, scope, password: Some(Secret::new(PASSWORD)) }
}

fn new_token(id: &str, role: Role, scope: ScopeRequest) -> NewToken {
    NewToken { id: id.into(), role: Some(role), rights: BTreeSet::new(), account: None, scope, expires_in_days: None }
}

async fn audit_entries(store: &Store, tenant: &str) -> Vec<AuditBody> {
    let entries = store.reader().audit_entries(&tenant.into(), 0, 100).await.expect("reads");
    entries.iter().map(|entry| serde_json::from_str(&entry.body).expect("a body")).collect()
}

#[expect(clippy::unnecessary_wraps, reason = "an address is optional where it is used")]
fn ip_address(address: &str) -> Option<std::net::IpAddr> {
    Some(address.parse().expect("an address"))
}

#[tokio::test]
async fn somebody_signs_in_is_known_over_a_restart_and_signs_out() {
    let fixture = AccountsFixture::new();
    let (store, accounts) = fixture.open().await;
    accounts
        .add_account(new_account("ann", Role::Supervisor, acme_scope(&["Care"])), &ops_author())
        .await
        .expect("made");
    let signed_in = accounts.sign_in(" Ann ", Secret::new(PASSWORD), ip_address("192.0.2.7")).await.expect("in");
    let cookie = signed_in.cookie.expose().to_owned();
    let (_, permissions) = accounts.authenticate_session(&cookie).expect("known");
    assert_eq!(
        (&*permissions.id, permissions.role, permissions.kind),
        ("ann", Some(Role::Supervisor), CredentialKind::Account)
    );
    assert!(accounts.authenticate_session(&cookie[1..]).is_none());
    store.close().await;

    let (store, accounts) = fixture.open().await;
    let (hash, _) = accounts.authenticate_session(&cookie).expect("still known");
    let updates = accounts.updates();
    accounts.sign_out(hash, ip_address("192.0.2.7")).await.expect("out");
    assert!(updates.has_changed().expect("told"));
    assert!(accounts.authenticate_session(&cookie).is_none());
    assert_eq!(store.reader().sessions().await.expect("reads"), []);
    let entries = audit_entries(&store, "acme").await;
    let actions: Vec<_> = entries.iter().map(|entry| (&*entry.action, &*entry.actor)).collect();
    assert_eq!(
        actions,
        [
            ("account.added", "command:account"),
            ("account.signed_in", "person:ann"),
            ("account.signed_out", "person:ann"),
        ]
    );
    assert_eq!(entries[0].why["teams"], serde_json::json!(["Care"]));
    assert_eq!(entries[1].why["source"], "192.0.2.7");
    assert_eq!(audit_entries(&store, "beta").await, [], "it reaches nothing there");
    let bytes = std::fs::read(fixture.url.trim_start_matches("sqlite://")).expect("the file");
    for secret in [PASSWORD.as_bytes(), cookie.as_bytes()] {
        assert!(!bytes.windows(secret.len()).any(|window| window == secret), "only hashes are stored");
    }
    store.close().await;
}

#[tokio::test]
async fn failed_sign_ins_look_the_same_and_are_throttled() {
    let (store, accounts) = AccountsFixture::new().open().await;
    accounts.add_account(new_account("ann", Role::Viewer, everywhere_scope()), &ops_author()).await.expect("made");
    accounts.add_account(new_account("bob", Role::Viewer, everywhere_scope()), &ops_author()).await.expect("made");
    let changes =
        AccountChanges { name: "Bob".into(), role: Role::Viewer, scope: None, disabled: true, version: Some(1) };
    accounts.change_account("bob", changes, &ops_author()).await.expect("disabled");
    for (name, typed) in [("ann", "correct horse batterz"), ("nobody", PASSWORD), ("bob", PASSWORD)] {
        for _ in 0..5 {
            let refused = accounts.sign_in(name, Secret::new(typed), ip_address("203.0.113.9")).await;
            assert!(matches!(refused, Err(SignInError::WrongPassword)), "{name}: {refused:?}");
        }
        let refused = accounts.sign_in(name, Secret::new(typed), ip_address("203.0.113.9")).await;
        assert!(matches!(refused, Err(SignInError::Throttled(_))), "{name}: {refused:?}");
    }
    accounts.sign_in("ann", Secret::new(PASSWORD), ip_address("198.51.100.1")).await.expect("nobody is locked out");
    store.close().await;
}

#[tokio::test]
async fn a_disabled_account_and_another_password_end_sessions_at_once() {
    let (store, accounts) = AccountsFixture::new().open().await;
    accounts.add_account(new_account("ann", Role::Viewer, everywhere_scope()), &ops_author()).await.expect("made");
    let sign_in = async || accounts.sign_in("ann", Secret::new(PASSWORD), None).await.expect("in").cookie;
    let cookie = sign_in().await;
    let mut updates = accounts.updates();
    accounts.set_password("ann", Secret::new("another horse battery"), &ops_author()).await.expect("set");
    assert!(accounts.authenticate_session(cookie.expose()).is_none() && updates.has_changed().expect("told"));
    accounts.set_password("ann", Secret::new(PASSWORD), &ops_author()).await.expect("set");
    let cookie = sign_in().await;
    let changes = |disabled, version| AccountChanges {
        name: String::new(),
        role: Role::Viewer,
        scope: None,
        disabled,
        version: Some(version),
    };
    let stale = accounts.change_account("ann", changes(true, 1), &ops_author()).await;
    assert!(matches!(stale, Err(AccountError::Changed { now: 3 })), "{stale:?}");
    updates.mark_unchanged();
    accounts.change_account("ann", changes(true, 3), &ops_author()).await.expect("disabled");
    assert!(accounts.authenticate_session(cookie.expose()).is_none() && updates.has_changed().expect("told"));
    accounts.change_account("ann", changes(false, 4), &ops_author()).await.expect("enabled");
    assert!(accounts.authenticate_session(cookie.expose()).is_none(), "and does not come back");
    store.close().await;
}

#[tokio::test]
async fn a_session_expires_and_its_watchers_are_notified() {
    let fixture = AccountsFixture::new();
    let (store, accounts) = fixture.open().await;
    accounts.add_account(new_account("ann", Role::Viewer, everywhere_scope()), &ops_author()).await.expect("made");
    let cookie = accounts.sign_in("ann", Secret::new(PASSWORD), None).await.expect("in").cookie;
    let updates = accounts.updates();
    let now = accounts.end_expired(fixture.real.now());
    assert!(!updates.has_changed().expect("told"));
    fixture.real.advance(LIMITS.idle);
    accounts.end_expired(now);
    assert!(updates.has_changed().expect("told") && accounts.authenticate_session(cookie.expose()).is_none());
    accounts.save_uses(Duration::ZERO).await;
    assert_eq!(store.reader().sessions().await.expect("reads"), []);
    store.close().await;
}

#[tokio::test]
async fn a_link_lets_in_once_and_not_for_long() {
    let fixture = AccountsFixture::new();
    let (store, accounts) = fixture.open().await;
    let ann = NewAccount { password: None, ..new_account("ann", Role::Viewer, everywhere_scope()) };
    accounts.add_account(ann, &ops_author()).await.expect("made");
    let link = accounts.create_link("ann", LINK_LIFETIME, &ops_author()).await.expect("a link");
    assert!(
        accounts.is_valid_link(link.expose()) && accounts.is_valid_link(link.expose()),
        "a look does not use it up"
    );
    let signed_in = accounts.sign_in_by_link(link.expose(), None).await.expect("in");
    assert!(accounts.authenticate_session(signed_in.cookie.expose()).is_some());
    assert!(matches!(accounts.sign_in_by_link(link.expose(), None).await, Err(SignInError::InvalidLink)));
    let link = accounts.create_link("ann", LINK_LIFETIME, &ops_author()).await.expect("a link");
    fixture.real.advance(LINK_LIFETIME);
    assert!(!accounts.is_valid_link(link.expose()));
    assert!(matches!(accounts.sign_in_by_link(link.expose(), None).await, Err(SignInError::InvalidLink)));
    assert!(matches!(accounts.create_link("bob", LINK_LIFETIME, &ops_author()).await, Err(AccountError::NoAccount(_))));
    store.close().await;
}

#[tokio::test]
async fn a_token_counts_until_it_is_revoked_and_its_text_is_nowhere() {
    let fixture = AccountsFixture::new();
    let (store, accounts) = fixture.open().await;
    let (made, text) =
        accounts.add_token(new_token("ci", Role::Analyst, acme_scope(&[])), &ops_author()).await.expect("made");
    assert!(text.expose().starts_with("skt_") && text.expose().len() == 4 + 43);
    let (hash, permissions) = accounts.authenticate_token(text.expose()).expect("counts");
    assert_eq!((hash, permissions.kind, permissions.role), (made.hash, CredentialKind::Token, Some(Role::Analyst)));
    accounts.save_uses(Duration::ZERO).await;
    assert_eq!(store.reader().api_tokens().await.expect("reads")[0].last_used_at, Some(fixture.real.now()));
    let updates = accounts.updates();
    accounts.revoke_token("ci", &ops_author()).await.expect("revoked");
    accounts.revoke_token("ci", &ops_author()).await.expect("once more is nothing");
    assert!(accounts.authenticate_token(text.expose()).is_none() && accounts.token_permissions(&hash).is_none());
    assert!(updates.has_changed().expect("told"));
    let actions: Vec<_> = audit_entries(&store, "acme").await.into_iter().map(|entry| entry.action).collect();
    assert_eq!(actions, ["token.created", "token.revoked"]);
    store.close().await;
    let bytes = std::fs::read(fixture.url.trim_start_matches("sqlite://")).expect("the file");
    assert!(!bytes.windows(text.expose().len()).any(|window| window == text.expose().as_bytes()));
}

#[tokio::test]
async fn nobody_grants_or_sees_more_than_their_own_access() {
    let (store, accounts) = AccountsFixture::new().open().await;
    let admin = new_account("acme-admin", Role::Admin, acme_scope(&[]));
    accounts.add_account(admin, &ops_author()).await.expect("made");
    accounts.add_account(new_account("boss", Role::Admin, everywhere_scope()), &ops_author()).await.expect("made");
    let permissions = accounts.sign_in("acme-admin", Secret::new(PASSWORD), None).await.expect("in").permissions;
    let by = Author::person(Requester::without_source("acme-admin"), permissions, Some("a new colleague".into()));
    for (account, expected) in [
        (new_account("one", Role::Viewer, everywhere_scope()), "BeyondOwnRights"),
        (new_account("one", Role::Viewer, acme_scope(&[])), "made"),
        (new_account("one", Role::Viewer, acme_scope(&[])), "IdInUse"),
        (new_account("ops", Role::Viewer, acme_scope(&[])), "IdInUse"),
        (new_account("two", Role::Supervisor, acme_scope(&[])), "Scope"),
        (new_account("Two", Role::Viewer, acme_scope(&[])), "Field"),
        (
            NewAccount { password: Some(Secret::new("short")), ..new_account("two", Role::Viewer, acme_scope(&[])) },
            "Field",
        ),
        (
            new_account(
                "two",
                Role::Viewer,
                ScopeRequest { everywhere: false, tenants: vec![TenantScopeRequest { id: "x".into(), teams: None }] },
            ),
            "NoTenant",
        ),
    ] {
        let id = account.id.clone();
        let outcome = match accounts.add_account(account, &by).await {
            Ok(_) => "made".to_owned(),
            Err(error) => format!("{error:?}"),
        };
        assert!(outcome.starts_with(expected), "{id}: {outcome}");
    }
    let visible_ids: Vec<_> = accounts.accounts(&by, None, 10).into_iter().map(|account| account.id.clone()).collect();
    assert_eq!(visible_ids, ["acme-admin", "one"].map(Arc::from), "who reaches further is not there");
    assert!(matches!(accounts.account(&by, "boss"), Err(AccountError::NoAccount(_))));
    let demoted =
        AccountChanges { name: String::new(), role: Role::Viewer, scope: None, disabled: false, version: None };
    assert!(matches!(accounts.change_account("acme-admin", demoted, &by).await, Err(AccountError::OwnAccount)));
    let weak = Permissions {
        rights: [Right::Accounts, Right::Read].into(),
        ..(*by.permissions.clone().expect("some")).clone()
    };
    let weak = Author { permissions: Some(Arc::new(weak)), ..by.clone() };
    let made = accounts.add_token(new_token("ci", Role::Analyst, acme_scope(&[])), &weak).await;
    assert!(matches!(made, Err(AccountError::BeyondOwnRights)), "{made:?}");
    let link = accounts.create_link("acme-admin", LINK_LIFETIME, &weak).await;
    assert!(matches!(link, Err(AccountError::BeyondOwnRights)), "{link:?}");
    let last = audit_entries(&store, "acme").await.pop().expect("entries");
    assert_eq!((&*last.action, &*last.actor), ("account.added", "person:acme-admin"));
    assert!(last.note.is_some(), "the reason stands beside the chain");
    store.close().await;
}

#[tokio::test]
async fn a_user_lists_and_ends_sessions_and_changes_the_password() {
    let fixture = AccountsFixture::new();
    let (store, accounts) = fixture.open().await;
    for id in ["ann", "bob"] {
        accounts.add_account(new_account(id, Role::Viewer, acme_scope(&[])), &ops_author()).await.expect("made");
    }
    let sign_in = async |id: &str, address: &str| {
        let signed_in = accounts.sign_in(id, Secret::new(PASSWORD), ip_address(address)).await.expect("in");
        fixture.real.advance(Duration::from_secs(1));
        accounts.authenticate_session(signed_in.cookie.expose()).expect("known").0
    };
    let (here, there, third) =
        (sign_in("ann", "192.0.2.7").await, sign_in("ann", "198.51.100.1").await, sign_in("ann", "192.0.2.8").await);
    let bobs = sign_in("bob", "192.0.2.9").await;
    let listed = |session: &Hash| -> Vec<(String, bool)> {
        let own = accounts.own_sessions(session).into_iter();
        own.map(|one| (one.source.expect("an address").to_string(), one.is_current)).collect()
    };
    let row = |address: &str, is_this| (address.to_owned(), is_this);
    assert_eq!(listed(&here), [row("192.0.2.8", false), row("198.51.100.1", false), row("192.0.2.7", true)]);
    let id_of = |session: &Hash| own_account::session_id(session);
    let stranger = accounts.end_own_session(&here, &id_of(&bobs), None).await;
    assert!(matches!(stranger, Err(AccountError::NoSession(_))), "another's: {stranger:?}");
    let updates = accounts.updates();
    accounts.end_own_session(&here, &id_of(&there), ip_address("192.0.2.7")).await.expect("ended");
    assert!(updates.has_changed().expect("told") && accounts.session_permissions(&there).is_none());

    let change = async |old: &str, new: &str| {
        accounts.change_own_password(&here, Secret::new(old), Secret::new(new), ip_address("192.0.2.7")).await
    };
    assert!(matches!(change(PASSWORD, "short").await, Err(AccountError::Field(_))));
    for _ in 0..5 {
        let wrong = change("correct horse batterz", "another horse battery").await;
        assert!(matches!(wrong, Err(AccountError::WrongPassword)));
    }
    let slow = change(PASSWORD, "another horse battery").await;
    assert!(matches!(slow, Err(AccountError::Throttled(_))), "a session is no way to guess: {slow:?}");
    assert!(accounts.session_permissions(&third).is_some(), "nothing was changed");
    fixture.real.advance(Duration::from_secs(61));
    change(PASSWORD, "another horse battery").await.expect("changed");
    assert_eq!(listed(&here), [row("192.0.2.7", true)], "whoever else is signed in is out");
    assert!(accounts.session_permissions(&bobs).is_some());
    let old = accounts.sign_in("ann", Secret::new(PASSWORD), ip_address("203.0.113.1")).await;
    assert!(matches!(old, Err(SignInError::WrongPassword)), "{old:?}");
    accounts.sign_in("ann", Secret::new("another horse battery"), ip_address("203.0.113.1")).await.expect("in");
    let entries = audit_entries(&store, "acme").await;
    let actions: Vec<_> =
        entries.iter().filter(|entry| entry.actor == "person:ann").map(|entry| &*entry.action).collect();
    assert_eq!(actions[3..], ["account.session_ended", "account.password_set", "account.signed_in"]);
    let set = entries.iter().find(|entry| entry.action == "account.password_set").expect("an entry");
    assert_eq!((&set.why["sessions_ended"], &set.why["source"]), (&1.into(), &"192.0.2.7".into()), "{set:?}");

    // One without a password has none to change: somebody else may set one.
    let kim = NewAccount { password: None, ..new_account("kim", Role::Viewer, acme_scope(&[])) };
    accounts.add_account(kim, &ops_author()).await.expect("made");
    let link = accounts.create_link("kim", LINK_LIFETIME, &ops_author()).await.expect("a link");
    let cookie = accounts.sign_in_by_link(link.expose(), None).await.expect("in").cookie;
    let (session, _) = accounts.authenticate_session(cookie.expose()).expect("known");
    assert!(!accounts.has_password(&session) && accounts.has_password(&here));
    let first =
        accounts.change_own_password(&session, Secret::new(""), Secret::new("another horse battery"), None).await;
    assert!(matches!(first, Err(AccountError::WrongPassword)), "{first:?}");
    store.close().await;
}
