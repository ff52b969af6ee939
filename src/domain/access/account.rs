//! User accounts, stored API tokens and sessions, and the rules for their names and passwords. Secrets are kept as
//! hashes.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use super::rights::{Right, Role, Scope};
use super::secret::Secret;
use crate::domain::audit::Hash;
use crate::domain::time::UtcMicros;

/// The prefix of every stored API token, so that a leaked one can be recognised.
pub const TOKEN_PREFIX: &str = "skt_";

/// The maximum length of an account or token id, in characters.
pub const MAX_ID_CHARS: usize = 100;

/// The maximum length of a display name, in characters.
pub const MAX_NAME_CHARS: usize = 200;

/// The minimum length of a password, in characters.
pub const MIN_PASSWORD_CHARS: usize = 12;

/// The maximum length of a password, in bytes. It limits the time that hashing takes.
pub const MAX_PASSWORD_BYTES: usize = 512;

/// A user account.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Account {
    /// The id to sign in with, also used in audit entries.
    pub id: Arc<str>,
    /// The display name, for the console.
    pub name: String,
    /// The argon2id hash of the password; `None` for a user who signs in only by link or proxy.
    pub password_hash: Option<Secret>,
    /// The role, which determines the rights.
    pub role: Role,
    /// The tenants and teams that the rights extend to.
    pub scope: Scope,
    /// Whether the account is disabled: signing in is refused and existing sessions have ended.
    pub disabled: bool,
    /// When the account was created, in real time.
    pub created_at: UtcMicros,
    /// Who created the account.
    pub created_by: String,
    /// When the account was last changed, in real time.
    pub changed_at: UtcMicros,
    /// The number of times the account was written, starting at 1.
    pub version: u64,
}

/// The rights that a stored token grants.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TokenGrant {
    /// The rights of a role.
    Role(Role),
    /// A set of rights.
    Rights(BTreeSet<Right>),
    /// The current rights of an account, limited to the token's scope.
    Account(Arc<str>),
}

/// An API token created while the daemon runs. Its text is shown once and never stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredToken {
    /// The id used in audit entries.
    pub id: Arc<str>,
    /// The SHA-256 hash of the token's text.
    pub hash: Hash,
    /// The rights that the token grants.
    pub grant: TokenGrant,
    /// The tenants and teams that the rights extend to.
    pub scope: Scope,
    /// When the token was created, in real time.
    pub created_at: UtcMicros,
    /// Who created the token.
    pub created_by: String,
    /// When the token expires, in real time; `None` if never.
    pub expires_at: Option<UtcMicros>,
    /// When the token was revoked, in real time.
    pub revoked_at: Option<UtcMicros>,
    /// Who revoked the token.
    pub revoked_by: Option<String>,
    /// When the token was last used, in real time; updated some minutes late.
    pub last_used_at: Option<UtcMicros>,
}

impl StoredToken {
    /// Returns whether the token is valid at `now`.
    pub fn is_valid_at(&self, now: UtcMicros) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|expires_at| now < expires_at)
    }
}

/// A signed-in browser session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Session {
    /// The SHA-256 hash of the cookie's value.
    pub hash: Hash,
    /// The account that signed in.
    pub account: Arc<str>,
    /// When the session was created, in real time.
    pub created_at: UtcMicros,
    /// When the session was last used, in real time; the stored value is some minutes late.
    pub last_used_at: UtcMicros,
    /// The address that the session was created from.
    pub source_address: Option<IpAddr>,
}

/// The reason why an id, a name or a password is invalid. Never holds the value.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FieldError {
    /// The id is invalid.
    #[error(
        "an id must have 1 to {MAX_ID_CHARS} lower-case letters, digits, '-', '_', '.', '+' or '@', and begin with a letter or digit"
    )]
    InvalidId,
    /// The name is invalid.
    #[error("a name must have at most {MAX_NAME_CHARS} characters on one line")]
    InvalidName,
    /// The password is too short.
    #[error("a password must have at least {MIN_PASSWORD_CHARS} characters")]
    PasswordTooShort,
    /// The password is too long.
    #[error("a password must have at most {MAX_PASSWORD_BYTES} bytes")]
    PasswordTooLong,
    /// The password is easy to guess.
    #[error("a password must not be the id, the name, or one repeated character")]
    PasswordGuessable,
}

