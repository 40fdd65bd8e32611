//! `slipring shared`: values that several processes change, from a shell.

use crate::child;
use crate::failure::{Failure, FAILED, TIMED_OUT, USAGE};
use crate::text::{self, styled, Target, BOLD};
use crate::value::Text;
use crate::Outcome;
use serde_json::json;
use slipring::{
    shared::{SharedBuilder, SharedError},
    Deadline, Shared,
};
use std::io::{self, Write};
use std::time::Duration;

#[derive(clap::Args)]
#[command(after_help = "\
A value is a text of at most 256 bytes. 'update' runs a command that gets the value on its standard
input, and whose standard output is the new value; until it has ended no other process can change the value.
INT, TERM and HUP are passed on to the command. If the command fails or is killed, the value stays. If 'update'
itself is killed, the value stays too, and the kernel kills the command, but not its own children.

EXAMPLES
  slipring shared create counter
  slipring shared set counter 0
  slipring shared update counter -- awk '{ print $1 + 1 }'   # in as many terminals as you like
  slipring shared get counter
  slipring shared watch counter")]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// Create a value, empty, and print its path
    Create(Create),
    /// Print the value
    Get(Get),
    /// Change the value
    Set(Set),
    /// Change the value by a command, while no other process can
    Update(Update),
    /// Print the value whenever it has changed
    Watch(Watch),
}

#[derive(clap::Args)]
struct Create {
    /// Name of the value, or a path that begins with / or ./
    name: String,
    /// How many processes can have it open at once
    #[arg(long, value_name = "N", default_value_t = 32)]
    handles: u32,
    /// Succeed if the value exists already; settings that differ are reported
    #[arg(long)]
    if_missing: bool,
}

#[derive(clap::Args)]
struct Get {
    /// Name of the value, or a path that begins with / or ./
    name: String,
    /// Print a JSON object, with the version
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct Set {
    /// Name of the value, or a path that begins with / or ./
    name: String,
    /// The new value
    value: String,
    /// Create the value if it does not exist
    #[arg(long)]
    create: bool,
    /// Give up with status 124 when it stays locked for this long
    #[arg(long, value_name = "TIME", value_parser = text::duration)]
    timeout: Option<Duration>,
}

#[derive(clap::Args)]
struct Update {
    /// Name of the value, or a path that begins with / or ./
    name: String,
    /// Give up with status 124 when it stays locked for this long
    #[arg(long, value_name = "TIME", value_parser = text::duration)]
    timeout: Option<Duration>,
    /// The command and its arguments
    #[arg(required = true, last = true)]
    command: Vec<String>,
}

#[derive(clap::Args)]
struct Watch {
    /// Name of the value, or a path that begins with / or ./
    name: String,
    /// Print JSON objects, with the versions
    #[arg(long)]
    json: bool,
    /// End after this many changes
    #[arg(long, short = 'n', value_name = "N")]
    count: Option<u64>,
    /// End with status 124 when nothing changes for this long
    #[arg(long, value_name = "TIME", value_parser = text::duration)]
    timeout: Option<Duration>,
}

pub fn run(arguments: &Arguments) -> Outcome {
    match &arguments.verb {
        Verb::Create(arguments) => create(arguments),
        Verb::Get(arguments) => get(arguments),
        Verb::Set(arguments) => set(arguments),
        Verb::Update(arguments) => update(arguments),
        Verb::Watch(arguments) => watch(arguments),
    }
}

fn builder(name: &str) -> SharedBuilder<Text> {
    match Target::parse(name) {
        Target::Name(name) => Shared::builder(&name),
        Target::Path(path) => Shared::builder(path),
    }
}

fn open(name: &str) -> Result<Shared<Text>, Failure> {
    let shared = match Target::parse(name) {
        Target::Name(name) => Shared::open(&name),
        Target::Path(path) => Shared::open(path),
    };
    shared.map_err(|error| Failure::opening(error, "value", "shared"))
}

fn create(arguments: &Create) -> Outcome {
    let builder = builder(&arguments.name).max_handles(arguments.handles);
    let shared = if arguments.if_missing {
        builder.create_or_open()?
    } else {
        builder.create()?
    };
    text::say_differences(shared.path(), shared.differences());
    println!("{}", shared.path().display());
    Ok(())
}

fn as_text(value: &[u8]) -> Result<Text, Failure> {
    Text::new(value).ok_or_else(|| {
        let len = value.len();
        Failure::new(
            USAGE,
            format!("a value of {len} bytes is too long: use at most 256"),
        )
    })
}

fn deadline(timeout: Option<Duration>) -> Deadline {
    timeout.map_or(Deadline::NEVER, Deadline::after)
}

fn set(arguments: &Set) -> Outcome {
    let value = as_text(arguments.value.as_bytes())?;
    let mut shared = if arguments.create {
        builder(&arguments.name).create_or_open()?
    } else {
        open(&arguments.name)?
    };
    *shared.lock_until(deadline(arguments.timeout))? = value;
    Ok(())
}

fn update(arguments: &Update) -> Outcome {
    let mut shared = open(&arguments.name)?;
    let mut guard = shared.lock_until(deadline(arguments.timeout))?;
    if guard.abandoned() {
        eprintln!(
            "slipring: the last writer died while it held the lock; its change may be missing"
        );
    }
    let input = [guard.bytes(), b"\n"].concat();
    let (ended, printed) = child::filter(&mut child::command(&arguments.command)?, input)?;
    ended.outcome()?;
    let value = printed.strip_suffix(b"\n").unwrap_or(&printed);
    *guard = as_text(value)?;
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
    let (value, version) = open(&arguments.name)?.get()?;
    Ok(print(&value, version, arguments.json)?)
}

fn watch(arguments: &Watch) -> Outcome {
    let mut shared = open(&arguments.name)?;
    let mut left = arguments.count.unwrap_or(u64::MAX);
    let mut last = 0;
    while left > 0 {
        let waited = shared.wait_until(last, deadline(arguments.timeout));
        waited.map_err(|error| match error {
            SharedError::TimedOut => Failure::new(TIMED_OUT, "the value did not change in time"),
            error => error.into(),
        })?;
        let (value, version) = shared.get()?;
        print(&value, version, arguments.json)?;
        last = version;
        left -= 1;
    }
    Ok(())
}

/// What `slipring stat` prints of a shared value.
pub fn show(name: &str, as_json: bool) -> Outcome {
    let ring = slipring::registry::look_at(Target::parse(name).path())?;
    let status = ring.status()?;
    let schema = ring.schema().map_or("-".into(), ToString::to_string);
    let handles = status.readers.iter().filter(|reader| reader.alive).count();
    let mut out = io::stdout().lock();
    if as_json {
        let object = json!({
            "name": name,
            "kind": "shared",
            "path": ring.path().display().to_string(),
            "schema": schema,
            "handles": handles,
        });
        return Ok(writeln!(out, "{object}")?);
    }
    let mut line = |label: &str, value: String| {
        writeln!(out, "{} {value}", styled(BOLD, &format!("{label:<14}")))
    };
    line("shared", ring.path().display().to_string())?;
    line("value", schema)?;
    line("handles", handles.to_string())?;
    Ok(())
}

impl From<SharedError> for Failure {
    fn from(error: SharedError) -> Self {
        let code = match error {
            SharedError::TimedOut => {
                return Self::new(TIMED_OUT, "another process kept the value locked")
            }
            SharedError::Poisoned => crate::failure::INCOMPATIBLE,
            SharedError::Removed => crate::failure::REMOVED,
            _ => FAILED,
        };
        Self::new(code, error)
    }
}
