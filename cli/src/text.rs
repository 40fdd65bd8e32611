//! Small things that several verbs read and print: names, sizes, times, counts.

use crate::failure::{Failure, PATHS, USAGE};
use slipring::{
    endpoint::{Builder, Difference},
    place::OpenError,
    Form, Place, Ring,
};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A ring as named on the command line: a name, or a path that begins with `/` or `.`.
pub enum Target {
    Name(String),
    Path(PathBuf),
}

impl Target {
    pub fn parse(text: &str) -> Self {
        if text.starts_with('/') || text.starts_with("./") || text.starts_with("../") {
            Self::Path(text.into())
        } else {
            Self::Name(text.into())
        }
    }

    pub fn open(&self) -> Result<Ring, Failure> {
        Ring::open(self.place()).map_err(explained)
    }

    /// Like [`open`](Self::open), to look only: also what no process may use until it is recovered.
    pub fn look(&self) -> Result<Ring, Failure> {
        let opened = match Ring::open(self.place()) {
            Err(OpenError::OtherBoot { .. }) => slipring::registry::look_at(self.place()),
            opened => opened,
        };
        opened.map_err(explained)
    }

    /// What lies there.
    pub fn form(&self) -> Result<Form, Failure> {
        // Says what is wrong with a name.
        match Ring::open(self.place()) {
            Err(OpenError::Form { found, .. }) => Ok(found),
            _ => Ok(Form::Ring),
        }
    }

    pub fn builder(&self) -> Builder {
        Ring::builder(self.place())
    }

    /// Where it lies, for calls of the library.
    pub fn place(&self) -> Place {
        match self {
            Self::Name(name) => name.into(),
            Self::Path(path) => path.into(),
        }
    }

    /// The path, for verbs that work on names only through paths.
    pub fn path(&self) -> PathBuf {
        match self {
            Self::Path(path) => path.clone(),
            Self::Name(name) => slipring::registry::default_directory().join(name),
        }
    }
}

/// Says of a name what a path is.
fn explained(error: OpenError) -> Failure {
    match error {
        OpenError::Name(_) => Failure::new(USAGE, format!("{error} ({PATHS})")),
        error => error.into(),
    }
}

/// Prints a note if `SLIPRING_DIR` names no directory: it has no rings, but it may be mistyped.
pub fn missing_directory() {
    let directory = slipring::registry::default_directory();
    if std::env::var_os("SLIPRING_DIR").is_some() && !directory.exists() {
        let shown = directory.display();
        eprintln!("slipring: there is no directory {shown} yet; check SLIPRING_DIR");
    }
}

/// Prints how the settings of an existing object differ from those asked for.
pub fn say_differences(path: &Path, differences: &[Difference]) {
    for difference in differences {
        let shown = path.display();
        eprintln!("slipring: {shown} exists, with another {difference}");
    }
}

/// Bytes with an optional unit of 1024: `4096`, `64K`, `64KiB`, `1M`, `2GiB`.
pub fn bytes(text: &str) -> Result<u64, String> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let shift = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return Err(format!("unknown unit {unit:?}: use K, M, G or T (of 1024)")),
    };
    number
        .parse::<u64>()
        .ok()
        .and_then(|n| n.checked_mul(1 << shift))
        .ok_or_else(|| "expected a number of bytes, for example 64K or 1MiB".into())
}

/// A number of events a second with an optional unit of 1000: `500`, `100k`, `1.5M`.
pub fn rate(text: &str) -> Result<f64, String> {
    let (number, scale) = match text.chars().last() {
        Some('k' | 'K') => (&text[..text.len() - 1], 1e3),
        Some('m' | 'M') => (&text[..text.len() - 1], 1e6),
        _ => (text, 1.0),
    };
    let rate = number.parse::<f64>().ok().map(|n| n * scale);
    rate.filter(|rate| (1.0..=1e9).contains(rate))
        .ok_or_else(|| "expected a rate from 1 to 1000M, for example 100k or 1M".into())
}

/// A time with a unit: `250us`, `5ms`, `2s`, `1m`; plain numbers are seconds.
pub fn duration(text: &str) -> Result<Duration, String> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let scale = match unit.trim() {
        "" | "s" => 1.0,
        "ns" => 1e-9,
        "us" => 1e-6,
        "ms" => 1e-3,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return Err(format!("unknown unit {unit:?}: use ns, us, ms, s, m or h")),
    };
    number
        .parse::<f64>()
        .ok()
        .and_then(|n| Duration::try_from_secs_f64(n * scale).ok())
        .ok_or_else(|| "expected a time, for example 250us or 2s".into())
}

/// As [`duration`], but not zero.
pub fn some_time(text: &str) -> Result<Duration, String> {
    let time = duration(text)?;
    if time.is_zero() {
        return Err("expected a time greater than zero, for example 100ms".into());
    }
    Ok(time)
}

/// Permission bits in octal.
pub fn mode(text: &str) -> Result<u32, String> {
    u32::from_str_radix(text.trim_start_matches("0o"), 8)
        .ok()
        .filter(|mode| *mode <= 0o777)
        .ok_or_else(|| "expected permission bits in octal, for example 0640".into())
}

/// `1234567` as `1,234,567`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Bytes for people: `1 MiB`, `4,000 B`.
pub fn size(n: u64) -> String {
    for (shift, unit) in [(30, "GiB"), (20, "MiB"), (10, "KiB")] {
        if n >= 1 << shift && n.is_multiple_of(1 << shift) {
            return format!("{} {unit}", count(n >> shift));
        }
    }
    format!("{} B", count(n))
}

/// Nanoseconds for people.
pub fn nanos(n: f64) -> String {
    match n {
        n if n < 1e3 => format!("{n:.1} ns"),
        n if n < 1e6 => format!("{:.2} us", n / 1e3),
        n if n < 1e9 => format!("{:.2} ms", n / 1e6),
        n => format!("{:.2} s", n / 1e9),
    }
}

/// Wraps text in a terminal style, if standard output is a terminal and NO_COLOR is not set.
pub fn styled(style: &str, text: &str) -> String {
    let wanted = std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
        && std::io::stdout().is_terminal();
    if wanted {
        format!("\x1b[{style}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}

/// The style of headings.
pub const BOLD: &str = "1";
/// The style of success.
pub const GREEN: &str = "32";
/// The style of failure.
pub const RED: &str = "31";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_read_as_people_write_them() {
        assert_eq!(bytes("4096"), Ok(4096));
        assert_eq!(bytes("64KiB"), Ok(64 << 10));
        assert_eq!(bytes("1m"), Ok(1 << 20));
        assert!(bytes("1x").is_err() && bytes("").is_err() && bytes("99999999T").is_err());
        assert_eq!(duration("250us"), Ok(Duration::from_micros(250)));
        assert_eq!(duration("1.5"), Ok(Duration::from_millis(1500)));
        assert!(duration("fast").is_err() && duration("1e400").is_err());
        assert_eq!((rate("500"), rate("1.5M")), (Ok(500.0), Ok(1.5e6)));
        assert!(rate("0").is_err() && rate("M").is_err() && rate("nan").is_err());
        assert_eq!(mode("0640"), Ok(0o640));
        assert!(mode("9").is_err() && mode("7777").is_err());
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(
            (size(1 << 20), size(1000)),
            ("1 MiB".into(), "1,000 B".into())
        );
    }
}
