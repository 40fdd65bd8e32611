//! Handing an end of a pipe to a child process.
//!
//! Layer 7, unsafe by need: descriptors cross `exec` as numbers. A variable of the child's environment says
//! which numbers belong to an end; the child checks the files behind them before it uses them.
#![allow(unsafe_code, reason = "descriptors that come and go as numbers")]

use super::{Duplex, HandError, PipeOptions, PipeReader, PipeWriter};
use crate::attach::Attachment;
use crate::endpoint::{Meeting, PublishError, RingFiles};
use crate::layout::form::Form;
use crate::ring::pact::Side;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Arc;

/// The description of an end in the environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Reader,
    Writer,
    Duplex,
}

impl Kind {
    const ALL: [(Self, &'static str); 3] = [
        (Self::Reader, "reader"),
        (Self::Writer, "writer"),
        (Self::Duplex, "duplex"),
    ];

    fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }
}

fn invalid(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why.into())
}

fn used() -> io::Error {
    invalid("this end of the pipe was used already")
}

fn variable(name: &str) -> io::Result<String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    if !(1..=32).contains(&name.len()) || !name.bytes().all(plain) {
        return Err(invalid(format!(
            "{name:?} cannot be the name of an inherited pipe: use 1 to 32 of A-Z a-z 0-9 _"
        )));
    }
    Ok(format!("SLIPRING_PIPE_{name}"))
}

/// Puts an end into a command's environment, with the descriptors it needs. After an error the end is
/// unchanged.
fn hand(
    command: &mut Command,
    name: &str,
    kind: Kind,
    rings: &[&Attachment],
    meeting: &Meeting,
) -> io::Result<()> {
    if meeting.forked() {
        return Err(io::Error::other(PublishError::Forked));
    }
    let variable = variable(name)?;
    let mut owned = Vec::new();
    for ring in rings {
        let files = ring
            .files()
            .ok_or_else(|| invalid("a named pipe is opened by its name, not handed on"))?;
        for file in [files.stream, files.control, files.lock] {
            owned.push(file.try_clone_to_owned()?);
        }
    }
    // The last thing that can fail.
    let tenure = meeting.hand_on();
    owned.push(tenure.ok_or_else(|| invalid("a named pipe is opened by its name, not handed on"))?);
    let side = match meeting.side() {
        Side::First => 1,
        Side::Second => 2,
    };
    let numbers: Vec<String> = owned.iter().map(|fd| fd.as_raw_fd().to_string()).collect();
    let id = rings.first().map_or(0, |ring| ring.id());
    let value = format!("{}:{side}:{id:032x}:{}", kind.name(), numbers.join(","));
    command.env(variable, value);
    // SAFETY: between fork and exec the closure calls `fcntl` and nothing else, which is
    // async-signal-safe; it reads a vector that was filled before the fork. The descriptors are open:
    // the closure owns them.
    unsafe {
        command.pre_exec(move || {
            for fd in &owned {
                if libc::fcntl(fd.as_raw_fd(), libc::F_SETFD, 0) == -1 {
                    return Err(io::Error::last_os_error());
                }
            }
            Ok(())
        });
    }
    Ok(())
}

/// What an end is made of.
struct Parts {
    rings: Vec<Attachment>,
    meeting: Arc<Meeting>,
}

/// Takes an end that the parent handed over.
fn take(name: &str, kind: Kind) -> io::Result<Parts> {
    let missing = || {
        io::Error::new(
            io::ErrorKind::NotFound,
            format!("no pipe named {name:?} was inherited, or it was taken already"),
        )
    };
    let value = std::env::var(variable(name)?).map_err(|_| missing())?;
    let mut parts = value.split(':');
    let mut next = || parts.next().ok_or_else(missing);
    let found = next()?;
    if found != kind.name() {
        return Err(invalid(format!(
            "the inherited pipe {name:?} is a {found}, not a {}",
            kind.name()
        )));
    }
    let side = match next()? {
        "1" => Side::First,
        "2" => Side::Second,
        _ => return Err(missing()),
    };
    let id = u128::from_str_radix(next()?, 16).map_err(|_| missing())?;
    let numbers: Result<Vec<RawFd>, _> = next()?.split(',').map(str::parse).collect();
    let numbers = numbers.map_err(|_| missing())?;
    let expected = if kind == Kind::Duplex { 7 } else { 4 };
    if numbers.len() != expected || numbers.iter().any(|fd| *fd < 3) {
        return Err(missing());
    }
    // Duplicates first: the numbers are known to be this library's only after the check.
    let mut copies = Vec::new();
    for fd in &numbers {
        // SAFETY: the number is only passed to the kernel, which refuses one that is not open.
        let borrowed = unsafe { BorrowedFd::borrow_raw(*fd) };
        let copy = rustix::io::fcntl_dupfd_cloexec(borrowed, 3).map_err(|_| missing())?;
        copies.push(copy);
    }
    let tenure = copies.pop().ok_or_else(missing)?;
    let mut rings = Vec::new();
    let mut files = copies.into_iter();
    while let (Some(stream), Some(control), Some(lock)) = (files.next(), files.next(), files.next())
    {
        let files = RingFiles {
            stream,
            control,
            lock,
        };
        let ring = Attachment::from_files_of(files, Form::Pipe).map_err(|_| missing())?;
        rings.push(ring);
    }
    if rings.first().map(Attachment::id) != Some(id) {
        return Err(missing());
    }
    for fd in numbers {
        // SAFETY: these descriptors were inherited for this end, as the files behind them, their identity
        // and the environment agree, and no other code has taken them: they were open until now, and taking
        // an end closes them.
        drop(unsafe { OwnedFd::from_raw_fd(fd) });
    }
    let meeting = Arc::new(Meeting::handed_over(
        rings.first().ok_or_else(missing)?,
        side,
        tenure,
    ));
    Ok(Parts { rings, meeting })
}

