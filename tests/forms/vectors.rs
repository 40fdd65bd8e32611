//! The vectors of `docs/vectors`, for implementations in other languages: objects as files, with what must be read of them.
//!
//! Each is made here anew and compared with what is stored, and each stored one is read. `SLIPRING_VECTORS=write` stores
//! what is made.

mod file;
mod make;
mod make_forms;
mod read;
mod refuse;

use file::Files;
use make::Vectors;
use read::Stored;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

pub const SUITE: testing::Suite = testing::suite!(testing::no_role; [
    every_vector_is_made_anew_byte_for_byte,
    every_vector_says_what_is_read_of_it,
    every_vector_is_sound_or_wrong_as_it_says,
]);

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/vectors")
}

/// The names of the files of the folder, apart from the page and what `languages.rs` makes.
fn stored() -> BTreeSet<String> {
    let listed = fs::read_dir(folder()).unwrap();
    let names = listed.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names
        .filter(|name| name != "README.md" && name != "languages.list")
        .collect()
}

fn every_vector_is_made_anew_byte_for_byte() {
    let mut all = Vectors::default();
    make::rings(&mut all);
    make_forms::forms(&mut all);
    refuse::refused(&mut all);
    let mut made = Vec::new();
    for (name, (files, about, expected)) in all.0 {
        assert!(!about.contains(['"', '\\']));
        let text = expected.text();
        let text = text.replacen('{', &format!("{{\n  \"about\": \"{about}\","), 1);
        assert_eq!(Files::from_text(&files.text()), files, "{name}");
        made.push((format!("{name}.txt"), files.text()));
        made.push((format!("{name}.json"), text));
    }
    if std::env::var("SLIPRING_VECTORS").is_ok_and(|what| what == "write") {
        for name in stored() {
            fs::remove_file(folder().join(name)).unwrap();
        }
        for (name, text) in &made {
            fs::write(folder().join(name), text).unwrap();
        }
    }
    let names: BTreeSet<String> = made.iter().map(|(name, _)| name.clone()).collect();
    assert_eq!(stored(), names);
    for (name, text) in made {
        let stored = fs::read_to_string(folder().join(&name)).unwrap();
        let differs = stored.lines().zip(text.lines()).find(|(a, b)| a != b);
        assert_eq!(differs, None, "{name}: stored, and made");
        assert_eq!(stored, text, "{name}");
    }
}

fn every_vector_says_what_is_read_of_it() {
    let mut read = 0;
    for name in stored() {
        let Some(name) = name.strip_suffix(".txt") else {
            continue;
        };
        let text =
            |suffix: &str| fs::read_to_string(folder().join(name.to_owned() + suffix)).unwrap();
        let json = text(".json");
        let lines = json.lines().filter(|line| !line.starts_with("  \"about\""));
        let json = lines.map(|line| format!("{line}\n")).collect();
        Stored::new(name, Files::from_text(&text(".txt")), json).check();
        read += 1;
    }
    assert!(read > 40, "{read}");
}

fn every_vector_is_sound_or_wrong_as_it_says() {
    use std::os::unix::fs::PermissionsExt;
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    for name in stored() {
        let Some(name) = name.strip_suffix(".txt") else {
            continue;
        };
        let text = fs::read_to_string(folder().join(format!("{name}.txt"))).unwrap();
        let scratch = testing::Scratch::new();
        let files = Files::from_text(&text);
        files.write(&scratch.ring()).unwrap();
        for (file, _) in &files.0 {
            let path = scratch.ring().join(file);
            mode(&path, 0o600);
            mode(path.parent().unwrap(), 0o700);
        }
        if name.starts_with("refused-") {
            let report = slipring::registry::check(scratch.ring()).unwrap();
            assert!(!report.wrong().is_empty(), "{name}");
        } else {
            println!("  {name}");
            testing::sound(&scratch.ring());
        }
    }
}
