//! `slipring latest`: newest values from a shell.

use crate::failure::{Failure, FAILED, NOT_FOUND, USAGE};
use crate::text::{self, Target};
use crate::value::Text;
use crate::Outcome;
use serde_json::json;
use slipring::{
    endpoint::AttachError,
    latest::{LatestBuilder, LatestReader},
    Latest,
};
use std::io::{self, Write};
use std::time::{Duration, Instant};

#[derive(clap::Args)]
#[command(after_help = "\
Values are texts of at most 256 bytes. Each has a version: how many times it was set.

EXAMPLES
  slipring latest create config --cells 4
  slipring latest set config 'level=debug'
  slipring latest get config
  slipring latest watch config            # prints each change that it sees
  vmstat 1 | slipring latest set load -   # each line is a new value")]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// Create a table of values and print its path
    Create(Create),
    /// Set a value
    Set(Set),
    /// Print a value
    Get(Get),
    /// Print a value now and after each change; changes of a fast writer may be skipped
    Watch(Watch),
}

#[derive(clap::Args)]
struct Create {
    /// Name of the table, or a path that begins with / or ./
    name: String,
    /// How many values there are
    #[arg(long, value_name = "N", default_value_t = 1)]
    cells: u32,
    /// Permission bits in octal; read permission lets a class of users read
    #[arg(long, value_name = "BITS", default_value = "0600", value_parser = text::mode)]
    mode: u32,
    /// Succeed if the table exists already; settings that differ are reported
    #[arg(long)]
    if_missing: bool,
}

#[derive(clap::Args)]
struct Set {
    /// Name of the table, or a path that begins with / or ./
    name: String,
    /// The value; '-' for each line of standard input
    value: String,
    /// Which value, counted from 0
    #[arg(long, value_name = "N", default_value_t = 0)]
    cell: u32,
    /// Create the table, with one value, if it does not exist
    #[arg(long)]
    create: bool,
}

