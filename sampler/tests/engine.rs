//! An engine's batches are those of its log, whatever was computed before and by whom.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::sync::Arc;

use swift_sampler::job::{JobLog, Shard, VersionChange};
use swift_sampler::{
    Batch, Dataset, Engine, EngineError, FeatureTable, JobParameters, Plan, Replacement, Sampler, SamplerSpec,
    SamplerVersion, Seed, Segment, ServedJob,
};

const ROWS: u32 = 300;
const JOB: JobParameters =
    JobParameters { seed: 5, batch_size: 64, replacement: Replacement::Independent, epoch_draws: None };
const MODES: [Replacement; 3] = [Replacement::Independent, Replacement::Stratified, Replacement::Distinct];
const UNIFORM: &str = r#"{"kind":"uniform"}"#;
const SMALL_LOSSES: &str = r#"{"kind":"swift","features":["loss","entropy"],"coefficients":[1,0],
    "knots":[0.25,0.5,0.75],"values":[1,1,0.5,0,0],"transform":"cdf"}"#;
const WEIGHTS: &str = r#"{"kind":"column","column":"entropy"}"#;

fn dataset(rows: u32) -> Arc<Dataset> {
    let column = |name: &str, multiplier: u32| {
        let values = (0..rows).map(|row| f64::from(row.wrapping_mul(multiplier) % 1009) / 1009.0 + 0.001);
        (name.to_owned(), values.collect())
    };
    let table = FeatureTable::new(vec![column("loss", 2_654_435_761), column("entropy", 40_503)]).unwrap();
    Arc::new(Dataset::new(table, vec!["loss".into(), "entropy".into()], None).unwrap())
}

fn spec(json: &str) -> SamplerSpec {
    serde_json::from_str(json).unwrap()
}

fn engine() -> Engine {
    Engine::new(dataset(ROWS), &spec(SMALL_LOSSES), JOB).unwrap()
}

fn batches(engine: &Engine, steps: std::ops::Range<u64>) -> Vec<Batch> {
    engine.batches(steps, Shard::WHOLE).collect::<Result<_, _>>().unwrap()
}

/// An engine whose epochs of 250 draws end inside of batches, with swaps at steps 3 and 7, inside of epochs.
fn with_swaps(replacement: Replacement) -> Engine {
    let parameters = JobParameters { replacement, epoch_draws: Some(250), ..JOB };
    let mut engine = Engine::new(dataset(ROWS), &spec(SMALL_LOSSES), parameters).unwrap();
    engine.activate_at(3, &spec(WEIGHTS)).unwrap();
    engine.activate_at(7, &spec(SMALL_LOSSES)).unwrap();
    engine
}

/// A job that swapped at step 3 and back at step 7, as samplerctl prints it.
fn served(horizon: u64) -> ServedJob {
    let hash = dataset(ROWS).hash();
    let json = format!(
        r#"{{"name":"train","dataset":"d","seed":5,"batch_size":64,"epoch_draws":250,"mode":"distinct","follow":"step","horizon":{horizon},
            "log":[{{"from_step":0,"version":1}},{{"from_step":3,"version":4}},{{"from_step":7,"version":1}}],
            "dataset_rows":300,"dataset_hash":"{hash}"}}"#
    );
    serde_json::from_str(&json).unwrap()
}

fn spec_of(version: u64) -> Option<SamplerSpec> {
    [(1, SMALL_LOSSES), (4, WEIGHTS)].into_iter().find(|(known, _)| *known == version).map(|(_, json)| spec(json))
}

#[test]
fn a_batch_is_the_draws_of_the_sampler_in_force() {
    let (dataset, mut engine) = (dataset(ROWS), engine());
    assert_eq!(engine.activate_at(3, &spec(WEIGHTS)), Ok(2));
    for (step, json) in [(0, SMALL_LOSSES), (2, SMALL_LOSSES), (3, WEIGHTS), (1000, WEIGHTS)] {
        let sampler = Sampler::build(&spec(json), &dataset).unwrap();
        let batch = engine.batch(step, Shard::WHOLE).unwrap();
        assert_eq!((batch.step, batch.epoch), (step, step * 64 / 300));
        assert_eq!(batch.version, if step < 3 { 1 } else { 2 });
        for (draw, (index, probability)) in (step * 64..).zip(batch.indices.iter().zip(batch.probabilities.iter())) {
            let expected = sampler.draw(Seed(5), draw);
            assert_eq!((index, probability.to_bits()), (expected.index, expected.probability.to_bits()));
        }
    }
}

