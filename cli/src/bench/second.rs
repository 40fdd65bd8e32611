//! The second end of what is measured: in a process of its own, or, for those that know no processes, in a
//! thread of the first. Opens a contender, runs its slices as it is told, and says what each gave.

use super::channel::{Contender, End, Opened, Place};
use super::load::pairs;
use super::load::{Load, Measured, Workload};
use super::machine;
use super::paced::hiccups;
use super::raw::{Shared, PROBES, PROBE_BYTES};
use super::usage::{Spent, Usage};
use super::Suite;
use crate::Outcome;
use serde_json::{json, Value};
use std::io::{self, BufRead, Write};
use std::path::Path;
use std::sync::mpsc::{channel, Receiver, Sender};
use std::thread::Scope;
use std::time::Duration;

/// What one end gave in a slice.
pub type Ran = (Measured, Spent);

/// Runs a slice at the second end; `ready` is called right before, when everything has been read.
fn run(
    opened: &mut dyn Opened,
    load: Load,
    core: Option<usize>,
    ready: impl FnOnce() -> io::Result<()>,
) -> io::Result<Ran> {
    opened.renew()?;
    let before = Usage::now(core);
    ready()?;
    let measured = opened.run(End::Second, load)?;
    Ok((measured, Usage::now(core).since(&before)))
}

enum Said {
    CannotTakePart(String),
    Ready,
    Ran(Box<io::Result<Ran>>),
}

/// A second end in a thread of this process.
pub struct Thread {
    ask: Sender<Load>,
    said: Receiver<Said>,
}

impl Thread {
    /// Starts it; the error is why the contender cannot take part.
    pub fn start<'scope>(
        scope: &'scope Scope<'scope, '_>,
        contender: Contender,
        place: Place<'scope>,
        core: Option<usize>,
    ) -> Result<Self, String> {
        let (ask, asked) = channel::<Load>();
        let (say, said) = channel();
        scope.spawn(move || {
            machine::pin(core);
            // Where the first end has gone, there is no one to tell: it has failed and says so itself.
            let tell = |what| say.send(what).map_err(io::Error::other);
            let mut opened = match (contender.open)(&place) {
                Ok(opened) => opened,
                Err(error) => return tell(Said::CannotTakePart(error.to_string())),
            };
            tell(Said::Ready)?;
            for load in asked {
                let ran = run(opened.as_mut(), load, core, || tell(Said::Ready));
                tell(Said::Ran(Box::new(ran)))?;
            }
            Ok(())
        });
        let thread = Self { ask, said };
        match thread.said.recv() {
            Ok(Said::CannotTakePart(reason)) => Err(reason),
            Ok(_) => Ok(thread),
            Err(_) => Err("its second thread ended early".into()),
        }
    }

    /// Asks for a slice.
    pub fn ask(&self, load: Load) -> io::Result<()> {
        self.ask.send(load).map_err(io::Error::other)
    }

    /// Waits until it is ready to run it.
    pub fn ready(&self) -> io::Result<()> {
        match self.said.recv() {
            Ok(Said::Ready) => Ok(()),
            // It ran nothing, then: it failed before.
            Ok(Said::Ran(ran)) => (*ran).map(|_| ()),
            _ => Err(io::Error::other("its second thread ended early")),
        }
    }

    /// Waits for what it gave.
    pub fn ran(&self) -> io::Result<Ran> {
        match self.said.recv() {
            Ok(Said::Ran(ran)) => *ran,
            _ => Err(io::Error::other("its second thread ended early")),
        }
    }
}

/// The second process: does what it is told on standard input, and says what came of it on standard output.
pub fn serve(suite: &Suite, directory: &Path, cores: &[usize]) -> Outcome {
    let core = cores.get(1).copied();
    machine::pin(core);
    let shared = Shared::open(&directory.join(PROBES), End::Second, PROBE_BYTES)?;
    let mut out = io::stdout().lock();
    let mut say = |value: Value| -> io::Result<()> {
        writeln!(out, "{value}")?;
        out.flush()
    };
    let mut open: Option<(Box<dyn Opened>, Load)> = None;
    for line in io::stdin().lock().lines() {
        let told: Value = serde_json::from_str(&line?).map_err(io::Error::other)?;
        if told["stop"] == true {
            break;
        }
        if let Some(rounds) = told["probe"].as_u64() {
            shared.bounce(End::Second, rounds);
            say(json!({ "done": true }))?;
        } else if let Some(rounds) = told["clock"].as_u64() {
            shared.compare_clocks(End::Second, rounds);
            say(json!({ "done": true }))?;
        } else if let Some(duration) = told["hiccups_ns"].as_u64() {
            let gaps = hiccups(Duration::from_nanos(duration))?;
            say(json!({ "gaps": pairs(&gaps) }))?;
        } else if told["close"] == true {
            open = None;
            say(json!({ "closed": true }))?;
        } else if let (Some(length), Some((opened, load))) = (told["slice_ns"].as_u64(), &mut open)
        {
            let load = Load {
                sample: Duration::from_nanos(length),
                ..*load
            };
            let ran = run(opened.as_mut(), load, core, || {
                say(json!({ "ready": true }))
            });
            say(match ran {
                Ok((measured, spent)) => {
                    let mut value = measured.to_json();
                    value["spent"] = spent.to_json();
                    value
                }
                Err(error) => json!({ "error": error.to_string() }),
            })?;
        } else if let Some(name) = told["contender"].as_str() {
            let opened = place(&told, directory).and_then(|place| {
                let contender = suite.find(name).ok_or(io::ErrorKind::InvalidInput)?;
                Ok(((contender.open)(&place)?, place.load))
            });
            match opened {
                Ok(opened) => {
                    open = Some(opened);
                    say(json!({ "ready": true }))?;
                }
                Err(error) => say(json!({ "error": error.to_string() }))?,
            }
        }
    }
    Ok(())
}

/// What to open, as the first process says it.
fn place<'d>(told: &Value, directory: &'d Path) -> io::Result<Place<'d>> {
    let workload = Workload::parse(told["workload"].as_str().unwrap_or_default());
    let number = |key: &str| told[key].as_u64().unwrap_or_default();
    Ok(Place {
        directory,
        end: End::Second,
        load: Load {
            workload: workload.ok_or(io::ErrorKind::InvalidInput)?,
            size: number("size") as usize,
            sample: Duration::ZERO,
            rate: told["rate"].as_f64().unwrap_or_default(),
            readers: number("readers") as usize,
        },
        capacity: number("capacity"),
    })
}
