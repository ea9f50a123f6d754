//! A bank of crops, some of which miss the object: a sampler by a network's features leaves the background out, whether
//! crops are drawn from the bank or proposed while training.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;

use swift_sampler::{Dataset, FeatureTable, Sampler};
use swift_sampler_client::blocking::Client;
use swift_sampler_client::{BatchesRequest, CropsRequest, JobConfig};
use swift_sampler_searcher::data::canvas::{CanvasConfig, Canvases};
use swift_sampler_searcher::data::crops::{self, CropConfig, TrainingCrops};
use swift_sampler_searcher::data::objects::BACKGROUND_OVERLAP_MAX;
use swift_sampler_searcher::data::{ImageShape, LabelledImages, Values};
use swift_sampler_searcher::randomness::Randomness;
use swift_sampler_tests::Samplerd;
use swift_sampler_tests::samplerctl::DrawJob;

const SIDE: usize = 12;
const CLASSES: usize = 3;
/// Of the classifier: objects are told apart, and background is nobody's.
const SHARPNESS: f64 = 8.0;
const IMAGES: usize = 600;
const BATCH_SIZE: u32 = 64;
/// Prefers small losses, and never draws the largest.
const EASY: &str = r#"{"kind":"swift","features":["loss","entropy"],"coefficients":[1,0],"knots":[0.3,0.5,0.7],
    "values":[1,1,0.3,0.05,0],"transform":"cdf"}"#;

/// Objects of a texture each class: stripes along rows, stripes along columns, or neither, with some noise.
fn objects() -> LabelledImages {
    let mut randomness = Randomness::new(5);
    let labels: Vec<u16> = (0..IMAGES).map(|image| u16::try_from(image % CLASSES).unwrap()).collect();
    let mut pixels = Vec::new();
    for &label in &labels {
        for (row, column) in (0..SIDE).flat_map(|row| (0..SIDE).map(move |column| (row, column))) {
            let is_dark = [row % 2 == 1, column % 2 == 1, false][usize::from(label)];
            let noise = if randomness.uniform() < 0.5 { 20 } else { 0 };
            pixels.push(if is_dark { 80 + noise } else { 235 + noise });
        }
    }
    LabelledImages::new(ImageShape { channels: 1, height: SIDE, width: SIDE }, Values::Bytes(pixels), labels)
}

/// Brightness and mean difference of neighbours in a row and in a column, 0 to 1: what the classifier sees.
fn texture(pixels: &[u8]) -> [f64; 3] {
    let value = |row: usize, column: usize| f64::from(pixels[row * SIDE + column]) / 255.0;
    let inside = |difference: fn(usize, usize) -> (usize, usize)| {
        let places = (0..SIDE - 1).flat_map(|row| (0..SIDE - 1).map(move |column| (row, column)));
        let differences = places.map(|(row, column)| {
            let (next_row, next_column) = difference(row, column);
            (value(row, column) - value(next_row, next_column)).abs()
        });
        mean(differences.collect::<Vec<f64>>().into_iter())
    };
    let brightness = mean(pixels.iter().map(|&pixel| f64::from(pixel) / 255.0));
    [brightness, inside(|row, column| (row, column + 1)), inside(|row, column| (row + 1, column))]
}

/// Loss and renormed entropy, eq. (11), of each crop by a frozen classifier: the nearer a class's mean texture, the likelier.
fn features(objects: &LabelledImages, crops: &LabelledImages) -> [Vec<f64>; 2] {
    let textures = |images: &LabelledImages| -> Vec<[f64; 3]> {
        images.pixels.bytes().unwrap().chunks_exact(SIDE * SIDE).map(texture).collect()
    };
    let mut means = [[0.0; 3]; CLASSES];
    for (texture, &label) in textures(objects).iter().zip(&objects.labels) {
        let share = CLASSES as f64 / IMAGES as f64;
        means[usize::from(label)].iter_mut().zip(texture).for_each(|(mean, value)| *mean += share * value);
    }
    let (mut losses, mut entropies) = (Vec::new(), Vec::new());
    for (texture, &label) in textures(crops).iter().zip(&crops.labels) {
        let distance = |mean: &[f64; 3]| -> f64 { mean.iter().zip(texture).map(|(m, t)| (m - t).powi(2)).sum() };
        let exponentials = means.map(|mean| (-SHARPNESS * distance(&mean)).exp());
        let total: f64 = exponentials.iter().sum();
        let own = exponentials[usize::from(label)];
        losses.push(-(own / total).ln());
        let others = exponentials.iter().enumerate().filter(|(class, _)| *class != usize::from(label));
        let rest: f64 = others.clone().map(|(_, e)| e).sum();
        entropies.push(others.map(|(_, e)| e / rest).map(|q| -q * q.ln()).sum());
    }
    [losses, entropies]
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len() as f64;
    values.sum::<f64>() / count
}

