//! Sends one file to every client: raw, by sendfile(2), or as JSON with base64.
//!
//!     cargo run --example picture FILE [raw|json [ADDRESS [MODEL]]]
//!                                                # default: raw, 127.0.0.1:7010, epoll
//!     nc 127.0.0.1 7010 > picture.png

use base64::prelude::{BASE64_STANDARD, Engine};
use evserve::session::{Body, BodySource};
use evserve::{Context, Server, Service, Session, Sharing, Wait};
use std::path::Path;
use std::{env, error::Error, fs::File, net::IpAddr, sync::Arc};

/// What each client gets. Connections share the bytes.
#[derive(Clone)]
struct Picture {
    source: BodySource,
    length: u64,
}

impl Picture {
    fn raw(path: &Path) -> Result<Picture, Box<dyn Error>> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        let source = BodySource::file(file);
        Ok(Picture { source, length })
    }

    fn json(path: &Path) -> Result<Picture, Box<dyn Error>> {
        let object = serde_json::json!({
            "name": path.file_name().map(|name| name.to_string_lossy()),
            "picture": BASE64_STANDARD.encode(std::fs::read(path)?),
        });
        let text = format!("{object}\n").into_bytes();
        let length = text.len() as u64;
        let source = BodySource::Bytes(Arc::new(text));
        Ok(Picture { source, length })
    }
}

impl Service for Picture {
    fn session(&self, _: Option<IpAddr>) -> Box<dyn Session> {
        Box::new(self.clone())
    }

    fn speaks_first(&self) -> bool {
        true
    }

    fn sharing(&self) -> Sharing {
        Sharing::Nothing
    }

    fn name(&self) -> &str {
        "picture"
    }
}

impl Session for Picture {
    fn open(&mut self, cx: &mut Context<'_>) {
        cx.put_body(Body::new(self.source.clone(), 0, self.length));
    }

    fn receive(&mut self, input: &[u8], _: &mut Context<'_>) -> usize {
        input.len()
    }

    fn waits_for(&self) -> Wait {
        // Close only when the client has received everything.
        Wait::Linger
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let path = env::args_os().nth(1).ok_or("which file?")?;
    let form = env::args().nth(2).unwrap_or("raw".into());
    let address = env::args().nth(3).unwrap_or("127.0.0.1:7010".into());
    let model = env::args().nth(4).unwrap_or("epoll".into());
    let picture = match form.as_str() {
        "raw" => Picture::raw(path.as_ref())?,
        "json" => Picture::json(path.as_ref())?,
        other => return Err(format!("{other} is neither raw nor json").into()),
    };
    let server = Server::builder()
        .model(&model)
        .listen(&address, move |_| Ok(Arc::new(picture.clone())))?
        .start()?;
    println!("listening at {}", server.local_addresses()[0]);
    Ok(server.run()?)
}
