//! A crop bank's draws carry their crops, and proposed crops are selected by stored tables.

use swift_sampler::{Dataset, Engine, FeatureTable, JobParameters, Proposals, SamplerSpec, job::Shard};
use swift_sampler_proto::columns::{pack_f32, pack_f64, unpack_f32, unpack_u32};
use swift_sampler_proto::v1;
use swift_sampler_proto::v1::feature_column::Values;
use tonic::{Code, Status};

use crate::harness::{SWIFT, Server, columns, csv, job, server_with_dataset, steps};
use crate::site::{Site, shows};

const ROWS: u32 = 600;
const COLUMNS: [&str; 6] = ["image", "top", "left", "height", "width", "flip"];

/// Features and crops: each image has four.
fn bank() -> Vec<(String, Vec<f64>)> {
    let column = |name: &str, value: fn(u32) -> u32| {
        (name.to_owned(), (0..ROWS).map(|row| f64::from(value(row))).collect::<Vec<_>>())
    };
    let mut bank = columns(ROWS);
    bank.extend([
        column("image", |row| row / 4),
        column("top", |row| row % 7),
        column("left", |row| row % 11),
        column("height", |row| 1 + row % 13),
        column("width", |row| 1 + row % 17),
        column("flip", |row| row % 2),
    ]);
    bank
}

/// The crops of a block, as rows of the bank would have them.
fn crops(block: &v1::BatchBlock) -> [Vec<u32>; 6] {
    let crops = block.crops.as_ref().expect("the dataset is a crop bank");
    let unpack = |bytes: &[u8]| {
        let mut values = Vec::new();
        unpack_u32(bytes, &mut values).unwrap();
        values
    };
    let v1::Crops { image, top, left, height, width, flip } = crops;
    let flip = flip.iter().map(|&flip| u32::from(flip)).collect();
    [unpack(image), unpack(top), unpack(left), unpack(height), unpack(width), flip]
}

fn rows(block: &v1::BatchBlock) -> Vec<u32> {
    let mut rows = Vec::new();
    unpack_u32(&block.indices, &mut rows).unwrap();
    rows
}

fn assert_crops_of_rows(block: &v1::BatchBlock) {
    let (rows, bank) = (rows(block), bank());
    assert!(!rows.is_empty());
    for (name, crops) in COLUMNS.iter().zip(crops(block)) {
        let (_, column) = bank.iter().find(|(column, _)| column == name).unwrap();
        let expected: Vec<f64> = rows.iter().map(|&row| column[row as usize]).collect();
        assert_eq!(crops.into_iter().map(f64::from).collect::<Vec<_>>(), expected, "{name}");
    }
}

async fn get(server: &Server, request: v1::GetBatchesRequest) -> v1::BatchBlock {
    server.sampling().get_batches(request).await.unwrap().into_inner()
}

fn get_steps(from_step: u64, steps: u32) -> v1::GetBatchesRequest {
    v1::GetBatchesRequest { job: "j".into(), from_step, steps, ..Default::default() }
}