#[test]
fn background_is_what_a_sampler_draws_least_from_a_bank_and_keeps_least_of_proposals() {
    let objects = objects();
    let canvases = Canvases::generate(&objects, &CanvasConfig { side: 30, others: 0, seed: 0 }).unwrap();
    let crops_of = |per_image: u32, seed: u64| {
        let size = Some(u32::try_from(SIDE).unwrap());
        let config = CropConfig { per_image, scale: [0.09, 0.28], size };
        TrainingCrops::draw(config, IMAGES, canvases.images.shape, seed).unwrap()
    };
    let features_of = |bank: &TrainingCrops| {
        features(&objects, &bank.cut(&canvases.images, &(0..bank.crops.len()).collect::<Vec<usize>>()))
    };
    let overlaps = |bank: &TrainingCrops| -> Vec<f64> {
        bank.crops.iter().map(|crop| canvases.objects[crop.image as usize].overlap(crop)).collect()
    };
    let bank = crops_of(4, 0);
    let of_bank = overlaps(&bank);
    let [loss, entropy] = features_of(&bank);
    let mut columns = vec![("loss".to_owned(), loss), ("entropy".to_owned(), entropy)];
    columns.extend(crops::columns(&bank.crops).into_iter().map(|(name, values)| (name.to_owned(), values)));

    let folder = tempfile::tempdir().unwrap();
    let daemon = Samplerd::start(&folder.path().join("data"));
    let ctl = daemon.ctl();
    let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
    let mut csv = names.join(",");
    for row in 0..bank.crops.len() {
        let values: Vec<String> = columns.iter().map(|(_, values)| values[row].to_string()).collect();
        write!(csv, "\n{}", values.join(",")).unwrap();
    }
    let file = folder.path().join("bank.csv");
    std::fs::write(&file, csv).unwrap();
    assert_eq!(ctl.one(&["dataset", "import", "bank", file.to_str().unwrap()])["crops"], true);
    let version = ctl.put("bank", folder.path(), EASY);
    ctl.activate("bank", version);

    // The least probable crops are background, the most probable ones are not.
    let dataset =
        Dataset::new(FeatureTable::new(columns).unwrap(), vec!["loss".into(), "entropy".into()], None).unwrap();
    let probabilities = Sampler::build(&serde_json::from_str(EASY).unwrap(), &dataset).unwrap().probabilities();
    let mut order: Vec<usize> = (0..bank.crops.len()).collect();
    order.sort_by(|&a, &b| probabilities[a].total_cmp(&probabilities[b]));
    let background_share =
        |rows: &[usize]| mean(rows.iter().map(|&row| f64::from(u8::from(of_bank[row] < BACKGROUND_OVERLAP_MAX))));
    let tenth = order.len() / 10;
    let (least, most) = (background_share(&order[..tenth]), background_share(&order[order.len() - tenth..]));
    assert!(least > most + 0.3, "of the least probable crops {least} are background, of the most probable {most}");

    // So the daemon's batches hold more of the objects, and say which crop each draw is.
    let job = DrawJob { name: "draws", dataset: "bank", seed: 1, batch_size: BATCH_SIZE, follow: "step" };
    let line = &ctl.draw(&job, 0..1, 0, 1)[0];
    let client = Client::connect(daemon.address()).unwrap();
    let batches = client.batches(BatchesRequest { to_step: Some(40), ..BatchesRequest::new("draws", 0) });
    let mut drawn = Vec::new();
    for batch in batches.map(Result::unwrap) {
        let crops = batch.crops.unwrap();
        for (position, row) in batch.indices.iter().enumerate() {
            let row = usize::try_from(row).unwrap();
            let crop = bank.crops[row];
            let of_batch = [&crops.image, &crops.top, &crops.left, &crops.height, &crops.width].map(|c| c[position]);
            assert_eq!(of_batch, [crop.image, crop.top, crop.left, crop.height, crop.width]);
            assert_eq!(crops.flip[position] == 1, crop.flip);
            drawn.push(of_bank[row]);
        }
        if batch.step == 0 {
            assert_eq!(line["crops"], serde_json::to_value(&*crops).unwrap());
        }
    }
    let (of_draws, of_bank) = (mean(drawn.into_iter()), mean(of_bank.iter().copied()));
    assert!(of_draws > of_bank + 0.1, "overlap {of_draws} of draws, {of_bank} of the bank");

    // Fresh crops, which no dataset holds, are selected by the same tables.
    let fresh = crops_of(2, 1);
    let of_fresh = overlaps(&fresh);
    let [loss, entropy] = features_of(&fresh);
    client.open_job(&JobConfig::new("online", "bank", BATCH_SIZE)).unwrap();
    let (mut kept, mut left) = (Vec::new(), Vec::new());
    for step in 0..fresh.crops.len() / (2 * BATCH_SIZE as usize) {
        let proposed = step * 2 * BATCH_SIZE as usize..(step + 1) * 2 * BATCH_SIZE as usize;
        let of_step = vec![
            ("loss".to_owned(), loss[proposed.clone()].to_vec()),
            ("entropy".to_owned(), entropy[proposed.clone()].to_vec()),
        ];
        let request = CropsRequest { fill: true, ..CropsRequest::new("online", step as u64, BATCH_SIZE, of_step) };
        let selected = client.select_crops(&request).unwrap();
        assert_eq!(selected.version, version);
        for (position, overlap) in of_fresh[proposed].iter().enumerate() {
            let is_kept = selected.positions.contains(&u32::try_from(position).unwrap());
            if is_kept { &mut kept } else { &mut left }.push(*overlap);
        }
    }
    let (kept, left) = (mean(kept.into_iter()), mean(left.into_iter()));
    assert!(kept > left + 0.1, "overlap {kept} of the crops kept, {left} of the others");
}
