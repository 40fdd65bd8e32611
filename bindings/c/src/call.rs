//! The way into every function: nothing unwinds into the caller.

use crate::failure::Failure;
use crate::status::{slipring_status, SLIPRING_E_PANIC, SLIPRING_OK};
use std::panic::{catch_unwind, AssertUnwindSafe};

/// Runs the body of a call and makes a status of how it ended.
#[inline(always)]
pub fn call(body: impl FnOnce() -> Result<(), Failure>) -> slipring_status {
    // After a panic a handle may be in any state, as the status says, but its memory is sound: the library upholds that
    // for whatever unwinds.
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => SLIPRING_OK,
        Ok(Err(failure)) => failed(failure),
        Err(panic) => panicked(&*panic),
    }
}

#[cold]
fn failed(failure: Failure) -> slipring_status {
    failure.keep()
}

#[cold]
fn panicked(panic: &(dyn std::any::Any + Send)) -> slipring_status {
    let said = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("without words");
    Failure::text(
        SLIPRING_E_PANIC,
        format!("a fault of the library, which it caught: {said}; close the handle"),
    )
    .keep()
}
