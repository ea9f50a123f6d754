//! Where calls go: the replicas that the addresses name, in turn.

mod connection;
mod plain;
mod replica;
mod resolve;

pub(crate) use replica::{Call, Line};
pub use resolve::{Resolve, SystemResolver};

use std::hash::{BuildHasher, RandomState};
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use self::connection::Route;
use self::replica::Replica;
use crate::retry::Lost;
use crate::target::{Address, Place, Target};
use crate::tls::Encryption;
use crate::token::Credentials;
use crate::{ClientConfig, ClientError};

/// How often names are looked up while calls are made.
const LOOK_UP_INTERVAL: Duration = Duration::from_secs(30);
/// How soon after a look-up the next may follow, when a replica failed or a connection had to be made again.
const LOOK_UP_AGAIN: Duration = Duration::from_millis(200);
/// Longest wait for the addresses of a name.
const LOOK_UP_TIMEOUT: Duration = Duration::from_secs(5);

/// The replicas that a client's addresses name.
#[derive(Debug)]
pub(crate) struct Replicas {
    targets: Vec<Target>,
    /// Of each target, if it is.
    encryption: Vec<Option<Encryption>>,
    credentials: Credentials,
    resolver: Arc<dyn Resolve>,
    connections: u8,
    connect_timeout: Duration,
    known: Mutex<Known>,
    /// Held while names are looked up, which one task does for all.
    looking_up: Arc<tokio::sync::Mutex<()>>,
    /// Names are to be looked up before the interval is over.
    outdated: Arc<AtomicBool>,
}

/// What is known of the replicas.
#[derive(Debug, Default)]
struct Known {
    /// What each target's name was last found to mean.
    addresses: Vec<Vec<Address>>,
    replicas: Vec<Arc<Replica>>,
    /// Counts the calls, so that they go to the replicas in turn.
    turn: usize,
    looked_up: Option<Instant>,
}

impl Replicas {
    /// Reads the addresses, and the files of TLS and the token if there are any. Looks nothing up yet.
    pub(crate) fn new(config: &ClientConfig, resolver: Arc<dyn Resolve>) -> Result<Self, ClientError> {
        let targets = config.targets()?;
        let credentials = Credentials::new(config.token.as_ref())?;
        let tls = targets.iter().any(Target::is_encrypted).then(|| config.tls.read()).transpose()?;
        let encryption = targets.iter().map(|target| match &tls {
            Some(tls) if target.is_encrypted() => {
                let host = config.tls.domain.as_deref().unwrap_or_else(|| target.host());
                Encryption::new(Arc::clone(tls), host).map(Some)
            }
            _ => Ok(None),
        });
        let encryption = encryption.collect::<Result<_, _>>()?;
        let addresses = targets.iter().map(|target| target.literal().cloned().into_iter().collect()).collect();
        let replicas = Self {
            targets,
            encryption,
            credentials,
            resolver,
            connections: config.connections.get(),
            connect_timeout: config.connect_timeout,
            known: Mutex::new(Known { turn: anywhere(), ..Known::default() }),
            looking_up: Arc::default(),
            outdated: Arc::new(AtomicBool::new(false)),
        };
        replicas.update(addresses);
        Ok(replicas)
    }

    /// Starts a call to the next replica that is not failing, or to the next of all if all are.
    pub(crate) async fn call(self: &Arc<Self>) -> Result<Call, Lost> {
        if self.count() == 0 {
            self.look_up(self.looking_up.lock().await).await?;
        } else if self.is_due()
            && let Ok(alone) = Arc::clone(&self.looking_up).try_lock_owned()
        {
            let replicas = Arc::clone(self);
            tokio::spawn(async move {
                // What was known stands until a later look-up succeeds.
                replicas.look_up(alone).await.ok();
            });
        }
        let mut known = self.known();
        let (count, turn) = (known.replicas.len(), known.turn);
        let well = (turn..turn + count).find(|turn| known.replicas[turn % count].is_well());
        let chosen = well.unwrap_or(turn);
        known.turn = chosen.wrapping_add(1) & (usize::MAX >> 1);
        if count > 1 {
            known.replicas.iter().for_each(Replica::probe_if_due);
        }
        Ok(known.replicas[chosen % count].call())
    }

