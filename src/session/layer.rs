//! What may stand between a socket and a session, such as encryption: bytes in, bytes out.

use super::buffer::Buffer;

/// Turns the bytes of a socket into the bytes of a session and back. It does no I/O.
///
/// A layer begins with a handshake. Until that has ended, it has nothing for the session and takes
/// nothing from it. The connection holds the buffers and calls the layer; the session does not know
/// of it.
pub trait Layer: Send {
    /// Takes bytes from the front of `input`, which is never empty and never comes after the peer's
    /// [end](Layer::has_ended). Returns how many. Takes at least one if the session has been given
    /// everything in [`received`](Layer::received).
    ///
    /// # Errors
    /// If the peer has broken the protocol, or has refused it. What
    /// [`put`](Layer::put) then brings, such as an alert, is still sent; then the connection
    /// closes. No other method is called after that.
    fn receive(&mut self, input: &[u8]) -> Result<usize, LayerError>;

    /// Bytes for the session, perhaps not all. Empty if there are none before more input comes.
    fn received(&mut self) -> &[u8];

    /// The session has been given the first `count` bytes of [`received`](Layer::received).
    fn consume(&mut self, count: usize);

    /// True until the handshake has ended.
    fn is_handshaking(&self) -> bool;

    /// True once the peer has said that nothing more comes from it, and [`received`](Layer::received)
    /// will bring nothing new. A socket that ends earlier was cut off.
    fn has_ended(&self) -> bool;

    /// True if the layer has output of its own, such as the messages of a handshake.
    fn has_output(&self) -> bool;

    /// Appends output of the layer's own, as much as there is room for.
    fn put(&mut self, output: &mut Buffer);

    /// Takes bytes of the session: first from `bytes`, then from `then`. Appends what they become to
    /// `output`. Returns how many bytes were taken: as many as there is room for, and at least one
    /// if `output` is empty.
    fn seal(&mut self, bytes: &[u8], then: &[u8], output: &mut Buffer) -> usize;

    /// Says to the peer that nothing more comes: the last output.
    fn close(&mut self);

    /// What was agreed on in the handshake, once it has ended.
    fn encryption(&self) -> Encryption;

    /// The name of the handshake's state, for display.
    fn state(&self) -> &'static str {
        HANDSHAKING
    }
}

/// Makes the layers of new connections.
pub trait Layers: Send + Sync {
    /// Returns a layer for a connection. `None` if the machine lacks what it takes, such as random
    /// bytes: the connection is then closed.
    fn layer(&self) -> Option<Box<dyn Layer>>;
}

/// The state of a connection whose layer has not finished its handshake.
pub const HANDSHAKING: &str = "handshaking";

/// How a connection is encrypted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encryption {
    /// The protocol and its version, such as `TLSv1.3`.
    pub version: &'static str,
    /// The cipher suite, such as `TLS13_AES_128_GCM_SHA256`.
    pub cipher: &'static str,
    /// The client has resumed an earlier session.
    pub resumed: bool,
    /// The name of the server that the client has asked for.
    pub server_name: Option<Box<str>>,
}

/// Why a layer cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayerError {
    /// The peer speaks plain HTTP.
    PlainHttp,
    /// The peer supports nothing that this side does.
    NothingInCommon,
    /// The peer has sent an alert, for example because it does not trust the certificate.
    Refused,
    /// Bytes that are against the protocol.
    Malformed,
}
