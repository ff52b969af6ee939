//! A receiver in the test's process: it records what arrived and gives prepared answers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::watch;

use crate::clock::BoxFuture;
use crate::engine::webhooks::deliver::send::{Attempt, DeliveryRequest, Post};

type Answers = Arc<dyn Fn(u64, u32) -> Attempt + Send + Sync>;

pub(super) struct Receiver {
    seen: Mutex<ReceiverLog>,
    answers: Mutex<Answers>,
    held: watch::Sender<Option<HeldDeliveries>>,
}

#[derive(Clone, PartialEq, Eq)]
enum HeldDeliveries {
    All,
    Agent(String),
    Event(u64),
}

#[derive(Default)]
struct ReceiverLog {
    arrivals: Vec<(u64, Vec<u8>)>,
    tries: HashMap<u64, u32>,
    /// How often its unused connections were to be closed.
    rests: usize,
}

/// An answer that is not 2xx.
pub(super) fn refused(status_code: u16) -> Attempt {
    Attempt { status_code: Some(status_code), latency_ms: 1, ..Attempt::default() }
}

impl Receiver {
    pub(super) fn good() -> Arc<Self> {
        Self::answering(|_, _| Self::ok())
    }

    /// Answers by the event's number (that of its id) and how many tries of it came before.
    pub(super) fn answering(answers: impl Fn(u64, u32) -> Attempt + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { seen: Mutex::default(), answers: Mutex::new(Arc::new(answers)), held: watch::channel(None).0 })
    }

    pub(super) fn ok() -> Attempt {
        Attempt { status_code: Some(200), latency_ms: 1, answer: "thanks".into(), ..Attempt::default() }
    }

    fn seen(&self) -> MutexGuard<'_, ReceiverLog> {
        self.seen.lock().expect("not poisoned")
    }

    pub(super) fn answer(&self, answers: impl Fn(u64, u32) -> Attempt + Send + Sync + 'static) {
        *self.answers.lock().expect("not poisoned") = Arc::new(answers);
    }

    /// Does not answer until it is released.
    pub(super) fn hold(&self) {
        self.held.send_replace(Some(HeldDeliveries::All));
    }

    /// Does not answer for one agent until it is released.
    pub(super) fn hold_agent(&self, agent: &str) {
        self.held.send_replace(Some(HeldDeliveries::Agent(agent.to_owned())));
    }

    /// Does not answer for one event until it is released.
    pub(super) fn hold_event(&self, number: u64) {
        self.held.send_replace(Some(HeldDeliveries::Event(number)));
    }

    pub(super) fn release(&self) {
        self.held.send_replace(None);
    }

    pub(super) fn count(&self) -> usize {
        self.seen().arrivals.len()
    }

    pub(super) fn bodies(&self) -> Vec<Vec<u8>> {
        self.seen().arrivals.iter().map(|(_, body)| body.clone()).collect()
    }

    pub(super) fn rests(&self) -> usize {
        self.seen().rests
    }

    /// The numbers of all that arrived, in order.
    pub(super) fn arrivals(&self) -> Vec<u64> {
        self.seen().arrivals.iter().map(|(number, _)| *number).collect()
    }

    /// The numbers of what arrived about one agent: by three agents, or by one.
    pub(super) fn arrivals_of(&self, agent: &str) -> Vec<u64> {
        self.arrivals().into_iter().filter(|number| agent == "u_0" || format!("u_{}", number % 3) == agent).collect()
    }
}

impl Post for Receiver {
    fn post(&self, request: DeliveryRequest) -> BoxFuture<Attempt> {
        let number = u64::try_from(request.event_id.0.as_u128() & u128::from(u64::MAX)).expect("fits");
        let tries = {
            let mut seen = self.seen();
            seen.arrivals.push((number, request.body.to_vec()));
            let tries = seen.tries.entry(number).or_default();
            *tries += 1;
            *tries - 1
        };
        let attempt = self.answers.lock().expect("not poisoned")(number, tries);
        let mut held = self.held.subscribe();
        Box::pin(async move {
            let agent = format!("u_{}", number % 3);
            let free = |held: &Option<HeldDeliveries>| match held {
                None => true,
                Some(HeldDeliveries::All) => false,
                Some(HeldDeliveries::Agent(of)) => *of != agent,
                Some(HeldDeliveries::Event(of)) => *of != number,
            };
            held.wait_for(free).await.expect("the receiver is there");
            attempt
        })
    }

    fn close_idle(&self) {
        self.seen().rests += 1;
    }
}
