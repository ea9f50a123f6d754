//! A command is searched for over a dataset that is at the daemon already: nothing is prepared or imported again.

use swift_sampler_tests::Samplerd;
use swift_sampler_tests::samplerctl::DrawJob;

use super::{features, searcher, succeeded, trials};

const COMMAND: &str = r#"echo "{\"objective\": 0.$((SWIFTSAMPLER_TRIAL + 10))}""#;

#[test]
fn a_command_is_searched_for_over_a_dataset_that_the_user_imported() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Samplerd::start(&folder.path().join("data"));
    let search = |dataset: &str, study: &str| {
        searcher(daemon.address(), &["--trial-command", COMMAND, "--dataset", dataset, "--study", study])
            .args(["--trials", "5", "--confirm", "0", "--finalists", "1", "--jobs", "2", "--work-dir"])
            .arg(folder.path().join(study))
            .output()
            .unwrap()
    };
    let missing = search("mine", "early");
    let said = String::from_utf8_lossy(&missing.stderr).into_owned();
    assert_eq!(missing.status.code(), Some(3), "{said}");
    assert!(said.contains("import it, or give the files with the examples' features as --data"), "{said}");

    let file = features(folder.path(), 1000);
    let imported = daemon.ctl().one(&["dataset", "import", "mine", file.to_str().unwrap()]);
    std::fs::remove_file(file).unwrap();
    succeeded(&search("mine", "s"));
    let found = trials(daemon.address(), "s").unwrap();
    assert!(found.len() > 5 && found.iter().all(|trial| trial["state"] == "succeeded"), "{found:?}");
    let dataset = daemon.ctl().one(&["dataset", "show", "mine"]);
    assert_eq!(dataset["hash"], imported["hash"], "what was imported is what is searched");
    assert_eq!(daemon.ctl().run(&["dataset", "list"]).unwrap().len(), 1, "and nothing beside it");
    // The user's jobs draw from it as before.
    let job = DrawJob { name: "training", dataset: "mine", seed: 1, batch_size: 10, follow: "step" };
    assert_eq!(daemon.ctl().draw(&job, 0..3, 0, 1).len(), 3);
}