    /// Notes that a replica failed, which may be because it moved.
    pub(crate) fn note_failure(&self) {
        self.outdated.store(true, Ordering::Relaxed);
    }

    /// Returns how many replicas are known.
    pub(crate) fn count(&self) -> usize {
        self.known().replicas.len()
    }

    /// Tells whether there is a replica that is not failing.
    pub(crate) fn any_well(&self) -> bool {
        self.known().replicas.iter().any(|replica| replica.is_well())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().expect("no holder panics")
    }

    /// Tells whether the names are to be looked up, in case there are any.
    fn is_due(&self) -> bool {
        let has_names = self.targets.iter().any(|target| target.literal().is_none());
        has_names
            && self.known().looked_up.is_none_or(|at| {
                let age = at.elapsed();
                age >= LOOK_UP_INTERVAL || (age >= LOOK_UP_AGAIN && self.outdated.load(Ordering::Relaxed))
            })
    }

    /// Looks all names up, unless that was just done. A name that is not found keeps the addresses it had.
    async fn look_up(&self, _alone: impl Deref<Target = ()>) -> Result<(), Lost> {
        if !self.is_due() {
            return Ok(());
        }
        let mut addresses = self.known().addresses.clone();
        self.outdated.store(false, Ordering::Relaxed);
        let mut failure = None;
        for (target, addresses) in self.targets.iter().zip(&mut addresses) {
            match self.addresses_of(target).await {
                Ok(found) => *addresses = found,
                Err(reason) => failure = Some(reason),
            }
        }
        self.update(addresses);
        match failure {
            Some(reason) if self.count() == 0 => Err(Lost::unresolved(reason)),
            _ => {
                self.known().looked_up = Some(Instant::now());
                Ok(())
            }
        }
    }

    async fn addresses_of(&self, target: &Target) -> Result<Vec<Address>, String> {
        let (host, port) = match &target.place {
            Place::Known(address) => return Ok(vec![address.clone()]),
            Place::Name { host, port } => (host, *port),
        };
        let found = tokio::time::timeout(LOOK_UP_TIMEOUT, self.resolver.resolve(host, port)).await;
        match found {
            Ok(Ok(addresses)) if addresses.is_empty() => Err(format!("{host}: the name has no address")),
            Ok(Ok(addresses)) => Ok(addresses.into_iter().map(Address::Tcp).collect()),
            Ok(Err(error)) => Err(format!("{host}: {error}")),
            Err(_elapsed) => {
                Err(format!("{host}: the name is not looked up within {:.1} s", LOOK_UP_TIMEOUT.as_secs_f64()))
            }
        }
    }

    /// Takes up what each target means now. Replicas that stay keep their connections; calls to those that go end well.
    fn update(&self, addresses: Vec<Vec<Address>>) {
        let mut known = self.known();
        let mut replicas: Vec<Arc<Replica>> = Vec::new();
        for (number, address) in
            addresses.iter().enumerate().flat_map(|(number, found)| found.iter().map(move |found| (number, found)))
        {
            if replicas.iter().any(|replica| replica.route.address == *address) {
                continue;
            }
            let stays = known.replicas.iter().find(|replica| replica.route.address == *address);
            replicas.push(stays.map_or_else(|| Arc::new(self.replica(number, address)), Arc::clone));
        }
        known.replicas = replicas;
        known.addresses = addresses;
    }

    fn replica(&self, target: usize, address: &Address) -> Replica {
        let route = Route {
            address: address.clone(),
            origin: self.targets[target].uri.clone(),
            encryption: self.encryption[target].clone(),
            credentials: self.credentials.clone(),
            timeout: self.connect_timeout,
            remade: Arc::clone(&self.outdated),
        };
        Replica::new(route, self.connections)
    }
}

/// Where to begin, so that clients that start together do not all begin at the same replica.
fn anywhere() -> usize {
    // Forked processes share what seeds the hash, but not their number.
    let hash = RandomState::new().hash_one(std::process::id());
    usize::try_from(hash >> 33).expect("31 bits fit")
}
