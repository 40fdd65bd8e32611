//! `slipring doctor`: checks this machine, and lists what dead processes left over.

mod machine;

use crate::clean;
use crate::text::{self, size, styled, BOLD, GREEN, RED};
use crate::Outcome;
use serde_json::{json, Value};
use std::io::Write;

#[derive(clap::Args)]
#[command(after_help = "\
Checks this machine and changes nothing. Each finding says what it costs and which command fixes it. No
finding makes results wrong; it makes rings slower, or harder to keep.

EXAMPLES
  slipring doctor
  slipring doctor --json | jq '.checks[] | select(.verdict != \"good\")'")]
pub struct Arguments {
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be.
    Good,
    /// Costs performance or safety; `cost` says which.
    Poor,
    /// Cannot be determined here.
    Unknown,
}

impl Verdict {
    fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Poor => "poor",
            Self::Unknown => "unknown",
        }
    }
}

/// One checked property.
#[derive(Debug)]
pub struct Check {
    pub what: &'static str,
    pub verdict: Verdict,
    pub found: String,
    /// What it costs as it is; empty where it is good.
    pub cost: &'static str,
    /// The command that fixes it; empty where there is none.
    pub fix: String,
}

pub fn run(arguments: &Arguments) -> Outcome {
    let checks = machine::checks();
    let mut leftovers = slipring::registry::leftovers()?;
    // What 'clean' would remove. Idle objects and those of other users need no fix.
    leftovers.retain(clean::is_over);
    let rings = slipring::registry::list()?;
    text::missing_directory();
    let mut out = std::io::stdout().lock();
    if arguments.json {
        let checks: Vec<Value> = checks
            .iter()
            .map(|check| {
                json!({
                    "what": check.what,
                    "verdict": check.verdict.name(),
                    "found": check.found,
                    "cost": check.cost,
                    "fix": check.fix,
                })
            })
            .collect();
        let leftovers: Vec<Value> = leftovers
            .iter()
            .map(|leftover| {
                json!({
                    "path": leftover.path.display().to_string(),
                    "bytes": leftover.bytes,
                    "why": clean::reason(leftover),
                })
            })
            .collect();
        writeln!(
            out,
            "{}",
            json!({ "checks": checks, "leftovers": leftovers })
        )?;
        return Ok(());
    }
    writeln!(out, "{}", styled(BOLD, "machine"))?;
    for check in &checks {
        let style = match check.verdict {
            Verdict::Good => GREEN,
            Verdict::Poor => RED,
            Verdict::Unknown => BOLD,
        };
        let verdict = styled(style, &format!("{:<7}", check.verdict.name()));
        writeln!(out, "  {verdict} {:<20} {}", check.what, check.found)?;
        if check.verdict == Verdict::Poor {
            writeln!(out, "{:30}costs: {}", "", check.cost)?;
            if !check.fix.is_empty() {
                writeln!(out, "{:30}fix:   {}", "", check.fix)?;
            }
        }
    }
    writeln!(out, "{}", styled(BOLD, "rings"))?;
    for entry in &rings {
        let listed = match &entry.ring {
            Ok(ring) => ring
                .status()
                .map(|status| (ring, status))
                .map_err(|e| e.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match listed {
            Err(error) => writeln!(out, "  {}: {error}", entry.name)?,
            Ok((ring, status)) => {
                let dead = status
                    .readers
                    .iter()
                    .filter(|r| !r.alive && r.cursor.is_none());
                writeln!(
                    out,
                    "  {}  {}  producer {}, {} readers, {} rows of the dead",
                    entry.name,
                    size(ring.memory_bytes()),
                    match status.producer_alive {
                        Some(true) => format!("process {}", status.producer_pid),
                        Some(false) => "none".into(),
                        None => "unknown".into(),
                    },
                    status.readers.iter().filter(|reader| reader.alive).count(),
                    dead.count(),
                )?;
            }
        }
    }
    writeln!(out, "{}", styled(BOLD, "left over"))?;
    for leftover in &leftovers {
        writeln!(
            out,
            "  {}  {}  {}",
            leftover.path.display(),
            size(leftover.bytes),
            clean::reason(leftover)
        )?;
    }
    if leftovers.is_empty() {
        writeln!(out, "  nothing")?;
    } else {
        writeln!(out, "  fix: slipring clean")?;
    }
    Ok(())
}
