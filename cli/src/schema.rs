//! `slipring schema`: what the messages of a ring are made of.

use crate::failure::{Failure, NOT_FOUND};
use crate::text::Target;
use crate::Outcome;
use std::io::Write;

#[derive(clap::Args)]
#[command(after_help = "\
EXAMPLES
  slipring schema quotes               # Quote{time_ns:u64(time),bid:f64}
  slipring schema orders --file > orders.xml")]
pub struct Arguments {
    /// Name of the ring, or a path that begins with / or ./
    name: String,
    /// Write the bytes of the schema file that lies beside the messages (see create --schema-file)
    #[arg(long)]
    file: bool,
}

pub fn run(arguments: &Arguments) -> Outcome {
    let ring = Target::parse(&arguments.name).open()?;
    let none = |what: &str| {
        let path = ring.path().display();
        Failure::new(NOT_FOUND, format!("{path} has no {what}"))
    };
    let mut out = std::io::stdout().lock();
    if arguments.file {
        let schema = ring.opaque_schema()?.ok_or_else(|| none("schema file"))?;
        out.write_all(schema.bytes())?;
    } else {
        let schema = ring.schema().ok_or_else(|| match ring.opaque_schema() {
            Ok(Some(file)) => {
                let (kind, name) = (file.kind(), &arguments.name);
                none(&format!(
                    "schema of its fields, but a schema file of kind {kind}: `slipring schema {name} --file` writes it"
                ))
            }
            _ => none("schema of its fields"),
        })?;
        writeln!(out, "{schema}")?;
    }
    Ok(out.flush()?)
}
