//! `slipring check`: whether objects are as the specification says, rule by rule.

use crate::failure::{Failure, NOT_FOUND, WRONG};
use crate::text::{missing_directory, styled, Target, BOLD, GREEN, RED};
use crate::Outcome;
use serde_json::{json, Value};
use slipring::place::OpenError;
use slipring::registry::{check, check_in, Report, Verdict};
use std::io::Write;
use std::path::Path;

#[derive(clap::Args)]
#[command(after_help = "\
Nothing is written, locked or waited for, so objects in use may be checked. The rules are listed in
docs/reference/check.md of the source. The status is 9 if something is wrong.

EXAMPLES
  slipring check ticks                 every rule of one object, and of what lies inside it
  slipring check --brief               what is not ok in the directory of the rings
  slipring check /dev/shm/rings --json")]
pub struct Arguments {
    /// Name of an object, or a path that begins with / or ./ of an object or of a directory of objects; the
    /// directory of the rings if there is none
    name: Option<String>,
    /// Print a JSON array
    #[arg(long)]
    json: bool,
    /// Print only the rules that are wrong or cannot be told
    #[arg(long)]
    brief: bool,
}

pub fn run(arguments: &Arguments) -> Outcome {
    let checked = checked(arguments.name.as_deref())?;
    let mut out = std::io::stdout().lock();
    if arguments.json {
        let objects: Vec<Value> = checked
            .iter()
            .map(|(path, found)| object(path, found))
            .collect();
        writeln!(out, "{}", Value::Array(objects))?;
    } else {
        for (path, found) in &checked {
            match found {
                Ok(report) => print(&mut out, report, arguments.brief)?,
                Err(error) => writeln!(out, "{path}: {} {error}", styled(RED, "not checked:"))?,
            }
        }
    }
    out.flush()?;
    let wrong = |found: &Result<Report, OpenError>| {
        found
            .as_ref()
            .is_ok_and(|report| !report.wrong().is_empty())
    };
    if checked.iter().any(|(_, found)| wrong(found)) {
        return Err(Failure::silent(WRONG));
    }
    match checked.into_iter().find_map(|(_, found)| found.err()) {
        Some(error) => Err(Failure::silent(Failure::from(error).status())),
        None => Ok(()),
    }
}

type Checked = Vec<(String, Result<Report, OpenError>)>;

fn checked(name: Option<&str>) -> Result<Checked, Failure> {
    let target = name.map(Target::parse);
    let directory = match &target {
        None => {
            missing_directory();
            Some(slipring::registry::default_directory())
        }
        Some(Target::Path(path)) if is_directory_of_objects(path) => Some(path.clone()),
        Some(_) => None,
    };
    let Some(directory) = directory else {
        let place = target.map_or_else(|| "".into(), |target| target.place());
        let report = check(place)?;
        return Ok(vec![(report.path.display().to_string(), Ok(report))]);
    };
    let objects = match check_in(&directory) {
        // As for `ls`: the directory is made with the first object.
        Err(OpenError::NotFound { .. }) if name.is_none() => Vec::new(),
        Err(OpenError::NotFound { .. }) => {
            let path = directory.display();
            return Err(Failure::new(
                NOT_FOUND,
                format!("there is no directory {path}"),
            ));
        }
        objects => objects?,
    };
    let objects = objects.into_iter().map(|checked| {
        let path = directory.join(checked.name);
        (path.display().to_string(), checked.report)
    });
    Ok(objects.collect())
}

/// Returns `true` of a directory that has no file of an object in it.
fn is_directory_of_objects(path: &Path) -> bool {
    let files = ["stream", "control", "lock"];
    path.is_dir()
        && !files
            .iter()
            .any(|file| path.join(file).symlink_metadata().is_ok())
}

fn print(out: &mut impl Write, report: &Report, brief: bool) -> std::io::Result<()> {
    let count = |of: fn(&Verdict) -> bool| {
        let findings = report.findings.iter();
        findings.filter(|finding| of(&finding.verdict)).count()
    };
    let path = report.path.display();
    let form = report.form.map_or("not known", |form| form.name());
    let summary = format!(
        "{path}: {form}, {} ok, {} cannot tell, {} wrong",
        count(|verdict| matches!(verdict, Verdict::Ok { .. })),
        count(|verdict| matches!(verdict, Verdict::CannotTell { .. })),
        count(|verdict| matches!(verdict, Verdict::Wrong { .. })),
    );
    writeln!(out, "{}", styled(BOLD, &summary))?;
    for finding in &report.findings {
        let line = format!("  {}", plain(&finding.to_string()));
        match finding.verdict {
            Verdict::Ok { .. } if brief => {}
            Verdict::Ok { .. } => writeln!(out, "{}", styled(GREEN, &line))?,
            Verdict::Wrong { .. } => writeln!(out, "{}", styled(RED, &line))?,
            _ => writeln!(out, "{line}")?,
        }
    }
    report
        .inside
        .iter()
        .try_for_each(|inside| print(out, inside, brief))
}

/// The text without what could steer a terminal.
fn plain(text: &str) -> String {
    let shown = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.chars().map(shown).collect()
}

fn object(path: &str, found: &Result<Report, OpenError>) -> Value {
    match found {
        Ok(report) => described(report),
        Err(error) => json!({ "path": path, "error": error.to_string() }),
    }
}

fn described(report: &Report) -> Value {
    let rules = report.findings.iter().map(|finding| {
        let mut rule = json!({
            "rule": finding.rule.name,
            "demands": finding.rule.demands,
            "section": finding.rule.section,
        });
        match &finding.verdict {
            Verdict::Ok { found } => {
                rule["verdict"] = "ok".into();
                rule["found"] = found.as_str().into();
            }
            Verdict::Wrong {
                found,
                expected,
                more,
            } => {
                rule["verdict"] = "wrong".into();
                rule["found"] = found.as_str().into();
                rule["expected"] = expected.as_str().into();
                rule["more"] = (*more).into();
            }
            Verdict::CannotTell { because } => {
                rule["verdict"] = "cannot tell".into();
                rule["because"] = because.as_str().into();
            }
            _ => {}
        }
        rule
    });
    json!({
        "path": report.path.display().to_string(),
        "kind": report.form.map(|form| form.name()),
        "rules": rules.collect::<Vec<_>>(),
        "inside": report.inside.iter().map(described).collect::<Vec<_>>(),
    })
}
