//! The user's own columns beside the computed features: row i belongs to example i of what the data has for training, in the
//! order of its files, and goes where the split puts that example.

use std::path::{Path, PathBuf};

use swift_sampler::CropColumn;
use swift_sampler_files::{ROWS_MAX, Selection, SourceFile};

use crate::error::SearcherError;
use crate::features_file;
use crate::preparation::TargetConfig;
use crate::target::Feature;

/// The computed features with the user's columns, in the work folder.
const JOINED_FILE: &str = "features-with-columns.parquet";

/// Returns a file that has all `features`: `computed`, or one written beside it that also has what `columns` say of the
/// features that are not computed.
///
/// Files of columns follow each other, as in an import.
///
/// # Errors
/// [`SearcherError::Config`] when a feature is nowhere or columns are of no use; [`SearcherError::Data`] naming file, column and
/// row that are wrong, or how many rows are expected.
pub fn join(
    target: &TargetConfig,
    computed: &Path,
    columns: &[PathBuf],
    features: &[String],
    work_dir: &Path,
) -> Result<PathBuf, SearcherError> {
    let data = |error: &dyn std::fmt::Display| SearcherError::Data(error.to_string());
    let table = features_file::read(computed).map_err(|error| data(&error))?;
    let names: Vec<String> = table.names().iter().map(|name| (*name).to_owned()).collect();
    let wanted: Vec<String> = features.iter().filter(|feature| !names.contains(feature)).cloned().collect();
    match (wanted.first(), columns.first()) {
        (None, None) => return Ok(computed.to_owned()),
        (None, Some(_)) => {
            let computed = computable(target, &names);
            return Err(SearcherError::Config(format!(
                "--columns are of no use: --features names only computed ones ({computed})"
            )));
        }
        (Some(feature), None) => {
            return Err(SearcherError::Config(format!(
                "feature {feature:?} is not computed ({} are): give --columns, the files it is in",
                computable(target, &names)
            )));
        }
        (Some(_), Some(_)) => {}
    }
    let files = columns.iter().map(|path| SourceFile::at(path)).collect::<Result<Vec<SourceFile>, _>>();
    let selection = Selection { features: wanted.clone(), gradient_norm: None };
    let read = files.and_then(|files| swift_sampler_files::read(&files, &selection, ROWS_MAX));
    let read = read.map_err(|error| data(&error))?;
    let (rows, source_rows) = target.training_rows()?;
    let mut joined: Vec<(&str, Vec<f64>)> = Vec::new();
    for name in &names {
        joined.push((name, table.column(name).map_err(|error| data(&error))?.to_vec()));
    }
    for (name, values) in read.columns.iter().filter(|(name, _)| wanted.contains(name)) {
        if values.len() != source_rows {
            let of = columns.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
            return Err(SearcherError::Data(format!(
                "{of}: column {name:?} has {} rows, the data has {source_rows} examples for training: row i is that of \
                 example i in the order of its files, before it is split; crops have the row of their image",
                values.len()
            )));
        }
        joined.push((name, rows.iter().map(|&row| values[row]).collect()));
    }
    let path = work_dir.join(JOINED_FILE);
    let columns: Vec<(&str, &[f64])> = joined.iter().map(|(name, values)| (*name, values.as_slice())).collect();
    features_file::write(&path, &columns).map_err(|error| data(&error))?;
    Ok(path)
}

/// The names of what there is, and of what the target could compute.
fn computable(target: &TargetConfig, there: &[String]) -> String {
    let there: Vec<&str> =
        there.iter().map(String::as_str).filter(|name| CropColumn::of_name(name).is_none()).collect();
    let others: &[Feature] = if matches!(target, TargetConfig::Language(_)) { &[] } else { &Feature::ALL };
    let others = others.iter().map(|feature| feature.name()).filter(|name| !there.contains(name));
    there.iter().copied().chain(others).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulated::SimulatedConfig;

    fn setup() -> (tempfile::TempDir, TargetConfig, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let config = SimulatedConfig { examples: 5, label_noise: 0.0, seed: 0, faults: Vec::new() };
        let computed = config.write_features(folder.path()).unwrap();
        (folder, TargetConfig::Simulated(config), computed)
    }

    fn names(features: &[&str]) -> Vec<String> {
        features.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn columns_stand_beside_the_computed_features_row_by_row() {
        let (folder, target, computed) = setup();
        // Two files that follow each other.
        let columns = [folder.path().join("a.csv"), folder.path().join("b.csv")];
        std::fs::write(&columns[0], "age,name\n1,x\n2,y\n").unwrap();
        std::fs::write(&columns[1], "age,name\n3,x\n4,y\n5,z\n").unwrap();
        let joined = join(&target, &computed, &columns, &names(&["loss", "age"]), folder.path()).unwrap();
        let (before, after) = (features_file::read(&computed).unwrap(), features_file::read(&joined).unwrap());
        assert_eq!(after.names(), ["loss", "entropy", "grad_norm", "age"]);
        assert_eq!(after.column("age").unwrap(), [1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(after.column("loss").unwrap(), before.column("loss").unwrap());
    }

    #[test]
    fn what_does_not_fit_is_said_with_what_would() {
        let (folder, target, computed) = setup();
        let path = folder.path().join("a.csv");
        std::fs::write(&path, "age\n1\n2\n").unwrap();
        let columns = std::slice::from_ref(&path);
        let refusal = |columns: &[PathBuf], features: &[&str]| {
            join(&target, &computed, columns, &names(features), folder.path()).unwrap_err().to_string()
        };
        assert!(refusal(columns, &["age"]).contains("has 2 rows, the data has 5"));
        assert!(refusal(columns, &["height"]).contains("height"));
        assert!(refusal(columns, &["loss"]).contains("of no use"));
        assert!(refusal(&[], &["loss", "age"]).contains("give --columns"));
        assert_eq!(join(&target, &computed, &[], &names(&["loss"]), folder.path()).unwrap(), computed);
    }
}
