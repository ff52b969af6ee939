//! Secret texts, which must not be shown: client secrets, tokens, signing keys.
//!
//! A secret can be read from a configuration but never written: there is no `Serialize`, and `Debug` and `Display`
//! print asterisks.

use std::fmt;
use std::sync::Arc;

/// A secret text. Prints as `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Creates a secret from the text as it is.
    pub fn new(text: impl AsRef<str>) -> Self {
        Self(Arc::from(text.as_ref()))
    }

    /// Returns a placeholder for a secret kept where this process cannot read it.
    pub fn stored_elsewhere() -> Self {
        Self::new("")
    }

    /// Returns whether the secret is kept where this process cannot read it.
    pub fn is_stored_elsewhere(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the text itself, for the code that sends or checks it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_prints_as_stars() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret} {secret:?} {:?}", Some(&secret)), "*** *** Some(***)");
        assert_eq!(secret.expose(), "hunter2");
    }
}
