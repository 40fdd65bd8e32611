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

/// The kind of this processor, by which results are stored: maker, family and model, as `amd-19h-01h`.
pub fn this_kind() -> String {
    kind(&fs::read_to_string("/proc/cpuinfo").unwrap_or_default())
}

fn kind(cpuinfo: &str) -> String {
    let field = |name: &str| {
        let mut lines = cpuinfo.lines().filter_map(|line| line.split_once(':'));
        let found = lines.find(|(key, _)| key.trim() == name);
        found.map(|(_, value)| value.trim())
    };
    let number = |name: &str| field(name).and_then(|text| text.parse::<u32>().ok());
    let maker = match field("vendor_id") {
        Some("AuthenticAMD") => "amd".into(),
        Some("GenuineIntel") => "intel".into(),
        Some(other) => other.to_lowercase(),
        None => std::env::consts::ARCH.into(),
    };
    match number("cpu family").zip(number("model")) {
        Some((family, model)) => format!("{maker}-{family:02x}h-{model:02x}h"),
        None => maker,
    }
}

/// The widest moves that messages are copied with here.
fn moves() -> &'static str {
    // As `segment::copy` of the library asks.
    #[cfg(target_arch = "x86_64")]
    {
        if std::is_x86_feature_detected!("avx512f") && std::is_x86_feature_detected!("avx512vl") {
            return "64-byte moves (AVX-512)";
        }
        if std::is_x86_feature_detected!("avx") {
            return "32-byte moves (AVX)";
        }
        "16-byte moves (SSE2)"
    }
    #[cfg(not(target_arch = "x86_64"))]
    "words of eight bytes"
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
        "kind": kind(&cpuinfo),
        "moves": moves(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_is_maker_family_and_model() {
        let cpuinfo = |vendor: &str, family: u32, model: u32| {
            format!("processor\t: 0\nvendor_id\t: {vendor}\ncpu family\t: {family}\nmodel\t\t: {model}\nmodel name\t: X\n")
        };
        assert_eq!(kind(&cpuinfo("AuthenticAMD", 25, 17)), "amd-19h-11h");
        assert_eq!(kind(&cpuinfo("AuthenticAMD", 26, 2)), "amd-1ah-02h");
        assert_eq!(kind(&cpuinfo("GenuineIntel", 6, 143)), "intel-06h-8fh");
        assert_eq!(kind(""), std::env::consts::ARCH);
    }
}
