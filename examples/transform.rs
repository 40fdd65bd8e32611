//! A child process as a filter: bytes go to it through one pipe and come back through another. Run it with
//! `cargo run --release --example transform`.

use slipring::pipe::{PipeReader, PipeWriter};
use std::io::{self, BufRead, Read, Write};
use std::process::Command;

const PRICES: &str = include_str!("data/sp500.csv");

fn main() -> io::Result<()> {
    if std::env::args().any(|argument| argument == "child") {
        return child();
    }
    let (their_input, mut to_child) = slipring::pipe()?;
    let (mut from_child, their_output) = slipring::pipe()?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("child");
    their_input.hand_to(&mut command, "prices")?;
    their_output.hand_to(&mut command, "averages")?;
    let mut child = command.spawn()?;
    // Dropping the command closes this process's copies of the child's ends.
    drop(command);
    let writing = std::thread::spawn(move || to_child.write_all(PRICES.as_bytes()));
    let mut averages = String::new();
    from_child.read_to_string(&mut averages)?;
    writing.join().expect("a thread that does not panic")?;
    assert!(child.wait()?.success());
    let lines = averages.lines().count();
    println!(
        "{lines} averages, the last one {}",
        averages.lines().last().unwrap_or("-")
    );
    assert_eq!(lines, PRICES.lines().count() - 1);
    Ok(())
}

/// The average of the last twenty closing prices, for each line.
fn child() -> io::Result<()> {
    let prices = PipeReader::inherited("prices")?;
    let mut averages = PipeWriter::inherited("averages")?;
    let mut last = std::collections::VecDeque::new();
    for line in prices.lines().skip(1) {
        let line = line?;
        let close = line.split(',').nth(4).and_then(|field| field.parse().ok());
        last.push_back(close.unwrap_or(f64::NAN));
        if last.len() > 20 {
            last.pop_front();
        }
        let average = last.iter().sum::<f64>() / last.len() as f64;
        averages.write_all(format!("{average:.2}\n").as_bytes())?;
    }
    Ok(())
}
