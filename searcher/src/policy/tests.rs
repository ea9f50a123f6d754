use swift_sampler::FeatureTable;

use super::*;

fn plan() -> Plan {
    Plan {
        space: Space { features: vec!["loss".into(), "entropy".into()], segments: 4, transform: Default::default() },
        trials: 16,
        baselines: 3,
        initial: 7,
        design: Design::Sobol,
        exploration: Exploration::DEFAULT,
        strategy: Strategy::default(),
        method: Method::SAMPLERS,
        finalists: 3,
        finalist_seeds: 2,
        retrain_seeds: 2,
        seed: 0,
        epochs: 5,
        protocol: Protocol::default(),
    }
}

fn plan_with(protocol: Protocol) -> Plan {
    Plan { protocol, ..plan() }
}

fn behaviour() -> Behaviour {
    let column = |multiplier: u32| (0..500u32).map(|row| f64::from(row * multiplier % 503)).collect::<Vec<_>>();
    let columns = [("loss", column(1)), ("entropy", column(77)), ("grad_norm", column(5))];
    let table = FeatureTable::new(columns.map(|(name, values)| (name.to_owned(), values)).into()).unwrap();
    Behaviour::new(table, &plan().space.features, Some("grad_norm")).unwrap()
}

fn next(plan: &Plan, records: &[TrialRecord]) -> Result<Proposal, PolicyError> {
    super::next(plan, &behaviour(), records)
}

/// A smooth objective: low losses and high entropies are good.
fn objective(parameters: &TrialParameters) -> f64 {
    let x = &parameters.behaviour;
    0.8 - 0.1 * (x[0] - 0.3).powi(2) - 0.05 * (x[1] - 0.6).powi(2) + 1e-4 * (parameters.seed % 100) as f64
}

fn run(plan: &Plan, outcome: impl Fn(u64, &TrialParameters) -> TrialStanding) -> Vec<TrialRecord> {
    let mut records = Vec::new();
    while let Proposal::Add(parameters) = next(plan, &records).unwrap() {
        let number = records.len() as u64;
        let standing = outcome(number, &parameters);
        records.push(TrialRecord { number, parameters: *parameters, standing, accuracies: Vec::new() });
    }
    records
}

#[test]
fn a_study_goes_through_its_stages_in_order() {
    let plan = plan();
    let records = run(&plan, |_, parameters| TrialStanding::Succeeded(objective(parameters)));
    let purposes: Vec<Purpose> = records.iter().map(|record| record.parameters.purpose).collect();
    let mut expected = vec![Purpose::Baseline; 3];
    expected.extend([Purpose::Initial; 7]);
    expected.extend([Purpose::Search; 6]);
    expected.extend([Purpose::Confirm; 6]);
    expected.extend([Purpose::Retrain; 4]);
    assert_eq!(purposes, expected);
    assert_eq!(next(&plan, &records).unwrap(), Proposal::Finished);
    let standing = standing(&plan, &records).unwrap();
    let winner = standing.winner.unwrap();
    assert!(winner.objective > standing.baseline.unwrap());
    assert_eq!(records[23].parameters.repeats, Some(winner.trial));
    assert_eq!(records[22].parameters.seed, records[23].parameters.seed);
    assert_ne!(records[22].parameters.seed, records[24].parameters.seed);
}

#[test]
fn shapes_are_tried_first_and_sobol_points_once_there_are_no_more() {
    let plan = Plan { initial: 9, design: Design::Shapes, ..plan() };
    let records = run(&plan, |_, parameters| TrialStanding::Succeeded(objective(parameters)));
    let point = |record: &TrialRecord| record.parameters.point.clone();
    let shapes: Vec<Vec<f64>> = (0..7).map(|index| design::shape(&plan.space, index).unwrap()).collect();
    assert_eq!(records[3..10].iter().map(point).collect::<Vec<_>>(), shapes);
    let behaviour = behaviour();
    let samplers = Samplers { space: &plan.space, behaviour: &behaviour };
    let sobol: Vec<Vec<f64>> = (7..9).map(|index| optimiser::initial(&samplers, index, plan.seed)).collect();
    assert_eq!(records[10..12].iter().map(point).collect::<Vec<_>>(), sobol);
    assert!(records[3..12].iter().all(|record| record.parameters.purpose == Purpose::Initial));
    assert!(records[12..16].iter().all(|record| record.parameters.purpose == Purpose::Search));
    // What they do differs, where Sobol points all do nearly the same.
    let sizes: Vec<f64> = records[3..10].iter().map(|record| *record.parameters.behaviour.last().unwrap()).collect();
    assert!(sizes.iter().any(|size| *size < 0.9) && sizes.iter().all(|size| *size > 0.3), "{sizes:?}");
}

