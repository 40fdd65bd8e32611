//! The end in Rust of the tests of newest and shared values: has types where Python has schemas.
//!
//! `values make` creates `quotes`, `position` and `text` and sets them; `values read` prints what Python has set in `ours` and
//! `turns`.

use slipring::{Latest, Shared};

slipring::message! {
    /// A quote.
    pub struct Quote {
        /// When, in nanoseconds.
        pub time_ns: u64,
        /// What is bid.
        pub bid: f64,
        /// How many, at two levels.
        pub sizes: [i32; 2],
        /// Where.
        pub venue: [u8; 8],
    }
}

slipring::message! {
    /// A position.
    pub struct Position {
        /// How many are held.
        pub long: i64,
    }
}

slipring::message! {
    /// The type of the values of the commands.
    pub struct Text {
        /// How many bytes are used.
        pub len: u64,
        /// The bytes.
        pub bytes: [u8; 256],
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    match std::env::args().nth(1).as_deref() {
        Some("make") => make(),
        Some("read") => read(),
        other => Err(format!("make or read, not {other:?}").into()),
    }
}

fn make() -> Result<(), Box<dyn std::error::Error>> {
    let quotes = Latest::<Quote>::builder("quotes").cells(2).create()?;
    let quote = Quote {
        time_ns: u64::MAX,
        bid: 99.5,
        sizes: [i32::MIN, 7],
        venue: *b"XETRA\0\0\0",
    };
    quotes.writer()?.set_at(1, &quote)?;
    let mut position = Shared::<Position>::builder("position").create()?;
    position.lock()?.long = -7;
    // It says that it is longer than its room.
    let bytes = [b'x'; 256];
    let len = 1 << 63;
    let text = Latest::<Text>::builder("text").create()?;
    text.writer()?.set(&Text { len, bytes })?;
    Ok(())
}

fn read() -> Result<(), Box<dyn std::error::Error>> {
    let got = Latest::<Quote>::open("ours")?.reader()?.get()?;
    if let Some((quote, version)) = got {
        let (time, bid) = (quote.time_ns, quote.bid);
        println!("{time} {bid} {:?} {:?} {version}", quote.sizes, quote.venue);
    }
    let (position, version) = Shared::<Position>::open("turns")?.get()?;
    println!("{} {version}", position.long);
    Ok(())
}
