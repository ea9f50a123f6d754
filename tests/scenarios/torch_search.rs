//! A small search with a real network on real images, from the IDX files to the hot swap.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command;

use serde_json::Value;
use swift_sampler_searcher::features_file;
use swift_sampler_tests::dataset::fashion_mnist;
use swift_sampler_tests::samplerctl::DrawJob;
use swift_sampler_tests::{Samplerd, binary};

const TRAIN_EXAMPLES: u64 = 600;
/// Bytes before the data of an IDX file of images, and of one of labels.
const IDX_HEADERS: [u64; 2] = [16, 8];

#[test]
fn a_network_is_trained_searched_for_and_retrained_through_the_daemon() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Samplerd::start(&folder.path().join("data"));
    let work = folder.path().join("work");
    let search = || {
        let output = Command::new(binary("searcher"))
            .args(["--target", "mlp", "--data", &fashion_mnist(), "--label-noise", "0.4", "--seed", "3"])
            .args(["--train-examples", &TRAIN_EXAMPLES.to_string(), "--validation-examples", "300"])
            .args(["--start-epochs", "3", "--trials", "12", "--epochs", "1", "--confirm", "1", "--jobs", "2"])
            .args(["--study", "small", "--output", "json", "--daemon", daemon.address(), "--work-dir"])
            .arg(&work)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let report = search();

    let [uniform, found] = [0, 1].map(|index| &report["samplers"][index]);
    assert!((uniform["noisy_mass"].as_f64().unwrap() - 0.4).abs() < 0.01, "{report}");
    for sampler in [uniform, found] {
        let accuracy = sampler["test_accuracy"]["mean"].as_f64().unwrap();
        assert!(accuracy > 0.1 && accuracy < 0.95, "a network of three epochs knows a little: {report}");
        let [top5, balanced] =
            ["test_top5_accuracy", "test_balanced_accuracy"].map(|measure| sampler[measure]["mean"].as_f64().unwrap());
        // Fashion-MNIST's classes are of one size in its test set.
        assert!(top5 > accuracy && (balanced - accuracy).abs() < 1e-9, "{report}");
    }
    let dataset = daemon.ctl().one(&["dataset", "show", "small"]);
    assert_eq!(dataset["rows"], TRAIN_EXAMPLES);
    assert_eq!(dataset["features"], serde_json::json!(["loss", "entropy"]));
    // The winner is active if, and only if, the report says so.
    let activated = report["winner"]["activated_version"].as_u64().unwrap_or(1);
    assert_eq!(dataset["active_version"], activated);
    // Other programs can train on what the dataset's rows are.
    let size = |name: &str| std::fs::metadata(work.join(name)).unwrap().len();
    assert_eq!(size("train-images-idx3-ubyte"), IDX_HEADERS[0] + TRAIN_EXAMPLES * 28 * 28);
    assert_eq!(size("train-labels-idx1-ubyte"), IDX_HEADERS[1] + TRAIN_EXAMPLES);

    assert_eq!(search()["gain"], report["gain"], "an ended study gives its report again");
}

#[test]
fn a_search_over_crops_gives_every_draw_its_box_and_finds_the_bank_at_the_daemon() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Samplerd::start(&folder.path().join("data"));
    let work = folder.path().join("work");
    let output = Command::new(binary("searcher"))
        .args(["--target", "mlp", "--data", &fashion_mnist(), "--label-noise", "0.2", "--crops", "3"])
        .args(["--crop-scale", "0.3,0.9", "--crop-size", "14", "--train-examples", "300"])
        .args(["--validation-examples", "200", "--start-epochs", "2", "--trials", "10", "--epochs", "1"])
        .args(["--confirm", "1", "--jobs", "2", "--study", "crops", "--output", "json"])
        .args(["--daemon", daemon.address(), "--work-dir"])
        .arg(&work)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    // Wrong labels are those of images, and an image has as many crops as any other.
    assert!((report["samplers"][0]["noisy_mass"].as_f64().unwrap() - 0.2).abs() < 0.01, "{report}");
    assert!(report["samplers"][1]["test_accuracy"]["mean"].as_f64().unwrap() > 0.1, "{report}");

    let dataset = daemon.ctl().one(&["dataset", "show", "crops"]);
    assert_eq!((&dataset["rows"], &dataset["crops"]), (&serde_json::json!(900), &serde_json::json!(true)));
    // The images that the column `image` numbers are there once.
    let images = std::fs::metadata(work.join("train-images-idx3-ubyte")).unwrap().len();
    assert_eq!(images, IDX_HEADERS[0] + 300 * 28 * 28);
    let bank = features_file::read(&work.join("features.parquet")).unwrap();
    let job = DrawJob { name: "mine", dataset: "crops", seed: 1, batch_size: 32, follow: "step" };
    let line = &daemon.ctl().draw(&job, 0..1, 0, 1)[0];
    for (position, row) in line["indices"].as_array().unwrap().iter().enumerate() {
        let row = usize::try_from(row.as_u64().unwrap()).unwrap();
        for name in ["image", "top", "left", "height", "width", "flip"] {
            let drawn = line["crops"][name][position].as_f64().unwrap();
            assert!((drawn - bank.column(name).unwrap()[row]).abs() < 0.5, "{name} of {line}");
        }
        assert_eq!(line["crops"]["image"][position], row / 3);
    }
}

