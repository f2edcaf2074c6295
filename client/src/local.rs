//! A cluster of the client's own: the process `minicluster` beside this program. It lives as long as the client holds its standard
//! input, so it ends with the client however that ends, and its jobs with it. What its jobs print comes through the client.
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use wiesel_common::config::Configuration;
use wiesel_common::id::JobId;
use wiesel_common::logging::{LOG_FILE_VARIABLE, in_one_line};
use wiesel_common::quote::quote;
use wiesel_common::spawn;

use crate::cli::{Failure, end_of, lost_sight_of};
use crate::progress::watched;
use crate::rest::{JobEnd, JobOverview, RestClient};

const PROGRAM: &str = "minicluster";
/// The variable that names the folder of logs; the scripts set it.
const LOG_DIR_VARIABLE: &str = "FLINK_LOG_DIR";
/// Those that name the user, as the scripts look for the name.
const USER_VARIABLES: [&str; 3] = ["FLINK_IDENT_STRING", "USER", "LOGNAME"];
/// How much the line with the address may have.
const MAX_LINE: u64 = 200;
/// Longer lines of what jobs print are passed on in pieces.
const LONGEST_PIECE: u64 = 1 << 20;
/// How long the process has to end; then it is killed.
const LONGEST_END: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_millis(10);

/// Where what jobs print goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Printed {
    /// To the client's own standard output, as with Flink's.
    ToOutput,
    /// To a file beside the log: the client's output is for something else.
    ToFile,
}

/// See the module.
pub(crate) struct LocalCluster {
    child: Child,
    rest: SocketAddr,
    log: PathBuf,
    /// Passes on what jobs print, until the process has ended.
    printed: Option<JoinHandle<()>>,
}

impl LocalCluster {
    /// Starts it and waits until REST answers. `properties`: those of `-D`, which count for the cluster too.
    ///
    /// # Errors
    /// The program is missing, or does not start; then it has said why on standard error.
    pub fn start(properties: &[String], printed: Printed) -> Result<Self, Failure> {
        let (program, log) = (program()?, log_file()?);
        let mut command = Command::new(&program);
        command.args(properties.iter().map(|property| format!("-D{property}"))).env(LOG_FILE_VARIABLE, &log);
        // In a group of its own: Ctrl-C is for the client, which ends the cluster when it ends.
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        let mut child = command
            .spawn()
            .map_err(|error| anyhow::anyhow!("cannot start {}: {error}", quote(&program.to_string_lossy())))?;
        let output = child.stdout.take().map(BufReader::new);
        let Some((rest, output)) = output.and_then(|mut output| Some((address(&mut output)?, output))) else {
            end(&mut child);
            anyhow::bail!("The local cluster did not start; {} may say more.", quote(&log.to_string_lossy()))
        };
        // It ends with this value, from here on.
        let mut cluster = Self { child, rest, log, printed: None };
        cluster.printed = Some(passed_on(output, printed, &cluster.out_file())?);
        Ok(cluster)
    }

    /// The file for what jobs print.
    pub fn out_file(&self) -> PathBuf {
        self.log.with_extension("out")
    }

    /// A client of it.
    pub fn client(&self, configuration: &Configuration) -> Result<RestClient, Failure> {
        Ok(RestClient::new(&self.rest.ip().to_string(), self.rest.port()).patient_by(configuration)?)
    }
}

impl Drop for LocalCluster {
    fn drop(&mut self) {
        end(&mut self.child);
        if let Some(printed) = self.printed.take() {
            let _ = printed.join();
        }
    }
}

/// Lets the process end, and waits for it.
fn end(child: &mut Child) {
    drop(child.stdin.take());
    let begun = Instant::now();
    while matches!(child.try_wait(), Ok(None)) {
        if begun.elapsed() > LONGEST_END {
            // What cannot be killed has ended.
            let _ = child.kill();
            let _ = child.wait();
            return;
        }
        std::thread::sleep(PAUSE);
    }
}

/// The address that the process prints when it is up; none: it has ended.
fn address(output: &mut BufReader<ChildStdout>) -> Option<SocketAddr> {
    let mut line = String::new();
    output.by_ref().take(MAX_LINE).read_line(&mut line).ok()?;
    line.trim().parse().ok()
}

/// Has what jobs print passed on by a thread. Where it can be written nowhere any more, the jobs that print fail.
fn passed_on(output: BufReader<ChildStdout>, to: Printed, file: &Path) -> Result<JoinHandle<()>, Failure> {
    let put: Box<dyn FnMut(&str) -> io::Result<()> + Send> = match to {
        Printed::ToOutput => Box::new(|text: &str| {
            print!("{text}");
            Ok(())
        }),
        Printed::ToFile => {
            let made = File::create(file);
            let mut made = made.map_err(|error| {
                anyhow::anyhow!("cannot make {} for what jobs print: {error}", quote(&file.to_string_lossy()))
            })?;
            Box::new(move |text: &str| made.write_all(text.as_bytes()))
        }
    };
    let thread = spawn::thread("printed", move || {
        let _ = pass_on(output, put);
    });
    Ok(thread?)
}

