//! The `slipring` command. One file per verb; `failure` turns every error into one line and an exit
//! code, `text` holds what several verbs print and parse.
//!
//! A library only so that the benchmark against other projects, which lives in a workspace of its own,
//! runs exactly the loops of `slipring bench`; nothing here is an interface.

#[doc(hidden)]
pub mod bench;
mod bridge;
mod check;
mod child;
mod clean;
mod create;
mod demo;
mod doctor;
mod failure;
mod fifo;
mod inspect;
mod latest;
mod link;
mod mailbox;
mod pipe;
mod publish;
mod queue;
mod recover;
mod render;
mod schema;
mod semaphore;
mod share;
mod shared;
mod signal;
mod stop;
mod subscribe;
mod text;
mod value;

use clap::{Command, CommandFactory, FromArgMatches, Parser, Subcommand};
use failure::Failure;
use std::process::ExitCode;

/// Shared-memory rings: one producer, many readers, no daemon.
#[derive(Parser)]
#[command(name = "slipring", version, propagate_version = true, after_help = AFTER_HELP)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

const AFTER_HELP: &str = "\
Rings live in $SLIPRING_DIR, or in /dev/shm/slipring-UID. A NAME may also be a path that begins with '/'
or './'. A TIME is a number and a unit, ns, us, ms, s, m or h; one without a unit is in seconds. BYTES are
a number, or one with K, M, G or T, of 1024.

ENVIRONMENT
  SLIPRING_DIR    directory of the rings
  SLIPRING_TRUST  comma-separated ids of users whose rings are opened too; without it only those of
                  this user and of root are opened
  NO_COLOR        no colours

EXIT STATUS
  0  done                              5  no permission
  1  failed for another reason         6  a check failed (demo)
  2  wrong usage                       7  the producer is gone, or no receiver replies
  3  no such ring                      8  the object was removed while it was open
  4  damaged, foreign, or another      9  an object breaks a rule (check)
     version or schema               124  timed out
                                     128  and the number of the signal that ended it:
                                          130 INT (Ctrl-C), 143 TERM, 129 HUP

EXAMPLES
  slipring demo                        see it work, with nothing set up
  slipring create ticks                make a ring
  seq 1000 | slipring pub ticks        publish each line
  slipring sub ticks --from oldest     read them, missing nothing
  slipring stat ticks                  who is attached, how far behind
  slipring queue --help                message queues; also: mailbox, link, fifo,
                                       pipe, latest, shared, sem, signal";

#[derive(Subcommand)]
enum Verb {
    /// Create a ring and print its path
    Create(create::Arguments),
    /// List the rings
    Ls(inspect::LsArguments),
    /// Show one ring: positions, producer, readers
    Stat(inspect::StatArguments),
    /// Print the schema of a ring, or write the schema file beside it
    Schema(schema::Arguments),
    /// Publish what comes in on standard input
    Pub(publish::Arguments),
    /// Print what is published
    Sub(subscribe::Arguments),
    /// Message queues: each message to one of many receivers
    Queue(queue::Arguments),
    /// Mailboxes: letters with senders, and requests with replies
    Mailbox(mailbox::Arguments),
    /// The newest value of one writer
    Latest(latest::Arguments),
    /// Talk to one other process, in both directions
    Link(link::Arguments),
    /// Named pipes: streams of bytes between unrelated processes
    Fifo(fifo::Arguments),
    /// Run a command in a child, with pipes to it and back
    Pipe(pipe::Arguments),
    /// A value that several processes change
    Shared(shared::Arguments),
    /// Semaphores: limit how many processes do something at a time
    Sem(semaphore::Arguments),
    /// Signals to a named listener, or to all
    Signal(signal::Arguments),
    /// Hand an isolated ring to readers that are not trusted
    Share(share::Arguments),
    /// Mirror rings on other hosts (needs slipring-bridge)
    Bridge(bridge::Arguments),
    /// Forget a durable cursor of a ring
    Forget(inspect::ForgetArguments),
    /// Recover a ring that lies on a disk after the machine was started anew
    Recover(recover::Arguments),
    /// Remove a ring
    Rm(inspect::RmArguments),
    /// Check objects against the specification, rule by rule
    Check(check::Arguments),
    /// Check this machine, and show what dead processes left over
    Doctor(doctor::Arguments),
    /// Remove what no live process holds, after showing it
    Clean(clean::Arguments),
    /// Run a small trading pipeline on real market data, as separate processes
    Demo(demo::Arguments),
    /// Measure latency and throughput between two processes, and compare with the kernel's own means
    Bench(Box<bench::Arguments>),
}

