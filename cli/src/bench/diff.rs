//! `slipring bench diff`: what has become faster and slower, between two builds that take turns, or between
//! two stored results.

use super::compare::{compare, Line, Verdict};
use super::figures::{self, power, Taken};
use super::{turns, Suite};
use crate::failure::{Failure, CHECK, FAILED};
use crate::text::{nanos, styled, BOLD, GREEN, RED};
use crate::Outcome;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

#[derive(clap::Args)]
#[command(after_help = "\
Compares what both sides have, state by state. A figure is better or worse if a rank test (Mann-Whitney) says
so, corrected for the number of figures (Holm): a build compared with itself has a figure called better or
worse in at most one of twenty comparisons. The interval is that of the ratio of the medians, for this figure
alone, with a confidence of 95 %. Fewer than five samples on either side are too few.

Two stored results were measured one after the other: what the machine did differently meanwhile counts as a
difference of the builds. Measure with --against where that matters.

EXAMPLES
  slipring bench diff --against ../before/target/release/slipring
  slipring bench diff --against old/slipring --tolerance 5 -- --only ring,queue --sizes 64 --sample 60ms
  slipring bench diff before.json after.json")]
pub struct Arguments {
    /// A result of `slipring bench --json`, or a report.json of `slipring bench latency`
    #[arg(required_unless_present = "against")]
    before: Option<PathBuf>,
    /// Another
    #[arg(required_unless_present = "against")]
    after: Option<PathBuf>,
    /// Measure this build of the command and this one in turns, instead of comparing stored results
    #[arg(long, value_name = "BINARY", conflicts_with_all = ["before", "after"])]
    against: Option<PathBuf>,
    /// How many turns each of the two has
    #[arg(long, value_name = "N", default_value_t = turns::ROUNDS, conflicts_with_all = ["before", "after"])]
    rounds: usize,
    /// The order of the turns is drawn from this
    #[arg(long, value_name = "N", conflicts_with_all = ["before", "after"])]
    seed: Option<u64>,
    /// End with status 6 if anything is worse by more than this many percent
    #[arg(long, value_name = "PERCENT")]
    tolerance: Option<f64>,
    /// Options of `slipring bench` for both; `--only ring,batch,observer,queue` unless they say otherwise
    #[arg(last = true, value_name = "OPTIONS", conflicts_with_all = ["before", "after"])]
    options: Vec<String>,
}

pub fn run(arguments: &Arguments, suite: &Suite) -> Outcome {
    let [before, after] = match (&arguments.against, &arguments.before, &arguments.after) {
        (Some(other), _, _) => in_turns(arguments, other, suite)?,
        (None, Some(before), Some(after)) => {
            let read = |path| {
                let report = figures::read(path)?;
                Ok::<_, Failure>(figures::samples(&report).unwrap_or_default())
            };
            eprintln!(
                "slipring: the two were measured one after the other, so that differences of the machine count too: see --against"
            );
            [read(before)?, read(after)?]
        }
        _ => return Err(Failure::new(FAILED, "nothing to compare")),
    };
    let lines = compare(&before, &after);
    if lines.is_empty() {
        let why = "the two results have nothing in common: the same contenders, sizes and states are needed";
        return Err(Failure::new(FAILED, why));
    }
    print(&lines, &mut io::stdout().lock())?;
    let Some(tolerance) = arguments.tolerance else {
        return Ok(());
    };
    let too_slow =
        |line: &&Line| line.verdict == Verdict::Worse && line.ratio() > 1.0 + tolerance / 100.0;
    match lines.iter().filter(too_slow).count() {
        0 => Ok(()),
        n => Err(Failure::new(
            CHECK,
            format!("{n} figures are worse by more than {tolerance} %"),
        )),
    }
}

fn in_turns(
    arguments: &Arguments,
    other: &Path,
    suite: &Suite,
) -> Result<[Vec<Taken>; 2], Failure> {
    let this = std::env::current_exe()?;
    let mut words: Vec<String> = suite.verb.iter().map(|word| (*word).to_owned()).collect();
    words.extend(["--json", "--rounds", "1"].map(str::to_owned));
    let chosen = |option: &String| option == "--only" || option.starts_with("--only=");
    if !arguments.options.iter().any(chosen) {
        words.extend(["--only", "ring,batch,observer,queue"].map(str::to_owned));
    }
    words.extend(arguments.options.iter().cloned());
    let (rounds, seed) = (arguments.rounds, super::seed(arguments.seed));
    eprintln!("slipring: {rounds} turns each, seed {seed}");
    turns::take(rounds, seed, |round, is_after| {
        if io::stderr().is_terminal() {
            eprint!("\rturn {} of {rounds}", round + 1);
        }
        turns::one(if is_after { &this } else { other }, &words)
    })
}

fn print(lines: &[Line], out: &mut impl Write) -> io::Result<()> {
    let heading = format!(
        "{:<10} {:<12} {:>7} {:>3} {:>5} {:>8} {:<9} {:<6} {:>9} {:>9} {:>6} {:<14} {:>7}",
        "",
        "",
        "size",
        "x",
        "in",
        "rate",
        "cores",
        "figure",
        "before",
        "after",
        "ratio",
        "",
        "samples"
    );
    writeln!(out, "{}", styled(BOLD, &heading))?;
    for line in lines {
        let what = &line.key.what;
        let [before, after] = line.medians();
        let (low, high) = line.interval();
        let rate = match what.rate {
            0 => "-".into(),
            rate => rate.to_string(),
        };
        let figures = match line.verdict {
            Verdict::TooFew => format!("{:>9} {:>9} {:>6} {:<14}", "-", "-", "-", ""),
            _ => format!(
                "{:>9} {:>9} {:>6.3} {:<14}",
                nanos(before),
                nanos(after),
                line.ratio(),
                format!("({low:.3}..{high:.3})")
            ),
        };
        writeln!(
            out,
            "{:<10} {:<12} {:>7} {:>3} {:>5} {rate:>8} {:<9} {:<6} {figures} {:>7} {}",
            what.contender,
            what.workload,
            what.size,
            what.readers,
            what.capacity.map_or("-".into(), power),
            line.key.state,
            line.key.figure,
            format!("{}, {}", line.before.len(), line.after.len()),
            match line.verdict {
                Verdict::TooFew => "too few".into(),
                Verdict::Level => "level".into(),
                Verdict::Better => styled(GREEN, "better"),
                Verdict::Worse => styled(RED, "worse"),
            }
        )?;
    }
    Ok(())
}