#[test]
fn the_same_records_give_the_same_next_trial_after_a_round_trip_through_json() {
    let plan = plan();
    let records = run(&plan, |_, parameters| TrialStanding::Succeeded(objective(parameters)));
    for cut in [0, 5, 10, 13, 16, 20] {
        let stored: Vec<TrialRecord> = records[..cut]
            .iter()
            .map(|record| TrialRecord {
                parameters: serde_json::from_str(&serde_json::to_string(&record.parameters).unwrap()).unwrap(),
                ..record.clone()
            })
            .collect();
        let Proposal::Add(again) = next(&plan, &stored).unwrap() else { panic!("nothing proposed at {cut}") };
        assert_eq!(*again, records[cut].parameters, "at {cut}");
    }
}

#[test]
fn another_seed_gives_other_trials() {
    let other = Plan { seed: 1, ..plan() };
    let (a, b) = (
        run(&plan(), |_, p| TrialStanding::Succeeded(objective(p))),
        run(&other, |_, p| TrialStanding::Succeeded(objective(p))),
    );
    assert!((3..16).all(|i| a[i].parameters.point != b[i].parameters.point));
}

#[test]
fn confirmation_waits_for_the_search_to_end() {
    let plan = plan();
    let mut records = run(&plan, |_, parameters| TrialStanding::Succeeded(objective(parameters)));
    records.truncate(16);
    records[14].standing = TrialStanding::Pending;
    assert_eq!(next(&plan, &records).unwrap(), Proposal::Wait);
    assert_eq!(standing(&plan, &records).unwrap().winner, None);
}

#[test]
fn infeasible_and_failed_trials_are_survived_and_never_win() {
    let plan = plan();
    let records = run(&plan, |number, parameters| match number % 4 {
        0 => TrialStanding::Infeasible,
        1 => TrialStanding::Failed,
        _ => TrialStanding::Succeeded(objective(parameters)),
    });
    let winner = standing(&plan, &records).unwrap().winner.unwrap();
    assert!(winner.trial % 4 >= 2);
}

#[test]
fn a_study_in_which_nothing_succeeds_says_so() {
    let plan = plan();
    let records: Vec<TrialRecord> = (0..16)
        .map(|number| TrialRecord {
            number,
            parameters: TrialParameters {
                purpose: Purpose::Initial,
                ..uniform(&plan, &behaviour(), Purpose::Initial, number)
            },
            standing: TrialStanding::Infeasible,
            accuracies: Vec::new(),
        })
        .collect();
    assert_eq!(next(&plan, &records), Err(PolicyError::NothingSucceeded(16)));
}

#[test]
fn pending_trials_are_not_proposed_again() {
    let plan = plan();
    let mut records = run(&plan, |_, parameters| TrialStanding::Succeeded(objective(parameters)));
    records.truncate(12);
    let Proposal::Add(first) = next(&plan, &records).unwrap() else { panic!() };
    records.push(TrialRecord {
        number: 12,
        parameters: *first.clone(),
        standing: TrialStanding::Pending,
        accuracies: Vec::new(),
    });
    let Proposal::Add(second) = next(&plan, &records).unwrap() else { panic!() };
    let distance = first.point.iter().zip(&second.point).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
    assert!(distance > 0.05, "{distance}");
}

mod protocol;
mod strategy;