/// What the command does.
#[doc(hidden)]
pub fn main() -> ExitCode {
    // With the guard, a truncated ring ends the command with an error instead of a signal.
    let _ = slipring::place::guard_against_truncation();
    stop::heed();
    let matches = unwrapped(Arguments::command()).get_matches();
    let arguments = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let result = match arguments.verb {
        Verb::Create(arguments) => create::run(&arguments),
        Verb::Ls(arguments) => inspect::ls(&arguments),
        Verb::Stat(arguments) => inspect::stat(&arguments),
        Verb::Schema(arguments) => schema::run(&arguments),
        Verb::Pub(arguments) => publish::run(&arguments),
        Verb::Sub(arguments) => subscribe::run(&arguments),
        Verb::Queue(arguments) => queue::run(&arguments),
        Verb::Mailbox(arguments) => mailbox::run(&arguments),
        Verb::Link(arguments) => link::run(&arguments),
        Verb::Fifo(arguments) => fifo::run(&arguments),
        Verb::Pipe(arguments) => pipe::run(&arguments),
        Verb::Latest(arguments) => latest::run(&arguments),
        Verb::Shared(arguments) => shared::run(&arguments),
        Verb::Sem(arguments) => semaphore::run(&arguments),
        Verb::Signal(arguments) => signal::run(&arguments),
        Verb::Share(arguments) => share::run(&arguments),
        Verb::Bridge(arguments) => bridge::run(&arguments),
        Verb::Forget(arguments) => inspect::forget(&arguments),
        Verb::Recover(arguments) => recover::run(&arguments),
        Verb::Rm(arguments) => inspect::rm(&arguments),
        Verb::Check(arguments) => check::run(&arguments),
        Verb::Doctor(arguments) => doctor::run(&arguments),
        Verb::Clean(arguments) => clean::run(&arguments),
        Verb::Demo(arguments) => demo::run(&arguments),
        Verb::Bench(arguments) => bench::run(&arguments, &bench::OURS),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// Joins the lines of each paragraph behind the options, so that clap can wrap them to the width of the
/// terminal. Indented lines, such as examples and tables, stay as they are.
fn unwrapped(command: Command) -> Command {
    let notes = command.get_after_help().map(|notes| {
        let notes = notes.to_string();
        let (mut joined, mut before) = (String::new(), "");
        for (number, line) in notes.lines().enumerate() {
            let prose = |line: &str| !line.is_empty() && !line.starts_with(' ');
            joined += match number {
                0 => "",
                _ if prose(before) && prose(line) => " ",
                _ => "\n",
            };
            joined += line;
            before = line;
        }
        joined
    });
    let command = match notes {
        Some(notes) => command.after_help(notes),
        None => command,
    };
    command.mut_subcommands(unwrapped)
}

/// The result of every verb.
type Outcome = Result<(), Failure>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_described_without_contradiction() {
        unwrapped(Arguments::command()).debug_assert();
    }

    fn every(command: &Command, look: &mut impl FnMut(&Command)) {
        look(command);
        for verb in command.get_subcommands() {
            every(verb, look);
        }
    }

    /// At any width, a line of a note ends only where the next word would not fit.
    #[test]
    fn notes_are_broken_where_the_terminal_ends() {
        let mut ragged = Vec::new();
        for width in 50..120 {
            let command = unwrapped(Arguments::command()).term_width(width);
            every(&command, &mut |verb| {
                let help = verb.clone().term_width(width).render_help().to_string();
                let Some(notes) = verb.get_after_help().map(ToString::to_string) else {
                    return;
                };
                let begin: String = notes.chars().take(20).collect();
                let at = help.find(&begin).unwrap_or(0);
                let lines: Vec<&str> = help[at..].lines().collect();
                for pair in lines.windows(2) {
                    let prose = |line: &str| !line.is_empty() && !line.starts_with(' ');
                    let next = pair[1].split(' ').next().unwrap_or_default();
                    let fits = pair[0].trim_end().len() + 1 + next.len() <= width;
                    if prose(pair[0]) && prose(pair[1]) && fits {
                        ragged.push(format!("{} at {width}: {}", verb.get_name(), pair[0]));
                    }
                }
            });
        }
        assert!(ragged.is_empty(), "{ragged:#?}");
    }

    /// clap drops a full stop at the end of a help text, so no help text may end in the path `.`.
    #[test]
    fn help_says_how_a_path_begins() {
        every(&Arguments::command(), &mut |verb| {
            for argument in verb.get_arguments() {
                let help = argument.get_help().map(ToString::to_string);
                let help = help.unwrap_or_default();
                assert!(!help.ends_with(" or"), "{}: {help}", verb.get_name());
                // An option that takes a time says so. The notes of the command say what a number without a
                // unit means.
                let names = argument.get_value_names().unwrap_or_default();
                if names.iter().any(|name| name.as_str() == "TIME") {
                    let notes = Arguments::command()
                        .get_after_help()
                        .map(ToString::to_string);
                    assert!(notes.unwrap_or_default().contains("without a unit"));
                }
            }
        });
    }

    /// Any words in any order are arguments or a message; never a panic.
    #[test]
    fn any_words_are_arguments_or_a_message() {
        const WORDS: &[&str] = &[
            "create",
            "ls",
            "stat",
            "pub",
            "sub",
            "queue",
            "mailbox",
            "request",
            "serve",
            "sem",
            "shared",
            "update",
            "signal",
            "listen",
            "--as",
            "--to",
            "set",
            "get",
            "watch",
            "--cell",
            "run",
            "--permits",
            "send",
            "receive",
            "share",
            "forget",
            "rm",
            "doctor",
            "clean",
            "check",
            "--brief",
            "demo",
            "bench",
            "help",
            "ticks",
            "/a",
            "./b",
            "a/b",
            "",
            "-",
            "--",
            "--json",
            "--from",
            "oldest",
            "latest",
            "link",
            "fifo",
            "pipe",
            "write",
            "connect",
            "18446744073709551616",
            "-1",
            "--capacity",
            "1T",
            "0",
            "99999999999T",
            "--mode",
            "0777",
            "9",
            "--timeout",
            "1e400",
            "5ms",
            "--via",
            "--cursor",
            "--observe",
            "--format",
            "hex",
            "--schema",
            "a:u8",
            "{",
            "--evict-after",
            "--user",
            "--sizes",
            "8",
            "7",
            "-n",
            "-y",
            "\u{0}",
            "\u{202e}",
            "--=",
            "--count=",
        ];
        let mut state = 88_172_645_463_325_252u64;
        let mut next = |below: usize| {
            // xorshift64 (Marsaglia, 2003)
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % below as u64) as usize
        };
        let (mut good, mut bad) = (0, 0);
        for _ in 0..20_000 {
            let many = next(6);
            let words = (0..many).map(|_| WORDS[next(WORDS.len())]);
            let words: Vec<&str> = std::iter::once("slipring").chain(words).collect();
            match Arguments::try_parse_from(words) {
                Ok(_) => good += 1,
                Err(error) => {
                    assert!(!error.to_string().is_empty());
                    bad += 1;
                }
            }
        }
        assert!(good > 100 && bad > 100, "{good} good, {bad} bad");
    }
}
