//! Password hashing with argon2id. Slow on purpose; the caller limits how many run at once.

use argon2::Argon2;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};

use crate::domain::access::secret::Secret;

/// The hash to check for unknown accounts, so that they take as long as known ones. In practice no password matches it,
/// since its last part is random.
pub(super) const DUMMY_HASH: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$rUfDqPuKHdtJsPeiNNXfUw$6mC9dIYgVxyXwbTN4xnJnQKyGc8mFZtDfNnVAQ4k8ak";

/// Returns the hash of a password in PHC format; `None` if it cannot be computed, which is a defect.
pub(super) fn hash(password: &str, salt: &[u8; 16]) -> Option<Secret> {
    let hash = Argon2::default().hash_password_with_salt(password.as_bytes(), salt).ok()?;
    Some(Secret::new(hash.to_string()))
}

/// Returns whether a password matches a hash. Takes the same time for any two passwords of the same length.
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
        let (real, nobodys) = (hash("x", &[1; 16]).expect("a hash"), DUMMY_HASH);
        let parsed = |text: &str| PasswordHash::new(text).expect("a hash");
        let (real, nobodys) = (parsed(real.expose()), parsed(nobodys));
        assert_eq!((real.algorithm, real.version, real.params), (nobodys.algorithm, nobodys.version, nobodys.params));
        assert_eq!(real.hash.map(|hash| hash.len()), nobodys.hash.map(|hash| hash.len()));
        assert!(!matches("", DUMMY_HASH));
    }
}
