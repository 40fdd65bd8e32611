//! The demo: its account of every tick, on one host, on two and in three languages, and what it says of a part that misses one.

use super::shell::{write_script, Shell};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
fn the_demo_accounts_for_every_tick() {
    let shell = Shell::new();
    let output = shell.ok(&["demo", "--ticks", "40000", "--rate", "0", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&output).unwrap();
    assert_eq!(report["feed"]["published"], 40000);
    for part in ["strategy", "risk"] {
        assert_eq!(report["parts"][part]["received"], 40000);
    }
    let dashboard = &report["parts"]["dashboard"];
    let sum = dashboard["received"].as_u64().unwrap() + dashboard["lost"].as_u64().unwrap();
    assert_eq!(sum, 40000);
}

/// The program of the bridge's workspace, if that was built.
fn bridge() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let built = ["debug", "release"]
        .into_iter()
        .flat_map(|profile| ["target/bridge", "bridge/target"].map(|folder| (folder, profile)))
        .map(|(folder, profile)| root.join(folder).join(profile));
    built
        .into_iter()
        .find(|path| path.join("slipring-bridge").exists())
}

#[test]
fn the_demo_on_two_hosts_needs_the_bridge() {
    let shell = Shell::new();
    let mut command = shell.command(&["demo", "--hosts"]);
    let output = command
        .env("PATH", shell.directory.path())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("not installed") && said.contains("cargo install --path bridge"),
        "{said}"
    );
}

/// While the link is cut the feed goes on, and overwrites its ring many times over: that is missing at the mirror, and
/// counted exactly.
#[test]
fn the_demo_on_two_hosts_accounts_for_every_tick() {
    let Some(bridge) = bridge() else {
        println!("SKIPPED: slipring-bridge was not built: ./dev bridge");
        return;
    };
    let shell = Shell::new();
    let arguments = [
        "demo", "--hosts", "--ticks", "200000", "--rate", "100000", "--json",
    ];
    let output = shell
        .command(&arguments)
        .env("PATH", bridge)
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(report["cut"]["sequence"].as_u64().unwrap() >= 100_000);
    for part in ["strategy", "risk"] {
        assert_eq!(report["parts"][part]["received"], 200_000);
    }
    let dashboard = &report["parts"]["dashboard"];
    let number = |key: &str| dashboard[key].as_u64().unwrap();
    assert_eq!(
        number("received") + number("lost") + number("missing"),
        200_000,
        "{dashboard}"
    );
    assert!(
        number("received") > 0 && number("missing") > 0,
        "{dashboard}"
    );
    assert_eq!(report["failed"].as_array().unwrap().len(), 0);
}

/// All that is missing is said at once, and how to get it.
#[test]
fn the_demo_in_three_languages_says_what_it_needs() {
    let shell = Shell::new();
    let mut command = shell.command(&["demo", "--mixed"]);
    command.env("PATH", shell.directory.path());
    command.env_remove("CC").env_remove("PYTHON");
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    for word in ["no C compiler (cc", "CC", "no Python (python3", "PYTHON"] {
        assert!(said.contains(word), "{word} in {said}");
    }
    // A compiler without the library, and an interpreter without the package.
    let mut command = shell.command(&["demo", "--mixed"]);
    command.env("PATH", shell.directory.path());
    let output = command.env("CC", "/bin/true").env("PYTHON", "/bin/false");
    let said = String::from_utf8(output.output().unwrap().stderr).unwrap();
    for word in ["no library for C", "bindings/c/install", "PKG_CONFIG_PATH"] {
        assert!(said.contains(word), "{word} in {said}");
    }
    assert!(!said.contains("no C compiler"), "{said}");
}

