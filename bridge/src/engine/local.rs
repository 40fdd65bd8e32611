//! An engine within one process, for tests and for trying out: every program of a [`Network`] reaches every other.

use super::{
    Engine, EngineError, Held, Outgoing, Question, QuestionSink, Replies, ReplySink, Sample,
    SampleSink,
};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

#[derive(Default)]
struct State {
    subscribers: HashMap<u64, (String, Arc<SampleSink>)>,
    answering: HashMap<u64, (String, Arc<QuestionSink>)>,
    next: u64,
    /// Of so many things sent, one is lost; 0 for none.
    loses_one_in: u64,
    sent: u64,
}

/// A network within this process. Cheap to clone; clones are the same network.
///
/// ```
/// use slipring_bridge::engine::{local::Network, Engine, Lane, Outgoing};
/// use std::sync::mpsc;
///
/// let network = Network::default();
/// let (seen, sees) = mpsc::channel();
/// let _held = network.subscribe("a/*/c", Box::new(move |sample| seen.send(sample.bytes.to_vec()).unwrap()))?;
/// network.publish(Outgoing {
///     key: "a/b/c",
///     lane: Lane::Data,
///     bytes: b"hello",
///     encoding: None,
///     attachment: None,
/// })?;
/// assert_eq!(sees.recv().unwrap(), b"hello");
/// # Ok::<(), slipring_bridge::engine::EngineError>(())
/// ```
#[derive(Clone, Default)]
pub struct Network {
    state: Arc<Mutex<State>>,
}

/// Returns `true` if a key is one of those that an expression with `*` and `**` stands for.
fn matches(expression: &str, key: &str) -> bool {
    let (first, rest) = expression.split_once('/').unwrap_or((expression, ""));
    let (part, others) = key.split_once('/').unwrap_or((key, ""));
    match first {
        "" => key.is_empty(),
        "**" => matches(rest, key) || (!key.is_empty() && matches(expression, others)),
        "*" => !key.is_empty() && matches(rest, others),
        first => first == part && matches(rest, others),
    }
}

impl Network {
    fn state(&self) -> MutexGuard<'_, State> {
        // A sink that panicked held no lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on every so many-th thing that is published or replied is lost; none with 0.
    pub fn lose_one_in(&self, n: u64) {
        self.state().loses_one_in = n;
    }

    fn is_lost(&self) -> bool {
        let mut state = self.state();
        state.sent += 1;
        state.loses_one_in > 0 && state.sent.is_multiple_of(state.loses_one_in)
    }
}

/// Ends a subscription, or answering.
struct Registered {
    network: Network,
    id: u64,
}

impl Drop for Registered {
    fn drop(&mut self) {
        let mut state = self.network.state();
        let subscriber = state.subscribers.remove(&self.id);
        let answering = state.answering.remove(&self.id);
        drop(state);
        drop((subscriber, answering));
    }
}

struct LocalReplies {
    network: Network,
    sink: Arc<ReplySink>,
}

impl Replies for LocalReplies {
    fn reply(&self, bytes: Vec<u8>) {
        if !self.network.is_lost() {
            (self.sink)(Some(bytes));
        }
    }
}

/// Says that there are no more replies, once no question of it is left.
struct End(Arc<ReplySink>);

impl Drop for End {
    fn drop(&mut self) {
        (self.0)(None);
    }
}

struct Asked {
    replies: LocalReplies,
    _end: Arc<End>,
}

impl Replies for Asked {
    fn reply(&self, bytes: Vec<u8>) {
        self.replies.reply(bytes);
    }
}

impl Engine for Network {
    fn publish(&self, outgoing: Outgoing<'_>) -> Result<(), EngineError> {
        if self.is_lost() {
            return Ok(());
        }
        let state = self.state();
        let found = state.subscribers.values();
        let sinks: Vec<_> = found
            .filter(|(expression, _)| matches(expression, outgoing.key))
            .map(|(_, sink)| sink.clone())
            .collect();
        drop(state);
        for sink in sinks {
            sink(Sample {
                key: outgoing.key,
                bytes: outgoing.bytes,
            });
        }
        Ok(())
    }

    fn subscribe(&self, key: &str, sink: SampleSink) -> Result<Held, EngineError> {
        let mut state = self.state();
        let id = state.next;
        state.next += 1;
        state
            .subscribers
            .insert(id, (key.to_owned(), Arc::new(sink)));
        let network = self.clone();
        Ok(Box::new(Registered { network, id }))
    }

    fn answer(&self, key: &str, sink: QuestionSink) -> Result<Held, EngineError> {
        let mut state = self.state();
        let id = state.next;
        state.next += 1;
        state.answering.insert(id, (key.to_owned(), Arc::new(sink)));
        let network = self.clone();
        Ok(Box::new(Registered { network, id }))
    }

    fn ask(
        &self,
        key: &str,
        parameters: &str,
        _within: Duration,
        sink: ReplySink,
    ) -> Result<(), EngineError> {
        let state = self.state();
        let found = state.answering.values();
        let sinks: Vec<_> = found
            .filter(|(answered, _)| matches(key, answered))
            .map(|(_, sink)| sink.clone())
            .collect();
        drop(state);
        let sink = Arc::new(sink);
        let end = Arc::new(End(sink.clone()));
        for answering in sinks {
            answering(Question {
                parameters: parameters.to_owned(),
                replies: Box::new(Asked {
                    replies: LocalReplies {
                        network: self.clone(),
                        sink: sink.clone(),
                    },
                    _end: end.clone(),
                }),
            });
        }
        Ok(())
    }

    fn addresses(&self) -> Vec<String> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn expressions_stand_for_keys() {
        for (expression, key) in [
            ("a/b", "a/b"),
            ("a/*", "a/b"),
            ("**", "a/b/c"),
            ("a/**", "a/b/c"),
            ("a/**", "a"),
            ("a/**/c", "a/b/b/c"),
            ("*/b/*", "a/b/c"),
        ] {
            assert!(matches(expression, key), "{expression} {key}");
        }
        for (expression, key) in [
            ("a/b", "a"),
            ("a", "a/b"),
            ("a/*", "a"),
            ("a/*", "a/b/c"),
            ("*", ""),
        ] {
            assert!(!matches(expression, key), "{expression} {key}");
        }
    }
}
