//! `slipring recover`.

use crate::text::{count, Target};
use crate::Outcome;
use serde_json::json;
use std::io::Write;

#[derive(clap::Args)]
#[command(after_help = "\
A ring on a disk outlives a crash of the machine, but its pages reach the disk in any order. So a ring that
was made before the machine was started anew is refused (status 4) until it is recovered: a ring with the
newest messages, at most half a ring of them, takes its place. They are whole unless the producer had
written half a ring or more that did not reach the disk. The new ring has another identity, and its origin is
the old one. Only rings can be recovered. A ring that needs nothing is left as it is.

EXAMPLES
  slipring recover /var/lib/feed/ticks")]
pub struct Arguments {
    /// Name of the ring, or a path that begins with / or ./
    name: String,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> Outcome {
    let path = Target::parse(&arguments.name).path();
    let recovered = slipring::registry::recover(&path)?;
    let mut out = std::io::stdout().lock();
    if arguments.json {
        let found = recovered.map(|found| {
            json!({
                "first_sequence": found.first_sequence,
                "next_sequence": found.next_sequence,
                "messages": found.messages,
                "given_up": found.given_up,
                "cursors": found.cursors,
                "schema_lost": found.schema_lost,
                "boot": format!("{:032x}", found.boot),
            })
        });
        let path = path.display().to_string();
        writeln!(out, "{}", json!({ "path": path, "recovered": found }))?;
        return Ok(());
    }
    let Some(found) = recovered else {
        writeln!(
            out,
            "{}: made in this boot, nothing to recover",
            path.display()
        )?;
        return Ok(());
    };
    let kept = match found.messages {
        0 => "no message can be read".to_owned(),
        kept => format!(
            "{} messages can be read, from {} on",
            count(kept),
            count(found.first_sequence)
        ),
    };
    writeln!(
        out,
        "{}: recovered; {kept}; {} given up; {} durable cursors; the next message is {}",
        path.display(),
        count(found.given_up),
        count(found.cursors.into()),
        count(found.next_sequence)
    )?;
    if found.schema_lost {
        writeln!(
            out,
            "its opaque schema was missing or torn: the ring has none now, and readers are to get it by other means"
        )?;
    }
    Ok(())
}
