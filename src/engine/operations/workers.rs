//! A set of workers that a reload adds, replaces and removes. Each item has a task, which is stopped when its item is
//! removed or replaced. A successor starts only after the previous task has ended, so that there are never two for one
//! name.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;

use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

/// The workers by name. An item that stays the same `Arc` keeps its task.
pub struct WorkerSet<K, T> {
    running: HashMap<K, (Arc<T>, CancellationToken)>,
    tasks: JoinSet<K>,
}

impl<K, T> Default for WorkerSet<K, T> {
    fn default() -> Self {
        Self { running: HashMap::new(), tasks: JoinSet::new() }
    }
}

impl<K: Clone + Eq + Hash + Send + 'static, T> WorkerSet<K, T> {
    /// Stops the tasks of items that are no longer desired, and starts those of new items whose predecessor has ended.
    /// Must be called again after each [`WorkerSet::next_ended`].
    pub fn reconcile<F>(
        &mut self,
        desired: &[Arc<T>],
        soft: &CancellationToken,
        name: impl Fn(&T) -> K,
        run: impl Fn(Arc<T>, CancellationToken) -> F,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        for (running, stop) in self.running.values() {
            if !desired.iter().any(|wanted| Arc::ptr_eq(wanted, running)) {
                stop.cancel();
            }
        }
        for thing in desired {
            let name = name(thing);
            if self.running.contains_key(&name) {
                continue;
            }
            let stop = soft.child_token();
            let task = run(thing.clone(), stop.clone());
            self.running.insert(name.clone(), (thing.clone(), stop));
            self.tasks.spawn(async move {
                task.await;
                name
            });
        }
    }

    /// Waits for the next task to end and returns its item; `None` if no task is running.
    ///
    /// # Errors
    ///
    /// Fails if the task panicked.
    pub async fn next_ended(&mut self) -> Option<Result<Arc<T>, JoinError>> {
        loop {
            match self.tasks.join_next().await? {
                Ok(name) => {
                    if let Some((thing, _)) = self.running.remove(&name) {
                        return Some(Ok(thing));
                    }
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// Waits until all tasks have ended.
    pub async fn join_all(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[tokio::test]
    async fn only_what_changed_stops_and_its_successor_waits_for_its_end() {
        let (soft, log) = (CancellationToken::new(), Arc::new(Mutex::new(Vec::new())));
        let mut crew: WorkerSet<&str, (&str, u32)> = WorkerSet::default();
        let [one, two, newer] = [("one", 1), ("two", 1), ("two", 2)].map(Arc::new);
        let follow = |crew: &mut WorkerSet<_, _>, wanted: &[Arc<(&'static str, u32)>]| {
            crew.reconcile(
                wanted,
                &soft,
                |thing| thing.0,
                |thing, stop| {
                    let log = log.clone();
                    log.lock().expect("whole").push(format!("{} {} begins", thing.0, thing.1));
                    async move {
                        stop.cancelled().await;
                        log.lock().expect("whole").push(format!("{} {} ends", thing.0, thing.1));
                    }
                },
            );
        };
        follow(&mut crew, &[one.clone(), two.clone()]);
        follow(&mut crew, &[one.clone(), newer.clone()]);
        let ended = crew.next_ended().await.expect("one runs").expect("no panic");
        assert!(Arc::ptr_eq(&ended, &two));
        follow(&mut crew, &[one.clone(), newer.clone()]);
        soft.cancel();
        crew.join_all().await;
        let mut log = log.lock().expect("whole").clone();
        log[4..].sort();
        let expected = ["one 1 begins", "two 1 begins", "two 1 ends", "two 2 begins", "one 1 ends", "two 2 ends"];
        assert_eq!(log, expected);
    }
}
