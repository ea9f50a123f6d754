//! Who may connect and call, as users set it up: real daemons, certificates and tokens.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::num::NonZeroU8;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use swift_sampler_client::blocking::Client;
use swift_sampler_client::{
    BatchesRequest, ClientConfig, ClientError, ImportRequest, JobConfig, TlsConfig, TokenSource,
};
use swift_sampler_tests::certificates::{Authority, Files, replace};
use swift_sampler_tests::dataset::Columns;
use swift_sampler_tests::{RedisServer, Samplerctl, Samplerd, binary, deadline};
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{self, ClientConnection, RootCertStore, StreamOwned, crypto::ring};

/// How long a client tries what cannot succeed.
const PATIENCE: Duration = Duration::from_millis(300);

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The flags of a daemon with these certificates.
fn tls_flags(files: &Files) -> Vec<&str> {
    vec!["--tls-cert", text(&files.certificate), "--tls-key", text(&files.key)]
}

/// A client that tries for a short while.
fn config(address: &str, ca: Option<&Path>) -> ClientConfig {
    ClientConfig {
        tls: TlsConfig { ca: ca.map(Path::to_owned), ..TlsConfig::default() },
        first_contact_deadline: PATIENCE,
        ..ClientConfig::new(address)
    }
}

fn list(config: ClientConfig) -> Result<(), ClientError> {
    Client::new(config)?.list_datasets().map(drop)
}

fn refused(config: ClientConfig, part: &str) {
    let error = list(config).unwrap_err().to_string();
    assert!(error.contains(part), "{part:?} in {error}");
    assert!(!error.contains("is it running"), "{error}");
}

/// Makes a token, and returns it and its stanza.
fn token(name: &str, role: &str) -> (String, String) {
    let made = Samplerctl::new("127.0.0.1:1").one(&["token", "new", name, "--role", role]);
    let of = |field: &str| made[field].as_str().unwrap().to_owned();
    (of("token"), of("stanza"))
}

/// Asks for a path over HTTPS, without a client certificate.
fn https(address: &str, ca: &Path, path: &str, header: &str) -> String {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca).unwrap()).unwrap();
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connection = ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
    let mut stream = StreamOwned::new(connection, TcpStream::connect(address).unwrap());
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n{header}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_client_and_a_daemon_that_do_not_fit_say_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, other) = (Authority::new(folder.path(), "ours"), Authority::new(folder.path(), "other"));
    let files = ours.issue(folder.path(), "daemon");
    let daemon = Samplerd::start_with(&folder.path().join("tls"), &tls_flags(&files));
    let plain = Samplerd::start(&folder.path().join("plain"));
    let secure = format!("https://{}", daemon.address());
    let port = daemon.address().rsplit_once(':').unwrap().1;

    list(config(&secure, Some(ours.file()))).unwrap();
    list(config(&format!("https://localhost:{port}"), Some(ours.file()))).unwrap();
    refused(config(&secure, Some(other.file())), "is of no authority that is trusted here");
    refused(config(daemon.address(), None), "it speaks TLS: write its address as https://");
    refused(config(&format!("https://{}", plain.address()), Some(ours.file())), "it does not speak TLS");
    let elsewhere = TlsConfig { domain: Some("elsewhere.example".into()), ..config(&secure, Some(ours.file())).tls };
    refused(ClientConfig { tls: elsewhere, ..config(&secure, None) }, "elsewhere.example");
    refused(config(&secure, Some(Path::new("/nonexistent.pem"))), "/nonexistent.pem");

    let answer = https(daemon.http_address(), ours.file(), "/metrics", "Accept: */*");
    assert!(answer.contains("swiftsampler_tls_certificate_expires_seconds 32472144000"), "{answer}");
    let failed = answer.lines().find(|line| line.starts_with("swiftsampler_tls_handshake_failures_total")).unwrap();
    assert_ne!(failed.rsplit_once(' ').unwrap().1, "0");
}

#[test]
fn a_daemon_that_asks_for_certificates_serves_those_of_its_authority_only() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, clients) = (Authority::new(folder.path(), "ours"), Authority::new(folder.path(), "clients"));
    let files = ours.issue(folder.path(), "daemon");
    let flags = [tls_flags(&files), vec!["--tls-client-ca", text(clients.file())]].concat();
    let daemon = Samplerd::start_with(&folder.path().join("data"), &flags);
    let address = format!("https://{}", daemon.address());
    let with = |files: &Files| {
        let base = config(&address, Some(ours.file()));
        let (cert, key) = (Some(files.certificate.clone()), Some(files.key.clone()));
        ClientConfig { tls: TlsConfig { cert, key, ..base.tls.clone() }, ..base }
    };
    list(with(&clients.issue(folder.path(), "client"))).unwrap();
    list(config(&address, Some(ours.file()))).unwrap_err();
    list(with(&ours.issue(folder.path(), "stranger"))).unwrap_err();

    // Those that ask for a daemon's health have no certificate.
    assert!(https(daemon.http_address(), ours.file(), "/healthz", "Accept: */*").starts_with("HTTP/1.1 200"));
    assert!(https(daemon.http_address(), ours.file(), "/metrics", "Accept: */*").starts_with("HTTP/1.1 401"));
}

