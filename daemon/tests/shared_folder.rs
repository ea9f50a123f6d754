//! A folder that all daemons mount holds what was imported, and is mended.

use std::sync::atomic::Ordering;

use swift_sampler_proto::v1;
use tonic::Code;

use crate::harness::{columns, csv, job};
use crate::site::{Site, damage, eventually, import, read, shows};

#[tokio::test]
async fn the_shared_folder_gives_what_no_daemon_is_left_to_give() {
    let site = Site::new();
    let a = site.start_sharing("a").await;
    import(&a).await;
    a.open_job(job("j", 16)).await.unwrap();
    let expected = read(&a).await;
    a.stopped().await;
    std::fs::remove_dir_all(site.path("a")).unwrap();
    let b = site.start_sharing("b").await;
    assert_eq!(read(&b).await, expected);
    assert!(shows(&b, "dataset_fetches_total{source=\"shared_folder\"} 1").await);
    b.stopped().await;
}

#[tokio::test]
async fn a_damaged_copy_is_refused_and_another_source_used() {
    let site = Site::new();
    let a = site.start_sharing("a").await;
    import(&a).await;
    a.open_job(job("j", 16)).await.unwrap();
    let expected = read(&a).await;
    damage(&site.stored("shared", "columns.safetensors"));
    let b = site.start_sharing("b").await;
    assert_eq!(read(&b).await, expected);
    assert!(shows(&b, "dataset_fetch_failures_total{source=\"shared_folder\"} 1").await);
    assert!(shows(&b, "dataset_fetches_total{source=\"peer\"} 1").await);
    // The folder is mended with what was fetched.
    let (whole, mended) = (site.stored("b", "columns.safetensors"), site.stored("shared", "columns.safetensors"));
    let whole = std::fs::read(whole).unwrap();
    eventually("the folder is mended", async || std::fs::read(&mended).is_ok_and(|bytes| bytes == whole)).await;
    b.stopped().await;
    a.stopped().await;
    let c = site.start_sharing("c").await;
    assert_eq!(read(&c).await, expected);
    assert!(shows(&c, "dataset_fetches_total{source=\"shared_folder\"} 1").await);
    c.stopped().await;
}

#[tokio::test]
async fn an_import_that_cannot_be_shared_is_refused_and_leaves_nothing() {
    let site = Site::new();
    std::fs::write(site.path("shared"), "a file").unwrap();
    let a = site.start_sharing("a").await;
    let status = a.import("d", &[], &[("d.csv", csv(&columns(10)))]).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("shared folder"), "{}", status.message());
    assert!(!site.holds_a_dataset("a"));
    let listed = a.control().list_datasets(v1::ListDatasetsRequest {}).await.unwrap().into_inner();
    assert_eq!(listed.datasets, []);
    a.stopped().await;
}

#[tokio::test]
async fn an_import_whose_acknowledgement_was_lost_keeps_what_it_stored() {
    let site = Site::new();
    let a = site.start_sharing("a").await;
    site.registry.answers_are_lost.store(true, Ordering::SeqCst);
    let status = a.import("d", &[], &[("d.csv", csv(&columns(1000)))]).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    site.registry.answers_are_lost.store(false, Ordering::SeqCst);
    assert!(site.holds_a_dataset("a") && site.holds_a_dataset("shared"));
    a.open_job(job("j", 16)).await.unwrap();
    assert_eq!(read(&a).await.len(), 50);
    a.stopped().await;
}

#[tokio::test]
async fn what_was_imported_before_there_was_a_shared_folder_is_copied_there() {
    let site = Site::new();
    let a = site.start("a").await;
    import(&a).await;
    a.stopped().await;
    let a = site.start_sharing("a").await;
    eventually("the folder has the dataset", async || site.holds_a_dataset("shared")).await;
    a.stopped().await;
}
