use swift_sampler::{Replacement, SamplerSpec};

use super::*;
use crate::target::Start;

/// Records of search trials that had these accuracies after their epochs.
fn finished(accuracies: &[&[f64]]) -> Vec<TrialRecord> {
    let record = |(number, accuracies): (u64, &&[f64])| TrialRecord {
        number,
        parameters: TrialParameters::new(Purpose::Initial, SamplerSpec::Uniform {}, 0),
        standing: TrialStanding::Succeeded(accuracies[accuracies.len() - 1]),
        accuracies: accuracies.to_vec(),
    };
    (0u64..).zip(accuracies).map(record).collect()
}

#[test]
fn a_trial_is_measured_by_the_median_of_those_that_finished_its_epoch_and_never_after_its_last() {
    let rule = Stopping { after_trials: 3, keep: 0.5, margin: 0.01 };
    let mut records = finished(&[&[0.70, 0.80, 0.85], &[0.60, 0.75, 0.84], &[0.50, 0.65, 0.70]]);
    let least = rule.stop_below(&records, 3);
    assert_eq!(least.len(), 2, "the last epoch is the objective: nothing is saved by stopping there");
    assert!((least[0] - 0.59).abs() < 1e-12 && (least[1] - 0.74).abs() < 1e-12, "{least:?}");
    // A trial that was stopped after its first epoch has no say on the second.
    records.extend(finished(&[&[0.55]]));
    let with_stopped = rule.stop_below(&records, 3);
    assert!((with_stopped[0] - 0.54).abs() < 1e-12 && (with_stopped[1] - 0.74).abs() < 1e-12, "{with_stopped:?}");
    assert!(rule.stop_below(&records[..2], 3).is_empty(), "two trials are too few to tell");
    records[0].parameters.purpose = Purpose::Confirm;
    records[1].standing = TrialStanding::Failed;
    assert!(rule.stop_below(&records, 3).is_empty(), "confirmations and failed attempts do not count");
}

#[test]
fn a_trial_stops_below_its_bar_and_not_on_it() {
    let parameters = TrialParameters {
        stop_below: vec![0.5, 0.7],
        ..TrialParameters::new(Purpose::Search, SamplerSpec::Uniform {}, 0)
    };
    assert!(parameters.stops_at(1, 0.49) && parameters.stops_at(2, 0.69));
    assert!(!parameters.stops_at(1, 0.5) && !parameters.stops_at(3, 0.0), "on the bar; beyond the last bar");
}

#[test]
fn only_trials_of_the_search_are_stopped() {
    let plan = plan_with(Protocol { stopping: Some(Stopping::DEFAULT), ..Protocol::default() });
    let records = run_with_epochs(&plan);
    let bars = |purpose: Purpose| {
        records.iter().filter(move |r| r.parameters.purpose == purpose).map(|r| r.parameters.stop_below.len())
    };
    assert!(bars(Purpose::Search).all(|bars| bars == 4));
    assert!(bars(Purpose::Confirm).chain(bars(Purpose::Retrain)).all(|bars| bars == 0));
}

#[test]
fn with_a_common_seed_all_trials_but_the_replicates_of_the_uniform_sampler_share_theirs() {
    let plan = plan_with(Protocol { common_seed: true, draws: Replacement::Stratified, ..Protocol::default() });
    let records = run(&plan, |_, parameters| TrialStanding::Succeeded(objective(parameters)));
    let seeds: Vec<u64> = records[..16].iter().map(|record| record.parameters.seed).collect();
    assert!(seeds[3..].iter().all(|seed| *seed == seeds[0]), "the first replicate is compared with all others");
    assert!(seeds[0] != seeds[1] && seeds[1] != seeds[2] && seeds[0] != seeds[2], "replicates tell the noise");
    assert!(records[16..22].iter().all(|record| record.parameters.seed != seeds[0]), "confirmations are fresh");
    let mode = |record: &TrialRecord| record.parameters.mode;
    assert!(records[..22].iter().all(|record| mode(record) == Replacement::Stratified));
    assert!(records[22..].iter().all(|record| mode(record) == Replacement::Independent));
}

#[test]
fn the_uniform_sampler_is_confirmed_under_the_finalists_seeds_and_is_their_measure() {
    let confirmation = Some(Confirmation { epochs: 20, start: Start::Scratch });
    let plan = plan_with(Protocol { paired_uniform: true, confirmation, ..Protocol::default() });
    let records = run(&plan, |_, parameters| {
        let uniform = parameters.sampler == SamplerSpec::Uniform {};
        let confirmed = parameters.purpose == Purpose::Confirm;
        TrialStanding::Succeeded(if uniform && confirmed { 0.5 } else { objective(parameters) })
    });
    let confirmed: Vec<&TrialRecord> =
        records.iter().filter(|record| record.parameters.purpose == Purpose::Confirm).collect();
    assert_eq!(confirmed.len(), 8);
    for round in confirmed.chunks(4) {
        assert!(round.iter().all(|record| record.parameters.seed == round[0].parameters.seed));
        assert_eq!(round.iter().filter(|r| r.parameters.sampler == SamplerSpec::Uniform {}).count(), 1);
        assert!(round.iter().all(|r| r.parameters.epochs == Some(20) && r.parameters.start == Some(Start::Scratch)));
    }
    assert_ne!(confirmed[0].parameters.seed, confirmed[4].parameters.seed);
    let standing = standing(&plan, &records).unwrap();
    assert_eq!(standing.baseline, Some(0.5), "not that of the short trials");
    assert!(standing.winner.is_some());
    assert_eq!(records.len(), plan.trials_in_all());
}

