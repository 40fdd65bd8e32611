//! Any order of events: what a mirror writes is what its source published, or an exact gap of what is gone.

use crate::sim::{name, Faults, World};
use proptest::prelude::*;
use slipring::endpoint::Why;

#[derive(Clone, Debug)]
enum Event {
    Publish(u8),
    Skip(u32),
    TakeOver,
    Close,
    Run(u8),
    Faults(u16, u16, u8),
    Cut(usize, bool),
    Mirror(usize, bool),
    Source(bool),
    Freeze(usize, bool),
    Pace(usize, u8),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => any::<u8>().prop_map(Event::Publish),
        1 => (1..u32::MAX).prop_map(Event::Skip),
        1 => Just(Event::TakeOver),
        1 => Just(Event::Close),
        10 => any::<u8>().prop_map(Event::Run),
        2 => (0..600u16, 0..300u16, 0..40u8).prop_map(|(l, r, d)| Event::Faults(l, r, d)),
        2 => (any::<usize>(), any::<bool>()).prop_map(|(n, on)| Event::Cut(n, on)),
        2 => (any::<usize>(), any::<bool>()).prop_map(|(n, on)| Event::Mirror(n, on)),
        1 => any::<bool>().prop_map(Event::Source),
        1 => (any::<usize>(), any::<bool>()).prop_map(|(n, on)| Event::Freeze(n, on)),
        1 => (any::<usize>(), 0..20u8).prop_map(|(n, p)| Event::Pace(n, p)),
    ]
}

fn happen(world: &mut World, mirrors: usize, event: &Event) {
    let which = |n: usize| 1 + n % mirrors;
    match *event {
        Event::Publish(n) => {
            for _ in 0..n {
                world.publish();
            }
        }
        Event::Skip(by) => {
            world.skip(u64::from(by), Why::Other(by % 3 + 100));
        }
        Event::TakeOver => world.nodes[0].ring.take_over(),
        Event::Close => world.close(),
        Event::Run(ms) => world.run(u64::from(ms)),
        Event::Faults(loss, repeats, delay) => {
            world.faults = Faults {
                loss: u64::from(loss),
                repeats: u64::from(repeats),
                delay: u64::from(delay),
            };
        }
        Event::Cut(n, on) => {
            let link = which(n);
            if on {
                world.cut.insert(link);
            } else {
                world.cut.remove(&link);
            }
        }
        Event::Mirror(n, true) => world.start_mirror(which(n)),
        Event::Mirror(n, false) => world.stop_mirror(which(n)),
        Event::Source(true) => world.start_source(0),
        Event::Source(false) => world.stop_source(0),
        Event::Freeze(n, on) => world.nodes[which(n)].mirror.as_mut().unwrap().frozen = on,
        Event::Pace(n, pace) => {
            world.nodes[which(n)].mirror.as_mut().unwrap().pace = usize::from(pace) * 10;
        }
    }
}

/// Where sequences begin: also where they wrap.
fn base() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(0u64),
        any::<u64>(),
        (0..5000u64).prop_map(|n| u64::MAX - n),
        Just((1 << 62) - 7),
    ]
}

fn world(seed: u64, base: u64, capacity: usize, longest: usize) -> World {
    World::new(seed, base, capacity, longest)
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Three mirrors that the source does not wait for.
    #[test]
    fn a_mirror_has_what_its_source_had_or_an_exact_gap(
        seed in any::<u64>(),
        base in base(),
        capacity in 1..2000usize,
        longest in prop_oneof![Just(0usize), 1..200usize, Just(150_000usize)],
        window in prop_oneof![Just(0u64), 1..100_000u64],
        events in prop::collection::vec(event(), 1..60),
        recreated in prop::option::of(0..60usize),
    ) {
        let mut world = world(seed, base, capacity, longest);
        world.source(0, false, Vec::new(), 0);
        for n in 0..3 {
            world.mirror(0, name(&format!("m{n}")), 1 << 20, window);
        }
        world.run(50);
        for (at, event) in events.iter().enumerate() {
            happen(&mut world, 3, event);
            if recreated == Some(at) {
                world.recreate();
            }
        }
        world.settle();
    }

    /// A named mirror that the source waits for loses nothing, killed or cut off, and does not
    /// depend on the others.
    #[test]
    fn a_mirror_that_is_waited_for_loses_nothing(
        seed in any::<u64>(),
        base in base(),
        capacity in 1..500usize,
        longest in prop_oneof![0..200usize, Just(100_000usize)],
        window in 1..50_000u64,
        events in prop::collection::vec(event(), 1..60),
    ) {
        let mut world = world(seed, base, capacity, longest);
        world.source(0, true, vec![name("m0"), name("m1")], window);
        for n in 0..3 {
            world.mirror(0, name(&format!("m{n}")), 1 << 20, window);
        }
        for event in &events {
            happen(&mut world, 3, event);
        }
        world.settle();
        prop_assert_eq!(world.lost(1) + world.lost(2), 0);
    }

    /// Mirrors of mirrors.
    #[test]
    fn a_chain_keeps_the_account(
        seed in any::<u64>(),
        base in base(),
        capacity in 10..300usize,
        events in prop::collection::vec(event(), 1..60),
    ) {
        let mut world = world(seed, base, capacity, 100);
        world.source(0, false, Vec::new(), 0);
        let mut parent = 0;
        for n in 0..3 {
            parent = world.mirror(parent, name(&format!("m{n}")), capacity, 10_000);
            world.source(parent, false, Vec::new(), 0);
        }
        world.run(500);
        for event in &events {
            happen(&mut world, 3, event);
        }
        world.settle();
    }
}

