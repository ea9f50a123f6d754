//! Calls of the daemon.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use swift_sampler_daemon::clock::SystemClock;
use swift_sampler_daemon::daemon::Daemon;
use swift_sampler_daemon::grpc;
use swift_sampler_daemon::limits::Limits;
use swift_sampler_daemon::loaded::Loaded;
use swift_sampler_daemon::metrics::Metrics;
use swift_sampler_daemon::parsing::Parsing;
use swift_sampler_daemon::registry::{NewDataset, Registry, Sqlite};
use swift_sampler_daemon::replicas::{PeerAccess, ReplicaSettings, Replicas};
use swift_sampler_daemon::store::Store;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::service::Routes;

use crate::folder::folder;
use crate::records::DATASET;

/// What is called: every call but those that wait for others to do something.
pub const CALLS: [&str; 28] = [
    "Sampling/OpenJob",
    "Sampling/StreamBatches",
    "Sampling/GetBatches",
    "Sampling/SelectCrops",
    "Control/ImportDataset",
    "Control/ImportDatasetWithProgress",
    "Control/RefreshFeatures",
    "Control/ListDatasets",
    "Control/GetDataset",
    "Control/RemoveDataset",
    "Control/PutSampler",
    "Control/ListSamplers",
    "Control/GetSampler",
    "Control/ActivateSampler",
    "Control/RollbackSampler",
    "Control/ListJobs",
    "Control/GetJob",
    "Control/RemoveJob",
    "Control/GetStats",
    "Studies/CreateStudy",
    "Studies/GetStudy",
    "Studies/ListStudies",
    "Studies/EndStudy",
    "Studies/RemoveStudy",
    "Studies/AddTrial",
    "Studies/HeartbeatTrial",
    "Studies/TellTrial",
    "Studies/ListTrials",
];
/// How long a call may take: one that takes longer has no end.
const CALL_MAX: Duration = Duration::from_secs(60);

thread_local! {
    static SERVED: RefCell<Served> = RefCell::new(Served::new());
}

struct Served {
    _directory: TempDir,
    runtime: Runtime,
    routes: Routes,
}

impl Served {
    fn new() -> Self {
        let directory = folder();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("there is a runtime");
        let store = Store::open(directory.path()).expect("the folder is empty");
        let hash = store.put(&DATASET).expect("the folder takes a dataset");
        let backend = Sqlite::open(&directory.path().join("registry.sqlite")).expect("the folder takes a registry");
        let registry = Registry::new(Arc::new(backend), Arc::new(SystemClock));
        let new = NewDataset {
            name: "d".to_owned(),
            hash,
            rows: 100,
            first_row: 0,
            features: DATASET.features().to_vec(),
            gradient_norm: DATASET.gradient_norm().map(ToOwned::to_owned),
            columns: DATASET.table().names().to_vec(),
            cells: DATASET.cells().len() as u64,
        };
        registry.create_dataset(&new).expect("there is no other");
        let replicas = Replicas::new(
            &ReplicaSettings { shared_dir: None, removal_grace: Duration::ZERO, peers: PeerAccess::default() },
            false,
        );
        let limits = Limits::default();
        let metrics = Metrics::register(&prometheus::Registry::new()).expect("there are no others");
        let daemon = Daemon::new(
            registry,
            Loaded::new(store, limits.plans_bytes_max),
            metrics,
            limits,
            replicas,
            Parsing::InProcess,
        );
        let daemon = Arc::new(daemon.expect("there are threads"));
        let routes = Routes::new(grpc::sampling(&daemon))
            .add_service(grpc::control(&daemon))
            .add_service(grpc::studies(&daemon));
        Self { _directory: directory, runtime, routes }
    }
}

/// Calls a daemon that lives as long as the thread: the first byte says what, the others are the message.
pub fn messages(data: &[u8]) {
    let Some((call, message)) = data.split_first() else { return };
    let path = format!("/swiftsampler.v1.{}", CALLS[usize::from(*call) % CALLS.len()]);
    let Ok(length) = u32::try_from(message.len()) else { return };
    let framed = [&[0][..], &length.to_be_bytes(), message].concat();
    SERVED.with_borrow_mut(|Served { runtime, routes, .. }| {
        let request = http::Request::post(path)
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(Body::new(Full::new(framed.into())))
            .expect("the request is one");
        let answered = runtime.block_on(async { tokio::time::timeout(CALL_MAX, routes.call(request)).await });
        let answer = answered.expect("a call is answered in time").expect("routes answer always");
        let status = answer.headers().get("grpc-status").map_or("0", |status| status.to_str().expect("it is a number"));
        // UNKNOWN and INTERNAL are what panics and broken rules come to, UNIMPLEMENTED what no call is served under; but
        // INTERNAL also what is no message.
        let is_message =
            || !answer.headers()["grpc-message"].as_bytes().starts_with(b"failed%20to%20decode%20Protobuf");
        assert!(!["2", "12"].contains(&status) && (status != "13" || !is_message()), "{answer:?}");
    });
}
