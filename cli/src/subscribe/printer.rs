//! Messages, and what is missing between them, as `sub` prints them.

use crate::render::{self, Format};
use crate::text::count;
use slipring::{endpoint::Gap, schema::Schema};
use std::io::{self, Write};

/// Prints messages. All output is flushed before the reader waits for more.
pub(super) struct Printer {
    schema: Option<Schema>,
    format: Format,
    pending: Vec<u8>,
    /// Whether each message must be out before it is given back.
    at_once: bool,
    pub(super) received: u64,
    pub(super) lost: u64,
    pub(super) skipped: u64,
    /// What a consumer has counted as skipped when it was last asked.
    pub(super) counted: u64,
}

impl Printer {
    pub(super) fn new(schema: Option<Schema>, format: Format, at_once: bool) -> Self {
        Self {
            schema,
            format,
            pending: Vec::new(),
            at_once,
            received: 0,
            lost: 0,
            skipped: 0,
            counted: 0,
        }
    }

    pub(super) fn message(&mut self, sequence: u64, bytes: &[u8]) -> io::Result<()> {
        self.received += 1;
        render::message(
            self.format,
            self.schema.as_ref(),
            sequence,
            bytes,
            &mut self.pending,
        );
        if self.at_once || self.pending.len() >= 64 << 10 {
            self.flush()?;
        }
        Ok(())
    }

    pub(super) fn lapped(&mut self, lost: u64, resumed_at: u64) -> io::Result<()> {
        self.lost += lost;
        eprintln!(
            "slipring: lost {} messages, going on at {resumed_at}",
            count(lost)
        );
        if self.format == Format::Json {
            let object =
                serde_json::json!({ "lapped": { "lost": lost, "resumed_at": resumed_at } });
            writeln!(self.pending, "{object}")?;
        }
        Ok(())
    }

    pub(super) fn evicted(&mut self, missed: u64, resumed_at: u64) -> io::Result<()> {
        self.lost += missed;
        eprintln!(
            "slipring: evicted by the producer; missed {} messages, going on at {resumed_at}",
            count(missed)
        );
        if self.format == Format::Json {
            let object =
                serde_json::json!({ "evicted": { "missed": missed, "resumed_at": resumed_at } });
            writeln!(self.pending, "{object}")?;
        }
        Ok(())
    }

    /// Reports sequences that do not exist: all of them, and the last gap.
    pub(super) fn skipped(&mut self, skipped: u64, gap: Gap) -> io::Result<()> {
        self.skipped = self.skipped.wrapping_add(skipped);
        eprintln!(
            "slipring: {} sequences up to {} do not exist: {}",
            count(skipped),
            gap.end.wrapping_sub(1),
            gap.why
        );
        if self.format == Format::Json {
            let object = serde_json::json!({ "skipped": {
                "skipped": skipped, "resumed_at": gap.end, "why": gap.why.code()
            } });
            writeln!(self.pending, "{object}")?;
        }
        Ok(())
    }

    /// Reports what a consumer has skipped since this was last asked.
    pub(super) fn passed(&mut self, skipped: u64, gap: Option<Gap>) -> io::Result<()> {
        let more = skipped.wrapping_sub(self.counted);
        match gap {
            Some(gap) if more > 0 => {
                self.counted = skipped;
                self.skipped(more, gap)
            }
            _ => Ok(()),
        }
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(&self.pending)?;
        self.pending.clear();
        out.flush()
    }
}
