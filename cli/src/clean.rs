//! `slipring clean`: removing what no live process holds.

use crate::failure::Failure;
use crate::text::{self, size, styled, BOLD};
use crate::Outcome;
use slipring::registry::{Leftover, Why};
use std::io::{IsTerminal, Write};
use std::os::unix::fs::MetadataExt;

#[derive(clap::Args)]
#[command(after_help = "\
Lists the objects that no live process holds, and removes them with --yes (at a terminal it asks). Without
--all it keeps rings whose producer died, because their messages can still be read, and idle rings, which
a process may use again: their producer left them open, or they hold a durable cursor. Objects of other
users are kept, unless root runs this. So are objects that a process has opened meanwhile. If an object
cannot be removed, this is reported, the rest is removed, and the status is not 0.

EXAMPLES
  slipring clean                       show it
  slipring clean --yes                 remove it
  slipring clean --all --yes           idle rings too, and those whose producer died")]
pub struct Arguments {
    /// Remove without asking
    #[arg(long, short)]
    yes: bool,
    /// Idle rings too, and those whose producer died
    #[arg(long)]
    all: bool,
}

/// Why an object is left over, as text for the user.
pub fn reason(leftover: &Leftover) -> String {
    let pid = leftover.producer_pid;
    match leftover.why {
        Why::Half => "half made or half removed by a process that died".into(),
        Why::Over => format!("closed by its producer (process {pid}); no process is attached"),
        Why::Died => format!(
            "its producer (process {pid}) died; no process is attached; what it published can be read"
        ),
        Why::Idle => "idle: no process is attached, but one may come back".into(),
        Why::Damaged => "damaged, and no process is attached".into(),
        _ => "not in use".into(),
    }
}

/// Returns `true` if `clean` removes it without `--all`.
pub fn is_over(leftover: &Leftover) -> bool {
    matches!(leftover.why, Why::Half | Why::Over) && is_ours(leftover)
}

/// Returns `true` if this user may remove it.
fn is_ours(leftover: &Leftover) -> bool {
    let user = rustix::process::geteuid();
    let owner = std::fs::symlink_metadata(&leftover.path).map(|found| found.uid());
    user.is_root() || owner.is_ok_and(|owner| owner == user.as_raw())
}

pub fn run(arguments: &Arguments) -> Outcome {
    text::missing_directory();
    let mut out = std::io::stdout().lock();
    let (ours, theirs): (Vec<_>, Vec<_>) = slipring::registry::leftovers()?
        .into_iter()
        .partition(is_ours);
    let (go, stay): (Vec<_>, Vec<_>) = ours
        .into_iter()
        .partition(|leftover| arguments.all || is_over(leftover));
    for (heading, list) in [
        ("to remove", &go),
        ("kept (--all removes them too)", &stay),
        ("of other users, left alone", &theirs),
    ] {
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
    let (mut freed, mut failed) = (0, None);
    for leftover in &go {
        match leftover.remove() {
            Ok(true) => freed += leftover.bytes,
            Ok(false) => writeln!(out, "{} is in use now, kept", leftover.path.display())?,
            Err(error) => {
                if let Some(before) = failed.replace(Failure::from(error)) {
                    before.say();
                }
            }
        }
    }
    writeln!(out, "freed {}", text::size(freed))?;
    out.flush()?;
    failed.map_or(Ok(()), Err)
}

/// Asks the user, if standard input is a terminal.
fn confirmed() -> std::io::Result<bool> {
    if !std::io::stdin().is_terminal() {
        return Ok(false);
    }
    eprint!("remove? [y/N] ");
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