#[test]
fn without_confirmations_the_uniform_trials_of_the_search_are_the_measure() {
    let plan = Plan { finalists: 0, ..plan_with(Protocol { paired_uniform: true, ..Protocol::default() }) };
    let records = run(&plan, |_, parameters| TrialStanding::Succeeded(objective(parameters)));
    assert!(records.iter().all(|record| record.parameters.purpose != Purpose::Confirm));
    assert!(standing(&plan, &records).unwrap().baseline.is_some());
}

#[test]
fn networks_are_retrained_under_exact_labels_with_the_seeds_of_the_others() {
    let plan = plan_with(Protocol { exact_labels: true, ..Protocol::default() });
    let records = run(&plan, |_, parameters| {
        let searched = !parameters.behaviour.is_empty();
        TrialStanding::Succeeded(if searched { objective(parameters) } else { 0.9 })
    });
    let retrained = &records[22..];
    assert_eq!(retrained.len(), 6);
    for round in retrained.chunks(3) {
        assert_eq!(round[0].parameters.sampler, SamplerSpec::Uniform {});
        assert!(round[1].parameters.repeats.is_some());
        assert_eq!(round[2].parameters.sampler, exact_labels());
        assert!(round.iter().all(|record| record.parameters.seed == round[0].parameters.seed));
    }
    assert_eq!(records.len(), plan.trials_in_all());
}

#[test]
fn samplers_from_the_worst_to_the_best_check_the_ranking_once_each() {
    let plan = plan_with(Protocol { rank_check: 5, ..Protocol::default() });
    let records = run(&plan, |_, parameters| TrialStanding::Succeeded(objective(parameters)));
    let winner = standing(&plan, &records).unwrap().winner.unwrap().trial;
    let checked: Vec<u64> = records[26..].iter().map(|record| record.parameters.repeats.unwrap()).collect();
    let short: Vec<f64> =
        checked.iter().map(|number| records[usize::try_from(*number).unwrap()].objective().unwrap()).collect();
    assert_eq!(checked.len(), 5);
    assert!(!checked.contains(&winner), "it was retrained already");
    assert!(short.windows(2).all(|pair| pair[0] < pair[1]), "{short:?}");
    let worst = records[3..16].iter().filter_map(TrialRecord::objective).fold(f64::INFINITY, f64::min);
    assert!((short[0] - worst).abs() < 1e-12);
    assert!(records[26..].iter().all(|record| record.parameters.seed == records[26].parameters.seed));
    assert_eq!(records.len(), plan.trials_in_all());
}

#[test]
fn samplers_of_an_earlier_study_are_tried_before_sobol_points() {
    let found = plan().space.sampler(&[1.0, 0.5, 0.3, 0.4, 0.9, 1.0, 1.0, 0.2, 0.0, 0.0]).unwrap();
    let nothing_of_ours = SamplerSpec::Uniform {};
    let warm_start = Some(WarmStart { study: "earlier".into(), samplers: vec![nothing_of_ours, found.clone()] });
    let warm = plan_with(Protocol { warm_start, ..Protocol::default() });
    let succeed = |_: u64, parameters: &TrialParameters| TrialStanding::Succeeded(objective(parameters));
    let (warm, cold) = (run(&warm, succeed), run(&plan(), succeed));
    assert_eq!(warm[3].parameters.sampler, found);
    assert_eq!(warm[4].parameters.point, cold[3].parameters.point, "then come the Sobol points from the first on");
}

#[test]
fn plans_and_trials_stored_before_protocols_are_read_as_what_they_were() {
    let stored = r#"{"space":{"features":["loss","entropy"],"segments":4,"transform":"cgf"},"trials":40,"baselines":3,"initial":7,
        "exploration":{"kappa":1.8},"finalists":3,"finalist_seeds":2,"retrain_seeds":3,"seed":0}"#;
    let old: Plan = serde_json::from_str(stored).unwrap();
    assert!(old.precedes_protocols() && !plan().precedes_protocols());
    assert_eq!((old.design, &old.protocol), (Design::Sobol, &Protocol::default()));
    let again = serde_json::to_value(&old).unwrap();
    assert_eq!(again, serde_json::from_str::<serde_json::Value>(stored).unwrap(), "and written as they were");
    let trial: TrialParameters = serde_json::from_str(
        r#"{"purpose":"search","sampler":{"kind":"uniform"},"point":[0.5],"behaviour":[0.5],"seed":7}"#,
    )
    .unwrap();
    assert_eq!((trial.mode, trial.epochs, trial.start), (Replacement::Independent, None, None));
    assert!(!trial.stops_at(1, 0.0));
}

/// Runs a study whose trials come closer to their objective with every epoch.
fn run_with_epochs(plan: &Plan) -> Vec<TrialRecord> {
    let mut records: Vec<TrialRecord> = Vec::new();
    while let Proposal::Add(parameters) = next(plan, &records).unwrap() {
        let last = objective(&parameters);
        let accuracies = (1..=5).map(|epoch| last - 0.01 * f64::from(5 - epoch)).collect();
        let standing = TrialStanding::Succeeded(last);
        records.push(TrialRecord { number: records.len() as u64, parameters: *parameters, standing, accuracies });
    }
    records
}
