//! A TCP proxy that fails on demand: in front of an S3 server or of a TaskManager's data port.
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::cluster::free_ports;

/// What the proxy does with what passes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// It holds back each piece in each direction for so long.
    Slow(Duration),
    /// It answers requests of HTTP itself, with this status.
    Status(u16),
    /// It closes connections, old and new.
    Cut,
    /// It passes on a request of HTTP that contains this, and nothing of the answer.
    Withhold(&'static str),
}

/// The proxy. It ends when it is dropped.
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

struct Shared {
    target: u16,
    fault: Mutex<Fault>,
    connections: Mutex<Vec<TcpStream>>,
    ended: AtomicBool,
    failed: AtomicU64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Proxy {
    /// Listens on a free port of this machine and passes everything on to `target`.
    pub fn start(target: u16) -> Self {
        let [port] = free_ports();
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("nobody else takes this port");
        let shared = Arc::new(Shared {
            target,
            fault: Mutex::default(),
            connections: Mutex::default(),
            ended: AtomicBool::new(false),
            failed: AtomicU64::new(0),
        });
        let accepting = std::thread::spawn({
            let shared = shared.clone();
            move || accept(&listener, &shared)
        });
        Self { port, shared, accepting: Some(accepting) }
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Changes what it does. [`Fault::Cut`] and [`Fault::Status`] meet open connections too.
    pub fn set(&self, fault: Fault) {
        *lock(&self.shared.fault) = fault;
        if fault == Fault::Cut {
            self.cut();
        }
    }

    /// Closes the connections that are open now; new ones pass.
    pub fn cut(&self) {
        let open = std::mem::take(&mut *lock(&self.shared.connections));
        self.shared.failed.fetch_add(open.len() as u64 / 2, Ordering::Relaxed);
        for connection in open {
            // It may have ended by itself.
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    /// Connections and requests that it has failed.
    pub fn failed(&self) -> u64 {
        self.shared.failed.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        self.cut();
        // Wakes the listener.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for client in listener.incoming() {
        if shared.ended.load(Ordering::SeqCst) {
            return;
        }
        let Ok(client) = client else { continue };
        if *lock(&shared.fault) == Fault::Cut {
            shared.failed.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        let Ok(server) = TcpStream::connect(("127.0.0.1", shared.target)) else { continue };
        for socket in [&client, &server] {
            let _ = socket.set_nodelay(true);
        }
        let (Ok(from_client), Ok(from_server)) = (client.try_clone(), server.try_clone()) else { continue };
        if let (Ok(client), Ok(server)) = (client.try_clone(), server.try_clone()) {
            let mut connections = lock(&shared.connections);
            connections.retain(|open| open.peer_addr().is_ok());
            connections.extend([client, server]);
        }
        let (up, down) = (shared.clone(), shared.clone());
        let withheld = Arc::new(AtomicBool::new(false));
        let from = Direction { requests: true, withheld: withheld.clone() };
        let back = Direction { requests: false, withheld };
        std::thread::spawn(move || pass(from_client, server, &up, &from));
        std::thread::spawn(move || pass(from_server, client, &down, &back));
    }
}

/// One of the two directions of a connection.
struct Direction {
    requests: bool,
    /// Of the connection no answer is passed on any more.
    withheld: Arc<AtomicBool>,
}

/// Passes bytes on until either side ends; then both are closed.
fn pass(mut from: TcpStream, mut to: TcpStream, shared: &Shared, direction: &Direction) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read) = from.read(&mut buffer) {
        if read == 0 {
            break;
        }
        let fault = *lock(&shared.fault);
        match fault {
            Fault::Slow(pause) => std::thread::sleep(pause),
            Fault::Withhold(text) if direction.requests && contains(&buffer[..read], text) => {
                shared.failed.fetch_add(1, Ordering::Relaxed);
                direction.withheld.store(true, Ordering::SeqCst);
            }
            Fault::Status(status) if direction.requests => {
                shared.failed.fetch_add(1, Ordering::Relaxed);
                refuse(&mut from, status);
                break;
            }
            _ => {}
        }
        if !direction.requests && direction.withheld.load(Ordering::SeqCst) {
            continue;
        }
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

fn refuse(client: &mut TcpStream, status: u16) {
    let body = "<?xml version=\"1.0\"?><Error><Code>SlowDown</Code><Message>on purpose</Message></Error>";
    let answer = format!(
        "HTTP/1.1 {status} On Purpose\r\nContent-Type: application/xml\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let _ = client.write_all(answer.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn echo() -> u16 {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for mut client in listener.incoming().flatten() {
                std::thread::spawn(move || std::io::copy(&mut client.try_clone().unwrap(), &mut client));
            }
        });
        port
    }

    fn round(stream: &mut TcpStream) -> std::io::Result<[u8; 4]> {
        let mut answer = [0; 4];
        stream.write_all(b"ping")?;
        stream.read_exact(&mut answer)?;
        Ok(answer)
    }

    #[test]
    fn passes_cuts_and_passes_again() {
        let proxy = Proxy::start(echo());
        let mut first = TcpStream::connect(("127.0.0.1", proxy.port())).unwrap();
        assert_eq!(round(&mut first).unwrap(), *b"ping");
        proxy.set(Fault::Cut);
        assert!(round(&mut first).is_err());
        let mut refused = TcpStream::connect(("127.0.0.1", proxy.port())).unwrap();
        assert!(round(&mut refused).is_err());
        proxy.set(Fault::None);
        let mut second = TcpStream::connect(("127.0.0.1", proxy.port())).unwrap();
        assert_eq!(round(&mut second).unwrap(), *b"ping");
        proxy.cut();
        assert!(round(&mut second).is_err());
        assert!(proxy.failed() >= 3);
    }
}
