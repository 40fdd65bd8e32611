//! A gateway in tokio: a ring of quotes goes to each TCP client that connects, beside a timer, and ends when the
//! producer closes the ring; pipes as streams; two sides of a link that wait for each other. Run it with
//! `cargo run --release --bin tokio` in this folder.

use slipring::events::Async;
use slipring::link::LinkError;
use slipring::{Consumer, Link, Ring, Start};
use slipring_loops::{Reading, Writing};
use std::error::Error;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

type Outcome<T> = Result<T, Box<dyn Error>>;

const QUOTES: u64 = 20_000;
const CLIENTS: usize = 3;

fn main() -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let tasks = tokio::task::LocalSet::new();
    tasks.block_on(&runtime, async {
        gateway().await?;
        pipes().await?;
        link().await
    })
}

async fn gateway() -> Outcome<()> {
    let ring = Ring::heap()
        .capacity_bytes(64 << 10)
        .max_readers(8)
        .create()?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let mut serving = Vec::new();
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(tokio::task::spawn_local(client(
            TcpStream::connect(address).await?,
        )));
        let (socket, _) = listener.accept().await?;
        let consumer = ring.consumer(Start::Latest)?;
        serving.push(tokio::task::spawn_local(async move {
            serve(consumer, socket)
                .await
                .map_err(|error| error.to_string())
        }));
    }

    // The feed: a process or a thread of its own, which knows nothing of tokio.
    let mut producer = ring.producer()?;
    let feed = std::thread::spawn(move || {
        for quote in 0..QUOTES {
            if quote % 1000 == 0 {
                std::thread::sleep(Duration::from_millis(5)); // a quiet market
            }
            producer.publish(&quote.to_le_bytes())?;
        }
        producer.close();
        Ok::<_, slipring::endpoint::PublishError>(())
    });
    for task in serving {
        println!("a client was sent {} quotes", task.await??);
    }
    for task in clients {
        let received = task.await??;
        assert_eq!(received, QUOTES, "a quote is missing");
    }
    feed.join().map_err(|_| "the feed panicked")??;
    Ok(())
}

/// Sends a client everything from a ring. A quiet ring gets a heartbeat instead, which shows that a wait can be given up
/// at any time: the message that comes a moment later is not lost.
async fn serve(consumer: Consumer, mut socket: TcpStream) -> Outcome<u64> {
    let mut consumer = Async::new(consumer)?;
    let mut sent = 0;
    loop {
        match tokio::time::timeout(Duration::from_micros(500), consumer.receive()).await {
            Ok(Ok(Some(quote))) => {
                let quote = quote.to_vec();
                socket.write_all(&quote).await?;
                sent += 1;
            }
            Ok(Ok(None)) => return Ok(sent),
            Ok(Err(error)) => return Err(error.into()),
            Err(_) => socket.write_all(&u64::MAX.to_le_bytes()).await?,
        }
    }
}

/// Counts quotes, which come in order.
async fn client(mut socket: TcpStream) -> std::io::Result<u64> {
    let (mut next, mut heartbeats) = (0, 0);
    let mut quote = [0; 8];
    while socket.read_exact(&mut quote).await.is_ok() {
        match u64::from_le_bytes(quote) {
            u64::MAX => heartbeats += 1,
            quote => {
                assert_eq!(quote, next, "out of order");
                next += 1;
            }
        }
    }
    println!("a client has {next} quotes, and {heartbeats} heartbeats");
    Ok(next)
}

/// Code that knows only of streams reads and writes pipes.
async fn pipes() -> Outcome<()> {
    let (reader, writer) = slipring::pipe()?;
    let mut reader = Reading(Async::new(reader)?);
    let mut writer = Writing(Async::new(writer)?);
    let copied = tokio::task::spawn_local(async move {
        let mut all = Vec::new();
        reader.read_to_end(&mut all).await.map(|_| all)
    });
    let text: Vec<u8> = (0..3_000_000u32).map(|at| (at % 251) as u8).collect();
    writer.write_all(&text).await?;
    drop(writer);
    assert_eq!(copied.await??, text);
    println!("{} bytes through a pipe", text.len());
    Ok(())
}

/// Two sides of a link, which in a program are in a process each. The first gives up now and then, and the other one comes late.
async fn link() -> Outcome<()> {
    let directory = std::env::temp_dir().join(format!("slipring-loops-{}", std::process::id()));
    std::fs::create_dir(&directory)?;
    let there = directory.clone();
    let engine = tokio::task::spawn_local(async move {
        for tries in 1.. {
            let waits = Link::builder("engine", "gateway").directory(&there);
            let met = Async::new(waits.begin_connect()?)?.finish();
            // Its side is free while it does not wait.
            if let Ok(link) = tokio::time::timeout(Duration::from_millis(20), met).await {
                Async::new(link?)?.send(b"hello").await?;
                return Ok(tries);
            }
        }
        Err(Box::<dyn Error>::from("it waits for ever"))
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let waits = Link::builder("gateway", "engine").directory(&directory);
    let mut link = Async::new(Async::new(waits.begin_connect()?)?.finish().await?)?;
    let greeting = loop {
        match link.receive().await {
            Ok(message) => break message.to_vec(),
            // The engine gave up at the moment at which they met: the next one, on the same side.
            Err(LinkError::PeerGone) => {}
            Err(error) => return Err(error.into()),
        }
        let waits = link.into_inner().begin_reconnect();
        link = Async::new(Async::new(waits)?.finish().await?)?;
    };
    assert_eq!(greeting, b"hello");
    println!("a link was connected at try {}", engine.await??);
    drop(link);
    std::fs::remove_dir_all(&directory)?;
    Ok(())
}
