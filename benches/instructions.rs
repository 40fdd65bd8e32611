//! How many instructions each hot operation takes: what noise cannot touch.
//!
//! Each operation runs in a process of its own, one instruction at a time, some dozens of times; what is
//! printed is the mean, less the loop around it. Beside it: locked instructions, full fences, system calls,
//! and readings of the clock, whose own instructions are the kernel's and are not counted. The figures are
//! compared with those in `benches/instructions.txt`, and the run fails if one has grown by more than a
//! fiftieth, or gained a lock, a fence, a call or a reading, and if a claim takes more than a publish, or a
//! typed publish more than one of bytes. What has grown is counted twice more, and the least counts:
//! sometimes an operation makes a check because time has passed, and under the tracer more time passes.
//! `SLIPRING_COUNT=accept` writes the figures down instead; say in the commit why they grew.
//!
//! Counts depend on the compiler, and on which vectors the processor has. With others than those in the
//! file they are shown, not judged.
#![allow(missing_docs, reason = "a program")]

use slipring::Plain;
use slipring::{
    link::LinkOptions,
    queue::{ReceiverOptions, SenderOptions},
    Consumer, ConsumerOptions, Deadline, Latest, Link, Observer, ObserverOptions, Producer,
    ProducerOptions, Queue, ReadPolicy, Ring, Semaphore, Shared, Start, Strategy,
};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::hint::black_box;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, ExitCode};
use testing::tracee::{begin, end, Step, Tracee};

/// The counts of this kind of processor: copies are made of other instructions on each.
fn file() -> std::path::PathBuf {
    let mut kind = "";
    #[cfg(target_arch = "x86_64")]
    if !is_x86_feature_detected!("avx512f") {
        kind = match is_x86_feature_detected!("avx2") {
            true => "-avx2",
            false => "-sse2",
        };
    }
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("benches/instructions{kind}.txt"))
}

/// How often each operation runs before it is counted, and while it is.
const WARM_UP: u64 = 6 * TIMES;
const TIMES: u64 = 48;
/// What is forgiven: a fiftieth, and half an instruction for what comes up once in a while.
const GROWTH: f64 = 1.02;
const SLACK: f64 = 0.5;

const OPERATIONS: &[&str] = &[
    "nothing",
    "publish 32",
    "publish 64",
    "publish 1024",
    "publish 1024, awaited",
    "publish 64, 8 observers attached",
    "publish 64, 1 consumer level",
    "publish 64, 8 consumers level",
    "publish 64, 1 consumer may sleep",
    "publish 64, the same, membarrier",
    "publish 64 in a batch of 1",
    "publish 8 of 64 in a batch",
    "claim and commit 64",
    "publish 64 just written",
    "claim 64, written in place",
    "publish 64 just written, heap",
    "claim 64, written apart, heap",
    "publish 64 just written, stamped",
    "claim 64, written apart, stamped",
    "typed publish 64",
    "consumer receives 64",
    "consumer receives 1024",
    "consumer finds nothing",
    "observer receives 64",
    "observer receives 1024",
    "observer finds nothing",
    "typed receive 64",
    "queue sends 64",
    "queue receives and acknowledges 64",
    "link sends 64",
    "link receives 64",
    "pipe writes 64",
    "pipe reads 64",
    "semaphore takes and gives back",
    "newest value of 64 is set",
    "newest value of 64 is read",
    "shared value of 64 is changed",
];

/// What may never take more than what, within what is forgiven: a message that is claimed, written and committed, and the same one
/// written and then published.
const AT_MOST: &[(&str, &str)] = &[
    ("claim 64, written in place", "publish 64 just written"),
    (
        "claim 64, written apart, stamped",
        "publish 64 just written, stamped",
    ),
    ("typed publish 64", "publish 64"),
];

slipring::message! {
    /// A line.
    pub struct Line {
        /// Its words.
        pub words: [u64; 8],
    }
}

