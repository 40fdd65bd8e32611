//! A loop of mio's, which goes by edges, over rings and a TCP listener. Run it with
//! `cargo run --release --bin mio` in this folder.

use mio::net::TcpListener;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use slipring::endpoint::TryReceiveError;
use slipring::events::Pollable;
use slipring::{Consumer, Ring, Start};
use std::error::Error;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsRawFd;

const RINGS: usize = 20;
const MESSAGES: u64 = 5000;
/// The token of the listener; those of rings are their numbers.
const LISTENER: Token = Token(RINGS);

fn main() -> Result<(), Box<dyn Error>> {
    let mut poll = Poll::new()?;
    let mut consumers: Vec<Option<Pollable<Consumer>>> = Vec::new();
    let mut feeds = Vec::new();
    for number in 0..RINGS {
        let ring = Ring::heap().capacity_bytes(16 << 10).create()?;
        let consumer = Pollable::new(ring.consumer(Start::Oldest)?)?;
        let descriptor = consumer.as_raw_fd();
        let token = Token(number);
        poll.registry()
            .register(&mut SourceFd(&descriptor), token, Interest::READABLE)?;
        consumers.push(Some(consumer));
        let mut producer = ring.producer()?;
        feeds.push(std::thread::spawn(move || {
            for message in 0..MESSAGES {
                if message % 500 == number as u64 {
                    std::thread::yield_now();
                }
                producer
                    .publish(&message.to_le_bytes())
                    .expect("the consumer reads");
            }
            producer.close();
        }));
    }
    let mut listener = TcpListener::bind("127.0.0.1:0".parse()?)?;
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)?;
    let address = listener.local_addr()?;
    // Asks how far it is, as a client of the loop.
    let client = std::thread::spawn(move || {
        let mut answer = String::new();
        let mut socket = std::net::TcpStream::connect(address)?;
        socket.read_to_string(&mut answer).map(|_| answer)
    });

    let mut events = Events::with_capacity(64);
    let (mut received, mut answered) = ([0; RINGS], false);
    // A descriptor becomes readable only after `arm`, so each consumer is looked at once first.
    for number in 0..RINGS {
        drain(&mut consumers[number], &mut received[number])?;
    }
    while !answered || consumers.iter().any(Option::is_some) {
        poll.poll(&mut events, None)?;
        for event in &events {
            match event.token() {
                LISTENER => match listener.accept() {
                    Ok((mut socket, _)) => {
                        let total: u64 = received.iter().sum();
                        write!(socket, "{total} of {}", RINGS as u64 * MESSAGES)?;
                        answered = true;
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error.into()),
                },
                Token(number) => drain(&mut consumers[number], &mut received[number])?,
            }
        }
    }
    for feed in feeds {
        feed.join().map_err(|_| "a feed panicked")?;
    }
    println!(
        "a client was told: {}",
        client.join().map_err(|_| "the client panicked")??
    );
    assert_eq!(received, [MESSAGES; RINGS], "a message is missing");
    Ok(())
}

/// Takes what is there, until the descriptor is armed or the producer has closed the ring.
fn drain(place: &mut Option<Pollable<Consumer>>, received: &mut u64) -> Result<(), Box<dyn Error>> {
    while let Some(consumer) = place {
        let error = loop {
            match consumer.try_receive() {
                Ok(message) => {
                    assert_eq!(*message, received.to_le_bytes(), "out of order");
                    *received += 1;
                }
                Err(error) => break error,
            }
        };
        match error {
            TryReceiveError::Empty if consumer.arm() => {} // something came meanwhile
            TryReceiveError::Empty => return Ok(()),
            TryReceiveError::Closed => *place = None,
            error => return Err(error.into()),
        }
    }
    Ok(())
}
