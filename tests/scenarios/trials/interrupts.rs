//! Ctrl-C ends a search and its workers, and the same command goes on as if nothing had been.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use swift_sampler_client::blocking::Client;
use swift_sampler_client::proto;
use swift_sampler_tests::{Samplerd, deadline};

use super::{searcher, succeeded};

const TRIALS: usize = 16;
/// Ended trials at which the search is interrupted: among the Sobol points, and where the surrogate proposes.
const INTERRUPTS: [usize; 2] = [5, 12];

fn search(daemon: &Samplerd, study: &str, work: &Path) -> Command {
    let mut command = searcher(daemon.address(), &["--target", "simulated", "--train-examples", "2000", "--seed", "4"]);
    command.args(["--label-noise", "0.4", "--epochs", "3", "--trials", &TRIALS.to_string(), "--finalists", "1"]);
    command.args(["--confirm", "1", "--jobs", "1", "--study", study, "--dataset", "d", "--work-dir"]).arg(work);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn trials(client: &Client, study: &str) -> Vec<proto::Trial> {
    client.list_trials(study).unwrap_or_default()
}

/// Starts the search, presses Ctrl-C once so many trials have ended, and returns how it ended.
fn interrupted(mut search: Command, client: &Client, study: &str, ended: usize) -> Output {
    let search = search.spawn().unwrap();
    deadline("trials end", || {
        (trials(client, study).iter().filter(|trial| trial.ended_at_ms > 0).count() >= ended).then_some(())
    });
    Command::new("kill").args(["-INT", &search.id().to_string()]).status().unwrap();
    search.wait_with_output().unwrap()
}

#[test]
fn ctrl_c_leaves_a_study_that_goes_on_with_the_proposals_of_one_that_was_never_interrupted() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Samplerd::start(&folder.path().join("data"));
    let client = Client::connect(daemon.address()).unwrap();
    succeeded(&search(&daemon, "undisturbed", &folder.path().join("undisturbed")).output().unwrap());

    let work = folder.path().join("work");
    for ended in INTERRUPTS {
        let output = interrupted(search(&daemon, "s", &work), &client, "s", ended);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("interrupted: what was finished is kept, run the same command again"), "{said}");
        let left = trials(&client, "s");
        assert!((ended..TRIALS).contains(&left.len()), "in the midst of the search: {}", left.len());
        // The trial under way is nobody's any more: its worker, which ended with the search, gave it back.
        let running: Vec<_> = left.iter().filter(|trial| trial.state() == proto::TrialState::Running).collect();
        assert!(running.is_empty(), "{running:?}");
        assert_eq!(client.get_study("s").unwrap().state(), proto::StudyState::Running);
    }
    succeeded(&search(&daemon, "s", &work).output().unwrap());

    let came_to = |study| -> Vec<_> {
        let of_trial = |trial: proto::Trial| (trial.number, trial.parameters_json, trial.state, trial.objective);
        trials(&client, study).into_iter().map(of_trial).collect()
    };
    let undisturbed = came_to("undisturbed");
    assert!(undisturbed.len() > TRIALS && undisturbed.iter().all(|(.., objective)| objective.is_some()));
    assert_eq!(came_to("s"), undisturbed);
}
