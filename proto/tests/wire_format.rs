//! Clients and daemons of different versions understand each other: nothing that a version had is renamed, renumbered,
//! retyped or gone.
//!
//! `proto/tests/released/` holds the descriptors of versions; `RELEASE=0.1.0 cargo test -p swift-sampler-proto` adds
//! those of a version that is being released.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use prost_reflect::{DescriptorPool, EnumDescriptor, FieldDescriptor, MessageDescriptor, ServiceDescriptor};
use swift_sampler_proto::v1::FILE_DESCRIPTOR_SET;

fn released() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/released")
}

fn pool(bytes: &[u8]) -> DescriptorPool {
    DescriptorPool::decode(bytes).unwrap()
}

#[test]
fn nothing_that_a_released_version_had_is_changed() {
    if let Ok(version) = std::env::var("RELEASE") {
        fs::write(released().join(format!("{version}.binpb")), FILE_DESCRIPTOR_SET).unwrap();
    }
    let present = pool(FILE_DESCRIPTOR_SET);
    let versions: Vec<PathBuf> = fs::read_dir(released()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(!versions.is_empty(), "there is a version to compare with");
    for path in versions {
        let broken = changes(&pool(&fs::read(&path).unwrap()), &present);
        assert!(broken.is_empty(), "against {}:\n{}", path.display(), broken.join("\n"));
    }
}

#[test]
fn changes_that_break_are_found() {
    let parsed = |text: &str| {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("x.proto"), format!("syntax = \"proto3\"; package p;\n{text}")).unwrap();
        DescriptorPool::from_file_descriptor_set(protox::compile(["x.proto"], [folder.path()]).unwrap()).unwrap()
    };
    let old =
        "message A { uint32 a = 1; optional string b = 2; oneof o { bool c = 3; } } enum E { E_ZERO = 0; E_ONE = 1; }
        service S { rpc Get(A) returns (stream A); }";
    let breaks = |from: &str, to: &str| changes(&parsed(old), &parsed(&old.replace(from, to)));
    for (from, to) in [
        ("uint32 a", "uint64 a"),
        ("uint32 a", "repeated uint32 a"),
        ("a = 1", "renamed = 1"),
        ("a = 1", "a = 9"),
        ("uint32 a = 1;", ""),
        ("optional string b", "string b"),
        ("oneof o { bool c = 3; }", "bool c = 3;"),
        ("E_ONE = 1", "E_ONE = 2"),
        ("rpc Get", "rpc Fetch"),
        ("returns (stream A)", "returns (A)"),
    ] {
        assert_eq!(breaks(from, to).len(), 1, "{from} -> {to}: {:?}", breaks(from, to));
    }
    for (from, to) in [("uint32 a = 1;", "uint32 a = 1; uint32 more = 7;"), ("uint32 a = 1;", "reserved 1;")] {
        assert_eq!(breaks(from, to), Vec::<String>::new(), "{to}");
    }
}

/// Returns what the old version had and the new one has otherwise. A field may go where its number stays reserved.
fn changes(old: &DescriptorPool, new: &DescriptorPool) -> Vec<String> {
    let mut broken = Vec::new();
    for message in old.all_messages() {
        match new.get_message_by_name(message.full_name()) {
            Some(now) => compare_messages(&message, &now, &mut broken),
            None => broken.push(format!("message {} is gone", message.full_name())),
        }
    }
    for values in old.all_enums() {
        match new.get_enum_by_name(values.full_name()) {
            Some(now) => compare_enums(&values, &now, &mut broken),
            None => broken.push(format!("enum {} is gone", values.full_name())),
        }
    }
    for service in old.services() {
        match new.get_service_by_name(service.full_name()) {
            Some(now) => compare_services(&service, &now, &mut broken),
            None => broken.push(format!("service {} is gone", service.full_name())),
        }
    }
    broken
}

fn compare_messages(old: &MessageDescriptor, new: &MessageDescriptor, broken: &mut Vec<String>) {
    for field in old.fields() {
        match new.get_field(field.number()) {
            Some(now) if described(&now) == described(&field) => {}
            Some(now) => broken.push(format!("{}: {} is now {}", old.full_name(), described(&field), described(&now))),
            None if new.reserved_ranges().any(|range| range.contains(&field.number())) => {}
            None => broken.push(format!("{}: {} is gone", old.full_name(), described(&field))),
        }
    }
}

fn described(field: &FieldDescriptor) -> String {
    let group = field.containing_oneof().map_or_else(String::new, |group| format!(" of {}", group.name()));
    format!("{:?} {:?} {} = {}{group}", field.cardinality(), field.kind(), field.name(), field.number())
}

fn compare_enums(old: &EnumDescriptor, new: &EnumDescriptor, broken: &mut Vec<String>) {
    for value in old.values() {
        if new.get_value(value.number()).is_none_or(|now| now.name() != value.name()) {
            broken.push(format!("{} = {} is gone", value.full_name(), value.number()));
        }
    }
}

fn compare_services(old: &ServiceDescriptor, new: &ServiceDescriptor, broken: &mut Vec<String>) {
    for method in old.methods() {
        let described = |method: &prost_reflect::MethodDescriptor| {
            let stream = |is_stream| if is_stream { "stream " } else { "" };
            format!(
                "{}({}{}) returns ({}{})",
                method.name(),
                stream(method.is_client_streaming()),
                method.input().full_name(),
                stream(method.is_server_streaming()),
                method.output().full_name()
            )
        };
        if !new.methods().any(|now| described(&now) == described(&method)) {
            broken.push(format!("{}: {} is gone", old.full_name(), described(&method)));
        }
    }
}
