//! A line server: replies `Your msg = ...` to each line, and closes the connection at `quit`.
//!
//!     cargo run --example lines [ADDRESS [MODEL]]          # default: 127.0.0.1:7009, epoll
//!     nc 127.0.0.1 7009

use evserve::{Context, Server, Service, Session, Sharing, Timeout, Wait};
use std::{env, error::Error, net::IpAddr, sync::Arc};

/// The longest line, in bytes. Without a limit, a client that never ends its line would fill the
/// memory.
const LONGEST: usize = 4096;

struct Lines;

struct LineSession {
    lines: u64,
    over: bool,
}

impl Service for Lines {
    fn session(&self, _: Option<IpAddr>) -> Box<dyn Session> {
        Box::new(LineSession {
            lines: 0,
            over: false,
        })
    }

    fn sharing(&self) -> Sharing {
        Sharing::Nothing
    }

    fn speaks_first(&self) -> bool {
        true
    }

    fn name(&self) -> &str {
        "lines"
    }
}

impl Session for LineSession {
    fn open(&mut self, cx: &mut Context<'_>) {
        cx.put(b"Say something; quit ends it.\n");
    }

    fn receive(&mut self, input: &[u8], cx: &mut Context<'_>) -> usize {
        let Some(end) = input.iter().position(|byte| *byte == b'\n') else {
            if input.len() > LONGEST {
                cx.put(b"That line is too long.\n");
                self.over = true;
            }
            return 0;
        };
        let line = input[..end].trim_ascii_end();
        let answer = [b"Your msg = ", line, b"\n"].concat();
        if line == b"quit" {
            cx.put(format!("Goodbye, after {} lines.\n", self.lines).as_bytes());
            self.over = true;
        } else if cx.room() < answer.len() {
            return 0;
        } else {
            cx.put(&answer);
            self.lines += 1;
        }
        end + 1
    }

    fn waits_for(&self) -> Wait {
        match self.over {
            true => Wait::Linger,
            false => Wait::Bytes(Timeout::Idle),
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let address = env::args().nth(1).unwrap_or("127.0.0.1:7009".into());
    let model = env::args().nth(2).unwrap_or("epoll".into());
    let server = Server::builder()
        .model(&model)
        .listen(&address, |_| Ok(Arc::new(Lines)))?
        .start()?;
    println!("listening at {}", server.local_addresses()[0]);
    Ok(server.run()?)
}
