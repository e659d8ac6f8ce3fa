//! `/livez` and `/readyz` for a supervisor of the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The longest wait for a request: a client that connects and sends nothing is dropped.
const REQUEST_WAIT: Duration = Duration::from_secs(2);

/// Whether the process accepts work.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// Sets whether the process accepts work.
    pub fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::Relaxed);
    }

    fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Answers on `listener` until it is dropped. `/livez`: 200 as long as the process runs. `/readyz`: 200 while it accepts work, and 503
/// while it starts or drains. Everything else: 404.
pub async fn serve(listener: TcpListener, readiness: Readiness) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // The process may be out of file descriptors, for example, and have some again soon.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let readiness = readiness.clone();
        tokio::spawn(async move {
            let _ = tokio::time::timeout(REQUEST_WAIT, answer(stream, &readiness)).await;
        });
    }
}

async fn answer(mut stream: TcpStream, readiness: &Readiness) -> std::io::Result<()> {
    // The request line of a probe is far shorter; the rest of the request does not matter.
    let mut request = [0; 1_024];
    let read = stream.read(&mut request).await?;
    let line = String::from_utf8_lossy(&request[..read]);
    let (status, body) = match line.split_whitespace().nth(1) {
        Some("/livez") => ("200 OK", "ok\n"),
        Some("/readyz") if readiness.get() => ("200 OK", "ok\n"),
        Some("/readyz") => ("503 Service Unavailable", "starting or draining\n"),
        _ => ("404 Not Found", "/livez or /readyz\n"),
    };
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}