/// Puts lines, as they come, until there are no more.
fn pass_on(mut lines: impl BufRead, mut put: impl FnMut(&str) -> io::Result<()>) -> io::Result<()> {
    let mut piece = Vec::new();
    loop {
        let kept = piece.len();
        lines.by_ref().take(LONGEST_PIECE).read_until(b'\n', &mut piece)?;
        let is_end = piece.len() == kept;
        // A character that is cut goes with the next piece.
        let cut = match std::str::from_utf8(&piece) {
            Err(error) if error.error_len().is_none() && !is_end => piece.split_off(error.valid_up_to()),
            _ => Vec::new(),
        };
        if !piece.is_empty() {
            put(&String::from_utf8_lossy(&piece))?;
        }
        if is_end {
            return Ok(());
        }
        piece = cut;
    }
}

/// The program lies beside this one.
fn program() -> Result<PathBuf, Failure> {
    let own = std::env::current_exe().map_err(|error| anyhow::anyhow!("cannot find the program {PROGRAM}: {error}"))?;
    Ok(own.with_file_name(PROGRAM))
}

/// Its log, in the folder of logs.
fn log_file() -> Result<PathBuf, Failure> {
    let folder = std::env::var_os(LOG_DIR_VARIABLE).filter(|folder| !folder.is_empty());
    let folder = folder.map_or_else(std::env::temp_dir, PathBuf::from);
    std::fs::create_dir_all(&folder).map_err(|error| {
        let folder = folder.to_string_lossy();
        anyhow::anyhow!(
            "The folder {} for logs cannot be made: {error}. Name another with {LOG_DIR_VARIABLE}.",
            quote(&folder)
        )
    })?;
    let user = USER_VARIABLES.iter().find_map(|name| std::env::var(name).ok().filter(|user| !user.is_empty()));
    // It is a part of the name of a file.
    let user = user.unwrap_or_default().replace(['/', '\0'], "_");
    Ok(folder.join(format!("flink-{user}-{PROGRAM}.log")))
}

/// Waits until all jobs of a local cluster have ended, which would end with it. True: none has failed.
pub(crate) async fn wait_for_jobs(client: &RestClient) -> Result<bool, Failure> {
    let mut succeeded = true;
    for job in client.jobs().await?.jobs {
        let id = id_of(&job)?;
        if !has_ended(&job) {
            eprintln!(
                "[INFO] Waiting for the job {id} ({}), which would end with this client.",
                in_one_line(&job.name)
            );
        }
        let end = watched(client, id, "", end_of(client, id)).await.map_err(|error| lost_sight_of(id, &error))?;
        if let JobEnd::Failed(cause) = end {
            eprintln!("Job with JobID {id} has failed:\n{cause}");
            succeeded = false;
        }
    }
    Ok(succeeded)
}

/// Says which jobs end with a local cluster.
pub(crate) async fn tell_what_ends(client: &RestClient) -> Result<(), Failure> {
    for job in client.jobs().await?.jobs.iter().filter(|job| !has_ended(job)) {
        eprintln!("[WARNING] The job {} ({}) ends with this client.", in_one_line(&job.jid), in_one_line(&job.name));
    }
    Ok(())
}

fn id_of(job: &JobOverview) -> Result<JobId, Failure> {
    Ok(job.jid.parse()?)
}

fn has_ended(job: &JobOverview) -> bool {
    ["FINISHED", "FAILED", "CANCELED"].contains(&job.state.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_passed_on_line_by_line_and_whole() {
        let passed = |bytes: &[u8]| {
            let mut pieces = Vec::new();
            let put = |text: &str| {
                pieces.push(text.to_owned());
                Ok(())
            };
            pass_on(BufReader::with_capacity(7, bytes), put).unwrap();
            pieces
        };
        assert_eq!(passed(b""), Vec::<String>::new());
        assert_eq!(passed("+I[1, ä]\n\n+I[2".as_bytes()), ["+I[1, ä]\n", "\n", "+I[2"]);
        assert_eq!(passed(b"a\xff\nb\xc3"), ["a\u{fffd}\n", "b", "\u{fffd}"]);
        // The cut is within a character.
        let long = format!("x{}\n", "ä".repeat(LONGEST_PIECE as usize));
        let pieces = passed(long.as_bytes());
        assert!(pieces.len() > 2 && pieces.concat() == long, "{} pieces", pieces.len());
    }

    #[test]
    fn nothing_is_read_when_it_can_be_put_nowhere() {
        let full = |_: &str| Err(io::ErrorKind::StorageFull.into());
        assert!(pass_on("a\nb\n".as_bytes(), full).is_err());
    }
}
