//! The date and the time, on every model.

use crate::common::{Evserve, on_every_model};
use std::time::{Duration, SystemTime};

#[test]
fn a_line_and_the_end() {
    on_every_model(|model| {
        let options = ["--mode", "daytime", "--listen", "127.0.0.1:0"];
        let evserve = Evserve::start(model, 1, &options);
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
