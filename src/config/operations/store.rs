//! `[store]`: the database.

use crate::config::shared::diagnostic::ValueFault;
use crate::config::shared::kind::{self, Kind};
use crate::config::shared::reader::{Section, restart_only};
use crate::domain::access::secret::Secret;

/// The settings of the database.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Store {
    /// The URL without a password: `sqlite://PATH`, relative to the working directory, or `postgres://USER@HOST/NAME`.
    pub url: String,
    /// The password of the PostgreSQL user.
    pub password: Option<Secret>,
}

impl Store {
    pub(in crate::config) fn read(section: &mut Section<'_, '_>) -> Self {
        let url = section.value(
            restart_only(
                "url",
                "The database: `sqlite://PATH` (relative to the working directory) or `postgres://USER@HOST/NAME`.",
            ),
            &database_url(),
            "sqlite://data/shiftkeeper.db".to_owned(),
        );
        let password = section.optional_secret(restart_only("password", "The password of the PostgreSQL user."));
        if password.is_some() && url.starts_with("sqlite:") {
            section.add_diagnostic(
                "password",
                ValueFault::new("is for PostgreSQL, and the url names SQLite").with_suggestion("remove it"),
            );
        }
        Self { url, password }
    }

    /// Returns the URL including the password, for connecting only.
    pub fn connection_url(&self) -> Secret {
        let with_password = self.password.as_ref().and_then(|password| {
            let mut url = reqwest::Url::parse(&self.url).ok()?;
            url.set_password(Some(password.expose())).ok()?;
            Some(url.to_string())
        });
        Secret::new(with_password.unwrap_or_else(|| self.url.clone()))
    }
}

fn database_url() -> Kind<String> {
    let convert = |text: &str| {
        if let Some(path) = text.strip_prefix("sqlite://") {
            if path.is_empty() || path.starts_with(':') || path.contains('?') {
                return Err(ValueFault::new("must name a file, without options")
                    .with_suggestion("as in \"sqlite://data/shiftkeeper.db\""));
            }
            return Ok(text.to_owned());
        }
        let url = reqwest::Url::parse(text).ok().filter(|url| matches!(url.scheme(), "postgres" | "postgresql"));
        match url {
            None => Err(ValueFault::new("must begin with sqlite:// or postgres://")
                .with_suggestion("as in \"sqlite://data/shiftkeeper.db\"")),
            Some(url) if url.password().is_some() || url.query_pairs().any(|(key, _)| key == "password") => {
                Err(ValueFault::new("must not hold the password")
                    .with_suggestion("give it as store.password = { env = \"NAME\" }"))
            }
            Some(_) => Ok(text.to_owned()),
        }
    };
    Kind::from_text("database URL", convert, kind::quoted)
}
