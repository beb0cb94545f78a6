//! Whether a server's answers are right, to the last byte: figures for wrong answers mean nothing.

use super::lab::Outcome;
use super::lab::exchange::{Answer, Client};
use super::lab::root::content;
use super::workload::{Ask, Workload};
use std::net::SocketAddr;

/// How a server is asked under a workload, and how it answers.
pub struct Checked {
    /// What the requests say beside Host.
    pub fields: Vec<String>,
    pub head_bytes: usize,
    /// How long an answer is on the wire.
    pub answer_bytes: usize,
    /// Why wrk cannot measure it, though the answers are right.
    pub unfit: Option<&'static str>,
}

/// Asks as wrk will, and compares the answers with what they should be.
///
/// # Errors
/// What is wrong with them.
pub fn check(workload: &Workload, address: SocketAddr) -> Outcome<Checked> {
    let fields = match workload.ask {
        Ask::Closing => vec!["Connection: close".to_owned()],
        Ask::Unchanged => vec![condition(workload, address)?],
        Ask::Whole | Ask::Missing | Ask::Head => Vec::new(),
    };
    let mut client = Client::connect(address)?;
    // Twice, so that an answer from a cache is seen too, if the connection lasts.
    let count = if workload.ask == Ask::Closing {
        1
    } else {
        2 * workload.pipelined
    };
    client.send(request(workload, address, &fields).repeat(count).as_bytes())?;
    let mut checked = None;
    for _ in 0..count {
        let answer = client.receive(workload.ask == Ask::Head)?;
        compare(workload, &answer)?;
        checked = Some(answer);
    }
    if workload.ask == Ask::Closing {
        client.end()?;
    }
    let answer = checked.ok_or("nothing was asked")?;
    let says_close = answer
        .field("Connection")
        .is_some_and(|value| value.eq_ignore_ascii_case("close"));
    let silent = workload.ask == Ask::Closing && !says_close;
    Ok(Checked {
        fields,
        head_bytes: answer.head.len(),
        answer_bytes: answer.length(),
        // RFC 9112 section 9.6 has it that a server SHOULD say so.
        unfit: silent.then_some("it closes without saying so, which wrk takes for a failure"),
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

/// The condition under which the server has nothing new to send, with whichever validator it gives.
fn condition(workload: &Workload, address: SocketAddr) -> Outcome<String> {
    let mut client = Client::connect(address)?;
    client.send(request(workload, address, &[]).as_bytes())?;
    let answer = client.receive(false)?;
    if let Some(tag) = answer.field("ETag") {
        return Ok(format!("If-None-Match: {tag}"));
    }
    let date = answer
        .field("Last-Modified")
        .ok_or("it gives no validator")?;
    Ok(format!("If-Modified-Since: {date}"))
}

fn compare(workload: &Workload, answer: &Answer) -> Outcome<()> {
    let (status, right) = (answer.status, workload.status());
    if status != right {
        return Err(format!("status {status} instead of {right}").into());
    }
    let length = match workload.ask {
        Ask::Missing | Ask::Unchanged => return Ok(()),
        Ask::Head => answer
            .field("Content-Length")
            .unwrap_or("no length")
            .to_owned(),
        Ask::Whole | Ask::Closing => answer.body.len().to_string(),
    };
    if length != workload.body_bytes().to_string() {
        return Err(format!("{length} bytes instead of {}", workload.body_bytes()).into());
    }
    if answer.body != content(workload.body_bytes()) {
        return Err("the bytes are not the file's".into());
    }
    Ok(())
}
