//! Shared values from a shell.

use crate::shell::Shell;

#[test]
fn shared_values_from_a_shell() {
    let shell = Shell::new();
    shell.ok(&["shared", "create", "counter"]);
    shell.ok(&["shared", "set", "counter", "0"]);
    let update = [
        "shared",
        "update",
        "counter",
        "--",
        "awk",
        "{ print $1 + 1 }",
    ];
    // Several at once: none is lost.
    let mut updates: Vec<_> = (0..8)
        .map(|_| shell.command(&update).spawn().unwrap())
        .collect();
    for update in &mut updates {
        assert!(update.wait().unwrap().success());
    }
    assert_eq!(shell.ok(&["shared", "get", "counter"]).trim(), "8");
    // A command that fails changes nothing, and says so by its status.
    let failing = [
        "shared",
        "update",
        "counter",
        "--",
        "sh",
        "-c",
        "echo 99; exit 3",
    ];
    assert_eq!(shell.run(&failing).status.code(), Some(3));
    let json = shell.ok(&["shared", "get", "counter", "--json"]);
    assert!(
        json.contains("\"value\":\"8\"") && json.contains("\"version\":9"),
        "{json}"
    );
    let long = "x".repeat(257);
    assert!(shell
        .fails(2, &["shared", "set", "counter", &long])
        .contains("at most 256"));
    // One that is killed while it has the lock changes nothing either, and the next one is told.
    let mut killed = shell
        .command(&[
            "shared",
            "update",
            "counter",
            "--",
            "sh",
            "-c",
            "echo got; exec sleep 60 >&2",
        ])
        .spawn()
        .unwrap();
    let locked = ["shared", "set", "counter", "5", "--timeout", "1ms"];
    while shell.run(&locked).status.success() {
        std::thread::yield_now();
    }
    let before: u32 = shell
        .ok(&["shared", "get", "counter"])
        .trim()
        .parse()
        .unwrap();
    killed.kill().unwrap();
    killed.wait().unwrap();
    let told = shell.run(&update);
    assert!(told.status.success());
    assert!(String::from_utf8_lossy(&told.stderr).contains("died while it held the lock"));
    let after: u32 = shell
        .ok(&["shared", "get", "counter"])
        .trim()
        .parse()
        .unwrap();
    assert_eq!(after, before + 1);
    assert!(shell.ok(&["stat", "counter"]).contains("handles"));
    assert!(shell.ok(&["ls"]).contains("shared"));
    shell.ok(&["rm", "counter"]);
}
