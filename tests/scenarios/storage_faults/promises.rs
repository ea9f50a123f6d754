//! What a daemon was asked for, and what it acknowledged.

use std::path::Path;
use std::time::Duration;

use swift_sampler_client::blocking::Client;
use swift_sampler_client::proto::{self, tell_trial_request::Outcome};
use swift_sampler_client::{BatchesRequest, ClientConfig, ClientError, ImportRequest, JobConfig};
use swift_sampler_tests::Samplerd;
use swift_sampler_tests::progress::Trained;

const DATASET: &str = "d";
const SPEC: &str = r#"{"kind":"swift","features":["loss","entropy"],"coefficients":[0.6,-0.8],
    "knots":[0.25,0.5,0.75],"values":[0.1,1,0.5,0.25,0]}"#;
const ROWS: u64 = 300;
const OBJECTIVE: f64 = 0.75;
const WORKER: &str = "w";
/// Steps of the job before and after the hot swap: more than one lease each.
const STEPS: [u64; 2] = [70, 140];
/// How long a daemon that is gone is tried again.
const RETRY: Duration = Duration::from_millis(100);

/// A version that was to be active; without the answer, `generation` is not known.
#[derive(Debug)]
struct Activation {
    version: u64,
    generation: Option<u64>,
}

/// Whether a dataset is there.
#[derive(Debug, Default, PartialEq, Eq)]
enum Presence {
    /// It was asked for, imported or removed, without an answer.
    #[default]
    Unknown,
    Imported,
    Removed,
}

/// What a daemon acknowledged, of what [`Promises::ask`] asks for.
#[derive(Debug, Default)]
pub(crate) struct Promises {
    name: &'static str,
    second_dataset: Presence,
    versions: Vec<proto::Sampler>,
    activations: Vec<Activation>,
    job: bool,
    batches: Vec<Trained>,
    trial_added: bool,
    trial_told: bool,
    refused: Vec<ClientError>,
}

