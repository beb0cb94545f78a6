//! Checks a server's responses byte by byte: figures for wrong responses mean nothing.

use super::workload::{Ask, Workload};
use evserve_lab::Outcome;
use evserve_lab::exchange::{Client, Response};
use evserve_lab::root::content;
use evserve_lab::tls::TlsClient;
use std::net::SocketAddr;

/// The requests of a workload to a server, and its response.
pub struct Checked {
    /// Request fields beside Host.
    pub fields: Vec<String>,
    pub head_bytes: usize,
    /// The length of a response on the wire, in bytes.
    pub response_bytes: usize,
    /// The reason if wrk cannot measure it, although the responses are right.
    pub unfit: Option<&'static str>,
}

/// Sends the requests that wrk will send, and checks the responses.
///
/// # Errors
/// A response is wrong.
pub fn check(workload: &Workload, address: SocketAddr, tls: &TlsClient) -> Outcome<Checked> {
    let tls = workload.tls.then_some(tls);
    let fields = match workload.ask {
        Ask::Closing => vec!["Connection: close".to_owned()],
        Ask::Unchanged => vec![condition(workload, address)?],
        Ask::Whole | Ask::Missing | Ask::Head => Vec::new(),
    };
    let mut client = Client::connect_by(address, tls)?;
    // Twice, to check a response from a cache too, if the connection stays open.
    let count = if workload.ask == Ask::Closing {
        1
    } else {
        2 * workload.pipelined
    };
    client.send(request(workload, address, &fields).repeat(count).as_bytes())?;
    let mut checked = None;
    for _ in 0..count {
        let response = client.receive(workload.ask == Ask::Head)?;
        compare(workload, &response)?;
        checked = Some(response);
    }
    if workload.ask == Ask::Closing {
        client.end()?;
    }
    let response = checked.ok_or("nothing was asked")?;
    let says_close = response
        .field("Connection")
        .is_some_and(|value| value.eq_ignore_ascii_case("close"));
    let silent = workload.ask == Ask::Closing && !says_close;
    Ok(Checked {
        fields,
        head_bytes: response.head.len(),
        response_bytes: response.length(),
        // RFC 9112 section 9.6: a server SHOULD announce it.
        unfit: silent
            .then_some("it closes without `Connection: close`, which wrk counts as a failure"),
    })
}

fn request(workload: &Workload, address: SocketAddr, fields: &[String]) -> String {
    let lines: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
    format!(
        "{} {} HTTP/1.1\r\nHost: {address}\r\n{lines}\r\n",
        workload.method(),
        workload.path()
    )
}

/// The condition for a 304, with the validator that the server sends.
fn condition(workload: &Workload, address: SocketAddr) -> Outcome<String> {
    let mut client = Client::connect(address)?;
    client.send(request(workload, address, &[]).as_bytes())?;
    let response = client.receive(false)?;
    if let Some(tag) = response.field("ETag") {
        return Ok(format!("If-None-Match: {tag}"));
    }
    let date = response
        .field("Last-Modified")
        .ok_or("it sends no validator")?;
    Ok(format!("If-Modified-Since: {date}"))
}

fn compare(workload: &Workload, response: &Response) -> Outcome<()> {
    let (status, right) = (response.status, workload.status());
    if status != right {
        return Err(format!("status {status} instead of {right}").into());
    }
    let length = match workload.ask {
        Ask::Missing | Ask::Unchanged => return Ok(()),
        Ask::Head => response
            .field("Content-Length")
            .unwrap_or("no length")
            .to_owned(),
        Ask::Whole | Ask::Closing => response.body.len().to_string(),
    };
    if length != workload.body_bytes().to_string() {
        return Err(format!("{length} bytes instead of {}", workload.body_bytes()).into());
    }
    if response.body != content(workload.body_bytes()) {
        return Err("the bytes differ from the file".into());
    }
    Ok(())
}
