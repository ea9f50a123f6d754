//! Connections to the server that holds the registry: found, opened, kept and given up.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::{Client, Connection, RedisError};

use super::fault::Fault;
use super::url::{Address, RedisUrl, Servers};

/// How long a connection may take to open, with authentication.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How long an answer may let wait.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
/// Connections at work at once; further calls wait.
const CONNECTIONS_MAX: usize = 32;
/// How long a call waits for a connection while all are at work.
const TURN_TIMEOUT: Duration = Duration::from_secs(2);

/// A server process that holds the registry, as it was when it was joined.
#[derive(Debug)]
pub(crate) struct Server {
    /// Where it is.
    pub(super) address: Address,
    /// The name its replication has given itself; another process, or a replica that became master, has another.
    pub(super) replication: String,
    /// Replicas that follow it, when it was last asked.
    replicas: AtomicU64,
}

impl Server {
    pub(super) fn replicas(&self) -> u64 {
        self.replicas.load(Ordering::Relaxed)
    }
}

/// Opens connections and keeps those that are idle.
#[derive(Debug)]
pub(super) struct Connections {
    url: RedisUrl,
    /// The Sentinel that answered last is asked first: another may let every question wait.
    sentinel: AtomicUsize,
    pool: Mutex<Pool>,
    returned: Condvar,
}

#[derive(Default)]
struct Pool {
    idle: Vec<(Arc<Server>, Connection)>,
    at_work: usize,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Pool").field("at_work", &self.at_work).finish_non_exhaustive()
    }
}

impl Connections {
    pub(super) fn new(url: RedisUrl) -> Self {
        Self { url, sentinel: AtomicUsize::new(0), pool: Mutex::default(), returned: Condvar::new() }
    }

    /// Finds the master, asking the Sentinels if there are any, and connects to it.
    pub(super) fn find_server(&self) -> Result<(Arc<Server>, Connection), Fault> {
        let address = self.ask_address()?;
        let mut connection = self.connect(&address)?;
        let (replication, replicas) = replication(&mut connection)?;
        Ok((Arc::new(Server { address, replication, replicas: AtomicU64::new(replicas) }), connection))
    }

    /// Returns the address of the master.
    ///
    /// # Errors
    /// [`Fault::Lost`] with what every Sentinel said, when none names one.
    pub(super) fn ask_address(&self) -> Result<Address, Fault> {
        let (sentinels, master) = match self.url.servers() {
            Servers::One(address) => return Ok(address.clone()),
            Servers::Sentinels { sentinels, master } => (sentinels, master),
        };
        let mut said = Vec::new();
        let first = self.sentinel.load(Ordering::Relaxed);
        for turn in 0..sentinels.len() {
            let at = (first + turn) % sentinels.len();
            let (host, port) = &sentinels[at];
            match ask_sentinel(host, *port, master) {
                Ok(Some(address)) => {
                    self.sentinel.store(at, Ordering::Relaxed);
                    return Ok(address);
                }
                Ok(None) => said.push(format!("{host}:{port} knows no master {master:?}")),
                Err(error) => said.push(format!("{host}:{port}: {error}")),
            }
        }
        Err(Fault::Lost(format!("no Sentinel names the master: {}", said.join("; "))))
    }

    /// Tells whether the registry can only be on one server.
    pub(super) fn has_sentinels(&self) -> bool {
        matches!(self.url.servers(), Servers::Sentinels { .. })
    }

    /// Opens a connection for the caller alone to the server that was joined.
    ///
    /// # Errors
    /// [`Fault::Lost`] also when another process answers there, or it is no longer the master.
    pub(super) fn connect_to(&self, server: &Server) -> Result<Connection, Fault> {
        let mut connection = self.connect(&server.address)?;
        self.check(&mut connection, server)?;
        Ok(connection)
    }

