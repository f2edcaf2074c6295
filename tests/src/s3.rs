//! A real S3 server in a folder of its own: it can be stopped, killed and started again with what it holds.
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::store::Place;
use crate::{cluster, eventually, http, process, skip};

/// The bucket that is there from the start.
pub const BUCKET: &str = "wiesel";
const ACCESS_KEY: &str = "wiesel";
const SECRET_KEY: &str = "wiesel-secret";
const READY: Duration = Duration::from_secs(20);

/// The server.
pub struct S3Server {
    program: PathBuf,
    folder: TempDir,
    port: u16,
    process: Option<Child>,
}

impl S3Server {
    /// Starts a server; none if this machine has no program for it: then the test is counted as skipped.
    pub fn start(test: &str) -> Option<Self> {
        let Some(program) = program() else {
            skip::skip(test, "no S3 server: tests/with-services.sh --install");
            return None;
        };
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::create_dir_all(folder.path().join("s3").join(BUCKET)).expect("a bucket is a folder");
        let mut server = Self { program, folder, port: 0, process: None };
        server.launch();
        Some(server)
    }

    fn launch(&mut self) {
        if self.port == 0 {
            [self.port] = cluster::free_ports();
        }
        let log = std::fs::File::options().create(true).append(true).open(self.folder.path().join("s3.log"));
        let log = log.expect("a log in the server's folder");
        let address = format!("127.0.0.1:{}", self.port);
        let process = Command::new(&self.program)
            .args(["--access", ACCESS_KEY, "--secret", SECRET_KEY, "--port", &address])
            .args(["--health", "/healthz", "--quiet", "posix"])
            .arg(self.folder.path().join("s3"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file can be opened twice"))
            .stderr(log)
            .spawn();
        self.process = Some(process.expect("the S3 server can be run"));
        eventually("the S3 server answers", READY, || {
            match http::request(self.port, "GET", "/healthz", "text/plain", b"") {
                Ok(answer) if answer.status == 200 => Ok(()),
                Ok(answer) => Err(format!("{answer:?}")),
                Err(error) => Err(format!("{error:#}; {}", self.log())),
            }
        });
    }

    /// The port it listens on, the same after each restart.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where its objects are: one folder a bucket.
    pub fn objects(&self) -> PathBuf {
        self.folder.path().join("s3")
    }

    /// The bucket that is there from the start.
    pub fn bucket(&self) -> Place {
        Place { uri: format!("s3://{BUCKET}"), path: self.objects().join(BUCKET) }
    }

    /// Where it keeps the parts of uploads into that bucket that were neither completed nor aborted.
    pub fn unfinished_uploads(&self) -> PathBuf {
        self.bucket().path.join(".sgwtmp/multipart")
    }

    /// The configuration of a cluster that uses it, at `port`: its own, or that of a proxy in front of it.
    pub fn configuration(port: u16) -> [(&'static str, String); 5] {
        [
            ("s3.endpoint", format!("http://127.0.0.1:{port}")),
            ("s3.region", "us-east-1".to_owned()),
            ("s3.path.style.access", "true".to_owned()),
            ("s3.access-key", ACCESS_KEY.to_owned()),
            ("s3.secret-key", SECRET_KEY.to_owned()),
        ]
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        self.end(Signal::KILL);
    }

    /// Starts it again after [`S3Server::kill`], on its port and with its objects.
    pub fn restart(&mut self) {
        self.end(Signal::KILL);
        self.launch();
    }

    fn end(&mut self, signal: Signal) {
        if let Some(mut child) = self.process.take() {
            process::signal(child.id(), signal);
            // It was ours and has been signalled; a status that cannot be had tells nothing more.
            let _ = child.wait();
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("s3.log")).unwrap_or_default()
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        self.end(Signal::TERM);
    }
}

/// `WIESEL_S3_SERVER`, else what the script has installed before; a test does not build a server by itself.
fn program() -> Option<PathBuf> {
    if let Some(program) = std::env::var_os("WIESEL_S3_SERVER").filter(|program| !program.is_empty()) {
        return Some(PathBuf::from(program));
    }
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache")))?;
    let installed = std::fs::read_dir(cache.join("wiesel/services")).ok()?.flatten();
    installed.map(|file| file.path()).find(|path| path.to_string_lossy().contains("versitygw-"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::{Fault, Proxy};

    #[test]
    fn a_server_survives_kill_9_and_a_proxy_fails_on_demand() {
        let Some(mut server) = S3Server::start("s3::a_server_survives_kill_9_and_a_proxy_fails_on_demand") else {
            return;
        };
        std::fs::write(server.objects().join(BUCKET).join("object"), "there").unwrap();
        let port = server.port();
        let get = |port: u16| http::request(port, "GET", "/wiesel/object", "text/plain", b"").map(|a| a.status);
        assert_eq!(get(port).unwrap(), 403, "an unsigned request is refused");
        server.kill();
        assert!(get(port).is_err());
        server.restart();
        assert_eq!(get(port).unwrap(), 403);

        let proxy = Proxy::start(port);
        assert_eq!(get(proxy.port()).unwrap(), 403);
        proxy.set(Fault::Status(503));
        assert_eq!(get(proxy.port()).unwrap(), 503);
        proxy.set(Fault::Cut);
        assert!(get(proxy.port()).is_err());
        proxy.set(Fault::None);
        assert_eq!(get(proxy.port()).unwrap(), 403);
        assert_eq!(std::fs::read_to_string(server.objects().join(BUCKET).join("object")).unwrap(), "there");
    }
}
