//! How whoever tries the demo gets in: the console by a link and a password, the command line by the demo's configuration, with a
//! token and the address where it listens.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;

use crate::app::App;
use crate::clock::{Random as _, SystemRandom};
use crate::domain::access::rights::{Role, WantedReach};
use crate::domain::access::secret::Secret;
use crate::engine::access::accounts::{By, NewAccount, NewToken};

/// Who uses the console of the demo.
pub(super) const NAME: &str = "demo";

/// What the command line's token is called.
const TOKEN: &str = "demo-commands";

/// The configuration as commands get it.
pub(super) const CONFIGURATION: &str = "shiftkeeper.toml";

/// How long the link that is printed at the start is good, in real time.
const LINK_LASTS: Duration = Duration::from_secs(3600);

/// The ways in.
pub(super) struct Visitor {
    /// The path of a page that signs in once.
    pub(super) link: String,
    /// For the times after it.
    pub(super) password: String,
    /// The configuration of the command line.
    pub(super) configuration: PathBuf,
}

/// Keeps a secret in a file that its owner alone may read.
pub(super) fn keep(folder: &Path, name: &str, secret: &str) -> anyhow::Result<PathBuf> {
    let kept = folder.join(name);
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&kept);
    file.and_then(|mut file| file.write_all(secret.as_bytes()))
        .with_context(|| format!("{} cannot be written", kept.display()))?;
    Ok(kept)
}

/// Somebody who may do everything, by a console and by commands, which get the demo's configuration: `text` with the way to it.
pub(super) async fn admit(app: &App, folder: &Path, text: &str, listen: SocketAddr) -> anyhow::Result<Visitor> {
    let (accounts, by) = (app.accounts(), By::command("demo", None));
    let everywhere = || WantedReach { everywhere: true, tenants: Vec::new() };
    let password = SystemRandom.opaque_id().simple().to_string();
    let account = NewAccount {
        id: NAME.into(),
        name: "Demo".into(),
        role: Role::Admin,
        reach: everywhere(),
        password: Some(Secret::new(password.as_str())),
    };
    accounts.add_account(account, &by).await.context("the demo's account")?;
    let code = accounts.make_link(NAME, LINK_LASTS, &by).await.context("the demo's link")?;
    let token = NewToken {
        id: TOKEN.into(),
        role: Some(Role::Admin),
        may: [].into(),
        account: None,
        reach: everywhere(),
        expires_in_days: None,
    };
    let (_, token) = accounts.add_token(token, &by).await.context("the demo's token")?;
    let kept = keep(folder, "commands.token", token.expose())?;
    let way = format!("[client]\nurl = \"http://{listen}\"\ntoken = {{ file = {:?} }}\n", kept.display().to_string());
    let configuration = folder.join(CONFIGURATION);
    std::fs::write(&configuration, [text, &way].concat())
        .with_context(|| format!("{} cannot be written", configuration.display()))?;
    Ok(Visitor { link: format!("/sign-in/once/{}", code.expose()), password, configuration })
}
