//! Reads an event stream (WHATWG HTML, 9.2.6) as far as the daemon writes one.

use anyhow::bail;

/// The longest event that is read: a part of a picture is much smaller.
const LONGEST_EVENT: usize = 4 * 1024 * 1024;

/// One event.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Event {
    /// Where to go on after it.
    pub id: Option<String>,
    /// What it says.
    pub data: Option<String>,
}

/// What came and is not an event yet.
#[derive(Default)]
pub(super) struct Events {
    text: Vec<u8>,
}

impl Events {
    /// Takes in what came; gives the events that are whole with it.
    pub(super) fn take(&mut self, chunk: &[u8]) -> anyhow::Result<Vec<Event>> {
        let mut from = self.text.len().saturating_sub(1);
        self.text.extend_from_slice(chunk);
        let (mut events, mut start) = (Vec::new(), 0);
        while let Some(end) = self.text[from..].windows(2).position(|pair| pair == b"\n\n") {
            let end = from + end;
            events.push(event(std::str::from_utf8(&self.text[start..end])?));
            (start, from) = (end + 2, end + 2);
        }
        self.text.drain(..start);
        if self.text.len() > LONGEST_EVENT {
            bail!("what the daemon sends is no event stream: an event has over {LONGEST_EVENT} bytes");
        }
        Ok(events)
    }
}

fn event(text: &str) -> Event {
    let mut event = Event::default();
    for line in text.lines() {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => event.id = Some(value.to_owned()),
            "data" => event.data = Some(value.to_owned()),
            // Every message names its kind in itself, and the pause before a return is ours to choose.
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
        let said =
            |id: Option<&str>, data: Option<&str>| Event { id: id.map(str::to_owned), data: data.map(str::to_owned) };
        let expected = [said(None, None), said(Some("12"), Some("{\"a\":\"ä\"}")), said(None, Some("{}"))];
        for cut in 0..stream.len() {
            let mut events = Events::default();
            let (first, second) = stream.as_bytes().split_at(cut);
            let mut read = events.take(first).expect("a stream");
            read.extend(events.take(second).expect("a stream"));
            assert_eq!(read, expected, "cut at {cut}");
        }
    }

    #[test]
    fn an_event_without_end_is_no_event() {
        let mut events = Events::default();
        assert!(events.take(&vec![b'x'; LONGEST_EVENT + 1]).is_err());
    }
}