fn main() -> ExitCode {
    if let Some(role) = testing::role() {
        perform(&role);
        return ExitCode::SUCCESS;
    }
    // A list of benchmarks, or a test of them, would need a harness that is not used here.
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let wanted: Vec<&String> = wanted
        .iter()
        .filter(|word| !word.starts_with('-'))
        .collect();
    let chosen =
        |name: &&&str| wanted.is_empty() || wanted.iter().any(|w| name.contains(w.as_str()));
    let circumstances = circumstances();
    let base = count("nothing");
    let mut counts = BTreeMap::new();
    println!(
        "{:<40} {:>12} {:>7} {:>7} {:>7} {:>7}",
        "", "instructions", "locked", "fences", "calls", "clock"
    );
    let accept = std::env::var("SLIPRING_COUNT").as_deref() == Ok("accept");
    let before = match accept {
        true => Some(BTreeMap::new()),
        false => written_down(&circumstances),
    };
    for name in OPERATIONS.iter().skip(1).filter(chosen) {
        if name.contains("membarrier") && slipring::sync::accept_fences().is_err() {
            println!("{name:<40} SKIPPED: membarrier is refused here");
            continue;
        }
        let mut counted = count(name).less(&base);
        let before = before.as_ref().and_then(|before| before.get(*name));
        for _ in 0..2 {
            if before.is_some_and(|before| counted.has_grown_from(before)) {
                counted = counted.least(count(name).less(&base));
            }
        }
        println!("{name:<40} {counted}");
        counts.insert((*name).to_owned(), counted);
    }
    match before {
        _ if accept => {
            write_down(&circumstances, &counts);
            ExitCode::SUCCESS
        }
        Some(before) => judge(&before, &counts),
        None => ExitCode::SUCCESS,
    }
}

// --- Counting.

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Count {
    instructions: f64,
    locked: f64,
    fences: f64,
    calls: f64,
    clock: f64,
}

impl Count {
    /// Per operation, without what is around it.
    fn less(self, base: &Self) -> Self {
        let mean = |here: f64, there: f64| (here - there) / TIMES as f64;
        Self {
            instructions: mean(self.instructions, base.instructions),
            locked: mean(self.locked, base.locked),
            fences: mean(self.fences, base.fences),
            calls: mean(self.calls, base.calls),
            clock: mean(self.clock, base.clock),
        }
    }

    /// The lesser of each figure.
    fn least(self, other: Self) -> Self {
        Self {
            instructions: self.instructions.min(other.instructions),
            locked: self.locked.min(other.locked),
            fences: self.fences.min(other.fences),
            calls: self.calls.min(other.calls),
            clock: self.clock.min(other.clock),
        }
    }

    fn has_grown_from(&self, before: &Self) -> bool {
        self.instructions > before.instructions * GROWTH + SLACK
            || self.locked > before.locked + 0.1
            || self.fences > before.fences + 0.1
            || self.calls > before.calls + 0.1
            || self.clock > before.clock + 0.1
    }
}

impl std::fmt::Display for Count {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:>12.1} {:>7.2} {:>7.2} {:>7.2} {:>7.2}",
            self.instructions, self.locked, self.fences, self.calls, self.clock
        )
    }
}

