//! Which role each method needs.

use std::fmt;

use serde::Deserialize;

/// What a token may do; a later one may do all that an earlier one may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// See everything; open jobs and read batches.
    Read,
    /// Import data, activate samplers, run studies.
    Publish,
    /// Remove, and copy whole datasets.
    Admin,
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Read => "read",
            Self::Publish => "publish",
            Self::Admin => "admin",
        })
    }
}

/// What a method needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needed {
    /// No token.
    Nothing,
    /// A token of this role or a higher one.
    Role(Role),
}

/// The role that each method of `swiftsampler.v1` needs.
const METHODS: [(&str, Role); 31] = [
    ("Control/ImportDataset", Role::Publish),
    ("Control/ImportDatasetWithProgress", Role::Publish),
    ("Control/ListDatasets", Role::Read),
    ("Control/GetDataset", Role::Read),
    ("Control/RefreshFeatures", Role::Publish),
    ("Control/RemoveDataset", Role::Admin),
    ("Control/PutSampler", Role::Publish),
    ("Control/ListSamplers", Role::Read),
    ("Control/GetSampler", Role::Read),
    ("Control/ActivateSampler", Role::Publish),
    ("Control/RollbackSampler", Role::Publish),
    ("Control/WatchActiveSampler", Role::Read),
    ("Control/ListJobs", Role::Read),
    ("Control/GetJob", Role::Read),
    ("Control/RemoveJob", Role::Admin),
    ("Control/GetStats", Role::Read),
    ("Replicas/FetchDataset", Role::Admin),
    ("Sampling/OpenJob", Role::Read),
    ("Sampling/StreamBatches", Role::Read),
    ("Sampling/GetBatches", Role::Read),
    ("Sampling/SelectCrops", Role::Read),
    ("Studies/CreateStudy", Role::Publish),
    ("Studies/GetStudy", Role::Read),
    ("Studies/ListStudies", Role::Read),
    ("Studies/EndStudy", Role::Publish),
    ("Studies/RemoveStudy", Role::Admin),
    ("Studies/AddTrial", Role::Publish),
    ("Studies/LeaseTrial", Role::Publish),
    ("Studies/HeartbeatTrial", Role::Publish),
    ("Studies/TellTrial", Role::Publish),
    ("Studies/ListTrials", Role::Read),
];

/// Returns what the method of a call's path needs; one that is not known needs the highest role.
#[must_use]
pub fn needed(path: &str) -> Needed {
    let path = path.trim_start_matches('/');
    if path.starts_with("grpc.health.v1.Health/") {
        return Needed::Nothing;
    }
    if path.starts_with("grpc.reflection.") {
        return Needed::Role(Role::Read);
    }
    let known = |method: &str| METHODS.iter().find(|(name, _)| *name == method).map(|(_, role)| *role);
    Needed::Role(path.strip_prefix("swiftsampler.v1.").and_then(known).unwrap_or(Role::Admin))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost_reflect::DescriptorPool;
    use swift_sampler_proto::v1;

    use super::*;

    #[test]
    fn every_method_of_the_protocol_has_a_role_and_no_other_has() {
        let protocol = DescriptorPool::decode(v1::FILE_DESCRIPTOR_SET).unwrap();
        let services = protocol.services().filter(|service| service.package_name() == "swiftsampler.v1");
        let methods: BTreeSet<_> = services
            .flat_map(|service| service.methods().collect::<Vec<_>>())
            .map(|method| format!("{}/{}", method.parent_service().name(), method.name()))
            .collect();
        assert!(methods.len() > 20, "{methods:?}");
        assert_eq!(methods, METHODS.iter().map(|(name, _)| (*name).to_owned()).collect());
    }

    #[test]
    fn an_unknown_method_needs_the_highest_role_and_health_needs_none() {
        for unknown in
            ["/swiftsampler.v1.Control/Drop", "/swiftsampler.v2.Control/ListJobs", "", "/", "Control/ListJobs"]
        {
            assert_eq!(needed(unknown), Needed::Role(Role::Admin), "{unknown}");
        }
        assert_eq!(needed("/grpc.health.v1.Health/Check"), Needed::Nothing);
        assert_eq!(needed("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"), Needed::Role(Role::Read));
        assert!(Role::Read < Role::Publish && Role::Publish < Role::Admin);
    }
}
