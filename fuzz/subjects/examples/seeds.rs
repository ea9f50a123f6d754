//! Writes the seeds that are not files of other programs into `fuzz/corpus`: specs, a manifest and the other files of a dataset,
//! configurations, messages. Those of the formats are the fixtures of `sampler/files/tests`.

use std::fs;
use std::io;
use std::path::Path;

use prost::Message;
use swift_sampler_fuzz_subjects::{CALLS, stored_files};
use swift_sampler_proto::v1;

const SWIFT: &str = r#"{"kind":"swift","features":["loss","entropy"],"coefficients":[0.8,0.6],"knots":[0.25,0.5,0.75],"values":[1,0.9,0.4,0.1,0]}"#;
const CONFIG: &str = "data_dir = \"/d\"\nlisten = \"127.0.0.1:7431\"\nhttp = \"127.0.0.1:7432\"\nregistry = \"redis://me:secret@127.0.0.1:6379/1\"\nlog_format = \"json\"\nstreams_max = 7\nmax_connection_age = 60\n";

fn write(target: &str, name: &str, seed: &[u8]) -> io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus").join(target);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(name), seed)
}

fn message(call: &str, message: &impl Message) -> io::Result<()> {
    let number = CALLS.iter().position(|of| of.ends_with(call)).and_then(|number| u8::try_from(number).ok());
    let number = number.ok_or_else(|| io::Error::other(format!("{call} is not fuzzed")))?;
    write("messages", call, &[&[number][..], &message.encode_to_vec()].concat())
}

fn main() -> io::Result<()> {
    write("spec_json", "swift", SWIFT.as_bytes())?;
    write("spec_json", "uniform", br#"{"kind":"uniform"}"#)?;
    write("spec_json", "column", br#"{"kind":"column","column":"loss"}"#)?;
    write("spec_json", "cdf", SWIFT.replace("\"knots\"", "\"transform\":\"cdf\",\"knots\"").as_bytes())?;
    write("config", "all", CONFIG.as_bytes())?;
    for (name, file) in ["manifest", "columns", "cells"].iter().zip(stored_files()) {
        if *name == "manifest" {
            write("manifest", "manifest", &file[1..])?;
        }
        write("stored", name, &file)?;
    }
    let (name, dataset) = (|| "j".to_owned(), || "d".to_owned());
    message(
        "OpenJob",
        &v1::OpenJobRequest { name: name(), dataset: dataset(), seed: 7, batch_size: 8, mode: 2, ..Default::default() },
    )?;
    message("GetBatches", &v1::GetBatchesRequest { job: name(), steps: 3, world_size: 2, ..Default::default() })?;
    message("StreamBatches", &v1::StreamBatchesRequest { job: name(), to_step: Some(5), ..Default::default() })?;
    let feature = |name: &str| v1::FeatureColumn {
        name: name.to_owned(),
        values: Some(v1::feature_column::Values::F64(vec![0; 32].into())),
    };
    let features = vec![feature("loss"), feature("entropy")];
    message("SelectCrops", &v1::SelectCropsRequest { dataset: dataset(), keep: 2, features, ..Default::default() })?;
    let origin = Some(v1::Origin { study: "s".to_owned(), trial: 1, candidate: true });
    message("PutSampler", &v1::PutSamplerRequest { dataset: dataset(), spec_json: SWIFT.to_owned(), origin })?;
    message("ActivateSampler", &v1::ActivateSamplerRequest { dataset: dataset(), version: 2 })?;
    let files = vec![v1::ImportFile { name: "a.csv".to_owned(), format: 4 }];
    let header = v1::ImportHeader { name: "new".to_owned(), files: files.clone(), on_missing: 2, ..Default::default() };
    let part = Some(v1::import_dataset_request::Part::Header(header));
    message("ImportDataset", &v1::ImportDatasetRequest { part })?;
    let header = v1::RefreshHeader { dataset: dataset(), files, first_row: Some(3) };
    let part = Some(v1::refresh_features_request::Part::Header(header));
    message("RefreshFeatures", &v1::RefreshFeaturesRequest { part })?;
    message("RemoveDataset", &v1::RemoveDatasetRequest { name: "none".to_owned() })?;
    let study = v1::CreateStudyRequest {
        name: "s".to_owned(),
        dataset: dataset(),
        config_json: r#"{"trials":40}"#.to_owned(),
        ..Default::default()
    };
    message("CreateStudy", &study)?;
    let trial = v1::AddTrialRequest { study: "s".to_owned(), parameters_json: "{}".to_owned(), ..Default::default() };
    message("AddTrial", &trial)?;
    message("TellTrial", &v1::TellTrialRequest { study: "s".to_owned(), worker: "w".to_owned(), ..Default::default() })
}