#[test]
fn ranks_share_the_global_batch() {
    for (replacement, world_size) in MODES.into_iter().flat_map(|mode| [2, 3, 7, 70].map(|size| (mode, size))) {
        let engine = with_swaps(replacement);
        for whole in batches(&engine, 0..10) {
            let shards = (0..world_size).map(|rank| Shard::new(rank, world_size).unwrap());
            let parts: Vec<Batch> = shards.map(|shard| engine.batch(whole.step, shard).unwrap()).collect();
            assert!(parts.iter().flat_map(|part| part.indices.iter()).eq(whole.indices.iter()));
            assert!(parts.iter().all(|part| (part.epoch, part.version) == (whole.epoch, whole.version)));
        }
    }
}

#[test]
fn a_batch_across_an_epochs_end_comes_from_two_plans() {
    let [first, second] = [SMALL_LOSSES, WEIGHTS].map(|json| Sampler::build(&spec(json), &dataset(ROWS)).unwrap());
    let (first, second) = (Arc::new(first), Arc::new(second));
    for replacement in MODES {
        // Step 3 has draws 192 to 256, the epoch ends at 250.
        let batch = with_swaps(replacement).batch(3, Shard::WHOLE).unwrap();
        let plan = |sampler: &Arc<Sampler>, epoch_start, start, before: Option<&Plan>| {
            let segment = Segment { epoch_start, start, end: epoch_start + 250 };
            Plan::new(Arc::clone(sampler), Seed(5), replacement, segment, before).unwrap()
        };
        let rest = plan(&second, 0, 192, Some(&plan(&first, 0, 0, None)));
        let next = plan(&second, 250, 250, None);
        let drawn = |draw| if draw < 250 { rest.draw(draw).index } else { next.draw(draw).index };
        let expected: Vec<u64> = (192..256).map(drawn).collect();
        assert_eq!((batch.indices.to_vec(), batch.epoch, batch.version), (expected, 0, 2), "{replacement:?}");
    }
}

#[test]
fn batches_do_not_depend_on_what_was_asked_before() {
    for replacement in MODES {
        let engine = with_swaps(replacement);
        let expected = batches(&engine, 0..40);
        for stride in [39, 7, 11, 1] {
            for step in (0..40).map(|position| position * stride % 40) {
                let batch = engine.batch(step, Shard::WHOLE).unwrap();
                assert_eq!(batch, expected[usize::try_from(step).unwrap()], "{replacement:?}");
            }
        }
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| assert_eq!(batches(&engine, 0..40), expected));
            }
        });
    }
}

#[test]
fn no_example_comes_twice_in_a_distinct_epoch_with_a_swap() {
    let parameters = JobParameters { replacement: Replacement::Distinct, epoch_draws: Some(250), ..JOB };
    let mut engine = Engine::new(dataset(ROWS), &spec(UNIFORM), parameters).unwrap();
    engine.activate_at(2, &spec(WEIGHTS)).unwrap();
    let drawn: Vec<u64> = batches(&engine, 0..40).into_iter().flat_map(|batch| batch.indices.to_vec()).collect();
    for epoch in drawn.chunks_exact(250) {
        let different: std::collections::BTreeSet<u64> = epoch.iter().copied().collect();
        assert_eq!(different.len(), 250);
    }
}

#[test]
fn what_was_computed_before_a_swap_does_not_change() {
    let mut engine = engine();
    let before = batches(&engine, 0..20);
    let other = engine.clone();
    assert_eq!(engine.activate_at(10, &spec(WEIGHTS)), Ok(2));
    assert_eq!(engine.activate_at(15, &spec(UNIFORM)), Ok(3));
    let after = batches(&engine, 0..20);
    assert_eq!(before[..10], after[..10]);
    assert!(before[10..].iter().zip(&after[10..]).all(|(before, after)| before.indices != after.indices));
    assert_eq!(batches(&other, 0..20), before, "a clone goes its own way");
    // At the step of the last swap the sampler is replaced; before it nothing can change.
    assert_eq!(engine.activate_at(15, &spec(WEIGHTS)), Ok(4));
    let changes = [(0, 1), (10, 2), (15, 4)].map(|(from_step, version)| VersionChange { from_step, version });
    assert_eq!(engine.log().changes(), changes);
    let error = engine.activate_at(14, &spec(UNIFORM)).unwrap_err();
    assert_eq!(error, EngineError::Decided { step: 14, earliest: 15 });
}

