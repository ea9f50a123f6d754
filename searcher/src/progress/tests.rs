use std::rc::Rc;

use serde_json::{Value, json};
use swift_sampler_client::proto;

use super::*;
use crate::study::{read_config, small_config};

/// What was written so far.
#[derive(Clone, Default)]
struct Page(Rc<RefCell<Vec<u8>>>);

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Page {
    fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut self.0.borrow_mut())).unwrap()
    }
}

fn progress() -> (Page, Progress) {
    let page = Page::default();
    (page.clone(), Progress::on(Box::new(page), false))
}

/// Of a small study, with two jobs.
fn course() -> Course {
    let study = proto::Study { config_json: small_config().to_string(), ..proto::Study::default() };
    let config = read_config(&study).unwrap();
    Course { plan: config.plan, training: config.training, jobs: 2, attempts_max: 3 }
}

fn trial(number: u64, purpose: &str, state: TrialState, more: impl FnOnce(&mut proto::Trial)) -> StoredTrial {
    let parameters = json!({
        "purpose": purpose, "sampler": { "kind": "uniform" }, "point": [], "behaviour": [], "seed": 1,
        "repeats": (purpose == "confirm").then_some(4),
    });
    let mut trial = proto::Trial {
        number,
        parameters_json: parameters.to_string(),
        state: state.into(),
        attempt: 1,
        ..proto::Trial::default()
    };
    more(&mut trial);
    StoredTrial::read(&trial).unwrap()
}

fn report(epochs: u32, stopped: bool) -> String {
    let epoch = |k| json!({ "epoch": k, "training_loss": 0.1, "validation_accuracy": 0.8, "seconds": 2.0 });
    let epochs: Vec<Value> = (1..=epochs).map(epoch).collect();
    json!({ "epochs": epochs, "seconds": 2.0 * epochs.len() as f64, "stopped": stopped }).to_string()
}

fn succeeded(number: u64, purpose: &str, objective: f64) -> StoredTrial {
    trial(number, purpose, TrialState::Succeeded, |trial| {
        trial.objective = Some(objective);
        trial.report_json = report(4, false);
    })
}

#[test]
fn each_trials_fate_is_told_as_it_happens() {
    let (page, mut progress) = progress();
    progress.update(&course(), &[trial(0, "baseline", TrialState::Running, |_| {})]);
    assert_eq!(page.take(), "");
    let mut trials = vec![succeeded(0, "baseline", 0.79), succeeded(1, "search", 0.842)];
    progress.update(&course(), &trials);
    let said = page.take();
    assert!(said.contains("[1/14] trial 0 uniform: 79.00% in 8.0 s, best 79.00% (trial 0)"), "{said}");
    assert!(said.contains("[2/14] trial 1 search: 84.20% in 8.0 s, best 84.20% (trial 1)"), "{said}");

    trials.push(trial(2, "initial", TrialState::Infeasible, |trial| trial.reason = "the loss is NaN".to_owned()));
    trials.push(trial(3, "search", TrialState::Succeeded, |trial| {
        trial.objective = Some(0.7);
        trial.report_json = report(2, true);
    }));
    trials.push(trial(4, "search", TrialState::Failed, |trial| trial.reason = "exit code 1\nTraceback\n".to_owned()));
    progress.update(&course(), &trials);
    let said = page.take();
    assert!(said.contains("trial 2 initial: infeasible: the loss is NaN"), "{said}");
    assert!(said.contains("trial 3 search: 70.00%, stopped after 2 of 4 epochs"), "{said}");
    assert!(said.contains("trial 4 search: failed: exit code 1 / Traceback"), "{said}");

    progress.update(&course(), &trials);
    assert_eq!(page.take(), "", "nothing is told twice");
}

#[test]
fn a_lost_attempt_is_told_with_its_reason_and_once() {
    let (page, mut progress) = progress();
    let attempt = |attempt, state, reason: &str| {
        trial(0, "search", state, |trial| {
            trial.attempt = attempt;
            trial.reason = reason.to_owned();
        })
    };
    progress.update(&course(), &[attempt(1, TrialState::Running, "")]);
    let lost = [attempt(1, TrialState::Pending, "out of memory")];
    progress.update(&course(), &lost);
    progress.update(&course(), &lost);
    assert_eq!(page.take(), "trial 0 search: attempt 1 of 3 failed: out of memory\n");
    progress.update(&course(), &[attempt(2, TrialState::Running, "")]);
    assert_eq!(page.take(), "", "the second attempt is no news");
    // Between two looks the second was lost and the third began: its reason is gone.
    progress.update(&course(), &[attempt(3, TrialState::Running, "")]);
    assert_eq!(page.take(), "trial 0 search: attempt 2 of 3 failed\n");
    let given_back = trial(0, "search", TrialState::Pending, |trial| (trial.attempt, trial.released) = (3, 1));
    progress.update(&course(), &[given_back]);
    assert_eq!(page.take(), "", "an attempt that was given back is not lost");
}

#[test]
fn what_ended_before_is_summed_up() {
    let (page, mut progress) = progress();
    let mut trials = vec![succeeded(0, "baseline", 0.79), succeeded(1, "search", 0.85), succeeded(2, "search", 0.84)];
    progress.update(&course(), &trials);
    assert_eq!(page.take(), "going on: 3 of 14 trials are done, best 85.00% (trial 1)\n");
    trials.push(succeeded(3, "confirm", 0.86));
    progress.update(&course(), &trials);
    let said = page.take();
    assert!(said.starts_with("[4/14] trial 3 confirming trial 4: 86.00%") && said.contains("best 85.00%"), "{said}");
}

#[test]
fn the_time_left_follows_from_epochs_and_jobs() {
    let course = course();
    assert_eq!(course.left(&[trial(0, "baseline", TrialState::Running, |_| {})]), None);
    // 10 short trials of 4 epochs and 2 retrainings of 20 to come: 80 epochs of 2 s, two at once.
    let mut trials = vec![succeeded(0, "baseline", 0.79), succeeded(1, "search", 0.8)];
    assert_eq!(course.left(&trials), Some(Duration::from_secs(80)));
    // One is half done.
    trials.push(trial(2, "search", TrialState::Running, |trial| trial.report_json = report(2, false)));
    assert_eq!(course.left(&trials), Some(Duration::from_secs(78)));
    // One was stopped after 1 epoch: 3 a trial from now on, 9 trials, and 40 epochs of retraining.
    trials[2] = trial(2, "search", TrialState::Succeeded, |trial| {
        trial.objective = Some(0.5);
        trial.report_json = report(1, true);
    });
    assert_eq!(course.left(&trials), Some(Duration::from_secs(67)));
}

#[test]
fn durations_are_told_in_their_largest_units() {
    let told = |seconds| duration(Duration::from_secs(seconds));
    assert_eq!([told(0), told(99), told(600), told(12_000)], ["1 s", "99 s", "10 min", "3 h 20 min"]);
}