#[test]
fn a_mirror_that_stands_still_holds_no_other_back() {
    let mut world = World::new(3, 0, 1 << 20, 100);
    world.source(0, true, vec![name("m0")], 20_000);
    for n in 0..3 {
        world.mirror(0, name(&format!("m{n}")), 1 << 20, 10_000);
    }
    world.run(100);
    world.nodes[2].mirror.as_mut().unwrap().frozen = true;
    for _ in 0..200 {
        for _ in 0..100 {
            assert!(world.publish());
        }
        world.run(10);
    }
    world.run(100);
    let next = world.nodes[0].ring.next;
    assert_eq!(world.nodes[1].ring.next, next);
    assert_eq!(world.nodes[3].ring.next, next);
    assert!(world.nodes[2].ring.next < 10);
    world.settle();
    assert_eq!(world.lost(2), 0, "the ring had everything");
}

/// The producer waits, the window is kept, and the other mirrors wait with the named one.
#[test]
fn a_named_mirror_that_stands_still_holds_the_producer_back() {
    let mut world = World::new(5, 9, 10_000, 40);
    world.source(0, true, vec![name("m0")], 5_000);
    world.mirror(0, name("m0"), 1 << 20, 10_000);
    world.run(100);
    world.nodes[1].mirror.as_mut().unwrap().frozen = true;
    let mut published = 0;
    for _ in 0..1000 {
        while world.publish() {
            published += 1;
        }
        world.run(5);
    }
    assert_eq!(published, 10_000, "one capacity");
    let source = world.nodes[0].source.as_ref().unwrap();
    let in_flight = source.machine.as_ref().unwrap().in_flight();
    assert!(
        (5_000..5_000 + (60 << 10)).contains(&in_flight),
        "{in_flight}"
    );
    world.settle();
    assert_eq!(world.lost(1), 0);
}

#[test]
fn of_two_mirrors_of_one_name_the_second_is_refused_as_long_as_the_first_lives() {
    let mut world = World::new(7, 0, 1000, 40);
    world.source(0, true, vec![name("m0")], 5_000);
    world.mirror(0, name("m0"), 1 << 20, 10_000);
    world.run(500);
    world.publish();
    world.run(50);
    let meta = world.meta(0, &name("m0"), 999).unwrap();
    assert!(meta.taken && meta.required);
    // What it says about itself does not count.
    let ack = slipring_mirror::Ack {
        ring: meta.ring,
        name: name("m0"),
        instance: 999,
        next: 1 << 40,
        lost: 0,
    };
    world.nodes[1].mirror.as_mut().unwrap().frozen = true;
    for _ in 0..10 {
        world.publish();
    }
    world.run(300);
    let before = world.nodes[0].ring.gate;
    let source = world.nodes[0].source.as_mut().unwrap();
    source.machine.as_mut().unwrap().ack(&ack);
    world.run(300);
    assert_eq!(world.nodes[0].ring.gate, before);
    // Once the first has been silent for two seconds, its name is free; when it comes back, it is the one that stops.
    world.run(2500);
    assert!(!world.meta(0, &name("m0"), 999).unwrap().taken);
    world.nodes[1].mirror.as_mut().unwrap().frozen = false;
    for _ in 0..40 {
        world.run(100);
        world.meta(0, &name("m0"), 999);
    }
    let stopped = world.nodes[1].mirror.as_ref().unwrap().stopped;
    assert_eq!(stopped, Some(slipring_mirror::mirror::Stop::NameTaken));
}

#[test]
fn a_mirror_that_does_not_follow_stops_with_a_full_account() {
    let mut world = World::new(7, 0, 1000, 40);
    world.source(0, false, Vec::new(), 0);
    let node = world.mirror(0, name("m0"), 1 << 20, 10_000);
    world.nodes[node].mirror.as_mut().unwrap().follows = false;
    world.run(100);
    for _ in 0..500 {
        world.publish();
    }
    world.run(10);
    world.recreate();
    world.run(5000);
    let mirror = world.nodes[node].mirror.as_ref().unwrap();
    let stop = slipring_mirror::mirror::Stop::Recreated {
        ring: world.nodes[0].ring.id,
    };
    assert_eq!(mirror.stopped, Some(stop));
    assert_eq!(world.nodes[node].ring.next, 500);
}
