//! `slipring ls`, `slipring stat`, `slipring rm`: list, inspect and remove rings.

use crate::failure::Failure;
use crate::text::{self, count, nanos, size, styled, Target, BOLD};
use crate::Outcome;
use serde_json::{json, Value};
use slipring::{
    endpoint::{Latencies, ReaderStatus, RingStatus, StatusError},
    Form, Ring,
};
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

#[derive(clap::Args)]
pub struct LsArguments {
    /// Print a JSON array instead of a table
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
pub struct StatArguments {
    /// Name of the ring, or a path that begins with / or ./
    name: String,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
pub struct ForgetArguments {
    /// Name of the ring, or a path that begins with / or .; with --via, name of the durable cursor
    name: String,
    /// Name of the durable cursor
    #[arg(required_unless_present = "via", conflicts_with = "via")]
    cursor: Option<String>,
    /// Ask the broker at this socket
    #[arg(long, value_name = "SOCKET")]
    via: Option<PathBuf>,
    /// The cursor of this user instead of the caller's; only the broker's user and root may name another
    #[arg(long, value_name = "UID", requires = "via")]
    user: Option<u32>,
}

/// How long a broker may take to answer.
const BROKER_ANSWERS: Duration = Duration::from_secs(5);

#[derive(clap::Args)]
pub struct RmArguments {
    /// Names of rings, or paths that begin with / or ./
    #[arg(required = true)]
    names: Vec<String>,
    /// Remove even while processes are attached; they keep their mapping
    #[arg(long)]
    force: bool,
}

pub fn ls(arguments: &LsArguments) -> Outcome {
    let entries = slipring::registry::list()?;
    text::missing_directory();
    let mut out = std::io::stdout().lock();
    if arguments.json {
        let rings: Vec<Value> = entries
            .iter()
            .map(|entry| {
                let described = match &entry.ring {
                    Ok(ring) => describe(&entry.name, ring).map_err(|error| error.to_string()),
                    Err(error) => Err(error.to_string()),
                };
                described.unwrap_or_else(|error| json!({ "name": entry.name, "error": error }))
            })
            .collect();
        writeln!(out, "{}", Value::Array(rings))?;
        return Ok(());
    }
    let heading = format!(
        "{:<24} {:<9} {:>10} {:>10} {:>14} {:>10} {:>8}  {}",
        "NAME", "KIND", "CAPACITY", "MEMORY", "PUBLISHED", "PRODUCER", "READERS", "SCHEMA"
    );
    writeln!(out, "{}", styled(BOLD, &heading))?;
    for entry in entries {
        let listed = match entry.ring {
            Ok(ring) => ring.status().map(|status| (ring, status)),
            Err(error) => Err(error.into()),
        };
        let (ring, status) = match listed {
            Ok(listed) => listed,
            Err(error) => {
                writeln!(out, "{:<24} {error}", entry.name)?;
                continue;
            }
        };
        let plain = ring.form() == Form::Ring;
        let published = match status.next_sequence {
            _ if !plain => "-".into(),
            None => "?".into(),
            Some(next) => count(next),
        };
        writeln!(
            out,
            "{:<24} {:<9} {:>10} {:>10} {:>14} {:>10} {:>8}  {}",
            entry.name,
            ring.form().name(),
            capacity(&ring),
            size(ring.memory_bytes()),
            published,
            if plain { producer(&status) } else { "-" },
            status.readers.iter().filter(|reader| reader.alive).count(),
            ring.schema().map_or("-", |schema| schema.name()),
        )?;
    }
    Ok(())
}

/// The capacity of those forms whose capacity is one number of bytes.
fn capacity(ring: &Ring) -> String {
    match ring.form() {
        Form::Ring | Form::Pipe | Form::Link => size(ring.capacity_bytes()),
        _ => "-".into(),
    }
}

pub fn stat(arguments: &StatArguments) -> Outcome {
    let target = Target::parse(&arguments.name);
    match target.form()? {
        Form::Queue => return crate::queue::show(&arguments.name, arguments.json),
        Form::Mailbox => return crate::mailbox::show(&arguments.name, arguments.json),
        Form::Pipe => return crate::fifo::show(&arguments.name, arguments.json),
        Form::Link => return crate::link::show(&arguments.name, arguments.json),
        Form::Latest => return crate::latest::show(&arguments.name, arguments.json),
        Form::Shared => return crate::shared::show(&arguments.name, arguments.json),
        Form::Signals => return crate::signal::show(&arguments.name, arguments.json),
        Form::Semaphore => return crate::semaphore::show(&arguments.name, arguments.json),
        _ => {}
    }
    let ring = target.look()?;
    let mut out = std::io::stdout().lock();
    if arguments.json {
        writeln!(out, "{}", describe(&arguments.name, &ring)?)?;
        return Ok(());
    }
    let status = ring.status()?;
    let mut line = |label: &str, value: String| {
        writeln!(out, "{} {value}", styled(BOLD, &format!("{label:<14}")))
    };
    line("ring", ring.path().display().to_string())?;
    if status.other_boot {
        line(
            "another boot",
            "made before this machine was started anew: see slipring recover".into(),
        )?;
    }
    line(
        "capacity",
        format!(
            "{}, messages up to {}, frames on {} bytes",
            size(ring.capacity_bytes()),
            size(u64::from(ring.max_message_bytes())),
            ring.frame_align()
        ),
    )?;
    if !ring.maker().is_empty() {
        line("made by", ring.maker().to_owned())?;
    }
    if let Some(origin) = ring.origin() {
        let host = match &*origin.host {
            "" => String::new(),
            host => format!(" on {host}"),
        };
        line(
            "origin",
            format!("ring {:032x}{host}, epoch {}", origin.id, origin.epoch),
        )?;
    }
    line(
        "schema",
        ring.schema()
            .map_or("none (plain bytes)".into(), |schema| schema.to_string()),
    )?;
    match ring.opaque_schema() {
        Ok(None) => {}
        Ok(Some(schema)) => {
            let bytes = count(schema.bytes().len() as u64);
            let (kind, name) = (schema.kind(), schema.name());
            line("schema file", format!("{kind}, {name:?}, {bytes} bytes"))?;
        }
        Err(error) => line("schema file", format!("cannot be read: {error}"))?,
    }
    if let Some(patience) = ring.evicts_after() {
        line(
            "evicts",
            format!(
                "consumers that hold a publish back for {}",
                nanos(patience.as_nanos() as f64)
            ),
        )?;
    }
    let known = |n: Option<u64>| {
        n.map_or(
            "unknown: the producer overwrote the index while it was read".into(),
            count,
        )
    };
    if ring.stamps() {
        line("stamps", "each message says when it was published".into())?;
    }
    line("next message", known(status.next_sequence))?;
    line("oldest", known(status.oldest_sequence))?;
    line(
        "producer",
        format!(
            "{}, process {}, epoch {} from message {}",
            producer(&status),
            status.producer_pid,
            status.epoch.number,
            count(status.epoch.first_sequence),
        ),
    )?;
    if status.evictions > 0 {
        line(
            "evictions",
            format!(
                "{}, {} of them expulsions",
                count(status.evictions),
                count(status.expulsions)
            ),
        )?;
    }
    line(
        "lost",
        match status.messages_lost {
            None => "unknown: this user may not read the counts".into(),
            Some(0) => "no message by any reader".into(),
            Some(lost) => format!(
                "{} by all readers together{}",
                plural(lost, "message"),
                losses(status.times_lost.unwrap_or(0))
            ),
        },
    )?;
    line(
        "readers",
        format!("{} of {}", status.readers.len(), ring.max_readers()),
    )?;
    for reader in &status.readers {
        // The position of an observer is known only while it waits.
        let place = match (reader.next_sequence, status.next_sequence) {
            (None, _) => "place unknown".to_owned(),
            (Some(at), None) => format!("next {}, ? behind", count(at)),
            (Some(at), Some(next)) => {
                format!(
                    "next {}, {} behind",
                    count(at),
                    count(next.wrapping_sub(at))
                )
            }
        };
        line(
            &format!("  row {}", reader.row),
            format!(
                "{}{} process {}{}: {place}{}{}",
                kind(reader),
                reader
                    .cursor
                    .as_ref()
                    .map_or(String::new(), |cursor| format!(" {cursor},")),
                reader.pid,
                if reader.alive { "" } else { " (gone)" },
                if reader.may_park { ", may sleep" } else { "" },
                match reader.messages_lost {
                    0 => String::new(),
                    lost => format!(
                        ", lost {}{}",
                        plural(lost, "message"),
                        losses(reader.times_lost)
                    ),
                },
            ),
        )?;
        if let Some(latencies) = &reader.latencies {
            line("    latency", took(latencies))?;
        }
    }
    Ok(())
}

/// Latencies, on one line. A percentile is shown only with at least ten messages above it.
fn took(latencies: &Latencies) -> String {
    let count_of = latencies.count();
    let mut text = format!("of {} messages:", count(count_of));
    for percent in PERCENTILES {
        if count_of as f64 * (100.0 - percent) / 100.0 >= 10.0 - 1e-6 {
            if let Some(time) = latencies.percentile(percent) {
                text += &format!(" p{percent} {},", nanos(time.as_nanos() as f64));
            }
        }
    }
    text += &format!(" longest {}", nanos(latencies.longest().as_nanos() as f64));
    if latencies.ahead() > 0 {
        text += &format!("; {} stamps from the future", count(latencies.ahead()));
    }
    text
}

fn plural(number: u64, noun: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{} {noun}{s}", count(number))
}

/// In how many losses messages went.
fn losses(times: u64) -> String {
    match times {
        1 => ", at one time".into(),
        times => format!(", at {} times", count(times)),
    }
}

const PERCENTILES: [f64; 4] = [50.0, 99.0, 99.9, 99.99];

fn kind(reader: &ReaderStatus) -> &'static str {
    match reader {
        ReaderStatus { evicted: true, .. } => "evicted",
        ReaderStatus { gating: true, .. } => "consumer",
        ReaderStatus {
            cursor: Some(_), ..
        } => "cursor",
        _ => "observer",
    }
}

pub fn forget(arguments: &ForgetArguments) -> Outcome {
    let (existed, cursor, place) = match (&arguments.via, &arguments.cursor) {
        (Some(socket), _) => {
            let (name, user) = (&arguments.name, arguments.user);
            let existed = Ring::forget_cursor_via(socket, name, user, BROKER_ANSWERS)?;
            (existed, name, socket.clone())
        }
        (None, cursor) => {
            let ring = Target::parse(&arguments.name).open()?;
            let cursor = cursor.as_ref().unwrap_or(&arguments.name);
            let place = ring.path().to_owned();
            (ring.forget_cursor(cursor)?, cursor, place)
        }
    };
    if existed {
        Ok(())
    } else {
        Err(Failure::new(
            crate::failure::NOT_FOUND,
            format!("no cursor {cursor} in {}", place.display()),
        ))
    }
}

pub fn rm(arguments: &RmArguments) -> Outcome {
    for name in &arguments.names {
        let target = Target::parse(name);
        // Reports what is wrong with the name or the ring before anything is changed.
        if !arguments.force {
            drop(slipring::registry::look_at(target.path())?);
        }
        slipring::registry::remove_at(target.path(), arguments.force).map_err(Failure::from)?;
    }
    Ok(())
}

fn producer(status: &RingStatus) -> &'static str {
    match (status.producer_alive, status.closed, status.epoch.number) {
        (Some(true), _, _) => "alive",
        (_, true, _) => "closed",
        (_, _, 0) => "none yet",
        (Some(false), _, _) if status.abandoned => "gone",
        (Some(false), _, _) => "left",
        (None, _, _) => "unknown",
    }
}

