//! What is installed: names, links, and programs outside of the tree that are built with it, by every compiler that is there.

use std::path::Path;
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

/// The files and links below a folder, by their paths in it.
fn files_of(root: &Path) -> Vec<String> {
    let mut found = lines(
        Command::new("find")
            .current_dir(root)
            .args([".", "-not", "-type", "d", "-printf", "%P\n"]),
    );
    found.sort();
    found
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
    // What the prefix has, and nothing that tells of the folder it was staged in.
    let staged = scratch.path().join("usr");
    let mut files = files_of(&staged);
    let version = env!("CARGO_PKG_VERSION");
    let mut expected = vec![
        "lib/cmake/slipring/slipringConfig.cmake".to_owned(),
        "lib/cmake/slipring/slipringConfigVersion.cmake".to_owned(),
        "lib/libslipring.a".to_owned(),
        "lib/libslipring.so".to_owned(),
        "lib/libslipring.so.0".to_owned(),
        format!("lib/libslipring.so.{version}"),
        "lib/pkgconfig/slipring.pc".to_owned(),
    ];
    for folder in ["include", "../../include"] {
        let headers = files_of(&here().join(folder));
        expected.extend(headers.iter().map(|header| format!("include/{header}")));
    }
    expected.sort();
    assert_eq!(files, expected);
    assert_eq!(files_of(scratch.path()).len(), files.len());
    files.retain(|file| file.ends_with(".pc") || file.ends_with(".cmake"));
    assert_eq!(files.len(), 3, "{files:?}");
    for file in files {
        let text = std::fs::read_to_string(staged.join(&file)).unwrap();
        assert!(
            !text.contains(scratch.path().to_str().unwrap()),
            "{file}: {text}"
        );
        assert!(!text.contains('@'), "{file}: {text}");
        assert!(
            !file.ends_with(".pc") || text.starts_with("prefix=/usr\n"),
            "{text}"
        );
    }
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
        (clang("clang", "-std=c11"), "connecting.c", false),
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
        (clang("clang++", "-std=c++17"), "connecting.cc", true),
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

/// The headers in C and that of the layout, each twice and in any order, in one file.
#[test]
fn headers_go_together() {
    let scratch = tempfile::tempdir().unwrap();
    let text =
        "#include <slipring/layout.h>\n#include <slipring.h>\n#include <slipring/errors.h>\n\
        #include <slipring.h>\nint main(void) { return SLIPRING_OK; }\n";
    for (compiler, name) in [(C, "together.c"), (CXX, "together.cc")] {
        let source = scratch.path().join(name);
        std::fs::write(&source, text).unwrap();
        finish(Command::new(compiler.program(
            &source,
            scratch.path(),
            false,
        )));
    }
}

/// Each header in C++ is whole alone, and a program of files that have one each, and of one that has all, is linked.
#[test]
fn each_header_in_cpp_stands_alone() {
    let scratch = tempfile::tempdir().unwrap();
    let mut names = files_of(&here().join("include"));
    names.retain(|name| name.ends_with(".hpp"));
    assert!(names.len() > 10, "{names:?}");
    let write = |name: String, text: String| {
        let path = scratch.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let all = names.iter().rev();
    let all: String = all.map(|name| format!("#include <{name}>\n")).collect();
    let main = "int main() { return slipring::schema_of<int>::text().size() == 3 ? 0 : 1; }\n";
    let described = "template <> struct slipring::schema_of<int> { static std::string text() { return \"int\"; } };\n";
    let mut files = vec![write(
        "alone.cc".to_owned(),
        format!("{all}{described}{main}"),
    )];
    for (at, name) in names.iter().enumerate() {
        let text = format!("#include <{name}>\n#include <{name}>\n");
        files.push(write(format!("alone-{at}.cc"), text));
    }
    finish(Command::new(CXX.program_of(&files, scratch.path(), false)));
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
    // Another minor version may have changed anything, and a newer one is not here.
    for (version, found) in [
        ("0.1.0", true),
        ("0.0.9", false),
        ("0.1.1", false),
        ("0.2", false),
        ("1", false),
    ] {
        let text = project.replace(
            "slipring 0.1 REQUIRED",
            &format!("slipring {version} REQUIRED"),
        );
        let folder = scratch.path().join(version);
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("CMakeLists.txt"), text).unwrap();
        std::fs::write(folder.join("main.c"), main).unwrap();
        let mut command = Command::new("cmake");
        command
            .arg("-S")
            .arg(&folder)
            .arg("-B")
            .arg(folder.join("build"));
        command.arg(format!("-DCMAKE_PREFIX_PATH={}", prefix().display()));
        assert_eq!(
            command.output().unwrap().status.success(),
            found,
            "{version}"
        );
    }
    run(Command::new("cmake").arg("--build").arg(&build));
    for program in ["shared", "static"] {
        finish(in_directory(
            Command::new(build.join(program)),
            scratch.path(),
        ));
    }
}
