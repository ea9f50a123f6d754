//! A network's score on a set of images.

use std::collections::BTreeMap;

use tch::{Kind, Tensor, no_grad};

use super::classification::{self, accuracy};
use super::images::{DeviceImages, to_i64};
use super::networks::Model;
use super::training::chunks;
use crate::randomness::{Randomness, seed_for};
use crate::target::{Evaluation, Measures, TargetError, below, shuffle};

/// Parts that pairs are cut into to choose thresholds.
const FOLDS: usize = 10;

/// How a set of images is scored, the same for every network: which episodes and pairs there are is decided once.
pub(super) enum Scoring {
    Classification,
    Episodes(Vec<Episode>),
    Verification {
        /// Positions of the images of each pair, and whether they are of one class.
        pairs: Vec<(i64, i64, bool)>,
    },
}

/// Positions of a few-shot episode's examples: for each class those it is shown by and those that are asked for.
pub(super) struct Episode {
    classes: Vec<(Vec<i64>, Vec<i64>)>,
}

impl Scoring {
    /// Draws what is scored on a set.
    ///
    /// # Errors
    ///
    /// [`TargetError::InvalidRun`] if the set has too few classes or examples of them.
    pub(super) fn new(evaluation: &Evaluation, images: &DeviceImages, seed: u64) -> Result<Self, TargetError> {
        match *evaluation {
            Evaluation::Classification => Ok(Self::Classification),
            Evaluation::Episodes { ways, shots, queries, episodes } => {
                let (ways, shots) = (usize::from(ways), usize::from(shots));
                let size = shots + usize::from(queries);
                let classes: Vec<Vec<i64>> =
                    by_class(images)?.into_values().filter(|positions| positions.len() >= size).collect();
                if classes.len() < ways || ways < 2 || shots == 0 || queries == 0 {
                    return Err(TargetError::InvalidRun {
                        field: "evaluation",
                        value: format!("{ways} ways of {shots} shots and {queries} queries"),
                        expected: "at least 2 ways, 1 shot and 1 query, and as many classes with that many examples in the \
                                   validation and in the test set",
                    });
                }
                let episode = |number: u32| {
                    let mut order: Vec<usize> = (0..classes.len()).collect();
                    shuffle(&mut order, seed_for(seed, u64::from(number), "episode classes"));
                    let chosen = order[..ways].iter().map(|&class| {
                        let mut positions = classes[class].clone();
                        let of_class = u64::from(number) * classes.len() as u64 + class as u64;
                        shuffle(&mut positions, seed_for(seed, of_class, "episode examples"));
                        (positions[..shots].to_vec(), positions[shots..size].to_vec())
                    });
                    Episode { classes: chosen.collect() }
                };
                Ok(Self::Episodes((0..episodes.max(1)).map(episode).collect()))
            }
            Evaluation::Verification { pairs, .. } => {
                Ok(Self::Verification { pairs: draw_pairs(images, pairs, seed)? })
            }
        }
    }

    /// Scores pairs that stand side by side in the set.
    pub(super) fn of_pairs(same: &[bool]) -> Self {
        let pairs = same.iter().enumerate().map(|(pair, &same)| (to_i64(2 * pair), to_i64(2 * pair + 1), same));
        Self::Verification { pairs: pairs.collect() }
    }

    /// Returns what else is measured of a test set: of classifications alone.
    pub(super) fn measures(&self, model: &Model, images: &DeviceImages) -> Result<Measures, TargetError> {
        match self {
            Self::Classification => classification::measures(model, images),
            Self::Episodes(_) | Self::Verification { .. } => Ok(Measures::default()),
        }
    }

    /// Returns the share that `model` gets right, from 0 to 1.
    ///
    /// # Errors
    ///
    /// [`TargetError::NoLastLayer`] where embeddings are needed and a module does not tell them.
    pub(super) fn score(&self, model: &Model, images: &DeviceImages) -> Result<f64, TargetError> {
        match self {
            Self::Classification => accuracy(model, images),
            Self::Episodes(episodes) => {
                let embeddings = embed(model, images)?;
                let right: f64 = episodes.iter().map(|episode| episode.share_right(&embeddings)).sum();
                Ok(right / episodes.len() as f64)
            }
            Self::Verification { pairs } => {
                let embeddings = embed(model, images)?;
                let side = |of: fn(&(i64, i64, bool)) -> i64| {
                    let positions: Vec<i64> = pairs.iter().map(of).collect();
                    embeddings.index_select(0, &Tensor::from_slice(&positions).to_device(embeddings.device()))
                };
                let cosines = (side(|pair| pair.0) * side(|pair| pair.1)).sum_dim_intlist(1, false, Kind::Double);
                let same: Vec<bool> = pairs.iter().map(|pair| pair.2).collect();
                Ok(share_told_apart(&Vec::<f64>::try_from(cosines)?, &same))
            }
        }
    }
}

