//! Access to the demo: to the console by a link and a password, and for commands by the demo's configuration, with a
//! token and the daemon's address.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;

use crate::app::App;
use crate::clock::{Random as _, SystemRandom};
use crate::domain::access::rights::{Role, ScopeRequest};
use crate::domain::access::secret::Secret;
use crate::engine::access::accounts::{Author, NewAccount, NewToken};

/// The account for the demo's console.
pub(super) const ACCOUNT_ID: &str = "demo";

/// The id of the command line's token.
const TOKEN_ID: &str = "demo-commands";

/// The file name of the configuration for commands.
pub(super) const CONFIG_FILE: &str = "shiftkeeper.toml";

/// How long the link printed at the start is valid, in real time.
const LINK_LIFETIME: Duration = Duration::from_secs(3600);

/// The ways to access the demo.
pub(super) struct DemoAccess {
    /// The path of a page that signs in once.
    pub(super) link: String,
    /// The password for later sign-ins.
    pub(super) password: String,
    /// The path of the configuration for commands.
    pub(super) configuration: PathBuf,
}

/// Writes a secret to a file that only its owner may read.
pub(super) fn write_secret(folder: &Path, name: &str, secret: &str) -> anyhow::Result<PathBuf> {
    let path = folder.join(name);
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path);
    file.and_then(|mut file| file.write_all(secret.as_bytes()))
        .with_context(|| format!("{} cannot be written", path.display()))?;
    Ok(path)
}

/// Creates an account for the console and a token for commands, both with all rights, and writes the configuration
/// for commands: `text` with the token and address.
pub(super) async fn grant_access(
    app: &App,
    folder: &Path,
    text: &str,
    listen: SocketAddr,
) -> anyhow::Result<DemoAccess> {
    let (accounts, by) = (app.accounts(), Author::command_line("demo", None));
    let everywhere = || ScopeRequest { everywhere: true, tenants: Vec::new() };
    let password = SystemRandom.random_id().simple().to_string();
    let account = NewAccount {
        id: ACCOUNT_ID.into(),
        name: "Demo".into(),
        role: Role::Admin,
        scope: everywhere(),
        password: Some(Secret::new(password.as_str())),
    };
    accounts.add_account(account, &by).await.context("the demo's account could not be created")?;
    let code =
        accounts.create_link(ACCOUNT_ID, LINK_LIFETIME, &by).await.context("the demo's link could not be created")?;
    let token = NewToken {
        id: TOKEN_ID.into(),
        role: Some(Role::Admin),
        rights: [].into(),
        account: None,
        scope: everywhere(),
        expires_in_days: None,
    };
    let (_, token) = accounts.add_token(token, &by).await.context("the demo's token could not be created")?;
    let token_path = write_secret(folder, "commands.token", token.expose())?;
    let client_section =
        format!("[client]\nurl = \"http://{listen}\"\ntoken = {{ file = {:?} }}\n", token_path.display().to_string());
    let configuration = folder.join(CONFIG_FILE);
    std::fs::write(&configuration, [text, &client_section].concat())
        .with_context(|| format!("{} cannot be written", configuration.display()))?;
    Ok(DemoAccess { link: format!("/sign-in/once/{}", code.expose()), password, configuration })
}
