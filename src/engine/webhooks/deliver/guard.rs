//! Makes every connection of the sender: names are resolved only here, every address is checked against
//! [`crate::domain::webhooks::target`], and only then is a socket opened.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::Semaphore;
use url::Host;

use crate::clock::BoxFuture;
use crate::domain::webhooks::target::{ForbiddenReason, Target};

/// How long one address may take, in real time, before the next one is tried.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The most addresses tried for one name.
const MAX_ADDRESSES: usize = 4;

/// Resolves names to addresses.
pub trait Resolve: fmt::Debug + Send + Sync {
    /// Returns the current addresses of a name.
    fn resolve(&self, name: &str) -> BoxFuture<io::Result<Vec<IpAddr>>>;
}

/// The system's resolver.
#[derive(Clone, Copy, Debug)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve(&self, name: &str) -> BoxFuture<io::Result<Vec<IpAddr>>> {
        let name = name.to_owned();
        Box::pin(async move { Ok(lookup_host((name.as_str(), 0)).await?.map(|found| found.ip()).collect()) })
    }
}

/// A bidirectional byte stream.
pub trait ByteStream: AsyncRead + AsyncWrite + fmt::Debug + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + fmt::Debug + Send + Unpin> ByteStream for S {}

/// A connection of any kind.
pub type Socket = Box<dyn ByteStream>;

/// Opens sockets.
pub trait Dial: fmt::Debug + Send + Sync {
    /// Connects to exactly this address.
    fn dial(&self, address: SocketAddr) -> BoxFuture<io::Result<Socket>>;
}

/// The system's sockets.
#[derive(Clone, Copy, Debug)]
pub struct SystemDial;

impl Dial for SystemDial {
    fn dial(&self, address: SocketAddr) -> BoxFuture<io::Result<Socket>> {
        Box::pin(async move {
            let stream = TcpStream::connect(address).await?;
            // A request is written as a whole, so waiting to combine writes would only delay it.
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Socket)
        })
    }
}

/// Why no connection was made. Names host and port but never the path, which may be a secret.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// The target is not allowed; nothing was opened.
    #[error("{target} leads to {where_to}: {why}; to permit it, add it to allow")]
    Forbidden {
        /// The target.
        target: Target,
        /// The address, or the name itself.
        where_to: String,
        /// Why it is forbidden.
        why: ForbiddenReason,
    },
    /// The name has no address.
    #[error("{target} cannot be resolved: {reason}")]
    Unknown {
        /// The target.
        target: Target,
        /// The resolver's message.
        reason: String,
    },
    /// None of the addresses accepts connections.
    #[error("{address} does not accept connections: {reason}")]
    Refused {
        /// The last address tried.
        address: SocketAddr,
        /// The system's message.
        reason: String,
    },
}

/// The connection guard of one endpoint.
#[derive(Debug)]
pub struct Guard {
    target: Target,
    allow: Vec<Target>,
    resolver: Arc<dyn Resolve>,
    dial: Arc<dyn Dial>,
    /// Allows one lookup at a time: the system's resolver blocks a thread for as long as it takes, even when nobody
    /// waits any more.
    resolver_permit: Semaphore,
}

impl Guard {
    /// Creates a guard for deliveries to `target`, with the exceptions in `allow`.
    pub fn new(target: Target, allow: Vec<Target>, resolver: Arc<dyn Resolve>, dial: Arc<dyn Dial>) -> Self {
        Self { target, allow, resolver, dial, resolver_permit: Semaphore::new(1) }
    }

    /// Opens a socket to the target, if one of its addresses is permitted.
    pub async fn connect(&self) -> Result<Socket, ConnectError> {
        let mut last = None;
        for address in self.permitted_addresses().await? {
            match tokio::time::timeout(CONNECT_TIMEOUT, self.dial.dial(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => last = Some((address, error.kind().to_string())),
                Err(_) => last = Some((address, "not in time".to_owned())),
            }
        }
        Err(match last {
            Some((address, reason)) => ConnectError::Refused { address, reason },
            None => self.unknown("it has no address"),
        })
    }

    /// Returns the permitted addresses; fails if there are addresses and none is permitted.
    async fn permitted_addresses(&self) -> Result<Vec<SocketAddr>, ConnectError> {
        if let Some(why) = self.target.forbidden_without_lookup(&self.allow) {
            return Err(self.forbidden(self.target.host.to_string(), why));
        }
        let found = match (&self.target.host, self.target.ip_address()) {
            (_, Some(address)) => vec![address],
            (Host::Domain(name), None) => self.resolve(name).await?,
            (Host::Ipv4(_) | Host::Ipv6(_), None) => Vec::new(),
        };
        let (mut permitted, mut refused, mut unique) = (Vec::new(), None, BTreeSet::new());
        for address in found.into_iter().filter(|address| unique.insert(*address)) {
            match self.target.check_connection(address, &self.allow) {
                Ok(address) => permitted.push(address),
                Err(why) => refused = Some((address, why)),
            }
        }
        match refused {
            Some((address, why)) if permitted.is_empty() => Err(self.forbidden(address.to_string(), why)),
            Some(_) | None => {
                permitted.truncate(MAX_ADDRESSES);
                Ok(permitted)
            }
        }
    }

    async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, ConnectError> {
        let _turn = self.resolver_permit.acquire().await.map_err(|_| self.unknown("the sender stops"))?;
        self.resolver.resolve(name).await.map_err(|error| self.unknown(&error.to_string()))
    }

    fn forbidden(&self, where_to: String, why: ForbiddenReason) -> ConnectError {
        ConnectError::Forbidden { target: self.target.clone(), where_to, why }
    }

    fn unknown(&self, reason: &str) -> ConnectError {
        ConnectError::Unknown { target: self.target.clone(), reason: reason.to_owned() }
    }
}
