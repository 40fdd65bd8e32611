//! An engine and a gateway that talk over a link; the gateway is killed and restarted, and signals tell it
//! when to stop. Run it with `cargo run --release --example gateway`.

use slipring::{link::LinkError, signals::SignalSet, Link, Signals};
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

const STOP: u32 = 9;
const ORDERS: u64 = 1_000;
const PATIENCE: Duration = Duration::from_secs(30);

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1) {
        Some(directory) => gateway(Path::new(directory)),
        None => engine(),
    }
}

/// Sends each order until it is confirmed, also across deaths of the gateway.
fn engine() -> Outcome {
    let directory = std::env::temp_dir().join(format!("gateway-{}", std::process::id()));
    std::fs::create_dir(&directory)?;
    let control = Signals::builder(directory.join("control")).create()?;
    let start = || {
        Command::new(std::env::current_exe()?)
            .arg(&directory)
            .spawn()
    };
    let mut gateway: Child = start()?;
    let mut link = Link::builder("engine", "gateway")
        .directory(&directory)
        .connect_until(PATIENCE)?;
    let (mut confirmed, mut again) = (0, 0);
    while confirmed < ORDERS {
        if confirmed == ORDERS / 2 && again == 0 {
            gateway.kill()?;
        }
        match order(&mut link, confirmed) {
            Ok(()) => confirmed += 1,
            Err(LinkError::PeerGone) => {
                // The order may or may not have arrived, so a gateway must recognise orders by their
                // number.
                gateway.wait()?;
                gateway = start()?;
                link.reconnect_until(PATIENCE)?;
                again += 1;
            }
            Err(error) => return Err(error.into()),
        }
    }
    println!("{confirmed} orders confirmed, {again} gateway lost on the way");
    control.target("gateway")?.send(STOP)?;
    assert!(gateway.wait()?.success());
    let path = link.path().to_owned();
    drop((link, control));
    slipring::registry::remove_at(path, false)?;
    slipring::registry::remove_at(directory.join("control"), false)?;
    Ok(std::fs::remove_dir(directory)?)
}

fn order(link: &mut Link, number: u64) -> Result<(), LinkError> {
    link.send(&number.to_le_bytes())?;
    let confirmation = link.receive_until(PATIENCE)?;
    assert_eq!(confirmation[..8], number.to_le_bytes());
    Ok(())
}

/// Confirms orders until it is told to stop.
fn gateway(directory: &Path) -> Outcome {
    let control = Signals::open(directory.join("control"))?;
    let mut listener = control.listener("gateway")?;
    let mut link = Link::builder("gateway", "engine")
        .directory(directory)
        .connect_until(PATIENCE)?;
    let stop = SignalSet::of(STOP);
    while listener.try_wait(stop)?.is_none() {
        let order = link.receive_until(Duration::from_millis(5));
        match order.map(|order| order.to_vec()) {
            Ok(order) => {
                link.send(&order)?;
            }
            Err(LinkError::TimedOut) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
