//! Tokens: which may call what, until when, and how they are replaced.

use std::path::{Path, PathBuf};

use prost_reflect::DescriptorPool;
use sha2::{Digest, Sha256};
use swift_sampler_daemon::access::{Needed, Role, needed};
use swift_sampler_proto::v1;
use tokio::time::Instant;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

use crate::harness::{DEADLINE, Server, columns, csv, job, steps};

const ROLES: [(&str, Role); 3] = [("read", Role::Read), ("publish", Role::Publish), ("admin", Role::Admin)];

/// The token of a name.
fn token(name: &str) -> String {
    format!("sst_secret_{name}")
}

fn stanza(name: &str, role: &str, more: &str) -> String {
    let hash: String = Sha256::digest(token(name)).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("[[token]]\nname = \"{name}\"\nsha256 = \"{hash}\"\nrole = \"{role}\"\n{more}\n")
}

/// A file with a token of each role, and one that has expired.
fn tokens(folder: &Path) -> PathBuf {
    let path = folder.join("tokens.toml");
    let of_roles: String = ROLES.iter().map(|(name, _)| stanza(name, name, "")).collect();
    std::fs::write(&path, of_roles + &stanza("late", "admin", "expires = 2001-01-01")).unwrap();
    path
}

async fn serve(folder: &Path) -> (Server, PathBuf) {
    let file = tokens(folder);
    let server = Server::start_with(&folder.join("data"), &["--tokens", file.to_str().unwrap()]).await;
    (server, file)
}

/// Calls a method with an empty message, and returns what comes of it.
async fn call(server: &Server, path: &str, token: Option<&str>) -> Result<(), Status> {
    let mut grpc: Grpc<Channel> = Grpc::new(server.channel());
    let mut request = Request::new(tokio_stream::iter([()]));
    if let Some(token) = token {
        let value: MetadataValue<_> = format!("Bearer {token}").parse().unwrap();
        request.metadata_mut().insert("authorization", value);
    }
    grpc.ready().await.unwrap();
    let path = PathAndQuery::try_from(path.to_owned()).unwrap();
    let mut answers = grpc.streaming(request, path, ProstCodec::<(), ()>::default()).await?.into_inner();
    answers.message().await.map(drop)
}

fn code(answer: &Result<(), Status>) -> Code {
    answer.as_ref().map_or_else(Status::code, |()| Code::Ok)
}

#[tokio::test]
async fn every_method_is_open_to_its_role_and_those_above_and_to_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let (server, _file) = serve(folder.path()).await;
    let protocol = DescriptorPool::decode(v1::FILE_DESCRIPTOR_SET).unwrap();
    let mut tried = 0;
    for method in protocol.services().flat_map(|service| service.methods().collect::<Vec<_>>()) {
        let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
        let Needed::Role(needs) = needed(&path) else { panic!("{path} needs nothing") };
        let strange = token("nobody");
        for none in [None, Some(strange.as_str())] {
            assert_eq!(code(&call(&server, &path, none).await), Code::Unauthenticated, "{path}");
        }
        for (name, role) in ROLES {
            let secret = token(name);
            let answer = call(&server, &path, Some(&secret)).await;
            if role >= needs {
                let refused = [Code::Unauthenticated, Code::PermissionDenied, Code::Unimplemented];
                assert!(!refused.contains(&code(&answer)), "{path} as {name}: {answer:?}");
            } else {
                let status = answer.unwrap_err();
                assert_eq!(status.code(), Code::PermissionDenied, "{path} as {name}: {status}");
                let message = status.message();
                assert!(message.contains(name) && message.contains(&needs.to_string()), "{message}");
                assert!(!message.contains(&secret), "{message}");
            }
        }
        tried += 1;
    }
    assert!(tried > 20);
    let late = call(&server, "/swiftsampler.v1.Control/ListJobs", Some(&token("late"))).await.unwrap_err();
    assert_eq!(late.code(), Code::Unauthenticated);
    assert!(late.message().contains("expired") && late.message().contains("late"), "{late}");
    server.stopped().await;
}

#[tokio::test]
async fn health_is_open_and_reflection_is_for_readers() {
    let folder = tempfile::tempdir().unwrap();
    let (server, _file) = serve(folder.path()).await;
    call(&server, "/grpc.health.v1.Health/Check", None).await.unwrap();
    let reflection = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    assert_eq!(code(&call(&server, reflection, None).await), Code::Unauthenticated);
    assert_ne!(code(&call(&server, reflection, Some(&token("read"))).await), Code::Unauthenticated);
    server.stopped().await;
}

