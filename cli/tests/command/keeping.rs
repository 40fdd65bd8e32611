//! Keeping house: `clean`, `recover`, permission, isolated rings, and programs beside the command.

use super::shell::Shell;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

#[test]
fn without_permission_to_write_one_can_still_observe() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can become another user");
        return;
    }
    let shell = Shell::new();
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(shell.directory.path(), open).unwrap();
    // The binary may lie where the other user cannot reach it.
    let binary = shell.directory.path().join("bin");
    crate::shell::copy_command(&binary);
    shell.ok(&["create", "private"]);
    shell.ok(&["create", "public", "--mode", "0644"]);
    shell.with_input(&["pub", "public"], b"for all\n");
    let unprivileged = |arguments: &[&str]| {
        let mut command = Command::new(&binary);
        command
            .args(arguments)
            .env("SLIPRING_DIR", shell.directory.path())
            .uid(65534)
            .gid(65534);
        command.stdin(Stdio::null()).output().unwrap()
    };
    let refused = unprivileged(&["stat", "private"]);
    assert_eq!(refused.status.code(), Some(5));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("no permission to open"));
    let refused = unprivileged(&["sub", "public", "--from", "oldest"]);
    assert_eq!(refused.status.code(), Some(5));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--observe"));
    // Only the remedy that applies.
    let refused = unprivileged(&["pub", "public"]);
    assert_eq!(refused.status.code(), Some(5));
    let errors = String::from_utf8(refused.stderr).unwrap();
    assert!(errors.contains("only its owner publishes"), "{errors}");
    assert!(
        !errors.contains("--observe") && errors.contains("user 0"),
        "{errors}"
    );
    shell.ok(&["latest", "create", "table", "--mode", "0666"]);
    shell.ok(&["queue", "create", "jobs", "--mode", "0644"]);
    for verb in [
        &["latest", "set", "table", "x"][..],
        &["queue", "receive", "jobs"],
    ] {
        let refused = unprivileged(verb);
        assert_eq!(refused.status.code(), Some(5), "{refused:?}");
        let errors = String::from_utf8(refused.stderr).unwrap();
        assert!(
            !errors.contains("observe") && errors.contains("user 0"),
            "{errors}"
        );
    }
    let observed = unprivileged(&["sub", "public", "--from", "oldest", "--observe"]);
    assert_eq!(String::from_utf8_lossy(&observed.stdout), "for all\n");
}

#[test]
fn clean_shows_first_and_keeps_what_may_be_wanted() {
    let shell = Shell::new();
    shell.ok(&["create", "idle"]);
    shell.ok(&["create", "over"]);
    assert!(shell.with_input(&["pub", "over"], b"x\n").status.success());
    let shown = shell.ok(&["clean"]);
    assert!(shown.contains(&shell.path("over")) && shown.contains("kept"));
    assert!(shown.contains("nothing was removed"));
    assert!(shell.ok(&["ls"]).contains("over"));
    // What 'clean' leaves alone is nothing to fix.
    let doctor = shell.ok(&["doctor"]);
    assert!(doctor.contains(&shell.path("over")) && !doctor.contains(&shell.path("idle")));
    assert!(shell.ok(&["clean", "--yes"]).contains("freed"));
    let left = shell.ok(&["ls"]);
    assert!(left.contains("idle") && !left.contains("over"));
    let doctor = shell.ok(&["doctor"]);
    assert!(!doctor.contains("slipring clean"), "{doctor}");
    shell.ok(&["clean", "--all", "--yes"]);
    assert!(!shell.ok(&["ls"]).contains("idle"));
    assert!(shell.ok(&["clean"]).contains("nothing to remove"));
}

#[test]
fn clean_keeps_what_a_producer_that_died_has_published() {
    let shell = Shell::new();
    shell.ok(&["create", "crashed"]);
    let mut writer = shell.start(&["pub", "crashed"]);
    let feed = writer.stdin.as_mut().unwrap();
    feed.write_all(b"unread\n").unwrap();
    let ring = slipring::Ring::open(Path::new(&shell.path("crashed"))).unwrap();
    while ring.status().unwrap().next_sequence != Some(1) {
        std::thread::yield_now();
    }
    writer.kill().unwrap();
    writer.wait().unwrap();
    drop(ring);
    let shown = shell.ok(&["clean", "--yes"]);
    assert!(shown.contains("died") && shown.contains("kept"), "{shown}");
    assert!(!shown.contains("closed"), "two things: {shown}");
    let output = shell.run(&["sub", "crashed", "--from", "oldest"]);
    assert_eq!(output.status.code(), Some(7));
    assert_eq!(output.stdout, b"unread\n");
    assert!(shell.ok(&["clean", "--yes", "--all"]).contains("died"));
    assert!(!shell.ok(&["ls"]).contains("crashed"));
}

