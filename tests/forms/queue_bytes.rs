//! Queues whose lanes have a bound in bytes beside the depth: full at the first of the two, never before, and what is in
//! a full lane stays whole.

use slipring::{
    place::{CreateError, GeometryError},
    queue::{SendError, TakeError},
    Queue,
};
use std::collections::VecDeque;
use testing::books::Random;
use testing::{check, payload, Scratch, PATIENCE};

pub const SUITE: testing::Suite = testing::suite!(victim; [
    a_bound_is_checked_and_said,
    a_bounded_lane_is_full_at_its_depth_or_at_its_bytes,
    a_bounded_lane_loses_nothing,
    a_sender_waits_for_bytes,
    the_oldest_message_of_a_receiver_is_said,
]);

fn victim(role: &str) {
    panic!("no role {role}");
}

fn a_bound_is_checked_and_said() {
    let scratch = Scratch::new();
    let builder = |depth, longest| {
        let builder = Queue::builder(scratch.0.join("queue")).depth(depth);
        builder.max_message_bytes(longest)
    };
    let max = 1 << 40;
    for (longest, bytes, min) in [
        (16, 0, 4096),
        (16, 2048, 4096),
        (16, 4097, 4096),
        (16, 12288, 4096),
        (16, max * 2, 4096),
        (1016, 2048, 4096),
        (1017, 4096, 8192),
        (64 << 10, 256 << 10, 512 << 10),
        (16, u64::MAX, 4096),
    ] {
        let refused = builder(64, longest).lane_bytes(bytes).create();
        let expected = GeometryError::LaneBytes { bytes, min, max };
        assert!(
            matches!(&refused, Err(CreateError::Geometry(error)) if *error == expected),
            "{bytes}: {refused:?}"
        );
    }
    for (depth, longest, bytes, capacity) in [
        (1024, 64 << 10, 512 << 10, 512 << 10),
        (1024, 1016, 4096, 4096),
        // More than the depth needs.
        (4, 100, 1 << 20, 4096),
        (4, 100, 4096, 4096),
        (65536, 8, max, 2 << 20),
    ] {
        let queue = builder(depth, longest).lane_bytes(bytes).create().unwrap();
        assert_eq!((queue.depth(), queue.max_message_bytes()), (depth, longest));
        assert_eq!(queue.lane_capacity(), capacity);
        queue.sender().unwrap().send(b"x").unwrap();
        let status = Queue::open(queue.path()).unwrap().status().unwrap();
        assert_eq!(status.lane_capacity, capacity);
        assert_eq!(status.lane_bytes, queue.lane_bytes());
        // What is there is what was said.
        let files = ["stream", "control"].map(|name| queue.path().join("lane-0").join(name));
        let there = files.map(|file| file.metadata().unwrap().len());
        assert_eq!(there.iter().sum::<u64>(), status.lane_bytes);
        Queue::remove(queue.path()).unwrap();
    }
    let queue = builder(64, 100).lane_bytes(4096).create().unwrap();
    let found = builder(64, 100).create_or_open().unwrap();
    let told: Vec<String> = found.differences().iter().map(|d| d.to_string()).collect();
    assert_eq!(told, ["bound of a lane: 2^12 bytes, not none"]);
    assert_eq!(queue.lane_capacity(), 4096);
}

fn a_bounded_lane_is_full_at_its_depth_or_at_its_bytes() {
    let mut random = Random::new();
    for _ in 0..20 {
        let scratch = Scratch::new();
        let depth = 2u32 << random.below(7);
        let longest = 8 + random.below(1000) as u32;
        let lane = 4096 << random.below(4);
        let builder = Queue::builder(scratch.0.join("queue")).depth(depth);
        let queue = builder.max_message_bytes(longest).lane_bytes(lane);
        let queue = queue.create().unwrap();
        let capacity = queue.lane_capacity();
        let mut sender = queue.sender().unwrap();
        let mut receiver = queue.receiver().unwrap();
        // At several places of the lane, with messages of each size.
        for round in 0..40 {
            let len = match round % 4 {
                0 => longest as usize,
                1 => 0,
                _ => random.below(u64::from(longest) + 1) as usize,
            };
            let frame = (8 + len as u64).next_multiple_of(8);
            let mut sent = 0;
            let full = loop {
                match sender.try_send(&payload(sent, len)) {
                    Ok(_) => sent += 1,
                    Err(error) => break error,
                }
            };
            assert!(matches!(full, SendError::Full { holder: None }), "{full:?}");
            // A lap ends with up to a message that does not fit, and the word behind it.
            let room = (capacity - frame - 8) / frame;
            let most = u64::from(depth).min(capacity / frame);
            let least = u64::from(depth).min(room.saturating_sub(1)).max(1);
            assert!(
                (least..=most).contains(&sent),
                "{sent} of {len} bytes, {least} to {most}; depth {depth}, {capacity} bytes"
            );
            for number in 0..sent {
                let delivery = receiver.try_receive().unwrap();
                check(&delivery, number);
                delivery.ack().unwrap();
            }
            assert!(matches!(receiver.try_receive(), Err(TakeError::Empty)));
        }
    }
}

