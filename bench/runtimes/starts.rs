//! starts.rs - children by Rust's std::process::Command
//!
//! Called by bench/run.py; see README.md for the options. --threads 1: one
//! thread keeps all in flight and waits for the oldest; more: each thread
//! starts a child and waits for it.
use std::collections::{HashMap, VecDeque};
use std::process::{exit, Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

#[repr(C)]
struct Timespec {
    seconds: i64,
    nanoseconds: i64,
}

extern "C" {
    fn clock_gettime(clock: i32, time: *mut Timespec) -> i32;
}

const PROCESS_CPUTIME: i32 = 2;

/// Of this process's threads, in µs.
fn processor() -> f64 {
    let mut time = Timespec { seconds: 0, nanoseconds: 0 };
    if unsafe { clock_gettime(PROCESS_CPUTIME, &mut time) } != 0 {
        die("clock_gettime");
    }
    time.seconds as f64 * 1e6 + time.nanoseconds as f64 / 1e3
}

fn die(what: &str) -> ! {
    eprintln!("starts.rs: {}", what);
    exit(2)
}

struct Plan {
    child: String,
    concurrency: usize,
    threads: usize,
}

fn start(plan: &Plan) -> Child {
    match Command::new(&plan.child).stdout(Stdio::null()).spawn() {
        Ok(child) => child,
        Err(why) => die(&why.to_string()),
    }
}

fn reap(mut child: Child) {
    match child.wait() {
        Ok(status) if status.success() => (),
        Ok(status) => die(&format!("a child ended with {}", status)),
        Err(why) => die(&why.to_string()),
    }
}

fn over(until: Option<Instant>) -> bool {
    until.map_or(false, |end| Instant::now() >= end)
}

fn on_one_thread(plan: &Plan, children: usize, until: Option<Instant>) -> usize {
    let mut running = VecDeque::new();
    let mut started = 0;
    while started < children && !over(until) {
        if running.len() == plan.concurrency {
            reap(running.pop_front().expect("some are running"));
        }
        running.push_back(start(plan));
        started += 1;
    }
    running.into_iter().for_each(reap);
    started
}

fn on_threads(plan: &Plan, children: usize, until: Option<Instant>) -> usize {
    let tickets = AtomicUsize::new(0);
    let reaped = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..plan.threads {
            scope.spawn(|| {
                while tickets.fetch_add(1, Ordering::Relaxed) < children && !over(until) {
                    reap(start(plan));
                    reaped.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    reaped.load(Ordering::Relaxed)
}

fn run(plan: &Plan, children: usize, until: Option<Instant>) -> usize {
    if plan.threads == 1 {
        on_one_thread(plan, children, until)
    } else {
        on_threads(plan, children, until)
    }
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let options: HashMap<&str, &str> =
        words.chunks(2).filter(|pair| pair.len() == 2)
            .map(|pair| (pair[0].as_str(), pair[1].as_str())).collect();
    let number = |name: &str, otherwise: usize| match options.get(name) {
        None => otherwise,
        Some(text) => text.parse().unwrap_or_else(|_| die(name)),
    };
    let plan = Plan {
        child: options.get("--child").unwrap_or_else(|| die("--child")).to_string(),
        concurrency: number("--concurrency", 16),
        threads: number("--threads", 1),
    };
    run(&plan, number("--warmup", 50), None);
    let limit = number("--for-ms", 0);
    let before = processor();
    let begin = Instant::now();
    let until = if limit > 0 { Some(begin + Duration::from_millis(limit as u64)) } else { None };
    let reaped = run(&plan, number("--children", 1000), until);
    let wall = begin.elapsed().as_nanos() as f64 / 1e3;
    println!(
        "{{\"peer\": \"rust\", \"version\": \"{}\", \"reaped\": {}, \
         \"us_per_child\": {:.3}, \"cpu_us\": {:.3}}}",
        env!("BENCH_RUSTC"), reaped, wall / reaped as f64,
        (processor() - before) / reaped as f64
    );
}