    /// Makes sure that the server is still the one that was joined, and the master.
    pub(super) fn check(&self, connection: &mut Connection, server: &Server) -> Result<(), Fault> {
        let (replication, replicas) = replication(connection)?;
        if replication != server.replication {
            // Also where it got its first replica, which begins another replication and loses nothing.
            return Err(Fault::Lost(format!("{}:{} may have been started anew", server.address.0, server.address.1)));
        }
        server.replicas.store(replicas, Ordering::Relaxed);
        Ok(())
    }

    fn connect(&self, address: &Address) -> Result<Connection, Fault> {
        let connected = self.url.login_at(address).and_then(open);
        connected.map_err(|error| Fault::Lost(format!("{}:{}: {error}", address.0, address.1)))
    }

    /// Runs an operation on a connection to the server. It is run a second time when an idle connection turns out to be
    /// closed, so it must bear repetition.
    pub(super) fn with<T>(
        &self,
        server: &Arc<Server>,
        operation: impl Fn(&mut Connection) -> Result<T, RedisError>,
    ) -> Result<T, Fault> {
        let mut place = self.take(server)?;
        if let Some(connection) = &mut place.connection {
            match operation(connection) {
                Err(error) if error.is_connection_dropped() => place.connection = None,
                result => return place.settle(result),
            }
        }
        let result = operation(place.connection.insert(self.connect_to(server)?));
        place.settle(result)
    }

    fn take(&self, server: &Arc<Server>) -> Result<Place<'_>, Fault> {
        let pool = self.lock();
        let (mut pool, waited) = self
            .returned
            .wait_timeout_while(pool, TURN_TIMEOUT, |pool| pool.at_work >= CONNECTIONS_MAX)
            .unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            return Err(Fault::Refused(format!("all {CONNECTIONS_MAX} connections to it are at work: try again")));
        }
        pool.at_work += 1;
        pool.idle.retain(|(of, _)| Arc::ptr_eq(of, server));
        let connection = pool.idle.pop().map(|(_, connection)| connection);
        Ok(Place { connections: self, server: Arc::clone(server), connection })
    }

    fn lock(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place among the connections at work, and its connection once there is one.
struct Place<'a> {
    connections: &'a Connections,
    server: Arc<Server>,
    connection: Option<Connection>,
}

impl Place<'_> {
    /// Keeps the connection if the server answered over it, whatever it said.
    fn settle<T>(mut self, result: Result<T, RedisError>) -> Result<T, Fault> {
        let result = result.map_err(Fault::from);
        if matches!(result, Err(Fault::Lost(_))) {
            self.connection = None;
        }
        result
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut pool = self.connections.lock();
        pool.at_work -= 1;
        if let Some(connection) = self.connection.take() {
            pool.idle.push((Arc::clone(&self.server), connection));
        }
        drop(pool);
        self.connections.returned.notify_one();
    }
}

fn open(info: redis::ConnectionInfo) -> Result<Connection, RedisError> {
    let connection = Client::open(info)?.get_connection_with_timeout(CONNECT_TIMEOUT)?;
    connection.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    connection.set_write_timeout(Some(ANSWER_TIMEOUT))?;
    Ok(connection)
}

fn ask_sentinel(host: &str, port: u16, master: &str) -> Result<Option<Address>, RedisError> {
    let mut connection = open(redis::IntoConnectionInfo::into_connection_info((host, port))?)?;
    redis::cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(master).query(&mut connection)
}

/// Asks a server for the name of its replication and the number of its replicas.
///
/// # Errors
/// [`Fault::Lost`] when it is not a master.
fn replication(connection: &mut Connection) -> Result<(String, u64), Fault> {
    let info: String = redis::cmd("INFO").arg("replication").query(connection)?;
    let field = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    match (field("role"), field("master_replid")) {
        (Some("master"), Some(name)) => {
            let online = info.lines().filter(|line| line.starts_with("slave") && line.contains("state=online"));
            Ok((name.to_owned(), online.count() as u64))
        }
        (Some(role), _) => Err(Fault::Lost(format!("the server is no master but a {role}"))),
        _ => Err(Fault::Lost("the server tells nothing of its replication".to_owned())),
    }
}
