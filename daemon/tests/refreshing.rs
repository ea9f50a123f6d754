//! Refreshed features are those of an import of the same values, on every replica; a refresh never undoes another writer.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use swift_sampler_daemon::registry::{FIRST_REVISION, NewRevision, OriginRecord, RegistryError, SamplerFigures};
use swift_sampler_proto::v1;
use swift_sampler_proto::v1::refresh_features_request::Part;
use tonic::Status;

use crate::harness::{Batch, ManualClock, SWIFT, Server, columns, csv, job, new_dataset, registry, steps};
use crate::site::{Site, eventually, import, is_up, read, shows};

type Columns = Vec<(String, Vec<f64>)>;

async fn refresh(
    server: &Server,
    dataset: &str,
    values: &[(String, Vec<f64>)],
    first_row: Option<u64>,
) -> Result<v1::RefreshedFeatures, Status> {
    let files = vec![v1::ImportFile { name: "new.csv".into(), format: 0 }];
    let header = v1::RefreshHeader { dataset: dataset.into(), files, first_row };
    let chunk = v1::ImportChunk { file: 0, data: csv(values).into() };
    let parts = [Part::Header(header), Part::Chunk(chunk)].map(|part| v1::RefreshFeaturesRequest { part: Some(part) });
    Ok(server.control().refresh_features(tokio_stream::iter(parts)).await?.into_inner())
}

/// The batches of a new job in each mode.
async fn drawn(server: &Server, dataset: &str) -> Vec<Vec<Batch>> {
    let mut drawn = Vec::new();
    for mode in [1, 2, 3] {
        let name = format!("{dataset}/{mode}");
        server.open_job(v1::OpenJobRequest { dataset: dataset.into(), mode, ..job(&name, 3) }).await.unwrap();
        drawn.push(server.stream(steps(&name, 0, 30)).await.unwrap());
    }
    drawn
}

/// Columns, and new values of some of them for some rows.
fn refreshes() -> impl Strategy<Value = (Columns, Columns, usize)> {
    // Few values, so that there are ties.
    let values = |rows: usize| vec((0..20u8).prop_map(f64::from), rows);
    let names = ["loss", "entropy", "grad_norm"];
    (4..60usize, 0..3usize).prop_flat_map(move |(rows, first)| {
        let taken = (1..=rows - first).prop_flat_map(move |len| {
            let column = move |name: &str| (Just(name.to_owned()), values(len));
            proptest::sample::subsequence(names.to_vec(), 1..=3)
                .prop_flat_map(move |names| names.into_iter().map(column).collect::<Vec<_>>())
        });
        let column = |name: &str| (Just(name.to_owned()), values(rows));
        (names.map(column).to_vec(), taken, Just(first))
    })
}

#[test]
fn a_refresh_is_an_import_of_the_values_that_result() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let server = runtime.block_on(Server::start(folder.path()));
    let mut runner =
        TestRunner::new(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() });
    let checked = runner.run(&refreshes(), |(old, new, first)| {
        let mut expected = old.clone();
        for (name, values) in &new {
            let (_, column) = expected.iter_mut().find(|(known, _)| known == name).unwrap();
            column[first..first + values.len()].copy_from_slice(values);
        }
        // Weights of 0 everywhere cannot be drawn from; that is another test's.
        prop_assume!([&old, &expected].iter().all(|columns| columns[2].1.iter().any(|norm| *norm > 0.0)));
        runtime.block_on(async {
            let spec = r#"{"kind":"column","column":"grad_norm"}"#;
            for (name, columns) in [("refreshed", &old), ("imported", &expected)] {
                server.import(name, &[], &[("a.csv", csv(columns))]).await.unwrap();
                server.put(name, spec).await.unwrap();
                server.activate(name, 2).await.unwrap();
            }
            let refreshed = refresh(&server, "refreshed", &new, Some(first as u64)).await.unwrap();
            let get = v1::GetDatasetRequest { name: "imported".into() };
            let imported = server.control().get_dataset(get).await.unwrap().into_inner();
            let refreshed = refreshed.dataset.unwrap();
            prop_assert_eq!(&refreshed.features_hash, &imported.hash);
            prop_assert_eq!(refreshed.cells, imported.cells);
            prop_assert_eq!(refreshed.features_revision, if expected == old { 1 } else { 2 });
            let bits = |batches: Vec<Vec<Batch>>| -> Vec<(u64, Vec<u32>, Vec<f32>)> {
                batches.concat().into_iter().map(|of| (of.step, of.indices, of.probabilities)).collect()
            };
            prop_assert_eq!(bits(drawn(&server, "refreshed").await), bits(drawn(&server, "imported").await));
            for name in ["refreshed", "imported"] {
                for mode in 1..=3 {
                    let request = v1::RemoveJobRequest { name: format!("{name}/{mode}") };
                    server.control().remove_job(request).await.unwrap();
                }
                server.control().remove_dataset(v1::RemoveDatasetRequest { name: name.into() }).await.unwrap();
            }
            Ok(())
        })
    });
    checked.unwrap();
    assert_eq!(std::fs::read_dir(folder.path().join("datasets")).unwrap().count(), 0, "nothing is left behind");
    runtime.block_on(server.stopped());
}