#[test]
fn a_search_over_crops_of_canvases_leaves_background_out_and_shows_which_crops_it_does() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Samplerd::start(&folder.path().join("data"));
    let (canvases, work) = (folder.path().join("canvases"), folder.path().join("work"));
    let run = |arguments: &[&str]| {
        let output = Command::new(binary("searcher")).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    let (at, work_dir) = (canvases.to_str().unwrap(), work.to_str().unwrap());
    run(&["canvases", "--data", &fashion_mnist(), "--out", at, "--images", "1000", "--side", "48"]);
    let options = "--target cnn --crops 2 --crop-scale 0.05,0.8 --crop-size 16 --batch-size 32 --train-examples 400 \
                   --validation-examples 500 --start-epochs 10 --trials 14 --epochs 1 --confirm-epochs 2 --confirm 0 \
                   --seed 1 --jobs 2 --study canvases --output json";
    let rest = ["--data", at, "--daemon", daemon.address(), "--work-dir", work_dir];
    let report = run(&options.split_whitespace().chain(rest).collect::<Vec<_>>());
    let report: Value = serde_json::from_slice(&report).unwrap();
    let [uniform, found] = [0, 1].map(|sampler| report["samplers"][sampler]["background_mass"].as_f64().unwrap());
    assert!((0.08..0.18).contains(&uniform), "{report}");
    // Over six seeds it was .07 to .6 of it, of this one .07.
    assert!(found < 0.75 * uniform, "{report}");
    let curve = report["winner"]["by_percentile"]["loss"].as_array().unwrap();
    let mean = curve.iter().map(|value| value.as_f64().unwrap()).sum::<f64>() / curve.len() as f64;
    assert!((mean - 1.0).abs() < 0.01 && curve.len() == 40, "{report}");
    let picture = std::fs::read_to_string(work.join("crops.svg")).unwrap();
    assert_eq!(picture.matches("data:image/png;base64,").count(), 64);
}

/// A text in which one of two words follows each: whoever learns it has a perplexity of 2, and of 16 by frequencies alone.
fn two_follow_each(words: usize) -> String {
    let (mut word, mut bits) = (0, 0x9e37_79b9_u32);
    (0..words)
        .map(|_| {
            bits ^= bits << 13;
            bits ^= bits >> 17;
            bits ^= bits << 5;
            word = (3 * word + if bits & 1 == 0 { 1 } else { 6 }) % 16;
            format!("w{word} ")
        })
        .collect()
}

#[test]
fn a_language_model_is_searched_for_and_its_reports_speak_of_perplexity() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Samplerd::start(&folder.path().join("data"));
    let (work, text) = (folder.path().join("work"), folder.path().join("text.txt"));
    std::fs::write(&text, two_follow_each(2000)).unwrap();
    let run = |arguments: &[&str]| {
        let output = Command::new(binary("searcher")).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let search = |output: &str| {
        let options = "--target gpt --context 8 --layers 1 --heads 2 --width 16 --batch-size 8 --learning-rate 0.01 \
                       --start-epochs 3 --trials 10 --epochs 1 --confirm 1 --jobs 2 --study text";
        let paths = ["--data", text.to_str().unwrap(), "--work-dir", work.to_str().unwrap()];
        let rest = ["--output", output, "--daemon", daemon.address()];
        run(&options.split_whitespace().chain(paths).chain(rest).collect::<Vec<_>>())
    };
    let report: Value = serde_json::from_str(&search("json")).unwrap();
    assert_eq!(report["metric"], "perplexity");
    let perplexity = 1.0 / report["samplers"][0]["test_accuracy"]["mean"].as_f64().unwrap();
    assert!((1.9..12.0).contains(&perplexity), "{report}");
    let dataset = daemon.ctl().one(&["dataset", "show", "text"]);
    assert_eq!(dataset["features"], serde_json::json!(["word_frequency", "loss"]));

    let table = search("table");
    assert!(table.contains("test perplexity") && !table.contains("test accuracy"), "{table}");
    assert!(table.contains(&format!("{perplexity:.2}")), "{perplexity} is in {table}");
    let shown = run(&["show", "text", "--daemon", daemon.address()]);
    assert!(shown.contains(&format!("{perplexity:.2}")), "{perplexity} is in {shown}");
    assert!(run(&["studies", "--daemon", daemon.address()]).contains("trial"));
}
