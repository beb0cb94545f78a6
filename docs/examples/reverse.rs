//! A custom protocol: sends each line back reversed.
//!
//!     cargo run --example reverse [ADDRESS [MODEL]]        # default: 127.0.0.1:7008, epoll
//!     nc 127.0.0.1 7008

use evserve::{Context, Server, Service, Session, Sharing};
use std::{env, error::Error, net::IpAddr, sync::Arc};

struct Reverse;

impl Service for Reverse {
    fn session(&self, _: Option<IpAddr>) -> Box<dyn Session> {
        Box::new(Reverse)
    }

    fn sharing(&self) -> Sharing {
        Sharing::Nothing
    }

    fn name(&self) -> &str {
        "reverse"
    }
}

impl Session for Reverse {
    fn receive(&mut self, input: &[u8], cx: &mut Context<'_>) -> usize {
        // 0: this needs more bytes or more room. The next call begins with the same bytes.
        let end = input.iter().position(|byte| *byte == b'\n');
        let Some(end) = end.filter(|end| *end < cx.room()) else {
            return 0;
        };
        let reversed: Vec<u8> = input[..end].iter().rev().chain(b"\n").copied().collect();
        cx.put(&reversed);
        end + 1
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let address = env::args().nth(1).unwrap_or("127.0.0.1:7008".into());
    let model = env::args().nth(2).unwrap_or("epoll".into());
    let server = Server::builder()
        .model(&model)
        .listen(&address, |_| Ok(Arc::new(Reverse)))?
        .start()?;
    println!("listening at {}", server.local_addresses()[0]);
    Ok(server.run()?)
}