/// Checks that an id is valid for an account or a token.
pub fn check_id(id: &str) -> Result<(), FieldError> {
    let is_valid = (1..=MAX_ID_CHARS).contains(&id.len())
        && id.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.' | '+' | '@'));
    if is_valid { Ok(()) } else { Err(FieldError::InvalidId) }
}

/// Checks that a display name is valid.
pub fn check_name(name: &str) -> Result<(), FieldError> {
    let is_valid = name.chars().count() <= MAX_NAME_CHARS && !name.chars().any(char::is_control);
    if is_valid { Ok(()) } else { Err(FieldError::InvalidName) }
}

/// Checks that a password is acceptable for an account. Only its length and predictability count, not which kinds of
/// characters it has.
pub fn check_password(password: &str, id: &str, name: &str) -> Result<(), FieldError> {
    if password.chars().count() < MIN_PASSWORD_CHARS {
        return Err(FieldError::PasswordTooShort);
    }
    if password.len() > MAX_PASSWORD_BYTES {
        return Err(FieldError::PasswordTooLong);
    }
    let folded = password.to_lowercase();
    let first = password.chars().next();
    if folded == id || folded == name.to_lowercase() || password.chars().all(|c| Some(c) == first) {
        return Err(FieldError::PasswordGuessable);
    }
    Ok(())
}

/// Returns an id as typed by a person in its canonical spelling.
pub fn normalized_id(text: &str) -> String {
    text.trim().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_written_in_one_way() {
        for id in ["ann", "ann.smith@example.com", "7", "floor-2_x+y"] {
            assert_eq!(check_id(id), Ok(()), "{id}");
        }
        for id in ["", "Ann", "-ann", "ann smith", "änn", "a/b", "a\n", &"a".repeat(MAX_ID_CHARS + 1)] {
            assert_eq!(check_id(id), Err(FieldError::InvalidId), "{id}");
        }
        assert_eq!(normalized_id(" Ann.Smith@Example.com\n"), "ann.smith@example.com");
    }

    #[test]
    fn a_password_is_long_and_no_name() {
        for (password, verdict) in [
            ("correct horse battery", Ok(())),
            ("пароль-подлиннее", Ok(())),
            ("hunter2", Err(FieldError::PasswordTooShort)),
            ("aaaaaaaaaaaaaaaa", Err(FieldError::PasswordGuessable)),
            ("Ann.Smith@Example.com", Err(FieldError::PasswordGuessable)),
            ("Ann Smith the First", Err(FieldError::PasswordGuessable)),
            (&*"ab".repeat(MAX_PASSWORD_BYTES), Err(FieldError::PasswordTooLong)),
        ] {
            let checked = check_password(password, "ann.smith@example.com", "Ann Smith the First");
            assert_eq!(checked, verdict, "{password}");
        }
    }

    #[test]
    fn a_name_is_one_line() {
        assert_eq!(check_name("Ann Smith"), Ok(()));
        assert_eq!(check_name(""), Ok(()));
        assert_eq!(check_name("Ann\nSmith"), Err(FieldError::InvalidName));
        assert_eq!(check_name(&"x".repeat(MAX_NAME_CHARS + 1)), Err(FieldError::InvalidName));
    }

    #[test]
    fn a_token_counts_until_it_expires_or_is_revoked() {
        let at = UtcMicros::from_micros;
        let token = |expires: Option<i64>, revoked: Option<i64>| StoredToken {
            id: "ci".into(),
            hash: Hash::default(),
            grant: TokenGrant::Role(Role::Viewer),
            scope: Scope::Everywhere,
            created_at: at(0),
            created_by: "person:ops".into(),
            expires_at: expires.map(at),
            revoked_at: revoked.map(at),
            revoked_by: None,
            last_used_at: None,
        };
        for (expires, revoked, expected) in
            [(None, None, true), (Some(11), None, true), (Some(10), None, false), (None, Some(5), false)]
        {
            assert_eq!(token(expires, revoked).is_valid_at(at(10)), expected, "{expires:?} {revoked:?}");
        }
    }
}
