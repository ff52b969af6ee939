//! A text that must not be seen: client secrets, tokens, signing keys.
//!
//! It can be read from a configuration, never written: there is no `Serialize`, and both ways of printing show stars.

use std::fmt;
use std::sync::Arc;

/// A secret text; prints as `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Wraps the text as it stands.
    pub fn new(text: impl AsRef<str>) -> Self {
        Self(Arc::from(text.as_ref()))
    }

    /// Stands for one that is kept where this process cannot read it.
    pub fn elsewhere() -> Self {
        Self::new("")
    }

    /// Whether it is kept where this process cannot read it.
    pub fn is_elsewhere(&self) -> bool {
        self.0.is_empty()
    }

    /// The text itself, for the one place that sends or checks it.
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
