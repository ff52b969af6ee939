//! What comes over the live feed, as messages of text or as frames of a WebSocket.

use std::time::Duration;

use shiftkeeper::platform::guide::TokenStyle;
use shiftkeeper::platform::{FeedMessage, Platform as _};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::wire::{Wire, assert_tells_no_secret, good_token, guide, run};

/// No agent is in a state for longer.
const LONGEST_STAY: Duration = Duration::from_secs(10 * 366 * 24 * 3600);

/// The first byte says whether the rest are frames as they stand, or messages, one a line.
///
/// Each message is heard once and in order, and the feed ends with an error after the last; nothing shows the token.
pub fn read(bytes: &[u8]) {
    let Some((choice, rest)) = bytes.split_first() else { return };
    let raw = choice % 2 == 1;
    let lines: Vec<&[u8]> = rest.split(|byte| *byte == b'\n').collect();
    let frames: Vec<u8> = if raw { rest.to_vec() } else { lines.iter().copied().flat_map(frame).collect() };
    let wire = Wire::new(move |head| {
        if head.starts_with("POST /token ") { good_token() } else { [switched(head), frames.clone()].concat() }
    });
    let guide = guide(&wire, TokenStyle::Body);
    let heard = run(async {
        let mut feed = guide.feed().await.expect("an open feed").value;
        let mut heard = 0;
        let error = loop {
            match feed.next().await {
                Ok(message) => {
                    heard += 1;
                    assert!(heard <= rest.len() + 1, "more messages than bytes");
                    check(&message);
                }
                Err(error) => break error,
            }
        };
        assert_tells_no_secret(&(error.to_string(), error));
        heard
    });
    let good = |line: &&[u8]| std::str::from_utf8(line).is_ok() && line.len() <= 64 * 1024;
    if !raw {
        assert_eq!(
            heard,
            lines.iter().take_while(|line| good(line)).count(),
            "each line is heard, up to the first bad"
        );
    }
}

fn check(message: &FeedMessage) {
    assert_tells_no_secret(message);
    match message {
        FeedMessage::AgentState { agent, elapsed: lasted, .. } => {
            assert!(!agent.as_str().is_empty() && *lasted <= LONGEST_STAY, "{message:?}");
        }
        FeedMessage::ContactQueued(skill) | FeedMessage::ContactDequeued(skill) => {
            assert!(!skill.as_str().is_empty(), "{message:?}");
        }
        FeedMessage::Unreadable(words) => assert!(words.len() < 4096, "{} bytes of words for the log", words.len()),
        FeedMessage::Heartbeat | FeedMessage::Activity => {}
    }
}

/// The answer that switches to WebSocket.
fn switched(head: &str) -> Vec<u8> {
    let named = |line: &str| line.to_ascii_lowercase().starts_with("sec-websocket-key:").then(|| line.to_owned());
    let line = head.lines().find_map(named).expect("a key");
    let key = line.split_once(':').expect("a header").1.trim();
    let accept = derive_accept_key(key.as_bytes());
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-accept: {accept}\r\n\r\n"
    )
    .into_bytes()
}

/// A message of text from a server.
fn frame(text: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x81];
    match u16::try_from(text.len()) {
        Ok(length @ 0..=125) => frame.extend_from_slice(&length.to_be_bytes()[1..]),
        Ok(length) => {
            frame.push(126);
            frame.extend_from_slice(&length.to_be_bytes());
        }
        Err(_) => {
            frame.push(127);
            frame.extend_from_slice(&(text.len() as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(text);
    frame
}
