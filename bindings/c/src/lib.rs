//! Slipring for C: opaque handles, a status from each call, and nothing that crosses the boundary but plain memory.
//!
//! Every function of the header is here, one file for each form. They come through [`call`], which turns a panic into a status,
//! and reach a handle through [`handle`], which refuses what is no such handle and what another thread is using. Unsafe by
//! need: each block relies on what the header asks of the caller, and says which part of it.
#![allow(
    non_camel_case_types,
    clippy::missing_safety_doc,
    reason = "names as in the header, whose text says what the caller owes"
)]

mod call;
mod connecting;
mod consumer;
mod descriptor;
mod errors;
mod failure;
mod fifo;
mod given;
mod handle;
mod latest;
mod lent;
mod link;
mod mailbox;
mod mailbox_ends;
mod observer;
mod options;
mod pipe;
mod producer;
mod producer_batch;
mod queue;
mod queue_ends;
mod ring;
mod ring_state;
mod semaphore;
mod shared;
mod signals;
mod status;
mod turn;
mod wait;
