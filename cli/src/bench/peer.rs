//! The first process's hold on the second, which is started once and told what to do line by line.
//!
//! The first process opens its end of a channel, says so, and waits for the answer before it starts:
//! nothing is timed while anything is being set up.

use super::channel::{End, Opened, Place};
use super::load::of_pairs;
use super::load::{Load, Measured, Workload};
use super::paced::hiccups;
use super::raw::{Shared, PROBES, PROBE_BYTES};
use super::second::{Ran, Thread};
use super::slices::{Plan, Request, Slice};
use super::usage::{Lost, Spent, Usage};
use super::watch::Watch;
use super::Suite;
use crate::child;
use crate::failure::{Failure, FAILED};
use crate::stop::Stop;
use crate::Outcome;
use hdrhistogram::Histogram;
use rustix::process::{kill_process, Pid, Signal};
use serde_json::{json, Value};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

/// Round trips of one bounce.
const PROBE: u64 = 4096;
/// A sample may take so much longer than it was to last: some begin slowly, and hosts are busy.
const GRACE: Duration = Duration::from_secs(60);

/// The first process's hold on the second.
pub struct Peer {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    shared: Shared,
    directory: PathBuf,
    cores: Vec<usize>,
}

impl Peer {
    pub fn start(suite: &Suite, cores: &[usize]) -> Result<Self, Failure> {
        let directory = PathBuf::from(format!("/dev/shm/slipring-bench-{}", std::process::id()));
        std::fs::create_dir(&directory)?;
        let shared = Shared::open(&directory.join(PROBES), End::First, PROBE_BYTES)?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(suite.verb).arg("--peer").arg(&directory);
        if let [first, second] = cores {
            command.args(["--pin", &format!("{first},{second}")]);
        }
        let left = directory.clone();
        Stop::begin(Duration::ZERO, move || {
            let _ = std::fs::remove_dir_all(left);
        })?;
        // It spins, waiting for a first process that may be gone.
        child::tie(&mut command);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let missing = || Failure::new(FAILED, "the second process has no input or output");
        let input = child.stdin.take().ok_or_else(missing)?;
        let output = BufReader::new(child.stdout.take().ok_or_else(missing)?);
        Ok(Self {
            child,
            input,
            output,
            shared,
            directory,
            cores: cores.to_vec(),
        })
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    fn tell(&mut self, line: &Value) -> io::Result<()> {
        writeln!(self.input, "{line}")?;
        self.input.flush()
    }

    fn hear(&mut self) -> io::Result<Value> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            return Err(io::Error::other("the second process ended early"));
        }
        serde_json::from_str(&line).map_err(io::Error::other)
    }

    /// Bounces a line between the two processes; nanoseconds per round trip.
    pub fn probe(&mut self) -> Result<f64, Failure> {
        self.tell(&json!({ "probe": PROBE }))?;
        let nanos = self.shared.bounce(End::First, PROBE);
        self.hear()?;
        Ok(nanos)
    }

    /// How long the two cores go away by themselves: gaps between readings of the clock on both.
    pub fn hiccups(&mut self, duration: Duration) -> Result<Histogram<u64>, Failure> {
        self.tell(&json!({ "hiccups_ns": duration.as_nanos() as u64 }))?;
        let mut gaps = hiccups(duration)?;
        let said = self.hear()?;
        let nonsense = || Failure::new(FAILED, "the second process said something else");
        let theirs = of_pairs(&said["gaps"]).ok_or_else(nonsense)?;
        gaps.add(theirs).map_err(io::Error::other)?;
        Ok(gaps)
    }

    /// By how much the clock of the second process is ahead, as far as can be told, and how far that
    /// is: half of the quickest round trip. In nanoseconds.
    pub fn clock_offset(&mut self) -> Result<(i64, u64), Failure> {
        self.tell(&json!({ "clock": PROBE }))?;
        let offset = self.shared.compare_clocks(End::First, PROBE);
        self.hear()?;
        Ok(offset)
    }

    /// Runs a contender for one sample, slice by slice, each between two bounces; the inner error is why it
    /// cannot take part.
    pub fn sample(
        &mut self,
        request: &Request,
        plan: Plan,
    ) -> Result<Result<Vec<Slice>, String>, Failure> {
        clear(&self.directory);
        let directory = self.directory.clone();
        let place = Place {
            directory: &directory,
            end: End::First,
            load: request.load,
            capacity: request.capacity,
        };
        let _watch = self.watch(request, plan);
        let mut mine = match (request.contender.open)(&place) {
            Ok(opened) => opened,
            Err(error) => return Ok(Err(error.to_string())),
        };
        if request.contender.threads {
            let theirs = Place {
                end: End::Second,
                ..place
            };
            let core = self.cores.get(1).copied();
            return std::thread::scope(|scope| {
                let second = match Thread::start(scope, request.contender, theirs, core) {
                    Ok(second) => second,
                    Err(reason) => return Ok(Err(reason)),
                };
                let slices = self.slices(mine.as_mut(), &Second::Thread(second), request, plan);
                slices.map(Ok)
            });
        }
        let told = json!({
            "contender": request.contender.name,
            "capacity": request.capacity,
            "workload": request.load.workload.name(),
            "size": request.load.size,
            "rate": request.load.rate,
            "readers": request.load.readers,
        });
        self.tell(&told)?;
        if let Some(reason) = self.hear()?["error"].as_str() {
            return Ok(Err(reason.to_owned()));
        }
        let slices = self.slices(mine.as_mut(), &Second::Process, request, plan)?;
        self.tell(&json!({ "close": true }))?;
        drop(mine);
        self.hear()?;
        Ok(Ok(slices))
    }

    fn slices(
        &mut self,
        mine: &mut dyn Opened,
        second: &Second,
        request: &Request,
        plan: Plan,
    ) -> Result<Vec<Slice>, Failure> {
        let load = Load {
            sample: plan.length,
            ..request.load
        };
        let name = request.contender.name;
        mine.begin(End::First)
            .map_err(|error| named(name, &error))?;
        let (mut slices, mut counting) = (Vec::new(), 0);
        let mut before = self.probe()?;
        while counting < plan.slices && slices.len() < plan.slices + plan.spare {
            let (mine, theirs) = self.both(mine, second, name, load)?;
            let after = self.probe()?;
            let one_process = request.contender.threads;
            let slice = Slice {
                before,
                after,
                lost: Lost::of(mine.1, theirs.1, one_process),
                length: plan.length,
                measured: joined(name, load, mine.0, theirs.0)?,
            };
            counting += usize::from(slice.may_count());
            slices.push(slice);
            before = after;
        }
        Ok(slices)
    }

    /// Runs one slice at both ends. If this one fails, the other may wait for it for ever.
    fn both(
        &mut self,
        mine: &mut dyn Opened,
        second: &Second,
        name: &str,
        load: Load,
    ) -> Result<(Ran, Ran), Failure> {
        let core = self.cores.first().copied();
        match second {
            Second::Process => {
                self.tell(&json!({ "slice_ns": load.sample.as_nanos() as u64 }))?;
                let before = Usage::now(core);
                self.hear()?;
                let measured = mine
                    .run(End::First, load)
                    .map_err(|error| named(name, &error))?;
                let spent = Usage::now(core).since(&before);
                let said = self.hear()?;
                if let Some(error) = said["error"].as_str() {
                    return Err(named(name, &error));
                }
                let theirs = Measured::from_json(&said).zip(Spent::from_json(&said["spent"]));
                let nonsense = || Failure::new(FAILED, "the second process said something else");
                Ok(((measured, spent), theirs.ok_or_else(nonsense)?))
            }
            Second::Thread(second) => {
                second.ask(load).map_err(|error| named(name, &error))?;
                let before = Usage::now(core);
                second.ready().map_err(|error| named(name, &error))?;
                let measured = mine
                    .run(End::First, load)
                    .map_err(|error| named(name, &error))?;
                let spent = Usage::now(core).since(&before);
                let theirs = second.ran().map_err(|error| named(name, &error))?;
                Ok(((measured, spent), theirs))
            }
        }
    }

    /// Ends both processes if this sample does not end by itself.
    fn watch(&self, request: &Request, plan: Plan) -> Watch {
        let limit = plan.length * (plan.slices + plan.spare) as u32 * 4 + GRACE;
        let (name, workload) = (request.contender.name, request.load.workload.name());
        let (second, directory) = (self.child.id(), self.directory.clone());
        Watch::over(limit, move || {
            eprintln!("slipring: {name} hangs: {workload} did not end within {limit:?}");
            if let Some(second) = Pid::from_raw(second as i32) {
                // A child that was not waited for keeps its process id.
                let _ = kill_process(second, Signal::KILL);
            }
            let _ = std::fs::remove_dir_all(directory);
            std::process::exit(FAILED.into());
        })
    }

    /// Ends the second process, in the middle of its work if something `failed`, and removes
    /// what the two shared.
    pub fn stop(mut self, failed: bool) -> Outcome {
        let told = match failed {
            true => self.child.kill(),
            false => self.tell(&json!({ "stop": true })),
        };
        let ended = self.child.wait();
        let removed = std::fs::remove_dir_all(&self.directory);
        told?;
        ended?;
        removed?;
        Ok(())
    }
}

