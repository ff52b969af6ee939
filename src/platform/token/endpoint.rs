//! What a dialect provides so that there are tokens: one request, and the grant that answers it.

use std::fmt;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::HeaderValue;

use crate::clock::BoxFuture;
use crate::domain::access::secret::Secret;
use crate::platform::error::Failure;

/// Where tokens come from: one request for a token, in the way of a dialect.
pub trait TokenEndpoint: Send + Sync + fmt::Debug {
    /// Requests a token once. [`super::TokenSource`] never runs two requests at the same time.
    fn request(&self) -> BoxFuture<Result<Grant, Failure>>;

    /// Returns the secret of the credentials, for removal from anything that is shown.
    fn secret(&self) -> &Secret;
}

/// A token that was granted.
pub struct Grant {
    /// The token.
    pub text: Secret,
    /// The value of `Authorization`, marked as sensitive.
    pub header: HeaderValue,
    /// The base of every URL that is called with the token.
    pub base: Url,
    /// The clock's monotonic time before the request, from which the lifetime is counted.
    pub requested_at: Duration,
    /// How long the token is valid.
    pub lifetime: Duration,
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant")
            .field("base", &self.base.as_str())
            .field("lifetime", &self.lifetime)
            .finish_non_exhaustive()
    }
}

/// Returns the `Authorization` header of a token, or `None` if no header can contain it.
pub fn bearer_header(token: &str) -> Option<HeaderValue> {
    let mut header = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
    header.set_sensitive(true);
    Some(header)
}