impl Episode {
    fn share_right(&self, embeddings: &Tensor) -> f64 {
        let select = |positions: &[i64]| {
            embeddings.index_select(0, &Tensor::from_slice(positions).to_device(embeddings.device()))
        };
        let means: Vec<Tensor> =
            self.classes.iter().map(|(shown, _)| select(shown).mean_dim(0, false, Kind::Float)).collect();
        let means = unit_rows(&Tensor::stack(&means, 0)).tr();
        let (mut right, mut asked) = (0, 0);
        for (class, (_, queries)) in self.classes.iter().enumerate() {
            let nearest = select(queries).matmul(&means).argmax(1, false);
            right += nearest.eq(to_i64(class)).sum(Kind::Int64).int64_value(&[]);
            asked += queries.len();
        }
        right as f64 / asked as f64
    }
}

/// Positions of the images of each class.
fn by_class(images: &DeviceImages) -> Result<BTreeMap<i64, Vec<i64>>, TargetError> {
    let mut classes: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for (position, label) in images.labels()?.into_iter().enumerate() {
        classes.entry(label).or_default().push(to_i64(position));
    }
    Ok(classes)
}

/// Pairs of one class and of two in turn.
fn draw_pairs(images: &DeviceImages, count: u32, seed: u64) -> Result<Vec<(i64, i64, bool)>, TargetError> {
    let classes: Vec<Vec<i64>> = by_class(images)?.into_values().filter(|positions| positions.len() >= 2).collect();
    if classes.len() < 2 || (count as usize) < FOLDS {
        return Err(TargetError::InvalidRun {
            field: "evaluation",
            value: format!("{count} pairs of {} classes with two examples", classes.len()),
            expected: "at least 10 pairs, and 2 classes of 2 examples in the validation and in the test set",
        });
    }
    let mut randomness = Randomness::new(seed_for(seed, 0, "verification pairs"));
    let mut other_than = |taken: usize, bound: usize| {
        let drawn = below(&mut randomness, bound - 1);
        drawn + usize::from(drawn >= taken)
    };
    let mut pairs = Vec::new();
    for number in 0..count {
        // A position that no one has taken is any position.
        let class = other_than(usize::MAX, classes.len() + 1);
        let first = other_than(usize::MAX, classes[class].len() + 1);
        if number % 2 == 0 {
            let second = other_than(first, classes[class].len());
            pairs.push((classes[class][first], classes[class][second], true));
        } else {
            let other = &classes[other_than(class, classes.len())];
            pairs.push((classes[class][first], other[other_than(usize::MAX, other.len() + 1)], false));
        }
    }
    Ok(pairs)
}

/// Inputs of the last linear layer scaled to length 1, n × width.
fn embed(model: &Model, images: &DeviceImages) -> Result<Tensor, TargetError> {
    let mut embeddings = Vec::new();
    for (start, end) in chunks(images.len()) {
        let activations = model.forward_with_hidden(&images.range(start, end).0)?;
        let hidden = activations.hidden.ok_or(TargetError::NoLastLayer)?;
        embeddings.push(no_grad(|| unit_rows(&hidden.detach().to_kind(Kind::Float))));
    }
    Ok(Tensor::f_cat(&embeddings, 0)?)
}

/// Rows scaled to length 1; a row of zeros stays one.
pub(super) fn unit_rows(rows: &Tensor) -> Tensor {
    let lengths = rows.square().sum_dim_intlist(1, true, Kind::Float).sqrt();
    rows / lengths.clamp_min(f64::from(f32::MIN_POSITIVE))
}

/// The share of pairs on the right side of the threshold that is best for the pairs outside their fold.
fn share_told_apart(cosines: &[f64], same: &[bool]) -> f64 {
    let fold = |pair: usize| pair * FOLDS / cosines.len();
    let mut right = 0;
    for held_out in 0..FOLDS {
        let of = |wanted: bool| (0..cosines.len()).filter(move |&pair| (fold(pair) == held_out) == wanted);
        let mut known: Vec<(f64, bool)> = of(false).map(|pair| (cosines[pair], same[pair])).collect();
        known.sort_by(|a, b| b.0.total_cmp(&a.0));
        let threshold = best_threshold(&known);
        right += of(true).filter(|&pair| (cosines[pair] >= threshold) == same[pair]).count();
    }
    right as f64 / cosines.len() as f64
}

