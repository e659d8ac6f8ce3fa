//! A proxy between a client and an emulator of AWS, which does to calls what networks and clouds do.

use crate::gate::Gate;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// It is refused because there are too many.
    Throttled,
    /// It is refused because the caller may not.
    Denied,
    /// The service fails, with status 500.
    Broken,
    /// The connection ends before the call is read.
    Reset,
    /// The call has its effect, and its answer does not arrive.
    LostAnswer,
    /// One entry of a batch fails, though the call succeeds. Other calls pass.
    OneEntry,
    /// The call waits, then passes.
    Late(Duration),
}

/// A call as the proxy sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// `SQS ReceiveMessage`, `SNS PublishBatch`, `S3 PUT`.
    pub name: String,
    /// The path of the request.
    pub path: String,
}

type Decide = dyn Fn(&Call) -> Fault + Send + Sync;

/// A proxy on a free port of loopback. Its threads end with the process.
pub struct Proxy {
    port: u16,
    decide: Arc<Mutex<Arc<Decide>>>,
    gate: Arc<Gate>,
}

impl Proxy {
    /// A proxy to `port` of loopback, which lets everything pass.
    ///
    /// # Errors
    /// There is no free port.
    pub fn start(port: u16) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let own = listener.local_addr()?.port();
        let pass: Arc<Decide> = Arc::new(|_| Fault::None);
        let decide = Arc::new(Mutex::new(pass));
        let gate = Arc::<Gate>::default();
        let shared = (Arc::clone(&decide), Arc::clone(&gate));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (decide, gate) = shared.clone();
                // A connection that ends, on either side, ends its thread.
                std::thread::spawn(move || serve(stream, port, &decide, &gate));
            }
        });
        Ok(Self {
            port: own,
            decide,
            gate,
        })
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Decides about every call from now on.
    pub fn decide(&self, decide: impl Fn(&Call) -> Fault + Send + Sync + 'static) {
        *self.decide.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(decide);
    }

    /// Waits until every call whose name begins with `start` is answered by the emulator, whether or not its caller still listens.
    pub fn wait_for_none(&self, start: &str) {
        self.gate.wait_for_none(start);
    }

    /// Runs `change` while no call whose name begins with `start` is on its way: the proxy waits until those that it passed on are
    /// answered, and holds later ones back.
    pub fn while_held(&self, start: &str, change: impl FnOnce()) {
        self.gate.close(start);
        change();
        self.gate.open();
    }
}

/// A request or an answer.
struct Message {
    first: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Message {
    /// `None` where the connection ended.
    fn read_head(reader: &mut impl BufRead) -> std::io::Result<Option<Self>> {
        let mut first = String::new();
        if reader.read_line(&mut first)? == 0 {
            return Ok(None);
        }
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':') {
                headers.push((name.trim().to_lowercase(), value.trim().to_owned()));
            }
        }
        Ok(Some(Self {
            first: first.trim().to_owned(),
            headers,
            body: Vec::new(),
        }))
    }

    fn read_body(&mut self, reader: &mut impl BufRead) -> std::io::Result<()> {
        if self.header("transfer-encoding") == Some("chunked") {
            loop {
                let mut size = String::new();
                reader.read_line(&mut size)?;
                let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
                let mut chunk = vec![0; size + 2];
                reader.read_exact(&mut chunk)?;
                if size == 0 {
                    break;
                }
                self.body.extend_from_slice(&chunk[..size]);
            }
            self.headers.retain(|(name, _)| name != "transfer-encoding");
        } else if let Some(length) = self.header("content-length") {
            self.body = vec![0; length.parse().unwrap_or(0)];
            reader.read_exact(&mut self.body)?;
        }
        Ok(())
    }

    fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    fn write(&self, to: &mut TcpStream, has_body: bool) -> std::io::Result<()> {
        let mut text = format!("{}\r\n", self.first);
        for (name, value) in &self.headers {
            if name != "content-length" || !has_body {
                text.push_str(&format!("{name}: {value}\r\n"));
            }
        }
        if has_body {
            text.push_str(&format!("content-length: {}\r\n", self.body.len()));
        }
        text.push_str("\r\n");
        let mut bytes = text.into_bytes();
        if has_body {
            bytes.extend_from_slice(&self.body);
        }
        to.write_all(&bytes)
    }
}

fn serve(
    client: TcpStream,
    port: u16,
    decide: &Mutex<Arc<Decide>>,
    gate: &Gate,
) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    let mut from = BufReader::new(client.try_clone()?);
    let mut to = client;
    let mut emulator: Option<BufReader<TcpStream>> = None;
    while let Some(mut request) = Message::read_head(&mut from)? {
        if request.header("expect").is_some() {
            to.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
            request.headers.retain(|(name, _)| name != "expect");
        }
        // SNS has its verb in the body, so that is read before it is decided; a reset comes as well then.
        request.read_body(&mut from)?;
        let call = call(&request);
        let _inside = gate.enter(&call.name);
        let decision = Arc::clone(&decide.lock().unwrap_or_else(PoisonError::into_inner));
        let fault = decision(&call);
        match fault {
            Fault::Reset => return to.shutdown(Shutdown::Both),
            Fault::Throttled | Fault::Denied | Fault::Broken => {
                refusal(&call, fault).write(&mut to, true)?;
                continue;
            }
            Fault::Late(time) => std::thread::sleep(time),
            Fault::None | Fault::LostAnswer | Fault::OneEntry => {}
        }
        let left_out = match fault {
            Fault::OneEntry => leave_out(&call, &mut request),
            _ => None,
        };
        let upstream = match &mut emulator {
            Some(known) => known,
            None => {
                let stream = TcpStream::connect(("127.0.0.1", port))?;
                stream.set_nodelay(true)?;
                emulator.insert(BufReader::new(stream))
            }
        };
        request.write(upstream.get_mut(), true)?;
        let Some(mut answer) = Message::read_head(upstream)? else {
            return Ok(());
        };
        let is_head = request.first.starts_with("HEAD ");
        if !is_head {
            answer.read_body(upstream)?;
        }
        if fault == Fault::LostAnswer {
            return to.shutdown(Shutdown::Both);
        }
        if let Some(id) = left_out {
            add_failure(&call, &mut answer, &id);
        }
        answer.write(&mut to, !is_head)?;
    }
    Ok(())
}

