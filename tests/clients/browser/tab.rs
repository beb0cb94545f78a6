//! A tab of a real browser, driven by the DevTools protocol, for pages that allow no script of the
//! test.

use crate::common::PATIENCE;
use serde_json::{Value, json};
use std::fs::read_to_string;
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tungstenite::{Message, WebSocket, client};

/// A chromium with one tab. Dropping it ends it.
pub struct Tab {
    child: Child,
    socket: WebSocket<TcpStream>,
    /// The tab's session (DevTools protocol, flattened).
    session: Option<String>,
    id: u64,
    /// Errors that the browser reported.
    pub complaints: Vec<String>,
    _profile: tempfile::TempDir,
}

impl Tab {
    pub fn show(url: &str) -> Tab {
        let profile = tempfile::tempdir().expect("a directory");
        let child = Command::new(super::program())
            .args(super::OPTIONS)
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromium starts");
        // Chromium writes its port and path to a file once it listens.
        let (end, file) = (
            Instant::now() + PATIENCE,
            profile.path().join("DevToolsActivePort"),
        );
        let (port, path) = loop {
            let text = read_to_string(&file).unwrap_or_default();
            if let Some((port, path)) = text.split_once('\n').filter(|(_, path)| !path.is_empty()) {
                break (port.parse::<u16>().expect("a port"), path.trim().to_owned());
            }
            assert!(
                Instant::now() < end,
                "chromium does not say where it listens"
            );
            std::thread::sleep(Duration::from_millis(20));
        };
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let (socket, _) =
            client(format!("ws://127.0.0.1:{port}{path}"), stream).expect("a WebSocket");
        let mut tab = Tab {
            child,
            socket,
            session: None,
            id: 0,
            complaints: Vec::new(),
            _profile: profile,
        };
        let target = tab.call("Target.createTarget", &json!({"url": "about:blank"}));
        let target = json!({"targetId": target["targetId"], "flatten": true});
        let session = tab.call("Target.attachToTarget", &target);
        tab.session = session["sessionId"].as_str().map(String::from);
        tab.call("Runtime.enable", &json!({}));
        tab.call("Log.enable", &json!({}));
        tab.call("Page.navigate", &json!({"url": url}));
        tab
    }

    pub fn call(&mut self, method: &str, params: &Value) -> Value {
        self.id += 1;
        let mut call = json!({"id": self.id, "method": method, "params": params});
        if let Some(session) = &self.session {
            call["sessionId"] = session.as_str().into();
        }
        let text = Message::text(call.to_string());
        self.socket.send(text).expect("the browser listens");
        loop {
            let message = self.socket.read().expect("the browser answers in time");
            let Message::Text(text) = message else {
                continue;
            };
            let message: Value = serde_json::from_str(&text).expect("JSON");
            if message["id"] == self.id {
                assert!(message["error"].is_null(), "{method}: {message}");
                return message["result"].clone();
            }
            let event = &message["params"];
            match message["method"].as_str() {
                Some("Runtime.exceptionThrown") => self.complaints.push(event.to_string()),
                Some("Log.entryAdded") if event["entry"]["level"] == "error" => {
                    self.complaints.push(event["entry"].to_string());
                }
                _ => {}
            }
        }
    }

    /// The value of an expression in the page.
    pub fn value(&mut self, expression: &str) -> Value {
        let params = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let result = self.call("Runtime.evaluate", &params);
        assert!(
            result["exceptionDetails"].is_null(),
            "{expression}: {result}"
        );
        result["result"]["value"].clone()
    }

    /// Waits until an expression is true in the page. It may throw before that, while elements are
    /// missing.
    pub fn wait_until(&mut self, expression: &str) {
        let tried =
            format!("(() => {{ try {{ return {expression} }} catch {{ return false }} }})()");
        let end = Instant::now() + PATIENCE;
        while self.value(&tried) != true {
            let page = self.value("document.body?.innerText");
            assert!(
                Instant::now() < end,
                "never true: {expression}; the page says {page}"
            );
            // Layout changes with the next frame.
            self.value("new Promise(done => requestAnimationFrame(() => done(0)))");
        }
    }

    /// Sets the width of the screen and the color scheme that the user prefers.
    pub fn emulate_screen(&mut self, width: u32, scheme: &str) {
        let metrics =
            json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600});
        self.call("Emulation.setDeviceMetricsOverride", &metrics);
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.call("Emulation.setEmulatedMedia", &json!({"features": features}));
    }

    /// A screenshot of the whole page, as PNG.
    pub fn screenshot(&mut self) -> Vec<u8> {
        let params = json!({"format": "png", "captureBeyondViewport": true});
        let result = self.call("Page.captureScreenshot", &params);
        let data = result["data"].as_str().expect("a picture");
        use base64::Engine;
        let engine = base64::engine::general_purpose::STANDARD;
        engine.decode(data).expect("base64")
    }
}

impl Drop for Tab {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
