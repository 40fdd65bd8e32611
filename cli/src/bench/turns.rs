//! Two builds of the command measured in turns, one round of each at a time in random order, so that what the
//! machine does meanwhile befalls both alike.

use super::figures;
use crate::failure::{Failure, FAILED};
use fastrand::Rng;
use serde_json::Value;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// Turns of each, unless said otherwise: a difference of a tenth is found with these (`compare`).
pub const ROUNDS: usize = 30;

/// Calls the two in turns, in an order drawn from `seed`, and collects what each gives.
pub fn take<T>(
    rounds: usize,
    seed: u64,
    mut run: impl FnMut(usize, bool) -> Result<Vec<T>, Failure>,
) -> Result<[Vec<T>; 2], Failure> {
    let mut rng = Rng::with_seed(seed);
    let mut sides = [Vec::new(), Vec::new()];
    for round in 0..rounds {
        let first = rng.bool();
        for is_after in [first, !first] {
            sides[usize::from(is_after)].extend(run(round, is_after)?);
        }
    }
    Ok(sides)
}

/// One turn of one of the binaries: its samples.
pub fn one(binary: &Path, arguments: &[String]) -> Result<Vec<figures::Taken>, Failure> {
    let named = |what: &dyn std::fmt::Display| {
        Failure::new(FAILED, format!("{}: {what}", binary.display()))
    };
    // Not killed with this process: it ends its round by itself, and then leaves nothing behind.
    let output = Command::new(binary)
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| named(&error))?;
    if let Some(signal) = output.status.signal() {
        return Err(named(&format!("ended by signal {signal}")));
    }
    if !output.status.success() {
        return Err(named(&output.status));
    }
    let report: Value = serde_json::from_slice(&output.stdout).map_err(|error| named(&error))?;
    figures::samples(&report)
        .ok_or_else(|| named(&"what it printed is no result of slipring bench"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_take_turns_in_random_order() {
        let mut calls = Vec::new();
        let sides = take(40, 7, |round, is_after| {
            calls.push((round, is_after));
            Ok(vec![(round, is_after)])
        });
        let [before, after] = sides.unwrap();
        let expected = |is_after| (0..40).map(|n| (n, is_after)).collect::<Vec<_>>();
        assert_eq!((before, after), (expected(false), expected(true)));
        for (round, turn) in calls.chunks(2).enumerate() {
            assert_eq!((turn[0].0, turn[1].0), (round, round));
            assert_ne!(turn[0].1, turn[1].1);
        }
        let first = calls.chunks(2).filter(|turn| turn[0].1).count();
        assert!(
            (10..=30).contains(&first),
            "{first} of 40 began with the second"
        );
    }

    #[test]
    fn a_binary_that_fails_is_named() {
        for (binary, arguments, said) in [
            ("/no/such/binary", &[][..], "/no/such/binary"),
            ("/bin/sh", &["-c", "exit 3"], "exit status: 3"),
            ("/bin/sh", &["-c", "kill -TERM $$"], "signal 15"),
            ("/bin/sh", &["-c", "echo hello"], "/bin/sh"),
            ("/bin/sh", &["-c", "echo {}"], "no result of slipring bench"),
        ] {
            let arguments: Vec<String> = arguments.iter().map(|a| (*a).to_string()).collect();
            let error = one(Path::new(binary), &arguments).unwrap_err();
            assert!(error.text().contains(said), "{error:?}");
        }
    }
}