fn call(request: &Message) -> Call {
    let mut words = request.first.split(' ');
    let method = words.next().unwrap_or_default();
    let path = words.next().unwrap_or_default().to_owned();
    let body = String::from_utf8_lossy(&request.body);
    let verb = request.header("x-amz-target");
    let name = match verb.and_then(|verb| verb.rsplit_once('.')) {
        Some((service, verb)) if service.contains("SQS") => format!("SQS {verb}"),
        Some((_, verb)) => format!("other {verb}"),
        None if path == "/" => {
            let action = body
                .split('&')
                .find_map(|part| part.strip_prefix("Action="));
            format!("SNS {}", action.unwrap_or("-"))
        }
        None => format!("S3 {method}"),
    };
    Call { name, path }
}

fn refusal(call: &Call, fault: Fault) -> Message {
    let (status, code) = match (fault, call.name.split(' ').next()) {
        (Fault::Throttled, Some("S3")) => ("503 Slow Down", "SlowDown"),
        (Fault::Throttled, Some("SQS")) => ("400 Bad Request", "RequestThrottled"),
        (Fault::Throttled, _) => ("400 Bad Request", "Throttling"),
        (Fault::Denied, Some("SNS")) => ("403 Forbidden", "AuthorizationError"),
        (Fault::Denied, _) => ("403 Forbidden", "AccessDenied"),
        _ => ("500 Internal Server Error", "InternalError"),
    };
    let (kind, body) = match call.name.split(' ').next() {
        Some("SQS") => {
            let body = json!({"__type": format!("com.amazonaws.sqs#{code}"), "message": "a fault"});
            ("application/x-amz-json-1.0", body.to_string())
        }
        Some("SNS") => {
            let body = format!(
                "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>a fault</Message></Error></ErrorResponse>"
            );
            ("text/xml", body)
        }
        _ => {
            let body = format!("<Error><Code>{code}</Code><Message>a fault</Message></Error>");
            ("application/xml", body)
        }
    };
    Message {
        first: format!("HTTP/1.1 {status}"),
        headers: vec![("content-type".into(), kind.into())],
        body: body.into_bytes(),
    }
}

/// Takes the last of several entries out of a batch; answers its id.
fn leave_out(call: &Call, request: &mut Message) -> Option<String> {
    if !call.name.ends_with("Batch") {
        return None;
    }
    if call.name.starts_with("SQS") {
        let mut body: Value = serde_json::from_slice(&request.body).ok()?;
        let entries = body.get_mut("Entries")?.as_array_mut()?;
        if entries.len() < 2 {
            return None;
        }
        let id = entries.pop()?.get("Id")?.as_str()?.to_owned();
        request.body = body.to_string().into_bytes();
        return Some(id);
    }
    let body = String::from_utf8(request.body.clone()).ok()?;
    let number = |part: &str| -> Option<usize> {
        let rest = part.strip_prefix("PublishBatchRequestEntries.member.")?;
        rest.split('.').next()?.parse().ok()
    };
    let last = body.split('&').filter_map(number).max()?;
    if last < 2 {
        return None;
    }
    let id = format!("PublishBatchRequestEntries.member.{last}.Id=");
    let id = body.split('&').find_map(|part| part.strip_prefix(&id))?;
    let id = id.to_owned();
    let kept = body.split('&').filter(|part| number(part) != Some(last));
    request.body = kept.collect::<Vec<_>>().join("&").into_bytes();
    Some(id)
}

/// Says of the entry that was left out that it failed.
fn add_failure(call: &Call, answer: &mut Message, id: &str) {
    if call.name.starts_with("SQS") {
        if let Ok(mut body) = serde_json::from_slice::<Value>(&answer.body) {
            body["Failed"] = json!([
                {"Id": id, "SenderFault": false, "Code": "InternalError", "Message": "a fault"},
            ]);
            answer.body = body.to_string().into_bytes();
        }
        return;
    }
    let failed = format!(
        "<Failed><member><Id>{id}</Id><Code>InternalError</Code><Message>a fault</Message><SenderFault>false</SenderFault></member></Failed>"
    );
    let text = String::from_utf8_lossy(&answer.body);
    let text = text.replace("<Failed/>", "").replace("<Failed />", "");
    let text = text.replace("<Failed></Failed>", "");
    let text = text.replace(
        "</PublishBatchResult>",
        &format!("{failed}</PublishBatchResult>"),
    );
    answer.body = text.into_bytes();
}
