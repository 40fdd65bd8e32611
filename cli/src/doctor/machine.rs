//! Properties of the machine that matter to rings, read from the kernel's files.

use super::{Check, Verdict};
use crate::text::size;
use rustix::process::{getrlimit, Resource};
use std::fs;
use std::path::Path;

/// The first line of a file, if there is one.
fn line(path: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    Some(text.lines().next().unwrap_or_default().trim().to_owned())
}

/// The choice in brackets of a file like `always [madvise] never`.
fn chosen(path: &str) -> Option<String> {
    let line = line(path)?;
    let (_, rest) = line.split_once('[')?;
    rest.split_once(']').map(|(choice, _)| choice.to_owned())
}

fn check(
    what: &'static str,
    verdict: Verdict,
    found: impl Into<String>,
    cost: &'static str,
    fix: impl Into<String>,
) -> Check {
    Check {
        what,
        verdict,
        found: found.into(),
        cost,
        fix: fix.into(),
    }
}

fn judge(good: bool) -> Verdict {
    if good {
        Verdict::Good
    } else {
        Verdict::Poor
    }
}

pub fn checks() -> Vec<Check> {
    vec![
        space(),
        memlock(),
        shared_huge_pages(),
        anonymous_huge_pages(),
        swap(),
        cores(),
        governor(),
        isolated(),
        clock(),
        membarrier(),
        futex_waitv(),
        namespace(),
        session_cleanup(),
        symlinks(),
    ]
}

/// Room where the rings lie.
fn space() -> Check {
    let directory = slipring::registry::default_directory();
    if !directory.exists() && std::env::var_os("SLIPRING_DIR").is_some() {
        return check(
            "room for rings",
            Verdict::Poor,
            format!("there is no directory {}", directory.display()),
            "there are no rings, or SLIPRING_DIR is mistyped",
            format!(
                "mkdir -m 700 {}, or check SLIPRING_DIR",
                directory.display()
            ),
        );
    }
    let existing = directory.ancestors().find(|path| path.exists());
    let Some(stat) = existing.and_then(|path| rustix::fs::statvfs(path).ok()) else {
        let found = format!("{} cannot be looked at", directory.display());
        return check("room for rings", Verdict::Unknown, found, "", "");
    };
    let (all, free) = (stat.f_blocks * stat.f_frsize, stat.f_bavail * stat.f_frsize);
    check(
        "room for rings",
        judge(free >= 64 << 20),
        format!(
            "{} of {} free in {}",
            size(free),
            size(all),
            directory.display()
        ),
        "creating a ring fails with 'no space' (64 MiB is where containers start)",
        "mount -o remount,size=1G /dev/shm, or 'docker run --shm-size=1g'",
    )
}

fn memlock() -> Check {
    let limit = getrlimit(Resource::Memlock).current;
    check(
        "locked memory",
        judge(limit.is_none_or(|bytes| bytes >= 64 << 20)),
        limit.map_or("unlimited".into(), |bytes| {
            format!("at most {}", size(bytes))
        }),
        "lock_memory(true) fails on larger rings; without it they may be swapped out",
        "ulimit -l unlimited, or LimitMEMLOCK=infinity in the unit",
    )
}

/// The value of a mount option of the file system that holds the rings, and its mount point. The directory
/// belongs to the mount with the longest path above it; of several at one path, to the last.
fn mount_option(name: &str) -> Option<(String, Option<String>)> {
    let directory = slipring::registry::default_directory();
    let mounts = fs::read_to_string("/proc/mounts").ok()?;
    let mut found: Option<(String, Option<String>)> = None;
    for mount in mounts.lines() {
        let mut words = mount.split(' ').skip(1);
        let (Some(at), Some(options)) = (words.next(), words.nth(1)) else {
            continue;
        };
        let longest = found.as_ref().map_or(0, |(at, _)| at.len());
        if directory.starts_with(at) && at.len() >= longest {
            let value = options
                .split(',')
                .find_map(|option| option.strip_prefix(name)?.strip_prefix('='));
            found = Some((at.to_owned(), value.map(str::to_owned)));
        }
    }
    found
}

fn shared_huge_pages() -> Check {
    let what = "huge pages (shm)";
    let Some((mount, option)) = mount_option("huge") else {
        return check(what, Verdict::Unknown, "no mounts to be seen", "", "");
    };
    let forced = chosen("/sys/kernel/mm/transparent_hugepage/shmem_enabled");
    let forced = forced.is_some_and(|choice| choice == "force");
    let option = option.unwrap_or("never".into());
    check(
        what,
        judge(forced || matches!(option.as_str(), "always" | "within_size")),
        format!("huge={option} on {mount}"),
        "rings larger than 2 MiB take a TLB miss per 4 KiB; huge_pages(true) has no effect",
        format!("mount -o remount,huge=within_size {mount}, if it is a tmpfs"),
    )
}

fn anonymous_huge_pages() -> Check {
    let Some(choice) = chosen("/sys/kernel/mm/transparent_hugepage/enabled") else {
        return check("huge pages", Verdict::Unknown, "no such setting", "", "");
    };
    check(
        "huge pages",
        judge(choice != "always"),
        choice,
        "the kernel may stop a process for milliseconds to make huge pages of its heap",
        "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled",
    )
}

