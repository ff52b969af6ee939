//! A parser of event streams (WHATWG HTML, 9.2.6), as far as the daemon uses the format.

use anyhow::bail;

/// The longest event that is read, in bytes; a part of a snapshot is much smaller.
const MAX_EVENT_BYTES: usize = 4 * 1024 * 1024;

/// One event.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Event {
    /// The id after which to resume.
    pub id: Option<String>,
    /// The data.
    pub data: Option<String>,
}

/// The received bytes that are not a complete event yet.
#[derive(Default)]
pub(super) struct EventParser {
    text: Vec<u8>,
}

impl EventParser {
    /// Adds received bytes and returns the events that are complete with them.
    pub(super) fn push(&mut self, chunk: &[u8]) -> anyhow::Result<Vec<Event>> {
        let mut from = self.text.len().saturating_sub(1);
        self.text.extend_from_slice(chunk);
        let (mut events, mut start) = (Vec::new(), 0);
        while let Some(end) = self.text[from..].windows(2).position(|pair| pair == b"\n\n") {
            let end = from + end;
            events.push(parse_event(std::str::from_utf8(&self.text[start..end])?));
            (start, from) = (end + 2, end + 2);
        }
        self.text.drain(..start);
        if self.text.len() > MAX_EVENT_BYTES {
            bail!("the daemon's response is not an event stream: an event has over {MAX_EVENT_BYTES} bytes");
        }
        Ok(events)
    }
}

fn parse_event(text: &str) -> Event {
    let mut event = Event::default();
    for line in text.lines() {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => event.id = Some(value.to_owned()),
            "data" => event.data = Some(value.to_owned()),
            // Every message names its kind itself, and the pause before reconnecting is our choice.
            _ => {}
        }
    }
    event
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_wherever_the_stream_is_cut() {
        let stream = "retry: 1000\n\nevent: agent\nid: 12\ndata: {\"a\":\"ä\"}\n\nevent: gone\ndata: {}\n\n";
        let expected_event =
            |id: Option<&str>, data: Option<&str>| Event { id: id.map(str::to_owned), data: data.map(str::to_owned) };
        let expected = [
            expected_event(None, None),
            expected_event(Some("12"), Some("{\"a\":\"ä\"}")),
            expected_event(None, Some("{}")),
        ];
        for cut in 0..stream.len() {
            let mut events = EventParser::default();
            let (first, second) = stream.as_bytes().split_at(cut);
            let mut read = events.push(first).expect("a stream");
            read.extend(events.push(second).expect("a stream"));
            assert_eq!(read, expected, "cut at {cut}");
        }
    }

    #[test]
    fn an_event_without_end_is_no_event() {
        let mut events = EventParser::default();
        assert!(events.push(&vec![b'x'; MAX_EVENT_BYTES + 1]).is_err());
    }
}
