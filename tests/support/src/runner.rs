//! The runner: each test in a process of its own, each peer in its role.

use proptest::test_runner::{Config, TestRunner};
use rustix::event::{poll, PollFd, PollFlags, Timespec};
use rustix::process::{pidfd_open, Pid, PidfdFlags};
use std::io::Write;
use std::process::{Child, Command, ExitCode};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// In the environment of a peer: `suite::role`.
const ROLE: &str = "SLIPRING_TEST_ROLE";
/// In the environment of the process of one test: `suite::test`.
const TEST: &str = "SLIPRING_TEST";
/// In the environment of the process of one test: the file that says why it failed.
const WHY: &str = "SLIPRING_TEST_WHY";
/// How many seconds a test may take; as long as it takes, if this is not set.
const LIMIT: &str = "SLIPRING_TEST_LIMIT";

/// The suite to which the test or role of this process belongs.
static CURRENT: OnceLock<String> = OnceLock::new();

/// The tests of one module, and what its peers do.
#[derive(Clone, Copy, Debug)]
pub struct Suite {
    pub path: &'static str,
    pub role: fn(&str),
    pub tests: &'static [(&'static str, fn())],
}

impl Suite {
    /// The module's own name.
    fn name(&self) -> &'static str {
        self.path.rsplit("::").next().unwrap_or(self.path)
    }
}

/// The suite of the module it is used in: the function of its peers, and its tests.
#[macro_export]
macro_rules! suite {
    ($role:path; [$($test:ident),* $(,)?]) => {
        $crate::Suite {
            path: module_path!(),
            role: $role,
            tests: &[$((stringify!($test), $test as fn())),*],
        }
    };
}

/// The role of the peers of a suite that has none.
pub fn no_role(role: &str) {
    panic!("no role {role}");
}

/// The role of this process, if it is a peer, without its suite.
pub fn role() -> Option<String> {
    let role = std::env::var(ROLE).ok()?;
    Some(match role.split_once("::") {
        Some((_suite, role)) => role.to_owned(),
        None => role,
    })
}

/// This program, as a peer in a role of the suite that asks.
pub fn command(role: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let suite = CURRENT.get().map_or("", |suite| suite);
    command.env(ROLE, format!("{suite}::{role}"));
    command
}

/// Plays a role, runs one test, or runs the tests that the arguments ask for, as the standard harness takes them
/// (`--list`, `--exact`, `--skip`, a filter).
///
/// Each test has a process of its own, as tests limit what their process may open, change its guards and its
/// signals, and fork. One after the other, unless `--test-threads` says otherwise: each fills both cores.
pub fn main(suites: &[Suite]) -> ExitCode {
    let find = |name: &str| suites.iter().find(|suite| suite.name() == name);
    if let Ok(role) = std::env::var(ROLE) {
        let (suite, role) = role.split_once("::").expect("a suite and a role");
        CURRENT.get_or_init(|| suite.to_owned());
        (find(suite).expect("a suite of this program").role)(role);
        return ExitCode::SUCCESS;
    }
    if let Ok(test) = std::env::var(TEST) {
        std::env::remove_var(TEST);
        let (suite, test) = test.split_once("::").expect("a suite and a test");
        CURRENT.get_or_init(|| suite.to_owned());
        write_down_panics();
        let suite = find(suite).expect("a suite of this program");
        let test = suite.tests.iter().find(|(name, _)| *name == test);
        test.expect("a test of this suite").1();
        return ExitCode::SUCCESS;
    }
    let mut arguments = libtest_mimic::Arguments::from_args();
    arguments.test_threads.get_or_insert(1);
    let tests = suites.iter().flat_map(|suite| {
        let names = suite.tests.iter().map(|(test, _)| test);
        names.map(|test| {
            let name = format!("{}::{test}", suite.name());
            libtest_mimic::Trial::test(name.clone(), move || Ok(alone(&name)?))
        })
    });
    libtest_mimic::run(&arguments, tests.collect()).exit_code()
}

/// Runs a test in a process of its own.
fn alone(name: &str) -> Result<(), String> {
    let started = Instant::now();
    let mut command = Command::new(std::env::current_exe().unwrap());
    let why = tempfile::NamedTempFile::new().unwrap();
    let mut child = command
        .env(TEST, name)
        .env(WHY, why.path())
        .spawn()
        .unwrap();
    let limit = std::env::var(LIMIT).ok();
    let limit = limit.map(|seconds| seconds.parse().expect("a number of seconds"));
    if !ends_within(&child, limit.map(Duration::from_secs)) {
        child.kill().unwrap();
        child.wait().unwrap();
        return Err(format!("still runs after {} s", limit.unwrap_or(0)));
    }
    let status = child.wait().unwrap();
    println!("  {name}: {:.1} s", started.elapsed().as_secs_f64());
    let why = std::fs::read_to_string(why.path()).unwrap_or_default();
    let failed = || format!("{status}\n{}", why.trim_end());
    status.success().then_some(()).ok_or_else(failed)
}

/// Has every panic of this process written down for the process that started it, which repeats it at the end, where
/// it is found. Peers print theirs only.
fn write_down_panics() {
    let Some(path) = std::env::var_os(WHY) else {
        return;
    };
    std::env::remove_var(WHY);
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let file = std::fs::OpenOptions::new().append(true).open(&path);
        let _ = file.and_then(|mut file| writeln!(file, "{panic}"));
        print(panic);
    }));
}

fn ends_within(child: &Child, limit: Option<Duration>) -> bool {
    let pid = Pid::from_child(child);
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).unwrap();
    let limit = limit.map(|limit| Timespec::try_from(limit).expect("a time of this century"));
    let mut ended = [PollFd::new(&pidfd, PollFlags::IN)];
    loop {
        match poll(&mut ended, limit.as_ref()) {
            Ok(events) => return events != 0,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

/// What runs so many cases of a property, or as many as `PROPTEST_CASES` says. A failing case is made shorter
/// for a minute: where each attempt waits in vain, all of them would take hours.
pub fn runner(cases: u32) -> TestRunner {
    let cases = std::env::var("PROPTEST_CASES").map_or(cases, |n| n.parse().unwrap());
    TestRunner::new(Config {
        cases,
        failure_persistence: None,
        max_shrink_time: 60_000,
        ..Config::default()
    })
}