fn measured(latencies: &Latencies) -> Value {
    let buckets = latencies.buckets();
    json!({
        "count": latencies.count(),
        "longest_ns": latencies.longest().as_nanos() as u64,
        "ahead": latencies.ahead(),
        "buckets_ns": buckets.map(|(time, n)| json!([time.as_nanos() as u64, n])).collect::<Vec<_>>(),
    })
}

fn schema_file(ring: &Ring) -> Value {
    match ring.opaque_schema() {
        Ok(None) => Value::Null,
        Ok(Some(schema)) => json!({
            "kind": schema.kind(),
            "name": schema.name(),
            "bytes": schema.bytes().len(),
        }),
        Err(error) => json!({ "error": error.to_string() }),
    }
}

fn describe(name: &str, ring: &Ring) -> Result<Value, StatusError> {
    let status = ring.status()?;
    let readers: Vec<Value> = status
        .readers
        .iter()
        .map(|reader| {
            json!({
                "row": reader.row,
                "kind": kind(reader),
                "cursor": reader.cursor,
                "pid": reader.pid,
                "alive": reader.alive,
                "next_sequence": reader.next_sequence,
                "position": reader.position,
                "may_park": reader.may_park,
                "messages_lost": reader.messages_lost,
                "times_lost": reader.times_lost,
                "latency": reader.latencies.as_ref().map(measured),
            })
        })
        .collect();
    Ok(json!({
        "name": name,
        "kind": ring.form().name(),
        "path": ring.path().display().to_string(),
        "id": format!("{:032x}", ring.id()),
        "created_ns": ring.created_ns(),
        "maker": ring.maker(),
        "origin": ring.origin().map(|origin| json!({
            "id": format!("{:032x}", origin.id),
            "epoch": origin.epoch,
            "host": origin.host,
        })),
        "capacity_bytes": ring.capacity_bytes(),
        "memory_bytes": ring.memory_bytes(),
        "max_message_bytes": ring.max_message_bytes(),
        "frame_align": ring.frame_align(),
        "max_readers": ring.max_readers(),
        "stamps": ring.stamps(),
        "evict_after_ns": ring.evicts_after().map(|time| time.as_nanos() as u64),
        "schema": ring.schema().map(|schema| schema.to_string()),
        "fields": ring.schema().map(slipring_fields::describe),
        "schema_file": schema_file(ring),
        "next_sequence": status.next_sequence,
        "oldest_sequence": status.oldest_sequence,
        "position": status.position,
        "epoch": status.epoch.number,
        "epoch_began_at": status.epoch.first_sequence,
        "producer": producer(&status),
        "producer_pid": status.producer_pid,
        "evictions": status.evictions,
        "expulsions": status.expulsions,
        "messages_lost": status.messages_lost,
        "times_lost": status.times_lost,
        "other_boot": status.other_boot,
        "readers": readers,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_removed_meanwhile_is_shown_as_such() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("ring");
        let ring = Ring::builder(&path).create().unwrap();
        assert_eq!(describe("ring", &ring).unwrap()["epoch"], 0);
        slipring::registry::remove_at(&path, true).unwrap();
        let error = describe("ring", &ring).unwrap_err();
        assert!(matches!(error, StatusError::Removed { .. }), "{error}");
        assert_eq!(Failure::from(error).status(), crate::failure::REMOVED);
    }
}
