//! Histograms as files: the text format of HdrHistogram, and a picture.

use super::paced::says_something;
use hdrhistogram::Histogram;
use std::fmt::Write as _;

/// The percentile distribution that the tools around HdrHistogram read (`.hgrm`), in nanoseconds.
pub fn hgrm(histogram: &Histogram<u64>) -> String {
    let mut text = format!(
        "{:>12} {:>14} {:>10} {:>14}\n\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    );
    for at in histogram.iter_quantiles(5) {
        let quantile = at.quantile_iterated_to();
        let value = at.value_iterated_to() as f64;
        let count = histogram.count_between(0, at.value_iterated_to());
        let line = if quantile < 1.0 {
            let odds = 1.0 / (1.0 - quantile);
            format!("{value:>12.3} {quantile:>2.12} {count:>10} {odds:>14.2}\n")
        } else {
            format!("{value:>12.3} {quantile:>2.12} {count:>10}\n")
        };
        text.push_str(&line);
        if quantile >= 1.0 {
            break;
        }
    }
    let (mean, deviation) = (histogram.mean(), histogram.stdev());
    let (max, total) = (histogram.max() as f64, histogram.len());
    let (buckets, halves) = (histogram.buckets(), histogram.distinct_values());
    // A string takes everything.
    let _ = write!(
        text,
        "#[Mean    = {mean:>12.3}, StdDeviation   = {deviation:>12.3}]\n\
         #[Max     = {max:>12.3}, Total count    = {total:>12}]\n\
         #[Buckets = {buckets:>12}, SubBuckets     = {halves:>12}]\n"
    );
    text
}

/// One curve of a picture.
pub struct Curve<'h> {
    pub name: String,
    pub histogram: &'h Histogram<u64>,
}

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 480.0;
const MARGIN: f64 = 70.0;
const COLOURS: [&str; 8] = [
    "#1b6ca8", "#c0392b", "#27865a", "#8e44ad", "#c77f0a", "#16a085", "#555555", "#d35f8d",
];

/// Latency over percentiles, both logarithmic, as SVG. A curve ends where too few samples are left.
pub fn svg(title: &str, curves: &[Curve<'_>]) -> String {
    let largest = curves.iter().map(|c| c.histogram.max()).max().unwrap_or(1);
    let smallest = curves.iter().map(|c| c.histogram.min().max(1)).min();
    let low = (smallest.unwrap_or(1) as f64).log10().floor();
    let high = (largest.max(10) as f64).log10().ceil().max(low + 1.0);
    // From the median's half to five nines.
    let (left, right) = (0.0f64, 5.0f64);
    let x = |odds: f64| MARGIN + (odds.log10() - left) / (right - left) * (WIDTH - 2.0 * MARGIN);
    let y = |nanos: f64| {
        HEIGHT - MARGIN - (nanos.max(1.0).log10() - low) / (high - low) * (HEIGHT - 2.0 * MARGIN)
    };
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{MARGIN}\" y=\"30\" font-size=\"15\">{}</text>\n",
        escaped(title)
    );
    let mut line =
        |x1: f64, y1: f64, x2: f64, y2: f64, label: &str, at: (f64, f64), anchor: &str| {
            let (lx, ly) = at;
            let _ = writeln!(
            out,
            "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"#dddddd\"/>\
             <text x=\"{lx:.1}\" y=\"{ly:.1}\" text-anchor=\"{anchor}\">{label}</text>"
        );
        };
    let (top, bottom) = (MARGIN, HEIGHT - MARGIN);
    for (odds, label) in [
        (1.0, "0"),
        (10.0, "90"),
        (1e2, "99"),
        (1e3, "99.9"),
        (1e4, "99.99"),
        (1e5, "99.999"),
    ] {
        let at = x(odds);
        line(
            at,
            top,
            at,
            bottom,
            &format!("{label} %"),
            (at, bottom + 20.0),
            "middle",
        );
    }
    for power in low as i32..=high as i32 {
        let nanos = 10f64.powi(power);
        let at = y(nanos);
        let label = crate::text::nanos(nanos);
        line(
            MARGIN,
            at,
            WIDTH - MARGIN,
            at,
            &label,
            (MARGIN - 6.0, at + 4.0),
            "end",
        );
    }
    for (number, curve) in curves.iter().enumerate() {
        let colour = COLOURS[number % COLOURS.len()];
        let mut points = String::new();
        for step in 0..=500 {
            let odds = 10f64.powf(right * f64::from(step) / 500.0);
            let percentile = 100.0 * (1.0 - 1.0 / odds);
            if !says_something(curve.histogram, percentile) {
                break;
            }
            let value = curve.histogram.value_at_percentile(percentile) as f64;
            let _ = write!(points, "{:.1},{:.1} ", x(odds), y(value));
        }
        let (at, name) = (top + 18.0 * number as f64, escaped(&curve.name));
        let _ = writeln!(
            out,
            "<polyline points=\"{points}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.8\"/>\
             <text x=\"{:.1}\" y=\"{at:.1}\" fill=\"{colour}\">{name}</text>",
            MARGIN + 12.0
        );
    }
    out.push_str("</svg>\n");
    out
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::load::histogram;

    #[test]
    fn a_distribution_says_what_the_histogram_says() {
        let mut latencies = histogram().unwrap();
        for value in 1..=10_000 {
            latencies.record(value).unwrap();
        }
        let text = hgrm(&latencies);
        let rows: Vec<Vec<f64>> = text
            .lines()
            .skip(2)
            .filter(|line| !line.starts_with('#'))
            .map(|line| {
                line.split_whitespace()
                    .map(|word| word.parse().unwrap())
                    .collect()
            })
            .collect();
        assert!(rows.len() > 20);
        for row in &rows {
            // Value, quantile, how many are not larger, and the odds against more.
            let near = |a: f64, b: f64| (a - b).abs() <= b * 0.002 + 1.0;
            assert!(
                near(row[0], latencies.value_at_quantile(row[1]) as f64),
                "{row:?}"
            );
            assert!(near(row[2], row[0]), "{row:?}");
            assert!(
                row.len() == 3 || near(row[3], 1.0 / (1.0 - row[1])),
                "{row:?}"
            );
        }
        let last = rows.last().unwrap();
        assert_eq!((last[1], last[2], last.len()), (1.0, 10_000.0, 3));
        assert!(text.contains("Total count    =        10000"), "{text}");
    }

    #[test]
    fn a_picture_has_a_curve_for_each_and_ends_where_samples_do() {
        let mut few = histogram().unwrap();
        few.record_n(100, 100).unwrap();
        let mut many = histogram().unwrap();
        many.record_n(1000, 1_000_000).unwrap();
        let curves = [("few", &few), ("<many>", &many)].map(|(name, histogram)| Curve {
            name: name.into(),
            histogram,
        });
        let text = svg("a & b", &curves);
        assert_eq!(text.matches("<polyline").count(), 2);
        assert!(text.contains("a &amp; b") && text.contains("&lt;many&gt;"));
        let points: Vec<usize> = text
            .split("points=\"")
            .skip(1)
            .map(|rest| rest.split('"').next().unwrap().split_whitespace().count())
            .collect();
        // A tenth of a hundred samples, and a hundred-thousandth of a million.
        assert!(points[0] > 80 && points[0] < 120, "{points:?}");
        assert_eq!(points[1], 501);
    }
}
