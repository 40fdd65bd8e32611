//! What ends the benchmark when a contender hangs: two ends that wait for each other wait for ever.

use std::sync::mpsc::{channel, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

/// Watches over one sample until it is dropped.
pub struct Watch {
    over: Option<Sender<()>>,
    watcher: Option<JoinHandle<()>>,
}

impl Watch {
    /// Calls `give_up`, on a thread of its own, if this is not dropped within `limit`.
    pub fn over(limit: Duration, give_up: impl FnOnce() + Send + 'static) -> Self {
        let (over, ended) = channel::<()>();
        let watcher = std::thread::spawn(move || {
            if ended.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                give_up();
            }
        });
        Self {
            over: Some(over),
            watcher: Some(watcher),
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.over.take();
        if let Some(watcher) = self.watcher.take() {
            // What it calls does not panic; if it did, there is nothing to add.
            let _ = watcher.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_in_time_is_left_alone_and_nothing_else() {
        let (gave_up, told) = channel();
        let also = gave_up.clone();
        drop(Watch::over(Duration::from_secs(600), move || {
            let _ = also.send("in time");
        }));
        let watch = Watch::over(Duration::from_millis(1), move || {
            let _ = gave_up.send("late");
        });
        assert_eq!(told.recv(), Ok("late"));
        drop(watch);
        assert!(told.recv().is_err(), "that was all");
    }
}
