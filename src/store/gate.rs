//! The seam between the store and its database engine. The product passes straight through; a simulated world stands here, where
//! the engine's own threads begin, to wait, to fail, or to hold everything still until they are done.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::Either;

use crate::clock::BoxFuture;

/// What the engine is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EngineWork {
    /// To open the database and bring it up to date.
    Open,
    /// To read beside the writer.
    Read,
    /// To write, in one transaction.
    Write,
    /// To fold the log into the database, or to close.
    Fold,
}

/// Stands before the database engine.
pub trait EngineGate: fmt::Debug + Send + Sync {
    /// Comes before the engine is asked; an error takes the place of its answer.
    fn enter(&self, work: EngineWork) -> BoxFuture<io::Result<()>>;

    /// Polls work until it is done, without giving the thread back meanwhile.
    fn drive(&self, poll: &mut dyn FnMut(&mut Context<'_>) -> Poll<()>);

    /// Comes after the engine has done it.
    fn leave(&self, work: EngineWork) -> BoxFuture<()>;
}

/// The gate of one store; none in the product.
#[derive(Clone, Debug, Default)]
pub(super) struct Gate(Option<Arc<dyn EngineGate>>);

impl Gate {
    pub(super) const fn new(gate: Option<Arc<dyn EngineGate>>) -> Self {
        Self(gate)
    }

    /// Has the engine do `work`. In the product the future is `done` itself.
    pub(super) fn pass<T, E>(
        &self,
        work: EngineWork,
        failed: impl FnOnce(sqlx::Error) -> E,
        done: impl Future<Output = Result<T, E>>,
    ) -> impl Future<Output = Result<T, E>> {
        match &self.0 {
            None => Either::Left(done),
            Some(gate) => Either::Right(Box::pin(hold_still(gate.clone(), work, failed, done))),
        }
    }
}

/// Does the work behind a gate.
async fn hold_still<T, E>(
    gate: Arc<dyn EngineGate>,
    work: EngineWork,
    failed: impl FnOnce(sqlx::Error) -> E,
    done: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    gate.enter(work).await.map_err(|error| failed(sqlx::Error::Io(error)))?;
    let mut done = pin!(done);
    let outcome = poll_fn(|_| {
        let mut outcome = None;
        gate.drive(&mut |context| done.as_mut().poll(context).map(|ready| outcome = Some(ready)));
        outcome.map_or(Poll::Pending, Poll::Ready)
    })
    .await;
    gate.leave(work).await;
    outcome
}
