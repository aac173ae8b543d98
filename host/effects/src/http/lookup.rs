//! Looks names up, and gives a connection only addresses that it may be made to. What was checked is what is connected to: nobody looks the name up again.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::address::is_public;

/// Finds the addresses of a name.
pub(super) type Lookup = dyn Fn(String) -> Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>> + Send + Sync;

/// Returns what asks the system.
pub(super) fn by_system() -> Arc<Lookup> {
    Arc::new(|name| {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    })
}

/// A name that leads nowhere but to the user's own machine and networks.
#[derive(Debug)]
pub(super) struct Private {
    name: String,
    address: IpAddr,
}

impl fmt::Display for Private {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` leads to the address {}", self.name, self.address)
    }
}

impl std::error::Error for Private {}

/// Leaves out addresses that are not public.
pub(super) struct PublicOnly(pub(super) Arc<Lookup>);

/// Leaves out nothing.
pub(super) struct Any(pub(super) Arc<Lookup>);

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        let lookup = Arc::clone(&self.0);
        Box::pin(async move {
            let found = lookup(name.as_str().to_owned()).await?;
            let public: Vec<IpAddr> = found.iter().copied().filter(|address| is_public(*address)).collect();
            match (public.is_empty(), found.first()) {
                (true, Some(address)) => Err(Private {
                    name: name.as_str().to_owned(),
                    address: *address,
                }
                .into()),
                _ => Ok(addresses(public)),
            }
        })
    }
}

impl Resolve for Any {
    fn resolve(&self, name: Name) -> Resolving {
        let lookup = Arc::clone(&self.0);
        Box::pin(async move { Ok(addresses(lookup(name.as_str().to_owned()).await?)) })
    }
}

fn addresses(found: Vec<IpAddr>) -> Addrs {
    // The port is that of the URL.
    Box::new(found.into_iter().map(|address| SocketAddr::new(address, 0)))
}