fn swap() -> Check {
    let swaps = fs::read_to_string("/proc/swaps").unwrap_or_default();
    let used = swaps.lines().count().saturating_sub(1);
    check(
        "swap",
        judge(used == 0),
        format!("{used} areas"),
        "pages of a ring that rests may be swapped out; the next touch takes milliseconds",
        "swapoff -a, or lock_memory(true)",
    )
}

fn cores() -> Check {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    check(
        "cores",
        judge(cores >= 2),
        format!("{cores} usable"),
        "a spinning reader keeps its producer from running: use strategies that yield or sleep",
        "",
    )
}

fn governor() -> Check {
    let Some(governor) = line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor") else {
        let found = "not visible (a virtual machine?)";
        return check("frequency governor", Verdict::Unknown, found, "", "");
    };
    check(
        "frequency governor",
        judge(governor == "performance"),
        governor,
        "the first messages after a rest are several times slower, until the clock is up",
        "cpupower frequency-set -g performance",
    )
}

fn isolated() -> Check {
    let isolated = line("/sys/devices/system/cpu/isolated").unwrap_or_default();
    check(
        "isolated cores",
        judge(!isolated.is_empty()),
        if isolated.is_empty() {
            "none".to_owned()
        } else {
            isolated
        },
        "others run on the cores of the ring: pauses of microseconds to milliseconds",
        // The last two, where that leaves two for everything else.
        match std::thread::available_parallelism().map_or(1, usize::from) {
            ..4 => String::new(),
            cores => {
                let (one, other) = (cores - 2, cores - 1);
                format!(
                    "boot with isolcpus={one},{other} nohz_full={one},{other} rcu_nocbs={one},{other} \
                     and pin with taskset -c {one}"
                )
            }
        },
    )
}

fn clock() -> Check {
    let path = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    let Some(source) = line(path) else {
        return check("clock", Verdict::Unknown, "not visible", "", "");
    };
    check(
        "clock",
        judge(matches!(source.as_str(), "tsc" | "arch_sys_counter")),
        source,
        "reading the time is a system call: deadlines and measurements cost microseconds",
        "boot with tsc=reliable if the processor has an invariant one",
    )
}

fn membarrier() -> Check {
    use rustix::thread::{membarrier_query, MembarrierCommand};
    let expedited = membarrier_query().contains_command(MembarrierCommand::GlobalExpedited);
    check(
        "membarrier",
        judge(expedited),
        if expedited { "expedited" } else { "missing" },
        "'membarrier' in the options of producers and consumers is refused; nothing else needs it",
        "a kernel from 4.16 on, with CONFIG_MEMBARRIER, and a sandbox that allows the call",
    )
}

fn futex_waitv() -> Check {
    let release = rustix::system::uname()
        .release()
        .to_string_lossy()
        .into_owned();
    let mut numbers = release
        .split(['.', '-'])
        .map_while(|part| part.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    check(
        "waiting for several",
        judge(version >= (5, 16)),
        format!("kernel {release}"),
        "a WaitSet polls once a millisecond instead of being woken",
        "a kernel from 5.16 on",
    )
}

/// The number of the first process namespace, the same on every kernel.
const FIRST_PID_NAMESPACE: &str = "pid:[4026531836]";

fn namespace() -> Check {
    let Ok(link) = fs::read_link("/proc/self/ns/pid") else {
        return check(
            "process ids",
            Verdict::Unknown,
            "/proc is not mounted",
            "",
            "",
        );
    };
    check(
        "process ids",
        judge(link == Path::new(FIRST_PID_NAMESPACE)),
        link.display().to_string(),
        "'stat' shows ids of the namespace each process lives in; liveness is not affected",
        "share the namespace: 'docker run --pid=host'",
    )
}

fn session_cleanup() -> Check {
    if !Path::new("/run/systemd/system").exists() {
        return check("logging out", Verdict::Good, "no systemd here", "", "");
    }
    let uid = rustix::process::geteuid().as_raw();
    let lingers = Path::new("/var/lib/systemd/linger")
        .read_dir()
        .is_ok_and(|names| {
            let user = std::env::var("USER").unwrap_or_default();
            names
                .flatten()
                .any(|name| name.file_name().to_string_lossy() == user)
        });
    let configured = fs::read_to_string("/etc/systemd/logind.conf").unwrap_or_default();
    let off = configured.lines().any(|line| line.trim() == "RemoveIPC=no");
    check(
        "logging out",
        judge(uid < 1000 || lingers || off),
        if off {
            "RemoveIPC=no"
        } else {
            "RemoveIPC is on"
        },
        "systemd removes this user's files in /dev/shm, rings too, at the end of the last session",
        "RemoveIPC=no in /etc/systemd/logind.conf, or loginctl enable-linger",
    )
}

fn symlinks() -> Check {
    let Some(protected) = line("/proc/sys/fs/protected_symlinks") else {
        return check("planted links", Verdict::Unknown, "not visible", "", "");
    };
    check(
        "planted links",
        judge(protected == "1"),
        format!("protected_symlinks = {protected}"),
        "nothing for rings, which follow no links; other programs in /dev/shm may",
        "sysctl fs.protected_symlinks=1",
    )
}
