//! One reading for everybody who waits for it. A reading serves those who asked before it began, so that it is never older than their
//! question; those who ask while it is under way get the next one.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use parking_lot::Mutex;

type Reading<T> = Shared<BoxFuture<'static, T>>;

pub struct Gathered<T: Clone> {
    read: Arc<dyn Fn() -> BoxFuture<'static, T> + Send + Sync>,
    /// Held by the reading under way.
    turn: Arc<tokio::sync::Mutex<()>>,
    /// The reading that has not begun.
    next: Arc<Mutex<Option<Reading<T>>>>,
}

impl<T: Clone + Send + Sync + 'static> Gathered<T> {
    pub fn new(read: impl Fn() -> BoxFuture<'static, T> + Send + Sync + 'static) -> Self {
        Gathered { read: Arc::new(read), turn: Arc::default(), next: Arc::default() }
    }

    /// What is read after this was called.
    pub async fn get(&self) -> T {
        let reading = self.next.lock().get_or_insert_with(|| self.prepare()).clone();
        reading.await
    }

    fn prepare(&self) -> Reading<T> {
        let (read, turn, next) = (self.read.clone(), self.turn.clone(), self.next.clone());
        let reading = async move {
            let _turn = turn.lock().await;
            next.lock().take();
            read().await
        };
        reading.boxed().shared()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn a_reading_serves_all_who_asked_before_it_began() {
        let (readings, may_end) = (Arc::new(AtomicU32::new(0)), Arc::new(Semaphore::new(0)));
        let (counted, waits) = (readings.clone(), may_end.clone());
        let gathered = Gathered::new(move || {
            let (number, waits) = (counted.fetch_add(1, Ordering::Relaxed) + 1, waits.clone());
            async move {
                waits.acquire().await.unwrap().forget();
                number
            }
            .boxed()
        });
        let mut first = Box::pin(gathered.get());
        assert_eq!((&mut first).now_or_never(), None);
        let mut later: Vec<_> = (0..5).map(|_| Box::pin(gathered.get())).collect();
        for asker in &mut later {
            assert_eq!(asker.now_or_never(), None);
        }
        assert_eq!(readings.load(Ordering::Relaxed), 1, "the second waits for its turn");
        may_end.add_permits(2);
        assert_eq!(first.await, 1);
        for asker in later {
            assert_eq!(asker.await, 2, "what began before they asked is not for them");
        }
    }

    #[tokio::test]
    async fn a_reading_that_nobody_waits_for_any_more_stops_no_other() {
        let gathered = Gathered::new(|| std::future::ready(7).boxed());
        let held = gathered.turn.clone().lock_owned().await;
        assert_eq!(gathered.get().now_or_never(), None, "it waits for its turn");
        drop(held);
        assert_eq!(gathered.get().await, 7);
        assert_eq!(gathered.get().now_or_never(), Some(7));
    }
}
