//! What mirroring costs, for a thousand mirrors: a model of it beside what the simulation counts.
//!
//! Of a source with `n` mirrors, `f` frames of together `m` messages of `b` bytes in `t` seconds, of which a part `p` is
//! lost on each link:
//!
//! | what | how much |
//! |---|---|
//! | bytes that leave the source | `n * (88 f + m * record(b))`, and 88 for each heartbeat to each mirror |
//! | requests | `n f p (1 - p) / (1 - p)^2`: one for each run of lost frames, and again if it or its answer is lost |
//! | acknowledgements | `n t` to a source that does not wait |
//! | questions | `n t / 2` |
//!
//! In a tree each source has only the mirrors directly below it.

use crate::sim::{name, Faults, Traffic, World};
use slipring_mirror::frame::{record_bytes, HEADER};

/// Messages that are published in each millisecond, all of them of this many bytes.
const BURST: u64 = 10;
const BYTES: usize = 40;
const MS: u64 = 250;

fn world() -> World {
    World::new(11, 0, 1 << 20, BYTES)
}

fn publish(world: &mut World, ms: u64) {
    for _ in 0..ms {
        for _ in 0..BURST {
            let sequence = world.nodes[0].ring.next;
            let mut payload = vec![0; BYTES];
            payload[..8].copy_from_slice(&sequence.to_le_bytes());
            assert!(world.nodes[0].ring.publish(payload));
        }
        world.step();
    }
}

/// What a source sends to one mirror: frames of messages, and the bytes of all frames.
fn model(world: &World, node: usize, messages: u64) -> (u64, u64) {
    let source = world.nodes[node].source.as_ref().unwrap();
    let counts = source.machine.as_ref().unwrap().counts();
    let frames = messages / BURST;
    let bytes =
        (frames + counts.heartbeats) * HEADER as u64 + messages * record_bytes(BYTES) as u64;
    (frames, bytes)
}

fn within(found: f64, expected: f64, part: f64) -> bool {
    (found - expected).abs() <= expected * part
}

#[test]
fn a_thousand_mirrors_of_one_source() {
    let mut world = world();
    world.fixed = true;
    world.source(0, false, Vec::new(), 0);
    for n in 0..1000 {
        world.mirror(0, name(&format!("m{n}")), 1 << 20, 1 << 20);
    }
    world.run(50);
    let before = world.total();
    publish(&mut world, MS);
    let rest = 3000 - MS;
    world.run(rest);
    let messages = MS * BURST;
    let (frames, bytes) = model(&world, 0, messages);
    for node in 1..=1000 {
        assert_eq!(world.nodes[node].ring.next, messages);
        assert_eq!(world.traffic[node].delivered_bytes, bytes);
    }
    let counts = world.nodes[0].source.as_ref().unwrap();
    assert_eq!(counts.machine.as_ref().unwrap().counts().frames, frames);
    let after = world.total();
    assert_eq!(after.fetches, 0);
    let acks = (after.acks - before.acks) as f64;
    let asks = (after.asks - before.asks) as f64;
    assert!(within(asks, 1000.0 * 1.5, 0.4), "{asks} questions");
    assert!(within(acks, 1000.0 * 3.0, 0.1), "{acks} acknowledgements");
}

#[test]
fn a_thousand_mirrors_that_lose_one_frame_in_fifty() {
    let mut world = world();
    world.fixed = true;
    world.source(0, false, Vec::new(), 0);
    for n in 0..1000 {
        world.mirror(0, name(&format!("m{n}")), 1 << 20, 1 << 20);
    }
    world.run(50);
    let p = 0.02;
    world.faults = Faults {
        loss: 20,
        ..Faults::default()
    };
    publish(&mut world, MS);
    world.run(2000);
    world.settle();
    let (frames, _) = model(&world, 0, MS * BURST);
    let total = world.total();
    let expected = 1000.0 * frames as f64 * p * (1.0 - p) / (1.0 - p).powi(2);
    // Each is counted where it arrives.
    let fetches = total.fetches as f64;
    assert!(
        within(fetches, expected, 0.25),
        "{fetches} requests, where {expected} were expected"
    );
    // An answer has what was lost and little else: a header for each, and messages that came meanwhile.
    let lost = 1000.0 * frames as f64 * p * (BURST as usize * record_bytes(BYTES)) as f64;
    let answers = total.answer_bytes as f64 - fetches * HEADER as f64;
    assert!(
        within(answers, lost, 0.35),
        "{answers} bytes of answers, where {lost} were lost"
    );
}

#[test]
fn a_tree_of_a_thousand_mirrors() {
    let mut world = world();
    world.fixed = true;
    world.source(0, false, Vec::new(), 0);
    let (wide, deep) = (32, 31);
    let mut relays = Vec::new();
    for n in 0..wide {
        let relay = world.mirror(0, name(&format!("r{n}")), 1 << 20, 1 << 20);
        world.source(relay, false, Vec::new(), 0);
        relays.push(relay);
    }
    world.run(30);
    let mut alone = Vec::new();
    for relay in &relays {
        alone.push(model(&world, *relay, 0).1);
        for n in 0..deep {
            world.mirror(*relay, name(&format!("l{n}")), 1 << 20, 1 << 20);
        }
    }
    world.run(50);
    publish(&mut world, 200);
    world.run(50);
    let messages = 200 * BURST;
    let (_, bytes) = model(&world, 0, messages);
    let mut from_root = 0;
    for (node, traffic) in world.traffic.iter().enumerate().skip(1) {
        assert_eq!(world.nodes[node].ring.next, messages);
        assert_eq!(traffic.fetches, 0);
        if relays.contains(&node) {
            from_root += traffic.delivered_bytes;
        }
    }
    assert_eq!(
        from_root,
        wide as u64 * bytes,
        "the root sends to its children only"
    );
    for (relay, alone) in relays.iter().zip(alone) {
        let (_, bytes) = model(&world, *relay, messages);
        let below = |(node, _): &(usize, &Traffic)| {
            let mirror = world.nodes[*node].mirror.as_ref();
            mirror.is_some_and(|mirror| mirror.parent == *relay)
        };
        let below = world.traffic.iter().enumerate().filter(below);
        let sent: u64 = below.map(|(_, traffic)| traffic.delivered_bytes).sum();
        // Heartbeats of the time before they were there did not reach them.
        assert_eq!(sent, deep as u64 * (bytes - alone));
    }
}