fn count(name: &str) -> Count {
    let mut peer = Tracee::start(name, &[]);
    let mut count = Count::default();
    let mut reads = false;
    loop {
        let read = std::mem::replace(&mut reads, peer.in_the_kernels_code());
        if reads {
            count.clock += if read { 0.0 } else { 1.0 };
            if peer.step() == Step::End {
                return count;
            }
            continue;
        }
        match kind(peer.instruction()) {
            Kind::Locked => count.locked += 1.0,
            Kind::Fence => count.fences += 1.0,
            Kind::Call => count.calls += 1.0,
            Kind::Other => {}
        }
        if peer.step() == Step::End {
            return count;
        }
        count.instructions += 1.0;
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Locked,
    Fence,
    Call,
    Other,
}

/// What the first bytes of an instruction say (AMD64 Architecture Programmer's Manual, volume 3,
/// chapter 1).
fn kind(bytes: [u8; 16]) -> Kind {
    let mut at = 0;
    while [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf2, 0xf3].contains(&bytes[at])
        && at < 8
    {
        at += 1;
    }
    if bytes[at] == 0xf0 {
        return Kind::Locked;
    }
    if bytes[at] & 0xf0 == 0x40 {
        at += 1;
    }
    match bytes[at..at + 3] {
        // An exchange with memory is locked without saying so.
        [0x86 | 0x87, modrm, _] if modrm < 0xc0 => Kind::Locked,
        [0x0f, 0xae, 0xf0..=0xf7] => Kind::Fence,
        [0x0f, 0x05, _] => Kind::Call,
        _ => Kind::Other,
    }
}

// --- Judging.

/// What the counts depend on.
fn circumstances() -> String {
    let said = Command::new("rustc").arg("--version").output();
    let compiler = said.map_or_else(
        |_| "unknown compiler".into(),
        |said| String::from_utf8_lossy(&said.stdout).trim().to_owned(),
    );
    let mut vectors = String::new();
    #[cfg(target_arch = "x86_64")]
    for (has, name) in [
        (is_x86_feature_detected!("avx"), " avx"),
        (is_x86_feature_detected!("avx2"), " avx2"),
        (is_x86_feature_detected!("avx512f"), " avx512f"),
    ] {
        vectors.push_str(if has { name } else { "" });
    }
    format!("{compiler}, {}{vectors}", std::env::consts::ARCH)
}

fn write_down(circumstances: &str, counts: &BTreeMap<String, Count>) {
    let mut text = format!(
        "# Instructions, locked instructions, full fences, system calls and readings of the clock of each operation.
# {circumstances}
"
    );
    for (name, count) in counts {
        writeln!(text, "{name:<40} {count}").expect("a string takes everything");
    }
    std::fs::write(file(), text).expect("the file can be written");
}

/// The figures to compare with, or `None`, said on the terminal, if they are of another compiler or
/// processor.
fn written_down(circumstances: &str) -> Option<BTreeMap<String, Count>> {
    let file = file();
    let text = std::fs::read_to_string(&file).unwrap_or_default();
    let expected = format!("# {circumstances}");
    if !text.lines().any(|line| line == expected) {
        println!(
            "SKIPPED: the counts in {} are of another compiler or processor than {circumstances}\n",
            file.display()
        );
        return None;
    }
    let line = |line: &str| {
        let (name, figures) = line.split_at_checked(40)?;
        Some((name.trim_end().to_owned(), parse(figures)?))
    };
    Some(text.lines().filter_map(line).collect())
}

fn judge(before: &BTreeMap<String, Count>, counts: &BTreeMap<String, Count>) -> ExitCode {
    let mut grown = 0;
    for (less, more) in AT_MOST {
        let [Some(less_count), Some(more_count)] = [less, more].map(|name| counts.get(*name))
        else {
            continue;
        };
        if less_count.has_grown_from(more_count) {
            println!("{less}: more than {more}\n  {less_count}\n  {more_count}");
            grown += 1;
        }
    }
    for (name, count) in counts {
        let Some(before) = before.get(name) else {
            println!("{name}: not in {}, so not judged", file().display());
            continue;
        };
        if count.has_grown_from(before) {
            println!("{name}: grown\n  was {before}\n  is  {count}");
            grown += 1;
        }
    }
    if grown == 0 {
        println!("\nnothing has grown");
        return ExitCode::SUCCESS;
    }
    println!(
        "\n{grown} have grown; SLIPRING_COUNT=accept cargo bench --bench instructions accepts that"
    );
    ExitCode::FAILURE
}

fn parse(text: &str) -> Option<Count> {
    let mut numbers = text.split_whitespace().map(|word| word.parse().ok());
    Some(Count {
        instructions: numbers.next()??,
        locked: numbers.next()??,
        fences: numbers.next()??,
        calls: numbers.next()??,
        clock: numbers.next().flatten().unwrap_or(0.0),
    })
}

// --- The operations.

/// Keeps the compiler from removing an unused result.
fn use_up<T>(result: T) {
    drop(black_box(result));
}

/// Runs an operation until everything it touches has been touched, and then in view.
fn times(operation: impl FnMut()) {
    times_after(WARM_UP, &mut (), |()| (), operation_on_nothing(operation));
}

fn operation_on_nothing(mut operation: impl FnMut()) -> impl FnMut(&mut ()) {
    move |()| operation()
}

/// As [`times`], with something done every so often that does not count.
#[inline(always)]
fn times_after<T>(
    warm_up: u64,
    state: &mut T,
    prepare: impl Fn(&mut T),
    mut operation: impl FnMut(&mut T),
) {
    // One loop for both, so that the operation is compiled into it.
    for round in 0..warm_up + TIMES {
        if round % TIMES == 0 && round <= warm_up {
            prepare(state);
        }
        if round == warm_up {
            begin();
        }
        operation(state);
    }
    end();
}

/// A ring in a file, which readers map apart from the producer, as in other processes.
fn ring(scratch: &testing::Scratch) -> Ring {
    Ring::builder(scratch.ring())
        .create()
        .expect("room for a ring")
}

fn spinning() -> ProducerOptions {
    ProducerOptions::new().strategy(Strategy::Spin)
}

fn producer(ring: &Ring) -> Producer {
    ring.producer_with(spinning()).expect("the only producer")
}

/// Without the distance that a reader keeps, which reads clocks.
fn at_once() -> ConsumerOptions {
    ConsumerOptions::new()
        .strategy(Strategy::Spin)
        .read_policy(ReadPolicy::AtHead)
}

fn consumer(ring: &Ring) -> Consumer {
    ring.consumer_with(Start::Latest, at_once())
        .expect("a free row")
}

fn observer(ring: &Ring) -> Observer {
    let options = ObserverOptions::new()
        .strategy(Strategy::Spin)
        .read_policy(ReadPolicy::AtHead);
    ring.observer_with(Start::Latest, options).expect("a start")
}

fn perform(operation: &str) {
    match operation {
        "nothing" => times(|| {
            black_box(());
        }),
        publish if publish.contains("publish") || publish.starts_with("claim") => {
            publishing(publish)
        }
        receive if receive.starts_with("consumer") || receive.starts_with("observer") => {
            receiving(receive);
        }
        "typed receive 64" => {
            let ring = Ring::anonymous()
                .schema(Line::schema())
                .create()
                .expect("memory");
            let ring = ring.typed::<Line>().expect("its own type");
            let mut both = (
                ring.producer_with(spinning()).expect("ours"),
                ring.consumer_with(Start::Latest, at_once()).expect("a row"),
            );
            times_after(
                WARM_UP,
                &mut both,
                |(to, _)| (0..TIMES).for_each(|_| use_up(to.publish(&Line { words: [7; 8] }))),
                |(_, from)| {
                    black_box(from.try_receive().expect("it is there").words[0]);
                },
            );
        }
        form => forms(form),
    }
}

fn publishing(operation: &str) {
    let scratch = testing::Scratch::new();
    let ring = ring(&scratch);
    let options = spinning().membarrier(operation.contains("membarrier"));
    let mut to = ring.producer_with(options).expect("the only producer");
    let message = vec![
        7u8;
        if operation.contains("1024") {
            1024
        } else if operation.contains("32") {
            32
        } else {
            64
        }
    ];
    let attached = |n: usize| (0..n).map(|_| consumer(&ring)).collect::<Vec<_>>();
    let mut publish = |_consumers: Vec<Consumer>| {
        // No reader holds it back in so few messages.
        times(|| use_up(to.publish(black_box(&message))));
    };
    match operation {
        "publish 64, 8 observers attached" => {
            let _observers: Vec<Observer> = (0..8).map(|_| observer(&ring)).collect();
            publish(Vec::new());
        }
        "publish 1024, awaited" => {
            let from = consumer(&ring);
            times_after(
                0,
                &mut (&mut to, from),
                |(to, from)| {
                    // So many that the producer has looked several times.
                    for _ in 0..4096 {
                        use_up(to.publish(&message));
                        use_up(from.try_receive());
                    }
                },
                |(to, _)| use_up(to.publish(black_box(&message))),
            );
        }
        "publish 64, 1 consumer level" => publish(attached(1)),
        "publish 64, 8 consumers level" => publish(attached(8)),
        "publish 64, 1 consumer may sleep" | "publish 64, the same, membarrier" => {
            // It does not: it waits for nothing.
            publish(vec![ring.consumer(Start::Oldest).expect("a row")]);
        }
        "publish 64 in a batch of 1" => times(|| {
            let mut batch = to.batch();
            batch.push(black_box(&message)).expect("it fits");
            black_box(batch.commit());
        }),
        "publish 8 of 64 in a batch" => times(|| {
            let mut batch = to.batch();
            for _ in 0..8 {
                batch.push(black_box(&message)).expect("it fits");
            }
            black_box(batch.commit());
        }),
        "claim and commit 64" => times(|| {
            let mut claim = to.claim(64).expect("nobody gates");
            claim.copy_from_slice(black_box(&message));
            black_box(claim.commit());
        }),
        written if written.contains("written") => {
            drop(to);
            let ring = match written.rsplit(", ").next() {
                Some("heap") => Ring::heap().create().expect("memory"),
                Some("stamped") => Ring::anonymous().stamps(true).create().expect("memory"),
                _ => ring,
            };
            writing(producer(&ring), written.starts_with("claim"));
        }
        "typed publish 64" => {
            drop(to);
            let ring = Ring::anonymous()
                .schema(Line::schema())
                .create()
                .expect("memory");
            let mut to = ring
                .typed::<Line>()
                .expect("its own type")
                .producer_with(spinning())
                .expect("ours");
            times(|| use_up(to.publish(black_box(&Line { words: [7; 8] }))));
        }
        _ => publish(Vec::new()),
    }
}

/// A message that is written word by word, and at once, or then, published.
fn writing(mut to: Producer, in_place: bool) {
    fn write(message: &mut [u8]) {
        let number = black_box(7u64).to_le_bytes();
        message
            .chunks_exact_mut(8)
            .for_each(|word| word.copy_from_slice(&number));
    }
    let mut message = [0; 64];
    if in_place {
        times(|| {
            let mut claim = to.claim(64).expect("nobody gates");
            write(black_box(&mut claim[..]));
            black_box(claim.commit());
        });
    } else {
        times(|| {
            write(black_box(&mut message));
            use_up(to.publish(black_box(&message)));
        });
    }
}

fn receiving(operation: &str) {
    let scratch = testing::Scratch::new();
    let ring = ring(&scratch);
    let mut to = producer(&ring);
    let message = vec![7u8; if operation.contains("1024") { 1024 } else { 64 }];
    let fill = |to: &mut Producer| (0..TIMES).for_each(|_| use_up(to.publish(&message)));
    match operation {
        // Without a producer: a handle asks at intervals whether it is alive, which is a call.
        "consumer finds nothing" => {
            let mut from = consumer(&ring);
            to.detach();
            times(|| assert!(black_box(from.try_receive()).is_err()));
        }
        "observer finds nothing" => {
            let mut from = observer(&ring);
            to.detach();
            times(|| assert!(black_box(from.try_receive()).is_err()));
        }
        consumes if consumes.starts_with("consumer") => {
            let mut both = (to, consumer(&ring));
            times_after(
                WARM_UP,
                &mut both,
                |(to, _)| fill(to),
                |(_, from)| {
                    black_box(from.try_receive().expect("it is there")[0]);
                },
            );
        }
        _ => {
            let from = observer(&ring);
            let mut both = (&mut to, from);
            times_after(
                WARM_UP,
                &mut both,
                |(to, _)| fill(to),
                |(_, from)| {
                    use_up(from.try_receive().expect("it is there"));
                },
            );
        }
    }
}

fn forms(operation: &str) {
    let scratch = testing::Scratch::new();
    let at = |name: &str| scratch.0.join(name);
    let message = [7u8; 64];
    match operation {
        "queue sends 64" | "queue receives and acknowledges 64" => {
            let queue = Queue::builder(at("queue")).create().expect("a queue");
            let mut to = queue
                .sender_with(SenderOptions::new().strategy(Strategy::Spin))
                .expect("a lane");
            if operation == "queue sends 64" {
                return times(|| use_up(to.send(black_box(&message))));
            }
            let options = ReceiverOptions::new()
                .strategy(Strategy::Spin)
                .read_policy(ReadPolicy::AtHead);
            let mut both = (to, queue.receiver_with(options).expect("a row"));
            times_after(
                WARM_UP,
                &mut both,
                |(to, _)| (0..TIMES).for_each(|_| use_up(to.send(&message))),
                |(_, from)| {
                    let delivery = from.try_receive().expect("it is there");
                    black_box(delivery[0]);
                    delivery.ack().expect("it is held");
                },
            );
        }
        "link sends 64" | "link receives 64" => link(operation, &scratch.0, &message),
        "pipe writes 64" | "pipe reads 64" => {
            let (reader, mut writer) = slipring::pipe().expect("a pipe");
            if operation == "pipe writes 64" {
                return times(|| use_up(writer.write(black_box(&message))));
            }
            let mut both = (reader, writer);
            times_after(
                WARM_UP,
                &mut both,
                |(_, to)| (0..TIMES).for_each(|_| to.write_all(&message).expect("a reader")),
                |(from, _)| {
                    let mut out = [0; 64];
                    from.read_exact(&mut out).expect("it is there");
                    black_box(out);
                },
            );
        }
        "semaphore takes and gives back" => {
            let semaphore = Semaphore::builder(at("semaphore"))
                .create()
                .expect("a semaphore");
            times(|| use_up(semaphore.acquire()));
        }
        "newest value of 64 is set" | "newest value of 64 is read" => {
            let latest = Latest::<Line>::builder(at("latest"))
                .create()
                .expect("a value");
            let mut writer = latest.writer().expect("ours");
            let mut reader = latest.reader().expect("a reader");
            let line = Line { words: [7; 8] };
            writer.set(&line).expect("ours");
            if operation.ends_with("set") {
                times(|| use_up(writer.set(black_box(&line))));
            } else {
                times(|| use_up(reader.get()));
            }
        }
        "shared value of 64 is changed" => {
            let shared = Shared::<Line>::builder(at("shared"));
            let mut shared = shared.create().expect("a value");
            times(|| {
                let mut value = shared.lock_until(Deadline::NEVER).expect("the lock");
                value.words[0] += 1;
                value.commit().expect("the lock");
            });
        }
        operation => panic!("no operation {operation}"),
    }
}

fn link(operation: &str, directory: &Path, message: &[u8; 64]) {
    let spinning = LinkOptions::new().strategy(Strategy::Spin);
    let side = |me: &str, peer: &str| Link::builder(me, peer).directory(directory);
    let there = side("b", "a");
    let other = std::thread::spawn(move || there.connect_with(spinning).expect("a link"));
    let here = side("a", "b").connect_with(spinning).expect("a link");
    let mut both = (here, other.join().expect("a link"));
    let fill = |link: &mut Link| (0..TIMES).for_each(|_| use_up(link.send(message)));
    let empty = |link: &mut Link| while link.try_receive().is_ok() {};
    if operation == "link sends 64" {
        times_after(
            WARM_UP,
            &mut both,
            |(_, from)| empty(from),
            |(to, _)| {
                use_up(to.send(black_box(message)));
            },
        );
    } else {
        times_after(
            WARM_UP,
            &mut both,
            |(to, _)| fill(to),
            |(_, from)| {
                black_box(from.receive().expect("it is there")[0]);
            },
        );
    }
}
