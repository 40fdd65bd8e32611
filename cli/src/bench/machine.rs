//! The machine under the numbers: what it is, and where the two processes run on it.

use crate::failure::{Failure, USAGE};
use rustix::thread::{sched_getaffinity, sched_setaffinity, CpuSet};
use serde_json::{json, Map, Value};
use std::{fs, io};

/// The cores to use: the two asked for, else the first two this process may run on; none if that is one.
pub fn cores(asked: &[usize]) -> Result<Vec<usize>, Failure> {
    let allowed = sched_getaffinity(None).map_err(io::Error::from)?;
    let allowed: Vec<usize> = (0..CpuSet::MAX_CPU)
        .filter(|core| allowed.is_set(*core))
        .collect();
    let refuse = |text: String| Err(Failure::new(USAGE, text));
    if let Some(core) = asked.iter().find(|core| !allowed.contains(core)) {
        let allowed: Vec<String> = allowed.iter().map(usize::to_string).collect();
        let allowed = allowed.join(",");
        return refuse(format!(
            "--pin {core} is not possible: this process may run on {allowed}"
        ));
    }
    match asked {
        // On a single core the two processes must take turns; pinning would change nothing.
        [] if allowed.len() < 2 => Ok(Vec::new()),
        [] => Ok(allowed[..2].to_vec()),
        [_, _] => Ok(asked.to_vec()),
        _ => refuse("--pin takes two cores, for example 2,3".into()),
    }
}

/// Pins this process, if there is a core to pin it to and the kernel agrees.
pub fn pin(core: Option<usize>) -> bool {
    core.is_some_and(|core| {
        let mut set = CpuSet::new();
        set.set(core);
        sched_setaffinity(None, &set).is_ok()
    })
}

/// How the two cores were placed while a sample ran, by the bounces before and after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Both bounces under 230 ns: the cores share a cache.
    Near,
    /// Both over 300 ns: they do not.
    Far,
    /// One of each, or in between: not comparable with anything.
    Mixed,
}

impl State {
    pub fn of(before: f64, after: f64) -> Self {
        if before.max(after) < 230.0 {
            Self::Near
        } else if before.min(after) > 300.0 {
            Self::Far
        } else {
            Self::Mixed
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Near => "near",
            Self::Far => "far",
            Self::Mixed => "mixed",
        }
    }
}

/// The most telling of [`describe`], on one line.
pub fn summary(machine: &Value) -> String {
    let say = |key: &str| match &machine[key] {
        Value::String(text) => text.clone(),
        Value::Null => "n/a".into(),
        other => other.to_string(),
    };
    format!(
        "{}, {} cores, pinned to {}, kernel {}, hypervisor {}, governor {}, isolated {:?}, load {}",
        say("processor"),
        say("cores"),
        say("pinned"),
        say("kernel"),
        say("hypervisor"),
        say("governor"),
        say("isolated"),
        say("load"),
    )
}

/// Everything that may explain a number, read and not typed; what is missing is `null`.
pub fn describe(cores: &[usize]) -> Value {
    let read = |path: &str| {
        fs::read_to_string(path)
            .ok()
            .map(|text| text.trim().to_owned())
    };
    let cpuinfo = read("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        cpuinfo
            .lines()
            .find(|line| line.starts_with(name))
            .and_then(|line| line.split_once(':'))
            .map(|(_, value)| value.trim().to_owned())
    };
    let has = |flag: &str| field("flags").is_some_and(|flags| flags.split(' ').any(|f| f == flag));
    let mut mitigations = Map::new();
    let vulnerabilities = fs::read_dir("/sys/devices/system/cpu/vulnerabilities");
    for entry in vulnerabilities.into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let text = fs::read_to_string(entry.path()).unwrap_or_default();
        if !text.starts_with("Not affected") {
            mitigations.insert(name, text.trim().into());
        }
    }
    json!({
        "processor": field("model name"),
        "family": field("cpu family"),
        "model": field("model"),
        "cores": std::thread::available_parallelism().ok().map(usize::from),
        "pinned": cores,
        "hypervisor": has("hypervisor"),
        "invariant_tsc": has("constant_tsc") && has("nonstop_tsc"),
        "kernel": read("/proc/sys/kernel/osrelease"),
        "command_line": read("/proc/cmdline"),
        "isolated": read("/sys/devices/system/cpu/isolated"),
        "governor": read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "clock_source": read("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
        "transparent_huge_pages": read("/sys/kernel/mm/transparent_hugepage/enabled"),
        "load": read("/proc/loadavg"),
        "mitigations": mitigations,
        "version": env!("CARGO_PKG_VERSION"),
    })
}