#[derive(clap::Args)]
struct Get {
    /// Name of the table, or a path that begins with / or ./
    name: String,
    /// Which value, counted from 0
    #[arg(long, value_name = "N", default_value_t = 0)]
    cell: u32,
    /// Print a JSON object, with the version
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct Watch {
    /// Name of the table, or a path that begins with / or ./
    name: String,
    /// Which value, counted from 0
    #[arg(long, value_name = "N", default_value_t = 0)]
    cell: u32,
    /// Print JSON objects, with the version
    #[arg(long)]
    json: bool,
    /// End after this many
    #[arg(long, short = 'n', value_name = "N")]
    count: Option<u64>,
    /// End with status 124 when nothing changes for this long
    #[arg(long, value_name = "TIME", value_parser = text::duration)]
    timeout: Option<Duration>,
}

pub fn run(arguments: &Arguments) -> Outcome {
    match &arguments.verb {
        Verb::Create(arguments) => create(arguments),
        Verb::Set(arguments) => set(arguments),
        Verb::Get(arguments) => get(arguments),
        Verb::Watch(arguments) => watch(arguments),
    }
}

fn builder(name: &str) -> LatestBuilder<Text> {
    match Target::parse(name) {
        Target::Name(name) => Latest::builder(&name),
        Target::Path(path) => Latest::builder(path),
    }
}

fn open(name: &str) -> Result<Latest<Text>, Failure> {
    let latest = match Target::parse(name) {
        Target::Name(name) => Latest::open(&name),
        Target::Path(path) => Latest::open(path),
    };
    latest.map_err(|error| Failure::opening(error, "table of values", "latest"))
}

fn create(arguments: &Create) -> Outcome {
    let builder = builder(&arguments.name)
        .cells(arguments.cells)
        .mode(arguments.mode);
    let latest = if arguments.if_missing {
        builder.create_or_open()?
    } else {
        builder.create()?
    };
    text::say_differences(latest.path(), latest.differences());
    println!("{}", latest.path().display());
    Ok(())
}

fn set(arguments: &Set) -> Outcome {
    let latest = if arguments.create {
        builder(&arguments.name).create_or_open()?
    } else {
        open(&arguments.name)?
    };
    let mut writer = latest.writer().map_err(|error| match error {
        AttachError::Permission { path } => {
            Failure::permission("set values in", &path, "only its owner sets them")
        }
        error => error.into(),
    })?;
    let mut put = |value: &[u8]| -> Outcome {
        let text = Text::new(value).ok_or_else(|| {
            let len = value.len();
            Failure::new(
                USAGE,
                format!("a value of {len} bytes is too long: use at most 256"),
            )
        })?;
        writer.set_at(arguments.cell, &text)?;
        Ok(())
    };
    if arguments.value != "-" {
        return put(arguments.value.as_bytes());
    }
    for line in io::BufRead::split(io::stdin().lock(), b'\n') {
        put(&line?)?;
    }
    Ok(())
}

fn print(value: &Text, version: u64, as_json: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if as_json {
        let text = String::from_utf8_lossy(value.bytes());
        writeln!(out, "{}", json!({ "value": text, "version": version }))?;
    } else {
        out.write_all(value.bytes())?;
        out.write_all(b"\n")?;
    }
    out.flush()
}

fn get(arguments: &Get) -> Outcome {
    let mut reader = open(&arguments.name)?.reader()?;
    match reader.get_at(arguments.cell)? {
        Some((value, version)) => Ok(print(&value, version, arguments.json)?),
        None => Err(Failure::new(
            NOT_FOUND,
            format!(
                "value {} of {} was never set",
                arguments.cell, arguments.name
            ),
        )),
    }
}

fn watch(arguments: &Watch) -> Outcome {
    let mut reader: LatestReader<Text> = open(&arguments.name)?.reader()?;
    let mut left = arguments.count.unwrap_or(u64::MAX);
    let mut last = 0;
    while left > 0 {
        let until = arguments.timeout.map(|timeout| Instant::now() + timeout);
        let deadline = until.map_or(slipring::Deadline::NEVER, Into::into);
        reader.wait_at_until(arguments.cell, last, deadline)?;
        if let Some((value, version)) = reader.get_at(arguments.cell)? {
            print(&value, version, arguments.json)?;
            last = version;
            left -= 1;
        }
    }
    Ok(())
}

/// What `slipring stat` prints of a table.
pub fn show(name: &str, as_json: bool) -> Outcome {
    let ring = slipring::registry::look_at(Target::parse(name).path())?;
    let status = ring.status()?;
    let schema = ring.schema().map_or("-".into(), ToString::to_string);
    let (alive, epoch) = (status.producer_alive, status.epoch.number);
    let readers = status.readers.iter().filter(|reader| reader.alive).count();
    let mut out = io::stdout().lock();
    if as_json {
        let object = json!({
            "name": name,
            "kind": "latest",
            "path": ring.path().display().to_string(),
            "schema": schema,
            "writer_alive": alive,
            "writer_pid": status.producer_pid,
            "writers_so_far": epoch,
            "sleeping_readers": readers,
        });
        return Ok(writeln!(out, "{object}")?);
    }
    let mut line = |label: &str, value: String| {
        writeln!(
            out,
            "{} {value}",
            text::styled(text::BOLD, &format!("{label:<14}"))
        )
    };
    line("latest", ring.path().display().to_string())?;
    line("value", schema)?;
    let writer = match alive {
        Some(true) => format!("process {}", status.producer_pid),
        Some(false) => "none".into(),
        None => "unknown".into(),
    };
    line("writer", format!("{writer}, {epoch} so far"))?;
    line(
        "readers",
        format!("{readers} that may sleep; others are not known"),
    )?;
    Ok(())
}

impl From<slipring::latest::LatestError> for Failure {
    fn from(error: slipring::latest::LatestError) -> Self {
        let code = match error {
            slipring::latest::LatestError::TimedOut => {
                return Self::new(
                    crate::failure::TIMED_OUT,
                    "the value did not change in time",
                )
            }
            slipring::latest::LatestError::NoCell { .. } => USAGE,
            slipring::latest::LatestError::Poisoned => crate::failure::INCOMPATIBLE,
            slipring::latest::LatestError::Removed => crate::failure::REMOVED,
            _ => FAILED,
        };
        Self::new(code, error)
    }
}