/// `CC` is read as `make` reads it: a program and its first arguments, or one file whose path has white space.
#[test]
fn the_compiler_of_the_demo_may_have_arguments() {
    let shell = Shell::new();
    let here = shell.directory.path();
    std::os::unix::fs::symlink("/bin/true", here.join("pkg-config")).unwrap();
    std::fs::create_dir(here.join("a folder")).unwrap();
    std::os::unix::fs::symlink("/bin/true", here.join("a folder/cc")).unwrap();
    let arguments = here.join("arguments");
    let compiler = here.join("compiler.sh");
    std::fs::write(
        &compiler,
        format!("echo \"$@\" >> {}\n", arguments.display()),
    )
    .unwrap();
    let said = |cc: &str| {
        let mut command = shell.command(&["demo", "--mixed"]);
        command.env("PATH", here).env("PYTHON", "/bin/false");
        let output = command.env("CC", cc).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    let with_arguments = said(&format!(" /bin/sh {}  -O3\t-DWORD=1 ", compiler.display()));
    assert!(!with_arguments.contains("compile"), "{with_arguments}");
    let got = std::fs::read_to_string(&arguments).unwrap();
    let lines: Vec<&str> = got.lines().collect();
    assert_eq!(lines.len(), 2, "{got}");
    assert_eq!(lines[0], "-O3 -DWORD=1 --version");
    assert!(lines[1].starts_with("-O3 -DWORD=1 -std=gnu11 "), "{got}");
    let a_path = said(&format!("{}/a folder/cc", here.display()));
    assert!(!a_path.contains("compile"), "{a_path}");
    let failing = here.join("failing.sh");
    let errors = "strategy.c:1:2: error: what is wrong\n    1 | line\n      |  ^~~~\n";
    let script = format!("[ $1 = --version ] || {{ printf '{errors}' >&2; exit 1; }}\n");
    std::fs::write(&failing, script).unwrap();
    let failed = said(&format!("/bin/sh {}", failing.display()));
    let told = "the strategy does not compile: strategy.c:1:2: error: what is wrong\n";
    assert!(failed.contains(told), "{failed}");
    let none = said(" ");
    assert!(none.contains("no C compiler (cc:"), "{none}");
}

/// What the demo in three languages needs, as arguments and environment. Takes the libraries for C and Python where this tree built
/// them (`./dev c`, `./dev python`), or as they are installed.
fn in_three_languages(shell: &Shell) -> (Command, OsString) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut command = shell.command(&[
        "demo", "--mixed", "--ticks", "200000", "--rate", "0", "--json",
    ]);
    let library = root.join("target/c/prefix/lib/pkgconfig");
    if library.exists() {
        command.env("PKG_CONFIG_PATH", library);
    }
    let environments = std::fs::read_dir(root.join("target/python/environments"));
    let pythons = environments.into_iter().flatten().flatten();
    let mut pythons = pythons.map(|entry| entry.path().join("bin/python"));
    let python = match pythons.find(|path| path.exists()) {
        Some(python) => python.into(),
        None => std::env::var_os("PYTHON").unwrap_or_else(|| "python3".into()),
    };
    command.env("PYTHON", &python);
    (command, python)
}

#[test]
fn the_demo_in_three_languages_accounts_for_every_tick() {
    let shell = Shell::new();
    let (mut command, _) = in_three_languages(&shell);
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    if said.contains("cannot run here") {
        println!("SKIPPED: {said}");
        return;
    }
    assert!(output.status.success(), "{said}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let number = |part: &str, key: &str| report["parts"][part][key].as_u64().unwrap();
    for part in ["strategy", "risk"] {
        assert_eq!(number(part, "received"), 200_000);
        assert_eq!(
            report["parts"][part]["checksum"],
            report["feed"]["checksum"]
        );
    }
    assert_eq!(
        number("dashboard", "received") + number("dashboard", "lost"),
        200_000
    );
    assert_eq!(report["parts"]["strategy"]["language"], "C");
    assert_eq!(report["parts"]["dashboard"]["language"], "Python");
    assert_eq!(report["failed"].as_array().unwrap().len(), 0);
}

/// A strategy that loses one message or takes a wrong one, and a dashboard that counts one too few: each is told by name.
#[test]
fn the_demo_in_three_languages_tells_of_a_part_that_misses_a_tick() {
    const BROKEN: &str = r#"
#include <slipring.h>
#include <stdlib.h>
static slipring_status broken_receive_batch(slipring_consumer *from, int64_t wait, slipring_message *to, size_t most, size_t *many) {
    static size_t total;
    slipring_status status = slipring_consumer_receive_batch(from, wait, to, most, many);
    size_t before = total;
    total += status == SLIPRING_OK ? *many : 0;
    if (before < 100000 && total >= 100000) {
#ifdef LOSES
        --*many;
#else
        static unsigned char wrong[56];
        to[0].data = wrong;
#endif
    }
    return status;
}
#define slipring_consumer_receive_batch broken_receive_batch
"#;
    let shell = Shell::new();
    let here = shell.directory.path();
    let broken = here.join("broken.h");
    std::fs::write(&broken, BROKEN).unwrap();
    let compiler = format!("cc -include {}", broken.display());
    let (_, python) = in_three_languages(&shell);
    let dashboard = here.join("python");
    let few = format!(
        "#!/bin/sh\n[ \"$1\" = -c ] || exec '{0}' \"$@\"\nshift\ncode=$(printf %s \"$1\" | sed 's/received = lost = missing/received = -1; lost = missing/')\nshift\n\
         exec '{0}' -c \"$code\" \"$@\"\n",
        Path::new(&python).display()
    );
    write_script(&dashboard, &few);
    let cases = [
        ("strategy", "CC", format!("{compiler} -DLOSES")),
        ("strategy", "CC", compiler),
        ("dashboard", "PYTHON", dashboard.display().to_string()),
    ];
    for (part, variable, value) in cases {
        let (mut command, _) = in_three_languages(&shell);
        let output = command.env(variable, value).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        if said.contains("cannot run here") {
            // Then it cannot run with sound parts either.
            let sound = in_three_languages(&shell).0.output().unwrap();
            let sound = String::from_utf8(sound.stderr).unwrap();
            assert!(sound.contains("cannot run here"), "{part}: {said}");
            println!("SKIPPED: {said}");
            return;
        }
        assert_eq!(output.status.code(), Some(6), "{part}: {said}");
        let told = format!("parts that missed messages: {part}");
        assert!(said.contains(&told), "{said}");
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["failed"], serde_json::json!([part]));
    }
}
