//! The pages of the documentation that are about no single module.
//!
//! Each is a file of the repository. Its links lead to other files there, and here to the module of the page that they
//! mean: `docs/rustdoc-links.md` defines them first, and the first definition of a link counts.

macro_rules! pages {
    ($($name:ident: $title:literal, $file:literal;)*) => {$(
        #[doc = $title]
        #[doc = ""]
        #[doc = include_str!("../docs/rustdoc-links.md")]
        #[doc = include_str!($file)]
        pub mod $name {}
    )*};
}

pages! {
    bridge: "Rings on other hosts.", "../docs/guide/bridge.md";
    choosing: "Which form.", "../docs/guide/choosing.md";
    consumer: "Consumers of a ring.", "../docs/guide/consumer.md";
    observer: "Observers of a ring.", "../docs/guide/observer.md";
    operations: "Running it.", "../docs/guide/operations.md";
    producer: "The producer of a ring.", "../docs/guide/producer.md";
    python: "From Python.", "../docs/guide/python.md";
    settings: "Settings for latency, for throughput, and for readers that are not trusted.", "../docs/guide/settings.md";
    c: "The library for C and C++.", "../docs/guide/c.md";
    events: "Handles in event loops.", "../docs/guide/events.md";
    waiting: "How handles wait.", "../docs/guide/waiting.md";
    adaptive_reading: "How readers choose where to read.", "../docs/internals/adaptive-reading.md";
    architecture: "How the parts fit.", "../docs/internals/architecture.md";
    glossary: "The terms.", "../docs/internals/glossary.md";
    testing: "How it is tested.", "../docs/internals/testing.md";
    history: "What was measured and tried before.", "../docs/measurements/history.md";
    method: "How it is measured.", "../docs/measurements/method.md";
    performance: "How fast it is.", "../docs/measurements/performance.md";
    results: "Results by date and processor.", "../docs/measurements/results.md";
    check: "Checking an object against the specification.", "../docs/reference/check.md";
    command: "The command-line tool.", "../docs/reference/command.md";
    errors: "Every error, with its number.", "../docs/reference/errors.md";
    fault_model: "What happens on each fault.", "../docs/reference/fault-model.md";
    memory_model: "Which stores are seen where, and why.", "../docs/reference/memory-model.md";
    protocol: "The shared memory, byte by byte.", "../docs/reference/protocol.md";
    protocol_operations: "The steps of each role of the protocol.", "../docs/reference/protocol/operations.md";
    protocol_forms: "The words of each form.", "../docs/reference/protocol/forms.md";
    protocol_rules: "Invariants of the protocol, instructions, compatibility.", "../docs/reference/protocol/rules.md";
    security: "Who may do what to whom.", "../docs/reference/security.md";
    contributing: "How to contribute.", "../CONTRIBUTING.md";
    changelog: "What changed.", "../CHANGELOG.md";
    security_policy: "How to report a vulnerability.", "../SECURITY.md";
}
