//! How many threads Zenoh has, and what for, as the environment says. Zenoh panics on what it cannot read, so it is read here before.

use super::{panic_text, EngineError};
use ron::extensions::Extensions;
use serde::Deserialize;
use std::fmt;
use std::ops::Deref;
use std::panic::catch_unwind;
use zenoh_runtime::{RuntimeParam, ZRuntime, ZENOH_RUNTIME_ENV, ZENOH_RUNTIME_ENV_STRING};

/// One thread sends, and two do everything else. By itself Zenoh has two that receive and three for the rest. On few processors they
/// wait for each other: a message takes half as long again. What is sent has its own, so that it leaves whatever questions keep
/// the others.
const THREADS: &str =
    "(app: (worker_threads: 2), rx: (handover: app), net: (handover: app), acc: (handover: app))";

/// Has Zenoh share threads, unless the environment says how many it is to have. It sets an environment variable, so it is to be
/// called before the program has other threads, and it does nothing once a session was opened.
pub fn share_threads() {
    if std::env::var_os(ZENOH_RUNTIME_ENV).is_none() {
        std::env::set_var(ZENOH_RUNTIME_ENV, THREADS);
    }
}

/// The environment says something about Zenoh's threads that Zenoh does not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadsError {
    /// The value of `ZENOH_RUNTIME`.
    pub value: String,
    /// What is wrong with it, and where.
    pub why: String,
}

impl fmt::Display for ThreadsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { value, why } = self;
        write!(
            f,
            "the environment variable {ZENOH_RUNTIME_ENV} is {value:?}, which Zenoh does not take: {why}: unset it, or name any of app, acc, tx, rx and net, each with worker_threads and max_blocking_threads, of at least 1, or with handover to another, as in {THREADS:?}"
        )
    }
}

impl std::error::Error for ThreadsError {}

/// Looks whether Zenoh takes what the environment says. The environment of the first call counts, or that of the first session. A
/// value that is not UTF-8 is to Zenoh as none.
///
/// # Errors
/// [`ThreadsError`]. Zenoh cannot be used in this process then.
///
/// ```
/// use slipring_bridge::engine::threads::{check_threads, share_threads};
///
/// share_threads();
/// check_threads()?;
/// # Ok::<(), slipring_bridge::engine::threads::ThreadsError>(())
/// ```
pub fn check_threads() -> Result<(), ThreadsError> {
    // The one that Zenoh reads: what becomes of the variable later is not seen.
    let value: &str = &ZENOH_RUNTIME_ENV_STRING;
    look(value).map_err(|why| ThreadsError {
        value: value.to_owned(),
        why,
    })
}

/// What Zenoh reads of one kind of threads. The names count, since the notation may have them.
#[derive(Deserialize)]
#[serde(rename = "RuntimeParamHelper", deny_unknown_fields, default)]
struct Kind {
    worker_threads: usize,
    max_blocking_threads: usize,
    handover: Option<ZRuntime>,
}

impl Default for Kind {
    fn default() -> Self {
        let RuntimeParam {
            worker_threads,
            max_blocking_threads,
            handover,
        } = RuntimeParam::default();
        Self {
            worker_threads,
            max_blocking_threads,
            handover,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename = "AbstractRuntimeParam", deny_unknown_fields)]
struct Kinds {
    #[serde(default)]
    app: Kind,
    #[serde(default)]
    acc: Kind,
    #[serde(default)]
    tx: Kind,
    #[serde(default)]
    rx: Kind,
    #[serde(default)]
    net: Kind,
}

impl Kinds {
    fn of(&self, runtime: ZRuntime) -> &Kind {
        match runtime {
            ZRuntime::Application => &self.app,
            ZRuntime::Acceptor => &self.acc,
            ZRuntime::TX => &self.tx,
            ZRuntime::RX => &self.rx,
            ZRuntime::Net => &self.net,
        }
    }
}

/// Reads it as Zenoh does, and says what is wrong.
fn look(value: &str) -> Result<(), String> {
    let notation = ron::Options::default().with_default_extension(Extensions::IMPLICIT_SOME);
    let kinds: Kinds = notation
        .from_str(value)
        .map_err(|error| error.to_string())?;
    for runtime in ZRuntime::iter() {
        // The other's threads are started then, whomever it has them handed over to.
        let used = kinds.of(runtime).handover.unwrap_or(runtime);
        let kind = kinds.of(used);
        for (number, name) in [
            (kind.worker_threads, "worker_threads"),
            (kind.max_blocking_threads, "max_blocking_threads"),
        ] {
            if number == 0 {
                return Err(format!("{name} of {used} is 0"));
            }
        }
    }
    Ok(())
}

/// Has Zenoh start them. It panics if the system has no room for them, which may pass.
pub(super) fn start() -> Result<(), EngineError> {
    let all = || {
        for runtime in ZRuntime::iter() {
            let _ = runtime.deref();
        }
    };
    catch_unwind(all).map_err(|panic| EngineError {
        what: "start the threads of Zenoh".to_owned(),
        why: format!(
            "{}: the system may have no room now for files or threads of this process, or {ZENOH_RUNTIME_ENV} names too many",
            panic_text(&*panic)
        ),
    })
}

#[cfg(test)]
mod tests;
