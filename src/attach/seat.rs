//! Finding a row for a consumer: a fresh one, or the one that holds its durable cursor.
//!
//! Layer 5. The user of a cursor holds two locks: that of its name, which makes it the only user in every
//! row, and that of the row.

use super::attachment::Attachment;
use super::error::AttachError;
use crate::segment::{CursorName, Held, Role};

/// The row a consumer is about to take, and what it must hold for it.
pub(crate) struct Seat {
    pub(crate) row: u32,
    pub(crate) resumes: bool,
    pub(crate) held: Held,
    pub(crate) cursor: Option<Held>,
}

impl Seat {
    pub(crate) fn fresh(ring: &Attachment) -> Result<Self, AttachError> {
        let (row, held) = ring.acquire_row()?;
        Ok(Self {
            row,
            resumes: false,
            held,
            cursor: None,
        })
    }

    /// The row that holds the cursor, or a fresh one.
    pub(crate) fn of_cursor(ring: &Attachment, name: CursorName) -> Result<Self, AttachError> {
        let (cursor, seat) = Self::locate(ring, name)?;
        let seat = seat.map_or_else(|| Self::fresh(ring), Ok)?;
        Ok(Self {
            cursor: Some(cursor),
            ..seat
        })
    }

    /// The row that holds the cursor, if there is one.
    pub(crate) fn of_existing(
        ring: &Attachment,
        name: CursorName,
    ) -> Result<Option<Self>, AttachError> {
        let (cursor, seat) = Self::locate(ring, name)?;
        Ok(seat.map(|seat| Self {
            cursor: Some(cursor),
            ..seat
        }))
    }

    /// Takes the lock of the name, which makes its holder the only user in every row, and then the row.
    fn locate(ring: &Attachment, name: CursorName) -> Result<(Held, Option<Self>), AttachError> {
        let in_use = || AttachError::CursorInUse {
            name: name.to_string(),
            pid: ring
                .row_of_cursor(name)
                .map_or(0, |row| ring.pid_of_row(row)),
        };
        let cursor = ring.acquire(name.role())?.ok_or_else(in_use)?;
        let Some(row) = ring.row_of_cursor(name) else {
            return Ok((cursor, None));
        };
        // A producer that asks whether the last owner is alive holds the row for a moment.
        for _ in 0..ROW_ATTEMPTS {
            if let Some(held) = ring.acquire(Role::Row(row))? {
                let seat = Self {
                    row,
                    resumes: true,
                    held,
                    cursor: None,
                };
                return Ok((cursor, Some(seat)));
            }
            std::thread::yield_now();
        }
        Err(in_use())
    }
}

/// How often to try for the row of a cursor while other processes hold it for a moment.
const ROW_ATTEMPTS: u32 = 1000;