#[tokio::test]
async fn draws_of_a_crop_bank_carry_their_crops_on_every_daemon_and_in_an_engine() {
    let site = Site::new();
    let (a, b) = (site.start("a").await, site.start("b").await);
    a.import("d", &[], &[("d.csv", csv(&bank()))]).await.unwrap();
    for (number, mode) in [v1::ReplacementMode::Stratified, v1::ReplacementMode::Distinct].into_iter().enumerate() {
        let name = format!("j{number}");
        a.open_job(v1::OpenJobRequest { mode: mode.into(), ..job(&name, 50) }).await.unwrap();
        // Two epochs, so that a unary answer is joined of several blocks.
        let block = get(&a, v1::GetBatchesRequest { job: name.clone(), ..get_steps(0, 24) }).await;
        assert_crops_of_rows(&block);
        let elsewhere = get(&b, v1::GetBatchesRequest { job: name.clone(), ..get_steps(0, 24) }).await;
        assert_eq!(elsewhere, block, "the crops come along with the columns");
    }
    let block = get(&a, v1::GetBatchesRequest { job: "j0".into(), ..get_steps(3, 1) }).await;
    let table = FeatureTable::new(bank()).unwrap();
    let dataset = Dataset::new(table, vec!["loss".into(), "entropy".into()], Some("grad_norm".into())).unwrap();
    let parameters =
        JobParameters { seed: 7, replacement: swift_sampler::Replacement::Stratified, ..JobParameters::new(50) };
    let engine = Engine::new(dataset, &SamplerSpec::Uniform {}, parameters).unwrap();
    let of_engine = engine.batch(3, Shard::WHOLE).unwrap().crops.unwrap();
    let [image, _, _, _, width, flip] = crops(&block);
    assert_eq!((of_engine.image.to_vec(), of_engine.width.to_vec()), (image, width));
    assert_eq!(of_engine.flip.iter().map(|&flip| u32::from(flip)).collect::<Vec<_>>(), flip);
    for server in [a, b] {
        server.stopped().await;
    }
}

#[tokio::test]
async fn a_stream_carries_crops_unless_they_are_not_wanted_and_other_datasets_have_none() {
    let directory = tempfile::tempdir().unwrap();
    let server = server_with_dataset(directory.path(), ROWS).await;
    server.import("bank", &[], &[("bank.csv", csv(&bank()))]).await.unwrap();
    server.open_job(v1::OpenJobRequest { dataset: "bank".into(), ..job("crops", 30) }).await.unwrap();
    server.open_job(job("j", 30)).await.unwrap();
    let mut blocks = server.sampling().stream_batches(steps("crops", 0, 300)).await.unwrap().into_inner();
    let mut batches = 0;
    while let Some(block) = blocks.message().await.unwrap() {
        assert_crops_of_rows(&block);
        batches += block.batches.len();
    }
    assert_eq!(batches, 300);
    let without = v1::GetBatchesRequest { job: "crops".into(), without_crops: true, ..get_steps(0, 2) };
    assert_eq!(get(&server, without).await.crops, None);
    assert_eq!(get(&server, get_steps(0, 2)).await.crops, None);
    server.stopped().await;
}

#[tokio::test]
async fn what_is_no_crop_is_refused_by_file_column_and_row() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path()).await;
    for (column, wrong, rule) in [
        ("image", "1.5", "a whole number from 0 to 2^32 - 1"),
        ("left", "-1", "a whole number from 0 to 2^32 - 1"),
        ("height", "0", "a whole number from 1 to 2^32 - 1: a crop has at least one pixel"),
        ("flip", "2", "0 or 1"),
    ] {
        let mut second = bank();
        second.iter_mut().find(|(name, _)| name == column).unwrap().1[41] = wrong.parse().unwrap();
        let files = [("a.csv", csv(&bank())), ("b.csv", csv(&second))];
        let status = server.import("d", &[], &files).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        let expected =
            format!("file \"b.csv\", column \"{column}\", row 41 (counted from 0) is {wrong}: it must be {rule}");
        assert_eq!(status.message(), expected);
    }
    let named = String::from_utf8(csv(&bank())).unwrap().replace("\n0.001,", "\na.png,");
    let renamed = named.replacen("loss", "picture", 1).replacen("image", "loss", 1).replacen("picture", "image", 1);
    let status = server.import("d", &[], &[("d.csv", renamed.into_bytes())]).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("column \"image\""), "{}", status.message());
    server.stopped().await;
}

