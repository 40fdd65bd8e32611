//! The files of a vector as a text, and what must be read from them as JSON, in the one form that the vectors have.
//!
//! The text is a line `file PATH BYTES` for each file, and behind it a line for each 16 bytes that are not all zero:
//! their offset with six or more hexadecimal digits, and the bytes in two halves.

use std::fmt::Write;
use std::path::Path;
use std::{fs, io};

const LINE: usize = 16;

/// The files of one object by their paths in its directory, in the order of these.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files(pub Vec<(String, Vec<u8>)>);

impl Files {
    /// Reads the directory of an object.
    pub fn of(directory: &Path) -> Self {
        let mut files = Self::default();
        files.add(directory, "");
        files.0.sort();
        files
    }

    fn add(&mut self, directory: &Path, prefix: &str) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = format!("{prefix}{}", path.file_name().unwrap().to_str().unwrap());
            if path.is_dir() {
                self.add(&path, &format!("{name}/"));
            } else {
                self.0.push((name, fs::read(path).unwrap()));
            }
        }
    }

    /// Writes them into a new directory.
    pub fn write(&self, directory: &Path) -> io::Result<()> {
        for (name, bytes) in &self.0 {
            let path = directory.join(name);
            fs::create_dir_all(path.parent().unwrap())?;
            fs::write(path, bytes)?;
        }
        Ok(())
    }

    #[track_caller]
    pub fn file(&mut self, name: &str) -> &mut Vec<u8> {
        let found = self.0.iter_mut().find(|(path, _)| path == name);
        &mut found.unwrap_or_else(|| panic!("no file {name}")).1
    }

    pub fn text(&self) -> String {
        let mut text = String::new();
        for (name, bytes) in &self.0 {
            writeln!(text, "file {name} {}", bytes.len()).unwrap();
            for (at, line) in bytes.chunks(LINE).enumerate() {
                if line.iter().all(|byte| *byte == 0) {
                    continue;
                }
                let (first, second) = line.split_at(line.len().min(LINE / 2));
                let second = match second {
                    [] => String::new(),
                    second => format!(" {}", hex(second)),
                };
                writeln!(text, "{:06x} {}{second}", at * LINE, hex(first)).unwrap();
            }
        }
        text
    }

    pub fn from_text(text: &str) -> Self {
        let mut files = Self::default();
        for line in text.lines() {
            if let Some(file) = line.strip_prefix("file ") {
                let (name, bytes) = file.split_once(' ').unwrap();
                files
                    .0
                    .push((name.to_owned(), vec![0; bytes.parse().unwrap()]));
                continue;
            }
            let (at, line) = line.split_once(' ').unwrap();
            let at = usize::from_str_radix(at, 16).unwrap();
            let digits: Vec<u8> = line.bytes().filter(|digit| *digit != b' ').collect();
            let (_, bytes) = files.0.last_mut().unwrap();
            for (byte, pair) in bytes[at..].iter_mut().zip(digits.chunks(2)) {
                *byte = u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
            }
        }
        files
    }
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// A value of JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Json {
    Null,
    Bool(bool),
    Number(u64),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(&'static str, Json)>),
}

use Json::{List, Null, Object};

impl Json {
    pub fn bytes(bytes: &[u8]) -> Self {
        Self::Text(hex(bytes))
    }

    pub fn numbers(numbers: impl IntoIterator<Item = u64>) -> Self {
        List(numbers.into_iter().map(Self::Number).collect())
    }

    pub fn maybe(number: Option<u64>) -> Self {
        number.map_or(Null, Self::Number)
    }

    /// In one line.
    fn flat(&self) -> String {
        let joined = |parts: Vec<String>| parts.join(", ");
        match self {
            Null => "null".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Number(number) => number.to_string(),
            Self::Text(text) => {
                assert!(!text.contains(['"', '\\']) && !text.contains(char::is_control));
                format!("\"{text}\"")
            }
            List(items) => format!("[{}]", joined(items.iter().map(Self::flat).collect())),
            Object(fields) => {
                let fields = fields
                    .iter()
                    .map(|(name, value)| format!("\"{name}\": {}", value.flat()));
                format!("{{{}}}", joined(fields.collect()))
            }
        }
    }
}

impl From<u64> for Json {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<u32> for Json {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl From<bool> for Json {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<&str> for Json {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// What must be read: the members of the object, each on a line, and each item of a list among them too.
#[derive(Clone, Debug, Default)]
pub struct Expected(pub Vec<(&'static str, Json)>);

impl Expected {
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Json>) -> Self {
        self.0.push((name, value.into()));
        self
    }

    pub fn member(&self, name: &str) -> Option<&Json> {
        let found = self.0.iter().find(|(member, _)| *member == name);
        found.map(|(_, value)| value)
    }

    /// Without the line that says what the vector is about.
    pub fn text(&self) -> String {
        let members = self.0.iter().map(|(name, value)| match value {
            List(items) if !items.is_empty() => {
                let items: Vec<String> = items.iter().map(Json::flat).collect();
                format!("  \"{name}\": [\n    {}\n  ]", items.join(",\n    "))
            }
            value => format!("  \"{name}\": {}", value.flat()),
        });
        format!("{{\n{}\n}}\n", members.collect::<Vec<_>>().join(",\n"))
    }
}
