//! A pricing service behind a mailbox: three desks ask, two servers answer, and one of them is killed. Run
//! it with `cargo run --release --example prices`.

use slipring::{mailbox::RequestError, Mailbox};
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

const DESKS: [&str; 3] = ["rates", "options", "credit"];
const QUESTIONS: u64 = 400;
/// A quote that takes longer is of no use.
const FRESH: Duration = Duration::from_secs(2);

type Outcome = Result<(), Box<dyn std::error::Error + Send + Sync>>;

fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1) {
        Some(directory) => serve(Path::new(directory)),
        None => trade(),
    }
}

/// What a desk got for its questions.
#[derive(Default)]
struct Tally {
    quotes: u64,
    gone: u64,
    stale: u64,
}

fn trade() -> Outcome {
    let directory = std::env::temp_dir().join(format!("prices-{}", std::process::id()));
    let service = Mailbox::builder(&directory).create()?;
    let start = || {
        Command::new(std::env::current_exe()?)
            .arg(&directory)
            .spawn()
    };
    let mut servers: Vec<Child> = (0..2).map(|_| start()).collect::<Result<_, _>>()?;
    let mut total = Tally::default();
    std::thread::scope(|scope| -> Outcome {
        let desks = DESKS.map(|name| {
            let service = service.clone();
            scope.spawn(move || desk(&service, name))
        });
        // In the middle of it.
        while desks.iter().any(|desk| !desk.is_finished()) && service.status()?.letters.held == 0 {
            std::thread::yield_now();
        }
        servers[0].kill()?;
        servers[0].wait()?;
        for desk in desks {
            let tally = desk.join().map_err(|_| "a desk panicked")??;
            total.quotes += tally.quotes;
            total.gone += tally.gone;
            total.stale += tally.stale;
        }
        Ok(())
    })?;
    println!(
        "{} quotes, {} questions without an answer, {} answered too late",
        total.quotes, total.gone, total.stale
    );
    assert_eq!(
        total.quotes + total.gone + total.stale,
        DESKS.len() as u64 * QUESTIONS
    );
    servers[1].kill()?;
    servers[1].wait()?;
    drop(service);
    Ok(slipring::registry::remove_at(&directory, false)?)
}

fn desk(service: &Mailbox, name: &str) -> Result<Tally, Box<dyn std::error::Error + Send + Sync>> {
    let mut client = service.client(name)?;
    let mut tally = Tally::default();
    for number in 0..QUESTIONS {
        match client.request_until(&number.to_le_bytes(), FRESH) {
            Ok(quote) => {
                assert_eq!(quote[..8], number.to_le_bytes());
                tally.quotes += 1;
            }
            Err(RequestError::PeerGone) => tally.gone += 1,
            Err(RequestError::TimedOut) => tally.stale += 1,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(tally)
}

/// Answers every question with its number and a price.
fn serve(directory: &Path) -> Outcome {
    let mut questions = Mailbox::open(directory)?.receiver()?;
    loop {
        let letter = questions.receive()?;
        let number = u64::from_le_bytes((*letter).try_into()?);
        let price = 100.0 + (number as f64 * 0.1).sin();
        let quote = [number.to_le_bytes(), price.to_le_bytes()].concat();
        letter.reply(&quote)?;
    }
}