#[test]
fn a_served_job_is_replayed_from_its_description() {
    let expected = with_swaps(Replacement::Distinct);
    let replay = Engine::replay(dataset(ROWS), &served(64), spec_of).unwrap();
    let (replayed, expected) = (batches(&replay, 0..64), batches(&expected, 0..64));
    for (replayed, expected) in replayed.iter().zip(&expected) {
        assert_eq!((&replayed.indices, &replayed.probabilities), (&expected.indices, &expected.probabilities));
        assert_eq!(replayed.version, [1, 4, 1][usize::from(replayed.step >= 3) + usize::from(replayed.step >= 7)]);
    }
}

#[test]
fn a_replay_ends_at_the_horizon_until_it_decides_itself() {
    let mut replay = Engine::replay(dataset(ROWS), &served(20), spec_of).unwrap();
    let error = replay.batch(20, Shard::WHOLE).unwrap_err();
    assert_eq!(error, EngineError::Undecided { step: 20, horizon: 20 });
    assert_eq!(replay.activate_at(19, &spec(UNIFORM)), Err(EngineError::Decided { step: 19, earliest: 20 }));
    assert!(replay.batch(20, Shard::WHOLE).is_err(), "what was refused decides nothing");
    assert_eq!(replay.activate_at(30, &spec(UNIFORM)), Ok(5));
    let versions: Vec<u64> = batches(&replay, 0..40).iter().map(|batch| batch.version).collect();
    assert_eq!((versions[19], versions[29], versions[30]), (1, 1, 5));
}

#[test]
fn another_dataset_is_refused_by_its_content() {
    let error = Engine::replay(dataset(ROWS + 1), &served(64), spec_of).unwrap_err();
    let (given, expected) = (dataset(ROWS + 1).hash(), dataset(ROWS).hash());
    assert!(error.to_string().contains(&given) && error.to_string().contains(&expected), "{error}");
    let error = Engine::replay(dataset(ROWS), &served(64), |version| spec_of(version).filter(|_| version == 1));
    assert_eq!(error.unwrap_err(), EngineError::NoSpec { version: 4 });
    let change = |from_step| VersionChange { from_step, version: 1 };
    for log in [vec![], vec![change(1)], vec![change(0), change(4), change(4)]] {
        let job = ServedJob { log, ..served(64) };
        assert_eq!(Engine::replay(dataset(ROWS), &job, spec_of).unwrap_err(), EngineError::Log);
    }
}

