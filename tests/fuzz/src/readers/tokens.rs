//! Answers of the token endpoint, whole with head and body.

use shiftkeeper::domain::ids::AgentId;
use shiftkeeper::platform::Platform as _;
use shiftkeeper::platform::guide::TokenStyle;

use super::wire::{NOW, Wire, assert_tells_no_secret, guide, ok, run};

/// The first byte chooses the style, the rest is the answer.
///
/// A call goes out exactly where the answer granted a token, never without TLS; nothing shows the client's secret.
pub fn read(bytes: &[u8]) {
    let Some((choice, answer)) = bytes.split_first() else { return };
    let style = [TokenStyle::Body, TokenStyle::Basic, TokenStyle::Legacy][usize::from(choice % 3)];
    let answer = answer.to_vec();
    let wire = Wire::new(
        move |head| {
            if head.starts_with("POST /token ") { answer.clone() } else { ok(r#"{"status":"ACTIVE"}"#) }
        },
    );
    let guide = guide(&wire, style);
    let (outcome, vitals) = run(async {
        let outcome = guide.is_scheduled(&AgentId::new("u_1")).await;
        (outcome, guide.status())
    });
    let asked = wire.asked();
    let granted = vitals.token.granted == 1;
    assert_eq!(asked.len(), if granted { 2 } else { 1 }, "{outcome:?}");
    assert!(asked.iter().all(|url| url.scheme() == "https"), "TLS was given up: {asked:?}");
    if granted {
        let life = vitals.token.expires_in.expect("a token");
        assert!(!life.is_zero(), "a token that is over at once: {life:?}");
        assert!(outcome.as_ref().is_ok_and(|answer| answer.sent_at == NOW), "{outcome:?}");
    } else {
        let error = outcome.expect_err("no token");
        assert!(error.sent_at.is_none(), "the call itself was sent: {error:?}");
        assert_tells_no_secret(&(error.to_string(), error));
    }
}