/// Where the second end is.
enum Second {
    Process,
    Thread(Thread),
}

fn named(name: &str, error: &dyn std::fmt::Display) -> Failure {
    Failure::new(FAILED, format!("{name}: {error}"))
}

/// What both ends measured, as one; an error if what was received is not what was sent.
fn joined(name: &str, load: Load, mine: Measured, theirs: Measured) -> Result<Measured, Failure> {
    let workload = load.workload;
    let arrived = theirs.count + theirs.missed;
    // Who is not told what it missed cannot know what it missed at the end.
    let exact = workload != Workload::Lossy || theirs.told;
    let unread = workload.fans() && load.readers == 0;
    if workload != Workload::RoundTrip
        && !unread
        && (mine.count < arrived || exact && mine.count != arrived)
    {
        let text = format!(
            "{} sent, {} received, {} missed",
            mine.count, theirs.count, theirs.missed
        );
        return Err(named(name, &text));
    }
    Ok(match workload {
        Workload::RoundTrip => mine,
        Workload::Burst => Measured {
            missed: theirs.missed,
            told: theirs.told,
            ..mine
        },
        Workload::OneWay | Workload::JustWritten | Workload::FanOut => theirs,
        // What was missed behind the last message that came is not in the gaps between them.
        Workload::Lossy => Measured {
            missed: mine.count - theirs.count,
            ..theirs
        },
        // One knows how fast it sent and what was late, the other what it came to.
        Workload::Paced => Measured {
            nanos: mine.nanos,
            late: mine.late,
            ..theirs
        },
    })
}

/// Removes what the last sample left, except the shared words.
fn clear(directory: &Path) {
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_name() == PROBES {
            continue;
        }
        let _ = if path.is_dir() {
            std::fs::remove_dir_all(path)
        } else {
            std::fs::remove_file(path)
        };
    }
}
