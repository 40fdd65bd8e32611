//! The state of a ring.

use pyo3::prelude::*;

/// The state of a ring, seen from outside.
#[pyclass(frozen, get_all, module = "slipring")]
pub struct RingStatus {
    /// The sequence of the next message, if it can be told.
    next_sequence: Option<u64>,
    /// The sequence of the oldest message that can be found.
    oldest_sequence: Option<u64>,
    /// How many producers the ring has had.
    epoch: u64,
    /// Whether the producer closed the ring.
    closed: bool,
    /// Whether the producer is alive, if this process may ask.
    producer_alive: Option<bool>,
    /// Its process, as it said.
    producer_pid: u32,
    /// How often consumers were evicted.
    evictions: u64,
    /// The readers that hold a row.
    readers: Vec<Py<ReaderStatus>>,
}

/// The state of a reader that holds a row.
#[pyclass(frozen, get_all, module = "slipring")]
pub struct ReaderStatus {
    /// Its row.
    row: u32,
    /// The name of its durable cursor.
    cursor: Option<String>,
    /// Whether the producer waits for it.
    gating: bool,
    /// Whether it was evicted and has not taken part again.
    evicted: bool,
    /// The sequence of its next message, if it can be told.
    next_sequence: Option<u64>,
    /// How many messages it lost.
    messages_lost: u64,
    /// Whether it is alive.
    alive: bool,
    /// Its process, as it said.
    pid: u32,
}

impl RingStatus {
    /// What the library says.
    pub fn of(py: Python<'_>, status: slipring::endpoint::RingStatus) -> PyResult<Self> {
        let readers = status.readers.into_iter().map(|reader| {
            Py::new(
                py,
                ReaderStatus {
                    row: reader.row,
                    cursor: reader.cursor,
                    gating: reader.gating,
                    evicted: reader.evicted,
                    next_sequence: reader.next_sequence,
                    messages_lost: reader.messages_lost,
                    alive: reader.alive,
                    pid: reader.pid,
                },
            )
        });
        Ok(Self {
            next_sequence: status.next_sequence,
            oldest_sequence: status.oldest_sequence,
            epoch: status.epoch.number,
            closed: status.closed,
            producer_alive: status.producer_alive,
            producer_pid: status.producer_pid,
            evictions: status.evictions,
            readers: readers.collect::<PyResult<_>>()?,
        })
    }
}

#[pymethods]
impl RingStatus {
    fn __repr__(&self) -> String {
        format!(
            "RingStatus(next_sequence={:?}, oldest_sequence={:?}, producer_alive={:?}, readers={})",
            self.next_sequence,
            self.oldest_sequence,
            self.producer_alive,
            self.readers.len()
        )
    }
}

#[pymethods]
impl ReaderStatus {
    fn __repr__(&self) -> String {
        format!(
            "ReaderStatus(row={}, next_sequence={:?}, alive={}, pid={})",
            self.row, self.next_sequence, self.alive, self.pid
        )
    }
}
