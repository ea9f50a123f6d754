//! A dataset that was removed through one daemon disappears from the others; nothing else does.

use swift_sampler_daemon::registry::{Backend, Change, Expected, Write};
use swift_sampler_proto::v1;

use crate::harness::{columns, csv};
use crate::site::{NO_GRACE, Site, eventually, import, is_up, shows};

#[tokio::test]
async fn a_dataset_removed_through_one_daemon_disappears_from_the_others() {
    let site = Site::new();
    let (a, b) = (site.start_sharing("a").await, site.start_sharing("b").await);
    import(&a).await;
    is_up(&b).await;
    assert!(site.holds_a_dataset("b") && site.holds_a_dataset("shared"));
    a.control().remove_dataset(v1::RemoveDatasetRequest { name: "d".into() }).await.unwrap();
    assert!(!site.holds_a_dataset("a") && !site.holds_a_dataset("shared"));
    eventually("the other daemon removes its copy", async || !site.holds_a_dataset("b")).await;
    // It can be imported again, by any.
    import(&b).await;
    is_up(&a).await;
    b.stopped().await;
    a.stopped().await;
}

#[tokio::test]
async fn a_removed_dataset_is_kept_for_a_while_and_not_removed_if_imported_again() {
    let site = Site::new();
    let (a, b) = (site.start("a").await, site.start_with("b", &["--removal-grace", "1"]).await);
    import(&a).await;
    is_up(&b).await;
    let fetched = std::fs::metadata(site.stored("b", "manifest.json")).unwrap().modified().unwrap();
    a.control().remove_dataset(v1::RemoveDatasetRequest { name: "d".into() }).await.unwrap();
    assert!(site.holds_a_dataset("b"));
    import(&a).await;
    // Another dataset comes and goes, so that the grace is over for whatever was to be removed.
    let other = csv(&columns(10));
    a.import("other", &[], &[("o.csv", other)]).await.unwrap();
    eventually("b has both", async || shows(&b, "dataset_up{dataset=\"other\"} 1").await).await;
    a.control().remove_dataset(v1::RemoveDatasetRequest { name: "other".into() }).await.unwrap();
    eventually("b removes the other", async || site.datasets("b").len() == 1).await;
    assert_eq!(std::fs::metadata(site.stored("b", "manifest.json")).unwrap().modified().unwrap(), fetched);
    b.stopped().await;
    a.stopped().await;
}

#[tokio::test]
async fn nothing_is_removed_because_a_registry_was_lost() {
    let site = Site::new();
    let (a, b) = (site.start("a").await, site.start_with("b", &NO_GRACE).await);
    import(&a).await;
    a.import("other", &[], &[("o.csv", csv(&columns(10)))]).await.unwrap();
    is_up(&b).await;
    eventually("b has both", async || shows(&b, "dataset_up{dataset=\"other\"} 1").await).await;
    // A removal that is one, so that it is known when b has looked at the registry.
    a.control().remove_dataset(v1::RemoveDatasetRequest { name: "other".into() }).await.unwrap();
    let lost = site.registry.list("").unwrap().into_iter().filter(|(key, _)| !key.starts_with("removed/"));
    let lost: Vec<Write> = lost
        .map(|(key, stored)| Write { key, expected: Expected::Revision(stored.revision), change: Change::Delete })
        .collect();
    site.registry.commit(&lost).unwrap();
    eventually("b removes what was removed", async || site.datasets("b").len() == 1).await;
    for server in [a, b] {
        server.stopped().await;
    }
    assert!(site.holds_a_dataset("a") && site.holds_a_dataset("b"));
}