#[test]
fn certificates_are_replaced_under_a_running_stream_and_a_bad_pair_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (Authority::new(folder.path(), "first"), Authority::new(folder.path(), "second"));
    let files = first.issue(folder.path(), "daemon");
    let daemon = Samplerd::start_with(&folder.path().join("data"), &tls_flags(&files));
    let address = format!("https://{}", daemon.address());
    let features = Columns::random(500, 2).write_csv(folder.path(), "features.csv");
    // One connection: another that is made later would find the new certificate.
    let one = ClientConfig { connections: NonZeroU8::MIN, ..config(&address, Some(first.file())) };
    let client = Client::new(one).unwrap();
    let import = ImportRequest::new("d", vec![features]);
    client.import_dataset(&import, |_| {}).unwrap();
    client.open_job(&JobConfig::new("j", "d", 64)).unwrap();
    let mut batches = client.batches(BatchesRequest::new("j", 0));
    let mut read = |count: usize| {
        let read: Vec<_> = batches.by_ref().take(count).map(|batch| batch.unwrap()).collect();
        read.len()
    };
    assert_eq!(read(10), 10);

    second.issue(folder.path(), "daemon");
    deadline("the new certificate serves", || list(config(&address, Some(second.file()))).ok());
    list(config(&address, Some(first.file()))).unwrap_err();
    // This client trusts the old authority only: had its connection ended, it could not make another.
    assert_eq!(read(2000), 2000);

    let failures = || {
        let answer = https(daemon.http_address(), second.file(), "/metrics", "Accept: */*");
        let line = answer.lines().find(|line| line.starts_with("swiftsampler_tls_reload_failures_total ")).unwrap();
        line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()
    };
    // The pair is replaced by two renames, between which it may have been looked at.
    let before = failures();
    let bad_pairs: [&dyn Fn(); 3] =
        [&|| replace(&files.key, "no key"), &|| fs::remove_file(&files.key).unwrap(), &|| {
            drop(second.issue_until(folder.path(), "daemon", 2001))
        }];
    for (count, spoil) in (1..).zip(bad_pairs) {
        spoil();
        deadline("a bad pair is counted", || (failures() >= before + count).then_some(()));
    }
    list(config(&address, Some(second.file()))).unwrap();
    assert_eq!(read(2000), 2000);
    assert!(daemon.log().contains("those before stay in force"), "{}", daemon.log());
}

#[test]
fn a_pair_that_cannot_serve_stops_a_daemon_from_starting() {
    let folder = tempfile::tempdir().unwrap();
    let ours = Authority::new(folder.path(), "ours");
    let (files, other) = (ours.issue(folder.path(), "daemon"), ours.issue(folder.path(), "other"));
    let late = ours.issue_until(folder.path(), "late", 2001);
    for (cert, key, part) in [
        (&files.certificate, &other.key, "the key must be the one of the first certificate"),
        (&late.certificate, &late.key, "978307200"),
        (&files.key, &files.key, "no certificate in PEM"),
        (&files.certificate, &files.certificate, "no private key in PEM"),
        (&folder.path().join("absent"), &files.key, "absent"),
    ] {
        let output = Command::new(binary("samplerd"))
            .args([
                "--listen",
                "127.0.0.1:0",
                "--http",
                "127.0.0.1:0",
                "--tls-cert",
                text(cert),
                "--tls-key",
                text(key),
            ])
            .arg("--data-dir")
            .arg(folder.path().join("data"))
            .output()
            .unwrap();
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{message}");
        assert!(message.contains(part), "{part} in {message}");
        assert!(!message.contains(&secret_of(&files.key)), "{message}");
    }
}

/// A part of a key's file that stands nowhere else.
fn secret_of(key: &Path) -> String {
    fs::read_to_string(key).unwrap().lines().nth(1).unwrap().to_owned()
}

