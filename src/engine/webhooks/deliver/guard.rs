//! The door through which every connection of the sender is made: names are resolved here and nowhere else, every address is
//! held against [`crate::domain::webhooks::target`], and only then is a socket opened.

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
use crate::domain::webhooks::target::{Forbidden, Target};

/// One address may take so long, in real time, before the next is tried.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// The most addresses of a name that are tried.
const MOST_ADDRESSES: usize = 4;

/// Finds the addresses of a name.
pub trait Resolve: fmt::Debug + Send + Sync {
    /// The addresses that the name has now.
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

/// A connection's two directions of bytes.
pub trait Stream: AsyncRead + AsyncWrite + fmt::Debug + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + fmt::Debug + Send + Unpin> Stream for S {}

/// A connection, whatever carries it.
pub type Socket = Box<dyn Stream>;

/// Opens sockets.
pub trait Dial: fmt::Debug + Send + Sync {
    /// A connection to exactly this address.
    fn dial(&self, address: SocketAddr) -> BoxFuture<io::Result<Socket>>;
}

/// The system's sockets.
#[derive(Clone, Copy, Debug)]
pub struct SystemDial;

impl Dial for SystemDial {
    fn dial(&self, address: SocketAddr) -> BoxFuture<io::Result<Socket>> {
        Box::pin(async move {
            let stream = TcpStream::connect(address).await?;
            // A request is written whole; waiting for more of it would only delay it.
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Socket)
        })
    }
}

/// Why there is no connection. Names host and port, never the path, which may be a secret.
#[derive(Debug, Error)]
pub enum NoConnection {
    /// Somewhere nobody should be sent; nothing was opened.
    #[error("{target} leads to {where_to}: {why}; if it is meant, add it to allow")]
    Forbidden {
        /// Where it was to go.
        target: Target,
        /// The address, or the name itself.
        where_to: String,
        /// What is wrong with that.
        why: Forbidden,
    },
    /// The name has no address.
    #[error("{target} cannot be resolved: {reason}")]
    Unknown {
        /// Where it was to go.
        target: Target,
        /// What the resolver says.
        reason: String,
    },
    /// None of its addresses takes connections.
    #[error("{address} does not take connections: {reason}")]
    Refused {
        /// The last one tried.
        address: SocketAddr,
        /// What the system says.
        reason: String,
    },
}

/// Makes the connections for one endpoint.
#[derive(Debug)]
pub struct Guard {
    target: Target,
    allow: Vec<Target>,
    resolver: Arc<dyn Resolve>,
    dial: Arc<dyn Dial>,
    /// The system's resolver blocks a thread for as long as it takes, also when nobody waits any more: one question at a time.
    asking: Semaphore,
}

impl Guard {
    /// For deliveries to `target`, with what `allow` lets through.
    pub fn new(target: Target, allow: Vec<Target>, resolver: Arc<dyn Resolve>, dial: Arc<dyn Dial>) -> Self {
        Self { target, allow, resolver, dial, asking: Semaphore::new(1) }
    }

    /// Opens a socket to the target, if one of its addresses is permitted.
    pub async fn connect(&self) -> Result<Socket, NoConnection> {
        let mut last = None;
        for address in self.permitted().await? {
            match tokio::time::timeout(CONNECT_WITHIN, self.dial.dial(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => last = Some((address, error.kind().to_string())),
                Err(_) => last = Some((address, "not in time".to_owned())),
            }
        }
        Err(match last {
            Some((address, reason)) => NoConnection::Refused { address, reason },
            None => self.unknown("it has no address"),
        })
    }

    /// The addresses that may be connected to; refused when there are some and none may.
    async fn permitted(&self) -> Result<Vec<SocketAddr>, NoConnection> {
        if let Some(why) = self.target.refused_by_its_words(&self.allow) {
            return Err(self.forbidden(self.target.host.to_string(), why));
        }
        let found = match (&self.target.host, self.target.literal()) {
            (_, Some(address)) => vec![address],
            (Host::Domain(name), None) => self.resolve(name).await?,
            (Host::Ipv4(_) | Host::Ipv6(_), None) => Vec::new(),
        };
        let (mut permitted, mut refused, mut seen) = (Vec::new(), None, BTreeSet::new());
        for address in found.into_iter().filter(|address| seen.insert(*address)) {
            match self.target.may_connect_to(address, &self.allow) {
                Ok(address) => permitted.push(address),
                Err(why) => refused = Some((address, why)),
            }
        }
        match refused {
            Some((address, why)) if permitted.is_empty() => Err(self.forbidden(address.to_string(), why)),
            Some(_) | None => {
                permitted.truncate(MOST_ADDRESSES);
                Ok(permitted)
            }
        }
    }

    async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, NoConnection> {
        let _turn = self.asking.acquire().await.map_err(|_| self.unknown("the sender stops"))?;
        self.resolver.resolve(name).await.map_err(|error| self.unknown(&error.to_string()))
    }

    fn forbidden(&self, where_to: String, why: Forbidden) -> NoConnection {
        NoConnection::Forbidden { target: self.target.clone(), where_to, why }
    }

    fn unknown(&self, reason: &str) -> NoConnection {
        NoConnection::Unknown { target: self.target.clone(), reason: reason.to_owned() }
    }
}
