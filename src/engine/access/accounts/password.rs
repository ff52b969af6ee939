//! Passwords as argon2id hashes. Slow on purpose; whoever calls this sees to it that few run at once.

use argon2::Argon2;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};

use crate::domain::access::secret::Secret;

/// Stands for the hash of whoever has none, so that a name that nobody has takes as long as one that somebody has. Nothing hashes
/// to it in practice: its last part was drawn, not computed.
pub(super) const NOBODYS: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$rUfDqPuKHdtJsPeiNNXfUw$6mC9dIYgVxyXwbTN4xnJnQKyGc8mFZtDfNnVAQ4k8ak";

/// The hash of a password, as PHC text; `None` when it cannot be made, which is a fault of this program.
pub(super) fn hash(password: &str, salt: &[u8; 16]) -> Option<Secret> {
    let hash = Argon2::default().hash_password_with_salt(password.as_bytes(), salt).ok()?;
    Some(Secret::new(hash.to_string()))
}

/// Whether a password is the one of a hash. Takes the same time for any two passwords of a length.
pub(super) fn matches(password: &str, hash: &str) -> bool {
    Argon2::default().verify_password(password.as_bytes(), hash).is_ok()
}

#[cfg(test)]
mod tests {
    use argon2::password_hash::phc::PasswordHash;

    use super::*;

    #[test]
    fn a_hash_is_argon2id_of_the_one_password_and_has_its_own_salt() {
        let made = hash("correct horse battery", &[7; 16]).expect("a hash");
        assert!(made.expose().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", made.expose());
        assert!(matches("correct horse battery", made.expose()));
        assert!(!matches("correct horse batterz", made.expose()));
        assert_ne!(hash("correct horse battery", &[8; 16]), Some(made));
    }

    #[test]
    fn nobodys_hash_costs_what_a_real_one_does_and_fits_nothing() {
        let (real, nobodys) = (hash("x", &[1; 16]).expect("a hash"), NOBODYS);
        let parsed = |text: &str| PasswordHash::new(text).expect("a hash");
        let (real, nobodys) = (parsed(real.expose()), parsed(nobodys));
        assert_eq!((real.algorithm, real.version, real.params), (nobodys.algorithm, nobodys.version, nobodys.params));
        assert_eq!(real.hash.map(|hash| hash.len()), nobodys.hash.map(|hash| hash.len()));
        assert!(!matches("", NOBODYS));
    }
}
