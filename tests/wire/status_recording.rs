//! The button of the status page that records the next two seconds.

use crate::common::{
    Client, Evserve, PATIENCE, Response, on_every_model, on_one_model_of_each_kind, row,
    serves_one_at_a_time,
};
use evserve::model::Executor;
use evserve::recording::{Kind, Recording};
use std::fs::write;
use std::net::SocketAddr;
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

fn start(model: &str, options: &[&str]) -> (Evserve, tempfile::TempDir) {
    let root = tempfile::tempdir().expect("a directory");
    for name in ["a.txt", "b.txt"] {
        write(root.path().join(name), "hello").expect("a file");
    }
    let options = [&["--status", "0"], options].concat();
    let evserve = Evserve::http(model, root.path(), &options);
    (evserve, root)
}

/// The token in the page.
fn token(status: SocketAddr, fields: &str) -> String {
    let mut client = Client::connect(status);
    client.send(format!("GET / HTTP/1.1\r\nHost: {status}\r\n{fields}\r\n"));
    let page = String::from_utf8(client.response().body).expect("UTF-8");
    let (_, rest) = page.split_once("data-token=\"").expect("a token");
    rest.split('"').next().expect("its end").to_owned()
}

fn press(status: SocketAddr, fields: &str) -> Client {
    let mut client = Client::connect(status);
    let request =
        format!("POST /record HTTP/1.1\r\nHost: {status}\r\nContent-Length: 0\r\n{fields}\r\n");
    client.send(request);
    client
}

fn text(response: &Response) -> String {
    String::from_utf8_lossy(&response.body).into_owned()
}

fn parse(model: &str, response: &Response) -> Recording {
    assert_eq!(response.status, 200, "{model}: {}", response.head);
    let name = format!("attachment; filename=\"evserve-{model}.evrec\"");
    assert_eq!(response.field("Content-Disposition"), Some(&*name));
    assert_eq!(response.field("Cache-Control"), Some("no-store"));
    Recording::parse(&response.body).expect("a recording")
}

/// How often a target was requested.
fn requests(recording: &Recording, target: &str) -> usize {
    let text = format!("GET {target}");
    let events = recording.events.iter();
    let requests = events.filter(|one| one.event.kind == Kind::Request);
    requests.filter(|one| one.text == text.as_bytes()).count()
}

fn can_record(model: &str) -> bool {
    row(model).executor != Executor::Process
}

#[test]
fn a_press_downloads_what_happens_meanwhile() {
    on_every_model(|model| {
        let (evserve, _root) = start(model, &[]);
        let status = evserve.addresses[1];
        if !can_record(model) {
            let response = press(status, "").response();
            assert_eq!(response.status, 404, "{model}");
            assert!(text(&response).contains("--record"), "{model}");
            return;
        }
        let token = format!("X-Evserve-Token: {}\r\n", token(status, ""));
        for target in ["/a.txt", "/b.txt"] {
            let mut client = press(status, &token);
            let waits = spawn(move || client.response());
            let mut asked = 0;
            while !waits.is_finished() {
                assert_eq!(evserve.get(target).status, 200);
                asked += 1;
                // Or else there are more events than a recording can have.
                sleep(Duration::from_millis(5));
            }
            let recording = parse(model, &waits.join().expect("a response"));
            assert_eq!(recording.fact("model"), Some(model));
            assert_eq!(recording.contents.lost, 0, "{model}");
            let recorded = requests(&recording, target);
            assert!(
                (1..=asked).contains(&recorded),
                "{model}: {recorded} of {asked}"
            );
            // The second one has nothing of the first.
            assert_eq!(
                requests(&recording, "/a.txt") > 0,
                target == "/a.txt",
                "{model}"
            );
        }
    });
}

#[test]
fn nobody_but_the_page_can_press() {
    on_every_model(|model| {
        if !can_record(model) {
            return;
        }
        let (evserve, _root) = start(model, &[]);
        let status = evserve.addresses[1];
        let right = format!("X-Evserve-Token: {}\r\n", token(status, ""));
        let wrong = format!("X-Evserve-Token: {}\r\n", "0".repeat(32));
        for fields in [
            "",
            "X-Evserve-Token: \r\n",
            &wrong,
            &format!("{right}Origin: http://evil.example\r\n"),
            &format!("{right}Origin: null\r\n"),
            &format!("{right}Sec-Fetch-Site: cross-site\r\n"),
        ] {
            let response = press(status, fields).response();
            assert_eq!(response.status, 403, "{model}: {fields}");
        }
        for method in ["GET", "PUT", "OPTIONS"] {
            let mut client = Client::connect(status);
            client.send(format!(
                "{method} /record HTTP/1.1\r\nHost: {status}\r\n{right}\r\n"
            ));
            let response = client.response();
            assert_eq!(response.status, 405, "{model}: {method}");
            assert_eq!(response.field("Allow"), Some("POST"), "{model}: {method}");
        }
        let mut client = Client::connect(status);
        client.send(format!(
            "POST /record HTTP/1.1\r\nHost: evil.example\r\n{right}\r\n"
        ));
        assert_eq!(client.response().status, 403, "{model}");
    });
}

/// One recording is made at a time. A client that leaves does not keep others from making one.
#[test]
fn presses_do_not_disturb_each_other() {
    on_one_model_of_each_kind(|model| {
        if !can_record(model) || serves_one_at_a_time(model) {
            return;
        }
        let (evserve, _root) = start(model, &[]);
        let status = evserve.addresses[1];
        let token = format!("X-Evserve-Token: {}\r\n", token(status, ""));
        let mut both = [press(status, &token), press(status, &token)];
        let mut responses = both.each_mut().map(Client::response);
        responses.sort_by_key(|response| response.status);
        parse(model, &responses[0]);
        assert_eq!(responses[1].status, 409, "{model}");
        assert!(text(&responses[1]).contains("under way"), "{model}");
        drop(both);
        drop(press(status, &token));
        let end = Instant::now() + PATIENCE;
        loop {
            let response = press(status, &token).response();
            if response.status != 409 {
                parse(model, &response);
                break;
            }
            assert!(Instant::now() < end, "{model}: still under way");
        }
        let ended = evserve.stop();
        assert!(ended.status.success(), "{model}: {}", ended.log);
    });
}

/// A recording that the server makes anyway goes on, and the press gets its last two seconds.
#[test]
fn a_press_leaves_the_recording_of_the_server_alone() {
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("all.evrec");
    let (evserve, _root) = start("epoll", &["--record", path.to_str().expect("UTF-8")]);
    let status = evserve.addresses[1];
    assert_eq!(evserve.get("/a.txt").status, 200);
    let token = format!("X-Evserve-Token: {}\r\n", token(status, ""));
    let response = press(status, &token).response();
    assert_eq!(requests(&parse("epoll", &response), "/a.txt"), 0);
    assert_eq!(evserve.get("/b.txt").status, 200);
    evserve.stop();
    let all = Recording::parse(&std::fs::read(&path).expect("a file")).expect("a recording");
    for target in ["/a.txt", "/b.txt"] {
        assert_eq!(requests(&all, target), 1, "{target}");
    }
}
