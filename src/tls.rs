//! Transport Layer Security: certificates, keys and tickets, and the layer that encrypts a
//! connection.
//!
//! This module is the only one that knows rustls. It knows neither models nor protocols, and starts
//! no thread. Without the feature `tls` no [`Context`] can be made, and everything else is the same.

#[cfg(not(feature = "tls"))]
mod absent;
#[cfg(feature = "tls")]
mod certificate;
#[cfg(feature = "tls")]
mod context;
#[cfg(feature = "tls")]
mod layer;
#[cfg(feature = "tls")]
mod pem;
#[cfg(feature = "tls")]
mod resolver;
#[cfg(feature = "tls")]
mod self_signed;
#[cfg(feature = "tls")]
mod tickets;

#[cfg(not(feature = "tls"))]
pub use absent::{Context, Reloaded, Tls};
#[cfg(feature = "tls")]
pub use context::{Context, Reloaded, Tls};
