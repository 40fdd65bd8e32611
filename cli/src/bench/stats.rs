//! What may be said of a few samples: middle and range, a rank test, its correction for many figures, and an
//! interval for the ratio of two medians. Knows nothing of what the samples are.

use fastrand::Rng;

/// Fewer samples than this are not shown as a figure.
pub const FEWEST: usize = 3;

/// The middle value, or the mean of the middle two; zero of nothing. Sorts.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    match (values.len() % 2, values.get(half)) {
        (_, None) => 0.0,
        (1, Some(middle)) => *middle,
        (_, Some(upper)) => (values[half - 1] + upper) / 2.0,
    }
}

/// Smallest, median, largest; zeros of nothing.
pub fn spread(values: impl Iterator<Item = f64>) -> (f64, f64, f64) {
    let mut values: Vec<f64> = values.collect();
    let mid = median(&mut values);
    match (values.first(), values.last()) {
        (Some(low), Some(high)) => (*low, mid, *high),
        _ => (0.0, 0.0, 0.0),
    }
}

/// Up to so many samples on both sides together, the rank test is exact.
const EXACT: usize = 60;

/// The rank test of Mann and Whitney, two-sided. Keeps the last distribution, as most figures of a comparison
/// have the same one.
#[derive(Default)]
pub struct RankTest {
    ranks: Vec<usize>,
    size: usize,
    /// How many choices of `size` of the ranks have each sum.
    sums: Vec<f64>,
}

impl RankTest {
    /// The chance that two sets from one distribution lie at least as far apart as these; 1 if one is empty.
    pub fn p(&mut self, a: &[f64], b: &[f64]) -> f64 {
        if a.is_empty() || b.is_empty() {
            return 1.0;
        }
        let mut pooled: Vec<(f64, bool)> = a.iter().map(|value| (*value, true)).collect();
        pooled.extend(b.iter().map(|value| (*value, false)));
        pooled.sort_by(|x, y| x.0.total_cmp(&y.0));
        // Twice the rank, as equal values share the mean of theirs.
        let mut ranks = Vec::with_capacity(pooled.len());
        while ranks.len() < pooled.len() {
            let (first, value) = (ranks.len(), pooled[ranks.len()].0);
            let equal = pooled[first..].iter().take_while(|p| p.0 == value).count();
            ranks.extend(std::iter::repeat_n(2 * first + equal + 1, equal.max(1)));
        }
        let of_a = ranks.iter().zip(&pooled).filter(|(_, (_, is_a))| *is_a);
        let sum: usize = of_a.map(|(rank, _)| rank).sum();
        let total = pooled.len();
        let expected = a.len() * (total + 1);
        let away = sum.abs_diff(expected);
        if away == 0 {
            return 1.0;
        }
        if total > EXACT {
            return normal(&ranks, a.len(), away as f64);
        }
        if self.ranks != ranks || self.size != a.len() {
            self.sums = sums(&ranks, a.len());
            (self.ranks, self.size) = (ranks, a.len());
        }
        let all: f64 = self.sums.iter().sum();
        let far = self.sums.iter().enumerate();
        let far = far.filter(|(sum, _)| sum.abs_diff(expected) >= away);
        far.map(|(_, ways)| ways).sum::<f64>() / all
    }
}

/// How many choices of `size` of these ranks have each sum.
fn sums(ranks: &[usize], size: usize) -> Vec<f64> {
    let total: usize = ranks.iter().sum();
    let mut ways = vec![vec![0.0; total + 1]; size + 1];
    ways[0][0] = 1.0;
    for (seen, rank) in ranks.iter().enumerate() {
        for chosen in (1..=size.min(seen + 1)).rev() {
            let (fewer, these) = ways.split_at_mut(chosen);
            let fewer = &fewer[chosen - 1][..=total - rank];
            for (these, fewer) in these[0][*rank..].iter_mut().zip(fewer) {
                *these += fewer;
            }
        }
    }
    ways.swap_remove(size)
}

/// The same of many samples, whose sum of ranks is as good as normally distributed.
fn normal(ranks: &[usize], size: usize, away: f64) -> f64 {
    let (n, total) = (size as f64, ranks.len() as f64);
    let mean = total + 1.0;
    let squares: f64 = ranks.iter().map(|r| (*r as f64 - mean).powi(2)).sum();
    // Of a sum of n of these, drawn without putting back.
    let variance = n * (total - n) / (total * (total - 1.0)) * squares;
    if variance <= 0.0 {
        return 1.0;
    }
    // A step of the doubled sum is two where no ranks are shared.
    libm::erfc((away - 1.0).max(0.0) / (2.0 * variance).sqrt()).min(1.0)
}

/// Corrects the chances of many tests for their number (S. Holm, "A simple sequentially rejective multiple test
/// procedure", 1979): the chance that any of those below a level is below it by accident is at most that level.
pub fn holm(chances: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..chances.len()).collect();
    order.sort_by(|a, b| chances[*a].total_cmp(&chances[*b]));
    let mut corrected = vec![1.0; chances.len()];
    let mut largest = 0.0f64;
    for (done, at) in order.into_iter().enumerate() {
        largest = largest.max(chances[at] * (chances.len() - done) as f64);
        corrected[at] = largest.min(1.0);
    }
    corrected
}

