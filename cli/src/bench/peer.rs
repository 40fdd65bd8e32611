//! The second process: started once, told what to do line by line.
//!
//! The first process opens its end of a channel, says so, and waits for the answer before it starts:
//! nothing is timed while anything is being set up.

use super::channel::{Contender, End, Opened, Place};
use super::machine;
use super::paced::{hiccups, of_pairs, pairs};
use super::raw::{Shared, PROBES, PROBE_BYTES};
use super::watch::Watch;
use super::workload::{Load, Measured, Workload};
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

/// One sample to take.
#[derive(Clone)]
pub struct Request {
    pub contender: Contender,
    pub load: Load,
    /// Bytes of data that what is measured shall hold, if it lets itself be told.
    pub capacity: u64,
}

impl Request {
    /// How large what is measured was asked to be; `None` where it does not let itself be asked.
    pub fn asked(&self) -> Option<u64> {
        self.contender.capacity.then_some(self.capacity)
    }
}

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
        tell(&mut self.input, line)
    }

    fn hear(&mut self) -> io::Result<Value> {
        hear(&mut self.output)
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

    /// Takes one sample; the inner error is why this contender cannot take part.
    pub fn run(&mut self, request: &Request) -> Result<Result<Measured, String>, Failure> {
        clear(&self.directory);
        let workload = request.load.workload;
        let place = Place {
            directory: &self.directory,
            end: End::First,
            load: request.load,
            capacity: request.capacity,
        };
        let _watch = self.watch(request);
        let mut opened = match (request.contender.open)(&place) {
            Ok(opened) => opened,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let both = if request.contender.threads {
            run_in_threads(opened.as_mut(), request, &place, self.cores.get(1).copied())
        } else {
            run_in_processes(opened.as_mut(), request, &mut self.input, &mut self.output)
        };
        let (mine, theirs) = match both? {
            Ok(both) => both,
            Err(reason) => return Ok(Err(reason)),
        };
        let arrived = theirs.count + theirs.missed;
        // Who is not told what it missed cannot know what it missed at the end.
        let exact = workload != Workload::Lossy || theirs.told;
        let nobody = workload.fans() && request.load.readers == 0;
        if workload != Workload::RoundTrip
            && !nobody
            && (mine.count < arrived || exact && mine.count != arrived)
        {
            let text = format!(
                "{}: {} sent, {} received, {} missed",
                request.contender.name, mine.count, theirs.count, theirs.missed
            );
            return Err(Failure::new(FAILED, text));
        }
        Ok(Ok(match workload {
            Workload::RoundTrip | Workload::Burst => mine,
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
        }))
    }

    /// Ends both processes if this sample does not end by itself.
    fn watch(&self, request: &Request) -> Watch {
        let limit = request.load.sample * 4 + GRACE;
        let (name, workload) = (request.contender.name, request.load.workload.name());
        let (second, directory) = (self.child.id(), self.directory.clone());
        Watch::over(limit, move || {
            eprintln!("slipring: {name} hangs: {workload} did not end within {limit:?}");
            if let Some(second) = Pid::from_raw(second as i32) {
                // It is a child that nobody has waited for, so that is still who this is.
                let _ = kill_process(second, Signal::KILL);
            }
            let _ = std::fs::remove_dir_all(directory);
            std::process::exit(FAILED.into());
        })
    }

    /// Ends the second process, in the middle of whatever it does if something `failed`, and removes
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

fn tell(input: &mut ChildStdin, line: &Value) -> io::Result<()> {
    writeln!(input, "{line}")?;
    input.flush()
}

fn hear(output: &mut BufReader<ChildStdout>) -> io::Result<Value> {
    let mut line = String::new();
    if output.read_line(&mut line)? == 0 {
        return Err(io::Error::other("the second process ended early"));
    }
    serde_json::from_str(&line).map_err(io::Error::other)
}

/// What both ends measured, or why they cannot take part.
type Both = Result<Result<(Measured, Measured), String>, Failure>;

fn run_in_processes(
    mine: &mut dyn Opened,
    request: &Request,
    input: &mut ChildStdin,
    output: &mut BufReader<ChildStdout>,
) -> Both {
    let Load { workload, size, .. } = request.load;
    let told = json!({
        "contender": request.contender.name,
        "capacity": request.capacity,
        "workload": workload.name(),
        "size": size,
        "sample_ns": request.load.sample.as_nanos() as u64,
        "rate": request.load.rate,
        "readers": request.load.readers,
    });
    tell(input, &told)?;
    let ready = hear(output)?;
    if let Some(error) = ready["error"].as_str() {
        return Ok(Err(error.to_owned()));
    }
    let named = |error: &dyn std::fmt::Display| {
        Failure::new(FAILED, format!("{}: {error}", request.contender.name))
    };
    // If this end failed, the other one may wait for it for ever.
    let mine = mine.run(End::First, request.load);
    let mine = mine.map_err(|error| named(&error))?;
    let theirs = hear(output)?;
    if let Some(error) = theirs["error"].as_str() {
        return Err(named(&error));
    }
    let theirs = Measured::from_json(&theirs)
        .ok_or_else(|| Failure::new(FAILED, "the second process said something else"))?;
    Ok(Ok((mine, theirs)))
}

fn run_in_threads(
    mine: &mut dyn Opened,
    request: &Request,
    place: &Place<'_>,
    core: Option<usize>,
) -> Both {
    let theirs = Place {
        end: End::Second,
        ..*place
    };
    let (ready, opened) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let second = scope.spawn(move || -> io::Result<Measured> {
            machine::pin(core);
            match (request.contender.open)(&theirs) {
                Ok(mut end) => {
                    // Whoever asked has gone only if it failed, and then says so itself.
                    let _ = ready.send(None);
                    end.run(End::Second, request.load)
                }
                Err(error) => {
                    let _ = ready.send(Some(error.to_string()));
                    Err(error)
                }
            }
        });
        if let Ok(Some(reason)) = opened.recv() {
            return Ok(Err(reason));
        }
        let named = |error: &dyn std::fmt::Display| {
            Failure::new(FAILED, format!("{}: {error}", request.contender.name))
        };
        let mine = mine.run(End::First, request.load);
        let theirs = second
            .join()
            .map_err(|_| named(&"its second thread panicked"))?;
        Ok(Ok((
            mine.map_err(|error| named(&error))?,
            theirs.map_err(|error| named(&error))?,
        )))
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

/// The second process.
pub fn serve(suite: &Suite, directory: &Path, cores: &[usize]) -> Outcome {
    machine::pin(cores.get(1).copied());
    let shared = Shared::open(&directory.join(PROBES), End::Second, PROBE_BYTES)?;
    let mut out = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let told: Value = serde_json::from_str(&line?).map_err(io::Error::other)?;
        if told["stop"] == true {
            break;
        }
        let mut say = |value: Value| -> io::Result<()> {
            writeln!(out, "{value}")?;
            out.flush()
        };
        if let Some(rounds) = told["probe"].as_u64() {
            shared.bounce(End::Second, rounds);
            say(json!({ "done": true }))?;
            continue;
        }
        if let Some(rounds) = told["clock"].as_u64() {
            shared.compare_clocks(End::Second, rounds);
            say(json!({ "done": true }))?;
            continue;
        }
        if let Some(duration) = told["hiccups_ns"].as_u64() {
            let gaps = hiccups(Duration::from_nanos(duration))?;
            say(json!({ "gaps": pairs(&gaps) }))?;
            continue;
        }
        let contender = suite.find(told["contender"].as_str().unwrap_or_default());
        let workload = Workload::parse(told["workload"].as_str().unwrap_or_default());
        let size = told["size"].as_u64().unwrap_or_default() as usize;
        let sample = Duration::from_nanos(told["sample_ns"].as_u64().unwrap_or_default());
        let (Some(workload), Some(contender)) = (workload, contender) else {
            continue;
        };
        let load = Load {
            workload,
            size,
            sample,
            rate: told["rate"].as_f64().unwrap_or_default(),
            readers: told["readers"].as_u64().unwrap_or_default() as usize,
        };
        let place = Place {
            directory,
            end: End::Second,
            load,
            capacity: told["capacity"].as_u64().unwrap_or_default(),
        };
        match (contender.open)(&place) {
            Err(error) => say(json!({ "error": error.to_string() }))?,
            Ok(mut opened) => {
                say(json!({ "ready": true }))?;
                match opened.run(End::Second, load) {
                    Ok(measured) => say(measured.to_json())?,
                    Err(error) => say(json!({ "error": error.to_string() }))?,
                }
            }
        }
    }
    Ok(())
}
