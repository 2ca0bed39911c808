// command.rs - Rust's std::process. See ../README.md.
use std::env::var;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::process::{Child, Command};

fn write(name: &str, words: &str) {
    let path = var(name).unwrap();
    let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
    file.write_all(words.as_bytes()).unwrap();
}

fn main() {
    let program = var("XLHOST_CHILD").unwrap();
    write("XLHOST_GO", "go\n");
    let mut children: Vec<Child> = (0..50)
        .map(|i: i32| {
            let words = ["sleep-ms", &(i % 16).to_string(), "exit", &(101 + i).to_string()]
                .map(String::from);
            Command::new(&program).args(words).spawn().unwrap()
        })
        .collect();
    for (i, child) in children.iter_mut().enumerate() {
        let line = match child.wait() {
            Ok(status) => format!("{} {}\n", i, status.code().unwrap_or(-1)),
            Err(error) => format!("{} lost {}\n", i, error),
        };
        write("XLHOST_RESULT", &line);
    }
    write("XLHOST_GO", "done\n");
    let mut word = [0; 4];
    File::open(var("XLHOST_END").unwrap()).unwrap().read(&mut word).unwrap();
}
