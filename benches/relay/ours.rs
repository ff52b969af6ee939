//! The whole daemon, with a tenant whose platform is not there, that tells what it reads on its standard input.

use std::sync::Arc;

use serde_json::Value;
use shiftkeeper::app::App;
use shiftkeeper::clock::SystemClock;
use shiftkeeper::config::{Config, ConfigText, Environment};
use shiftkeeper::domain::ids::TenantId;
use shiftkeeper::engine::live::filter::MessageSubject;
use shiftkeeper::engine::live::frame::{Frame, Kind};
use tokio_util::sync::CancellationToken;

use crate::lines_of_stdin;

pub const ARGUMENT: &str = "serve";

/// The viewers' token.
pub const TOKEN: &str = "viewer-token-of-the-benchmark";

pub fn serve() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(run());
}

async fn run() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nviewers = 5000\n[[server.tokens]]\nid = \"viewer\"\ntoken = {{ env = \"TOKEN\" }}\n\
         [store]\nurl = \"sqlite://{}\"\n[[tenants]]\nid = \"acme\"\nbase_url = \"http://127.0.0.1:9\"\nclient_id = \"x\"\n\
         client_secret = {{ env = \"TOKEN\" }}\n",
        folder.path().join("s.db").display()
    );
    let environment: Environment = [("TOKEN".to_owned(), TOKEN.to_owned())].into_iter().collect();
    let config = Config::load_texts(&[ConfigText { file: "bench.toml".into(), text }], &environment, &[]);
    let soft = CancellationToken::new();
    let app = App::start(config.expect("sound").config, Arc::new(SystemClock::real()), soft.clone()).await;
    let app = app.expect("it starts");
    println!("{}", app.listen);
    let topic = app.live.open(&TenantId::from("acme"));
    let tell = async {
        let mut lines = lines_of_stdin();
        let mut id = 0;
        while let Some(line) = lines.recv().await {
            let message: Value = serde_json::from_str(&line).expect("JSON");
            id += 1;
            topic.publish([(Frame::new(Kind::Agent, Some(id), &message), MessageSubject::All)]);
        }
    };
    tokio::select! {
        _ = app.run() => {}
        () = tell => {}
    }
}
