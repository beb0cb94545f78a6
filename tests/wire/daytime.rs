//! Daytime (RFC 867).

use crate::common::{Evserve, on_every_model};
use std::time::{Duration, SystemTime};

#[test]
fn a_client_gets_one_line_and_the_end() {
    on_every_model(|model| {
        let options = ["--mode", "daytime", "--listen", "127.0.0.1:0"];
        let evserve = Evserve::start(model, &options);
        for says_something in [false, true] {
            let mut client = evserve.connect();
            if says_something {
                // RFC 867: any data received is thrown away.
                client.try_send([b'x'; 5000]);
            }
            let line = String::from_utf8(client.rest()).expect("text");
            let date = line.strip_suffix("\r\n").expect(&line);
            let time = httpdate::parse_http_date(date).expect(date);
            let age = SystemTime::now().duration_since(time).expect("the past");
            assert!(age < Duration::from_secs(30), "{model}: {line}");
        }
        assert!(evserve.stop().status.success());
    });
}

/// Input that arrives after close(2) causes a reset, which would destroy unread output (RFC 9112
/// section 9.6 describes this for HTTP). So the server shuts down writing and waits for the client.
#[test]
fn writing_is_shut_down_before_the_connection_is_closed() {
    on_every_model(|model| {
        let options = ["--mode", "daytime", "--listen", "127.0.0.1:0"];
        let evserve = Evserve::start(model, &[&options[..], &["--trace-requests", "9"]].concat());
        let mut client = evserve.connect();
        assert!(client.rest().ends_with(b" GMT\r\n"), "{model}");
        for _ in 0..3 {
            client.send([b'x'; 5000]);
        }
        drop(client);
        let log = evserve.stop().log;
        assert!(log.contains("SHUT_WR"), "{model}: {log}");
        // All input was received.
        let received = log.rsplit("received ").next().expect(&log);
        assert!(received.starts_with("14.6 KiB"), "{model}: {received}");
    });
}
