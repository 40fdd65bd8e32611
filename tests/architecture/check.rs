//! The page about checking lists the rules that the library applies.

use super::root;
use slipring::registry::RULES;
use std::fs;

#[test]
fn the_page_about_checking_has_each_rule_with_what_it_demands_and_where() {
    let page = fs::read_to_string(root().join("docs/reference/check.md")).unwrap();
    let rows = page
        .lines()
        .filter(|line| line.starts_with("| `") && line.contains("]["));
    let listed: Vec<(String, String, String)> = rows
        .map(|row| {
            let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
            let section = cells[2].split("][").nth(1).unwrap();
            (
                cells[0].trim_matches('`').to_owned(),
                cells[1].to_owned(),
                section.trim_end_matches(']').to_owned(),
            )
        })
        .collect();
    let rules: Vec<(String, String, String)> = RULES
        .iter()
        .map(|rule| (rule.name.into(), rule.demands.into(), rule.section.into()))
        .collect();
    assert_eq!(listed, rules);
}
