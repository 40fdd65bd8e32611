//! The state of a source, for people.

use serde_json::Value;

/// Prints the answer of a source: as it came, or for people.
pub(crate) fn show(bytes: &[u8], json: bool) {
    let text = String::from_utf8_lossy(bytes);
    let state: Value = match serde_json::from_slice(bytes) {
        Ok(state) if !json => state,
        _ => {
            println!("{text}");
            return;
        }
    };
    let text = |key: &str| match &state[key] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    println!("{} of {}, {}", text("ring"), text("host"), text("path"));
    println!("  identity     {}", text("id"));
    println!("  sent         up to {}", text("next_sequence"));
    let closed = if state["closed"] == true {
        ", closed"
    } else {
        ""
    };
    println!("  epoch        {}{closed}", text("epoch"));
    println!(
        "  messages     {} in {} frames, {} bytes",
        text("messages"),
        text("frames"),
        text("bytes")
    );
    if state["lossless"] == true {
        println!(
            "  lossless     {} of {} bytes under way",
            text("in_flight_bytes"),
            text("window_bytes")
        );
    }
    for mirror in state["mirrors"].as_array().into_iter().flatten() {
        let alive = match mirror["alive"] == true {
            true => "",
            false => ", silent",
        };
        let required = match mirror["required"] == true {
            true => ", waited for",
            false => "",
        };
        println!(
            "  mirror       {}: {} behind, {} lost{required}{alive}",
            mirror["name"].as_str().unwrap_or_default(),
            mirror["behind"],
            mirror["lost"]
        );
        says(&mirror["says"]);
    }
}

/// What a mirror says of itself, if it has said something yet.
fn says(told: &Value) {
    let (latency, clock) = (&told["latency_ns"], &told["clock_ns"]);
    if latency.is_object() {
        println!(
            "    from sending to writing: half within {}, 99 % within {}, 99.9 % within {}, the longest {}",
            time(&latency["p50"]),
            time(&latency["p99"]),
            time(&latency["p999"]),
            time(&latency["longest"])
        );
    }
    if clock.is_object() {
        println!(
            "    its clock: the source's is ahead by {}, give or take {}",
            time(&clock["ahead"]),
            time(&clock["uncertainty"])
        );
    }
}

/// Nanoseconds, for people.
fn time(ns: &Value) -> String {
    let Some(ns) = ns.as_f64() else {
        return "?".to_owned();
    };
    match ns.abs() {
        0.0..1e3 => format!("{ns} ns"),
        1e3..1e6 => format!("{:.1} us", ns / 1e3),
        1e6..1e9 => format!("{:.1} ms", ns / 1e6),
        _ => format!("{:.1} s", ns / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::time;

    #[test]
    fn times_are_for_people() {
        for (ns, text) in [
            (0i64, "0 ns"),
            (999, "999 ns"),
            (-1500, "-1.5 us"),
            (2_345_678, "2.3 ms"),
            (61_000_000_000, "61.0 s"),
        ] {
            assert_eq!(time(&ns.into()), text);
        }
        assert_eq!(time(&serde_json::Value::Null), "?");
    }
}
