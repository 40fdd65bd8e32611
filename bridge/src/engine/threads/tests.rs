//! What is taken of the environment is exactly what Zenoh takes.

use super::{look, start, THREADS};
use std::process::{Command, Stdio};
use zenoh_runtime::ZENOH_RUNTIME_ENV;

const VALUES: [&str; 27] = [
    THREADS,
    "()",
    "(app: ())",
    "( rx : (handover: app,), )",
    "(rx: (handover: Some(app)))",
    "(rx: (handover: None))",
    "(tx: (max_blocking_threads: 1), acc: (worker_threads: 0x2))",
    "AbstractRuntimeParam(app: RuntimeParamHelper(worker_threads: 3))",
    "#![enable(unwrap_newtypes)] (app: (worker_threads: 1))",
    "(app: (worker_threads: 1), /* a comment */ net: ())",
    // Threads that are never started.
    "(tx: (worker_threads: 0, handover: rx))",
    "(app: (handover: rx), rx: (handover: net))",
    "",
    " ",
    "nonsense",
    "(app: (worker_threads: 2)",
    "(app: (worker_threads: 2)) more",
    "(app: (worker_threads: two))",
    "(app: (worker_threads: -1))",
    "(app: (threads: 2))",
    "(main: (worker_threads: 2))",
    "(rx: (handover: main))",
    "(app: RuntimeParam(worker_threads: 2))",
    "RuntimeParam(app: ())",
    "(app: (worker_threads: 0))",
    "(net: (max_blocking_threads: 0))",
    // Those of the other are started, whatever it is handed over to.
    "(tx: (handover: rx), rx: (worker_threads: 0, handover: app))",
];

/// A process of its own, in which Zenoh reads this.
fn zenoh_takes(value: &str) -> bool {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([
        "--exact",
        "engine::threads::tests::zenoh_itself",
        "--include-ignored",
    ]);
    command.env(ZENOH_RUNTIME_ENV, value).stdin(Stdio::null());
    let output = command.output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(printed.contains("running 1 test"), "{printed}");
    output.status.success()
}

#[test]
#[ignore = "run by another test, with an environment"]
fn zenoh_itself() {
    start().unwrap();
}

#[test]
fn what_zenoh_takes_is_taken_and_nothing_else() {
    let mut taken = 0;
    for value in VALUES {
        let looked = look(value);
        assert_eq!(looked.is_ok(), zenoh_takes(value), "{value:?}: {looked:?}");
        taken += usize::from(looked.is_ok());
    }
    assert_eq!(taken, 12);
}
