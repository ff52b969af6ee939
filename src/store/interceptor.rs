//! A hook between the store and its database engine. Production code has none; the simulation uses it to wait, to fail,
//! or to pause everything else until the engine's own threads are done.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::Either;

use crate::clock::BoxFuture;

/// The kind of work that the engine is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EngineOperation {
    /// Opening and migrating the database.
    Open,
    /// Reading beside the writer.
    Read,
    /// Writing in one transaction.
    Write,
    /// Checkpointing the log, or closing.
    Checkpoint,
}

/// A hook around each operation of the database engine.
pub trait EngineInterceptor: fmt::Debug + Send + Sync {
    /// Runs before the operation; an error is returned in place of the operation's result.
    fn before(&self, work: EngineOperation) -> BoxFuture<io::Result<()>>;

    /// Polls an operation until it is complete, without yielding the thread.
    fn poll_to_completion(&self, poll: &mut dyn FnMut(&mut Context<'_>) -> Poll<()>);

    /// Runs after the operation.
    fn after(&self, work: EngineOperation) -> BoxFuture<()>;
}

/// The interceptor of one store; `None` in production.
#[derive(Clone, Debug, Default)]
pub(super) struct Interceptor(Option<Arc<dyn EngineInterceptor>>);

impl Interceptor {
    pub(super) const fn new(interceptor: Option<Arc<dyn EngineInterceptor>>) -> Self {
        Self(interceptor)
    }

    /// Runs `operation`, through the interceptor if there is one.
    pub(super) fn run<T, E>(
        &self,
        kind: EngineOperation,
        map_error: impl FnOnce(sqlx::Error) -> E,
        operation: impl Future<Output = Result<T, E>>,
    ) -> impl Future<Output = Result<T, E>> {
        match &self.0 {
            None => Either::Left(operation),
            Some(gate) => Either::Right(Box::pin(run_intercepted(gate.clone(), kind, map_error, operation))),
        }
    }
}

/// Runs an operation through an interceptor.
async fn run_intercepted<T, E>(
    interceptor: Arc<dyn EngineInterceptor>,
    kind: EngineOperation,
    map_error: impl FnOnce(sqlx::Error) -> E,
    operation: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    interceptor.before(kind).await.map_err(|error| map_error(sqlx::Error::Io(error)))?;
    let mut done = pin!(operation);
    let result = poll_fn(|_| {
        let mut outcome = None;
        interceptor.poll_to_completion(&mut |context| done.as_mut().poll(context).map(|ready| outcome = Some(ready)));
        outcome.map_or(Poll::Pending, Poll::Ready)
    })
    .await;
    interceptor.after(kind).await;
    result
}
