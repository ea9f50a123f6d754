//! Searches without a surrogate.

use super::*;

fn searching(strategy: Strategy, trials: usize) -> Plan {
    Plan { strategy, trials, retrain_seeds: 0, finalists: 0, ..plan() }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[test]
fn random_search_covers_the_cube_evenly_and_never_waits() {
    let plan = searching(Strategy::Random, 103);
    let mut records = Vec::new();
    for number in 0..103 {
        let Proposal::Add(parameters) = next(&plan, &records).unwrap() else { panic!("it waits") };
        records.push(TrialRecord {
            number,
            parameters: *parameters,
            standing: TrialStanding::Pending,
            accuracies: Vec::new(),
        });
    }
    for axis in [0, 5, 9] {
        let values: Vec<f64> = records[3..].iter().map(|record| record.parameters.point[axis]).collect();
        assert!((0.2..0.8).contains(&mean(&values)), "axis {axis}: {}", mean(&values));
    }
    assert!(records[3..].iter().all(|record| record.parameters.purpose == Purpose::Search));
}

#[test]
fn reinforce_moves_towards_better_samplers() {
    let plan = searching(Strategy::Reinforce, 3 + 8 * 20);
    let coefficient = |parameters: &TrialParameters| parameters.point[0];
    let records = run(&plan, |_, parameters| TrialStanding::Succeeded(coefficient(parameters)));
    let reached =
        |records: &[TrialRecord]| mean(&records.iter().map(|r| coefficient(&r.parameters)).collect::<Vec<_>>());
    let (first, last) = (reached(&records[3..11]), reached(&records[155..]));
    assert!((0.35..0.65).contains(&first) && last > first + 0.1, "{first} became {last}");
    // What does not matter stays where it was, but for chance.
    let idle = mean(&records[155..].iter().map(|record| record.parameters.point[9]).collect::<Vec<_>>());
    assert!(idle < last, "{idle} {last}");
}

#[test]
fn reinforce_waits_for_a_batch_before_it_begins_the_next() {
    let plan = searching(Strategy::Reinforce, 40);
    let mut records =
        run(&searching(Strategy::Reinforce, 11), |_, parameters| TrialStanding::Succeeded(objective(parameters)));
    assert_eq!(records.len(), 11, "three of the uniform sampler and a batch");
    let known = next(&plan, &records).unwrap();
    assert!(matches!(known, Proposal::Add(_)));
    records[7].standing = TrialStanding::Pending;
    assert_eq!(next(&plan, &records).unwrap(), Proposal::Wait);
    // A failed trial says nothing, but it has ended.
    records[7].standing = TrialStanding::Failed;
    assert!(matches!(next(&plan, &records).unwrap(), Proposal::Add(_)));
}

#[test]
fn without_a_surrogate_the_best_objective_is_recommended() {
    for strategy in [Strategy::Random, Strategy::Reinforce] {
        let plan = searching(strategy, 20);
        let records = run(&plan, |_, parameters| TrialStanding::Succeeded(objective(parameters)));
        let best =
            records[3..].iter().max_by(|a, b| a.objective().unwrap().total_cmp(&b.objective().unwrap())).unwrap();
        assert_eq!(standing(&plan, &records).unwrap().winner.unwrap().trial, best.number);
    }
}
