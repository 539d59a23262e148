//! Requests at a fixed rate over HTTP/1.1, at moments that are chance's (but the same ones each time), as those of
//! many clients are. wrk has no rate, and h2load sends what is due every 10 ms at once.
//!
//! ```text
//! paced HOST:PORT PATH CONNECTIONS REQUESTS_PER_SECOND SECONDS
//! ```
//!
//! Prints a line of JSON. A time counts from when the request was due, if its connection was still busy then.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

struct Plan {
    address: String,
    request: Vec<u8>,
    mean_gap: f64,
    seconds: f64,
}

/// Times in microseconds, and what was not answered with 200.
#[derive(Default)]
struct Outcome {
    times: Vec<u64>,
    errors: u64,
}

/// xorshift64*: gaps need to be no more random than that.
struct Chance(u64);

impl Chance {
    fn gap(&mut self, mean: f64) -> Duration {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let bits = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11;
        let part = (bits as f64 + 0.5) / (1u64 << 53) as f64;
        Duration::from_secs_f64(-mean * part.ln())
    }
}

/// Whether it was answered with 200, once all of the answer is there.
fn ask(stream: &mut TcpStream, request: &[u8], buffer: &mut Vec<u8>) -> io::Result<bool> {
    stream.write_all(request)?;
    buffer.clear();
    let mut piece = [0; 16 * 1024];
    loop {
        let count = stream.read(&mut piece)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        buffer.extend_from_slice(&piece[..count]);
        if let Some(whole) = whole_size(buffer)? {
            if buffer.len() >= whole {
                return Ok(buffer.starts_with(b"HTTP/1.1 200"));
            }
        }
    }
}

/// Head and body, once the head is there.
fn whole_size(buffer: &[u8]) -> io::Result<Option<usize>> {
    let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = String::from_utf8_lossy(&buffer[..end]);
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_it = name.eq_ignore_ascii_case("content-length");
        is_it.then(|| value.trim().parse::<usize>().ok()).flatten()
    });
    let length = length.ok_or_else(|| io::Error::other("an answer without Content-Length"))?;
    Ok(Some(end + 4 + length))
}

fn connection(plan: &Plan, number: u64, begin: Instant) -> io::Result<Outcome> {
    let mut stream = TcpStream::connect(&plan.address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut chance = Chance((number + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let mut outcome = Outcome::default();
    let mut buffer = Vec::new();
    let mut due = begin + chance.gap(plan.mean_gap);
    let end = begin + Duration::from_secs_f64(plan.seconds);
    while due < end && Instant::now() < end {
        let mut from = due;
        if let Some(wait) = due.checked_duration_since(Instant::now()) {
            // What a sleep takes too long is no one's but this program's.
            thread::sleep(wait);
            from = Instant::now();
        }
        if !ask(&mut stream, &plan.request, &mut buffer)? {
            outcome.errors += 1;
        }
        outcome.times.push(from.elapsed().as_micros() as u64);
        due += chance.gap(plan.mean_gap);
    }
    Ok(outcome)
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, path, connections, rate, seconds] = &arguments[..] else {
        panic!("HOST:PORT PATH CONNECTIONS REQUESTS_PER_SECOND SECONDS");
    };
    let connections: u64 = connections.parse().expect("a number of connections");
    let rate: f64 = rate.parse().expect("requests per second");
    let plan = Plan {
        address: address.clone(),
        request: format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").into_bytes(),
        mean_gap: connections as f64 / rate,
        seconds: seconds.parse().expect("a number of seconds"),
    };
    let begin = Instant::now();
    let mut all = Outcome::default();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..connections)
            .map(|number| {
                scope.spawn({
                    let plan = &plan;
                    move || connection(plan, number, begin)
                })
            })
            .collect();
        for thread in threads {
            match thread.join().expect("it does not panic") {
                Ok(outcome) => {
                    all.times.extend(outcome.times);
                    all.errors += outcome.errors;
                }
                Err(error) => {
                    eprintln!("paced: {error}");
                    all.errors += 1;
                }
            }
        }
    });
    all.times.sort_unstable();
    let at = |part: f64| {
        let place = (all.times.len() as f64 * part) as usize;
        all.times.get(place).copied().unwrap_or(0)
    };
    println!(
        r#"{{"requests":{},"duration_us":{},"p50_us":{},"p99_us":{},"failed":{}}}"#,
        all.times.len(),
        begin.elapsed().as_micros(),
        at(0.5),
        at(0.99),
        all.errors
    );
}
