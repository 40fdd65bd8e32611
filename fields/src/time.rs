//! Dates and times of UTC, to the nanosecond, as text and back.

const SECOND: i128 = 1_000_000_000;
const DAY: i128 = 86_400;

/// Nanoseconds since 1970 as `2026-01-31T23:59:59.123456789Z`; whole seconds without the fraction.
pub fn show(ns: i128) -> String {
    let (seconds, fraction) = (ns.div_euclid(SECOND), ns.rem_euclid(SECOND));
    let (day, second) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
    let (year, month, date) = date_of(day);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let text = format!("{year:04}-{month:02}-{date:02}T{hour:02}:{minute:02}:{second:02}");
    match fraction {
        0 => text + "Z",
        fraction => format!("{text}.{fraction:09}Z"),
    }
}

/// The reverse of [`show`]; a fraction may have 1 to 9 digits.
pub fn read(text: &str) -> Option<i128> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let [hour, minute, second] = numbers(time, ':', [2, 2, 2])?;
    if !(1..=9).contains(&fraction.len()) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let fraction = number(&format!("{fraction:0<9}"))?;
    let days = day_of(year, month, day);
    if date_of(days) != (year, month, day) {
        return None;
    }
    Some((days * DAY + hour * 3600 + minute * 60 + second) * SECOND + fraction)
}

fn number(digits: &str) -> Option<i128> {
    let all = digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| all)
}

fn numbers(text: &str, between: char, digits: [usize; 3]) -> Option<[i128; 3]> {
    let mut parts = text.split(between);
    let mut found = [0; 3];
    for (found, digits) in found.iter_mut().zip(digits) {
        let part = parts.next().filter(|part| part.len() == digits)?;
        *found = number(part)?;
    }
    parts.next().is_none().then_some(found)
}

/// The date of a day since 1970, in the Gregorian calendar (Hinnant, "chrono-compatible low-level date
/// algorithms").
fn date_of(day: i128) -> (i128, i128, i128) {
    let day = day + 719_468;
    let (era, of_era) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let date = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i128::from(month <= 2), month, date)
}

/// The day since 1970 of a date.
fn day_of(year: i128, month: i128, date: i128) -> i128 {
    let year = year - i128::from(month <= 2);
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let month = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * month + 2) / 5 + date - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_and_read_alike() {
        for (ns, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (1, "1970-01-01T00:00:00.000000001Z"),
            (-1, "1969-12-31T23:59:59.999999999Z"),
            (951_782_400 * SECOND, "2000-02-29T00:00:00Z"),
            (4_107_542_399 * SECOND, "2100-02-28T23:59:59Z"),
            (4_107_542_400 * SECOND, "2100-03-01T00:00:00Z"),
            (i128::from(i64::MIN), "1677-09-21T00:12:43.145224192Z"),
            (i128::from(u64::MAX), "2554-07-21T23:34:33.709551615Z"),
        ] {
            assert_eq!(show(ns), text);
            assert_eq!(read(text), Some(ns));
        }
        assert_eq!(read("1970-01-01T00:00:00.5Z"), Some(SECOND / 2));
        for day in -200_000..200_000 {
            let (year, month, date) = date_of(day);
            assert_eq!(day_of(year, month, date), day);
        }
        for text in [
            "",
            "1970-01-01",
            "1970-01-01T00:00:00",
            "1970-1-01T00:00:00Z",
            "1970-01-01T24:00:00Z",
            "1970-02-30T00:00:00Z",
            "1970-00-01T00:00:00Z",
            "1970-01-01T00:00:00.Z",
            "1970-01-01T00:00:00.0000000001Z",
            "+970-01-01T00:00:00Z",
            "1970-01-01-01T00:00:00Z",
            "1970-01-01T00:00:0\u{e9}Z",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