impl Promises {
    /// Nothing so far. What is made beside the dataset `d` has names with `name` in them.
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, ..Self::default() }
    }

    /// Asks for one thing after another and notes what is acknowledged; what is refused is gone on without.
    pub(crate) fn ask(&mut self, daemon: &Samplerd, features: &Path) {
        let client = client(daemon);
        let second = self.named("second");
        if self.note(client.import_dataset(&ImportRequest::new(&second, [features]), |_| {})).is_some() {
            self.second_dataset = Presence::Imported;
        }
        self.put_and_activate(&client);
        let job = self.named("job");
        self.job = self.note(client.open_job(&JobConfig { seed: 5, ..JobConfig::new(&job, DATASET, 20) })).is_some();
        self.read(&client, &job, STEPS[0]);
        self.put_and_activate(&client);
        self.read(&client, &job, STEPS[1]);
        self.try_trial(&client, &self.named("study"));
        if self.second_dataset == Presence::Imported {
            let removed = self.note(client.remove_dataset(&second)).is_some();
            self.second_dataset = if removed { Presence::Removed } else { Presence::Unknown };
        }
    }

    /// As [`Self::ask`], of a daemon that has to acknowledge everything.
    pub(crate) fn ask_all(&mut self, daemon: &Samplerd, features: &Path, context: &str) {
        self.ask(daemon, features);
        assert!(self.refused.is_empty(), "{context}: {:?}; log: {}", self.refused, daemon.log());
        assert_eq!(self.batches.len() as u64, STEPS[1], "{context}");
        assert!(self.job && self.trial_told && self.second_dataset == Presence::Removed, "{context}: {self:?}");
    }

    /// Fails where something that was acknowledged is not there, or went backwards.
    pub(crate) fn check(&self, daemon: &Samplerd, context: &str) {
        self.check_active(&client(daemon), context);
        self.check_stored(daemon, context);
    }

    /// As [`Self::check`], after more was asked for: all but which sampler is active.
    pub(crate) fn check_stored(&self, daemon: &Samplerd, context: &str) {
        let client = client(daemon);
        self.check_datasets(&client, context);
        self.check_samplers(&client, context);
        if self.job {
            let job = self.named("job");
            let log = client.get_job(&job).unwrap().log;
            assert!(log.is_sorted_by_key(|change| change.from_step), "{context}: {log:?}");
            let mut again = Self::default();
            again.read(&client, &job, self.batches.len() as u64);
            assert_eq!(again.batches, self.batches, "{context}: the same batches come again");
        }
        if self.trial_added {
            let trials = client.list_trials(&self.named("study")).unwrap();
            assert_eq!(trials.len(), 1, "{context}: {trials:?}");
            if self.trial_told {
                assert_eq!(trials[0].state(), proto::TrialState::Succeeded, "{context}: {trials:?}");
                assert_eq!(trials[0].objective, Some(OBJECTIVE), "{context}");
            }
        }
    }

    fn put_and_activate(&mut self, client: &Client) {
        let Some(sampler) = self.note(client.put_sampler(DATASET, SPEC, None)) else { return };
        let version = sampler.version;
        if let Some(last) = self.versions.last() {
            assert!(version > last.version, "version {version} after {last:?}");
        }
        self.versions.push(sampler);
        let active = self.note(client.activate_sampler(DATASET, version));
        self.activations.push(Activation { version, generation: active.map(|active| active.generation) });
    }

    fn read(&mut self, client: &Client, job: &str, to_step: u64) {
        let from_step = self.batches.len() as u64;
        for batch in client.batches(BatchesRequest { to_step: Some(to_step), ..BatchesRequest::new(job, from_step) }) {
            let Some(batch) = self.note(batch) else { return };
            self.batches.push(Trained::on(&batch, 0..batch.indices.len()));
        }
    }

    fn try_trial(&mut self, client: &Client, study: &str) {
        let create = proto::CreateStudyRequest {
            name: study.into(),
            dataset: DATASET.into(),
            config_json: "{}".into(),
            attempts_max: 3,
        };
        if self.note(client.create_study(create)).is_none() {
            return;
        }
        let add =
            proto::AddTrialRequest { study: study.into(), number: 0, parameters_json: "{}".into(), sampler_version: 1 };
        self.trial_added = self.note(client.add_trial(add)).is_some();
        let lease = proto::LeaseTrialRequest { study: study.into(), worker: WORKER.into(), lease_ms: 0, wait_ms: 0 };
        let Some(proto::LeaseTrialResponse { trial: Some(trial), .. }) = self.note(client.lease_trial(lease)) else {
            return;
        };
        let tell = proto::TellTrialRequest {
            study: study.into(),
            number: 0,
            attempt: trial.attempt,
            worker: WORKER.into(),
            outcome: Some(Outcome::Objective(OBJECTIVE)),
            report_json: String::new(),
        };
        self.trial_told = self.note(client.tell_trial(tell)).is_some();
    }

    fn check_datasets(&self, client: &Client, context: &str) {
        assert_eq!(client.get_dataset(DATASET).unwrap().rows, ROWS, "{context}");
        let second = client.get_dataset(&self.named("second"));
        match self.second_dataset {
            Presence::Imported => assert_eq!(second.unwrap().rows, ROWS, "{context}"),
            Presence::Removed => assert!(matches!(second, Err(ClientError::NotFound(_))), "{context}: {second:?}"),
            Presence::Unknown => assert!(second.map_or(true, |second| second.rows == ROWS), "{context}"),
        }
    }

    fn check_samplers(&self, client: &Client, context: &str) {
        let stored = client.list_samplers(DATASET, true).unwrap();
        for promised in &self.versions {
            let found = stored.iter().find(|sampler| sampler.version == promised.version);
            let found = found.unwrap_or_else(|| panic!("{context}: version {} is lost", promised.version));
            assert_eq!(found.spec_json, promised.spec_json, "{context}");
        }
    }

    /// Active is the last that was acknowledged, or one that was asked for since.
    fn check_active(&self, client: &Client, context: &str) {
        let mut watch = client.inner().watch_active_sampler(DATASET);
        let active = client.runtime().block_on(watch.next()).unwrap();
        let acknowledged = self.activations.iter().rposition(|activation| activation.generation.is_some());
        let allowed: Vec<u64> = match acknowledged {
            Some(last) => self.activations[last..].iter().map(|activation| activation.version).collect(),
            None => std::iter::once(1).chain(self.activations.iter().map(|activation| activation.version)).collect(),
        };
        assert!(allowed.contains(&active.version), "{context}: {active:?} is active, and not one of {allowed:?}");
        let generation = acknowledged.and_then(|last| self.activations[last].generation);
        assert!(generation.is_none_or(|promised| active.generation >= promised), "{context}: {active:?}");
    }

    fn named(&self, what: &str) -> String {
        format!("{}-{what}", self.name)
    }

    fn note<T>(&mut self, answer: Result<T, ClientError>) -> Option<T> {
        match answer {
            Ok(answer) => Some(answer),
            Err(error) => {
                self.refused.push(error);
                None
            }
        }
    }
}

fn client(daemon: &Samplerd) -> Client {
    let config = ClientConfig {
        retry_deadline: Some(RETRY),
        first_contact_deadline: RETRY,
        ..ClientConfig::new(daemon.address())
    };
    Client::new(config).unwrap()
}
