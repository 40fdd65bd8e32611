//! What a check found.
//!
//! Layer 3. Plain values, and the sheet on which the rules of one object are noted.

use super::rule::{Rule, RULES};
use crate::layout::form::Form;
use core::fmt;
use std::path::PathBuf;

/// What a check says of one rule.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// The rule holds.
    Ok {
        /// What was looked at, for display; may be empty.
        found: String,
    },
    /// The rule is broken, by the creator, by a process since, or by damage.
    Wrong {
        /// What was found, and where.
        found: String,
        /// What the rule allows there.
        expected: String,
        /// In how many more places it is broken.
        more: u64,
    },
    /// Whether the rule holds cannot be told now.
    CannotTell {
        /// Why not.
        because: String,
    },
}

/// One rule, and whether it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// The rule.
    pub rule: &'static Rule,
    /// Whether it holds.
    pub verdict: Verdict,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.rule)?;
        match &self.verdict {
            Verdict::Ok { found } if found.is_empty() => f.write_str("ok"),
            Verdict::Ok { found } => write!(f, "ok, {found}"),
            Verdict::Wrong {
                found,
                expected,
                more,
            } => {
                write!(f, "wrong: found {found}, expected {expected}")?;
                match more {
                    0 => Ok(()),
                    1 => f.write_str("; and in one more place"),
                    more => write!(f, "; and in {more} more places"),
                }
            }
            Verdict::CannotTell { because } => write!(f, "cannot tell, because {because}"),
        }
    }
}

/// What was found of one object, and of the rings inside it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Where it lies.
    pub path: PathBuf,
    /// Its form, if its description says one.
    pub form: Option<Form>,
    /// Every rule that applies to it, in the order of [`RULES`](crate::registry::RULES).
    pub findings: Vec<Finding>,
    /// The rings inside it: the lanes of a queue, the way back of a link, the queue of a mailbox.
    pub inside: Vec<Report>,
}

impl Report {
    /// Returns every rule that is broken, with the path of the object: of this one and of those inside it.
    pub fn wrong(&self) -> Vec<(&PathBuf, &Finding)> {
        let is_wrong = |finding: &&Finding| matches!(finding.verdict, Verdict::Wrong { .. });
        let own = self.findings.iter().filter(is_wrong);
        let mut all: Vec<_> = own.map(|finding| (&self.path, finding)).collect();
        all.extend(self.inside.iter().flat_map(Report::wrong));
        all
    }
}

/// The rules of one object, while they are looked at.
#[derive(Debug, Default)]
pub(super) struct Sheet {
    findings: Vec<Finding>,
}

impl Sheet {
    fn of(&mut self, rule: &'static Rule) -> &mut Verdict {
        let at = match self
            .findings
            .iter()
            .position(|finding| finding.rule == rule)
        {
            Some(at) => at,
            None => {
                let found = String::new();
                let verdict = Verdict::Ok { found };
                self.findings.push(Finding { rule, verdict });
                self.findings.len() - 1
            }
        };
        &mut self.findings[at].verdict
    }

    /// Notes that a rule applies and was looked at; what was noted of it before stays.
    pub fn ok(&mut self, rule: &'static Rule, seen: impl fmt::Display) {
        if let Verdict::Ok { found } = self.of(rule) {
            *found = seen.to_string();
        }
    }

    /// Notes a place where a rule is broken.
    pub fn wrong(
        &mut self,
        rule: &'static Rule,
        seen: impl fmt::Display,
        allowed: impl fmt::Display,
    ) {
        match self.of(rule) {
            Verdict::Wrong { more, .. } => *more += 1,
            verdict => {
                *verdict = Verdict::Wrong {
                    found: seen.to_string(),
                    expected: allowed.to_string(),
                    more: 0,
                }
            }
        }
    }

    /// Notes why it cannot be told whether a rule holds, unless it is known to be broken.
    pub fn unknown(&mut self, rule: &'static Rule, why: impl fmt::Display) {
        match self.of(rule) {
            Verdict::Wrong { .. } => {}
            verdict => {
                *verdict = Verdict::CannotTell {
                    because: why.to_string(),
                }
            }
        }
    }

    /// As [`unknown`](Self::unknown), of a rule that was not looked at.
    pub fn unknown_if_not_seen(&mut self, rule: &'static Rule, why: &str) {
        if !self.findings.iter().any(|finding| finding.rule == rule) {
            self.unknown(rule, why);
        }
    }

    /// Notes a rule as held or broken.
    pub fn holds(
        &mut self,
        rule: &'static Rule,
        holds: bool,
        seen: impl fmt::Display,
        allowed: impl fmt::Display,
    ) {
        if holds {
            self.ok(rule, seen);
        } else {
            self.wrong(rule, seen, allowed);
        }
    }

    /// Returns `true` if a rule is broken.
    pub fn has_wrong(&self) -> bool {
        let wrong = |finding: &Finding| matches!(finding.verdict, Verdict::Wrong { .. });
        self.findings.iter().any(wrong)
    }

    /// Says of every broken rule that it cannot be told.
    pub fn doubt(&mut self, why: &str) {
        for finding in &mut self.findings {
            if let Verdict::Wrong { .. } = finding.verdict {
                finding.verdict = Verdict::CannotTell {
                    because: why.to_owned(),
                };
            }
        }
    }

    /// Keeps as broken only what another look found broken too.
    pub fn keep_what_stays_wrong(&mut self, again: Self) {
        for finding in &mut self.findings {
            if let Verdict::Wrong { .. } = finding.verdict {
                let later = again.findings.iter().find(|it| it.rule == finding.rule);
                finding.verdict = match later {
                    Some(later) => later.verdict.clone(),
                    None => Verdict::CannotTell {
                        because: "it changed while it was looked at".into(),
                    },
                };
            }
        }
    }

    /// Adds what another sheet has.
    pub fn append(&mut self, mut other: Self) {
        self.findings.append(&mut other.findings);
    }

    /// The findings, in the order of the rules.
    pub fn findings(mut self) -> Vec<Finding> {
        let place = |rule| RULES.iter().position(|known| *known == rule);
        self.findings.sort_by_key(|finding| place(finding.rule));
        self.findings
    }
}