#[test]
fn tokens_and_keys_are_in_no_log_no_metric_and_no_message() {
    let folder = tempfile::tempdir().unwrap();
    let ours = Authority::new(folder.path(), "ours");
    let files = ours.issue(folder.path(), "daemon");
    let (publisher, publisher_stanza) = token("publisher", "publish");
    let (reader, reader_stanza) = token("reader", "read");
    let (stranger, _) = token("stranger", "admin");
    let tokens = folder.path().join("tokens.toml");
    fs::write(&tokens, format!("{publisher_stanza}{reader_stanza}")).unwrap();
    let flags = [tls_flags(&files), vec!["--tokens", text(&tokens), "--log", "trace"]].concat();
    let daemon = Samplerd::start_with(&folder.path().join("data"), &flags);
    let address = format!("https://{}", daemon.address());
    let features = Columns::random(100, 2).write_csv(folder.path(), "features.csv");
    let run = |address: &str, token: Option<&String>, arguments: &[&str]| {
        let mut command = Command::new(binary("samplerctl"));
        command.args(["--daemon", address, "--tls-ca", text(ours.file())]).args(arguments);
        if let Some(token) = token {
            command.env("SWIFTSAMPLER_TOKEN", token);
        }
        let output = command.output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8(said).unwrap())
    };
    let mut said = Vec::new();
    for (token, arguments, code) in [
        (Some(&publisher), &["dataset", "import", "d", text(&features)][..], 0),
        (Some(&reader), &["dataset", "list"], 0),
        (Some(&reader), &["draw", "d", "--job", "j", "--seed", "1", "--batch-size", "8", "--steps", "0..4"], 0),
        (Some(&reader), &["sampler", "rollback", "d"], 1),
        (Some(&publisher), &["dataset", "remove", "d"], 1),
        (Some(&stranger), &["dataset", "list"], 3),
        (None, &["dataset", "list"], 3),
        (Some(&reader), &["--help"], 0),
    ] {
        let (status, message) = run(&address, token, arguments);
        assert_eq!(status, code, "{arguments:?}: {message}");
        said.push(message);
    }
    let (status, message) = run("192.0.2.1:1", Some(&reader), &["dataset", "list"]);
    assert_eq!(status, 3, "{message}");
    assert!(message.contains("where others can read it"), "{message}");
    said.push(message);
    let as_reader = format!("Authorization: Bearer {reader}");
    said.push(https(daemon.http_address(), ours.file(), "/metrics", &as_reader));
    said.push(https(daemon.http_address(), ours.file(), "/", &as_reader));
    let log = daemon.log();
    assert!(log.contains("TRACE") && log.contains("a call is refused"), "the log says all there is: {log}");
    said.push(log);
    let secrets = [publisher, reader, stranger, secret_of(&files.key)];
    for (text, secret) in said.iter().flat_map(|text| secrets.iter().map(move |secret| (text, secret))) {
        let bare = secret.trim_start_matches("sst_");
        assert!(!text.contains(bare), "{secret} in {text}");
    }
}

#[test]
fn a_token_file_that_changes_is_taken_up_by_daemon_and_client() {
    let folder = tempfile::tempdir().unwrap();
    let (old, old_stanza) = token("old", "read");
    let (new, new_stanza) = token("new", "read");
    let (tokens, held) = (folder.path().join("tokens.toml"), folder.path().join("token"));
    fs::write(&tokens, &old_stanza).unwrap();
    fs::write(&held, &old).unwrap();
    let daemon = Samplerd::start_with(&folder.path().join("data"), &["--tokens", text(&tokens)]);
    let with = ClientConfig { token: Some(TokenSource::File(held.clone())), ..config(daemon.address(), None) };
    let client = Client::new(with).unwrap();
    client.list_datasets().unwrap();
    replace(&tokens, &new_stanza);
    daemon.hang_up();
    deadline("the old token is refused", || {
        matches!(client.list_datasets(), Err(ClientError::Unauthenticated(_))).then_some(())
    });
    replace(&held, &new);
    deadline("the client reads the new token", || client.list_datasets().ok());
}

#[test]
fn daemons_copy_from_each_other_over_tls_with_a_token() {
    let folder = tempfile::tempdir().unwrap();
    let redis = RedisServer::start(&folder.path().join("redis"), &[]);
    let registry = redis.url();
    let ours = Authority::new(folder.path(), "ours");
    let files = ours.issue(folder.path(), "daemon");
    let (peer, peer_stanza) = token("daemons", "admin");
    let (tokens, held) = (folder.path().join("tokens.toml"), folder.path().join("peer"));
    fs::write(&tokens, peer_stanza).unwrap();
    fs::write(&held, &peer).unwrap();
    let access = ["--tokens", text(&tokens), "--tls-client-ca", text(ours.file()), "--registry", &registry];
    let peers = ["--peer-tls-ca", text(ours.file()), "--peer-token-file", text(&held)];
    let start = |name: &str| {
        let flags = [&tls_flags(&files)[..], &access, &peers].concat();
        Samplerd::start_with(&folder.path().join(name), &flags)
    };
    let (first, second) = (start("first"), start("second"));
    let client = |daemon: &Samplerd| {
        let base = config(&format!("https://{}", daemon.address()), Some(ours.file()));
        let (cert, key) = (Some(files.certificate.clone()), Some(files.key.clone()));
        let tls = TlsConfig { cert, key, ..base.tls.clone() };
        Client::new(ClientConfig { tls, token: Some(TokenSource::File(held.clone())), ..base }).unwrap()
    };
    let features = Columns::random(500, 2).write_csv(folder.path(), "features.csv");
    client(&first).import_dataset(&ImportRequest::new("d", vec![features]), |_| {}).unwrap();
    let reader = client(&second);
    reader.open_job(&JobConfig::new("j", "d", 64)).unwrap();
    let request = BatchesRequest { to_step: Some(5), ..BatchesRequest::new("j", 0) };
    let batches: Vec<_> = reader.batches(request).map(|batch| batch.unwrap()).collect();
    assert_eq!(batches.len(), 5);
    let log = first.log() + &second.log();
    assert!(log.contains("fetched a dataset") && !log.contains(&peer), "{log}");
}
