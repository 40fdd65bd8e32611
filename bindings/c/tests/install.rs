//! What is installed: names, links, and programs outside of the tree that are built with it, by every compiler that is there.

use std::process::Command;
use support::{finish, here, in_directory, prefix, run, Compiler, C, CXX};

fn lines(command: &mut Command) -> Vec<String> {
    run(command).lines().map(str::to_owned).collect()
}

#[test]
fn the_shared_library_exports_its_own_names_only() {
    let library = prefix().join("lib/libslipring.so");
    let names = lines(
        Command::new("nm")
            .args(["-D", "--defined-only", "--format=posix"])
            .arg(&library),
    );
    let names: Vec<_> = names
        .iter()
        .map(|line| line.split(' ').next().unwrap())
        .collect();
    assert!(names.len() > 100, "{names:?}");
    for name in &names {
        assert!(name.starts_with("slipring_"), "{name} is exported");
    }
    // And the header has each of them.
    let header = std::fs::read_to_string(prefix().join("include/slipring.h")).unwrap();
    for name in names {
        assert!(
            header.contains(&format!("{name}(")),
            "{name} is not in the header"
        );
    }
}

#[test]
fn programs_ask_for_the_library_by_its_major_version() {
    let dynamic = run(Command::new("readelf")
        .arg("-d")
        .arg(prefix().join("lib/libslipring.so")));
    assert!(
        dynamic.contains("Library soname: [libslipring.so.0]"),
        "{dynamic}"
    );
    let link = std::fs::read_link(prefix().join("lib/libslipring.so.0")).unwrap();
    assert_eq!(
        link.to_str().unwrap(),
        concat!("libslipring.so.", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn staged_for_a_package() {
    let scratch = tempfile::tempdir().unwrap();
    let mut command = Command::new(here().join("install"));
    command
        .arg("/usr")
        .env("DESTDIR", scratch.path())
        .env("SLIPRING_PROFILE", "dev");
    run(&mut command);
    let file = scratch.path().join("usr/lib/pkgconfig/slipring.pc");
    assert!(std::fs::read_to_string(file)
        .unwrap()
        .starts_with("prefix=/usr\n"));
    assert!(!Command::new(here().join("install"))
        .arg("relative")
        .status()
        .unwrap()
        .success());
}

/// Every program of the tests, by every compiler, linked both ways.
#[test]
fn every_compiler_takes_the_headers() {
    let clang = |program, standard| Compiler {
        program,
        standard,
        checks: false,
    };
    let cases = [
        (C, "ring.c", true),
        (clang("clang", "-std=c11"), "ring.c", false),
        (clang("clang", "-std=c11"), "forms.c", true),
        (
            Compiler {
                standard: "-std=c++20",
                ..CXX
            },
            "cpp.cc",
            true,
        ),
        (clang("clang++", "-std=c++17"), "cpp.cc", false),
        (clang("clang++", "-std=c++17"), "forms.cc", false),
    ];
    let build = tempfile::tempdir().unwrap();
    for (compiler, source, statically) in cases {
        if !compiler.found() {
            continue;
        }
        let source = here().join("tests/c").join(source);
        let program = compiler.program(&source, build.path(), statically);
        let scratch = tempfile::tempdir().unwrap();
        finish(in_directory(Command::new(program), scratch.path()));
    }
}

/// The two headers and that of the layout, each twice and in any order, in one file.
#[test]
fn headers_go_together() {
    let scratch = tempfile::tempdir().unwrap();
    let text =
        "#include <slipring/layout.h>\n#include <slipring.h>\n#include <slipring/errors.h>\n\
        #include <slipring.h>\nint main(void) { return SLIPRING_OK; }\n";
    for (compiler, name) in [(C, "together.c"), (CXX, "together.cc")] {
        let source = scratch.path().join(name);
        let more = if name.ends_with("cc") {
            "#include <slipring/forms.hpp>\n#include <slipring.hpp>\n#include <slipring/forms.hpp>\n"
        } else {
            ""
        };
        std::fs::write(&source, format!("{more}{text}")).unwrap();
        finish(Command::new(compiler.program(
            &source,
            scratch.path(),
            false,
        )));
    }
}

#[test]
fn cmake_finds_it() {
    if Command::new("cmake").arg("--version").output().is_err() {
        println!("LEFT OUT: there is no cmake");
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    let project = "cmake_minimum_required(VERSION 3.16)
project(consumer C CXX)
find_package(slipring 0.1 REQUIRED)
add_executable(shared main.c)
target_link_libraries(shared PRIVATE slipring::slipring)
add_executable(static main.c)
target_link_libraries(static PRIVATE slipring::static)
";
    let main = "#include <slipring.h>\n\
        int main(void) {\n\
            slipring_ring *ring = NULL;\n\
            return slipring_ring_create(\"cmake\", NULL, &ring) || slipring_ring_close(&ring)\n\
                || slipring_ring_remove(\"cmake\");\n\
        }\n";
    std::fs::write(scratch.path().join("CMakeLists.txt"), project).unwrap();
    std::fs::write(scratch.path().join("main.c"), main).unwrap();
    let build = scratch.path().join("build");
    run(Command::new("cmake")
        .arg("-S")
        .arg(scratch.path())
        .arg("-B")
        .arg(&build)
        .arg(format!("-DCMAKE_PREFIX_PATH={}", prefix().display())));
    run(Command::new("cmake").arg("--build").arg(&build));
    for program in ["shared", "static"] {
        finish(in_directory(
            Command::new(build.join(program)),
            scratch.path(),
        ));
    }
}
