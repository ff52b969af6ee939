//! What runs of things that a reload brings, changes and takes: a task for each, stopped alone when its thing goes or is replaced.
//! The successor starts once the one before has ended, so that there are never two for one name.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;

use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

/// The tasks by name. A thing that stays the same `Arc` is left alone.
pub struct Crew<K, T> {
    running: HashMap<K, (Arc<T>, CancellationToken)>,
    tasks: JoinSet<K>,
}

impl<K, T> Default for Crew<K, T> {
    fn default() -> Self {
        Self { running: HashMap::new(), tasks: JoinSet::new() }
    }
}

impl<K: Clone + Eq + Hash + Send + 'static, T> Crew<K, T> {
    /// Stops what is not wanted any more, and starts what is wanted and has nothing to wait for. To be called again after each
    /// [`Crew::ended`].
    pub fn follow<F>(
        &mut self,
        wanted: &[Arc<T>],
        soft: &CancellationToken,
        name: impl Fn(&T) -> K,
        run: impl Fn(Arc<T>, CancellationToken) -> F,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        for (running, stop) in self.running.values() {
            if !wanted.iter().any(|wanted| Arc::ptr_eq(wanted, running)) {
                stop.cancel();
            }
        }
        for thing in wanted {
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

    /// The next that ends, if any runs.
    ///
    /// # Errors
    /// It panicked.
    pub async fn ended(&mut self) -> Option<Result<Arc<T>, JoinError>> {
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

    /// Waits until none runs.
    pub async fn finish(&mut self) {
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
        let mut crew: Crew<&str, (&str, u32)> = Crew::default();
        let [one, two, newer] = [("one", 1), ("two", 1), ("two", 2)].map(Arc::new);
        let follow = |crew: &mut Crew<_, _>, wanted: &[Arc<(&'static str, u32)>]| {
            crew.follow(
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
        let ended = crew.ended().await.expect("one runs").expect("no panic");
        assert!(Arc::ptr_eq(&ended, &two));
        follow(&mut crew, &[one.clone(), newer.clone()]);
        soft.cancel();
        crew.finish().await;
        let mut log = log.lock().expect("whole").clone();
        log[4..].sort();
        let expected = ["one 1 begins", "two 1 begins", "two 1 ends", "two 2 begins", "one 1 ends", "two 2 ends"];
        assert_eq!(log, expected);
    }
}
