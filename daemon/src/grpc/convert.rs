//! Between messages and records.

use std::collections::BTreeMap;

use swift_sampler::Replacement;
use swift_sampler::job::{Follow, Shard, VersionChange};
use swift_sampler_files::Missing;
use swift_sampler_proto::v1;
use swift_sampler_proto::v1::follow_policy::Policy;

use crate::error::Error;
use crate::parsing::Imputed;
use crate::registry::{
    ActiveRecord, DatasetRecord, FIRST_REVISION, JobRecord, OriginRecord, SamplerRecord, StudyRecord, StudyState,
    TrialRecord, TrialState,
};

pub(super) fn replacement(mode: i32) -> Result<Replacement, Error> {
    match v1::ReplacementMode::try_from(mode) {
        Ok(v1::ReplacementMode::Unspecified | v1::ReplacementMode::Independent) => Ok(Replacement::Independent),
        Ok(v1::ReplacementMode::Stratified) => Ok(Replacement::Stratified),
        Ok(v1::ReplacementMode::Distinct) => Ok(Replacement::Distinct),
        Err(_) => Err(Error::Invalid(format!("mode is {mode}, which names no replacement mode"))),
    }
}

pub(super) fn follow(policy: Option<v1::FollowPolicy>) -> Follow {
    match policy.and_then(|policy| policy.policy) {
        None | Some(Policy::Step(_)) => Follow::Step,
        Some(Policy::Epoch(_)) => Follow::Epoch,
        Some(Policy::Pinned(version)) => Follow::Pinned(version),
    }
}

pub(super) fn shard(rank: u32, world_size: u32) -> Result<Shard, Error> {
    Ok(Shard::new(rank, world_size.max(1))?)
}

pub(super) fn origin(origin: Option<v1::Origin>) -> OriginRecord {
    let v1::Origin { study, trial, candidate } = origin.unwrap_or_default();
    OriginRecord { study, trial, candidate }
}

pub(super) fn missing(on_missing: i32) -> Result<Missing, Error> {
    match v1::OnMissing::try_from(on_missing) {
        Ok(v1::OnMissing::Unspecified | v1::OnMissing::Reject) => Ok(Missing::Refuse),
        Ok(v1::OnMissing::Impute) => Ok(Missing::Impute),
        Err(_) => Err(Error::Invalid(format!("on_missing is {on_missing}: it must be reject or impute"))),
    }
}

pub(super) fn imputed(imputed: Imputed) -> v1::ImputedColumn {
    let Imputed { column, values, first_row, value } = imputed;
    v1::ImputedColumn { column, values, first_row, value }
}

pub(super) fn dataset(record: DatasetRecord, active: &ActiveRecord) -> v1::Dataset {
    let revisions = record.refreshed.iter();
    let kept_revisions = std::iter::once(FIRST_REVISION).chain(revisions.map(|kept| kept.number)).collect();
    let present = record.refreshed.iter().find(|kept| kept.number == active.revision);
    v1::Dataset {
        features_revision: active.revision,
        features_hash: present.map_or(&record.hash, |kept| &kept.hash).clone(),
        kept_revisions,
        cells: present.map_or(record.cells, |kept| kept.cells),
        name: record.name,
        hash: record.hash,
        rows: record.rows,
        first_row: record.first_row,
        features: record.features,
        gradient_norm: record.gradient_norm.unwrap_or_default(),
        columns: record.columns,
        active_version: active.version,
        created_at_ms: record.created_at_ms,
        imputed: Vec::new(),
    }
}

pub(super) fn sampler(record: SamplerRecord, active: &ActiveRecord) -> v1::Sampler {
    let OriginRecord { study, trial, candidate } = record.origin;
    v1::Sampler {
        dataset: record.dataset,
        version: record.version,
        spec_json: record.spec_json,
        origin: Some(v1::Origin { study, trial, candidate }),
        effective_sample_size: record.figures.effective_sample_size,
        created_at_ms: record.created_at_ms,
        active: record.version == active.version,
        total_variation: record.figures.total_variation,
        features_revision: record.revision,
        features_hash: record.features_hash.unwrap_or_default(),
        refreshed_from: record.refreshed_from,
    }
}

pub(super) fn active(dataset: String, record: &ActiveRecord) -> v1::ActiveSampler {
    v1::ActiveSampler {
        dataset,
        version: record.version,
        generation: record.generation,
        previous_version: record.before.last().copied(),
        features_revision: record.revision,
    }
}

/// `revisions` are those of the features, by version, where they are not the import.
pub(super) fn job(record: JobRecord, revisions: &BTreeMap<u64, u64>) -> v1::Job {
    let policy = match record.follow {
        Follow::Step => Policy::Step(true),
        Follow::Epoch => Policy::Epoch(true),
        Follow::Pinned(version) => Policy::Pinned(version),
    };
    let change = |change: &VersionChange| v1::VersionChange {
        from_step: change.from_step,
        version: change.version,
        features_revision: revisions.get(&change.version).copied().unwrap_or(FIRST_REVISION),
    };
    v1::Job {
        log: record.log.changes().iter().map(change).collect(),
        horizon: record.log.horizon(),
        name: record.name,
        dataset: record.dataset,
        seed: record.seed,
        batch_size: record.batch_size,
        mode: match record.mode {
            Replacement::Independent => v1::ReplacementMode::Independent.into(),
            Replacement::Stratified => v1::ReplacementMode::Stratified.into(),
            Replacement::Distinct => v1::ReplacementMode::Distinct.into(),
        },
        epoch_draws: record.epoch_draws.unwrap_or(record.rows),
        follow: Some(v1::FollowPolicy { policy: Some(policy) }),
        dataset_rows: record.rows,
        dataset_hash: record.dataset_hash,
    }
}

pub(super) fn study(record: StudyRecord) -> v1::Study {
    let state = match record.state {
        StudyState::Running => v1::StudyState::Running,
        StudyState::Ended => v1::StudyState::Ended,
    };
    v1::Study {
        name: record.name,
        dataset: record.dataset,
        config_json: record.config_json,
        state: state.into(),
        result_json: record.result_json,
        created_at_ms: record.created_at_ms,
        attempts_max: record.attempts_max,
        trials: record.trials,
        workers: 0,
    }
}

pub(super) fn trial(record: TrialRecord) -> v1::Trial {
    let state = match record.state {
        TrialState::Pending => v1::TrialState::Pending,
        TrialState::Running => v1::TrialState::Running,
        TrialState::Succeeded => v1::TrialState::Succeeded,
        TrialState::Infeasible => v1::TrialState::Infeasible,
        TrialState::Failed => v1::TrialState::Failed,
    };
    v1::Trial {
        study: record.study,
        number: record.number,
        parameters_json: record.parameters_json,
        sampler_version: record.sampler_version,
        state: state.into(),
        attempt: record.attempt,
        released: record.released,
        worker: record.worker,
        objective: record.objective,
        reason: record.reason,
        report_json: record.report_json,
        added_at_ms: record.added_at_ms,
        ended_at_ms: record.ended_at_ms,
        lease_expires_at_ms: record.lease_expires_at_ms,
    }
}