#[tokio::test]
async fn values_refreshed_through_one_daemon_are_drawn_from_by_the_others_and_removed_with_their_job() {
    for sharing in [false, true] {
        let site = Site::new();
        let (a, b) = if sharing {
            (site.start_sharing("a").await, site.start_sharing("b").await)
        } else {
            (site.start_with("a", &crate::site::NO_GRACE).await, site.start_with("b", &crate::site::NO_GRACE).await)
        };
        import(&a).await;
        is_up(&b).await;
        a.put("d", SWIFT).await.unwrap();
        a.activate("d", 2).await.unwrap();
        b.open_job(job("j", 16)).await.unwrap();
        let before = b.stream(steps("j", 0, 10)).await.unwrap();
        let refreshed = refresh(&a, "d", &[("loss".into(), vec![0.5; 1000])], None).await.unwrap().active.unwrap();
        assert_eq!((refreshed.version, refreshed.features_revision), (3, 2));
        let (of_b, of_a) = (read(&b).await, read(&a).await);
        assert_eq!(of_b, of_a);
        assert_eq!(of_b[..10], before);
        assert_eq!(of_b.last().unwrap().version, 3);
        eventually("b shows the revision", async || shows(&b, "features_revision{dataset=\"d\"} 2").await).await;
        assert_eq!(site.datasets("b").len(), 2);
        refresh(&b, "d", &[("loss".into(), vec![0.25; 1000])], None).await.unwrap();
        refresh(&b, "d", &[("loss".into(), columns(1000)[1].1.clone())], None).await.unwrap();
        assert_eq!(read(&a).await, of_a, "what is decided keeps its values");
        a.control().remove_job(v1::RemoveJobRequest { name: "j".into() }).await.unwrap();
        // The import, what is active, and what a rollback activates.
        eventually("both drop what nothing needs", async || {
            site.datasets("a").len() == 3 && site.datasets("b").len() == 3
        })
        .await;
        if sharing {
            assert_eq!(site.datasets("shared").len(), 3);
        }
        b.stopped().await;
        a.stopped().await;
    }
}

#[tokio::test]
async fn a_sampler_that_the_new_values_cannot_have_keeps_the_old_ones_serving() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path()).await;
    server.import("d", &[], &[("d.csv", csv(&columns(100)))]).await.unwrap();
    server.put("d", r#"{"kind":"column","column":"loss"}"#).await.unwrap();
    server.activate("d", 2).await.unwrap();
    let refused = refresh(&server, "d", &[("loss".into(), vec![0.0; 100])], None).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::InvalidArgument, "{}", refused.message());
    assert_eq!(std::fs::read_dir(folder.path().join("datasets")).unwrap().count(), 1, "what is refused is deleted");
    server.open_job(job("j", 10)).await.unwrap();
    assert_eq!(server.stream(steps("j", 0, 1)).await.unwrap()[0].version, 2);
    // A study's samplers are over the imported features, which it compares them on, whatever was refreshed.
    refresh(&server, "d", &[("loss".into(), vec![0.5; 100])], None).await.unwrap();
    assert_eq!(server.put("d", SWIFT).await.unwrap().features_revision, 2);
    let origin = v1::Origin { study: "s".into(), trial: 1, candidate: false };
    let request = v1::PutSamplerRequest { dataset: "d".into(), spec_json: SWIFT.into(), origin: Some(origin) };
    assert_eq!(server.control().put_sampler(request).await.unwrap().into_inner().features_revision, 1);
    server.stopped().await;
}

#[test]
fn a_refresh_over_a_version_that_is_no_longer_active_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let registry = registry(folder.path(), ManualClock::at(1));
    let (dataset, _) = registry.create_dataset(&new_dataset("d", "0")).unwrap();
    let origin = OriginRecord::default();
    registry.put_sampler(&dataset, FIRST_REVISION, "{}", &origin, SamplerFigures::default()).unwrap();
    let new = |over: u64, hash: &str| NewRevision {
        dataset: "d".into(),
        imported: "0".into(),
        over,
        hash: hash.into(),
        cells: 1,
        figures: SamplerFigures::default(),
    };
    registry.activate("d", 2).unwrap();
    let before = (registry.dataset("d").unwrap(), registry.active("d").unwrap());
    assert!(registry.refresh(&new(1, "1")).unwrap().is_none());
    assert_eq!((registry.dataset("d").unwrap(), registry.active("d").unwrap()), before);

    let (refreshed, active) = registry.refresh(&new(2, "1")).unwrap().unwrap();
    assert_eq!((refreshed.latest_revision, active.version, active.revision), (2, 3, 2));
    assert!(active.generation > before.1.generation);
    let sampler = registry.sampler("d", 3).unwrap();
    assert_eq!((sampler.content("0"), sampler.refreshed_from), ("1", Some(2)));
    // The import's values again are the import's revision; numbers do not come twice.
    assert_eq!(registry.refresh(&new(3, "0")).unwrap().unwrap().1.revision, 1);
    assert_eq!(registry.refresh(&new(4, "2")).unwrap().unwrap().1.revision, 3);
    assert_eq!(registry.drop_revisions("d").unwrap(), ["1"]);
    assert_eq!(registry.refresh(&new(5, "1")).unwrap().unwrap().1.revision, 4);
    let dropped = registry.activate("d", 3).unwrap_err();
    assert!(matches!(&dropped, RegistryError::Precondition(why) if why.contains("revision 2")), "{dropped}");
    assert_eq!(registry.rollback("d").unwrap().revision, 3);
}