#[test]
fn clean_keeps_what_is_made_to_be_opened_again() {
    let shell = Shell::new();
    shell.ok(&["fifo", "create", "stream"]);
    let reader = shell.start(&["fifo", "read", "stream"]);
    let writer = shell.with_input(&["fifo", "write", "stream"], b"x\n");
    assert!(writer.status.success());
    assert!(reader.wait_with_output().unwrap().status.success());
    shell.ok(&["latest", "set", "value", "x", "--create"]);
    shell.ok(&["clean", "--yes"]);
    let left = shell.ok(&["ls"]);
    assert!(left.contains("stream") && left.contains("value"), "{left}");
}

#[test]
fn clean_goes_on_after_what_it_may_not_remove() {
    use std::os::unix::fs::PermissionsExt;
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can become other users");
        return;
    }
    let shell = Shell::new();
    let sticky = std::fs::Permissions::from_mode(0o1777);
    std::fs::set_permissions(shell.directory.path(), sticky).unwrap();
    let over = |uid: u32, name: &str| {
        let output = shell.as_user(uid, &["create", name, "--mode", "0666"], b"");
        assert!(output.status.success(), "{output:?}");
        let output = shell.as_user(uid, &["pub", name], b"x\n");
        assert!(output.status.success(), "{output:?}");
    };
    over(1001, "a-theirs");
    over(1002, "b-mine");
    over(1002, "c-stuck");
    over(1002, "d-mine");
    // A ring of its own whose files it may not remove either.
    let stuck = std::fs::Permissions::from_mode(0o500);
    std::fs::set_permissions(shell.path("c-stuck"), stuck).unwrap();
    let shown = shell.as_user(1002, &["doctor"], b"");
    let shown = String::from_utf8(shown.stdout).unwrap();
    let (_, left) = shown.split_once("left over").unwrap();
    assert!(
        !left.contains("a-theirs") && left.contains("b-mine"),
        "{left}"
    );
    let output = shell.as_user(1002, &["clean", "--yes"], b"");
    let errors = String::from_utf8(output.stderr).unwrap();
    let names = || {
        let directory = std::fs::read_dir(shell.directory.path()).unwrap();
        let names = directory.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.contains('-')).collect::<Vec<_>>()
    };
    let names = names();
    assert!(names.contains(&"a-theirs".to_owned()), "{names:?}");
    assert!(!names.contains(&"b-mine".to_owned()), "{names:?}");
    assert!(!names.contains(&"d-mine".to_owned()), "{names:?}");
    assert_eq!(output.status.code(), Some(5), "{errors}");
    assert_eq!(errors.lines().count(), 1, "{errors}");
    assert!(errors.contains("c-stuck"), "{errors}");
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(
        shown.contains("of other users") && shown.contains("freed"),
        "{shown}"
    );
    // Root is offered everything.
    let refused = shell.as_user(1002, &["rm", "a-theirs"], b"");
    assert_eq!(refused.status.code(), Some(5), "{refused:?}");
    let errors = String::from_utf8(refused.stderr).unwrap();
    assert!(errors.contains("belongs to user 1001"), "{errors}");
    let shown = shell.as_user(0, &["clean"], b"");
    assert!(String::from_utf8_lossy(&shown.stdout).contains("a-theirs"));
}

/// Needs root to become another user.
#[test]
fn a_stranger_at_an_isolated_ring_is_told_so() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    let shell = Shell::new();
    let mut other = Command::new("true");
    if other.uid(64003).status().is_err() {
        println!("SKIPPED: needs root to become another user");
        return;
    }
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(shell.directory.path(), open).unwrap();
    let socket = shell.path("socket");
    let mut broker = shell.start(&["share", &socket, "--user", "64001"]);
    let mut said = String::new();
    BufReader::new(broker.stdout.take().unwrap())
        .read_line(&mut said)
        .unwrap();
    for n in 0..100 {
        let verb = ["sub", "pub"][n % 2];
        let mut command = shell.command(&[verb, "--via", &socket]);
        let output = command.uid(64003).current_dir("/").output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(5), "{errors}");
        assert!(errors.contains("does not let this user in"), "{errors}");
    }
    broker.kill().unwrap();
    broker.wait().unwrap();
}

