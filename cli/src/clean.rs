//! `slipring clean`: removing what no live process holds.

use crate::text::{self, size, styled, BOLD};
use crate::Outcome;
use slipring::{Leftover, Why};
use std::io::{IsTerminal, Write};

#[derive(clap::Args)]
#[command(after_help = "\
Shows what no live process holds, and removes it with --yes (at a terminal it asks). Left alone without
--all: rings that nobody uses but somebody may come back to, because their producer left them open or a
durable cursor waits in them. What somebody came to use meanwhile is kept.

EXAMPLES
  slipring clean                       show it
  slipring clean --yes                 remove it
  slipring clean --all --yes           idle rings too")]
pub struct Arguments {
    /// Remove without asking
    #[arg(long, short)]
    yes: bool,
    /// Idle rings too
    #[arg(long)]
    all: bool,
}

/// What is left over, for people.
pub fn reason(leftover: &Leftover) -> String {
    match leftover.why {
        Why::Half => "half made or half removed by a process that died".into(),
        Why::Over => format!(
            "closed, or its producer (process {}) died; nobody is attached",
            leftover.producer_pid
        ),
        Why::Idle => "idle: nobody is attached, but somebody may come back".into(),
        Why::Damaged => "damaged, and nobody is attached".into(),
        _ => "not in use".into(),
    }
}

pub fn run(arguments: &Arguments) -> Outcome {
    let mut out = std::io::stdout().lock();
    let (go, stay): (Vec<_>, Vec<_>) = slipring::leftovers()?
        .into_iter()
        .partition(|leftover| arguments.all || leftover.why != Why::Idle);
    for (heading, list) in [("to remove", &go), ("kept (--all removes them too)", &stay)] {
        if !list.is_empty() {
            writeln!(out, "{}", styled(BOLD, heading))?;
        }
        for leftover in list {
            writeln!(
                out,
                "  {}  {}  {}",
                leftover.path.display(),
                size(leftover.bytes),
                reason(leftover)
            )?;
        }
    }
    if go.is_empty() {
        writeln!(out, "nothing to remove")?;
        return Ok(());
    }
    out.flush()?;
    if !arguments.yes && !confirmed()? {
        writeln!(out, "nothing was removed; --yes removes it")?;
        return Ok(());
    }
    let mut freed = 0;
    for leftover in &go {
        if leftover.remove()? {
            freed += leftover.bytes;
        } else {
            writeln!(out, "{} is in use now, kept", leftover.path.display())?;
        }
    }
    writeln!(out, "freed {}", text::size(freed))?;
    Ok(())
}

/// Asks, where there is somebody to ask.
fn confirmed() -> std::io::Result<bool> {
    if !std::io::stdin().is_terminal() {
        return Ok(false);
    }
    eprint!("remove? [y/N] ");
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