/// A request of a job, or of dataset "d", to keep some of 40 crops at step 3.
fn request(job: &str, keep: u32) -> v1::SelectCropsRequest {
    let column = |name: &str, multiplier: u32| {
        let values: Vec<f64> = (0..40u32).map(|row| f64::from(row * multiplier % 41) / 41.0).collect();
        v1::FeatureColumn { name: name.into(), values: Some(Values::F64(pack_f64(&values))) }
    };
    let dataset = if job.is_empty() { "d" } else { "" };
    v1::SelectCropsRequest {
        job: job.into(),
        dataset: dataset.into(),
        step: 3,
        keep,
        features: vec![column("loss", 5), column("entropy", 7)],
        ..Default::default()
    }
}

/// Version, positions and weights.
async fn select(server: &Server, request: v1::SelectCropsRequest) -> Result<(u64, Vec<u32>, Vec<f32>), Status> {
    let selected = server.sampling().select_crops(request).await?.into_inner();
    let (mut positions, mut weights) = (Vec::new(), Vec::new());
    unpack_u32(&selected.positions, &mut positions).unwrap();
    unpack_f32(&selected.weights, &mut weights).unwrap();
    Ok((selected.version, positions, weights))
}

#[tokio::test]
async fn every_replica_selects_what_an_engine_does() {
    let site = Site::new();
    let (a, b) = (site.start("a").await, site.start("b").await);
    crate::site::import(&a).await;
    a.put("d", SWIFT).await.unwrap();
    a.activate("d", 2).await.unwrap();
    a.open_job(job("j", 20)).await.unwrap();
    let answer = select(&a, request("j", 15)).await.unwrap();
    assert_eq!(select(&a, request("j", 15)).await.unwrap(), answer, "a repeated request");
    assert_eq!(select(&b, request("j", 15)).await.unwrap(), answer, "another replica");
    let by_dataset = v1::SelectCropsRequest { seed: 7, ..request("", 15) };
    assert_eq!(select(&b, by_dataset).await.unwrap(), answer, "the active version with the job's seed");
    assert_ne!(select(&b, v1::SelectCropsRequest { rank: 1, ..request("j", 15) }).await.unwrap().1, answer.1);

    let table = FeatureTable::new(columns(1000)).unwrap();
    let dataset = Dataset::new(table, vec!["loss".into(), "entropy".into()], Some("grad_norm".into())).unwrap();
    let parameters = JobParameters { seed: 7, ..JobParameters::new(20) };
    let engine = Engine::new(dataset, &serde_json::from_str(SWIFT).unwrap(), parameters).unwrap();
    let column = |multiplier: u32| (0..40u32).map(|row| f64::from(row * multiplier % 41) / 41.0).collect();
    let proposals = Proposals::new(vec![("loss".into(), column(5)), ("entropy".into(), column(7))]).unwrap();
    let (_, selected) = engine.select(3, 0, &proposals, 15, false).unwrap();
    assert_eq!((2, selected.positions, selected.weights), answer);
    for server in [a, b] {
        server.stopped().await;
    }
}

#[tokio::test]
async fn a_job_selects_by_the_version_of_its_step_before_and_after_a_swap() {
    let directory = tempfile::tempdir().unwrap();
    let server = server_with_dataset(directory.path(), ROWS).await;
    server.put("d", SWIFT).await.unwrap();
    server.open_job(job("j", 20)).await.unwrap();
    let at = |step, rank| v1::SelectCropsRequest { step, rank, ..request("j", 10) };
    let before = select(&server, at(3, 0)).await.unwrap();
    assert_eq!((before.0, &before.2[..]), (1, &[1.0; 10][..]));
    let horizon = |server: &Server| {
        let mut control = server.control();
        async move { control.get_job(v1::GetJobRequest { name: "j".into() }).await.unwrap().into_inner().horizon }
    };
    let frozen = horizon(&server).await;
    assert!(frozen > 3, "the step is frozen, for the other ranks");
    server.activate("d", 2).await.unwrap();
    assert_eq!(select(&server, at(3, 1)).await.unwrap().0, 1, "a rank that comes after the swap");
    assert_eq!(select(&server, at(frozen, 0)).await.unwrap().0, 2);
    // What is read of the job follows the same log.
    let block = get(&server, get_steps(frozen, 1)).await;
    assert_eq!(block.batches[0].version, 2);
    let far = select(&server, at(1 << 40, 0)).await.unwrap_err();
    assert_eq!(far.code(), Code::FailedPrecondition);
    assert_eq!(select(&server, v1::SelectCropsRequest { version: Some(1), ..request("", 10) }).await.unwrap().0, 1);
    server.stopped().await;
}