#[test]
fn an_isolated_ring_is_shared_over_a_socket() {
    let shell = Shell::new();
    let socket = shell.path("socket");
    assert!(shell
        .fails(3, &["sub", "--via", &socket])
        .contains("slipring share"));
    let mut broker = shell.start(&["share", &socket]);
    let mut said = String::new();
    BufReader::new(broker.stdout.take().unwrap())
        .read_line(&mut said)
        .unwrap();
    assert_eq!(said.trim(), socket);
    let reader = shell.start(&["sub", "--via", &socket, "--from", "oldest"]);
    let publish = |input: &[u8], more: &[&str]| {
        let arguments = [&["pub", "--via", &socket], more].concat();
        assert!(shell.with_input(&arguments, input).status.success());
    };
    // The reader follows from one producer's stream to the next one's, and ends with it.
    publish(b"1\n2\n", &["--keep-open"]);
    publish(b"3\n", &[]);
    let output = reader.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(output.stdout, b"1\n2\n3\n");
    // A cursor of the broker, and forgetting it.
    let next = |cursor| {
        let arguments = [
            "sub", "--via", &socket, "--cursor", cursor, "--from", "oldest",
        ];
        let output = shell.run(&[&arguments[..], &["--count", "1"]].concat());
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!((next("c"), next("c")), ("1\n".into(), "2\n".into()));
    let forget = ["forget", "--via", &socket, "c"];
    assert_eq!(shell.run(&forget).status.code(), Some(0));
    assert!(shell.fails(3, &forget).contains("no cursor c"));
    assert_eq!(next("c"), "1\n");
    for wrong in [
        &["forget", "--via", &socket, "c", "d"][..],
        &["forget", "c"],
    ] {
        assert_eq!(shell.run(wrong).status.code(), Some(2));
    }
    broker.kill().unwrap();
    broker.wait().unwrap();
}

#[test]
fn a_ring_of_another_boot_is_recovered_by_its_name() {
    use std::os::unix::fs::FileExt;
    let shell = Shell::new();
    let scratch = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = scratch.path().join("ring");
    let ring = path.to_str().unwrap();
    shell.ok(&["create", ring, "--capacity", "64K"]);
    let status = |arguments: &[&str]| shell.run(arguments).status.code();
    let text = shell.ok(&["recover", ring]);
    assert!(text.contains("nothing to recover"), "{text}");
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&shell.ok(&["recover", ring, "--json"])).unwrap()
            ["recovered"],
        serde_json::Value::Null
    );
    assert!(shell
        .with_input(&["pub", ring], b"one\ntwo\nthree\n")
        .status
        .success());
    let stream = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(path.join("stream"))
        .unwrap();
    let mut page = [0; 4096];
    stream.read_exact_at(&mut page, 0).unwrap();
    page[128..144].fill(7);
    let sum = page[..4088]
        .iter()
        .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
        });
    page[4088..].copy_from_slice(&sum.to_le_bytes());
    stream.write_all_at(&page, 0).unwrap();
    if status(&["sub", ring, "--from", "oldest"]) == Some(0) {
        eprintln!("skipped: the project lies in memory");
        return;
    }
    assert_eq!(status(&["sub", ring, "--from", "oldest"]), Some(4));
    let shown = shell.ok(&["stat", ring]);
    assert!(shown.contains("another boot"), "{shown}");
    let shown = shell.ok(&["stat", ring, "--json"]);
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["other_boot"], true);
    let told = shell.ok(&["recover", ring]);
    assert!(told.contains("3 messages can be read, from 0 on"), "{told}");
    assert_eq!(
        shell.ok(&["sub", ring, "--from", "oldest"]),
        "one\ntwo\nthree\n"
    );
}

/// The bridge is a program of its own, which gets the arguments as they are and decides the exit status.
#[test]
fn the_bridge_is_another_program() {
    let shell = Shell::new();
    let missing = shell
        .command(&["bridge", "serve", "ticks", "--listen", "tcp/0.0.0.0:1"])
        .env("PATH", shell.directory.path())
        .output()
        .unwrap();
    let said = String::from_utf8(missing.stderr).unwrap();
    assert_eq!(missing.status.code(), Some(1));
    assert!(
        said.contains("not installed") && said.lines().count() == 1,
        "{said}"
    );

    let program = shell.directory.path().join("slipring-bridge");
    crate::shell::write_script(&program, "#!/bin/sh\nprintf '%s\\n' \"$@\"\nexit 9\n");
    let path = std::env::var("PATH").unwrap();
    let path = format!("{}:{path}", shell.directory.path().display());
    let run = shell
        .command(&["bridge", "mirror", "--help", "-x", "--", "a b", "--version"])
        .env("PATH", path)
        .output()
        .unwrap();
    let printed = String::from_utf8(run.stdout).unwrap();
    assert_eq!(printed, "mirror\n--help\n-x\n--\na b\n--version\n");
    assert_eq!(run.status.code(), Some(9));
}