#[test]
fn parameters_and_steps_out_of_range_are_named() {
    for batch_size in [0, (1 << 24) + 1] {
        let error = Engine::new(dataset(ROWS), &spec(UNIFORM), JobParameters { batch_size, ..JOB }).unwrap_err();
        assert_eq!(error, EngineError::BatchSize(batch_size));
        assert!(engine().with_parameters(JobParameters { batch_size, ..JOB }).is_err());
    }
    let last = u64::MAX / 64 - 1;
    assert_eq!(engine().batch(last, Shard::WHOLE).unwrap().indices.len(), 64);
    assert_eq!(engine().batch(last + 1, Shard::WHOLE).unwrap_err(), EngineError::NoSuchStep { step: last + 1, last });
    let parameters = JobParameters { replacement: Replacement::Distinct, epoch_draws: Some(301), ..JOB };
    let error = engine().with_parameters(parameters).unwrap_err().to_string();
    assert!(error.contains("epoch_draws is 301, but the dataset has 300 examples"), "{error}");
    assert!(matches!(
        engine().activate_at(0, &spec(r#"{"kind":"column","column":"w"}"#)),
        Err(EngineError::Sampler(_))
    ));
}

#[test]
fn other_parameters_give_the_batches_of_another_job() {
    let other = engine().with_parameters(JobParameters { seed: 6, batch_size: 32, ..JOB }).unwrap();
    let fresh = Engine::new(dataset(ROWS), &spec(SMALL_LOSSES), other.parameters()).unwrap();
    assert_eq!(batches(&other, 0..10), batches(&fresh, 0..10));
    assert_ne!(
        other.batch(0, Shard::WHOLE).unwrap().indices.to_vec()[..],
        engine().batch(0, Shard::WHOLE).unwrap().indices.to_vec()[..32]
    );
}

#[test]
fn a_log_can_be_taken_up() {
    let mut engine = engine();
    engine.activate_at(3, &spec(WEIGHTS)).unwrap();
    let log = JobLog::from_changes(engine.log().changes().to_vec(), engine.log().horizon()).unwrap();
    let specs = |version| engine.sampler(version).map(|sampler| sampler.spec().clone());
    let taken_up = Engine::with_log(dataset(ROWS), JOB, log, specs).unwrap();
    assert_eq!(batches(&taken_up, 0..10), batches(&engine, 0..10));
}

/// The dataset with other losses.
fn refreshed(rows: u32) -> Arc<Dataset> {
    let entropy = dataset(rows).table().column("entropy").unwrap().to_vec();
    let loss = (0..rows).map(|row| f64::from(row.wrapping_mul(97) % 101)).collect();
    let table = FeatureTable::new(vec![("loss".into(), loss), ("entropy".into(), entropy)]).unwrap();
    Arc::new(Dataset::new(table, vec!["loss".into(), "entropy".into()], None).unwrap())
}

#[test]
fn from_a_refresh_on_batches_are_those_of_a_dataset_of_the_new_values() {
    for replacement in MODES {
        // Steps 16, 20 and 24 begin epochs, so that nothing of them was drawn before.
        let parameters = JobParameters { replacement, epoch_draws: Some(256), ..JOB };
        let mut engine = Engine::new(dataset(ROWS), &spec(SMALL_LOSSES), parameters).unwrap();
        let same = batches(&engine, 0..16);
        assert_eq!(engine.refresh_at(16, refreshed(ROWS)).unwrap(), 2);
        assert_eq!(engine.activate_at(20, &spec(WEIGHTS)).unwrap(), 3);
        assert_eq!(engine.refresh_at(24, dataset(ROWS)).unwrap(), 4);
        assert_eq!(batches(&engine, 0..16), same);
        for (steps, features, json) in [
            (16..20, refreshed(ROWS), SMALL_LOSSES),
            (20..24, refreshed(ROWS), WEIGHTS),
            (24..28, dataset(ROWS), WEIGHTS),
        ] {
            let fresh = Engine::new(features, &spec(json), parameters).unwrap();
            for (refreshed, fresh) in batches(&engine, steps.clone()).iter().zip(batches(&fresh, steps)) {
                assert_eq!((&refreshed.indices, &refreshed.probabilities), (&fresh.indices, &fresh.probabilities));
            }
        }
        // As a log that names the revisions.
        let log = JobLog::from_changes(engine.log().changes().to_vec(), 30).unwrap();
        let version = |version: u64| {
            let (json, features) = [
                (SMALL_LOSSES, None),
                (SMALL_LOSSES, Some(refreshed(ROWS))),
                (WEIGHTS, Some(refreshed(ROWS))),
                (WEIGHTS, None),
            ][usize::try_from(version - 1).unwrap()]
            .clone();
            Some(match features {
                None => SamplerVersion::from(spec(json)),
                Some(features) => SamplerVersion::over(spec(json), features, &refreshed(ROWS).hash()).unwrap(),
            })
        };
        let replayed = Engine::with_log(dataset(ROWS), parameters, log, version).unwrap();
        assert_eq!(batches(&replayed, 0..30), batches(&engine, 0..30));
    }
}

#[test]
fn features_of_other_examples_or_other_content_are_refused() {
    let mut engine = engine();
    let refused = engine.refresh_at(5, refreshed(ROWS - 1)).unwrap_err();
    assert!(refused.to_string().contains("299 examples from 0 on: the dataset has 300"), "{refused}");
    let (given, served) = (refreshed(ROWS), dataset(ROWS).hash());
    let refused = SamplerVersion::over(spec(WEIGHTS), Arc::clone(&given), &served).unwrap_err();
    assert_eq!(refused, EngineError::OtherFeatures { given: given.hash(), served });
    engine.activate_at(5, &spec(WEIGHTS)).unwrap();
    assert_eq!(engine.refresh_at(4, given), Err(EngineError::Decided { step: 4, earliest: 5 }));
}