#[tokio::test]
async fn a_token_that_is_taken_out_of_the_file_is_refused_and_a_bad_file_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (server, file) = serve(folder.path()).await;
    let list = "/swiftsampler.v1.Control/ListJobs";
    call(&server, list, Some(&token("read"))).await.unwrap();
    std::fs::write(&file, "[[token]]\n").unwrap();
    until(|| async { server.get_as(&basic("admin"), "/metrics").await.1.contains("tokens_reload_failures_total 1") })
        .await;
    call(&server, list, Some(&token("read"))).await.unwrap();
    std::fs::write(&file, stanza("new", "read", "")).unwrap();
    until(|| async { code(&call(&server, list, Some(&token("read"))).await) == Code::Unauthenticated }).await;
    call(&server, list, Some(&token("new"))).await.unwrap();
    server.stopped().await;
}

#[tokio::test]
async fn http_shows_health_to_all_and_the_rest_to_tokens() {
    let folder = tempfile::tempdir().unwrap();
    let (server, _file) = serve(folder.path()).await;
    for open in ["/healthz", "/readyz"] {
        assert!(server.get(open).await.0.contains("200"), "{open}");
    }
    for guarded in ["/", "/metrics"] {
        let (status, body) = server.get(guarded).await;
        assert!(status.contains("401") && body.contains("token"), "{status} {body}");
        for shown in [format!("Authorization: Bearer {}", token("read")), basic("read")] {
            assert!(server.get_as(&shown, guarded).await.0.contains("200"), "{guarded} {shown}");
        }
        for refused in [basic("nobody"), basic("late"), "Authorization: Basic !".to_owned()] {
            let (status, body) = server.get_as(&refused, guarded).await;
            assert!(status.contains("401") && !body.contains("sst_secret"), "{status} {body}");
        }
    }
    server.stopped().await;
}

#[tokio::test]
async fn a_tenant_has_no_more_than_its_quotas_and_others_are_not_held_to_them() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokens.toml");
    let quotas = "[tenant.small]\nstreams_max = 1\njobs_max = 1\ndatasets_max = 1\nimport_bytes_max = 20000\n";
    let (ours, free) = (stanza("ours", "admin", "tenant = \"small\""), stanza("free", "admin", ""));
    std::fs::write(&file, ours + &free + quotas).unwrap();
    let flags = ["--tokens", file.to_str().unwrap()];
    let mut server = Server::start_with(&folder.path().join("data"), &flags).await;
    let exhausted = |status: Status, part: &str| {
        assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
        assert!(status.message().contains(part), "{status}");
    };

    server.show_token(&token("free"));
    server.import("theirs", &[], &[("d.csv", csv(&columns(2000)))]).await.unwrap();
    server.show_token(&token("ours"));
    let large = server.import("d", &[], &[("d.csv", csv(&columns(2000)))]).await.unwrap_err();
    exhausted(large, "more than 20000 bytes, its tenant's quota");
    server.import("d", &[], &[("d.csv", csv(&columns(100)))]).await.unwrap();
    let second = server.import("e", &[], &[("d.csv", csv(&columns(50)))]).await.unwrap_err();
    exhausted(second, "the tenant \"small\" has 1 datasets, and its quota is 1");
    server.open_job(job("j", 4)).await.unwrap();
    server.open_job(job("j", 4)).await.unwrap();
    exhausted(server.open_job(job("k", 4)).await.unwrap_err(), "has 1 jobs, and its quota is 1");

    // Endless, and not read: it stays open.
    let open = v1::StreamBatchesRequest { job: "j".into(), world_size: 1, ..Default::default() };
    let held = server.sampling().stream_batches(open.clone()).await.unwrap();
    exhausted(server.stream(steps("j", 0, 2)).await.unwrap_err(), "quota of 1 streams");
    server.show_token(&token("free"));
    assert_eq!(server.stream(steps("j", 0, 2)).await.unwrap().len(), 2);
    server.open_job(job("k", 4)).await.unwrap();
    server.show_token(&token("ours"));
    drop(held);
    until(|| async { server.stream(steps("j", 0, 2)).await.is_ok() }).await;
    server.stopped().await;
}

/// The header of a browser that was given a token as password.
fn basic(name: &str) -> String {
    use base64::Engine;
    format!("Authorization: Basic {}", base64::prelude::BASE64_STANDARD.encode(format!("me:{}", token(name))))
}

/// Asks until it is so.
async fn until<F: Future<Output = bool>>(is_so: impl Fn() -> F) {
    let since = Instant::now();
    while !is_so().await {
        assert!(since.elapsed() < DEADLINE);
        tokio::task::yield_now().await;
    }
}