impl PipeReader {
    /// Hands this end to the child that a command will start, where
    /// [`inherited`](Self::inherited) takes it by the same name.
    ///
    /// The command holds the end until it is dropped, and until then the writer cannot notice the child's
    /// death. Drop the command once the child is started.
    ///
    /// # Errors
    /// The end comes back with each. [`InvalidInput`](io::ErrorKind::InvalidInput): something was read
    /// already, the pipe has a name of its own, or `name` is not made of `A-Z a-z 0-9 _`. The kernel's:
    /// too many descriptors.
    ///
    /// ```no_run
    /// use std::io::Write;
    /// use std::process::Command;
    ///
    /// let (reader, mut writer) = slipring::pipe()?;
    /// let mut command = Command::new("worker");
    /// reader.hand_to(&mut command, "jobs")?;
    /// let mut worker = command.spawn()?;
    /// drop(command);
    /// writer.write_all(b"work")?;
    /// drop(writer);
    /// worker.wait()?;
    /// // In the worker: slipring::pipe::PipeReader::inherited("jobs")?.read_to_string(&mut text)
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn hand_to(self, command: &mut Command, name: &str) -> Result<(), HandError<Self>> {
        let handed = if self.is_fresh() {
            hand(command, name, Kind::Reader, &[&self.ring], &self.meeting)
        } else {
            Err(used())
        };
        handed.map_err(|error| HandError::new(error, self))
    }

    /// Takes the end that the parent process handed over under this name.
    ///
    /// # Errors
    /// [`NotFound`](io::ErrorKind::NotFound) if there is none, or it was taken.
    pub fn inherited(name: &str) -> io::Result<Self> {
        Self::inherited_with(name, PipeOptions::default())
    }

    /// Like [`inherited`](Self::inherited), with options.
    ///
    /// # Errors
    /// As [`inherited`](Self::inherited).
    pub fn inherited_with(name: &str, options: PipeOptions) -> io::Result<Self> {
        let Parts { mut rings, meeting } = take(name, Kind::Reader)?;
        Ok(Self::new(rings.remove(0), meeting, None, options))
    }
}

impl PipeWriter {
    /// Hands this end to the child that a command will start; as
    /// [`PipeReader::hand_to`](crate::pipe::PipeReader::hand_to).
    ///
    /// # Errors
    /// As [`PipeReader::hand_to`](crate::pipe::PipeReader::hand_to).
    pub fn hand_to(self, command: &mut Command, name: &str) -> Result<(), HandError<Self>> {
        let handed = if self.is_fresh() {
            hand(command, name, Kind::Writer, &[&self.ring], &self.meeting)
        } else {
            Err(used())
        };
        handed.map_err(|error| HandError::new(error, self))
    }

    /// Takes the end that the parent process handed over under this name.
    ///
    /// # Errors
    /// As [`PipeReader::inherited`](crate::pipe::PipeReader::inherited).
    pub fn inherited(name: &str) -> io::Result<Self> {
        Self::inherited_with(name, PipeOptions::default())
    }

    /// Like [`inherited`](Self::inherited), with options.
    ///
    /// # Errors
    /// As [`inherited`](Self::inherited).
    pub fn inherited_with(name: &str, options: PipeOptions) -> io::Result<Self> {
        let Parts { mut rings, meeting } = take(name, Kind::Writer)?;
        Ok(Self::new(rings.remove(0), meeting, None, options))
    }
}

impl Duplex {
    /// Hands this end to the child that a command will start; as
    /// [`PipeReader::hand_to`](crate::pipe::PipeReader::hand_to).
    ///
    /// # Errors
    /// As [`PipeReader::hand_to`](crate::pipe::PipeReader::hand_to).
    pub fn hand_to(self, command: &mut Command, name: &str) -> Result<(), HandError<Self>> {
        let Self { reader, writer } = &self;
        // The ring with the pact first.
        let rings = match writer.meeting.side() {
            Side::First => [&writer.ring, &reader.ring],
            Side::Second => [&reader.ring, &writer.ring],
        };
        let handed = if reader.is_fresh() && writer.is_fresh() {
            hand(command, name, Kind::Duplex, &rings, &writer.meeting)
        } else {
            Err(used())
        };
        handed.map_err(|error| HandError::new(error, self))
    }

    /// Takes the end that the parent process handed over under this name.
    ///
    /// # Errors
    /// As [`PipeReader::inherited`](crate::pipe::PipeReader::inherited).
    pub fn inherited(name: &str) -> io::Result<Self> {
        Self::inherited_with(name, PipeOptions::default())
    }

    /// Like [`inherited`](Self::inherited), with options.
    ///
    /// # Errors
    /// As [`inherited`](Self::inherited).
    pub fn inherited_with(name: &str, options: PipeOptions) -> io::Result<Self> {
        let Parts { mut rings, meeting } = take(name, Kind::Duplex)?;
        let (back, forth) = (rings.remove(1), rings.remove(0));
        let (out, back) = match meeting.side() {
            Side::First => (forth, back),
            Side::Second => (back, forth),
        };
        Ok(Self {
            reader: PipeReader::new(back, meeting.clone(), None, options),
            writer: PipeWriter::new(out, meeting, None, options),
        })
    }
}
