//! Accounts of people, stored API tokens and sessions, and the rules of their names and passwords. Secrets are hashes here.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use super::rights::{Reach, Right, Role};
use super::secret::Secret;
use crate::domain::audit::Hash;
use crate::domain::time::UtcMicros;

/// What every stored API token begins with, so that one that went astray is recognised.
pub const TOKEN_PREFIX: &str = "skt_";

/// The longest id of an account or a token, in characters.
pub const LONGEST_ID: usize = 100;

/// The longest name for people, in characters.
pub const LONGEST_NAME: usize = 200;

/// The shortest password, in characters.
pub const SHORTEST_PASSWORD: usize = 12;

/// The longest password, in bytes: hashing it must not take longer than others.
pub const LONGEST_PASSWORD: usize = 512;

/// Somebody who signs in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Account {
    /// What people sign in as, and what audit entries call them.
    pub id: Arc<str>,
    /// Their name, for the console.
    pub name: String,
    /// The argon2id hash of the password; none for one who signs in by link or proxy alone.
    pub password: Option<Secret>,
    /// What they may do.
    pub role: Role,
    /// Where.
    pub reach: Reach,
    /// Nobody can sign in, and who was is out.
    pub disabled: bool,
    /// When it was made, in real time.
    pub made_at: UtcMicros,
    /// By whom.
    pub made_by: String,
    /// When it was last changed, in real time.
    pub changed_at: UtcMicros,
    /// How often it was written, from 1.
    pub version: u64,
}

/// What a stored token gives.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Grant {
    /// The rights of a role.
    Role(Role),
    /// These rights.
    Rights(BTreeSet<Right>),
    /// What an account has at that moment, as far as the token reaches.
    Account(Arc<str>),
}

/// An API token that was made while the daemon runs. Its text is shown once and never stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredToken {
    /// What audit entries call it.
    pub id: Arc<str>,
    /// SHA-256 of its text.
    pub hash: Hash,
    /// What it gives.
    pub grant: Grant,
    /// Where.
    pub reach: Reach,
    /// When it was made, in real time.
    pub made_at: UtcMicros,
    /// By whom.
    pub made_by: String,
    /// From when on it counts no more, in real time.
    pub expires_at: Option<UtcMicros>,
    /// Since when it is revoked, in real time.
    pub revoked_at: Option<UtcMicros>,
    /// By whom.
    pub revoked_by: Option<String>,
    /// When it was last used, in real time, some minutes late.
    pub last_used_at: Option<UtcMicros>,
}

impl StoredToken {
    /// Whether it counts at an instant.
    pub fn counts_at(&self, now: UtcMicros) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|expires| now < expires)
    }
}

/// A browser that somebody signed in with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Session {
    /// SHA-256 of the cookie's value.
    pub hash: Hash,
    /// Who.
    pub account: Arc<str>,
    /// When it was made, in real time.
    pub made_at: UtcMicros,
    /// When it was last used, in real time, some minutes late in the store.
    pub seen_at: UtcMicros,
    /// The address that it was made from.
    pub source: Option<IpAddr>,
}

/// What is wrong with an id, a name or a password. Never holds the value.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadField {
    /// The id.
    #[error(
        "an id has 1 to {LONGEST_ID} lower-case letters, digits, '-', '_', '.', '+' or '@', and begins with a letter or digit"
    )]
    Id,
    /// The name.
    #[error("a name has at most {LONGEST_NAME} characters on one line")]
    Name,
    /// The password is too short.
    #[error("a password has at least {SHORTEST_PASSWORD} characters")]
    Short,
    /// The password is too long.
    #[error("a password has at most {LONGEST_PASSWORD} bytes")]
    Long,
    /// The password can be guessed.
    #[error("a password is not the id or the name, and not one character over and over")]
    Guessable,
}

/// Whether an account or a token may be called so.
pub fn check_id(id: &str) -> Result<(), BadField> {
    let sound = (1..=LONGEST_ID).contains(&id.len())
        && id.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.' | '+' | '@'));
    if sound { Ok(()) } else { Err(BadField::Id) }
}

/// Whether people may be called so.
pub fn check_name(name: &str) -> Result<(), BadField> {
    let sound = name.chars().count() <= LONGEST_NAME && !name.chars().any(char::is_control);
    if sound { Ok(()) } else { Err(BadField::Name) }
}

/// Whether a password will do for an account. Its length counts, not what it is made of.
pub fn check_password(password: &str, id: &str, name: &str) -> Result<(), BadField> {
    if password.chars().count() < SHORTEST_PASSWORD {
        return Err(BadField::Short);
    }
    if password.len() > LONGEST_PASSWORD {
        return Err(BadField::Long);
    }
    let folded = password.to_lowercase();
    let first = password.chars().next();
    if folded == id || folded == name.to_lowercase() || password.chars().all(|c| Some(c) == first) {
        return Err(BadField::Guessable);
    }
    Ok(())
}

/// What people type as their id, in the one way in which ids are written.
pub fn typed_id(text: &str) -> String {
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
        for id in ["", "Ann", "-ann", "ann smith", "änn", "a/b", "a\n", &"a".repeat(LONGEST_ID + 1)] {
            assert_eq!(check_id(id), Err(BadField::Id), "{id}");
        }
        assert_eq!(typed_id(" Ann.Smith@Example.com\n"), "ann.smith@example.com");
    }

    #[test]
    fn a_password_is_long_and_no_name() {
        for (password, verdict) in [
            ("correct horse battery", Ok(())),
            ("пароль-подлиннее", Ok(())),
            ("hunter2", Err(BadField::Short)),
            ("aaaaaaaaaaaaaaaa", Err(BadField::Guessable)),
            ("Ann.Smith@Example.com", Err(BadField::Guessable)),
            ("Ann Smith the First", Err(BadField::Guessable)),
            (&*"ab".repeat(LONGEST_PASSWORD), Err(BadField::Long)),
        ] {
            let checked = check_password(password, "ann.smith@example.com", "Ann Smith the First");
            assert_eq!(checked, verdict, "{password}");
        }
    }

    #[test]
    fn a_name_is_one_line() {
        assert_eq!(check_name("Ann Smith"), Ok(()));
        assert_eq!(check_name(""), Ok(()));
        assert_eq!(check_name("Ann\nSmith"), Err(BadField::Name));
        assert_eq!(check_name(&"x".repeat(LONGEST_NAME + 1)), Err(BadField::Name));
    }

    #[test]
    fn a_token_counts_until_it_expires_or_is_revoked() {
        let at = UtcMicros::from_micros;
        let token = |expires: Option<i64>, revoked: Option<i64>| StoredToken {
            id: "ci".into(),
            hash: Hash::default(),
            grant: Grant::Role(Role::Viewer),
            reach: Reach::Everywhere,
            made_at: at(0),
            made_by: "person:ops".into(),
            expires_at: expires.map(at),
            revoked_at: revoked.map(at),
            revoked_by: None,
            last_used_at: None,
        };
        for (expires, revoked, counts) in
            [(None, None, true), (Some(11), None, true), (Some(10), None, false), (None, Some(5), false)]
        {
            assert_eq!(token(expires, revoked).counts_at(at(10)), counts, "{expires:?} {revoked:?}");
        }
    }
}
