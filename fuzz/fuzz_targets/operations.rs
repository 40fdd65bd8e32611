//! Any sequence of operations does to a ring what it does to the oracle: the one the property tests
//! use, and their language.
#![no_main]

#[path = "../../tests/support/src/oracle/mod.rs"]
mod oracle;

use arbitrary::{Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;
use oracle::{From, Operation, Subject};

fn from(input: &mut Unstructured<'_>) -> arbitrary::Result<From> {
    Ok(match u8::arbitrary(input)? % 4 {
        0 => From::Latest,
        1 => From::Oldest,
        2 => From::Within(u8::arbitrary(input)?, u64::arbitrary(input)?),
        _ => From::Back(i16::arbitrary(input)? % 64),
    })
}

fn len(input: &mut Unstructured<'_>) -> arbitrary::Result<u32> {
    Ok(u32::from(u16::arbitrary(input)?) % 1028)
}

/// Few, about a multiple of what half a sequence can tell apart, or any number.
fn skipped(input: &mut Unstructured<'_>) -> arbitrary::Result<u64> {
    Ok(match u8::arbitrary(input)? % 4 {
        0 => u64::from(u8::arbitrary(input)?),
        1 | 2 => {
            let times = u64::from(u8::arbitrary(input)?);
            let off = i64::from(i8::arbitrary(input)?);
            (times << 31).wrapping_add_signed(off)
        }
        _ => u64::arbitrary(input)?,
    })
}

fn operation(input: &mut Unstructured<'_>) -> arbitrary::Result<Operation> {
    Ok(match u8::arbitrary(input)? % 19 {
        0..=3 => Operation::Publish(len(input)?),
        4 => {
            let count = u8::arbitrary(input)? % 8;
            let lens = (0..count)
                .map(|_| len(input))
                .collect::<arbitrary::Result<_>>()?;
            let commit = bool::arbitrary(input)?;
            Operation::Batch { lens, commit }
        }
        5 => {
            let len = len(input)?;
            let commit = Option::<u16>::arbitrary(input)?.map(u32::from);
            Operation::Claim { len, commit }
        }
        6 => Operation::Consume(from(input)?),
        7 => Operation::Observe {
            from: from(input)?,
            oldest: bool::arbitrary(input)?,
        },
        8..=10 => Operation::Receive(u8::arbitrary(input)?),
        11 => Operation::ReceiveBatch(u8::arbitrary(input)?, u8::arbitrary(input)? % 20),
        12 => Operation::Look(u8::arbitrary(input)?),
        13 => Operation::Leave(u8::arbitrary(input)?),
        16 => Operation::Durable {
            name: u8::arbitrary(input)?,
            from: from(input)?,
        },
        17 => Operation::Forget(u8::arbitrary(input)?),
        18 => Operation::Skip(skipped(input)?),
        14 => Operation::LookAway(u8::arbitrary(input)?),
        _ => Operation::Takeover {
            close: bool::arbitrary(input)?,
        },
    })
}

fuzz_target!(|data: &[u8]| {
    let mut input = Unstructured::new(data);
    let align = if bool::arbitrary(&mut input).unwrap_or(true) {
        8
    } else {
        64
    };
    let first = u64::arbitrary(&mut input).unwrap_or(0);
    let evicts = bool::arbitrary(&mut input).unwrap_or(false);
    let mut subject = Subject::new(4096, align, first, evicts);
    for _ in 0..400 {
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