/// Resamplings of an interval.
const RESAMPLINGS: usize = 999;

/// In what interval the ratio of the medians `b` to `a` lies, with a confidence of 95 %: the middle of so many
/// resamplings (percentile bootstrap). The same samples give the same interval.
pub fn ratio_interval(a: &[f64], b: &[f64]) -> (f64, f64) {
    let mut rng = Rng::with_seed(1);
    let mut again = |values: &[f64]| {
        let mut drawn: Vec<f64> = values
            .iter()
            .map(|_| values[rng.usize(..values.len())])
            .collect();
        median(&mut drawn)
    };
    let ratio = |(a, b): (f64, f64)| b / a.max(f64::MIN_POSITIVE);
    let mut ratios: Vec<f64> = (0..RESAMPLINGS)
        .map(|_| ratio((again(a), again(b))))
        .collect();
    ratios.sort_by(f64::total_cmp);
    let at = |share: f64| ratios[(share * (RESAMPLINGS - 1) as f64).round() as usize];
    (at(0.025), at(0.975))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_is_the_mean_of_the_middle_two() {
        assert_eq!(median(&mut []), 0.0);
        assert_eq!(median(&mut [7.0]), 7.0);
        assert_eq!(median(&mut [3.0, 1.0]), 2.0);
        assert_eq!(median(&mut [9.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&mut [4.0, 1.0, 100.0, 2.0]), 3.0);
        assert_eq!(
            spread([4.0, 1.0, 100.0, 2.0].into_iter()),
            (1.0, 3.0, 100.0)
        );
        assert_eq!(spread(std::iter::empty()), (0.0, 0.0, 0.0));
    }

    #[test]
    fn the_rank_test_gives_the_chances_of_the_tables() {
        let mut test = RankTest::default();
        let low = [1.0, 2.0, 3.0, 4.0, 5.0];
        let high = [6.0, 7.0, 8.0, 9.0, 10.0];
        // Two of the 252 ways to choose five of ten.
        assert!((test.p(&low, &high) - 2.0 / 252.0).abs() < 1e-12);
        assert!((test.p(&high, &low) - 2.0 / 252.0).abs() < 1e-12);
        // U = 1: two ways at either end, more.
        let near = [6.0, 7.0, 8.0, 9.0, 4.5];
        assert!((test.p(&low, &near) - 4.0 / 252.0).abs() < 1e-12);
        // Equal values share their rank: of 3 and 3 with one pair across, sums of ranks 6.5 to 14.5.
        assert!((test.p(&[1.0, 2.0, 3.0], &[3.0, 4.0, 5.0]) - 4.0 / 20.0).abs() < 1e-12);
        assert_eq!(test.p(&[1.0; 8], &[1.0; 8]), 1.0);
        assert_eq!(test.p(&[], &low), 1.0);
    }

    #[test]
    fn many_samples_give_what_the_exact_test_gives() {
        let a: Vec<f64> = (0..30).map(|n| f64::from(n * 37 % 101)).collect();
        let b: Vec<f64> = (0..30).map(|n| f64::from(n * 53 % 101 + 17)).collect();
        let exact = RankTest::default().p(&a, &b);
        let mut pooled: Vec<f64> = a.iter().chain(&b).copied().collect();
        pooled.sort_by(f64::total_cmp);
        let of = |value: f64| {
            let below = pooled.iter().filter(|v| **v < value).count();
            2 * below + pooled.iter().filter(|v| **v == value).count() + 1
        };
        let ranks: Vec<usize> = pooled.iter().map(|v| of(*v)).collect();
        let sum: usize = a.iter().map(|v| of(*v)).sum();
        let approximate = normal(&ranks, 30, sum.abs_diff(30 * 61) as f64);
        assert!(exact > 0.001 && exact < 0.9, "{exact}");
        assert!(
            (exact - approximate).abs() < 0.01 * exact + 0.001,
            "{exact} {approximate}"
        );
        // Too many for the exact one.
        let wide: Vec<f64> = (0..100).map(f64::from).collect();
        let apart: Vec<f64> = (200..300).map(f64::from).collect();
        assert!(RankTest::default().p(&wide, &apart) < 1e-30);
    }

    #[test]
    fn holm_corrects_for_the_number_of_tests() {
        let corrected = holm(&[0.01, 0.04, 0.03, 0.005]);
        let expected = [0.03, 0.06, 0.06, 0.02];
        for (is, should) in corrected.iter().zip(expected) {
            assert!((is - should).abs() < 1e-12, "{corrected:?}");
        }
        assert_eq!(holm(&[0.9, 0.8]), [1.0, 1.0]);
    }

    #[test]
    fn an_interval_has_the_true_ratio_in_it_nineteen_times_in_twenty() {
        let mut rng = Rng::with_seed(5);
        let mut held = 0;
        for _ in 0..200 {
            let mut draw = |middle: f64| -> Vec<f64> {
                (0..15).map(|_| middle * (0.9 + 0.2 * rng.f64())).collect()
            };
            let (a, b) = (draw(100.0), draw(110.0));
            let (low, high) = ratio_interval(&a, &b);
            assert!(low <= high && high / low < 1.5);
            held += u32::from(low <= 1.1 && 1.1 <= high);
        }
        assert!((184..=199).contains(&held), "{held} of 200");
    }
}