/// The cosine from which on pairs are called the same with the fewest mistakes; `known` is in descending order.
fn best_threshold(known: &[(f64, bool)]) -> f64 {
    let mut right = known.iter().filter(|(_, same)| !same).count();
    let mut best = (right, f64::INFINITY);
    for (index, (cosine, same)) in known.iter().enumerate() {
        if *same {
            right += 1;
        } else {
            right -= 1;
        }
        let next = known.get(index + 1).map_or(f64::NEG_INFINITY, |next| next.0);
        if right > best.0 && next < *cosine {
            best = (right, if next.is_finite() { f64::midpoint(*cosine, next) } else { next });
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;
    use crate::data::synthetic;
    use crate::target::{Architecture, InputScale};

    fn images() -> DeviceImages {
        DeviceImages::new(&synthetic::blobs(200, 5, 3), InputScale::Standardised, Device::Cpu)
    }

    #[test]
    fn thresholds_are_chosen_on_other_pairs_than_they_are_tried_on() {
        let same: Vec<bool> = (0..40).map(|pair| pair % 2 == 0).collect();
        let told: Vec<f64> = same.iter().map(|&same| if same { 0.9 } else { 0.1 }).collect();
        assert!((share_told_apart(&told, &same) - 1.0).abs() < 1e-12);
        // Cosines that say nothing tell half of the pairs apart.
        let blind = share_told_apart(&vec![0.5; 40], &same);
        assert!((0.4..=0.6).contains(&blind), "{blind}");
        assert!(
            (best_threshold(&[(0.9, true), (0.8, true), (0.4, false), (0.3, true), (0.1, false)]) - 0.6).abs() < 1e-12
        );
    }

    #[test]
    fn pairs_are_half_of_one_class_and_never_an_image_with_itself() {
        let (images, labels) = (images(), images().labels().unwrap());
        let label = |position: i64| labels[usize::try_from(position).unwrap()];
        let pairs = draw_pairs(&images, 1000, 4).unwrap();
        assert_eq!(pairs.iter().filter(|pair| pair.2).count(), 500);
        assert!(pairs.iter().all(|&(a, b, same)| a != b && (label(a) == label(b)) == same));
        let distinct: std::collections::BTreeSet<i64> = pairs.iter().flat_map(|pair| [pair.0, pair.1]).collect();
        assert!(distinct.len() > 195, "every image may be drawn: {}", distinct.len());
        assert_eq!(pairs, draw_pairs(&images, 1000, 4).unwrap());
    }

    #[test]
    fn episodes_ask_for_other_examples_than_they_show() {
        let evaluation = Evaluation::Episodes { ways: 3, shots: 2, queries: 4, episodes: 50 };
        let (images, labels) = (images(), images().labels().unwrap());
        let Scoring::Episodes(episodes) = Scoring::new(&evaluation, &images, 1).unwrap() else { panic!() };
        assert_eq!(episodes.len(), 50);
        for Episode { classes } in &episodes {
            let of = |position: &i64| labels[usize::try_from(*position).unwrap()];
            let named: std::collections::BTreeSet<i64> = classes.iter().map(|(shown, _)| of(&shown[0])).collect();
            assert_eq!(named.len(), 3);
            for (shown, asked) in classes {
                assert_eq!((shown.len(), asked.len()), (2, 4));
                assert!(asked.iter().all(|position| !shown.contains(position) && of(position) == of(&shown[0])));
            }
        }
        let too_many = Evaluation::Episodes { ways: 6, shots: 2, queries: 4, episodes: 1 };
        assert!(Scoring::new(&too_many, &images, 1).is_err());
    }

    #[test]
    fn an_untrained_network_scores_the_episodes_and_pairs_of_clear_images_above_chance() {
        let images = images();
        let model = Model::new(Architecture::Mlp, images.shape(), 5, 1, Device::Cpu);
        let score =
            |evaluation: &Evaluation| Scoring::new(evaluation, &images, 2).unwrap().score(&model, &images).unwrap();
        let episodes = score(&Evaluation::Episodes { ways: 5, shots: 5, queries: 5, episodes: 20 });
        let pairs = score(&Evaluation::Verification { pairs: 400, test_pairs: None });
        assert!(episodes > 0.4 && pairs > 0.6, "{episodes} {pairs}");
    }
}
