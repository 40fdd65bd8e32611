//! Any sequence of operations does to a queue what it does to the oracle: the one the property tests
//! use, and their language. Depths and sizes are such that messages fill from half to all of a lane.
#![no_main]

#[path = "../../tests/support/src/oracle/mod.rs"]
mod oracle;

use arbitrary::{Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;
use oracle::queue::{Operation, Subject};

fn operation(input: &mut Unstructured<'_>) -> arbitrary::Result<Operation> {
    Ok(match u8::arbitrary(input)? % 16 {
        0..=4 => Operation::Send {
            slot: u8::arbitrary(input)?,
            shorter: u32::from(u8::arbitrary(input)? / 4),
        },
        5..=6 => Operation::Fill(u8::arbitrary(input)?),
        7..=11 => Operation::Receive {
            receiver: u8::arbitrary(input)?,
            ack: bool::arbitrary(input)?,
        },
        12..=13 => Operation::Drain {
            receiver: u8::arbitrary(input)?,
            count: u8::arbitrary(input)? % 40,
        },
        14 => Operation::ReplaceReceiver(u8::arbitrary(input)?),
        _ => Operation::ReplaceSender(u8::arbitrary(input)?),
    })
}

fuzz_target!(|data: &[u8]| {
    let mut input = Unstructured::new(data);
    let depth = 2 << (u8::arbitrary(&mut input).unwrap_or(0) % 6);
    let longest = u16::arbitrary(&mut input).unwrap_or(0) % 1000 + 4;
    let mut subject = Subject::new(depth, longest.into());
    for _ in 0..300 {
        if input.is_empty() {
            break;
        }
        let Ok(operation) = operation(&mut input) else {
            break;
        };
        subject.apply(&operation);
    }
    subject.finish();
});
