//! Answers to the exercises of the course that are programs.
//!
//!     cargo run --example exercises NAME [ADDRESS [MODEL]] # 127.0.0.1:7007 and epoll by default
//!     nc 127.0.0.1 7007

mod buffered;
mod chained;
mod chargen;
mod edge;
mod goodbye;
mod limited;
mod primes;
mod relay;
mod slices;
#[cfg(feature = "tokio")]
mod task_size;
mod visitors;

use evserve::{Server, Service};
use std::{env, error::Error, io, net::TcpListener, sync::Arc, time::Duration};

/// A service of the library, or a loop of its own.
enum Exercise {
    Service(fn() -> Arc<dyn Service>),
    Loop(fn(&TcpListener) -> io::Result<()>),
}

use Exercise::{Loop, Service as Serve};

const EXERCISES: &[(&str, Exercise)] = &[
    ("goodbye", Serve(|| Arc::new(goodbye::Goodbye))),
    (
        "visitors",
        Serve(|| Arc::new(visitors::Visitors::default())),
    ),
    ("primes", Serve(|| Arc::new(primes::Primes))),
    ("limited", Loop(limited::serve)),
    ("buffered", Loop(buffered::serve)),
    ("edge", Loop(edge::serve)),
    ("chained", Loop(chained::serve)),
    #[cfg(feature = "tokio")]
    ("task-size", Loop(task_size::serve)),
    ("slices", Serve(|| Arc::new(slices::Slices))),
    ("chargen", Serve(|| Arc::new(chargen::Chargen))),
    ("relay", Serve(|| Arc::new(relay::Relay::default()))),
];

fn main() -> Result<(), Box<dyn Error>> {
    let name = env::args().nth(1).unwrap_or_default();
    let address = env::args().nth(2).unwrap_or("127.0.0.1:7007".into());
    let model = env::args().nth(3).unwrap_or("epoll".into());
    let chosen = EXERCISES.iter().find(|(known, _)| *known == name);
    let (_, exercise) = chosen.ok_or_else(|| {
        let names: Vec<_> = EXERCISES.iter().map(|(name, _)| *name).collect();
        format!("which exercise? {}", names.join(", "))
    })?;
    match exercise {
        Loop(serve) => {
            let listener = TcpListener::bind(address)?;
            println!("listening at {}", listener.local_addr()?);
            serve(&listener)?;
        }
        Serve(service) => {
            let server = Server::builder()
                .configure(|config| {
                    if name == "goodbye" {
                        config.timeouts.idle = Duration::from_secs(2);
                    }
                })
                .model(&model)
                .listen(&address, |_| Ok(service()))?
                .start()?;
            println!("listening at {}", server.local_addresses()[0]);
            server.run()?;
        }
    }
    Ok(())
}