/// Messages of any sizes in lanes that are nearly always full, while senders and receivers come and go.
fn a_bounded_lane_loses_nothing() {
    let mut random = Random::new();
    for _ in 0..20 {
        let scratch = Scratch::new();
        let depth = 4u32 << random.below(6);
        let longest = 8 + random.below(1000) as u32;
        let builder = Queue::builder(scratch.0.join("queue")).depth(depth);
        let queue = builder.max_message_bytes(longest).lane_bytes(4096);
        let queue = queue.create().unwrap();
        let mut sender = queue.sender().unwrap();
        let mut receiver = queue.receiver().unwrap();
        let mut there: VecDeque<(u64, usize)> = VecDeque::new();
        let mut next = 0;
        for step in 0..2000 {
            match random.below(20) {
                0 => {
                    drop(sender);
                    sender = queue.sender().unwrap();
                }
                1 => receiver = queue.receiver().unwrap(),
                2 => {
                    // It goes back, and is the next again.
                    if let Some((number, len)) = there.front() {
                        let delivery = receiver.try_receive().unwrap();
                        assert_eq!(delivery.len(), *len);
                        check(&delivery, *number);
                    }
                }
                3..=11 => {
                    let len = random.below(u64::from(longest) + 1) as usize;
                    match sender.try_send(&payload(next, len)) {
                        Ok(_) => {
                            there.push_back((next, len));
                            next += 1;
                        }
                        Err(SendError::Full { holder: None }) => {
                            assert!(!there.is_empty(), "an empty lane has room for any message");
                        }
                        Err(error) => panic!("{error}"),
                    }
                }
                _ => match there.pop_front() {
                    Some((number, len)) => {
                        let delivery = receiver.try_receive().unwrap();
                        assert_eq!(delivery.len(), len);
                        check(&delivery, number);
                        delivery.ack().unwrap();
                    }
                    None => assert!(matches!(receiver.try_receive(), Err(TakeError::Empty))),
                },
            }
            if step % 16 == 0 {
                let status = queue.status().unwrap();
                assert_eq!((status.waiting, status.held), (there.len() as u64, 0));
            }
        }
        assert!(next > 100, "{next} sent");
    }
}

fn a_sender_waits_for_bytes() {
    for longest in [8, 100, 1016] {
        let scratch = Scratch::new();
        let builder = Queue::builder(scratch.0.join("queue")).depth(1024);
        let queue = builder.max_message_bytes(longest).lane_bytes(4096);
        let queue = queue.create().unwrap();
        let len = |number: u64| (number * 37 % (u64::from(longest) + 1)) as usize;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut sender = queue.sender().unwrap();
                for number in 0..3000 {
                    let message = payload(number, len(number));
                    sender.send_until(&message, 0, PATIENCE).unwrap();
                }
            });
            let mut receiver = queue.receiver().unwrap();
            for number in 0..3000 {
                let delivery = receiver.receive_until(PATIENCE).unwrap();
                assert_eq!(delivery.len(), len(number));
                check(&delivery, number);
                delivery.ack().unwrap();
            }
        });
    }
}

fn the_oldest_message_of_a_receiver_is_said() {
    let scratch = Scratch::new();
    let queue = Queue::builder(scratch.0.join("queue")).depth(8);
    let queue = queue.create().unwrap();
    let mut sender = queue.sender().unwrap();
    for number in 0..3 {
        sender.send(&payload(number, 10)).unwrap();
    }
    sender.send_with_priority(b"urgent", 7).unwrap();
    let mut receivers: Vec<_> = (0..4).map(|_| queue.receiver().unwrap()).collect();
    let rows: Vec<u32> = receivers.iter().map(|receiver| receiver.row()).collect();
    let mut held: Vec<_> = receivers
        .iter_mut()
        .take(3)
        .map(|receiver| receiver.try_receive().unwrap())
        .collect();
    let entries = queue.receivers().unwrap();
    let said: Vec<_> = entries
        .iter()
        .map(|at| {
            (
                at.row,
                at.pid,
                at.held,
                at.oldest.map(|of| (of.lane, of.sequence)),
            )
        })
        .collect();
    let pid = std::process::id();
    let expected = [
        (rows[0], pid, 1, Some((held[0].lane(), 0))),
        (rows[1], pid, 1, Some((held[1].lane(), 0))),
        (rows[2], pid, 1, Some((held[1].lane(), 1))),
        (rows[3], pid, 0, None),
    ];
    assert_eq!(said, expected);
    assert_ne!(held[0].lane(), held[1].lane());
    held.pop().unwrap().ack().unwrap();
    let entries = queue.receivers().unwrap();
    assert_eq!((entries[2].held, entries[2].oldest), (0, None));
}
