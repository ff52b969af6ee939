//! What a service manager hears of the real binary, over a socket as systemd has it.

use std::os::unix::net::UnixDatagram;
use std::path::Path;

use crate::harness::WAIT_TIMEOUT;
use crate::harness::process::{CommandFolder, Server, shiftkeeper};

/// The service manager's end.
struct ServiceManagerSocket(UnixDatagram);

impl ServiceManagerSocket {
    fn at(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).expect("a socket");
        socket.set_read_timeout(Some(WAIT_TIMEOUT)).expect("a limit");
        Self(socket)
    }

    /// The next message that has this line; what came before it is passed over.
    fn receive_line(&self, line: &str) -> String {
        let mut bytes = [0; 4096];
        loop {
            let length = self.0.recv(&mut bytes).unwrap_or_else(|error| panic!("no {line}: {error}"));
            let message = String::from_utf8_lossy(&bytes[..length]).into_owned();
            if message.lines().any(|told| told == line) {
                return message;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_manager_hears_of_start_life_reload_and_stop() {
    let folder = tempfile::tempdir().expect("a folder");
    let arguments = ["simulate", "--listen", "127.0.0.1:0", "--agents", "4", "--quiet"];
    let simulator = Server::start(shiftkeeper(folder.path(), &arguments)).await;
    let desk = CommandFolder::new(&simulator.ready, "");
    let path = folder.path().join("notify");
    let manager = ServiceManagerSocket::at(&path);
    let mut command = desk.command(&["run"]);
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "300000");
    let daemon = Server::start(command).await;

    let ready = manager.receive_line("READY=1");
    let listen = daemon.ready["listen"].as_str().expect("an address");
    assert!(ready.contains(&format!("STATUS=serving on {listen}")), "{ready}");
    for _ in 0..3 {
        manager.receive_line("WATCHDOG=1");
    }
    daemon.signal("HUP");
    let reloading = manager.receive_line("RELOADING=1");
    assert!(reloading.lines().any(|line| line.starts_with("MONOTONIC_USEC=")), "{reloading}");
    manager.receive_line("READY=1");
    daemon.signal("TERM");
    manager.receive_line("STOPPING=1");
    assert!(daemon.wait_for_exit().await.0.success());
}