#[tokio::test]
async fn what_cannot_be_selected_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let server = server_with_dataset(directory.path(), ROWS).await;
    let narrow = r#"{"kind":"swift","features":["loss"],"coefficients":[1],"knots":[0.01,0.02,0.03],
        "values":[1,0,0,0,0]}"#;
    for spec in [SWIFT, narrow, r#"{"kind":"column","column":"loss"}"#] {
        server.put("d", spec).await.unwrap();
    }
    let by = |version| v1::SelectCropsRequest { version: Some(version), ..request("", 15) };
    let f32s = |values: &[f32]| Some(Values::F32(pack_f32(values)));
    let with_loss = |values| {
        let mut request = by(2);
        request.features[0].values = values;
        request
    };
    let mut nan = vec![0.5; 40];
    nan[17] = f32::NAN;
    let without_entropy = v1::SelectCropsRequest { features: by(2).features[..1].to_vec(), ..by(2) };
    for (request, code, says) in [
        (with_loss(f32s(&nan)), Code::InvalidArgument, "feature \"loss\", row 17 (counted from 0) is NaN"),
        (with_loss(f32s(&[0.5; 39])), Code::InvalidArgument, "feature \"entropy\" has 40 values, but \"loss\" has 39"),
        (with_loss(None), Code::InvalidArgument, "feature \"loss\" has no values"),
        (
            with_loss(Some(Values::F64(vec![0; 12].into()))),
            Code::InvalidArgument,
            "feature \"loss\": a column of 12 bytes",
        ),
        (with_loss(f32s(&vec![0.5; 65_537])), Code::ResourceExhausted, "propose at most 65536"),
        (
            without_entropy,
            Code::InvalidArgument,
            "the sampler combines feature \"entropy\", and the proposals have loss",
        ),
        (v1::SelectCropsRequest { features: vec![], ..by(2) }, Code::InvalidArgument, "nothing is proposed"),
        (v1::SelectCropsRequest { keep: 0, ..by(2) }, Code::InvalidArgument, "keep is 0: it must be from 1 to the 40"),
        (v1::SelectCropsRequest { keep: 41, ..by(2) }, Code::InvalidArgument, "keep is 41"),
        (v1::SelectCropsRequest { rank: 1 << 30, ..by(2) }, Code::InvalidArgument, "rank 1073741824"),
        (by(3), Code::FailedPrecondition, "of 40 proposals have a positive weight, and 15 are to be kept"),
        (by(4), Code::FailedPrecondition, "a sampler of kind \"column\""),
        (by(9), Code::NotFound, "9"),
        (request("none", 15), Code::NotFound, "none"),
        (v1::SelectCropsRequest { dataset: "d".into(), ..request("j", 15) }, Code::InvalidArgument, "not both"),
    ] {
        let status = select(&server, request).await.unwrap_err();
        assert_eq!(status.code(), code, "{status}");
        assert!(status.message().contains(says), "{}", status.message());
    }
    let filled = select(&server, v1::SelectCropsRequest { fill: true, ..by(3) }).await.unwrap();
    assert!(filled.2[0] > 0.0 && filled.2[14] == 0.0, "{:?}", filled.2);
    assert!(shows(&server, "crops_proposed_total 40").await && shows(&server, "crops_selected_total 15").await);
    assert!(shows(&server, "selection_duration_seconds_count 1").await);
    server.stopped().await;
}
