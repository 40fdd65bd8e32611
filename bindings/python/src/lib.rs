//! Python bindings: the module `slipring._slipring`, which the package `slipring` shows.
//!
//! Every class here is a thin shell around a handle of the library. Handles are behind a lock (`slot`), waits happen in
//! slices without the interpreter's lock, and every error becomes an exception of `slipring._errors` with its stable
//! number. What needs numpy or asyncio is written in Python.
#![deny(unsafe_code)]

mod argument;
mod aside;
mod away;
mod batch;
mod connecting;
mod consumer;
mod failure;
mod fifo;
mod fork;
mod forward;
mod latest;
mod lend;
mod lending;
mod link;
mod mailbox;
mod message;
mod observer;
mod pipe;
mod place;
mod producer;
mod queue;
mod ring;
mod semaphore;
mod settings;
mod shared;
mod signals;
mod slot;
mod status;
mod value;
mod waitset;
mod watched;

use pyo3::prelude::*;

/// The compiled part of `slipring`.
#[pymodule(gil_used = false)]
mod _slipring {
    #[pymodule_export]
    use crate::batch::Block;
    #[pymodule_export]
    use crate::connecting::Connecting;
    #[pymodule_export]
    use crate::consumer::Consumer;
    #[pymodule_export]
    use crate::fifo::Fifo;
    #[pymodule_export]
    use crate::fork::_after_fork;
    #[pymodule_export]
    use crate::latest::{Latest, LatestReader, LatestWriter};
    #[pymodule_export]
    use crate::lend::{Claim, Peek};
    #[pymodule_export]
    use crate::link::Link;
    #[pymodule_export]
    use crate::mailbox::{Letter, Mailbox, MailboxClient, MailboxReceiver};
    #[pymodule_export]
    use crate::message::{Gap, Lapped, Message, Missed, Skipped};
    #[pymodule_export]
    use crate::observer::Observer;
    #[pymodule_export]
    use crate::pipe::{duplex, pipe, spawn, PipeReader, PipeWriter};
    #[pymodule_export]
    use crate::producer::Producer;
    #[pymodule_export]
    use crate::queue::{Delivery, Queue, Receiver, Sender};
    #[pymodule_export]
    use crate::ring::Ring;
    #[pymodule_export]
    use crate::semaphore::{Permit, Semaphore};
    #[pymodule_export]
    use crate::shared::{Shared, SharedGuard};
    #[pymodule_export]
    use crate::signals::{Listener, Signals, Target};
    #[pymodule_export]
    use crate::status::{ReaderStatus, RingStatus};
    #[pymodule_export]
    use crate::waitset::WaitSet;
}
