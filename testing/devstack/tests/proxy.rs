//! The bad network: each kind of weather does what it says, and surviving connections lose nothing.

#![allow(clippy::unwrap_used)]

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use devstack::wait::SOON;
use devstack::{Direction, Proxy, Weather};

const QUIET: Duration = Duration::from_millis(300);

/// Sends back everything it receives.
fn echo_server() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            std::thread::spawn(move || std::io::copy(&mut &stream, &mut &stream));
        }
    });
    port
}

fn connect(proxy: &Proxy) -> TcpStream {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

fn read(stream: &mut TcpStream, bytes: usize, within: Duration) -> std::io::Result<Vec<u8>> {
    stream.set_read_timeout(Some(within)).unwrap();
    let mut read = vec![0; bytes];
    stream.read_exact(&mut read).map(|()| read)
}

fn echoes(stream: &mut TcpStream, text: &[u8]) {
    stream.write_all(text).unwrap();
    assert_eq!(read(stream, text.len(), SOON).unwrap(), text);
}

#[test]
fn what_was_sent_during_a_cut_arrives_after_it() {
    let proxy = Proxy::start(echo_server()).unwrap();
    let mut stream = connect(&proxy);
    echoes(&mut stream, b"before");
    for weather in [Weather::Cut, Weather::OneWayCut(Direction::Up), Weather::OneWayCut(Direction::Down)] {
        proxy.set(weather);
        // A chunk that was about to be forwarded may still arrive.
        std::thread::sleep(QUIET / 2);
        stream.write_all(b"during").unwrap();
        assert!(read(&mut stream, 1, QUIET).is_err(), "{weather:?}");
        let mut newcomer = connect(&proxy);
        newcomer.write_all(b"new").unwrap();
        assert!(read(&mut newcomer, 1, QUIET).is_err(), "{weather:?}");
        proxy.set(Weather::Fair);
        assert_eq!(read(&mut stream, 6, SOON).unwrap(), b"during");
        assert_eq!(read(&mut newcomer, 3, SOON).unwrap(), b"new");
    }
}

#[test]
fn a_slow_and_a_narrow_network_keep_every_byte() {
    let proxy = Proxy::start(echo_server()).unwrap();
    let mut stream = connect(&proxy);
    proxy.set(Weather::Delay(Duration::from_millis(200)));
    std::thread::sleep(QUIET);
    let started = Instant::now();
    echoes(&mut stream, b"slow");
    assert!(started.elapsed() >= Duration::from_millis(400));
    proxy.set(Weather::Narrow { bytes_per_second: 10_000 });
    let started = Instant::now();
    let large: Vec<u8> = (0..10_000u32).map(|n| n as u8).collect();
    echoes(&mut stream, &large);
    assert!(started.elapsed() >= Duration::from_millis(800), "{:?}", started.elapsed());
}

#[test]
fn connections_are_reset_at_once_or_in_the_middle_of_data() {
    let proxy = Proxy::start(echo_server()).unwrap();
    for direction in [Direction::Up, Direction::Down] {
        let mut stream = connect(&proxy);
        echoes(&mut stream, b"before");
        proxy.tear_next(direction);
        stream.write_all(b"abcdef").unwrap();
        let mut got = Vec::new();
        stream.set_read_timeout(Some(SOON)).unwrap();
        let error = stream.read_to_end(&mut got).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{direction:?}");
        assert!(got.len() <= 3 && b"abcdef".starts_with(&got), "{direction:?}: {got:?}");
        assert!(proxy.has_torn(direction));
    }
    let mut stream = connect(&proxy);
    echoes(&mut stream, b"before");
    proxy.reset();
    assert!(read(&mut stream, 1, SOON).is_err());
    echoes(&mut connect(&proxy), b"after");
}
